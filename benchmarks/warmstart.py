"""Time and data until scratch's best loss, from an adapter of the user's style, for similarities of 30 to 90 %.

    python -m benchmarks warmstart --styles DIR --adapters DIR [--rows 50,240] [--messages 50] [--of-styles 1,4]

Adapters are those of the benchmark `adapters`: DIR/ROWS/4-90.gguf. docs/benchmarks/warmstart.md has the protocol, and
docs/benchmarks/warmstart.json the outcomes of earlier runs, which the tables show too; with --report new ones are added
to both. Reads --styles, --adapters, --rows, --levels, --of-styles, --messages, --seeds, --threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path

from benchmarks.adapters import adapter_file
from benchmarks.figures import first_at
from benchmarks.outcomes import Arm, Outcome, read, tables, write
from benchmarks.report import REPORTS
from benchmarks.run import TOKENS, TUNING, Run, say
from benchmarks.store import Missing, Record
from xpert_cli import gguf, platform
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.gguf.adapter import Adapter, merge, recompress
from xpert_cli.hub.sources import open_source
from xpert_cli.paths import digest
from xpert_cli.selection.select import select
from xpert_cli.training.loop import Progress, Recipe, batch_at, evaluate, train

FIRST = 500  # training row of a user's first message
CHECKED = 16  # tuning rows, and as many test rows
RATES = (2e-3, 1e-3, 4e-3)  # likeliest first: a warm run ends where it cannot be sooner than an earlier one
STEPS, EVERY, PATIENCE, RANK, BATCH = 60, 5, 3, 8, 4
NEAR = 0.01  # nats a token above scratch's lowest loss
STYLES, ROWS = (1, 4, 6, 7), (50, 240)
OUTCOMES = REPORTS / "warmstart.json"


class _Enough(Exception):
    """Ends a run from its progress callback."""


@dataclass(frozen=True)
class Curve:
    """One training run: its measurements as (step, tuning loss) and seconds so far; `test` loss where it is told."""

    name: str
    curve: tuple[tuple[int, float], ...]
    seconds: tuple[float, ...]
    test: float

    @property
    def lowest(self) -> float:
        """The lowest tuning loss."""
        return min(loss for _, loss in self.curve)

    def reached(self, target: float) -> int | None:
        """Step of the first measurement at the target."""
        return first_at(self.curve, target)

    def arm(self, target: float, data: int | None, before: float = 0.0) -> Arm:
        """What the run shows; `before` are seconds that passed before it."""
        step = self.reached(target)
        times = [before + seconds for (at, _), seconds in zip(self.curve, self.seconds, strict=True) if at == step]
        return Arm(self.name, step, times[0] if times else None, data, self.lowest, self.curve[-1][0], self.test)


@dataclass(frozen=True)
class Case:
    """A run to make; it ends at a loss of `until`, or where it cannot be there before step `limit`.

    `style` is that of the user; `start` is an adapter, None for the base.
    """

    style: int
    messages: int
    rate: float
    start: Path | None = None
    until: float = -math.inf
    limit: int = STEPS

    def recipe(self, seed: int) -> Recipe:
        """Constant rate after warm-up, measured every few steps."""
        return Recipe(
            STEPS, RANK, 2.0, self.rate, decay=False, batch=BATCH, evaluate_every=EVERY, patience=PATIENCE, seed=seed
        )

    def adapter(self) -> Adapter | None:
        """What the run begins with; None for the base."""
        return None if self.start is None else recompress(merge([(gguf.read_adapter(self.start), 1.0)]), RANK)[0]


@dataclass(frozen=True, eq=False)
class Warmstart:
    """The runs of one seed, by name in the store of `warmstart`."""

    run: Run
    seed: int = 0

    @property
    def user(self) -> int:
        """A user's messages."""
        return self.run.options.messages

    def messages(self, style: int, count: int) -> tuple[Message, ...]:
        """A user's."""
        return self.run.rows(f"{style}_train")[FIRST : FIRST + count]

    def curve(self, arm: str, case: Case) -> Curve:
        """A run, stored or made now."""
        name = f"{case.style}-{arm}-messages{case.messages}-rate{case.rate:g}-seed{self.seed}"
        made_of = {
            "base": self.run.fingerprint,
            "messages": case.messages,
            "checked": CHECKED,
            "tokens": TOKENS,
            "recipe": case.recipe(self.seed).to_json(),
            "start": [] if case.start is None else [[digest(case.start), 1.0]],
            "until": case.until if math.isfinite(case.until) else None,
        }
        record = self.run.store.record(name, made_of, partial(self._measure, name, case))
        learning, reading = self.pace
        seconds = (learnt / learning + read / reading for _, _, learnt, read in record["curve"])
        curve = tuple((step, loss) for step, loss, *_ in record["curve"])
        return Curve(name, curve, tuple(seconds), record["test"])

    @cached_property
    def pace(self) -> tuple[float, float]:
        """Tokens a second of training and of measuring, with all cores."""
        made_of = {"base": self.run.fingerprint, "cores": platform.cores()}
        record = self.run.store.record("pace", made_of, self._pace)
        return record["learning"], record["reading"]

    def _pace(self) -> Record:
        run = Run(self.run.name, dataclasses.replace(self.run.options, threads=platform.cores()))
        samples = run.samples(self.messages(4, 48))
        for steps in (4, 12):  # kernels are compiled in the first
            result = train(run.decoder, samples, samples[:2], Recipe(steps, RANK, evaluate_every=steps))
        began = time.monotonic()
        evaluate(run.decoder, samples)
        tokens = sum(len(tokens) for tokens, _ in samples)
        return {"learning": result.tokens / result.train_seconds, "reading": tokens / (time.monotonic() - began)}

    def _measure(self, name: str, case: Case) -> Record:
        test = self.run.samples(self.run.rows(f"{case.style}_test")[:CHECKED])
        curve, factors, ended = self._trained(case)
        lowest = min(loss for _, loss, *_ in curve)
        mark = case.until if lowest <= case.until else lowest + NEAR
        first = next(index for index, (_, loss, *_) in enumerate(curve) if loss <= mark)
        self.run.decoder.begin(factors[first], RANK, case.recipe(0).scale, 0)
        tested = evaluate(self.run.decoder, test)
        say(f"{name}: {lowest:.3f} in {curve[-1][0]} steps ({ended})")
        return {"curve": curve, "test_step": curve[first][0], "test": tested, "ended": ended}

    def _trained(self, case: Case) -> tuple[list[tuple[int, float, int, int]], list[Adapter], str]:
        """(step, loss, tokens trained on, tokens measured) at each measurement, the adapters there, why it ended."""
        samples = self.run.samples(self.messages(case.style, case.messages))
        tuning = self.run.samples(self.run.rows(f"{case.style}_train")[TUNING:][:CHECKED])
        decoder, factors, ended = self.run.decoder, list[Adapter](), ""
        curve: list[tuple[int, float, int, int]] = []
        lengths, read = [len(tokens) for tokens, _ in samples], sum(len(tokens) for tokens, _ in tuning)

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
            ended = train(decoder, samples, tuning, case.recipe(self.seed), start=case.adapter(), progress=note).ended
        return curve, factors, ended

    def selecting(self) -> float:
        """Seconds of one selection for 50 messages from the packaged cache."""

        def measure() -> Record:
            corpus, cache = Corpus(self.messages(4, 50)), open_cache(open_source("embedded"))
            return {"seconds": select(corpus, cache, self.run.base, measured_only=True).seconds}

        return float(self.run.store.record("select", {"cores": platform.cores()}, measure)["seconds"])

    def scratch(self, style: int) -> tuple[Curve, float, float, int]:
        """The best run from the base, the target, seconds to it at the soonest rate, and the messages needed."""
        runs = [self.curve("scratch", Case(style, self.user, rate)) for rate in RATES]
        best = min(range(len(RATES)), key=lambda index: runs[index].lowest)
        target = runs[best].lowest + NEAR
        soonest = min(arm.seconds for run in runs if (arm := run.arm(target, None)).seconds is not None)
        for size in self.smaller():
            case = Case(style, size, RATES[best], until=target)
            if self.curve(f"scratch{self.user}", case).reached(target) is not None:
                return runs[best], target, soonest, size
        return runs[best], target, soonest, self.user

    def fastest(self, arm: str, case: Case) -> tuple[float, Curve]:
        """The rate, and its run, that reaches `case.until` in the fewest steps, or comes nearest."""
        runs: dict[float, Curve] = {}
        limit = STEPS
        for rate in RATES:
            runs[rate] = self.curve(arm, dataclasses.replace(case, rate=rate, limit=limit))
            if (step := runs[rate].reached(case.until)) is not None:
                limit = min(limit, step)
            if limit <= EVERY:
                break

        def order(rate: float) -> tuple[float, float]:
            step = runs[rate].reached(case.until)
            return math.inf if step is None else step, runs[rate].lowest

        rate = min(runs, key=order)
        return rate, runs[rate]

    def smaller(self) -> list[int]:
        """Four sizes of a user's messages below all."""
        return [self.user * fifth // 5 for fifth in range(1, 5)]

    def outcome(self, style: int, level: int, rows: int) -> Outcome:
        """Both arms of one user.

        Raises:
            Missing: the adapter, or with `stored` a run, is not there.
        """
        path = adapter_file(self.run, style, level, rows)
        if not path.exists():
            raise Missing(path.name)
        scratch, target, soonest, scratch_data = self.scratch(style)
        arm = f"from{rows}-{level}-user{self.user}"
        rate, warm = self.fastest(arm, Case(style, self.user, RATES[0], path, target))
        needed = self.user if warm.reached(target) is not None else None
        for size in self.smaller() if needed else ():
            if self.curve(arm, Case(style, size, rate, path, target)).reached(target) is not None:
                needed = size
                break
        user = f"style {style}" + (f", seed {self.seed}" if self.seed else "")
        ours, theirs = warm.arm(target, needed, self.selecting()), scratch.arm(target, scratch_data)
        return Outcome(user, self.user, rows, level, path.stem, "its style", target, theirs, soonest, ours)


def measured(run: Run) -> list[Outcome]:
    """Every user asked for at every level; what is not there is left out with a line."""
    options, outcomes = run.options, []
    for rows, seed in product(options.rows or ROWS, options.seeds):
        warmstart = Warmstart(run, seed)
        for style, level in product(options.of_styles or STYLES, options.levels):
            try:
                outcomes.append(warmstart.outcome(style, level, rows))
            except Missing as error:
                say(f"style {style} at {level} % from {rows} rows is left out: there is no {error}")
    return outcomes


def outcomes(run: Run) -> str:
    """What this run measures and what earlier ones did."""
    return merged(measured(run), OUTCOMES, run.options.report)


def merged(new: Sequence[Outcome], path: Path, update: bool) -> str:
    """Tables of new outcomes and those in a file, which is updated where that is wanted."""
    known = {one.key: one for one in (*read(path), *new)}
    if update:
        write([known[key] for key in sorted(known)], path)
    return tables(list(known.values()))


PARTS = {"outcomes": outcomes}
