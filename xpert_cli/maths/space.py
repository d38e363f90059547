"""The style space of a cache: axes with names, readings of texts on them, shifts from the base model.

    shift = space.shift(readings.mean)          # how far a person writes from the base, in standard deviations
    shares = space.shares(user, adapter)        # what each axis adds to their cosine

A reading is a text's raw value on an axis. Measured axes are text statistics (maths/style.py); described axes are the
log-odds of two opposite adjectives in a language model's answer, linear in its hidden state. Not here: where readings
come from (steps/explain.py) and who is nearest (maths/selection.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xpert_cli.errors import BadModel

Floats = npt.NDArray[np.float64]

SHRINKAGE = 0.1  # of the pooled correlation towards the identity: chosen on tuning rows, flat from 0.05 to 0.3
FLOOR = 0.02  # smallest pooled standard deviation, relative to the axis's spread over all texts


@dataclass(frozen=True)
class Axis:
    """One named direction of style; `low` and `high` complete "you write ..."."""

    name: str
    kind: str
    low: str
    high: str
    length: bool = False

    def words(self, value: float) -> str:
        """The end of the axis that `value` points to."""
        return self.high if value > 0 else self.low


@dataclass(frozen=True, eq=False)
class Readings:
    """Raw values of texts on axes: (texts, axes) float64, NaN where a text says nothing about an axis."""

    values: Floats

    @property
    def mean(self) -> Floats:
        """(axes,) mean over the texts that say something; NaN where none does."""
        known = ~np.isnan(self.values)
        count = known.sum(axis=0)
        total = np.where(known, self.values, 0.0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Space:
    """Axes, where the base model lies on them, and how far apart texts of one writer lie.

    Attributes:
        axes: in the order of every array here.
        basis: (described, hidden) float32; a described axis's reading is its row times the hidden state.
        reference: (axes,) mean reading of the base model's own answers.
        gap: (axes,) mean reading of people's texts less that of models' answers to prompts, style apart.
        spread: (axes,) standard deviation of one text's reading, pooled within writers.
        precision: (axes, axes) inverse of the shrunken pooled correlation.
    """

    axes: tuple[Axis, ...]
    basis: npt.NDArray[np.float32]
    reference: Floats
    gap: Floats
    spread: Floats
    precision: Floats

    def __post_init__(self) -> None:
        n = len(self.axes)
        shapes = {"reference": (n,), "gap": (n,), "spread": (n,), "precision": (n, n)}
        wrong = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        if wrong or not (self.spread > 0).all():
            raise BadModel(
                f"the cache's {', '.join(wrong) or 'spread'} does not fit its {n} axes. Build the cache again."
            )

    def shift(self, mean: Floats, *, writing: bool) -> Floats:
        """(axes,) shift from the base in pooled standard deviations; 0 where the reading is NaN.

        Args:
            mean: (axes,) mean reading.
            writing: of a person's text, whose gap to answers is taken out; False for a model's answers.
        """
        origin = self.reference + self.gap if writing else self.reference
        return np.nan_to_num((mean - origin) / self.spread)

    def only(self, keep: npt.NDArray[np.bool_]) -> Space:
        """The space on a subset of its axes; the precision is that of the remaining axes alone."""
        if keep.all():
            return self
        described = np.array([axis.kind == "described" for axis in self.axes])
        covariance = np.linalg.inv(self.precision)[np.ix_(keep, keep)]
        return Space(
            tuple(axis for axis, kept in zip(self.axes, keep, strict=True) if kept),
            self.basis[keep[described]],
            self.reference[keep],
            self.gap[keep],
            self.spread[keep],
            np.linalg.inv(covariance),
        )

    def norm(self, shift: Floats) -> float:
        """Length of a shift under the metric: sqrt(s' P s)."""
        return float(np.sqrt(max(0.0, float(shift @ self.precision @ shift))))

    def shares(self, user: Floats, adapter: Floats) -> Floats:
        """(axes,) what each axis adds to the cosine of two shifts; the shares sum to it.

        share_i = u_i (P a)_i / (|u| |a|), made symmetric in u and a.
        """
        length = self.norm(user) * self.norm(adapter)
        if length == 0:
            return np.zeros_like(user)
        return (user * (self.precision @ adapter) + adapter * (self.precision @ user)) / (2 * length)


def pooled(groups: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Spread and precision of single texts within writers.

    Args:
        groups: (texts, axes) readings of one writer each, NaN where missing.
    Returns:
        (axes,) pooled standard deviation, infinite where nothing varies, and the (axes, axes) inverse of the pooled
        correlation shrunk towards the identity, R = (1 - s) C + s I with s = SHRINKAGE.
    """
    centred = [group - Readings(group).mean for group in groups if len(group) > 1]
    rows = np.concatenate(centred)
    known = ~np.isnan(rows)
    freedom = np.maximum(1, known.sum(axis=0) - len(centred))
    rows = np.where(known, rows, 0.0)
    spread = np.sqrt((rows**2).sum(axis=0) / freedom)
    everything = np.concatenate(list(groups))
    overall = np.nan_to_num(everything - Readings(everything).mean).std(axis=0)
    spread = np.maximum(spread, FLOOR * overall)
    spread = np.where(spread > 0, spread, np.inf)  # an axis that no text varies on stays silent
    scaled = rows / spread
    correlation = scaled.T @ scaled / max(1, len(rows) - len(centred))
    np.fill_diagonal(correlation, 1.0)
    return spread, np.linalg.inv((1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(spread)))
