"""What a warm-start run tells, what two arms of one user tell together, and the tables of many.

    run.reached(target)                 # (step, seconds) of the first measurement at the target, or None
    print(beside_the_paper(outcomes))

Not here: the runs themselves (warmstart.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from _common import table

from xpert_cli.doors import gguf
from xpert_cli.maths.adapters import Adapter, merge, recompress
from xpert_cli.paths import digest

PAPER = {30: (13, 7), 50: (31, 17), 70: (57, 31), 80: (78, 42), 90: (83, 51)}  # per cent of time and data saved, best
GOALS = {30: (40, 20), 50: (60, 35), 70: (75, 50), 80: (88, 60), 90: (92, 70)}


@dataclass(frozen=True)
class Run:
    """One training run: `curve` of (step, tuning loss, seconds so far); `test` loss at `test_step`."""

    name: str
    curve: tuple[tuple[int, float, float], ...]
    test_step: int
    test: float
    ended: str

    @property
    def lowest(self) -> float:
        return min(loss for _, loss, _ in self.curve)

    def reached(self, target: float) -> tuple[int, float] | None:
        """Step and seconds of the first measurement at the target."""
        return next(((step, seconds) for step, loss, seconds in self.curve if loss <= target), None)


@dataclass(frozen=True)
class Start:
    """What a run begins with: adapter files and weights, the seconds it took to choose them, and who chose."""

    files: tuple[tuple[str, float], ...]
    seconds: float
    chosen_by: str

    @property
    def name(self) -> str:
        parts = [f"{weight:g} x {Path(file).stem}" if weight != 1 else Path(file).stem for file, weight in self.files]
        return " + ".join(parts) or "base (none is near)"

    def adapter(self, rank: int) -> Adapter | None:
        """The adapter, or the mixture at a rank; None for the base."""
        if not self.files:
            return None
        return recompress(merge([(gguf.read_adapter(Path(file)), weight) for file, weight in self.files]), rank)[0]

    def digests(self) -> list[Any]:
        return [[digest(Path(file)), weight] for file, weight in self.files]


SCRATCH = Start((), 0.0, "nobody")


@dataclass(frozen=True)
class Outcome:
    """One user at one similarity, both arms.

    Attributes:
        scratch: the run with the lowest loss, which makes the target; `soonest`, seconds to it at any rate.
        scratch_data, warm_data: messages needed to reach the target; None where all were not enough.
    """

    user: str
    level: int
    start: Start
    target: float
    scratch: Run
    soonest: float
    scratch_data: int
    warm: Run
    warm_data: int | None

    @property
    def scratch_seconds(self) -> float:
        reached = self.scratch.reached(self.target)
        assert reached is not None
        return reached[1]

    @property
    def seconds(self) -> float | None:
        """Until the selected adapter's arm is at the target, selection included; None if it never is."""
        reached = self.warm.reached(self.target)
        return None if reached is None else self.start.seconds + reached[1]

    def saved(self) -> tuple[float, float]:
        """Shares of scratch's time and data; nothing where the target was never reached."""
        if self.seconds is None or self.warm_data is None:
            return 0.0, 0.0
        return 1 - self.seconds / self.scratch_seconds, 1 - self.warm_data / self.scratch_data


def users(found: Sequence[Outcome]) -> str:
    """Markdown: one line a user and level."""
    head = ("user", "similarity", "started from", "target", "scratch", "selected", "time", "any rate", "data", "test")
    rows = []
    for one in sorted(found, key=lambda one: (one.level, one.user)):
        scratch, warm, seconds = one.scratch.reached(one.target), one.warm.reached(one.target), one.seconds
        assert scratch is not None
        if warm is None or seconds is None:
            told = [f"{one.warm.lowest:.3f} in {one.warm.curve[-1][0]} steps", "never", "never"]
        else:
            ratios = (seconds / scratch[1], seconds / one.soonest)
            told = [f"{warm[0]} steps, {seconds:.0f} s", *(f"{ratio:.2f}" for ratio in ratios)]
        rows.append(
            (
                one.user,
                f"{one.level} %",
                f"{one.start.name}, by {one.start.chosen_by}",
                f"{one.target:.3f}",
                f"{scratch[0]} steps, {scratch[1]:.0f} s",
                *told,
                f"{one.warm_data or 'never'} of {one.scratch_data}",
                f"{one.scratch.test:.3f}, {one.warm.test:.3f}",
            )
        )
    return table(head, rows)


def beside_the_paper(found: Sequence[Outcome]) -> str:
    """Markdown: savings at every level over all users, beside the paper's and the goals."""
    head = ("similarity", "figure", "paper, at best", "goal", "mean", "best", "at step 0", "never", "users")
    rows = []
    for level in sorted({one.level for one in found}):
        there = [one for one in found if one.level == level]
        reached = [one.warm.reached(one.target) for one in there]
        at_once = sum(first is not None and first[0] == 0 for first in reached) / len(there)
        for figure, name in enumerate(("time", "data")):
            saved = [one.saved()[figure] for one in there]
            percent = (f"{round(-100 * value):+d} %" for value in (mean(saved), max(saved)))
            before = (f"{-both[level][figure]} %" if level in both else "" for both in (PAPER, GOALS))
            rows.append((f"{level} %", name, *before, *percent, f"{at_once:.0%}", reached.count(None), len(there)))
    return table(head, rows)
