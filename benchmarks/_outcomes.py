"""What a warm-start run tells, what two arms of one user tell together, and the tables of many.

    run.reached(target)                 # (step, seconds) of the first measurement at the target, or None
    print(beside_the_paper(outcomes))

Not here: the runs themselves (warmstart.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from _common import table

from xpert_cli import gguf
from xpert_cli.gguf.adapter import Adapter, merge, recompress
from xpert_cli.paths import digest, whole

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

    @classmethod
    def of(cls, run: Run, target: float, data: int | None, before: float = 0.0) -> Arm:
        """What a run tells; `before` are seconds that passed before it."""
        step, seconds = run.reached(target) or (None, None)
        seconds = None if seconds is None else before + seconds
        return cls(run.name, step, seconds, data, run.lowest, run.curve[-1][0], run.test)


@dataclass(frozen=True)
class Outcome:
    """One user at one similarity, both arms.

    Attributes:
        rows: that the adapters were trained on; `messages`, those of the user.
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
    def told(cls, record: dict[str, Any]) -> Outcome:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**record, "scratch": Arm(**record["scratch"]), "warm": Arm(**record["warm"])})

    @property
    def key(self) -> tuple[int, int, int, str, str]:
        """What there is one outcome of, in the order of the tables."""
        return self.messages, self.rows, self.level, self.user, self.chosen_by

    def saved(self) -> tuple[float, float]:
        """Shares of scratch's time and data; nothing where the target was never reached."""
        if self.warm.seconds is None or self.warm.data is None:
            return 0.0, 0.0
        assert self.scratch.seconds
        assert self.scratch.data
        return 1 - self.warm.seconds / self.scratch.seconds, 1 - self.warm.data / self.scratch.data


def earlier(path: Path | None) -> list[Outcome]:
    """What earlier runs found, from the JSON file that is kept beside a report."""
    if path is None or not path.exists():
        return []
    return [Outcome.told(record) for record in json.loads(path.read_text("utf-8"))]


def keep(found: Sequence[Outcome], path: Path) -> None:
    """Write what was found, a line each."""
    with whole(path) as part:
        part.write_text("[\n" + ",\n".join(json.dumps(asdict(one)) for one in found) + "\n]\n", "utf-8")


def users(found: Sequence[Outcome]) -> str:
    """Markdown: one line a user and level."""
    head = ("user", "similarity", "started from", "target", "scratch", "selected", "time", "any rate", "data", "test")
    rows = []
    for one in found:
        scratch, warm = one.scratch, one.warm
        assert scratch.seconds
        if warm.seconds is None:
            told = [f"{warm.lowest:.3f} in {warm.last} steps", "never", "never"]
        else:
            ratios = (warm.seconds / scratch.seconds, warm.seconds / one.soonest)
            told = [f"{warm.step} steps, {warm.seconds:.0f} s", *(f"{ratio:.2f}" for ratio in ratios)]
        rows.append(
            (
                one.user,
                f"{one.level} %",
                f"{one.start}, by {one.chosen_by}",
                f"{one.target:.3f}",
                f"{scratch.step} steps, {scratch.seconds:.0f} s",
                *told,
                f"{warm.data or 'never'} of {scratch.data}",
                f"{scratch.test:.3f}, {warm.test:.3f}",
            )
        )
    return table(head, rows)


def beside_the_paper(found: Sequence[Outcome]) -> str:
    """Markdown: savings at every level over all users, beside the paper's and the goals."""
    head = ("similarity", "figure", "paper, at best", "goal", "mean", "best", "at step 0", "never", "users")
    rows = []
    for level in sorted({one.level for one in found}):
        there = [one for one in found if one.level == level]
        steps = [one.warm.step for one in there]
        at_once = steps.count(0) / len(there)
        for figure, name in enumerate(("time", "data")):
            saved = [one.saved()[figure] for one in there]
            percent = (f"{round(-100 * value):+d} %" for value in (mean(saved), max(saved)))
            before = (f"{-both[level][figure]} %" if level in both else "" for both in (PAPER, GOALS))
            rows.append((f"{level} %", name, *before, *percent, f"{at_once:.0%}", steps.count(None), len(there)))
    return table(head, rows)
