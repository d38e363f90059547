"""How often is the right adapter ranked first, and how does running every adapter on the text compare?

    python -m benchmarks selection --styles DIR --adapters DIR [--only accuracy] [--levels 90]

Candidates are the eight adapters of one similarity level that the benchmark `adapters` made (chance 12.5 %), and those
of the packaged cache as level 100. `--only summarizers --models FILE,FILE` asks other models than the base. Reads
--styles, --adapters, --rows, --levels, --users (a style; 100), --models, --threads.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from benchmarks.figures import confusion, own_first
from benchmarks.placement import POOL, Level, Placement, Reader, complete_levels, placed_at
from benchmarks.report import table
from benchmarks.run import STYLES, Run
from xpert_cli.cache.build import build_space
from xpert_cli.selection.score import direction_scores
from xpert_cli.style.likelihood import blended, fitted
from xpert_cli.style.space import Floats, Readings, Space, measured

USERS, SAMPLES = 100, (20, 5)  # users a style, and their texts
METHODS = ("answers", "likelihood", "answers and likelihood", "source")
SEARCHED = 40  # test rows of a style that every adapter is run on
ASKED, ASKED_POOL, ASKED_USERS = 20, 30, 10  # answers, test rows and users a style of the part `summarizers`
SHOWN = 90  # similarity of the parts that show one

Draws = npt.NDArray[np.int64]


def users(count: int, samples: int, pool: int, seed: int = 0) -> Draws:
    """(styles, count, samples) rows of every user of every style, none twice for one user."""
    draw = np.random.default_rng([seed, samples, pool])
    return np.array([[draw.permutation(pool)[:samples] for _ in range(count)] for _ in range(8)])


def means(pools: tuple[Floats, ...], draws: Draws) -> Floats:
    """(styles, users, axes) mean readings of users."""
    return np.array([[Readings(pool[rows]).mean for rows in some] for pool, some in zip(pools, draws, strict=True)])


def directions(shifts: Floats, adapters: Floats, space: Space) -> Floats:
    """(styles, users, adapters) scores of shifts against those of the adapters."""
    return np.array([[direction_scores(user, adapters, space.precision) for user in some] for some in shifts])


def scores(placement: Placement, readings: Floats) -> Mapping[str, Floats]:
    """(styles, users, adapters) scores by every way of explaining, from the mean readings of users.

    Coordinates by answers; by likelihood gains, counted from the candidates' mean; by both; by training text on the
    measured axes (xpert_cli/style/likelihood.py has the regression).
    """
    space, gains, references = placement.space, placement.gains, placement.references
    shifts = space.shift(readings, writing=True)
    relative, absolute = (
        fitted(references, some, placement.prompts, space.precision)
        for some in (gains - gains.mean(axis=1, keepdims=True), gains)
    )
    counted = measured(space.axes)
    return {
        "answers": directions(shifts, placement.answers, space),
        "likelihood": directions(shifts - references.mean(axis=0), relative, space),
        "answers and likelihood": directions(shifts, blended(placement.answers, absolute, space), space),
        "source": directions(shifts[..., counted], placement.sources[:, counted], space.only(counted)),
    }


def placements(reader: Reader, level: Level, short: bool = False) -> tuple[Placement, Placement]:
    """Where adapters bring no coordinates of their training text, and where they do."""
    bare, full = (placed_at(reader, level, short=short, with_training_text=brings) for brings in (False, True))
    return bare, full


def counts_of(both: tuple[Placement, Placement], draws: Draws) -> dict[str, Draws]:
    """Method -> (styles, adapters) how many users have each adapter first."""
    bare, full = (scores(placement, means(placement.users, draws)) for placement in both)
    return {method: confusion((full if method == "source" else bare)[method]) for method in METHODS}


def _by_level(run: Run, short: bool) -> str:
    pairs = [(method, samples) for samples in SAMPLES for method in METHODS]
    reader, rows = Reader(run), []
    for level in complete_levels(run):
        both = placements(reader, level, short)
        drawn = {samples: users(run.options.users or USERS, samples, POOL) for samples in SAMPLES}
        counts = {samples: counts_of(both, draws) for samples, draws in drawn.items()}
        rows.append((f"{level.similarity} %", *(own_first(counts[samples][method]) for method, samples in pairs)))
    return table(("similarity", *(f"{method}, {samples}" for method, samples in pairs)), rows)


def accuracy(run: Run) -> str:
    """Shares of users whose style's adapter is first, by level, explanation and number of texts."""
    return _by_level(run, short=False)


def length_removed(run: Run) -> str:
    """The same without length."""
    return _by_level(run, short=True)


def who_for_whom(run: Run) -> str:
    """Who is taken for whom by training text at one level; rows are the users' styles."""
    level = _shown(complete_levels(run))
    draws = users(run.options.users or USERS, SAMPLES[0], POOL)
    counts = counts_of(placements(Reader(run), level), draws)["source"]
    rows = [(name, *(cell or None for cell in row)) for name, row in zip(STYLES.values(), counts, strict=True)]
    return table(("users", *STYLES), rows)


def _shown(levels: list[Level]) -> Level:
    return next((level for level in levels if level.similarity == SHOWN), levels[-1])


def losses_of(reader: Reader, level: Level) -> Floats:
    """(styles, rows, adapters) nats a token of each style's first test rows."""
    samples = [reader.run.samples(reader.run.rows(f"{style}_test")[:SEARCHED]) for style in STYLES]
    columns = [[reader.losses(path, some) for some in samples] for path in level.files.values()]
    return np.moveaxis(np.array(columns), 0, 2)


def exhaustive(run: Run) -> str:
    """The adapter with the lowest mean loss on all of a user's texts, against explanations, on the same users."""
    reader, rows = Reader(run), []
    draws = users(run.options.users or USERS, SAMPLES[0], SEARCHED)
    levels = [level for level in complete_levels(run) if level.similarity in run.options.levels]
    own_shares: dict[str, list[str]] = {method: [] for method in METHODS}
    searched = []
    for level in levels:
        for method, counts in counts_of(placements(reader, level), draws).items():
            own_shares[method].append(own_first(counts))
        searched.append(own_first(confusion(-searched_losses(losses_of(reader, level), draws))))
    rows = [(method, *shares, 0) for method, shares in own_shares.items()]
    rows.append(("running all adapters on all texts", *searched, SAMPLES[0] * len(STYLES)))
    return table(("chosen by", *(f"{level.similarity} %" for level in levels), "texts evaluated"), rows)


def searched_losses(losses: Floats, draws: Draws) -> Floats:
    """(styles, users, adapters) mean losses of users' texts, from (styles, rows, adapters)."""
    return np.array([[own[rows].mean(axis=0) for rows in some] for own, some in zip(losses, draws, strict=True)])


def summarizers(run: Run) -> str:
    """By answers at one level, with the base as summarizer and with others: by all axes, by described ones."""
    level, rows = _shown(complete_levels(run)), []
    answers_of, draws = Reader(run).answers(level), users(ASKED_USERS, SAMPLES[0], ASKED_POOL)
    for path in (run.base, *run.options.models):
        reader = Reader(run, path)
        axes, basis = reader.axes
        answers = [Readings(reader.readings("answers", some[:ASKED])) for some in answers_of]
        space, adapters, _ = build_space(axes, basis, answers, [None] * len(STYLES))
        texts = [[row.response for row in run.rows(f"{style}_test")[:ASKED_POOL]] for style in STYLES]
        readings = means(tuple(reader.readings("test", some) for some in texts), draws)
        shares = []
        for keep in (np.ones(len(axes), np.bool_), ~measured(axes)):
            part = space.only(keep)
            shifts = part.shift(readings[..., keep], writing=True)
            shares.append(own_first(confusion(directions(shifts, adapters[:, keep], part))))
        rows.append((path.stem, round(path.stat().st_size / 1e6), *shares))
    return table(("summarizer", "MB", "all axes", "described axes only"), rows)


PARTS = {
    "accuracy": accuracy,
    "length-removed": length_removed,
    "who-for-whom": who_for_whom,
    "exhaustive": exhaustive,
    "summarizers": summarizers,
}
