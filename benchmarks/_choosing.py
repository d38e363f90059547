"""Users drawn from test rows, the adapter each way of explaining ranks first for them, and how often it is theirs.

    draws = users(count=100, samples=20, pool=60)
    counts = confusion(scores(placement, means(placement, draws))["source"])

Not here: where adapters and users lie (_candidates.py), ways to choose that run the adapters (_baselines.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from _candidates import Placement
from _common import interval

from xpert_cli.selection.score import direction_scores
from xpert_cli.style.likelihood import WEIGHT, blended, fitted
from xpert_cli.style.space import Floats, Readings, Space, measured

Draws = npt.NDArray[np.int64]
METHODS = ("answers", "likelihood", "answers and likelihood", "source")
AXES = ("all", "measured", "described")
GAPS = {
    "training text": "training text less answers, mean of the eight adapters (as shipped)",
    "unstyled": "unstyled writing less the base's answers",
    "none": "not taken out",
}
UNTOLD = "adapters tell nothing of their training text: not known, and the metric is that of answers"


def users(count: int, samples: int, pool: int, seed: int = 0) -> Draws:
    """(styles, count, samples) rows of every user of every style, none twice for one user."""
    draw = np.random.default_rng([seed, samples, pool])
    return np.array([[draw.permutation(pool)[:samples] for _ in range(count)] for _ in range(8)])


def means(placement: Placement, draws: Draws) -> Floats:
    """(styles, users, axes) mean readings of users."""
    pools = zip(placement.users, draws, strict=True)
    return np.array([[Readings(pool[rows]).mean for rows in some] for pool, some in pools])


def axes_named(placement: Placement, which: str) -> Placement:
    """All axes, or those of one kind."""
    if which == "all":
        return placement
    return placement.only(np.array([axis.kind == which for axis in placement.space.axes]))


def scores(
    placement: Placement,
    found: Floats,
    *,
    gap: str = "training text",
    weight: float = WEIGHT,
    ridge: float | None = None,
) -> Mapping[str, Floats]:
    """(styles, users, adapters) scores by every way of explaining.

    Args:
        found: mean readings of users.
        gap: how the difference between writing and answers was estimated, one of GAPS.
        weight: of coordinates by likelihood beside those by answers, both of length 1.
        ridge: None lets the reference texts choose.
    """
    space, sources = placement.space, placement.sources
    if gap in placement.origins:
        origin = placement.origins[gap]
        moved = space.reference + space.gap - origin  # sources count from the same origin as users do
        space = dataclasses.replace(space, gap=origin - space.reference)
        sources = sources + moved / space.spread
    shifts = space.shift(found, writing=True)
    references, gains = placement.references, placement.gains
    relative, absolute = (
        fitted(references, some, placement.prompts, space.precision, ridge)
        for some in (gains - gains.mean(axis=1, keepdims=True), gains)
    )
    blend = blended(placement.answers, absolute, space, weight)
    counted = measured(space.axes)
    if not counted.any():  # a table shows what described axes alone would do
        counted = ~counted
    return {
        "answers": directions(shifts, placement.answers, space),
        "likelihood": directions(shifts - references.mean(axis=0), relative, space),
        "answers and likelihood": directions(shifts, blend, space),
        "source": directions(shifts[..., counted], sources[:, counted], space.only(counted)),
    }


def directions(shifts: Floats, adapters: Floats, space: Space) -> Floats:
    """(styles, users, adapters) scores of shifts against those of the adapters."""
    return np.array([[direction_scores(user, adapters, space.precision) for user in some] for some in shifts])


def confusion(values: Floats) -> Floats:
    """(styles, adapters) how many users of each style have each adapter first."""
    first = values.argmax(axis=-1)
    return np.array([[np.sum(row == adapter) for adapter in range(values.shape[-1])] for row in first], np.float64)


def share(counts: Floats, styles: Sequence[int] = tuple(range(8))) -> float:
    """The share of users of some styles (from 0) whose own adapter is first."""
    rows = counts[list(styles)]
    return float(sum(row[style] for row, style in zip(rows, styles, strict=True)) / rows.sum())


def told(counts: Floats) -> str:
    """A share in per cent with its interval."""
    low, high = interval(float(np.trace(counts)), float(counts.sum()))
    return f"{100 * share(counts):.1f} ({100 * low:.0f}-{100 * high:.0f})"
