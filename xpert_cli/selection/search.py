"""The nearest adapters of a cache that is too large to be read: a few cells, their codes, a few records.

    view, rest = nearest(cache, projection)        # a OpenCache of the adapters that were read; what is known of others

Cells are ranked by their middles, adapters of near cells by their codes, both by the score that `select` ranks by; the
records of the best are read, and from there on everything is exact. A cache of few adapters is read whole. Not here:
the files (cache/cells.py, cache/indexed.py), the score itself (selection/score.py).
"""

from __future__ import annotations

import numpy as np

from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.cells import READ_WHOLE
from xpert_cli.cache.codes import Singles
from xpert_cli.cache.indexed import IndexedCache
from xpert_cli.selection.project import Projection
from xpert_cli.selection.score import Rest

RECORDS = READ_WHOLE  # of the adapters that are nearest by their codes
AT_ONCE = 4096  # codes: all together would take much memory
BYTES, CELL_BYTES = 540_000, 100  # of the heads of cells that are read: so many, and for each cell that there is


def nearest(cache: OpenCache, projection: Projection) -> tuple[OpenCache, Rest | None]:
    """The adapters of a cache that are near to some writing, and what is known of all others; None if there are none.

    Args:
        projection: on the axes that are compared.
    """
    if not isinstance(cache, IndexedCache) or cache.size <= RECORDS:
        return cache, None
    plane = _Plane(cache, projection)
    middles = plane.of(cache.cells.middles)
    order = np.argsort(-plane.scores(middles), kind="stable")
    sizes = np.cumsum(cache.cells.heads[order])
    most = BYTES + CELL_BYTES * len(middles)
    read = order[: max(1, int((sizes <= most).sum()))]
    heads = cache.heads([int(cell) for cell in read])
    roots = {int(cell): root for cell, (root, _) in zip(read, heads, strict=True)}
    cells = np.repeat(read, [len(codes) for _, codes in heads])
    rows = np.concatenate([np.arange(len(codes)) for _, codes in heads])
    ranked, cosines = [], []
    codes = np.concatenate([codes for _, codes in heads])
    for at in range(0, len(codes), AT_ONCE):
        values = cache.cells.coding.values(codes[at : at + AT_ONCE])
        places = plane.of(values + cache.cells.middles[cells[at : at + AT_ONCE]])
        ranked.append(plane.scores(places))
        cosines.append(plane.about_mean(places))
    best = np.argsort(-np.concatenate(ranked), kind="stable")[:RECORDS]
    view = cache.some([(int(cells[one]), int(rows[one])) for one in best], roots)
    unread = np.ones(len(middles), np.bool_)
    unread[read] = False
    left = np.delete(np.concatenate(cosines), best)
    counts = np.concatenate([np.ones(len(left)), cache.cells.counts[unread]])
    others = np.concatenate([left, plane.about_mean(middles[unread])], dtype=np.float64)
    return view, Rest(cache.mean[projection.used], others, counts)


class _Plane:
    """Where codes lie in coordinates in which the metric of the compared axes is the identity, beside the writing."""

    def __init__(self, cache: IndexedCache, projection: Projection) -> None:
        root = np.linalg.cholesky(projection.space.precision)
        self._directions = (cache.cells.coding.directions[:, projection.used] @ root).astype(np.float32)
        self._mean = (cache.mean[projection.used] @ root).astype(np.float32)
        self._user = (projection.shift @ root).astype(np.float32)

    def of(self, values: Singles) -> Singles:
        """(n, dimensions) less the cache's mean, of (n, directions)."""
        return np.asarray(values @ self._directions)

    def scores(self, places: Singles) -> Singles:
        """(n,) as selection.score.scores, nearly."""
        lengths = np.sqrt((places**2).sum(axis=1) + 2 * (places @ self._mean) + self._mean @ self._mean)
        from_base = (places @ self._user + self._mean @ self._user) / np.maximum(lengths, 1e-9)
        return np.asarray(from_base / max(1e-9, float(np.linalg.norm(self._user))) + self.about_mean(places))

    def about_mean(self, places: Singles) -> Singles:
        """(n,) cosines with the writing about the mean."""
        own = self._user - self._mean
        lengths = np.linalg.norm(places, axis=1) * float(np.linalg.norm(own))
        return np.asarray(places @ own / np.maximum(lengths, 1e-9))
