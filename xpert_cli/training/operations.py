"""The steps of a decoder that torch would do with more memory or more time: each with its gradient written out.

    states = Projection.apply(stream, None, switch, norm, weights, room)    # norm(stream) @ (W + scale B A)'
    loss = CrossEntropy.apply(states, head, targets, None)

Everything runs on tokens packed end to end, (tokens, width), padded only to a multiple of GRAIN. A function saves its
input and works out the rest again, so a decoder layer keeps its two residual streams, q, k, v, the attention's output
and the MLP's gate and up: 11.5 kB a token in bf16 for SmolLM2-135M. Importing this module imports torch.
Not here: attention (training/attention.py), where weights come from, and the order of layers (training/decoder.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import gelu, silu

SCORED = 64  # positions whose logits exist at one time
GRAIN = 64  # rows of a matrix product, see `rounded`


class Room:
    """Memory for what a pass keeps until its gradient is made, used again by the next pass.

    The heap would be left in pieces by packs of ever different sizes: 125 MB for SmolLM2-135M. Only one pass may be
    under way: tensors of an earlier one are overwritten.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._buffer, self._used = torch.empty(0, dtype=dtype), 0

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
    """Linear layers that share an input, with LoRA: `before`, then `Weights`, then `residual` added if there is one.

    Gradients of the factors are added to `weights.down_gradient` and `weights.up_gradients`, so the graph carries none
    of them; `switch` is a tensor that requires a gradient and receives none. The result lies in `room`.
    """

    @staticmethod
    def forward(
        ctx: Any, source: Tensor, residual: Tensor | None, switch: Tensor, before: Before, weights: Weights, room: Room
    ) -> Tensor:
        ctx.before, ctx.weights = before, weights
        ctx.save_for_backward(source)
        extended, out = _extended(source, before, weights), room.take(len(source), len(weights.joined))
        if residual is None:
            torch.mm(extended, weights.joined.t(), out=out)
        else:
            torch.addmm(residual, extended, weights.joined.t(), out=out)
        return out if weights.bias is None else out.add_(weights.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
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
        to_source = None
        if wanted:
            to_source = ctx.before.backward(source, torch.addmm(back[:, :width], to_lowered, weights.down))
        return to_source, gradient if ctx.needs_input_grad[1] else None, None, None, None, None


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
