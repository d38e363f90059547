"""The arithmetic of the figures: shares, intervals, errors of calibration, and what a start saves.

    share_interval(94, 100)          # Wilson's 95 % interval of a share: (0.875..., 0.972...)
    paired(warm, scratch)            # mean difference and its 95 % interval over users

Not here: what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
import numpy.typing as npt

from xpert_cli.style.space import Floats

# Student's t at 97.5 %, by degrees of freedom from 1; above 30 the normal's 1.96 + 2.4 / freedom is within 0.002.
STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Estimate:
    """A mean with the ends of its 95 % interval, and how many values it is of."""

    middle: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if self.count < 2:
            return f"{self.middle:+.3f} (no interval)"
        return f"{self.middle:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def share_interval(right: float, total: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (E. B. Wilson, 1927)."""
    z, p = 1.96, right / total
    centre, half = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total**2))
    return max(0.0, (centre - half) / (1 + z * z / total)), min(1.0, (centre + half) / (1 + z * z / total))


def share_text(right: float, total: float, digits: int = 0, unit: str = "") -> str:
    """A share in per cent with its interval: "94.0 (88-97)", or "94.0 % (88-97)" where " %" is the unit."""
    low, high = (f"{100 * end:.{digits}f}" for end in share_interval(right, total))
    return f"{100 * right / total:.1f}{unit} ({low}-{high})"


def student(freedom: int) -> float:
    """Student's t at 97.5 % with so many degrees of freedom."""
    return STUDENT[freedom - 1] if freedom <= len(STUDENT) else 1.96 + 2.4 / freedom


def estimate(values: Sequence[float]) -> Estimate:
    """Mean of some values and Student's 95 % interval; without width for a single one."""
    middle = mean(values)
    if len(values) < 2:
        return Estimate(middle, middle, middle, len(values))
    half = student(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(middle, middle - half, middle + half, len(values))


def percent_text(values: Sequence[float]) -> str:
    """The mean of percentages with its interval, which ends at 0 and at 100: "94.0 (88-97)"."""
    over = estimate(values)
    return f"{over.middle:.1f} ({max(over.low, 0.0):.0f}-{min(over.high, 100.0):.0f})"


def apart(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Difference of the means of two groups, with the 95 % interval of B. L. Welch (1947)."""
    parts = [np.var(group, ddof=1) / len(group) for group in (ours, theirs)]
    error, middle = float(np.sum(parts)), mean(ours) - mean(theirs)
    if error == 0:
        return Estimate(middle, middle, middle, len(ours) + len(theirs))
    freedom = error**2 / sum(part**2 / (len(group) - 1) for part, group in zip(parts, (ours, theirs), strict=True))
    half = student(int(freedom)) * math.sqrt(error)
    return Estimate(middle, middle - half, middle + half, len(ours) + len(theirs))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Mean of ours - theirs over users, with its interval."""
    return estimate([own - other for own, other in zip(ours, theirs, strict=True)])


def calibration_error(confidence: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of equal width (Naeini et al. 2015)."""
    bins = np.minimum((10 * confidence).astype(int), 9)
    return float(sum(abs((confidence - right)[bins == one].sum()) for one in range(10)) / len(confidence))


def confusion(scores: Floats) -> npt.NDArray[np.int64]:
    """(styles, adapters) how many users have each adapter first, from (styles, users, adapters) scores."""
    first = scores.argmax(axis=-1)
    return np.array([[np.sum(row == adapter) for adapter in range(scores.shape[-1])] for row in first], np.int64)


def own_first(counts: Sequence[Sequence[int]] | npt.NDArray[np.int64]) -> str:
    """The share of users whose own style's adapter is first, in per cent with its interval."""
    table = np.asarray(counts)
    return share_text(float(np.trace(table)), float(table.sum()))


def saved(ours: float | None, theirs: float) -> float:
    """The share of scratch's time or data that a start saves; nothing where the target was never reached."""
    return 0.0 if ours is None else 1 - ours / theirs


def first_at(curve: Sequence[tuple[int, float]], target: float) -> int | None:
    """The first step of a curve of (step, loss) at the target; None if there is none."""
    return next((step for step, loss in curve if loss <= target), None)
