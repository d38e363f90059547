"""Is the confidence of a selection calibrated, does it notice when no adapter fits, and does one text change it?

    python benchmarks/certainty.py --styles DIR [--report docs/benchmarks/certainty.md]

Users are random draws among the first 60 test rows of a style; candidates are the embedded cache's eight adapters, or
the seven others where the style is taken out. Constants are set on tuning rows (training rows 750-789 of every style).
Selection from this cache counts and asks no model, and so does this: some minutes. Not here: accuracy by level
(selection.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _common import TUNING, interval, table, write_report

from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import PASSAGE, Corpus, read
from xpert_cli.corpus.formats import parse
from xpert_cli.hub.sources import open_source
from xpert_cli.selection import score
from xpert_cli.style.measured import measure_all
from xpert_cli.style.space import Floats, Readings, Space, measured

POOL, TUNED, PLAIN = 60, 40, 40  # test, tuning and plain-text rows of a style
SIZES, DRAWS = (5, 10, 20), 50  # texts a user; users of a style and size
LONGER = 50
FIRST = (0, 1, 2, 3)  # styles that constants are set on, to be shown on the others
LIMITS = (0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2)
FALSE = 0.05

ABOUT = f"""# How sure is a selection?

```sh
python benchmarks/certainty.py --styles DIR --report docs/benchmarks/certainty.md
```

{DRAWS} users of each of eight styles and of {", ".join(map(str, SIZES))} texts, drawn among the first {POOL} test rows
of the style; candidates are the embedded cache's eight adapters, placed by their training text. Constants are set on
{TUNED} tuning rows a style. Shares carry Wilson's 95 % interval, calibration errors a bootstrap's over users; users
share texts, so both are too narrow. *Taken out*: the adapter of the user's own style is not in the cache; the right one
is then the one nearest to the style's other texts. The confidence says which of the adapters is right if one is, and
does not say whether one is."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class User:
    """Texts of one style: their readings, and where the style's other texts lie on average."""

    style: int
    readings: Readings
    others: Floats


@dataclass(frozen=True, eq=False)
class Cache:
    """A style space and adapters in it, one a style."""

    space: Space
    adapters: Floats

    def without(self, style: int) -> Floats:
        return np.delete(self.adapters, style, axis=0)

    def first(self, mean: Floats, adapters: Floats) -> int:
        shift = self.space.shift(mean, writing=True)
        return int(np.argmax(score.direction_scores(shift, adapters, self.space.precision)))

    def only(self, keep: Flags) -> Cache:
        return Cache(self.space.only(keep), self.adapters[:, keep])


def rows(path: Path, start: int, count: int) -> list[str]:
    return list(read([str(path)]).texts[start : start + count])


def users(pools: Sequence[Floats], size: int, draws: int) -> Iterator[User]:
    draw = np.random.default_rng(size)
    for style, pool in enumerate(pools):
        for _ in range(draws):
            order = draw.permutation(len(pool))
            yield User(style, Readings(pool[order[:size]]), Readings(pool[order[size:]]).mean)


def share(hits: Sequence[bool] | Flags) -> str:
    """A share in per cent with Wilson's 95 % interval."""
    low, high = interval(float(np.sum(hits)), len(hits))
    return f"{100 * float(np.mean(hits)):.1f} % ({100 * max(0.0, low):.1f}-{100 * high:.1f})"


# -- calibration

Judged = tuple[Floats, Flags]  # confidences, and whether the first was right


def judge(people: Sequence[User], cache: Cache, told: Callable[[User, Floats], float], out: bool = False) -> Judged:
    """With its style taken out, right is the adapter nearest to the style's other texts."""
    sure, right = [], []
    for user in people:
        adapters = cache.without(user.style) if out else cache.adapters
        truth = cache.first(user.others, adapters) if out else user.style
        sure.append(told(user, adapters))
        right.append(cache.first(user.readings.mean, adapters) == truth)
    return np.array(sure), np.array(right)


def modelled(user: User, adapters: Floats, cache: Cache, **constants: float) -> float:
    return score.confidence(user.readings, adapters, cache.space, **constants)


def resampled(user: User, adapters: Floats, cache: Cache) -> float:
    """The simple alternative: the share of bootstrap draws of the texts in which the first stays first."""
    draw, values = np.random.default_rng(0), user.readings.values
    best = cache.first(user.readings.mean, adapters)
    picks = draw.integers(0, len(values), (100, len(values)))
    return float(np.mean([cache.first(Readings(values[pick]).mean, adapters) == best for pick in picks]))


def calibration_error(sure: Floats, right: Flags) -> float:
    """Expected calibration error over ten bins of equal width (Naeini et al. 2015)."""
    bins = np.minimum((10 * sure).astype(int), 9)
    return float(sum(abs((sure - right)[bins == one].sum()) for one in range(10)) / len(sure))


def calibration_line(judged: Judged) -> list[str]:
    sure, right = judged
    draw = np.random.default_rng(0)
    picks = draw.integers(0, len(sure), (500, len(sure)))
    low, high = np.quantile([calibration_error(sure[pick], right[pick]) for pick in picks], (0.025, 0.975))
    error, brier = calibration_error(sure, right), float(((sure - right) ** 2).mean())
    return [share(right), f"{100 * sure.mean():.1f} %", f"{error:.3f} ({low:.3f}-{high:.3f})", f"{brier:.3f}"]


def fitted(people: Sequence[User], cache: Cache) -> tuple[float, float]:
    """The PLACED of the largest likelihood, and the FITS that FALSE of the users exceed."""
    found: dict[float, float] = {}
    for placed in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5):
        sure, right = judge(people, cache, partial(modelled, cache=cache, placed=placed))
        found[placed] = -float(np.log(np.clip(np.where(right, sure, 1 - sure), 1e-6, 1)).mean())
    angles = [score.misfit(user.readings, cache.adapters, cache.space) for user in people]
    return min(found, key=found.__getitem__), float(np.quantile(angles, 1 - FALSE))


def calibration(people: Sequence[User], tuning: Sequence[User], cache: Cache) -> str:
    placed, _ = fitted([user for user in tuning if user.style in FIRST], cache)
    rest = [user for user in people if user.style not in FIRST]
    here, there = partial(modelled, cache=cache), partial(modelled, cache=cache, placed=placed)
    lines = [["all", *calibration_line(judge(people, cache, here))]]
    for size in SIZES:
        some = [user for user in people if len(user.readings) == size]
        lines.append([f"{size} texts", *calibration_line(judge(some, cache, here))])
    lines.append([f"styles 5-8; PLACED {placed} from styles 1-4", *calibration_line(judge(rest, cache, there))])
    lines.append(["their style taken out", *calibration_line(judge(people, cache, here, out=True))])
    lines.append(["bootstrap instead", *calibration_line(judge(people, cache, partial(resampled, cache=cache)))])
    head = ["users", "first is right", "mean confidence", "calibration error (goal: at most 0.050)", "Brier"]
    best = fitted(tuning, cache)
    used = f"On tuning rows PLACED {best[0]} is likeliest, and 5 % of the users have a tan² above {best[1]:.2f}."
    return f"{table(head, lines)}\n\n{used} Used: {score.PLACED} and {score.FITS}."


# -- none, or a mixture


def fit(people: Sequence[User], cache: Cache) -> str:
    """How often a single adapter is not enough, by number of texts, with the style there and taken out."""
    head = [
        "users",
        "style there: none or mixture",
        "taken out: none or mixture",
        "none",
        "nearer to the style by mixing",
    ]
    lines = []
    for name, size in (("all", 0), *((f"{size} texts", size) for size in SIZES)):
        some = [user for user in people if size in (0, len(user.readings))]
        there = [score.choose(user.readings, cache.adapters, cache.space) for user in some]
        gone = [score.choose(user.readings, cache.without(user.style), cache.space) for user in some]
        mixed = [nearer(user.style, parts, cache) for user, parts in zip(some, gone, strict=True) if len(parts) > 1]
        shares = [share([len(parts) != 1 for parts in both]) for both in (there, gone)]
        lines.append([name, *shares, share([not parts for parts in gone]), share(mixed)])
    lines.append(["goal", "at most 5 %", "at least 80 %", "", ""])
    return table(head, lines)


def nearer(style: int, parts: dict[int, float], cache: Cache) -> bool:
    """Whether a mixture lies nearer to the adapter that was taken out than the best of its parts."""
    others, precision = cache.without(style), cache.space.precision
    mixed = np.array(list(parts.values())) @ others[list(parts)]
    scores = score.direction_scores(cache.adapters[style], np.vstack([mixed, others[list(parts)]]), precision)
    return bool(scores[0] > scores[1:].max())


def trade(people: Sequence[User], tuning: Sequence[User], cache: Cache) -> str:
    """False and true alarms for limits on the angle; the last line's limit is set on the first styles."""

    def alarms(limit: float, some: Sequence[User]) -> list[str]:
        found = []
        for size in SIZES:
            at = [(there[id(user)], gone[id(user)]) for user in some if len(user.readings) == size]
            found.append(" / ".join(f"{100 * np.mean([pair[end] > limit for pair in at]):.0f} %" for end in (0, 1)))
        return found

    there = {id(user): score.misfit(user.readings, cache.adapters, cache.space) for user in people}
    gone = {id(user): score.misfit(user.readings, cache.without(user.style), cache.space) for user in people}
    lines = [[f"{limit}", *alarms(limit, people)] for limit in LIMITS]
    limit = fitted([user for user in tuning if user.style in FIRST], cache)[1]
    rest = [user for user in people if user.style not in FIRST]
    lines.append([f"{limit:.2f} (set on styles 1-4, shown on 5-8)", *alarms(limit, rest)])
    return table(["tan² above", *(f"{size} texts" for size in SIZES)], lines)


# -- one text more or less, and plain text


def picked(readings: Readings, cache: Cache) -> tuple[int, list[int]]:
    """The adapter ranked first, and those that are selected."""
    return cache.first(readings.mean, cache.adapters), sorted(score.choose(readings, cache.adapters, cache.space))


def robustness(pools: list[Floats], long: list[Floats], cache: Cache) -> str:
    draw = np.random.default_rng(1)
    lines = []
    for size, draws in ((20, 12), (POOL, 1)):
        changed: dict[str, list[tuple[bool, bool]]] = {"deleted": [], f"made {LONGER} times longer": []}
        for pool, stretched in zip(pools, long, strict=True):
            for _ in range(draws):
                rows = draw.choice(len(pool), size, replace=False)
                before = picked(Readings(pool[rows]), cache)
                for place, row in enumerate(rows):
                    without = picked(Readings(pool[np.delete(rows, place)]), cache)
                    values = pool[rows].copy()
                    values[place] = stretched[row]
                    longer = picked(Readings(values), cache)
                    for after, found in zip((without, longer), changed.values(), strict=True):
                        found.append((after[0] != before[0], after[1] != before[1]))
        for name, found in changed.items():
            lines.append([f"one of {size} texts {name}", *(share([one[end] for one in found]) for end in (0, 1))])
    return table(["change", "another is first (goal: under 5 %)", "other adapters are selected"], lines)


def plain(texts: list[list[str]], pools: list[Floats], cache: Cache) -> str:
    """Whole responses, and what is read from them as plain text: each as one paragraph, or as the paragraphs it has."""
    places = np.array([not axis.length for axis in cache.space.axes])
    timeless = cache.only(places)
    flat = [measure_all([" ".join(text.split()) for text in some[:PLAIN]])[:, places] for some in texts]
    parsed = [[parse("plain.txt", text) for text in some[:PLAIN]] for some in texts]
    passages = [[measure_all(Corpus(tuple(own)).passages)[:, places] for own in some] for some in parsed]
    paragraphs = [[measure_all([one.response for one in own])[:, places] for own in some] for some in parsed]
    lines = []
    for size in (5, 20):
        right: list[list[bool]] = [[] for _ in range(4)]
        draw = np.random.default_rng(size)
        for style, pool in enumerate(pools):
            for _ in range(DRAWS):
                rows = draw.choice(PLAIN, size, replace=False)
                given = (
                    (pool[rows], cache),
                    (flat[style][rows], timeless),
                    (np.concatenate([passages[style][row] for row in rows]), timeless),
                    (np.concatenate([paragraphs[style][row] for row in rows]), timeless),
                )
                for found, (values, where) in zip(right, given, strict=True):
                    found.append(where.first(Readings(values).mean, where.adapters) == style)
        lines.append([size, *map(share, right)])
    kinds = ["prompt-response", "each response one plain paragraph", "as its own paragraphs", "the same, not joined"]
    why = f"""Plain text does not show how long messages are, so its axes of length are left out; its paragraphs are
joined to {PASSAGE} words, for words counted in short pieces read low."""
    return f"{table(['texts', *kinds], lines)}\n\n{why}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    opened = open_cache(open_source("embedded"))
    cache = Cache(opened.space, opened.coordinates).only(measured(opened.space.axes))
    styles = [options.styles / f"{style}" for style in range(1, 9)]
    texts = [rows(path.with_name(f"{path.name}_test.jsonl"), 0, POOL) for path in styles]
    tuning = [rows(path.with_name(f"{path.name}_train.jsonl"), TUNING, TUNED) for path in styles]
    pools, tuned = ([measure_all(some) for some in part] for part in (texts, tuning))
    people = [user for size in SIZES for user in users(pools, size, DRAWS)]
    trying = [user for size in SIZES for user in users(tuned, size, DRAWS)]
    long = [measure_all(["\n\n".join([text] * LONGER) for text in some]) for some in texts]
    parts = {
        "Confidence": calibration(people, trying, cache),
        "None fits, or a mixture": fit(people, cache),
        "The trade-off: alarms with the style there / taken out": trade(people, trying, cache),
        "One text more or less": robustness(pools, long, cache),
        "Plain text without prompts: the right adapter is first": plain(texts, pools, cache),
    }
    report = "\n\n".join([ABOUT, *(f"## {title}\n\n{part}" for title, part in parts.items())]) + "\n"
    print(report)
    write_report(report, options.report)


if __name__ == "__main__":
    main()
