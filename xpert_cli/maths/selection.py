"""Who is nearest: ranking adapters by direction from the base, and mixing several.

    scores = direction_scores(user, adapters, space.precision)
    weights = mixture(halves, adapters, space)      # None unless it explains the held-back half better

Directions are compared, not points: an adapter trained on 30 % of a style points where one trained on 90 % does, only
less far. Not here: readings (steps/explain.py), the cache (steps/catalogue.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from xpert_cli.maths.space import Floats, Readings, Space

MOST_MIXED = 3  # adapters
MOST_WEIGHT = 1.5  # sum of mixing coefficients
CANDIDATES = 6  # best single adapters that a mixture may be made of
BETTER = 0.9  # a mixture must leave at most this share of the best single adapter's residual
DRAWS = 200  # of the bootstrap behind a confidence
NEAR = 0.3  # smallest cosine of an adapter that fits: below it, starting there has not lowered a loss


def direction_scores(user: Floats, adapters: Floats, precision: Floats) -> Floats:
    """Cosine between the user's and each adapter's shift from the base under the metric `precision`.

    score_i = u'P a_i / sqrt(u'P u * a_i'P a_i)

    Args:
        user: (axes,) shift of the user's writing from the base, in axis units.
        adapters: (adapters, axes) shifts of the adapters, in axis units.
        precision: (axes, axes) P, inverse of the shrunken per-sample correlation pooled within writers.
    Returns:
        (adapters,) in [-1, 1]; 0 for a shift of no length.
    """
    lengths = np.sqrt(np.einsum("ij,jk,ik->i", adapters, precision, adapters) * (user @ precision @ user))
    return np.where(lengths > 0, adapters @ precision @ user / np.where(lengths > 0, lengths, 1.0), 0.0)


def confidence(readings: Readings, adapters: Floats, space: Space, seed: int = 0) -> float:
    """Share of bootstrap draws of the user's texts in which the adapter that is first stays first."""
    best = _best(readings.mean, adapters, space)
    draw = np.random.default_rng(seed)
    picks = draw.integers(0, len(readings), (DRAWS, len(readings)))
    return float(np.mean([_best(Readings(readings.values[rows]).mean, adapters, space) == best for rows in picks]))


def _best(mean: Floats, adapters: Floats, space: Space) -> int:
    return int(np.argmax(direction_scores(space.shift(mean, writing=True), adapters, space.precision)))


def mixture(halves: tuple[Readings, Readings], adapters: Floats, space: Space) -> dict[int, float] | None:
    """Mixing coefficients of two or three adapters, if they explain the user clearly better than any single one.

    Coefficients are fitted on one half of the user's texts and judged on the other, both ways round: taken if the
    residual is on average at most BETTER times that of the best single adapter.

    Returns:
        adapter index -> weight, or None.
    """
    shifts = [space.shift(half.mean, writing=True) for half in halves]
    root = np.linalg.cholesky(space.precision).T
    everyone = adapters @ root.T
    whole = (shifts[0] * len(halves[0]) + shifts[1] * len(halves[1])) / (len(halves[0]) + len(halves[1]))
    order = np.argsort(-direction_scores(whole, adapters, space.precision), kind="stable")[:CANDIDATES]
    ratios = []
    for fit, judge in ((shifts[0], shifts[1]), (shifts[1], shifts[0])):
        single = _best_subset(root @ fit, everyone, [(int(i),) for i in order])
        several = _best_subset(root @ fit, everyone, _subsets(order))
        if several is None or single is None:
            return None
        ratios.append(_residual(root @ judge, everyone, several) / _residual(root @ judge, everyone, single))
    return _best_subset(root @ whole, everyone, _subsets(order)) if np.mean(ratios) <= BETTER else None


def _subsets(order: npt.NDArray[np.intp]) -> list[tuple[int, ...]]:
    return [tuple(map(int, chosen)) for size in range(2, MOST_MIXED + 1) for chosen in combinations(order, size)]


def _best_subset(target: Floats, adapters: Floats, subsets: Sequence[tuple[int, ...]]) -> dict[int, float] | None:
    """Least-squares weights, all positive and of bounded sum, of the subset that comes nearest to the target."""
    best: tuple[float, dict[int, float]] | None = None
    for chosen in subsets:
        weights = _bounded(target, adapters[list(chosen)])
        if (weights <= 0).any():
            continue  # the non-negative optimum lies on a smaller subset
        found = dict(zip(chosen, map(float, weights), strict=True))
        error = _residual(target, adapters, found)
        if best is None or error < best[0]:
            best = (error, found)
    return best[1] if best else None


def _bounded(target: Floats, rows: Floats) -> Floats:
    """Least-squares weights of the rows; where they sum to more than MOST_WEIGHT, the best that sum to just that."""
    inverse = np.linalg.pinv(rows @ rows.T)
    weights = inverse @ (rows @ target)
    excess = max(0.0, float(weights.sum()) - MOST_WEIGHT)
    return np.asarray(weights - excess * inverse.sum(axis=1) / inverse.sum())


def _residual(target: Floats, adapters: Floats, weights: dict[int, float]) -> float:
    return float(np.linalg.norm(target - np.array(list(weights.values())) @ adapters[list(weights)]))
