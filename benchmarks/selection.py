"""How often is the right adapter ranked first?

    python -m benchmarks selection --styles DIR --adapters DIR [--only accuracy] [--levels 90]

Candidates are the eight adapters of one similarity level that the benchmark `adapters` made (chance 12.5 %), and those
of the packaged cache as level 100. Each lies where its training text lies on the measured axes, as an adapter of
`xpert finetune` does in a cache; the scores are those of `xpert select`. Only answers to the probes are generated, and
stored. Reads --styles, --adapters, --rows, --levels, --users (a style; 100), --threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.adapters import adapter_file, diluted
from benchmarks.figures import confusion, own_first
from benchmarks.report import table
from benchmarks.run import STYLES, Run, say
from xpert_cli import gguf
from xpert_cli.cache.answers import answer_probes
from xpert_cli.cache.build import build_space
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.hub.sources import open_source
from xpert_cli.selection.score import scores
from xpert_cli.style import described
from xpert_cli.style.measured import cut, measure_all
from xpert_cli.style.space import Floats, Readings, Space

USERS, SAMPLES = 100, (20, 5)  # users a style, and their texts
POOL = 60  # test rows of a style that users are drawn from
CUT = 50  # words of a text where length is removed
SHOWN = 90  # similarity of the part that shows one
NOTHING = np.empty((0, 1), np.float32)  # the basis of no described axes

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """Eight adapters, one a style, whose training rows are styled in `similarity` of a hundred."""

    similarity: int
    rows: int
    files: dict[int, Path]


def complete_levels(run: Run) -> list[Level]:
    """The levels asked for whose adapters are all there, the packaged cache as level 100 last."""
    levels, rows = [], (run.options.rows or (240,))[0]
    for similarity in run.options.levels:
        files = {style: adapter_file(run, style, similarity, rows) for style in STYLES}
        if absent := [path.name for path in files.values() if not path.exists()]:
            say(f"{similarity} % is left out: {', '.join(absent)} are not there (python -m benchmarks adapters).")
        else:
            levels.append(Level(similarity, rows, files))
    cache = open_cache(open_source("embedded"))
    cache.require(run.base)
    return [*levels, Level(100, 500, {style: cache.fetch(name) for style, name in STYLES.items()})]


@dataclass(frozen=True, eq=False)
class Placement:
    """Adapters and users of one level on the same measured axes.

    Attributes:
        adapters: (8, axes) shifts of their training texts.
        users: by style, (POOL, axes) readings of test rows.
    """

    space: Space
    adapters: Floats
    users: tuple[Floats, ...]


def placed(run: Run, level: Level, *, short: bool) -> Placement:
    """Place one level's adapters and all users.

    Args:
        short: with length removed: every text cut to its first words, and no length axes.
    """

    def read(texts: Iterable[str]) -> Readings:
        return Readings(measure_all(cut(text, count=CUT) if short else text for text in texts))

    axes = described.measured_axes()
    files = {str(style): gguf.AdapterFile.open(path, str(style)) for style, path in level.files.items()}
    base, folder = gguf.BaseModel.open(run.base), run.store.file("answers").parent
    answered = [read(texts) for texts in answer_probes(base, files, folder, 0, say).values()]
    rows = [diluted(run, style, level.similarity, level.rows)[0] for style in STYLES]
    trained = [read(message.response for message in messages) for messages in rows]
    means, scatters = [one.mean for one in trained], [one.scatter for one in trained]
    space, _ = build_space(axes, NOTHING, answered, means, scatters)
    adapters = np.array([space.position(one) for one in trained])
    keep = np.array([not (short and axis.length) for axis in axes])
    pools = [read(row.response for row in run.rows(f"{style}_test")[:POOL]).values for style in STYLES]
    return Placement(space.only(keep), adapters[:, keep], tuple(pool[:, keep] for pool in pools))


def users(count: int, samples: int, pool: int, seed: int = 0) -> Counts:
    """(styles, count, samples) rows of every user of every style, none twice for one user."""
    draw = np.random.default_rng([seed, samples, pool])
    return np.array([[draw.permutation(pool)[:samples] for _ in range(count)] for _ in range(8)])


def counted(placement: Placement, draws: Counts) -> Counts:
    """(styles, adapters) how many of the drawn users of a style have each adapter first."""
    shifts = [
        [placement.space.position(Readings(pool[rows])) for rows in some]
        for pool, some in zip(placement.users, draws, strict=True)
    ]
    return confusion(np.array([[scores(one, placement.adapters, placement.space) for one in some] for some in shifts]))


def accuracy(run: Run, *, short: bool = False) -> str:
    """Shares of users whose style's adapter is first, by level and number of texts; `short` without length."""
    drawn = [users(run.options.users or USERS, samples, POOL) for samples in SAMPLES]
    rows = []
    for level in complete_levels(run):
        placement = placed(run, level, short=short)
        rows.append((f"{level.similarity} %", *(own_first(counted(placement, draws)) for draws in drawn)))
    return table(("similarity", *(f"users of {samples} texts" for samples in SAMPLES)), rows)


def who_for_whom(run: Run) -> str:
    """Who is taken for whom at one level; rows are the users' styles."""
    levels = complete_levels(run)
    level = next((one for one in levels if one.similarity == SHOWN), levels[-1])
    counts = counted(placed(run, level, short=False), users(run.options.users or USERS, SAMPLES[0], POOL))
    rows = [(name, *(cell or None for cell in row)) for name, row in zip(STYLES.values(), counts, strict=True)]
    return table(("users", *STYLES), rows)


PARTS = {"accuracy": accuracy, "length-removed": partial(accuracy, short=True), "who-for-whom": who_for_whom}
