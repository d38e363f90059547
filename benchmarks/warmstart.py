"""Time and data until scratch's best loss, from the selected adapter, for similarities of 30/50/70/80/90 %.

    python benchmarks/warmstart.py --styles DIR --adapters DIR [--out DIR] [--rows 50,240] [--report FILE]

Adapters are those of benchmarks/adapters.py: DIR/ROWS/4-90.gguf. Where DIR/ROWS/cache-90 is a cache of the eight
adapters of that level (made with: xpert cache build DIR/ROWS/?-90.gguf -o DIR/ROWS/cache-90), xpert selects among them;
without one, or with --oracle, the adapter of the user's own style is taken, and the report says so. PROTOCOL below has
the rest. Every run is kept under --out, so that an interrupted benchmark goes on; --stored runs nothing and reports
what is there. The report keeps what earlier ones found, in a JSON file beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby, product
from pathlib import Path
from typing import Any

from _common import TOKENS, TUNING, Bench, kept, numbers, stored, write_report
from _outcomes import PAPER, SCRATCH, Arm, Outcome, Run, Start, beside_the_paper, earlier, keep, users

from xpert_cli import gguf, paths, platform
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.hub.sources import open_source
from xpert_cli.paths import digest
from xpert_cli.selection.select import select
from xpert_cli.training.loop import Progress, Recipe, batch_at, evaluate, train

FIRST = 500  # training row of a user's first message
CHECKED = 16  # tuning rows, and as many test rows
RATES = (2e-3, 1e-3, 4e-3)  # likeliest first: a warm run ends where it cannot be sooner than an earlier one
STEPS, EVERY, PATIENCE, RANK, BATCH = 60, 5, 3, 8, 4
NEAR = 0.01  # nats a token above scratch's lowest loss
PROTOCOL = f"""\
A user's messages are training rows {FIRST} onwards of one style. Scratch starts from the base, the other arm from the
selected adapter; both have rank {RANK}, batch {BATCH}, samples cut at {TOKENS} tokens, a learning rate of the grid
{", ".join(f"{rate:g}" for rate in sorted(RATES))}, constant after warm-up, and are measured every {EVERY} steps
on {CHECKED} tuning rows: {STEPS} steps at most, or until {PATIENCE} measurements brought no new best.

Target: scratch's lowest loss at its best rate, plus {NEAR} nats a token; the other arm takes the rate that reaches it
soonest. Time: until the first measurement at the target, measurements included and, for the selected adapter, selecting
(where the adapter is that of the user's style: one selection for 50 messages from the packaged cache). It is the tokens
that were trained on and measured, at the pace of both on the idle machine with all its cores, so that a run costs the
same whatever ran beside it. "Any rate": against scratch at the rate that
brings it to the target soonest. Data: the fewest of five sizes of the user's messages with which an arm reaches the
target, selected of scratch, at the rates chosen with all; an adapter that is at the target at step 0 still counts the
smallest size, which selects it. A user whose warm runs never reach the target has saved nothing. Test losses, scratch
and selected, are on {CHECKED} test rows at the step where an arm is first at the target; all losses are nats a
response token."""

CAUSES = f"""\
Why goals are missed where adapters have no more rows than the user has messages: scratch's lowest loss is what as many
messages, all of the user's own style, can do; the adapter begins with what as many others did, some of them of no
style. What is then left to learn is the user's own, and takes most of the messages. Scratch is there after few steps
and is measured every {EVERY}, so that short of step 0 about three quarters of its time are the most that can be saved.
Users of 200 messages: the best run from the base has its lowest loss at step 45 to 55, when the messages have
been read once, and ends at {STEPS} steps with patience left: more steps might have made the target lower.
No better on tuning rows: the adapter at other weights than 1 (1.3, 1.6, 2), half the lowest rate of the grid."""


class Missing(Exception):
    """A measurement that is not stored, and is not to be made."""


class _Enough(Exception):
    """Ends a run from its progress callback."""


@dataclass(frozen=True)
class Case:
    """A run to make; it ends at a loss of `until`, or where it cannot be there before step `limit`.

    `style` is that of the user, 4, or several that the user's messages take turns in, 4+7.
    """

    style: str
    messages: int
    rate: float
    start: Start = SCRATCH
    until: float = -math.inf
    limit: int = STEPS

    def recipe(self, seed: int) -> Recipe:
        return Recipe(
            STEPS, RANK, 2.0, self.rate, decay=False, batch=BATCH, evaluate_every=EVERY, patience=PATIENCE, seed=seed
        )


@dataclass(frozen=True, eq=False)
class Warmstart:
    """The benchmark of users of one size, and its runs by name in `out`."""

    bench: Bench
    adapters: Path
    out: Path
    user: int
    seed: int
    oracle: bool
    measured_only: bool
    stored_only: bool

    def messages(self, style: str, count: int) -> Corpus:
        return Corpus(self.rows(style, "train")[FIRST : FIRST + count])

    def rows(self, style: str, split: str) -> tuple[Message, ...]:
        sets = [self.bench.rows(f"{part}_{split}") for part in style.split("+")]
        return tuple(sets[row % len(sets)][row] for row in range(min(map(len, sets))))

    def stored(self, name: str, identity: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is measured under a name, or was.

        Raises:
            Missing: nothing is to be measured, and it was not.
        """
        path = self.out / f"{name}.json"
        if not self.stored_only:
            return stored(path, identity, measure)
        if (found := kept(path, identity)) is None:
            raise Missing(name)
        return found

    def run(self, arm: str, case: Case) -> Run:
        """A run, stored or made now."""
        name = f"{case.style}-{arm}-messages{case.messages}-rate{case.rate:g}-seed{self.seed}"
        identity: dict[str, Any] = {
            "base": self.bench.fingerprint,
            "messages": case.messages,
            "checked": CHECKED,
            "tokens": TOKENS,
            "recipe": dataclasses.asdict(case.recipe(self.seed)),
            "start": case.start.digests(),
            "until": case.until if math.isfinite(case.until) else None,
        }
        found = self.stored(name, identity, partial(self._measure, name, case))
        learnt, measured = self.pace
        curve = tuple((step, loss, tokens / learnt + read / measured) for step, loss, tokens, read in found["curve"])
        return Run(name, curve, found["test_step"], found["test"], found["ended"])

    @cached_property
    def pace(self) -> tuple[float, float]:
        """Tokens a second of training and of measuring, with all cores."""
        found = self.stored("pace", {"base": self.bench.fingerprint, "cores": platform.cores()}, self._pace)
        return found["learnt"], found["measured"]

    def _pace(self) -> dict[str, Any]:
        bench = Bench(self.bench.styles, platform.cores())
        samples = bench.samples(self.messages("4", 48).messages)
        for steps in (4, 12):  # kernels are compiled in the first
            ran = train(bench.decoder, samples, samples[:2], Recipe(steps, RANK, evaluate_every=steps))
        began = time.monotonic()
        evaluate(bench.decoder, samples)
        tokens = sum(len(tokens) for tokens, _ in samples)
        return {"learnt": ran.tokens / ran.train_seconds, "measured": tokens / (time.monotonic() - began)}

    def _measure(self, name: str, case: Case) -> dict[str, Any]:
        test = self.bench.samples(self.rows(case.style, "test")[:CHECKED])
        curve, factors, ended = self._trained(case)
        paths.writable(self.out)
        lowest = min(loss for _, loss, *_ in curve)
        mark = case.until if lowest <= case.until else lowest + NEAR
        first = next(index for index, (_, loss, *_) in enumerate(curve) if loss <= mark)
        gguf.write_adapter(factors[first], self.out / f"{name}.gguf", "F16")
        self.bench.decoder.begin(factors[first], RANK, case.recipe(0).scale, 0)
        tested = evaluate(self.bench.decoder, test)
        print(f"{name}: {lowest:.3f} in {curve[-1][0]} steps ({ended})", flush=True)
        return {"curve": curve, "test_step": curve[first][0], "test": tested, "ended": ended}

    def _trained(self, case: Case) -> tuple[list[tuple[int, float, int, int]], list[Adapter], str]:
        """(step, loss, tokens trained on, tokens measured) at each measurement, the adapters there, why it ended."""
        samples = self.bench.samples(self.messages(case.style, case.messages).messages)
        tuning = self.bench.samples(self.rows(case.style, "train")[TUNING:][:CHECKED])
        decoder, start = self.bench.decoder, case.start.adapter(RANK)
        curve: list[tuple[int, float, int, int]] = []
        lengths, read = [len(tokens) for tokens, _ in samples], sum(len(tokens) for tokens, _ in tuning)
        factors: list[Adapter] = []
        ended = ""

        def note(at: Progress) -> None:
            nonlocal ended
            if at.held_out is None:
                return
            seen = (lengths[i] for step in range(at.step) for i in batch_at(step, len(lengths), BATCH, self.seed))
            curve.append((at.step, at.held_out, sum(seen), read * (len(curve) + 1)))
            factors.append(decoder.adapter())
            if at.held_out <= case.until:
                ended = "target"
            elif at.step >= case.limit - EVERY and case.limit < STEPS:
                ended = "slower than another rate"
            if ended:
                raise _Enough

        with contextlib.suppress(_Enough):
            ended = train(decoder, samples, tuning, case.recipe(self.seed), start=start, progress=note).ended
        return curve, factors, ended

    def start(self, style: str, level: int, rows: int, messages: int) -> Start:
        """What a user of so many messages begins with.

        Raises:
            Missing: there is neither a cache nor the style's adapter.
        """
        folder, axes = self.adapters / str(rows), "measured" if self.measured_only else "all"
        told, path = folder / f"cache-{level}" / "catalogue.json", folder / f"{style}-{level}.gguf"
        if told.exists() and not self.oracle:
            identity: dict[str, Any] = {"style": style, "messages": messages, "catalogue": digest(told)}
            name, source = f"select-{axes}-{rows}-{style}-{level}-{messages}", str(told.parent)
            found = self.stored(name, identity, partial(self._select, source, style, messages))
            return Start(tuple((file, weight) for file, weight in found["files"]), found["seconds"], f"{axes} axes")
        if not path.exists():
            raise Missing(path.name)
        found = self.stored(f"select-{axes}", {"cores": platform.cores()}, partial(self._select, "embedded", "4", 50))
        return Start(((str(path), 1.0),), found["seconds"], "its style")

    def _select(self, source: str, style: str, messages: int) -> dict[str, Any]:
        corpus, cache = self.messages(style, messages), open_cache(open_source(source))
        chosen = select(corpus, cache, self.bench.base, measured_only=self.measured_only)
        return {"files": [[str(file), weight] for file, weight in chosen.files], "seconds": chosen.seconds}

    def scratch(self, style: str) -> tuple[Run, float, float, int]:
        """The best run from the base, the target, seconds to it at the soonest rate, and the messages needed."""
        runs = [self.run("scratch", Case(style, self.user, rate)) for rate in RATES]
        best = min(range(len(RATES)), key=lambda index: runs[index].lowest)
        target = runs[best].lowest + NEAR
        soonest = min(found[1] for run in runs if (found := run.reached(target)))
        for size in self.smaller():
            if self.run(f"scratch{self.user}", Case(style, size, RATES[best], until=target)).reached(target):
                return runs[best], target, soonest, size
        return runs[best], target, soonest, self.user

    def fastest(self, arm: str, case: Case) -> tuple[float, Run]:
        """The rate, and its run, that reaches `case.until` in the fewest steps, or comes nearest."""
        runs: dict[float, Run] = {}
        limit = STEPS
        for rate in RATES:
            runs[rate] = self.run(arm, dataclasses.replace(case, rate=rate, limit=limit))
            if found := runs[rate].reached(case.until):
                limit = min(limit, found[0])
            if limit <= EVERY:
                break
        rate = min(runs, key=lambda rate: (runs[rate].reached(case.until) or (math.inf,), runs[rate].lowest))
        return rate, runs[rate]

    def smaller(self) -> list[int]:
        """Four sizes of a user's messages below all."""
        return [self.user * fifth // 5 for fifth in range(1, 5)]

    def outcome(self, style: str, level: int, rows: int) -> Outcome:
        """Both arms of one user.

        Raises:
            Missing: an adapter, or with `stored_only` a run, that is not there.
        """
        start = self.start(style, level, rows, self.user)
        scratch, target, soonest, scratch_data = self.scratch(style)
        arm = f"from{rows}-{level}-user{self.user}"
        rate, warm = self.fastest(arm, Case(style, self.user, RATES[0], start, target))
        needed = self.user if warm.reached(target) else None
        for size in self.smaller() if needed else ():
            case = Case(style, size, rate, self.start(style, level, rows, size), target)
            if self.run(arm, case).reached(target):
                needed = size
                break
        user = f"style {style}" + (f", seed {self.seed}" if self.seed else "")
        ours, theirs = Arm.of(warm, target, needed, start.seconds), Arm.of(scratch, target, scratch_data)
        return Outcome(user, self.user, rows, level, start.name, start.chosen_by, target, theirs, soonest, ours)


def outcomes(
    warmstart: Warmstart, styles: Sequence[int], levels: Sequence[int], rows: int, missing: list[str]
) -> Iterator[Outcome]:
    """Every user at every level; what is not there is added to `missing`."""
    for style in styles:
        for level in levels:
            try:
                yield warmstart.outcome(str(style), level, rows)
            except Missing as error:
                missing.append(f"style {style} at {level} % from {rows} rows (no {error})")


def markdown(options: argparse.Namespace) -> str:
    """The report of the settings that `arguments` parses, and of earlier ones; makes the runs that are missing."""
    bench, missing = Bench(options.styles, options.threads), list[str]()
    beside = options.report.with_suffix(".json") if options.report else None
    known = {one.key: one for one in earlier(beside)}
    for rows, seed in product(options.rows, options.seeds):
        switches = (options.oracle, options.measured_only, options.stored)
        warmstart = Warmstart(bench, options.adapters, options.out, options.user, seed, *switches)
        known |= {one.key: one for one in outcomes(warmstart, options.styles_only, options.levels, rows, missing)}
    found = [known[key] for key in sorted(known)]
    if beside:
        keep(found, beside)
    parts = [PROTOCOL]
    for (messages, rows), group in groupby(found, key=lambda one: one.key[:2]):
        kind = "no more" if rows <= messages else "more"
        part = list(group)
        parts.append(f"### Adapters of {rows} rows ({kind} than the user's {messages} messages)")
        parts += [beside_the_paper(part), users(part)]
    parts.append(CAUSES)
    if missing:
        parts.append("Not measured: " + "; ".join(missing) + ".")
    return "\n\n".join(parts) + "\n"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, default=Path("runs/benchmark-adapters"))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-finetune/warmstart"))
    parser.add_argument("--rows", type=numbers, default=(50, 240), help="rows that adapters were trained on")
    parser.add_argument("--styles-only", type=numbers, default=(1, 4, 6, 7), help="styles of the users")
    parser.add_argument("--levels", type=numbers, default=tuple(PAPER), help="similarities, in per cent")
    parser.add_argument("--user", type=int, default=50, help="a user's messages")
    parser.add_argument("--seeds", type=numbers, default=(0,))
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--oracle", action="store_true", help="take the adapter of the user's own style")
    parser.add_argument("--measured-only", action="store_true", help="select by measured axes, which need no model")
    parser.add_argument("--stored", action="store_true", help="run nothing")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    return parser


def section(options: argparse.Namespace) -> str:
    """This benchmark as a part of another's report: `options` has styles, out, threads and adapters (or None)."""
    given = [
        "--styles",
        str(options.styles),
        "--out",
        str(options.out / "warmstart"),
        "--threads",
        f"{options.threads}",
    ]
    if options.adapters:
        given += ["--adapters", str(options.adapters)]
    return markdown(arguments().parse_args(given))


def main() -> None:
    options = arguments().parse_args()
    told = markdown(options)
    print("\n" + told)
    command = "```sh\npython benchmarks/warmstart.py --styles DIR --adapters DIR\n```"
    write_report(f"# What a warm start is worth\n\n{command}\n\n{told}", options.report)


if __name__ == "__main__":
    main()
