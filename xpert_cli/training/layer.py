"""One block of a decoder: groups of frozen linear layers with their LoRA factors, and how the stream goes through them.

    for half in layer.halves(heads, rotation, buffers):
        stream = half(stream, grad_anchor)          # (tokens, hidden)

Importing this module imports torch. Not here: where weights come from, and the order of blocks (training/decoder.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from xpert_cli.training.attention import Attention, Heads, Rotation
from xpert_cli.training.operations import (
    Block,
    GatedActivation,
    Identity,
    InputTransform,
    LoraLinear,
    Norm,
    RmsNorm,
    ScratchBuffers,
    Weights,
)
from xpert_cli.training.packed import Packed


class Group:
    """Frozen linear layers that share an input, with buffers for their LoRA factors beside them.

    Args:
        heights: rows of each layer.
        frozen: (out, in) their weights, one below the other; (out, 0) where they are packed.
        slot: the memory that packed weights are expanded in.
    """

    def __init__(
        self,
        names: Sequence[str],
        heights: Sequence[int],
        frozen: Tensor,
        packed: Packed | None,
        bias: Tensor | None,
        slot: str,
    ) -> None:
        self.names, self.heights, self.packed, self.bias, self.slot = names, heights, packed, bias, slot
        self.width = packed.width if packed else frozen.shape[1]
        self.joined, self._expanded = frozen, frozen.shape[1]  # width of what is expanded
        self.factors: list[tuple[Tensor, Tensor]] = []  # views of the parameters: A (rank, in), B (out, rank)
        self.weights: Weights

    def begin(self, parameters: Tensor, gradient: Tensor, rank: int, scale: float) -> None:
        """Make views of this group's share of the parameters: every A, then every B.

        Args:
            gradient: as many numbers; none for a group that is not trained.
        """
        ranks = rank * len(self.names)
        gradient = gradient if len(gradient) else parameters  # it is not written to
        at = self.width * ranks
        down, down_gradient = (flat[:at].view(ranks, self.width) for flat in (parameters, gradient))
        self.factors, ups, blocks, row = [], [], [], 0
        for index, height in enumerate(self.heights):
            share, rows = slice(at, at + height * rank), slice(row, row + height)
            columns = slice(index * rank, (index + 1) * rank)
            self.factors.append((down[columns], parameters[share].view(height, rank)))
            ups.append(gradient[share].view(height, rank))
            blocks.append((rows, columns))
            at, row = share.stop, rows.stop
        joined = self.joined.new_zeros(row, self._expanded + ranks)
        joined[:, : self._expanded] = self.joined[:, : self._expanded]
        self.joined = joined
        self.weights = Weights(
            joined,
            self.packed,
            joined.new_empty(ranks, self.width),
            self.bias,
            scale,
            blocks,
            down_gradient,
            ups,
            self.slot,
        )

    def refresh(self) -> None:
        """Copy the parameters to where the matrix products read them."""
        for (a, b), (rows, columns) in zip(self.factors, self.weights.blocks, strict=True):
            self.weights.down[columns] = a
            self.weights.ups[rows, columns] = b * self.weights.scale


@dataclass(frozen=True, eq=False)
class Layer:
    """One block: attention and MLP, each behind a norm and added to the stream."""

    qkv: Group
    output: Group
    gate_up: Group
    down: Group
    norms: dict[str, RmsNorm]
    gate: GatedActivation
    residual_scale: float
    local: bool
    rotated: bool

    def _norm(self, name: str) -> InputTransform:
        """A norm before a sublayer; an architecture may have none there."""
        return self.norms.get(name) or Identity()

    @property
    def groups(self) -> tuple[Group, ...]:
        """In the order of the parameters."""
        return self.qkv, self.output, self.gate_up, self.down

    def halves(self, heads: Heads, rotation: Rotation, buffers: ScratchBuffers) -> tuple[Block, Block]:
        """Attention and MLP: each makes of the residual stream, (tokens, hidden), the stream behind it."""
        return partial(self._attention, heads, rotation, buffers), partial(self._mlp, buffers)

    def _attention(
        self,
        heads: Heads,
        rotation: Rotation,
        buffers: ScratchBuffers,
        stream: Tensor,
        grad_anchor: Tensor,
        wanted: bool = True,
    ) -> Tensor:
        qkv = LoraLinear.apply(
            stream, None, grad_anchor, self._norm("attn_norm"), self.qkv.weights, buffers.sharing_scratch()
        )
        mixed = Attention.apply(self._head_norms(qkv, heads, buffers), heads, rotation, buffers)
        return self._added(stream, mixed, grad_anchor, Identity(), self.output, "post_attention_norm", buffers, wanted)

    def _mlp(self, buffers: ScratchBuffers, stream: Tensor, grad_anchor: Tensor, wanted: bool = True) -> Tensor:
        both = LoraLinear.apply(stream, None, grad_anchor, self._norm("ffn_norm"), self.gate_up.weights, buffers)
        return self._added(stream, both, grad_anchor, self.gate, self.down, "post_ffw_norm", buffers, wanted)

    def _added(
        self,
        stream: Tensor,
        source: Tensor,
        grad_anchor: Tensor,
        before: InputTransform,
        group: Group,
        after: str,
        buffers: ScratchBuffers,
        wanted: bool,
    ) -> Tensor:
        """The stream with a sublayer's output added, normed and scaled first where the architecture has it so.

        Args:
            wanted: the numbers, and not only the way back from their gradient.
        """
        if after not in self.norms and self.residual_scale == 1:
            return LoraLinear.apply(source, stream, grad_anchor, before, group.weights, buffers, wanted)  # type: ignore[no-any-return]
        wanted = wanted or after in self.norms
        added: Tensor = LoraLinear.apply(source, None, grad_anchor, before, group.weights, buffers, wanted)
        if after in self.norms:
            added = Norm.apply(added, self.norms[after], buffers)
        return torch.add(stream, added, alpha=self.residual_scale)

    def _head_norms(self, qkv: Tensor, heads: Heads, buffers: ScratchBuffers) -> Tensor:
        if "attn_q_norm" not in self.norms:
            return qkv
        sizes = [heads.queries * heads.size, heads.groups * heads.size]
        q, k, v = qkv.split([*sizes, sizes[1]], 1)
        normed = [
            Norm.apply(part.unflatten(1, (-1, len(self.norms[name].weight))), self.norms[name], buffers).flatten(1)
            for part, name in ((q, "attn_q_norm"), (k, "attn_k_norm"))
        ]
        return torch.cat([*normed, v], 1)
