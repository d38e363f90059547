"""Coordinates in a few bytes: where many adapters lie, nearly enough to see which of them to look at.

    coding = coding_for(offsets, residuals, precision, budget=24)
    codes = coding.encode(residuals, precision)           # (adapters, 24) uint8
    near = coding.values(codes) @ coding.directions       # (adapters, axes)

A residual is what an adapter is off the middle of its cell, along the directions in which adapters vary most, in the
metric of the cache. Each direction gets as many bits as lower the error of a score most (reverse water-filling, Cover
and Thomas, Elements of Information Theory, 10.3.3), by the uniform quantizer that is best for a normal distribution
(Max, IRE Transactions IT-6, 1960, table II). Not here: cells (cache/clusters.py), their files (cache/cells.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from xpert_cli.style.space import Floats

Bytes = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]
MOST_BITS = 8  # of a direction
_STEPS = (0.0, 1.596, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308)  # by bits, in standard deviations


@dataclass(frozen=True, eq=False)
class Coding:
    """How residuals are written.

    Attributes:
        directions: (directions, axes) float32, orthonormal in the metric up to their rounding to float16.
        steps: (directions,) float32 distance of two neighbouring values.
        bits: (directions,) uint8; a direction may have none.
    """

    directions: Singles
    steps: Singles
    bits: Bytes

    @property
    def width(self) -> int:
        """Bytes of one code."""
        return -(-int(self.bits.sum()) // 8)

    @cached_property
    def spreads(self) -> Singles:
        """(directions,) standard deviation of residuals; 0 where a direction has no bits."""
        return np.asarray(self.steps / np.where(self.bits > 0, np.array(_STEPS)[self.bits], 1.0), np.float32)

    def along(self, offsets: Floats, precision: Floats) -> Floats:
        """(n, directions) how far (n, axes) offsets go along each direction."""
        rows = self.directions.astype(np.float64)
        return np.asarray(offsets @ (precision @ rows.T @ np.linalg.inv(rows @ precision @ rows.T)))

    def encode(self, values: Floats) -> Bytes:
        """(n, width) codes of (n, directions) values."""
        bits = np.zeros((len(values), 8 * self.width), np.uint8)
        for at, first, count in self._places():
            half = 1 << (count - 1)
            level = np.clip(np.floor(values[:, at] / self.steps[at]) + half, 0, 2 * half - 1).astype(np.uint8)
            bits[:, first : first + count] = np.unpackbits(level[:, None], axis=1)[:, 8 - count :]
        return np.packbits(bits, axis=1)

    def values(self, codes: Bytes) -> Singles:
        """(n, directions) what codes say along each direction."""
        worth = np.zeros((8 * self.width, len(self.bits)), np.float32)  # of each bit, along each direction
        least = np.zeros(len(self.bits), np.float32)
        for at, first, count in self._places():
            worth[first : first + count, at] = self.steps[at] * (1 << np.arange(count)[::-1])
            least[at] = self.steps[at] * (0.5 - (1 << (count - 1)))
        return np.asarray(np.unpackbits(codes, axis=1).astype(np.float32) @ worth + least)

    def _places(self) -> list[tuple[int, int, int]]:
        """Of each direction that has bits: its number, its first bit in a code, and how many bits it has."""
        ends = np.cumsum(self.bits)
        counts = [int(count) for count in self.bits]
        return [(at, int(ends[at]) - count, count) for at, count in enumerate(counts) if count]


def directions_of(offsets: Floats, precision: Floats, most: int) -> Singles:
    """(at most `most`, axes) the directions along which (n, axes) offsets vary most, most first, rounded to float16.

    Args:
        precision: (axes, axes) the metric; rows and columns of axes that do not count are 0.
    """
    values, vectors = np.linalg.eigh(precision)
    spanned = values > 1e-9 * values.max()
    whitened = offsets @ (vectors[:, spanned] * np.sqrt(values[spanned]))
    _, turned = np.linalg.eigh(whitened.T @ whitened)
    back = (vectors[:, spanned] / np.sqrt(values[spanned])) @ turned[:, ::-1][:, :most]
    return np.asarray(back.T.astype(np.float16), np.float32)


def coding_for(directions: Singles, residuals: Floats, weights: Floats, budget: int) -> Coding:
    """The coding of at most `budget` bytes by which scores err least.

    A score has a residual times what is looked for: an error along a direction counts as far as writings reach there.

    Args:
        residuals: (n, directions) a sample, along the directions.
        weights: (directions,) mean square of writings along each direction.
    """
    variances = np.maximum((residuals**2).mean(axis=0), 1e-12)
    bits = np.zeros(len(variances), np.int64)
    for _ in range(min(8 * budget, MOST_BITS * len(bits))):
        bits[int(np.argmax(np.where(bits < MOST_BITS, weights * variances / 4.0**bits, -1.0)))] += 1
    steps = np.sqrt(variances) * np.array(_STEPS)[bits]
    return Coding(directions, steps.astype(np.float32), bits.astype(np.uint8))
