"""Which community of a cache a person writes like: down the tree, as far as their few texts can tell.

    found = nearest(projection, cache)
    found.community.id, found.sure                  # "people-2", 0.93

Not here: communities as they are stored (cache/communities.py), single adapters (selection/score.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.communities import Community
from xpert_cli.selection.project import Projection
from xpert_cli.selection.score import ENOUGH, FAR, NEAR, direction_scores, nearness
from xpert_cli.style import described
from xpert_cli.style.space import Floats

SURE = 0.8  # probability of the likeliest of the smaller communities, under which the larger one is taken
UNUSUAL = 1.5  # standard deviations among a community's people, from which a person's way is told as their own
OWN = 2  # of these ways that are told
LEAST_SPREAD = 0.1  # of a community on an axis, in standard deviations of single texts: few people may be alike


@dataclass(frozen=True, eq=False)
class Nearest:
    """A community, and those that it is part of.

    Attributes:
        path: from everybody down to it.
        sure: probability that it is the right one among those beside it, all the way down.
        score: cosine of the person's shift from the base and the community's, in [-1, 1].
        nearness: as `selection.score.nearness` has it, of the community alone.
    """

    path: tuple[Community, ...]
    sure: float
    score: float
    nearness: float

    @property
    def community(self) -> Community:
        """The one to start from."""
        return self.path[-1]


def nearest(projection: Projection, cache: OpenCache) -> Nearest | None:
    """The smallest community that a person's texts single out; None where the cache has none.

    Among communities that are part of the same larger one, with means m_i, the probability of i is proportional to
    exp(-|u - m_i|^2 / 2v) in coordinates where the metric is the identity: u is the person's shift, v the squared
    standard error of u and the variance of a community's people, averaged over axes.
    """
    inside = [one for one in cache.communities if not one.parent]
    path: list[Community] = []
    sure = 1.0
    while inside:
        chances = _chances(projection, inside)
        best = int(np.argmax(chances))
        if path and chances[best] < SURE:
            break
        sure *= float(chances[best])
        path.append(inside[best])
        inside = [one for one in cache.communities if one.parent == path[-1].id]
    if not path:
        return None
    space, mean = projection.space, place(projection, path[-1])[None]
    score = float(direction_scores(projection.shift, mean, space.precision)[0])
    return Nearest(tuple(path), sure, score, nearness(projection.readings, mean, space))


def near(projection: Projection, group: Nearest) -> bool:
    """Whether a community is near enough to start from, by what `selection.score.choose` asks of an adapter."""
    return group.score >= NEAR and (len(projection.readings) < ENOUGH or group.nearness >= FAR)


def place(projection: Projection, one: Community) -> Floats:
    """(axes,) where a community lies on the axes of a projection; 0 where nothing is known."""
    return np.asarray(np.nan_to_num(one.mean[projection.used]))


def _chances(projection: Projection, among: list[Community]) -> Floats:
    """(communities,) how likely each is to be the person's, all being as likely beforehand."""
    root = np.linalg.cholesky(projection.space.precision).T
    off = [root @ (projection.shift - place(projection, one)) for one in among]
    errors = np.where(np.isfinite(projection.error), projection.error, 0.0)
    spread = np.mean([np.nanmean(np.append(one.spread[projection.used] ** 2, 0.0)) for one in among])
    variance = float(spread + np.mean(errors**2)) or 1.0
    evidence = np.array([-float(one @ one) / (2 * variance) for one in off])
    weights = np.exp(evidence - evidence.max())
    return np.asarray(weights / weights.sum())


def in_words(projection: Projection, group: Nearest) -> str:
    """Why a person is of a community, and what is their own among its people; what is their own is not said before."""
    one, space, shift = group.community, projection.space, projection.shift
    mean = place(projection, one)
    spread = np.maximum(np.nan_to_num(one.spread[projection.used]), LEAST_SPREAD)
    own = np.where(np.isfinite(projection.error), (shift - mean) / np.hypot(spread, projection.error), 0.0)
    differing = [i for i in described.strongest(space, own, OWN) if abs(float(own[i])) >= UNUSUAL]
    alike = np.where(np.sign(shift) == np.sign(mean), np.sign(mean) * np.minimum(np.abs(shift), np.abs(mean)), 0.0)
    alike[[any(described.repeats(space, i, other) for other in differing) for i in range(len(alike))]] = 0.0
    shared = ", ".join(space.axes[i].words(alike[i]) for i in described.strongest(space, alike, 3))
    differences = " and ".join(space.axes[i].words(own[i]) for i in differing)
    if not shared and differences:
        return f"Among the {one.count} people of {one.id} you write {differences}, more than most of them."
    sentence = f"Like the {one.count} people of {one.id}, you write {shared or 'much like the base model'}"
    return f"{sentence}; more than most of them, {differences}." if differences else f"{sentence}."
