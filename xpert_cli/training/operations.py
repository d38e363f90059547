"""The steps of a decoder that torch would do with more memory or more time: each with its gradient written out.

    states = LoraLinear.apply(stream, None, grad_anchor, norm, weights, buffers)    # norm(stream) @ (W + scale B A)'
    loss = CrossEntropy.apply(states, head, targets, None, buffers)

Everything runs on tokens packed end to end, (tokens, width), padded little (packing.rounded). A function saves its
input and works out the rest again, so a decoder layer keeps its two residual streams, q, k, v, the attention's output
and the MLP's gate and up: 11.5 kB a token in bf16 for SmolLM2-135M. Importing this module imports torch.
Not here: attention (training/attention.py), where weights come from, and the order of layers (training/decoder.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function

from xpert_cli.training.likely_tokens import likely_tokens
from xpert_cli.training.packed import Packed

SCORED = 64  # positions whose logits exist at one time
EXACT = 16  # of them in float32


class ScratchBuffers:
    """Memory for what a pass keeps until its gradient is made, and for what it needs for a moment.

    It is used again by the next pass: the heap would be left in pieces by packs of ever different sizes, 125 MB for
    SmolLM2-135M. Only one pass may be under way: tensors of an earlier one are overwritten. `filled` says of scratch
    memory by whom, where that is told.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._buffer, self._used = torch.empty(0, dtype=dtype), 0
        self._scratch: dict[str, Tensor] = {}
        self.filled: dict[str, object] = {}

    def sharing_scratch(self) -> ScratchBuffers:
        """One that lends the same memory, and keeps everything in memory of its own."""
        other = ScratchBuffers(self.dtype)
        other._scratch, other.filled = self._scratch, self.filled
        return other

    def reserve(self, size: int) -> None:
        """Begin a pass that keeps so many numbers."""
        self._used = 0
        if size > len(self._buffer):
            self._buffer = self._buffer.new_empty(0)  # first given back, so that there are never two
            self._buffer = self._buffer.new_empty(size)

    def take(self, rows: int, width: int) -> Tensor:
        """(rows, width), not initialized; once what was reserved is used up, memory of its own."""
        start, self._used = self._used, self._used + rows * width
        if self._used > len(self._buffer):
            return self._buffer.new_empty(rows, width)
        # No view: autograd would take a change of one tensor for a change of all.
        fresh = self._buffer.new_empty(0)
        return fresh.set_(self._buffer.untyped_storage(), start, (rows, width), (width, 1))  # type: ignore[call-overload]

    def scratch(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Memory of a shape, not initialized, until the same name is asked for again."""
        lent, size = self._scratch.get(name), math.prod(shape)
        if lent is None or len(lent) < size:
            self._scratch[name] = lent = torch.empty(size, dtype=dtype or self.dtype)
        return lent[:size].view(shape)


@dataclass(frozen=True, eq=False)
class Weights:
    """Linear layers with one input, and their LoRA factors, as one matrix product: y = [x, x A'] [W, scale B]'.

    `joined` is (out, in + ranks): the frozen W beside scale * B of every layer, block-diagonal; where W is `packed` it
    has the B alone, (out, ranks). `down`, (ranks, in), is the layers' A one below the other; both in the type of the
    computation. `blocks` says which rows and ranks are whose. Gradients are float32. `slot` is the name of the memory
    that packed weights are expanded in: the two products of a half of a layer have one each, so that the first is
    still there when its gradient is made.
    """

    joined: Tensor
    packed: Packed | None
    down: Tensor
    bias: Tensor | None
    scale: float
    blocks: Sequence[tuple[slice, slice]]
    down_gradient: Tensor
    up_gradients: Sequence[Tensor]
    slot: str

    @property
    def ups(self) -> Tensor:
        """(out, ranks) scale * B of every layer."""
        return self.joined[:, -len(self.down) :]

    def matrix(self, buffers: ScratchBuffers) -> Tensor:
        """(out, in + ranks) W beside scale * B, until it is asked for again of any layers of the slot."""
        if self.packed is None:
            return self.joined
        width = self.packed.width
        whole = buffers.scratch(self.slot, len(self.joined), width + self.joined.shape[1])
        if buffers.filled.get(self.slot) is not self:
            buffers.filled.pop(self.slot, None)
            self.packed.expand(whole[:, :width])
            buffers.filled[self.slot] = self
        whole[:, width:] = self.joined
        return whole


class InputTransform(Protocol):
    """What is done to a layer's saved input before its matrix product, and the way back."""

    def forward(self, source: Tensor, out: Tensor, buffers: ScratchBuffers) -> None: ...
    def backward(self, source: Tensor, gradient: Tensor, buffers: ScratchBuffers) -> Tensor: ...


class Identity:
    """The input itself."""

    def forward(self, source: Tensor, out: Tensor, buffers: ScratchBuffers) -> None:
        out.copy_(source)

    def backward(self, source: Tensor, gradient: Tensor, buffers: ScratchBuffers) -> Tensor:
        return gradient


@dataclass(frozen=True, eq=False)
class RmsNorm:
    """x / rms(x) * weight over the last axis, in float32 (Zhang and Sennrich 2019)."""

    weight: Tensor
    epsilon: float

    def forward(self, source: Tensor, out: Tensor, buffers: ScratchBuffers) -> None:
        wide = buffers.scratch("wide", *source.shape, dtype=torch.float32).copy_(source)
        torch.mul(wide.mul_(self._inverse(wide)), self.weight, out=out)

    def backward(self, source: Tensor, gradient: Tensor, buffers: ScratchBuffers) -> Tensor:
        unit = buffers.scratch("wide", *source.shape, dtype=torch.float32).copy_(source)
        unit.mul_(inverse := self._inverse(unit))
        scaled = torch.mul(gradient, self.weight, out=buffers.scratch("scaled", *source.shape, dtype=torch.float32))
        shared = torch.linalg.vecdot(scaled, unit).unsqueeze_(-1).div_(source.shape[-1])
        return scaled.addcmul_(unit, shared, value=-1).mul_(inverse).to(source.dtype, copy=True)

    def _inverse(self, wide: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return norm.square_().div_(wide.shape[-1]).add_(self.epsilon).rsqrt_()


class GatedActivation:
    """activation(gate) * up, of a source that holds both side by side (Shazeer 2020)."""

    def __init__(self, activation: str) -> None:
        self.silu = activation == "silu"

    def forward(self, source: Tensor, out: Tensor, buffers: ScratchBuffers) -> None:
        gate, up = source.chunk(2, -1)
        torch.mul(self._active(buffers.scratch("gate", *gate.shape).copy_(gate)), up, out=out)

    def backward(self, source: Tensor, gradient: Tensor, buffers: ScratchBuffers) -> Tensor:
        gate, up = source.chunk(2, -1)
        gate = buffers.scratch("gate", *gate.shape).copy_(gate)
        result = buffers.scratch("gates", *source.shape)
        to_gate, to_up = result.chunk(2, -1)
        active = self._active(gate, buffers.scratch("active", *gate.shape))
        torch.mul(gradient, active, out=to_up)
        torch.mul(gradient, up, out=active)
        if self.silu:
            to_gate.copy_(torch.ops.aten.silu_backward(active, gate))
        else:
            to_gate.copy_(torch.ops.aten.gelu_backward(active, gate, approximate="tanh"))
        return result

    def _active(self, gate: Tensor, out: Tensor | None = None) -> Tensor:
        """Of `gate`, in its place or in `out`."""
        out = gate if out is None else out
        if self.silu:
            torch.ops.aten.silu.out(gate, out=out)
        else:
            torch.ops.aten.gelu.out(gate, approximate="tanh", out=out)
        return out


class LoraLinear(Function):
    """Linear layers that share an input, with LoRA: `before`, then `Weights`, then `residual` added if there is one.

    Gradients of the factors are added to `weights.down_gradient` and `weights.up_gradients`, so the graph carries none
    of them; `grad_anchor` is a tensor that requires a gradient and receives none. The result lies in `buffers`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        source: Tensor,
        residual: Tensor | None,
        grad_anchor: Tensor,
        before: InputTransform,
        weights: Weights,
        buffers: ScratchBuffers,
        wanted: bool = True,
    ) -> Tensor:
        """`wanted` is False where the result's numbers are not looked at, and only its gradient goes back."""
        ctx.before, ctx.weights, ctx.buffers = before, weights, buffers
        ctx.save_for_backward(source)
        out = buffers.take(len(source), len(weights.joined))
        if not wanted:
            return out
        extended, joined = _extended(source, before, weights, buffers), weights.matrix(buffers)
        if residual is None:
            torch.mm(extended, joined.t(), out=out)
        else:
            torch.addmm(residual, extended, joined.t(), out=out)
        return out if weights.bias is None else out.add_(weights.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (source,), weights, buffers = ctx.saved_tensors, ctx.weights, ctx.buffers
        width = weights.down.shape[1]
        extended = _extended(source, ctx.before, weights, buffers)
        source_needed = ctx.needs_input_grad[0]
        to_joined = extended[:, width:].t() @ gradient
        for (rows, ranks), into in zip(weights.blocks, weights.up_gradients, strict=True):
            into.t().add_(to_joined[ranks, rows], alpha=weights.scale)
        joined = weights.matrix(buffers) if source_needed else weights.ups
        back = torch.mm(gradient, joined, out=buffers.scratch("back", len(gradient), joined.shape[1]))
        to_lowered = back[:, -len(weights.down) :]
        weights.down_gradient.add_(to_lowered.t() @ extended[:, :width])
        to_source = None
        if source_needed:
            to_input = torch.addmm(back[:, :width], to_lowered, weights.down)
            to_source = ctx.before.backward(source, to_input, buffers)
        return to_source, gradient if ctx.needs_input_grad[1] else None, None, None, None, None, None


def _extended(source: Tensor, before: InputTransform, weights: Weights, buffers: ScratchBuffers) -> Tensor:
    """(tokens, in + ranks): the layers' input, and it times every A."""
    ranks, width = weights.down.shape
    extended = buffers.scratch("extended", len(source), width + ranks)
    before.forward(source, extended[:, :width], buffers)
    extended[:, width:] = extended[:, :width] @ weights.down.t()
    return extended


class Block(Protocol):
    """A part of the network that makes a stream of a stream; its last product is left out where it is not `wanted`."""

    def __call__(self, stream: Tensor, grad_anchor: Tensor, wanted: bool = True) -> Tensor: ...


class Recomputed(Function):
    """A block that keeps its input alone: what is between is worked out again for the gradient (Chen et al. 2016).

    The block's result itself is not. torch.utils.checkpoint does the same but for that, and imports torch's compiler
    first: 850 modules, 65 MB, seconds.
    """

    @staticmethod
    def forward(ctx: Any, stream: Tensor, grad_anchor: Tensor, block: Block) -> Tensor:
        """The stream behind the block."""
        ctx.save_for_backward(stream, grad_anchor)
        ctx.block = block
        return block(stream, grad_anchor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        stream, grad_anchor = ctx.saved_tensors
        stream = stream.detach().requires_grad_(ctx.needs_input_grad[0])
        with torch.enable_grad():
            after = ctx.block(stream, grad_anchor, wanted=False)
            product = torch.dot(after.flatten(), gradient.flatten())  # its gradient is `gradient`, to the bit
        product.backward()  # a gradient given beside what is no scalar would have torch import its compiler
        return stream.grad, None, None


class Norm(Function):
    """A norm that no projection follows: on heads, and behind a sublayer."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, norm: RmsNorm, buffers: ScratchBuffers) -> Tensor:
        ctx.norm, ctx.buffers = norm, buffers
        ctx.save_for_backward(source)
        out = torch.empty_like(source)
        norm.forward(source, out, buffers)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (source,) = ctx.saved_tensors
        return ctx.norm.backward(source, gradient, ctx.buffers), None, None


class CrossEntropy(Function):
    """Summed -log p of targets, `SCORED` at a time; the states' gradient is made on the way, while p is at hand.

    Unlikely tokens are left out of the gradient (likely_tokens.py): seven eighths of SmolLM2's vocabulary in bf16, with
    an error under a fifth of that of bf16 itself; none in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, targets: Tensor, cap: float | None, buffers: ScratchBuffers
    ) -> Tensor:
        """`states` has as many rows as `targets` or, for the sake of few shapes, more."""
        gradients = torch.zeros_like(states) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float64)
        count = min(SCORED, len(states))
        buffer = buffers.scratch("logits", count, len(head))
        wide = buffers.scratch("wide", min(EXACT, count), len(head), dtype=torch.float32)
        for begin in range(0, len(targets), SCORED):
            wanted_tokens = targets[begin : begin + SCORED]
            inputs = states[begin : begin + SCORED]
            logits = torch.mm(inputs, head.t(), out=buffer[: len(inputs)])
            if cap is not None:
                logits.div_(cap).tanh_().mul_(cap)
            logits = logits[: len(wanted_tokens)]
            sums, likeliest = _log_sums(logits, wide, gradients is not None)
            target = logits.gather(1, wanted_tokens[:, None]).float() - sums
            total -= target.sum(dtype=torch.float64)
            if gradients is not None:
                gradients[begin : begin + len(wanted_tokens)] = _slope(
                    logits, sums, wanted_tokens, target, likeliest, head, cap
                )
        if gradients is not None:
            ctx.save_for_backward(gradients)
        return total.float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        (gradients,) = ctx.saved_tensors
        return gradients.mul_(gradient), None, None, None, None


def _log_sums(logits: Tensor, wide: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """(rows, 1) log of the summed powers of e; and, if wanted, (vocabulary,) the highest probability of each token."""
    sums, likeliest = logits.new_empty(len(logits), 1, dtype=wide.dtype), wide.new_zeros(wide.shape[1])
    for begin in range(0, len(logits), EXACT):
        part = logits[begin : begin + EXACT]
        powers = wide[: len(part)].copy_(part)
        top = powers.amax(-1, keepdim=True)
        share = powers.sub_(top).exp_().sum(-1, keepdim=True)
        sums[begin : begin + EXACT] = share.log() + top
        if wanted:
            torch.maximum(likeliest, powers.div_(share).amax(0), out=likeliest)
    return sums, likeliest


def _slope(
    logits: Tensor,
    sums: Tensor,
    wanted_tokens: Tensor,
    target: Tensor,
    likeliest: Tensor,
    head: Tensor,
    cap: float | None,
) -> Tensor:
    """(rows, hidden) the gradient of the summed -log p."""
    columns, places, real = likely_tokens(likeliest, wanted_tokens, logits.dtype)
    if columns is not None:
        logits, head = logits[:, columns], head[columns]
    slope = None if cap is None else 1 - (logits / cap).square_()
    shares = logits.float().sub_(sums).exp_().to(logits.dtype)
    shares[:, real:] = 0
    shares.scatter_(1, places[:, None], target.expm1().to(logits.dtype))
    return (shares if slope is None else shares.mul_(slope)) @ head


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
