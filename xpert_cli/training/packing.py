"""Samples laid end to end for one pass; what all of them begin with, such as a system prompt, is there once.

    pack = Pack.of([([1, 2, 3], 1), ([1, 2, 4, 5], 2)])
    pack.ids, pack.shared                            # array([1, 2, 3, 2, 4, 5, 0, ...]), 1

Every sample but the first leaves out the tokens shared by all; its own see them through attention, and their gradient
comes from all samples. Not here: attention itself (training/attention.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from xpert_cli.llama.model import Sample

Integers = npt.NDArray[np.int64]

GRAINS = {"float32": 16, "bfloat16": 64}  # rows of a matrix product, see `rounded`
TOGETHER = 1 << 10  # tokens for which weights in the file are expanded once, where little is kept of each


def rounded(count: int, kind: str) -> int:
    """The number of rows that `count` rows of a number type are padded to.

    In bfloat16, oneDNN compiles a kernel of some 0.7 MB for every matrix shape it meets, so shapes are kept few.
    """
    return -count % GRAINS[kind] + count


@dataclass(frozen=True, eq=False)
class Pack:
    """Tokens of several samples as rows of one matrix.

    Attributes:
        ids, positions: (rows,) tokens, padded with 0 to what `rounded` says, and where each stands in its sample.
        spans: the rows of each sample's own tokens.
        shared: the number of rows, at the top, that all samples begin with; the first sample's span has them in it.
        rows: (scored,) where the state that predicts each scored token is.
        targets: (scored,) those tokens.
    """

    ids: Integers
    positions: Integers
    spans: tuple[tuple[int, int], ...]
    shared: int
    rows: Integers
    targets: Integers

    @classmethod
    def of(cls, samples: Sequence[Sample], kind: str = "bfloat16") -> Pack:
        """Lay samples out in their order, for a computation in a number type."""
        shared, end = shared_tokens(samples), 0
        ids: list[int] = []
        positions: list[int] = []
        rows: list[int] = []
        targets: list[int] = []
        spans: list[tuple[int, int]] = []
        for tokens, first in samples:
            start, skipped = end, shared if spans else 0
            end += len(tokens) - skipped
            spans.append((start, end))
            ids += tokens[skipped:]
            positions += range(skipped, len(tokens))
            rows += [at if at < skipped else start + at - skipped for at in range(first - 1, len(tokens) - 1)]
            targets += tokens[first:]
        return cls(
            _padded(ids, kind), _padded(positions, kind), tuple(spans), shared, np.array(rows), np.array(targets)
        )

    @property
    def seen(self) -> tuple[tuple[int, int, int], ...]:
        """Of each sample: the span of its own rows, and how many rows at the top it sees besides."""
        return tuple((start, end, self.shared if start else 0) for start, end in self.spans)


def _padded(numbers: list[int], kind: str) -> Integers:
    return np.array(numbers + [0] * (rounded(len(numbers), kind) - len(numbers)))


def shared_tokens(samples: Sequence[Sample]) -> int:
    """How many tokens, none of them scored, all of two or more samples begin with."""
    if len(samples) < 2:
        return 0
    limit = min(first for _, first in samples)
    columns = zip(*(tokens[:limit] for tokens, _ in samples), strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def packs(samples: Sequence[Sample], tokens: int) -> list[list[Sample]]:
    """Samples grouped for one pass each of at most `tokens` rows, as even as may be; a longer sample goes alone."""
    shared = shared_tokens(samples)
    own = sum(min(len(ids), tokens) - shared for ids, _ in samples)
    groups: list[list[Sample]] = []
    for count in range(max(1, -(-own // max(1, tokens - shared))), len(samples) + 1):
        groups = [[] for _ in range(count)]
        sizes = [shared] * count
        for sample in sorted(samples, key=lambda sample: -len(sample[0])):
            least = min(range(count), key=sizes.__getitem__)
            groups[least].append(sample)
            sizes[least] += len(sample[0]) - shared
        if all(size <= tokens or len(group) == 1 for size, group in zip(sizes, groups, strict=True)):
            break
    return [group for group in groups if group]


def grouped(parts: Sequence[Sequence[Sample]], tokens: int) -> list[list[Sequence[Sample]]]:
    """Parts, in their order, in groups of at most so many tokens; a part of more is a group of its own."""
    groups: list[list[Sequence[Sample]]] = []
    room = 0
    for part in parts:
        size = sum(len(ids) for ids, _ in part)
        if size > room:
            groups.append([])
            room = tokens
        groups[-1].append(part)
        room -= size
    return groups
