"""Groups of writers who write alike: a tree from everybody to communities, over points in the style space.

    tree = grouped(points, least=10)        # [Group(parent=-1, members=(0, ..., 39)), Group(parent=0, ...), ...]

Not here: what a community is in a cache (cache/communities.py), the k-means itself (cache/clusters.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

from xpert_cli.cache.clusters import clusters
from xpert_cli.cache.codes import Singles
from xpert_cli.style.space import Floats

MOST_GROUPS = 16  # that one group is parted into
DRAWS = 10  # of first centres, of which the best is kept
DEEPER = 10  # times the least number of members that a group below the first needs to be parted again


@dataclass(frozen=True)
class Group:
    """Some of the writers, by their rows; `parent` is the index of the larger group, -1 for everybody."""

    parent: int
    members: tuple[int, ...]


def grouped(points: Floats, least: int) -> list[Group]:
    """Everybody first, then groups of at least `least`, each after the one that it is part of, the largest first.

    A group is parted into about the square root of n / least, for n members, by the direction in which they differ from
    its mean; parts that are too small join the nearest.

    Args:
        points: (writers, axes) in coordinates where the metric is the identity; at least one.
    """
    tree = [Group(-1, tuple(range(len(points))))]
    for index, group in enumerate(tree):  # it grows while it is walked
        if len(group.members) >= (2 if index == 0 else DEEPER) * least:
            parts = _parts(points[list(group.members)], least)
            parts.sort(key=lambda rows: (-len(rows), rows))
            tree += [Group(index, tuple(group.members[row] for row in rows)) for rows in parts if len(parts) > 1]
    return tree


def _parts(points: Floats, least: int) -> list[tuple[int, ...]]:
    off = points - points.mean(axis=0)
    lengths = np.linalg.norm(off, axis=1, keepdims=True)
    features = np.asarray(off / np.where(lengths > 0, lengths, 1.0), np.float32)
    count = min(MOST_GROUPS, max(2, isqrt(len(points) // least)))
    drawn = [clusters(features, count, seed) for seed in range(DRAWS)]
    labels = max(drawn, key=lambda labels: _cohesion(features, labels))
    groups = [one for one in range(count) if (labels == one).any()]
    while len(groups) > 1 and min(int((labels == one).sum()) for one in groups) < least:
        smallest = min(groups, key=lambda one: int((labels == one).sum()))
        groups.remove(smallest)
        rows = labels == smallest
        labels[rows] = np.array(groups)[(features[rows] @ _middles(features, labels, groups).T).argmax(axis=1)]
    return [tuple(map(int, np.flatnonzero(labels == one))) for one in groups]


def _middles(features: Singles, labels: npt.NDArray[np.int64], groups: list[int]) -> Singles:
    """(groups, axes) directions of the groups, of length 1."""
    sums = np.array([features[labels == one].sum(axis=0) for one in groups])
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9), np.float32)


def _cohesion(features: Singles, labels: npt.NDArray[np.int64]) -> float:
    """The sum of the cosines of points and their groups: what spherical k-means makes large."""
    return float(sum(np.linalg.norm(features[labels == one].sum(axis=0)) for one in np.unique(labels)))
