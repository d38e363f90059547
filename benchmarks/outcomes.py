"""What a warm start's two runs of one user show together, and the tables of many users.

    outcome.saved()                     # shares of scratch's time and data
    print(beside_the_paper(outcomes))

Not here: the runs themselves (warmstart.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean

from benchmarks.figures import saved
from benchmarks.report import table
from benchmarks.store import Record
from xpert_cli.paths import whole

PAPER = {30: (13, 7), 50: (31, 17), 70: (57, 31), 80: (78, 42), 90: (83, 51)}  # per cent of time and data saved, best
GOALS = {30: (40, 20), 50: (60, 35), 70: (75, 50), 80: (88, 60), 90: (92, 70)}


@dataclass(frozen=True)
class Arm:
    """One arm of a user.

    Attributes:
        run: the name of its run with all messages.
        step, seconds: of the first measurement at the target; None if it never is.
        data: messages needed to reach the target; None where all were not enough.
        lowest, last: the lowest tuning loss, and the step of the last measurement.
        test: loss on test rows at the target, or near the lowest loss.
    """

    run: str
    step: int | None
    seconds: float | None
    data: int | None
    lowest: float
    last: int
    test: float


@dataclass(frozen=True)
class Outcome:
    """One user at one similarity, both arms.

    Attributes:
        messages: of the user; `rows`, those that the adapters were trained on.
        start, chosen_by: what the second arm began with, and who chose.
        scratch: the run with the lowest loss, which makes the target; `soonest`, seconds to it at any rate.
        warm: from the selected adapter; its seconds have the selection in them.
    """

    user: str
    messages: int
    rows: int
    level: int
    start: str
    chosen_by: str
    target: float
    scratch: Arm
    soonest: float
    warm: Arm

    @classmethod
    def from_record(cls, record: Record) -> Outcome:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**record, "scratch": Arm(**record["scratch"]), "warm": Arm(**record["warm"])})

    @property
    def key(self) -> tuple[int, int, int, str, str]:
        """What there is one outcome of, in the order of the tables."""
        return self.messages, self.rows, self.level, self.user, self.chosen_by

    def saved(self) -> tuple[float, float]:
        """Shares of scratch's time and data; nothing where the target was never reached."""
        if self.warm.data is None:
            return 0.0, 0.0
        return saved(self.warm.seconds, self.scratch.seconds or 0.0), saved(self.warm.data, self.scratch.data or 0)


def read(path: Path) -> list[Outcome]:
    """Outcomes of earlier runs, from the JSON file beside a report."""
    return [Outcome.from_record(record) for record in json.loads(path.read_text("utf-8"))] if path.exists() else []


def write(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write outcomes, a line each."""
    with whole(path) as part:
        part.write_text("[\n" + ",\n".join(json.dumps(asdict(one)) for one in outcomes) + "\n]\n", "utf-8")


def tables(outcomes: Sequence[Outcome]) -> str:
    """Markdown: for each size of users and adapters, savings beside the paper's, and a line for each user."""
    parts = []
    for (messages, rows), group in groupby(sorted(outcomes, key=lambda one: one.key), key=lambda one: one.key[:2]):
        some = list(group)
        parts.append(f"### Users of {messages} messages, adapters of {rows} rows")
        parts += [beside_the_paper(some), users(some)]
    return "\n\n".join(parts)


def users(outcomes: Sequence[Outcome]) -> str:
    """Markdown: one line a user and level."""
    head = ("user", "similarity", "started from", "target", "scratch", "selected", "time", "any rate", "data", "test")
    rows = []
    for one in outcomes:
        scratch, warm = one.scratch, one.warm
        if warm.seconds is None:
            reached = [f"{warm.lowest:.3f} in {warm.last} steps", "never", "never"]
        else:
            ratios = (warm.seconds / seconds for seconds in (scratch.seconds or 0.0, one.soonest))
            reached = [f"{warm.step} steps, {warm.seconds:.0f} s", *(f"{ratio:.2f}" for ratio in ratios)]
        rows.append(
            (
                one.user,
                f"{one.level} %",
                f"{one.start}, by {one.chosen_by}",
                f"{one.target:.3f}",
                f"{scratch.step} steps, {scratch.seconds:.0f} s",
                *reached,
                f"{warm.data or 'never'} of {scratch.data}",
                f"{scratch.test:.3f}, {warm.test:.3f}",
            )
        )
    return table(head, rows)


def beside_the_paper(outcomes: Sequence[Outcome]) -> str:
    """Markdown: savings at every level over all users, beside the paper's and the goals."""
    head = ("similarity", "figure", "paper, at best", "goal", "mean", "best", "at step 0", "never", "users")
    rows = []
    for level in sorted({one.level for one in outcomes}):
        members = [one for one in outcomes if one.level == level]
        steps = [one.warm.step for one in members]
        at_once = steps.count(0) / len(members)
        for figure, name in enumerate(("time", "data")):
            shares = [one.saved()[figure] for one in members]
            percent = (f"{round(-100 * value):+d} %" for value in (mean(shares), max(shares)))
            before = (f"{-both[level][figure]} %" if level in both else None for both in (PAPER, GOALS))
            rows.append((f"{level} %", name, *before, *percent, f"{at_once:.0%}", steps.count(None), len(members)))
    return table(head, rows)
