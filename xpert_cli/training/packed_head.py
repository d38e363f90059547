"""The token embedding and the output matrix left in their quantized file: rows as tokens need them, a block at a time.

    embedding = PackedMatrix.of(header, file, "token_embd.weight")
    stream = embedding.rows(ids, torch.float32)                         # (tokens, hidden)
    loss = BlockedCrossEntropy.apply(states, embedding, targets, None, buffers)

Nothing of the size of the vocabulary times anything is ever whole. The loss is a running log-sum-exp over blocks of the
vocabulary; its gradient expands the blocks once more, and leaves out those in which no token is likely enough to count
(Wijmans et al. 2025, Cut Your Losses). Importing this module imports torch. Not here: the same with the matrices in
memory (training/operations.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from xpert_cli import gguf
from xpert_cli.training.operations import ScratchBuffers
from xpert_cli.training.packed import Packed

BLOCK = 1 << 12  # rows of the output matrix that are expanded at a time


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """One matrix in the file, (vocabulary, hidden)."""

    packed: Packed

    @classmethod
    def of(cls, header: gguf.Header, file: FileIO, name: str) -> PackedMatrix | None:
        """None where the matrix's type is not expanded by ggml."""
        packed = Packed.of(header, file, [name])
        return cls(packed) if packed else None

    def __len__(self) -> int:
        return self.packed.parts[0].rows

    def rows(self, ids: np.ndarray[Any, np.dtype[np.int64]], dtype: torch.dtype) -> Tensor:
        """(len(ids), hidden) the rows with these numbers; a row that is wanted often is read once."""
        unique, places = np.unique(ids, return_inverse=True)
        expanded = torch.empty(len(unique), self.packed.width, dtype=dtype)
        for at, row in enumerate(unique.tolist()):
            self.packed.expand_rows(row, expanded[at : at + 1])
        return expanded[torch.from_numpy(places)]

    def blocks(self, buffers: ScratchBuffers, skip: frozenset[int] = frozenset()) -> Iterator[tuple[int, int, Tensor]]:
        """(number, first row, (rows, hidden)) of each block but those to skip; a block is valid until the next one."""
        for number, first in enumerate(range(0, len(self), BLOCK)):
            if number not in skip:
                count = min(BLOCK, len(self) - first)
                block = buffers.scratch("head block", BLOCK, self.packed.width)[:count]
                self.packed.expand_rows(first, block)
                yield number, first, block


class BlockedCrossEntropy(Function):
    """Summed -log p of targets; the states' gradient is made on the way.

    As CrossEntropy, with one difference: the gradient leaves out whole blocks of tokens, those less likely than half
    the number type's precision, squared, at every position, and sums the others in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: PackedMatrix, targets: Tensor, cap: float | None, buffers: ScratchBuffers
    ) -> Tensor:
        """`states` has as many rows as `targets` or, for the sake of few shapes, more."""
        count = len(targets)
        top = torch.full((count, 1), -math.inf)
        total, target = torch.zeros(count, 1), torch.zeros(count, 1)
        highest: list[Tensor] = []  # (positions, 1) of each block
        for _, first, block in head.blocks(buffers):
            logits = _logits(states, block, count, cap, buffers)
            wide = buffers.scratch("wide", count, block.shape[0], dtype=torch.float32).copy_(logits)
            highest.append(wide.amax(-1, keepdim=True))
            inside = (targets >= first) & (targets < first + len(block))
            places = (targets[inside] - first)[:, None]
            target[inside] = wide[inside].gather(1, places)
            above = torch.maximum(top, highest[-1])
            total.mul_((top - above).exp_()).add_(wide.sub_(above).exp_().sum(-1, keepdim=True))
            top = above
        sums = total.log_() + top
        target -= sums
        if ctx.needs_input_grad[0]:
            least = 2 * math.log(torch.finfo(states.dtype).eps / 2)
            wanted = {int(number) for number in (targets // BLOCK).unique()}
            skip = {n for n, most in enumerate(highest) if n not in wanted and float((most - sums).max()) <= least}
            ctx.save_for_backward(_slope(states, head, targets, cap, buffers, sums, target, frozenset(skip)))
        return -target.sum(dtype=torch.float64).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        (gradients,) = ctx.saved_tensors
        return gradients.mul_(gradient), None, None, None, None


def _slope(
    states: Tensor,
    head: PackedMatrix,
    targets: Tensor,
    cap: float | None,
    buffers: ScratchBuffers,
    sums: Tensor,
    target: Tensor,
    skip: frozenset[int],
) -> Tensor:
    """(rows, hidden) the gradient of the summed -log p."""
    count = len(targets)
    slope = torch.zeros(states.shape, dtype=torch.float32)
    for _, first, block in head.blocks(buffers, skip):
        logits = _logits(states, block, count, cap, buffers)
        wide = buffers.scratch("wide", count, len(block), dtype=torch.float32).copy_(logits)
        shares = wide.sub_(sums).exp_()
        (inside,) = torch.nonzero((targets >= first) & (targets < first + len(block)), as_tuple=True)
        shares[inside, targets[inside] - first] = target[inside, 0].expm1()
        if cap is not None:
            shares *= 1 - (logits.float() / cap).square_()
        narrow = buffers.scratch("shares", count, len(block)).copy_(shares)
        slope[:count] += narrow @ block
    return slope.to(states.dtype)


def _logits(states: Tensor, block: Tensor, count: int, cap: float | None, buffers: ScratchBuffers) -> Tensor:
    """(count, rows) of the first `count` states."""
    logits = torch.mm(states, block.t(), out=buffers.scratch("block logits", len(states), len(block)))
    if cap is not None:
        logits.div_(cap).tanh_().mul_(cap)
    return logits[:count]
