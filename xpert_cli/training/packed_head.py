"""The token embedding and the output matrix left in their quantized file: rows as tokens need them, a block at a time.

    embedding = PackedMatrix.of(header, file, "token_embd.weight")
    stream = embedding.rows(ids, torch.float32)                         # (tokens, hidden)
    loss = BlockedCrossEntropy.apply(states, embedding, targets, None, buffers)

Nothing of the size of the vocabulary times anything is ever whole. The loss is a running log-sum-exp over blocks of the
vocabulary; its gradient expands the blocks once more, and leaves out the tokens that are not likely enough to count
(Wijmans et al. 2025, Cut Your Losses). Importing this module imports torch. Not here: the same with the matrices in
memory (training/operations.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from xpert_cli import gguf
from xpert_cli.training.likely_tokens import likely_tokens
from xpert_cli.training.operations import ScratchBuffers
from xpert_cli.training.packed import Packed

BLOCK = 1 << 12  # rows of the output matrix that are expanded at a time
ROWS = 1 << 8  # states that are multiplied with them at a time


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

    def block(self, number: int, buffers: ScratchBuffers) -> Tensor:
        """(rows, hidden) BLOCK rows, or what is left of them, from row number * BLOCK on; valid until the next one."""
        first = number * BLOCK
        block = buffers.scratch("head block", BLOCK, self.packed.width)[: min(BLOCK, len(self) - first)]
        self.packed.expand_rows(first, block)
        return block

    def blocks(self, buffers: ScratchBuffers) -> Iterator[tuple[int, Tensor]]:
        """(first row, (rows, hidden)) of each block."""
        for number in range(-(-len(self) // BLOCK)):
            yield number * BLOCK, self.block(number, buffers)


class BlockedCrossEntropy(Function):
    """Summed -log p of targets; the states' gradient is made on the way.

    As CrossEntropy, but for two things: how likely a token is at most is known from the blocks up to its own, so that
    the gradient leaves out fewer; and it is summed in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: PackedMatrix, targets: Tensor, cap: float | None, buffers: ScratchBuffers
    ) -> Tensor:
        """`states` has as many rows as `targets` or, for the sake of few shapes, more."""
        count = len(targets)
        top = torch.full((count, 1), -math.inf)
        total, target = torch.zeros(count, 1), torch.zeros(count, 1)
        learns = ctx.needs_input_grad[0]
        likeliest: list[Tensor] = []  # of each block: what the probability of a token is at most, at any position
        for first, block in head.blocks(buffers):
            likeliest.append(torch.zeros(len(block)))
            for some in _some(count):
                logits = _logits(states, some, block, cap, buffers)
                wide = buffers.scratch("wide", *logits.shape, dtype=torch.float32).copy_(logits)
                (inside,) = torch.nonzero(
                    (targets[some] >= first) & (targets[some] < first + len(block)), as_tuple=True
                )
                target[some.start + inside] = wide[inside].gather(1, (targets[some.start + inside] - first)[:, None])
                above = torch.maximum(top[some], wide.amax(-1, keepdim=True))
                powers = wide.sub_(above).exp_()
                total[some].mul_((top[some] - above).exp_()).add_(powers.sum(-1, keepdim=True))
                top[some] = above
                if learns:  # of the tokens so far: with more it becomes less
                    torch.maximum(likeliest[-1], powers.div_(total[some]).amax(0), out=likeliest[-1])
        sums = total.log_() + top
        target -= sums
        if learns:
            ctx.save_for_backward(_slope(states, head, targets, cap, buffers, sums, target, likeliest))
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
    likeliest: Sequence[Tensor],
) -> Tensor:
    """(rows, hidden) the gradient of the summed -log p."""
    count = len(targets)
    slope = torch.zeros(states.shape, dtype=torch.float32)
    for number, most in enumerate(likeliest):
        (inside,) = torch.nonzero(targets // BLOCK == number, as_tuple=True)
        rows, columns, real = likely_tokens(most, targets[inside] - number * BLOCK, states.dtype)
        if not real:
            continue
        block = head.block(number, buffers)
        if rows is not None:
            block = torch.index_select(block, 0, rows)
        for some in _some(count):
            logits = _logits(states, some, block, cap, buffers)
            wide = buffers.scratch("wide", *logits.shape, dtype=torch.float32).copy_(logits)
            shares = wide.sub_(sums[some]).exp_()
            shares[:, real:] = 0
            here = (inside >= some.start) & (inside < some.stop)
            shares[inside[here] - some.start, columns[here]] = target[inside[here], 0].expm1()
            if cap is not None:
                shares *= 1 - (logits.float() / cap).square_()
            narrow = buffers.scratch("shares", *shares.shape).copy_(shares)
            slope[some] += narrow @ block
    return slope.to(states.dtype)


def _some(count: int) -> Iterator[slice]:
    """So many rows, ROWS at a time."""
    return (slice(begin, min(begin + ROWS, count)) for begin in range(0, count, ROWS))


def _logits(states: Tensor, some: slice, block: Tensor, cap: float | None, buffers: ScratchBuffers) -> Tensor:
    """(some, rows of the block); the states' padding is multiplied along, for the sake of few shapes."""
    padded = states[some.start : some.start + ROWS]
    logits = torch.mm(padded, block.t(), out=buffers.scratch("block logits", len(padded), len(block)))
    logits = logits[: some.stop - some.start]
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)
