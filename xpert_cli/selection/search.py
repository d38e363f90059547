"""The nearest adapters of a cache that is too large to be read: a few cells, their codes, a few records.

    view, rest = nearest(cache, projection)        # a OpenCache of the adapters that were read; what is known of others

Cells are ranked by how probably one of their adapters is the nearest, adapters of near cells by their codes, both by
the score that `select` ranks by; the records of the best are read, and from there on everything is exact. A cache of
few adapters is read whole. Not here: the files (cache/cells.py, cache/indexed.py), the score itself
(selection/score.py).
"""

from __future__ import annotations

import numpy as np

from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.cells import READ_WHOLE, Cells
from xpert_cli.cache.codes import Singles
from xpert_cli.cache.indexed import IndexedCache
from xpert_cli.selection.project import Projection
from xpert_cli.selection.score import Rest

RECORDS = 128  # of the adapters that are nearest by their codes, where cells are several
AT_ONCE = 4096  # codes: all together would take much memory
BYTES, CELL_BYTES = 400_000, 150  # of the heads of cells that are read: so many, and for each cell that there is


def nearest(cache: OpenCache, projection: Projection) -> tuple[OpenCache, Rest | None]:
    """The adapters of a cache that are near to some writing, and what is known of all others; None if there are none.

    Args:
        projection: on the axes that are compared.
    """
    if not isinstance(cache, IndexedCache) or cache.size <= READ_WHOLE:
        return cache, None
    plane = _Plane(cache, projection)
    middles = plane.of(cache.cells.middles)
    order = np.argsort(-plane.promise(middles, cache.cells), kind="stable")
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
    best = np.argsort(-np.concatenate(ranked), kind="stable")
    best = best[: RECORDS if len(middles) > 1 else READ_WHOLE]
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

    def promise(self, middles: Singles, cells: Cells) -> Singles:
        """(cells,) how probably a member of each scores as high as the best of all, in standard deviations.

        Scores of a cell's members are taken for normal: their mean is the score of the middle, whose length is that of
        members, and their deviation what the residuals' is along the slope of the score there. The best of n is at
        most about mean + deviation sqrt(2 log n) (Cramer, Mathematical Methods of Statistics, 1946, 28.6).
        """
        variances = cells.coding.spreads**2
        counts = cells.counts.astype(np.float32)
        residual = (1 - 1 / counts) * (variances @ (self._directions**2).sum(axis=1))
        means, slopes = np.zeros(len(middles), np.float32), np.zeros_like(middles)
        for places, aim in ((middles + self._mean, self._user), (middles, self._user - self._mean)):
            unit = aim / max(1e-9, float(np.linalg.norm(aim)))
            lengths = np.sqrt(np.maximum((places**2).sum(axis=1) + residual, 1e-18))
            cosines = places @ unit / lengths
            means += cosines
            slopes += (unit - (cosines / lengths)[:, None] * places) / lengths[:, None]
        deviations = np.sqrt((slopes @ self._directions.T) ** 2 @ variances + 1e-12)
        best = (means + deviations * np.sqrt(2 * np.log(counts))).max()
        return np.asarray((means - best) / deviations)

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
