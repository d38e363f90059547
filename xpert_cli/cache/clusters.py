"""Cells of adapters that point the same way: k-means for hundreds of thousands of them.

    cells = clusters(features, 1024)                # (adapters,) the cell of each

Features are of length 1 and nearness is their product, as `select` ranks. Centres are learnt from a sample that a fixed
seed draws, so that equal caches have equal cells. Not here: what features are (cache/index.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xpert_cli.cache.codes import Singles

SAMPLE = 64  # points a centre that it is learnt from
ROUNDS = 12
_ROWS = 1 << 14  # compared at a time


def clusters(
    features: Singles, count: int, seed: int = 0, progress: Callable[[float], None] = lambda fraction: None
) -> npt.NDArray[np.int64]:
    """(n,) cell of each point, by spherical k-means (Dhillon and Modha, Machine Learning 42, 2001).

    A centre that loses all its points goes to the point that is worst off.

    Args:
        features: (n, dimensions) of length 1.
        count: cells; some may be empty where points are fewer or alike.
    """
    draw = np.random.default_rng([seed, count])
    order = draw.permutation(len(features))
    sample = features[np.sort(order[: SAMPLE * count])]
    centres = sample[np.sort(draw.permutation(len(sample))[:count])]
    for turn in range(ROUNDS):
        progress(turn / (ROUNDS + 1))
        own, near = _nearest(sample, centres)
        counts = np.bincount(own, minlength=len(centres))
        some, empty = np.flatnonzero(counts), np.flatnonzero(counts == 0)
        sums = np.zeros((len(centres), features.shape[1]))
        starts = (np.cumsum(counts) - counts)[some]
        sums[some] = np.add.reduceat(sample[np.argsort(own, kind="stable")], starts, axis=0, dtype=np.float64)
        sums[empty] = sample[np.argsort(near, kind="stable")[: len(empty)]]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = (sums / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return _nearest(features, centres)[0]


def _nearest(points: Singles, centres: Singles) -> tuple[npt.NDArray[np.int64], Singles]:
    """(n,) the nearest centre of each point, and the product with it."""
    own, near = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    for at in range(0, len(points), _ROWS):
        products = points[at : at + _ROWS] @ centres.T
        own[at : at + _ROWS] = products.argmax(axis=1)
        near[at : at + _ROWS] = products.max(axis=1)
    return own, near
