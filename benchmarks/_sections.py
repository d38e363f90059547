"""The parts of the selection benchmark: each measures something and tells it as records that JSON can hold.

    records = SECTIONS["accuracy"](Run(reader, levels, users=100, rows=40))

Not here: how records are shown (_tables.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import _baselines as baselines
import _summarizers
import numpy as np
from _candidates import STYLES, Level, Placement, Reader, placed_at, say, short_key
from _choosing import AXES, GAPS, METHODS, WEIGHT, axes_named, confusion, means, scores, share, users
from _common import stored
from _costs import SIZES, cost, tokens

from xpert_cli.cache.build import UNKNOWN
from xpert_cli.style.described import strongest
from xpert_cli.style.likelihood import RIDGES
from xpert_cli.style.space import Floats, shrunk

SAMPLES = (20, 5)
WEIGHTS = (0.0, 0.1, 0.2, WEIGHT, 0.5, 0.8, 1.0)
PARTS = (0.1, 0.5, 0.8, UNKNOWN, 0.95, 1.0)
CHOSEN_ON, SHOWN_ON = (0, 1, 2, 3), (4, 5, 6, 7)  # styles 1-4 and 5-8
SHOWN_AT = 90  # similarity that summarizers are compared at
SEARCHES = 12  # users of a style for whom Bayesian optimization is run: a second each
Records = list[dict[str, Any]]
Chooser = Callable[[int, int], baselines.Choice]  # of the adapter for a user, by style and number


@dataclass(frozen=True, eq=False)
class Run:
    """What sections share: the adapters, how many users a style, and test rows whose losses are computed."""

    reader: Reader
    levels: list[Level]
    users: int
    rows: int
    summarizers: tuple[Path, ...] = ()
    kept: dict[tuple[int, bool, bool], Placement] = field(default_factory=dict)

    def placement(self, level: Level, short: bool = False, told: bool = True) -> Placement:
        """Adapters and users of a level, with or without length, where adapters tell of their training text or not."""
        key = level.similarity, short, told
        if key not in self.kept:
            self.kept[key] = placed_at(self.reader, level, short=short, told=told)
        return self.kept[key]

    def draws(self, placement: Placement, samples: int) -> Floats:
        """(styles, users, axes) mean readings of the users."""
        return means(placement, users(self.users, samples, len(placement.users[0])))


def accuracy(run: Run) -> Records:
    """Who is ranked first: every level, explanation, kind of axes and number of samples, with and without length."""
    records = []
    for level in run.levels:
        for short, axes, told in product((False, True), AXES, (False, True)):
            placement = axes_named(run.placement(level, short, told), axes)
            for samples in SAMPLES:
                say(f"ranking at {level.similarity} %")
                found = scores(placement, run.draws(placement, samples))
                where = {"level": level.similarity, "short": short, "axes": axes, "samples": samples}
                records += [
                    {**where, "method": method, "counts": confusion(found[method]).astype(int).tolist()}
                    for method in METHODS
                    if (method == "source") is told
                ]
    return records


def constants(run: Run) -> Records:
    """Each constant's best value for the users of styles 1-4, and what it does for those of 5-8."""
    grids: dict[str, tuple[str, tuple[float | None, ...], float | None]] = {
        "identity in the metric": ("answers", PARTS, UNKNOWN),
        "ridge, likelihood": ("likelihood", (None, *RIDGES), None),
        "weight of likelihood": ("answers and likelihood", WEIGHTS, WEIGHT),
    }
    records = []
    for name, (method, grid, default) in grids.items():
        told = {value: _halves(run, name, method, value) for value in grid}
        chosen = max(grid, key=lambda value: (told[value][0], value == default))
        records.append(
            {
                "constant": name,
                "default": default,
                "chosen": chosen,
                "default_shown": told[default][1],
                "chosen_shown": told[chosen][1],
                "grid": [[value, *told[value]] for value in grid],
            }
        )
    return records


def _halves(run: Run, name: str, method: str, value: float | None) -> tuple[float, float]:
    """Mean accuracy over levels and samples for users of styles 1-4, and of 5-8, with a constant set to a value."""
    found = []
    for level in run.levels:
        placement = run.placement(level, told=False)
        for samples in SAMPLES:
            say(f"{name} {value}")
            draws = run.draws(placement, samples)
            if name.startswith("identity"):
                told = scores(_drawn(placement, float(value or 0)), draws)
            elif name.startswith("ridge"):
                told = scores(placement, draws, ridge=value)
            else:
                told = scores(placement, draws, weight=float(value or 0))
            counts = confusion(told[method])
            found.append((share(counts, CHOSEN_ON), share(counts, SHOWN_ON)))
    first, second = np.mean(found, axis=0)
    return float(first), float(second)


def _drawn(placement: Placement, part: float) -> Placement:
    """The same with another part of the identity in the metric."""
    space = placement.space
    correlation = (np.linalg.inv(space.precision) - UNKNOWN * np.eye(len(space.axes))) / (1 - UNKNOWN)
    return replace(placement, space=replace(space, precision=shrunk(correlation, part)))


def gap(run: Run) -> Records:
    """Accuracy by how the difference between writing and answers is estimated, never from test rows."""
    records = []
    for level in run.levels:
        placement = run.placement(level)
        draws = run.draws(placement, SAMPLES[0])
        for name in GAPS:
            found = scores(placement, draws, gap=name)
            shares = {method: share(confusion(found[method])) for method in METHODS}
            records.append({"level": level.similarity, "gap": name, **shares})
        bare = run.placement(level, told=False)
        found = scores(bare, run.draws(bare, SAMPLES[0]))
        shares = {method: share(confusion(found[method])) for method in METHODS if method != "source"}
        records.append({"level": level.similarity, "gap": "untold", **shares, "source": None})
    return records


def compared(run: Run) -> Records:
    """Choosing by explanations and by other ways, for the same users, drawn from the rows whose losses are computed."""
    records: Records = []
    draws = users(run.users, min(SAMPLES[0], run.rows), run.rows)
    for level in run.levels:
        for method in METHODS:
            there = run.placement(level, told=method == "source")
            found = scores(there, means(there, draws))
            records.append(_record(level, method, confusion(found[method]), 0.0))
        placement = run.placement(level)
        losses = baselines.test_losses(run.reader, level, run.rows)
        for name, (choose, count) in _searches(losses, draws, placement, run.users).items():
            made_of = short_key([losses.tolist(), draws.tolist(), placement.answers.tolist(), count])
            path = run.reader.out / f"{name.replace(' ', '-')}-{level.similarity}.json"

            def measure(
                level: Level = level, name: str = name, choose: Chooser = choose, count: int = count
            ) -> dict[str, Any]:
                return _record(level, name, *baselines.tally(choose, count))

            records.append(stored(path, {"made_of": made_of}, measure))
        records += _encoded(run, level, draws)
    return records


def _searches(losses: Floats, draws: np.ndarray, placement: Placement, count: int) -> dict[str, tuple[Chooser, int]]:
    """Ways that run adapters on the user's texts, and the users each is tried with."""
    points = baselines.principal(placement.answers)

    def texts(style: int, user: int) -> Floats:
        return np.asarray(losses[style][draws[style, user]])

    return {
        "exhaustive search": (lambda style, user: baselines.exhaustive(texts(style, user)), count),
        "successive halving": (lambda style, user: baselines.halving(texts(style, user)), count),
        "Bayesian optimization": (
            lambda style, user: baselines.bayesian(texts(style, user), points, user),
            min(count, SEARCHES),
        ),
    }


def _encoded(run: Run, level: Level, draws: np.ndarray) -> Records:
    """Similarity of mean embeddings, as they are and as shifts from the base's answers; nothing without the encoder."""
    reader = run.reader
    try:
        said = [baselines.embeddings(reader, texts).mean(axis=0) for texts in reader.answers(level)]
        tests = [reader.bench.rows(f"{style}_test")[: run.rows] for style in STYLES]
        pools = [baselines.embeddings(reader, [message.response for message in rows]) for rows in tests]
    except (ImportError, OSError) as error:
        say(f"no encoder: {error}")
        return []
    records = []
    for name, origin in (("encoder", 0.0), ("encoder, shift from the base", said[0])):
        adapters = np.array(said[1:]) - origin

        def choose(style: int, user: int, origin: Any = origin, adapters: Floats = adapters) -> baselines.Choice:
            return baselines.nearest(pools[style][draws[style, user]].mean(axis=0) - origin, adapters), 0

        records.append(_record(level, name, *baselines.tally(choose, run.users)))
    return records


def _record(level: Level, method: str, counts: Floats, evaluated: float) -> dict[str, Any]:
    return {
        "level": level.similarity,
        "method": method,
        "counts": counts.astype(int).tolist(),
        "evaluated": evaluated,
    }


def words(run: Run) -> Records:
    """The strongest words and counted axes of each adapter, by its answers and by its training text."""
    records = []
    for level in run.levels:
        placement = run.placement(level)
        for index, style in enumerate(STYLES.values()):
            told: dict[str, Any] = {"level": level.similarity, "style": style}
            for kind in ("described", "measured"):
                part = axes_named(placement, kind)
                for by, shifts in (("answers", part.answers), ("source", part.sources)):
                    told[f"{kind}, {by}"] = [
                        f"{part.space.axes[axis].words(shifts[index, axis])} ({shifts[index, axis]:+.1f})"
                        for axis in strongest(part.space, shifts[index], 3)
                    ]
            records.append(told)
    return records


def summarizers(run: Run) -> Records:
    """Selection by answers with other summarizers than the base, at the level that the paper shows."""
    level = next((level for level in run.levels if level.similarity == SHOWN_AT), run.levels[-1])
    return _summarizers.compared(run.reader, level, run.summarizers)


def costs(run: Run) -> Records:
    """Bytes, tokens and seconds to decide, at growing numbers of adapters."""
    bench = run.reader.bench
    read = [{"samples": samples, "tokens": tokens(bench, samples)} for samples in SAMPLES]
    return [*read, *(asdict(cost(bench, count, run.reader.out / f"grown-{count}")) for count in SIZES)]


SECTIONS: dict[str, Callable[[Run], Records]] = {
    "accuracy": accuracy,
    "constants": constants,
    "gap": gap,
    "baselines": compared,
    "words": words,
    "summarizers": summarizers,
    "cost": costs,
}
