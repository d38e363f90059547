"""The style space of a cache: axes with names, readings of texts on them, shifts from the base model.

    shift = space.shift(readings.mean)          # how far a person writes from the base, in standard deviations
    shares = space.shares(user, adapter)        # what each axis adds to their cosine

A reading is a text's raw value on an axis. Measured axes are text statistics (style/measured.py); described axes are
the log-odds of two opposite adjectives in a language model's answer, linear in its hidden state. Not here: where
readings come from (style/described.py) and who is nearest (selection/score.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from xpert_cli.errors import BadModel

Floats = npt.NDArray[np.float64]

LEAST_SHRINKAGE = 0.01  # of a correlation towards the identity: axes that say nearly the same must not cancel
WORDING = "spelling and wording"  # the axes that only rank, and are shown as one: their names begin with this
DRAWN = 80.0  # texts that show an axis, at which half of what they show is believed; set on tune turns of 101 people
GRID = 4095  # steps from 0 to 1 of a correlation that is written in two bytes, of which one says little
RARELY = 0.01  # share of texts that an axis must show, or it tells nothing of how well correlations are known
FARTHEST = 25.0  # standard deviations: what seems further off was divided by a spread of next to nothing
FLOOR = 0.02  # smallest pooled standard deviation, relative to the axis's spread over all texts


@dataclass(frozen=True)
class Axis:
    """One named direction of style; `low` and `high` complete "you write ...".

    `digest` names what a measured axis counts (style/axes.py); empty where that is not said.
    """

    name: str
    kind: str
    low: str
    high: str
    length: bool = False
    digest: str = ""

    @property
    def named(self) -> bool:
        """Whether the axis alone means something to people."""
        return not self.name.startswith(WORDING)

    def words(self, value: float) -> str:
        """The end of the axis that `value` points to."""
        return self.high if value > 0 else self.low


def measured(axes: Sequence[Axis]) -> npt.NDArray[np.bool_]:
    """(axes,) which of them are counted, not described."""
    return np.array([axis.kind == "measured" for axis in axes])


def believed(known: npt.ArrayLike, samples: float) -> Floats:
    """(axes,) k / (k + DRAWN) for the k texts that show an axis, over the same for all texts; 0 to 1."""
    shown, most = np.asarray(known, np.float64), max(1.0, samples)
    return np.asarray(shown / (shown + DRAWN) * (most + DRAWN) / most)


@dataclass(frozen=True, eq=False)
class Scatter:
    """What is known of one writer's texts once their readings are added up.

    Attributes:
        samples: texts.
        known: (axes,) texts that say something about an axis.
        mean: (axes,) over these; NaN where there are none.
        squares: (axes, axes) sums over texts of products of deviations from the mean, those not known being 0.
    """

    samples: float
    known: Floats
    mean: Floats
    squares: Floats

    def weighing(self, samples: float) -> Scatter:
        """The same variances and correlations, as if of so many texts; of one text nothing varies."""
        part = (samples - 1) / (self.samples - 1) if self.samples > 1 else 0.0
        known = np.where(self.known > 0, 1 + (self.known - 1) * part, 0.0)
        return replace(self, samples=samples, known=known, squares=self.squares * part)

    @property
    def believed(self) -> Floats:
        """(axes,) how much of the mean is believed: see `believed`."""
        return believed(self.known, self.samples)

    def on(self, axes: npt.NDArray[np.bool_]) -> Scatter:
        """On a subset of the axes."""
        return replace(self, known=self.known[axes], mean=self.mean[axes], squares=self.squares[np.ix_(axes, axes)])


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

    @property
    def believed(self) -> Floats:
        """(axes,) how much of the mean is believed: see `believed`."""
        return believed((~np.isnan(self.values)).sum(axis=0), len(self.values))

    @property
    def scatter(self) -> Scatter:
        """All that pooling needs of them."""
        known, mean = ~np.isnan(self.values), self.mean
        off = np.where(known, self.values - mean, 0.0)
        return Scatter(len(self.values), known.sum(axis=0).astype(np.float64), mean, off.T @ off)

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

    @cached_property
    def correlation(self) -> Floats:
        """(axes, axes) of texts within writers: the precision's inverse."""
        return np.asarray(np.linalg.inv(self.precision), np.float64)

    def shift(self, mean: Floats, *, writing: bool) -> Floats:
        """(axes,) shift from the base in pooled standard deviations; 0 where the reading is NaN.

        Args:
            mean: (axes,) mean reading.
            writing: of a person's text, whose gap to answers is taken out; False for a model's answers.
        """
        origin = self.reference + self.gap if writing else self.reference
        return np.nan_to_num((mean - origin) / self.spread)

    def position(self, texts: Readings | Scatter) -> Floats:
        """(axes,) shift of a person's texts, drawn to 0 on axes that few of the texts show.

        By `believed`: what every text shows is left as it is. A user's texts and an adapter's training texts are both
        placed so. Otherwise a habit that two of a hundred texts show would throw an adapter far off by chance.
        """
        return np.asarray(self.shift(texts.mean, writing=True) * texts.believed)

    def around(self, shift: Floats) -> Space:
        """The space with people's texts counted from another place than the base: from `shift`, such as a cache's mean.

        `shift` is (axes,) in pooled standard deviations from the base.
        """
        moved = np.where(np.isfinite(self.spread), shift * np.where(np.isfinite(self.spread), self.spread, 0.0), 0.0)
        return replace(self, gap=self.gap + moved)

    def only(self, keep: npt.NDArray[np.bool_]) -> Space:
        """The space on a subset of its axes; the precision is that of the remaining axes alone."""
        if keep.all():
            return self
        described = np.array([axis.kind == "described" for axis in self.axes])
        covariance = np.linalg.inv(self.precision)[np.ix_(keep, keep)]
        return Space(
            tuple(axis for axis, remains in zip(self.axes, keep, strict=True) if remains),
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


def pooled(writers: Sequence[Scatter]) -> tuple[Floats, Floats]:
    """Spread and precision of single texts within writers.

    Returns:
        (axes,) pooled standard deviation, infinite where nothing varies, and the (axes, axes) inverse of the pooled
        correlation shrunk towards the identity, R = (1 - s) C + s I, the less the more texts there are: `shrinkage`.
    """
    several = [writer for writer in writers if writer.samples > 1]
    squares = np.asarray(sum(writer.squares for writer in several))
    freedom = np.maximum(1, sum(np.maximum(writer.known - 1, 0) for writer in several))
    spread = np.maximum(np.sqrt(np.diag(squares) / freedom), FLOOR * _overall(writers))
    spread = np.where(spread > 0, spread, np.inf)  # an axis that no text varies on stays silent
    texts = max(1, sum(writer.samples for writer in several) - len(several))
    correlation = squares / np.outer(spread, spread) / texts
    np.fill_diagonal(correlation, 1.0)
    counted = freedom >= RARELY * texts
    return spread, shrunk(correlation, shrinkage(correlation[np.ix_(counted, counted)], texts))


def shrunk(correlation: Floats, part: float) -> Floats:
    """(axes, axes) inverse of a correlation drawn towards the identity: of (1 - part) C + part I."""
    return np.asarray(np.linalg.inv((1 - part) * correlation + part * np.eye(len(correlation))), np.float64)


def rounded(precision: Floats) -> Floats:
    """(axes, axes) the inverse of a correlation whose entries are whole numbers of GRID, which take two bytes each."""
    return np.asarray(np.linalg.inv(np.round(np.linalg.inv(precision) * GRID) / GRID))


def shrinkage(correlation: Floats, freedom: float) -> float:
    """How much of the identity a correlation that was estimated takes to err least.

    s = sum var(r) / sum r^2 over all pairs of axes (J. Schäfer and K. Strimmer, Stat. Appl. Genet. Mol. Biol. 4, 2005),
    var(r) being (1 - r^2)^2 over the degrees of freedom, as of normal readings.
    """
    squared = correlation[~np.eye(len(correlation), dtype=bool)] ** 2
    if not squared.any():
        return 1.0
    return float(np.clip(((1 - squared) ** 2).sum() / freedom / squared.sum(), LEAST_SHRINKAGE, 1.0))


def _overall(writers: Sequence[Scatter]) -> Floats:
    """(axes,) standard deviation of all texts about their common mean, one that says nothing being at the mean."""
    known = np.array([writer.known for writer in writers])
    means = np.nan_to_num([writer.mean for writer in writers])
    common = (known * means).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    between_squares = (known * (means - common) ** 2).sum(axis=0)
    within_squares = sum(np.diag(writer.squares) for writer in writers)
    return np.asarray(np.sqrt((within_squares + between_squares) / sum(writer.samples for writer in writers)))


def joined(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats], where: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Spread and precision on all axes of two parts that are known apart, and taken to be uncorrelated.

    Args:
        first, second: spread and precision on the axes `where` is true, and on all others.
    """
    spread, precision = np.empty(len(where)), np.zeros((len(where), len(where)))
    for (one, inverse), axes in ((first, where), (second, ~where)):
        spread[axes], precision[np.ix_(axes, axes)] = one, inverse
    return spread, precision
