"""Causal attention within each sample of a pack, with rotary positions, and its gradient written out.

    mixed = Attention.apply(qkv, heads, rotation, buffers)        # (tokens, heads * size)

Importing this module imports torch. Not here: norms, projections and the loss (training/operations.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from xpert_cli.training.operations import ScratchBuffers
from xpert_cli.training.packing import rounded

# Queries whose attention weights exist at one time. Fewer skip more of the keys that none of them sees; in bfloat16
# this gains nothing, as small products are slow, and a kernel would be compiled for every number of keys.
ROWS = {torch.float32: 64, torch.bfloat16: 256}


@dataclass(frozen=True, eq=False)
class Heads:
    """How q, k and v lie in a row, and where each sample's tokens lie in a pack: `Pack.seen`."""

    queries: int
    groups: int
    size: int
    seen: Sequence[tuple[int, int, int]]
    scale: float
    window: int | None  # tokens a query sees, itself included; None for all before it


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary position embedding (Su et al. 2021): cos and sin, (tokens, 1, rotated), signs of sin included.

    Of a head, the first `rotated` numbers are turned. `interleaved` pairs neighbours (llama in GGUF); otherwise their
    first half is paired with their second.
    """

    cos: Tensor
    sin: Tensor
    interleaved: bool

    def apply(self, heads: Tensor, back: bool = False) -> Tensor:
        """(tokens, heads, size) turned by each token's position, or back."""
        if (rotated := self.cos.shape[-1]) < heads.shape[-1]:
            return torch.cat([self.apply(heads[..., :rotated], back), heads[..., rotated:]], -1)
        pairs = heads.unflatten(-1, (-1, 2) if self.interleaved else (2, -1))
        swapped = pairs.flip(-1 if self.interleaved else -2).flatten(-2)
        return torch.addcmul(heads * self.cos, swapped, self.sin, value=-1 if back else 1)


class Attention(Function):
    """Causal attention within each sample of a pack, query heads in groups (Ainslie et al. 2023).

    Weights are worked out again for the gradient, so many queries at a time against the keys before them.
    """

    @staticmethod
    def forward(ctx: Any, joined: Tensor, heads: Heads, rotation: Rotation, buffers: ScratchBuffers) -> Tensor:
        turned = (heads.queries + heads.groups) * heads.size
        rotated = buffers.take(*joined.shape)
        rotated[:, turned:] = joined[:, turned:]
        rotated[:, :turned] = rotation.apply(joined[:, :turned].unflatten(1, (-1, heads.size))).flatten(1)
        ctx.heads, ctx.rotation = heads, rotation
        ctx.save_for_backward(rotated)
        out = buffers.take(len(joined), heads.queries * heads.size)
        out[heads.seen[-1][1] :] = 0
        for start, end, before in heads.seen:
            q, k, v = _split(_rows(rotated, start, end, before), heads)
            mixed = torch.empty_like(q)
            for rows, seen in _blocks(q, heads.window):
                weights = _weights(q[:, :, rows], k[:, seen], rows, seen, heads)
                mixed[:, :, rows] = torch.bmm(weights, v[:, seen]).unflatten(1, (q.shape[1], -1))
            out[start:end].unflatten(1, (heads.groups, -1, heads.size)).copy_(
                mixed[:, :, before : before + end - start].permute(2, 0, 1, 3)
            )
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (rotated,), heads = ctx.saved_tensors, ctx.heads
        result = torch.zeros_like(rotated)
        for start, end, before in heads.seen:
            q, k, v = _split(_rows(rotated, start, end, before), heads)
            to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
            to_mixed = _grouped(gradient[start:end], heads.groups, q.shape, before)
            for rows, seen in _blocks(q, heads.window):
                weights = _weights(q[:, :, rows], k[:, seen], rows, seen, heads)
                gradient_rows = to_mixed[:, :, rows].flatten(1, 2)
                to_v[:, seen].baddbmm_(weights.transpose(1, 2), gradient_rows)
                to_weights = torch.bmm(gradient_rows, v[:, seen].transpose(1, 2))
                to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, weights.dtype)
                to_q[:, :, rows] = torch.bmm(to_scores, k[:, seen]).mul_(heads.scale).unflatten(1, (q.shape[1], -1))
                to_k[:, seen].baddbmm_(to_scores.transpose(1, 2), q[:, :, rows].flatten(1, 2))
            joined = _joined(to_q, to_k, to_v, before + end - start, heads)
            result[:before] += joined[:before]
            result[start:end] = joined[before:]
        turned = (heads.queries + heads.groups) * heads.size
        part = result[:, :turned].unflatten(1, (-1, heads.size))
        part.copy_(ctx.rotation.apply(part, back=True))
        return result, None, None, None


def _split(joined: Tensor, heads: Heads) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled q (groups, queries a group, tokens, size), k and v (groups, tokens, size); tokens padded with zeros."""
    groups, size, tokens = heads.groups, heads.size, rounded(len(joined), str(joined.dtype).removeprefix("torch."))
    q, k, v = joined.split([heads.queries * size, groups * size, groups * size], 1)
    k, v = (_grouped(part, groups, (groups, 1, tokens, size)).squeeze(1) for part in (k, v))
    return _grouped(q, groups, (groups, heads.queries // groups, tokens, size)).mul_(heads.scale), k, v


def _rows(rotated: Tensor, start: int, end: int, before: int) -> Tensor:
    """The rows that a sample sees."""
    return torch.cat([rotated[:before], rotated[start:end]]) if before else rotated[start:end]


def _grouped(part: Tensor, groups: int, shape: Sequence[int], before: int = 0) -> Tensor:
    """(tokens, heads * size) as (groups, heads a group, padded tokens, size), with zeros before and behind."""
    result = part.new_empty(shape)
    end = before + len(part)
    result[:, :, :before] = 0
    result[:, :, before:end] = part.unflatten(1, (groups, -1, shape[-1])).permute(1, 2, 0, 3)
    result[:, :, end:] = 0
    return result


def _joined(q: Tensor, k: Tensor, v: Tensor, tokens: int, heads: Heads) -> Tensor:
    """The inverse of `_split`."""
    at, width = heads.queries * heads.size, heads.groups * heads.size
    out = q.new_empty(tokens, at + 2 * width)
    out[:, :at].unflatten(1, (heads.groups, -1, heads.size)).copy_(q[:, :, :tokens].permute(2, 0, 1, 3))
    for part, begin in ((k, at), (v, at + width)):
        out[:, begin : begin + width].unflatten(1, (heads.groups, -1)).copy_(part[:, :tokens].transpose(0, 1))
    return out


def _blocks(q: Tensor, window: int | None) -> list[tuple[slice, slice]]:
    """Slices of queries, and the keys that any of them sees."""
    tokens, rows = q.shape[2], ROWS[q.dtype]
    starts = range(0, tokens, rows)
    ends = [min(start + rows, tokens) for start in starts]
    return [
        (slice(start, end), slice(0 if window is None else max(0, start - window + 1), end))
        for start, end in zip(starts, ends, strict=True)
    ]


def _weights(q: Tensor, k: Tensor, rows: slice, seen: slice, heads: Heads) -> Tensor:
    """(groups, queries a group * rows, keys) softmax of the scores, zero for keys that a query does not see."""
    hidden = _hidden(rows.start, rows.stop, seen.start, seen.stop, q.shape[1], heads.window, q.dtype)
    return torch.softmax(torch.baddbmm(hidden, q.flatten(1, 2), k.transpose(1, 2)), -1)


@lru_cache(maxsize=64)
def _hidden(begin: int, end: int, first: int, last: int, copies: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """(copies * queries, keys) what is added to scores: 0, or -inf for keys that a query does not see."""
    distance = torch.arange(begin, end)[:, None] - torch.arange(first, last)
    hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
    return torch.zeros(distance.shape, dtype=dtype).masked_fill_(hidden, float("-inf")).repeat(copies, 1)
