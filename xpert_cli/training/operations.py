"""The steps of a decoder that torch would do with more memory or more time: each with its gradient written out.

    states = Projection.apply(stream, switch, norm, weights)     # norm(stream) @ (W + scale B A)', gradients of A, B
    mixed = Attention.apply(qkv, heads, rotation)
    loss = CrossEntropy.apply(states, head, targets, None)

Everything runs on tokens packed end to end, (tokens, width), padded only to a multiple of GRAIN. A function saves its
input and works out the rest again, so a decoder layer keeps its two residual streams, q, k, v, the attention's output
and the MLP's gate and up: 11.5 kB a token in bf16 for SmolLM2-135M. Importing this module imports torch.
Not here: where weights come from, and the order of the layers (training/decoder.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import gelu, silu

ROWS = 256  # queries whose attention weights exist at one time
SCORED = 128  # positions whose logits exist at one time
GRAIN = 64  # rows of a matrix product, see `rounded`


def rounded(count: int) -> int:
    """The number of rows that `count` rows are padded to.

    oneDNN compiles a kernel of some 0.7 MB for every matrix shape it meets, so shapes are kept few.
    """
    return -count % GRAIN + count


@dataclass(frozen=True, eq=False)
class Weights:
    """Linear layers with one input, and their LoRA factors, as one matrix product: y = [x, x A'] [W, scale B]'.

    `joined` is (out, in + ranks): the frozen W beside scale * B of every layer, block-diagonal; `down`, (ranks, in),
    is the layers' A one below the other; both in the type of the computation. `blocks` says which rows and ranks are
    whose. Gradients are float32.
    """

    joined: Tensor
    down: Tensor
    bias: Tensor | None
    scale: float
    blocks: Sequence[tuple[slice, slice]]
    down_gradient: Tensor
    up_gradients: Sequence[Tensor]


class Before(Protocol):
    """What is done to a layer's saved input before its matrix product, and the way back."""

    def forward(self, source: Tensor, out: Tensor) -> None: ...
    def backward(self, source: Tensor, gradient: Tensor) -> Tensor: ...


class Nothing:
    """The input itself."""

    def forward(self, source: Tensor, out: Tensor) -> None:
        out.copy_(source)

    def backward(self, source: Tensor, gradient: Tensor) -> Tensor:
        return gradient


@dataclass(frozen=True, eq=False)
class RmsNorm:
    """x / rms(x) * weight over the last axis, in float32 (Zhang and Sennrich 2019)."""

    weight: Tensor
    epsilon: float

    def forward(self, source: Tensor, out: Tensor) -> None:
        wide = source.float()
        torch.mul(wide * self._inverse(wide), self.weight, out=out)

    def backward(self, source: Tensor, gradient: Tensor) -> Tensor:
        wide = source.float()
        inverse = self._inverse(wide)
        unit, scaled = wide.mul(inverse), gradient * self.weight
        shared = torch.linalg.vecdot(scaled, unit).unsqueeze_(-1).div_(source.shape[-1])
        return scaled.addcmul_(unit, shared, value=-1).mul_(inverse).to(source.dtype)

    def _inverse(self, wide: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return norm.square_().div_(wide.shape[-1]).add_(self.epsilon).rsqrt_()


class Gate:
    """activation(gate) * up, of a source that holds both side by side (Shazeer 2020)."""

    def __init__(self, activation: str) -> None:
        self.silu = activation == "silu"

    def forward(self, source: Tensor, out: Tensor) -> None:
        gate, up = source.chunk(2, -1)
        torch.mul(self._active(gate.contiguous()), up, out=out)

    def backward(self, source: Tensor, gradient: Tensor) -> Tensor:
        gate, up = source.chunk(2, -1)
        gate = gate.contiguous()
        result = torch.empty_like(source)
        to_gate, to_up = result.chunk(2, -1)
        torch.mul(gradient, self._active(gate), out=to_up)
        if self.silu:
            to_gate.copy_(torch.ops.aten.silu_backward(gradient * up, gate))
        else:
            to_gate.copy_(torch.ops.aten.gelu_backward(gradient * up, gate, approximate="tanh"))
        return result

    def _active(self, gate: Tensor) -> Tensor:
        return silu(gate) if self.silu else gelu(gate, approximate="tanh")


class Projection(Function):
    """Linear layers that share an input, with LoRA: `before`, then `Weights`.

    Gradients of the factors are added to `weights.down_gradient` and `weights.up_gradients`, so the graph carries none
    of them; `switch` is a tensor that requires a gradient and receives none.
    """

    @staticmethod
    def forward(ctx: Any, source: Tensor, switch: Tensor, before: Before, weights: Weights) -> Tensor:
        ctx.before, ctx.weights = before, weights
        ctx.save_for_backward(source)
        product = _extended(source, before, weights) @ weights.joined.t()
        return product if weights.bias is None else product.add_(weights.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:  # type: ignore[override]
        (source,), weights = ctx.saved_tensors, ctx.weights
        width, joined = weights.down.shape[1], weights.joined
        extended = _extended(source, ctx.before, weights)
        wanted = ctx.needs_input_grad[0]
        to_joined = extended[:, width:].t() @ gradient
        for (rows, ranks), into in zip(weights.blocks, weights.up_gradients, strict=True):
            into.t().add_(to_joined[ranks, rows], alpha=weights.scale)
        back = gradient @ (joined if wanted else joined[:, width:])
        to_lowered = back[:, -len(weights.down) :]
        weights.down_gradient.add_(to_lowered.t() @ extended[:, :width])
        if not wanted:
            return None, None, None, None
        return ctx.before.backward(source, torch.addmm(back[:, :width], to_lowered, weights.down)), None, None, None


def _extended(source: Tensor, before: Before, weights: Weights) -> Tensor:
    """(tokens, in + ranks): the layers' input, and it times every A."""
    ranks, width = weights.down.shape
    extended = source.new_empty(len(source), width + ranks)
    before.forward(source, extended[:, :width])
    extended[:, width:] = extended[:, :width] @ weights.down.t()
    return extended


class Norm(Function):
    """A norm that no projection follows: on heads, and behind a sublayer."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, norm: RmsNorm) -> Tensor:
        ctx.norm = norm
        ctx.save_for_backward(source)
        out = torch.empty_like(source)
        norm.forward(source, out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (source,) = ctx.saved_tensors
        return ctx.norm.backward(source, gradient), None


@dataclass(frozen=True, eq=False)
class Heads:
    """How q, k and v lie in a row, and where each sample's tokens lie in a pack."""

    queries: int
    groups: int
    size: int
    spans: Sequence[tuple[int, int]]
    scale: float
    window: int | None  # tokens a query sees, itself included; None for all before it


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary position embedding (Su et al. 2021): cos and sin, (tokens, 1, size), signs of sin included.

    `interleaved` pairs neighbours (llama in GGUF); otherwise the first half of a head is paired with its second.
    """

    cos: Tensor
    sin: Tensor
    interleaved: bool

    def apply(self, heads: Tensor, back: bool = False) -> Tensor:
        """(tokens, heads, size) turned by each token's position, or back."""
        pairs = heads.unflatten(-1, (-1, 2) if self.interleaved else (2, -1))
        swapped = pairs.flip(-1 if self.interleaved else -2).flatten(-2)
        return torch.addcmul(heads * self.cos, swapped, self.sin, value=-1 if back else 1)


class Attention(Function):
    """Causal attention within each sample of a pack, query heads in groups (Ainslie et al. 2023).

    Weights are worked out again for the gradient, `ROWS` queries at a time against the keys before them.
    """

    @staticmethod
    def forward(ctx: Any, joined: Tensor, heads: Heads, rotation: Rotation) -> Tensor:
        turned = (heads.queries + heads.groups) * heads.size
        rotated = torch.empty_like(joined)
        rotated[:, turned:] = joined[:, turned:]
        rotated[:, :turned] = rotation.apply(joined[:, :turned].unflatten(1, (-1, heads.size))).flatten(1)
        ctx.heads, ctx.rotation = heads, rotation
        ctx.save_for_backward(rotated)
        out = joined.new_zeros(len(joined), heads.queries * heads.size)
        for start, end in heads.spans:
            q, k, v = _split(rotated[start:end], heads)
            mixed = torch.empty_like(q)
            for rows, seen in _blocks(q.shape[2], heads.window):
                weights = _weights(q[:, :, rows], k[:, seen], rows, seen, heads)
                mixed[:, :, rows] = torch.bmm(weights, v[:, seen]).unflatten(1, (q.shape[1], -1))
            out[start:end].unflatten(1, (heads.groups, -1, heads.size)).copy_(
                mixed[:, :, : end - start].permute(2, 0, 1, 3)
            )
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (rotated,), heads = ctx.saved_tensors, ctx.heads
        result = torch.zeros_like(rotated)
        for start, end in heads.spans:
            q, k, v = _split(rotated[start:end], heads)
            to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
            to_mixed = _grouped(gradient[start:end], heads.groups, q.shape)
            for rows, seen in _blocks(q.shape[2], heads.window):
                weights = _weights(q[:, :, rows], k[:, seen], rows, seen, heads)
                wanted = to_mixed[:, :, rows].flatten(1, 2)
                to_v[:, seen].baddbmm_(weights.transpose(1, 2), wanted)
                to_weights = torch.bmm(wanted, v[:, seen].transpose(1, 2))
                to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, weights.dtype)
                to_q[:, :, rows] = torch.bmm(to_scores, k[:, seen]).mul_(heads.scale).unflatten(1, (q.shape[1], -1))
                to_k[:, seen].baddbmm_(to_scores.transpose(1, 2), q[:, :, rows].flatten(1, 2))
            _join(to_q, to_k, to_v, result[start:end], heads)
        turned = (heads.queries + heads.groups) * heads.size
        part = result[:, :turned].unflatten(1, (-1, heads.size))
        part.copy_(ctx.rotation.apply(part, back=True))
        return result, None, None


def _split(joined: Tensor, heads: Heads) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled q (groups, queries a group, tokens, size), k and v (groups, tokens, size); tokens padded with zeros."""
    groups, size, tokens = heads.groups, heads.size, rounded(len(joined))
    q, k, v = joined.split([heads.queries * size, groups * size, groups * size], 1)
    k, v = (_grouped(part, groups, (groups, 1, tokens, size)).squeeze(1) for part in (k, v))
    return _grouped(q, groups, (groups, heads.queries // groups, tokens, size)).mul_(heads.scale), k, v


def _grouped(part: Tensor, groups: int, shape: Sequence[int]) -> Tensor:
    """(tokens, heads * size) as (groups, heads a group, padded tokens, size)."""
    result = part.new_empty(shape)
    result[:, :, : len(part)] = part.unflatten(1, (groups, -1, shape[-1])).permute(1, 2, 0, 3)
    result[:, :, len(part) :] = 0
    return result


def _join(q: Tensor, k: Tensor, v: Tensor, out: Tensor, heads: Heads) -> None:
    """The inverse of `_split`, written to `out`."""
    at, width, tokens = heads.queries * heads.size, heads.groups * heads.size, len(out)
    out[:, :at].unflatten(1, (heads.groups, -1, heads.size)).copy_(q[:, :, :tokens].permute(2, 0, 1, 3))
    for part, begin in ((k, at), (v, at + width)):
        out[:, begin : begin + width].unflatten(1, (heads.groups, -1)).copy_(part[:, :tokens].transpose(0, 1))


def _blocks(tokens: int, window: int | None) -> list[tuple[slice, slice]]:
    """Slices of queries, and the keys that any of them sees."""
    starts = range(0, tokens, ROWS)
    ends = [min(start + ROWS, tokens) for start in starts]
    return [
        (slice(start, end), slice(0 if window is None else max(0, start - window + 1), end))
        for start, end in zip(starts, ends, strict=True)
    ]


def _weights(q: Tensor, k: Tensor, rows: slice, seen: slice, heads: Heads) -> Tensor:
    """(groups, queries a group * rows, keys) softmax of the scores, zero for keys that a query does not see."""
    scores = torch.bmm(q.flatten(1, 2), k.transpose(1, 2))
    shape = rows.start, rows.stop, seen.start, seen.stop
    return torch.softmax(scores.add_(_hidden(*shape, q.shape[1], heads.window, scores.dtype)), -1)


@lru_cache(maxsize=64)
def _hidden(begin: int, end: int, first: int, last: int, copies: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """(copies * queries, keys) what is added to scores: 0, or -inf for keys that a query does not see."""
    behind = torch.arange(begin, end)[:, None] - torch.arange(first, last)
    hidden = behind < 0 if window is None else (behind < 0) | (behind >= window)
    return torch.zeros(behind.shape, dtype=dtype).masked_fill_(hidden, float("-inf")).repeat(copies, 1)


class CrossEntropy(Function):
    """Summed -log p of targets, `SCORED` at a time; the states' gradient is made on the way, while p is at hand."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
        """`states` has as many rows as `targets` or, for the sake of few shapes, more."""
        gradients = torch.zeros_like(states) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float64)
        count = min(SCORED, len(states))
        narrow, wide = states.new_empty(count, len(head)), torch.empty(count, len(head))
        for begin in range(0, len(targets), SCORED):
            inputs, picked = states[begin : begin + SCORED], targets[begin : begin + SCORED, None]
            real = len(picked)
            logits = torch.mm(inputs, head.t(), out=narrow[: len(inputs)])
            if cap is not None:
                logits.div_(cap).tanh_().mul_(cap)
            powers = wide[: len(inputs)].copy_(logits)
            powers.sub_(powers.amax(-1, keepdim=True))
            target = powers[:real].gather(1, picked)
            sums = powers.exp_().sum(-1, keepdim=True)
            target -= sums[:real].log()
            total -= target.sum(dtype=torch.float64)
            if gradients is None:
                continue
            slope = None if cap is None else 1 - (logits / cap).square_()
            logits.copy_(powers)
            logits[:real].scatter_(1, picked, (target.expm1_() * sums[:real]).to(logits.dtype))
            into = gradients[begin : begin + SCORED]
            torch.mm(logits if slope is None else logits.mul_(slope), head, out=into).div_(sums)
        if gradients is not None:
            gradients[len(targets) :] = 0
            ctx.save_for_backward(gradients)
        return total.float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (gradients,) = ctx.saved_tensors
        return gradients.mul_(gradient), None, None, None


class Adam:
    """Adam (Kingma and Ba 2015) on all parameters as one vector, the gradient first clipped to a norm of 1.

    torch's own gives the same numbers; importing it takes 70 MB.
    """

    def __init__(self, parameters: Tensor, gradient: Tensor) -> None:
        self.parameters, self.gradient = parameters, gradient
        self.first, self.second = torch.zeros_like(parameters), torch.zeros_like(parameters)

    def step(self, number: int, rate: float) -> None:
        """Move the parameters; `number` counts steps from 1, for the correction of the moments' start at zero."""
        first, second = 0.9, 0.999
        self.gradient.mul_((1 / (self.gradient.norm() + 1e-6)).clamp(max=1))
        self.first.lerp_(self.gradient, 1 - first)
        self.second.mul_(second).addcmul_(self.gradient, self.gradient, value=1 - second)
        # The gradient is used up: its memory holds the root of the second moment.
        root = torch.sqrt(self.second, out=self.gradient).div_((1 - second**number) ** 0.5).add_(1e-8)
        self.parameters.addcdiv_(self.first, root, value=-rate / (1 - first**number))
