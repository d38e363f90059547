"""The paper's Algorithm 1 as it stands: how many words it keeps, how well its coordinates select, and which words.

    python benchmarks/algorithm1.py --styles DIR --adapters DIR [--summarizers FILE...] [--report FILE]

Adapters are those of one similarity that benchmarks/adapters.py made, one a style; each is placed by its answers to
the first --probes probes against the base's. Users are 10 draws with replacement of 20 among a style's first --pool
test rows, placed by the same question against the base's answers to the same prompts, and given the adapter at the
smallest Euclidean distance on the words' axes alone. States are kept under --out, so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _candidates import STYLES, Level, Reader, levels
from _common import Bench, interval, table, write_report
from _pairs import Asked, collect, cosines, reference, words

from xpert_cli import gguf, platform
from xpert_cli.paper import two_answers
from xpert_cli.paper.basis import ORTHOGONALITY, RESIDUAL, Basis, grow
from xpert_cli.paths import whole
from xpert_cli.style import described
from xpert_cli.style.space import Floats

USERS, SAMPLES = 10, 20
READINGS: tuple[two_answers.Reading, ...] = ("raw", "neutral", "swapped")
Vectors = Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Seen:
    """All that one summarizer told.

    Attributes:
        probes, rows: order -> (pairs, styles, hidden) states of the adapters' and of the users' answers.
        ranked: each adapter's likeliest words.
        worded: order -> word -> (hidden,) state.
    """

    probes: Mapping[str, Floats]
    rows: Mapping[str, Floats]
    ranked: list[list[str]]
    worded: Mapping[str, Vectors]

    def adapters(self, reading: two_answers.Reading) -> Floats:
        """(adapters, hidden) V of each adapter."""
        return np.asarray(two_answers.combined(self.probes, reading).mean(axis=0))

    def users(self, reading: two_answers.Reading) -> Floats:
        """(styles, USERS, hidden) V of each user; the draws are those of every other reading."""
        each = two_answers.combined(self.rows, reading)
        draw = np.random.default_rng(0)
        picks = draw.integers(0, len(each), (len(STYLES), USERS, SAMPLES))
        return np.stack([each[pick, style].mean(axis=1) for style, pick in enumerate(picks)])

    def vectors(self, reading: two_answers.Reading, centred: bool) -> Vectors:
        """Word -> (hidden,) vector; centred: less the anchors' mean."""
        told = {order: np.stack(list(self.worded[order].values())) for order in ("ab", "ba")}
        names = list(self.worded["ab"])
        # States of the word that the plain answer states cancel in a centred neutral reading.
        found = two_answers.combined(told | {"bb": self.worded["ab"][two_answers.ORDINARY]}, reading)
        if centred:
            found = found - np.mean([found[names.index(word)] for word in two_answers.anchors()], axis=0)
        return dict(zip(names, found, strict=True))


@dataclass(frozen=True)
class Outcome:
    """What growing the basis over all adapters gave; `kept` and `looked` after each adapter."""

    basis: Basis
    kept: list[int]
    looked: list[int]
    reached: int
    formula: list[float]
    least_squares: list[float]


def grown(
    seen: Seen,
    reading: two_answers.Reading,
    centred: bool,
    orthogonality: float = ORTHOGONALITY,
    residual: float = RESIDUAL,
) -> Outcome:
    """Algorithm 1 over the adapters in the catalogue's order; a word that was looked at is not looked at again."""
    vectors, v = seen.vectors(reading, centred), seen.adapters(reading)
    basis, done, steps = Basis.empty(v.shape[1]), set[str](), []
    for own, ranked in zip(v, seen.ranked, strict=True):
        fresh = ((word, vectors[word]) for word in ranked if word not in done)
        step = grow(basis, own, fresh, orthogonality=orthogonality, residual=residual)
        basis = step.basis
        done |= set(step.words)
        steps.append((len(basis), len(done), step.formula, step.least_squares, step.reached))
    kept, looked, formula, squares, reached = (list(column) for column in zip(*steps, strict=True))
    return Outcome(basis, kept, looked, sum(reached), formula, squares)


def right(users: Floats, adapters: Floats) -> str:
    """Share of users whose nearest adapter is their style's, with Wilson's 95 % interval."""
    distances = np.linalg.norm(users[:, :, None] - adapters[None, None], axis=-1)
    hits = int((distances.argmin(axis=-1) == np.arange(len(users))[:, None]).sum())
    total = distances.shape[0] * distances.shape[1]
    low, high = (100 * end for end in interval(hits, total))
    return f"{100 * hits / total:.1f} % ({low:.0f}-{high:.0f})"


def by_reading(seen: Seen) -> str:
    """One row a reading: what the paper's thresholds keep, and how well the kept words select."""
    rows = []
    for reading in READINGS:
        v, users = seen.adapters(reading), seen.users(reading)
        common = cosines(v, v)[np.triu_indices(len(v), 1)].mean()
        each = two_answers.combined(seen.probes, reading)
        halves = np.diag(cosines(each[::2].mean(axis=0), each[1::2].mean(axis=0))).mean()
        for centred in (False, True):
            one = grown(seen, reading, centred)
            basis = one.basis
            rows.append(
                (
                    f"{reading}, words {'centred' if centred else 'as they are'}",
                    f"{common:.3f} / {halves:.3f}",
                    f"{one.kept[3]} / {one.looked[3]}",
                    f"{one.kept[-1]} / {one.looked[-1]}",
                    f"{np.mean(one.formula):.2f} / {np.mean(one.least_squares):.2f}",
                    right(basis.coordinates(users), basis.coordinates(v)),
                    right(basis.least_squares(users), basis.least_squares(v)),
                    right(users, v),
                )
            )
    head = (
        "reading",
        "cosine of adapters",
        "4 adapters: kept / looked at",
        "8 adapters",
        "left: formula / least squares",
    )
    return table((*head, "formula", "least squares", "whole state"), rows)


def by_threshold(seen: Seen, reading: two_answers.Reading, centred: bool) -> str:
    """Tables 8 and 9 of the paper: orthogonality, then residual; and every word kept."""
    paper = {(0.01, 0.2): "-", (0.1, 0.2): "96.4 %", (0.5, 0.2): "60.7 %", (0.1, 0.02): "-", (0.1, 0.6): "14.3 %"}
    paper[1.1, 0.02] = "not tried"
    rows = []
    for (orthogonality, residual), told in paper.items():
        one = grown(seen, reading, centred, orthogonality, residual)
        basis, v, users = one.basis, seen.adapters(reading), seen.users(reading)
        accuracy = [right(of(users), of(v)) for of in (basis.coordinates, basis.least_squares)]
        left = f"{np.mean(one.formula):.2f} / {np.mean(one.least_squares):.2f}"
        rows.append(
            (
                orthogonality if orthogonality < 1 else "every word",
                residual,
                f"{one.kept[-1]} / {one.looked[-1]}",
                one.reached,
                left,
                *accuracy,
                told,
            )
        )
    head = ("orthogonality", "residual", "kept / looked at", "adapters approximated", "left: formula / squares")
    return table((*head, "first is right: formula", "least squares", "paper, 90 %"), rows)


def by_adapter(seen: Seen, reading: two_answers.Reading, centred: bool) -> str:
    """The three words with the largest coordinates of each adapter, against the mean of all of them as well."""
    basis, v = grown(seen, reading, centred).basis, seen.adapters(reading)
    vectors = seen.vectors(reading, centred)
    units = np.stack([vector / np.linalg.norm(vector) for vector in vectors.values()])

    def strongest(names: list[str], z: Floats) -> str:
        return ", ".join(f"{names[i]} {z[i]:+.1f}" for i in np.argsort(-abs(z), kind="stable")[:3])

    rows = [
        (
            name,
            ", ".join(ranked[:3]),
            strongest(list(basis.words), basis.coordinates(own)),
            strongest(list(vectors), units @ (own - v.mean(axis=0))),
        )
        for name, ranked, own in zip(STYLES.values(), seen.ranked, v, strict=True)
    ]
    return table(("adapter", "likeliest", "largest coordinates", "of all words, against the other adapters"), rows)


def asked(
    reader: Reader, level: Level, probes: int, pool: int, say: Callable[[str], None]
) -> tuple[list[Asked], list[Asked]]:
    """What is asked about: the adapters' answers to probes, and the users' test rows."""
    base, out = reader.bench.base, reader.out
    plain_ones, *styled = reader.answers(level)
    about = [
        Asked(prompt, plain_ones[i], tuple(answers[i] for answers in styled))
        for i, prompt in enumerate(described.probes()[:probes])
    ]
    tests = [reader.bench.rows(f"{style}_test")[:pool] for style in STYLES]
    prompts = [message.prompt or "" for message in tests[0]]
    plain = out / f"plain-{gguf.fingerprint(base)[:20]}.json"
    if not plain.exists() or len(json.loads(plain.read_text("utf-8"))) < pool:
        say("base answers")
        with whole(plain) as part:
            part.write_text(json.dumps(two_answers.answered(base, prompts)), "utf-8")
    told = json.loads(plain.read_text("utf-8"))
    return about, [Asked(prompts[i], told[i], tuple(test[i].response for test in tests)) for i in range(pool)]


def report(name: str, seen: Seen, styled: list[tuple[str, float, float, int]]) -> str:
    """Markdown of one summarizer."""
    told = [
        (word, "rewritten as it was", "", "") if np.isnan(cosine) else (word, f"{cosine:.2f}", f"{centred:.2f}", place)
        for word, cosine, centred, place in styled
    ]
    head = ("word", "cosine", "the ten words' mean taken out", "place among the ten")
    return "\n".join(
        [
            f"\n## {name}\n\n### Readings, at orthogonality {ORTHOGONALITY} and residual {RESIDUAL}\n",
            by_reading(seen),
            f"\n### Thresholds: neutral, words centred\n\n{by_threshold(seen, 'neutral', True)}",
            f"\n### Words: neutral, centred\n\n{by_adapter(seen, 'neutral', True)}",
            f"\n### Words placed by prompt and by styled texts\n\n{table(head, told)}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, help="what benchmarks/adapters.py wrote")
    parser.add_argument("--level", type=int, default=90, help="similarity; 100 is the packaged cache")
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--summarizers", type=Path, nargs="*", help="GGUF files; the base itself by default")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-algorithm1"))
    parser.add_argument("--probes", type=int, default=20)
    parser.add_argument("--pool", type=int, default=20, help="test rows of a style that users are drawn from")
    parser.add_argument("--candidates", type=int, default=300, help="words of an adapter that are looked at, at most")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.styles, options.threads)
    found = {level.similarity: level for level in levels(bench, options.adapters)[0]}
    if options.level not in found:
        parser.error(f"there are no eight adapters of {options.level} %: --adapters")

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    about, people = asked(Reader(bench, options.out), found[options.level], options.probes, options.pool, say)
    parts = [INTRODUCTION.format(**vars(options), users=USERS, samples=SAMPLES, words=two_answers.WORDS)]
    for summarizer in options.summarizers or [bench.base]:
        name = gguf.fingerprint(summarizer)
        probes, rows = (collect(summarizer, name, some, options.out, say) for some in (about, people))
        ranked, worded = words(summarizer, name, probes["ab"].mean(axis=0), options.candidates, options.out, say)
        seen = Seen(probes, rows, ranked, worded)
        styled = reference(summarizer, name, about, worded["ab"], options.out, say)
        parts.append(report(summarizer.stem, seen, styled))
        print(parts[-1], flush=True)
    write_report("\n".join(parts) + "\n", options.report)


INTRODUCTION = """# The paper's Algorithm 1, measured

```sh
python benchmarks/algorithm1.py --styles DIR --adapters DIR --probes {probes} --pool {pool} --candidates {candidates}
```

Eight adapters, one a style, are placed by the two-answer question (`prompts/compare.txt`) over {probes} probes,
against the base's answers. A user is {samples} draws with replacement among the first {pool} test rows of a style,
{users} users a style, placed against the base's answers to the same prompts. Answers are cut to {words} words. The
adapter at the smallest Euclidean distance on the kept words is selected (chance 12.5 %; Wilson's 95 % intervals, too
narrow, since draws share rows). *Left* is the mean over adapters of what the coordinates leave of V. Words are whole
ones, the likeliest first, {candidates} an adapter at most; *looked at* counts each once. *Whole state* is the nearest V
without any words. *Cosines*: the mean of two adapters' V, and of one adapter's from the odd and the even probes: what
agrees between the halves is no noise. Adapters are of {level} % similarity; the
paper's figures are at 90 % with an 8B summarizer.
"""

if __name__ == "__main__":
    main()
