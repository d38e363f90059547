"""What sets a person's writing apart from the writers of a cache, in words and with counts from the texts.

    apart(projection, cache)
    # "Like the adapters of this cache on average you write in shorter messages. Unlike them you write leaving out the
    #  full stop at the end of lines (17 of 20 texts), with “haha” (7 of 20)."

Both parts are read on measured axes, and only from caches that know where their adapters' training texts lie: answers
show what adapters share with the base. Not here: the comparison with the base (selection/summarize.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.indexed import IndexedCache
from xpert_cli.counts import counted
from xpert_cli.selection.project import Projection
from xpert_cli.selection.score import FEWEST_MEMBERS
from xpert_cli.style import described
from xpert_cli.style.space import Floats

SHARED, OWN = 2, 4  # statements of the two parts, at most
CLEAR = 0.5  # standard deviations of single texts from which on a difference is worth a statement
SURE = 2.0  # standard errors of it


def apart(projection: Projection, cache: OpenCache) -> str:
    """What the writing shares with the mean of a cache's adapters, and what not; empty where that is not known."""
    if (mean := _mean(cache)) is None:
        return ""
    at = {axis.name: index for index, axis in enumerate(cache.space.axes) if axis.kind == "measured"}
    space, shift, error = projection.space, projection.shift, projection.error
    known = np.array([axis.name in at and axis.named for axis in space.axes], np.bool_)
    average = np.array([mean[at.get(axis.name, 0)] for axis in space.axes])
    sure = known & (np.abs(shift) > SURE * error)
    alike = np.where(sure & (shift * average > 0), np.minimum(np.abs(shift), np.abs(average)), 0.0)
    own = np.where(known & (np.abs(shift - average) > SURE * error), shift - average, 0.0)
    parts, others = [], _clear(projection, own, OWN)
    alike[[any(described.repeats(space, i, other) for other in others) for i in range(len(alike))]] = 0.0
    if together := _clear(projection, alike * np.sign(average), SHARED):
        words = ", ".join(space.axes[i].words(average[i]) for i in together)
        parts.append(f"Like the adapters of this cache on average you write {words}.")
    if others:
        statements = [f"{space.axes[i].words(own[i])} ({_count(projection, i, average[i], own[i])})" for i in others]
        parts.append(f"Unlike them you write {', '.join(statements)}.")
    return " ".join(parts) if others else ""


def _mean(cache: OpenCache) -> Floats | None:
    """(axes,) mean of where adapters' training texts lie; None where too few are known."""
    if isinstance(cache, IndexedCache):
        return cache.mean if cache.by_source and cache.size >= FEWEST_MEMBERS else None
    places = cache.training_coordinates
    places = places[~np.isnan(places).all(axis=1)]
    return np.asarray(np.nan_to_num(places).mean(axis=0)) if len(places) >= FEWEST_MEMBERS else None


def _clear(projection: Projection, values: Floats, most: int) -> list[int]:
    strong: npt.NDArray[np.float64] = np.where(np.abs(values) >= CLEAR, values, 0.0)
    return described.strongest(projection.space, strong, most)


def _count(projection: Projection, axis: int, average: float, own: float) -> str:
    """How many of the texts that show an axis lie on the writer's side of the cache's mean."""
    space, values = projection.space, projection.readings.values[:, axis]
    values = values[~np.isnan(values)]
    middle = space.reference[axis] + space.gap[axis] + average * space.spread[axis]
    count = int(np.sum(values > middle) if own > 0 else np.sum(values < middle))
    return f"{count} of {counted(len(values), 'texts')}"
