"""How often is the right adapter ranked first?

    python -m benchmarks selection --styles DIR [--only accuracy] [--levels 90]

Candidates are eight writers of one similarity level (chance 12.5 %): of their training rows so many in a hundred are of
their style. Each lies where its training text lies on the measured axes, as an adapter of `xpert finetune` does in a
cache, so that no adapter is trained for this; the scores are those of `xpert select`. Last come the adapters of the
packaged cache as they are. Reads --styles, --rows, --levels, --users (a style; 100).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from benchmarks.adapters import diluted
from benchmarks.figures import confusion, own_first
from benchmarks.persons import Cached
from benchmarks.persons import placed as placed_by_text
from benchmarks.report import table
from benchmarks.run import STYLES, Run
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.hub.sources import open_source
from xpert_cli.selection.score import scores
from xpert_cli.style import described
from xpert_cli.style.measured import cut, measure_all, readings_on
from xpert_cli.style.space import Floats, Readings, measured

USERS, SAMPLES = 100, (20, 5)  # users a style, and their texts
POOL = 60  # test rows of a style that users are drawn from
CUT = 50  # words of a text where length is removed
SHOWN = 90  # similarity of the part that shows one
ROWS, ALL_ROWS = 240, 500  # training rows of a writer, and where all of them are of the style

Counts = npt.NDArray[np.int64]


@lru_cache(maxsize=32)
def placed(run: Run, level: int, *, short: bool) -> Cached:
    """One level's writers, and the test rows that users are drawn from.

    Args:
        short: with length removed: every text cut to its first words, and no length axes.
    """

    def read(texts: Iterable[str]) -> Floats:
        return measure_all(cut(text, count=CUT) if short else text for text in texts)

    rows = ALL_ROWS if level == 100 else (run.options.rows or (ROWS,))[0]
    trained = [read(message.response for message in diluted(run, style, level, rows)[0]) for style in STYLES]
    pools = [read(row.response for row in run.rows(f"{style}_test")[:POOL]) for style in STYLES]
    return placed_by_text(trained, pools, np.array([not (short and axis.length) for axis in described.measured_axes()]))


def packaged(run: Run) -> Cached:
    """The packaged cache's adapters where its catalogue says."""
    cache = open_cache(open_source("embedded"))
    keep = measured(cache.space.axes)
    space, ids = cache.space.only(keep), [entry.id for entry in cache.entries]
    names = [axis.name for axis in space.axes]
    pools = [readings_on(names, [row.response for row in run.rows(f"{style}_test")[:POOL]]) for style in STYLES]
    order = [ids.index(name) for name in STYLES.values()]
    return Cached(space, cache.training_coordinates[order][:, keep], tuple(pools))


def users(count: int, samples: int, pool: int, seed: int = 0) -> Counts:
    """(styles, count, samples) rows of every user of every style, none twice for one user."""
    draw = np.random.default_rng([seed, samples, pool])
    return np.array([[draw.permutation(pool)[:samples] for _ in range(count)] for _ in range(8)])


def counted(placement: Cached, draws: Counts) -> Counts:
    """(styles, adapters) how many of the drawn users of a style have each adapter first."""
    shifts = [
        [placement.space.position(Readings(pool[rows])) for rows in some]
        for pool, some in zip(placement.pools, draws, strict=True)
    ]
    return confusion(np.array([[scores(one, placement.places, placement.space) for one in some] for some in shifts]))


def accuracy(run: Run, *, short: bool = False) -> str:
    """Shares of users whose style's adapter is first, by level and number of texts; `short` without length."""
    drawn = [users(run.options.users or USERS, samples, POOL) for samples in SAMPLES]
    people = {f"{level} %": placed(run, level, short=short) for level in (*run.options.levels, 100)}
    people |= {} if short else {"the packaged cache": packaged(run)}
    rows = [(name, *(own_first(counted(one, draws)) for draws in drawn)) for name, one in people.items()]
    return table(("similarity", *(f"users of {samples} texts" for samples in SAMPLES)), rows)


def who_for_whom(run: Run) -> str:
    """Who is taken for whom at one level; rows are the users' styles."""
    counts = counted(placed(run, SHOWN, short=False), users(run.options.users or USERS, SAMPLES[0], POOL))
    rows = [(name, *(cell or None for cell in row)) for name, row in zip(STYLES.values(), counts, strict=True)]
    return table(("users", *STYLES), rows)


PARTS = {"accuracy": accuracy, "length-removed": partial(accuracy, short=True), "who-for-whom": who_for_whom}
