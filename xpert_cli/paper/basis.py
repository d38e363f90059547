"""An ordered basis of named directions that grows adapter by adapter, and coordinates on it (XPerT's Algorithm 1).

    grown = grow(Basis.empty(576), v, candidates)        # candidates: (word, vector), likeliest first
    grown.basis.words, grown.basis.coordinates(v)        # ("formal", "playful"), array([1.9, -0.4])

What is kept never changes: a later adapter only appends, so its coordinates of earlier ones are one product more.
A direction counts for both its ends: antonyms are one axis. Not here: where vectors come from (paper/two_answers.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from xpert_cli.errors import BadModel

Floats = npt.NDArray[np.float64]
ORTHOGONALITY, RESIDUAL, MOST = 0.1, 0.2, 300  # the first two are the paper's


@dataclass(frozen=True, eq=False)
class Basis:
    """Named directions in the order they were kept.

    Attributes:
        words: one a direction, all different.
        units: (words, hidden), each of length 1.
    """

    words: tuple[str, ...]
    units: Floats

    def __post_init__(self) -> None:
        lengths = np.linalg.norm(self.units, axis=1) if self.units.ndim == 2 else np.zeros(0)
        if not len(set(self.words)) == len(self.words) == len(lengths) or not (abs(lengths - 1) < 0.01).all():
            raise BadModel(f"{len(self.words)} words do not name {len(lengths)} unit vectors. Grow the basis again.")

    @classmethod
    def empty(cls, hidden: int) -> Basis:
        """A basis of no words yet, for vectors of `hidden` numbers."""
        return cls((), np.zeros((0, hidden)))

    def __len__(self) -> int:
        return len(self.words)

    def coordinates(self, v: Floats) -> Floats:
        """(..., words) z_i = v . v_i / |v_i|, of (..., hidden) vectors: the paper's formula."""
        return np.asarray(v @ self.units.T)

    def least_squares(self, v: Floats) -> Floats:
        """(..., words) coordinates whose sum z_i v_i / |v_i| comes nearest to v."""
        return np.asarray(v @ np.linalg.pinv(self.units)) if len(self) else np.zeros((*v.shape[:-1], 0))

    def residual(self, v: Floats, z: Floats) -> float:
        """|v - sum z_i v_i / |v_i|| as a share of |v|; 0 for a v of no length."""
        length = float(np.linalg.norm(v))
        return float(np.linalg.norm(v - z @ self.units)) / length if length else 0.0


@dataclass(frozen=True, eq=False)
class Grown:
    """A basis after one more vector was to be approximated.

    Attributes:
        words: those taken from the candidates, kept or not.
        formula, least_squares: what the two kinds of coordinates leave of the vector, as shares of its length.
        reached: whether the formula's share came under the threshold.
    """

    basis: Basis
    words: tuple[str, ...]
    formula: float
    least_squares: float
    reached: bool

    @property
    def looked(self) -> int:
        """How many candidates were looked at."""
        return len(self.words)


def grow(
    basis: Basis,
    v: Floats,
    candidates: Iterable[tuple[str, Floats]],
    *,
    orthogonality: float = ORTHOGONALITY,
    residual: float = RESIDUAL,
    most: int = MOST,
) -> Grown:
    """Append candidates to a basis until it approximates `v`.

    Args:
        v: (hidden,) what is to be approximated.
        candidates: (word, (hidden,) vector), likeliest first; taken one at a time, none when `v` needs none.
        orthogonality: a candidate is kept if its absolute cosine with every kept vector is under this.
        residual: what may be left of `v`, by the formula's coordinates, as a share of its length.
        most: candidates looked at at most.
    """
    words: list[str] = []
    left = basis.residual(v, basis.coordinates(v))
    supply: Iterator[tuple[str, Floats]] = islice(candidates, most)
    while left >= residual and (candidate := next(supply, None)) is not None:
        word, vector = candidate
        words.append(word)
        length = float(np.linalg.norm(vector))
        if word in basis.words or not np.isfinite(length) or length == 0:
            continue
        unit = np.asarray(vector, np.float64) / length
        if (abs(basis.units @ unit) < orthogonality).all():
            basis = Basis((*basis.words, word), np.concatenate([basis.units, unit[None]]))
            left = basis.residual(v, basis.coordinates(v))
    return Grown(
        basis,
        tuple(words),
        left,
        basis.residual(v, basis.least_squares(v)),
        left < residual,
    )
