"""Are nearness and confidence of a selection calibrated, and is it noticed when no adapter fits?

    python -m benchmarks certainty --styles DIR [--only confidence]

Users are random draws among the first 60 test rows of a style; candidates are the embedded cache's eight adapters, or
the seven others where the style is taken out. Selection from this cache counts and asks no model, and so does this:
some minutes, and nothing is stored. Reads --styles. Not here: accuracy by level (selection.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmarks.figures import calibration_error, share_text
from benchmarks.persons import Cached
from benchmarks.report import table
from benchmarks.run import STYLES, Run
from benchmarks.selection import packaged
from xpert_cli.selection import score
from xpert_cli.style.space import Floats, Readings

SIZES, DRAWS = (5, 10, 20), 50  # texts a user; users of a style and size

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class User:
    """Texts of one style: their readings, and those of the style's other texts."""

    style: int
    readings: Readings
    others: Readings


def without(cache: Cached, style: int) -> Floats:
    """The adapters of the other styles."""
    return np.delete(cache.places, style, axis=0)


def first(cache: Cached, readings: Readings, adapters: Floats) -> int:
    """The adapter ranked first for some texts."""
    return int(np.argmax(score.scores(cache.space.position(readings), adapters, cache.space)))


@lru_cache(maxsize=1)
def setting(run: Run) -> tuple[Cached, list[User]]:
    """The packaged cache, and the users drawn from every style's texts."""
    cache = packaged(run)
    return cache, [user for size in SIZES for user in users(cache.pools, size)]


def users(pools: Sequence[Floats], size: int) -> list[User]:
    """DRAWS users of each style, of so many texts."""
    draw, drawn = np.random.default_rng(size), []
    for style, pool in enumerate(pools):
        for _ in range(DRAWS):
            order = draw.permutation(len(pool))
            drawn.append(User(style, Readings(pool[order[:size]]), Readings(pool[order[size:]])))
    return drawn


def share(hits: Sequence[bool] | Flags) -> str:
    """A share in per cent with its interval."""
    return share_text(float(np.sum(hits)), len(hits), digits=1, unit=" %")


def by_size(people: Sequence[User]) -> dict[str, list[User]]:
    """All users, then those of each number of texts."""
    sizes = {f"{size} texts": [user for user in people if len(user.readings) == size] for size in SIZES}
    return {"all": list(people), **sizes}


def confidence(run: Run) -> str:
    """How often the first is right, and the errors of the confidence that it is.

    With its style taken out, right is the adapter nearest to the style's other texts.
    """
    cache, people = setting(run)
    lines = [[name, *_judged(some, cache)] for name, some in by_size(people).items()]
    lines += [[name, *_judged(people, cache, adapters)] for name, adapters in CANDIDATES.items()]
    return table(("users", "first is right", "mean confidence", "calibration error", "Brier"), lines)


def _judged(
    people: Sequence[User],
    cache: Cached,
    candidates: Callable[[Cached, User], Floats] = lambda cache, user: cache.places,
) -> list[str]:
    sure, right = np.empty(len(people)), np.empty(len(people), np.bool_)
    for at, user in enumerate(people):
        adapters = candidates(cache, user)
        sure[at] = score.confidence(user.readings, adapters, cache.space)
        own = np.flatnonzero((adapters == cache.places[user.style]).all(axis=1))
        truth = int(own[0]) if len(own) else first(cache, user.others, adapters)
        right[at] = first(cache, user.readings, adapters) == truth
    picks = np.random.default_rng(0).integers(0, len(sure), (500, len(sure)))
    low, high = np.quantile([calibration_error(sure[pick], right[pick]) for pick in picks], (0.025, 0.975))
    error, brier = calibration_error(sure, right), float(((sure - right) ** 2).mean())
    return [share(right), f"{100 * sure.mean():.1f} %", f"{error:.3f} ({low:.3f}-{high:.3f})", f"{brier:.3f}"]


def nearness(run: Run) -> str:
    """How near the first adapter is said to be, how near it is by the style's other texts, and who is told "none"."""
    (cache, people), lines = setting(run), []
    kinds = {"their style there": lambda cache, user: cache.places, **CANDIDATES}
    for name, candidates in kinds.items():
        for size in SIZES:
            stated, true, none = [], [], []
            for user in by_size(people)[f"{size} texts"]:
                adapters = candidates(cache, user)
                stated.append(score.nearness(user.readings, adapters, cache.space))
                true.append(score.nearness(user.others, adapters, cache.space))
                none.append(not score.choose(user.readings, adapters, cache.space))
            low, high = np.quantile(stated, (0.1, 0.9))
            off = np.array(stated) - true
            row = (f"{np.mean(stated):.2f} ({low:.2f}-{high:.2f})", f"{np.mean(true):.2f}")
            lines.append([name, size, *row, f"{off.mean():+.2f}", f"{np.abs(off).mean():.2f}", share(none)])
    head = (
        "candidates",
        "texts",
        "nearness (10-90 %)",
        "of the other texts",
        "mean error",
        "size of the error",
        "none",
    )
    return table(head, lines)


def _neighbour(user: User, step: int) -> int:
    return (user.style + step) % len(STYLES)


# Whose adapters there are to choose from, the user's style apart.
CANDIDATES: dict[str, Callable[[Cached, User], Floats]] = {
    "their style taken out": lambda cache, user: without(cache, user.style),
    "two, their style among them": lambda cache, user: cache.places[[user.style, _neighbour(user, 3)]],
    "two others": lambda cache, user: cache.places[[_neighbour(user, 1), _neighbour(user, 3)]],
}


def fit(run: Run) -> str:
    """How often a single adapter is not enough, by number of texts, with the style there and taken out."""
    (cache, people), lines = setting(run), []
    for name, some in by_size(people).items():
        answers_with = [score.choose(user.readings, cache.places, cache.space) for user in some]
        answers_without = [score.choose(user.readings, without(cache, user.style), cache.space) for user in some]
        mixed = [
            nearer(user.style, parts, cache)
            for user, parts in zip(some, answers_without, strict=True)
            if len(parts) > 1
        ]
        shares = [share([len(parts) != 1 for parts in both]) for both in (answers_with, answers_without)]
        lines.append([name, *shares, share([not parts for parts in answers_without]), share(mixed)])
    head = ("style there: none or mixture", "taken out: none or mixture", "none", "nearer to the style by mixing")
    return table(("users", *head), lines)


def nearer(style: int, parts: dict[int, float], cache: Cached) -> bool:
    """Whether a mixture lies nearer to the adapter that was taken out than the best of its parts."""
    others, precision = without(cache, style), cache.space.precision
    mixed = np.array(list(parts.values())) @ others[list(parts)]
    scores = score.direction_scores(cache.places[style], np.vstack([mixed, others[list(parts)]]), precision)
    return bool(scores[0] > scores[1:].max())


PARTS = {"confidence": confidence, "nearness": nearness, "fit": fit}
