"""A frozen GGUF base model and its LoRA factors as torch tensors, and the decoder that they make.

    decoder = Decoder(read_header(path), torch.bfloat16)
    decoder.begin(None, rank=8, scale=2.0, seed=0)
    nats = decoder.learn([[([1, 2, 3], 1)]], over=2)       # loss summed over scored tokens; adds to decoder.gradient
    decoder.parameters -= 0.01 * decoder.gradient
    decoder.refresh()

Weights keep the layout of the GGUF file (rotary pairs interleaved for llama), so adapters need no conversion on their
way to llama.cpp. Covered: the architectures of gguf/architectures.py, with plain, linear or llama3 rotary embeddings.
Importing this module imports torch. Not here: the training loop (training/loop.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xpert_cli import gguf, platform
from xpert_cli.errors import BadInput
from xpert_cli.gguf import BaseModel
from xpert_cli.gguf.adapter import Adapter, shorten
from xpert_cli.llama.model import Sample
from xpert_cli.training.attention import Heads, Rotation
from xpert_cli.training.kept_states import KeptStates
from xpert_cli.training.layer import Group, Layer
from xpert_cli.training.operations import (
    CrossEntropy,
    GatedActivation,
    Norm,
    Recomputed,
    RmsNorm,
    ScratchBuffers,
)
from xpert_cli.training.packed import Packed
from xpert_cli.training.packed_head import BlockedCrossEntropy, PackedMatrix
from xpert_cli.training.packing import TOGETHER, Pack, grouped, rounded
from xpert_cli.training.shape import Shape

SLOTS = ("first expanded", "last expanded", "first expanded", "last expanded")  # qkv and output, gate with up and down


class Decoder:
    """A base model's weights, frozen, with LoRA on every linear layer.

    Args:
        dtype: of the weights and the computation.
        recompute: the number of layers that keep only the inputs of their two halves, and work out the rest again for
            the gradient.
        packed: leave the layers' weights in their file, and expand them where they are used: slower, and bit for bit
            the same.
        packed_head: leave the embedding and the output matrix there too; the loss then sums over blocks of the
            vocabulary.
        together: tokens of the parts of a step for which weights in the file are expanded once; see `groups`.

    Attributes:
        fixed: the number of layers, from the first, whose factors stay as they begin.
        parameters, gradient: (count,) float32, all factors of the other layers end to end.

    Raises:
        BadModel: an architecture that is not computed here, or tensors that are missing.
    """

    def __init__(
        self,
        header: gguf.Header,
        dtype: torch.dtype,
        *,
        recompute: int = 0,
        packed: bool = False,
        packed_head: bool = False,
        together: int = 0,
    ) -> None:
        self.shape, self.dtype, self.recompute, self.together = Shape.of(header), dtype, recompute, together
        self.kind = str(dtype).removeprefix("torch.")
        self._header, self._file = header, header.path.open("rb", buffering=0) if packed else None
        self._embedding = self._vocabulary_matrix("token_embd.weight", packed_head)
        tied = "output.weight" not in header.tensors
        self._head = self._embedding if tied else self._vocabulary_matrix("output.weight", packed_head)
        self._norm = self._rms("output_norm.weight")
        self.layers = [self._layer(index) for index in range(self.shape.layers)]
        platform.release_memory()  # what reading the weights took for a moment would stay
        self._factors = torch.ones(self.shape.rotated // 2)
        for name in ("rope_freqs.weight", "rope_factors_short.weight"):
            if name in header.tensors:
                self._factors = torch.tensor(gguf.tensor(header, name))
        self.rank, self.scale, self.fixed = 0, 1.0, 0
        self.parameters = self.gradient = self._unchanged = torch.empty(0)
        self._kept: KeptStates | None = None
        self._switch = torch.zeros((), requires_grad=True)
        self._room = ScratchBuffers(dtype)

    def begin(
        self,
        start: Adapter | None,
        rank: int,
        scale: float,
        seed: int,
        *,
        layers: int | None = None,
        folder: Path | None = None,
    ) -> None:
        """Set the factors to those of `start`; where its rank is smaller, or without one, A is random and B is zero.

        A is uniform in +-1/sqrt(in), as PEFT initializes it. A start's factors are rescaled so that its deltas stay
        what they are at `scale`: a step of the optimizer then changes them as much as it changes fresh ones.

        Args:
            layers: the number of layers that are trained, counted from the last; all unless given. What the others make
                of a sample is worked out once, and kept in a file.
            folder: where that file is; the system's for such files unless given.

        Raises:
            BadInput: the start changes tensors that are not trained.
        """
        self.rank, self.scale = max(rank, start.rank if start else 0), scale
        self.fixed = len(self.layers) - min(layers or len(self.layers), len(self.layers))
        self._kept = KeptStates(self.shape.hidden, self.dtype, folder) if self.fixed else None
        groups = [group for layer in self.layers for group in layer.groups]
        sizes = [self.rank * (group.width * len(group.names) + sum(group.heights)) for group in groups]
        count = sum(len(layer.groups) for layer in self.layers[: self.fixed])
        self._unchanged = torch.zeros(sum(sizes[:count]))
        self.parameters, self.gradient = torch.zeros(sum(sizes[count:])), torch.zeros(sum(sizes[count:]))
        parts = [*self._unchanged.split(sizes[:count]), *self.parameters.split(sizes[count:])]
        gradients = [self.gradient[:0]] * count + list(self.gradient.split(sizes[count:]))
        random = torch.Generator().manual_seed(seed)
        unused = dict(start.factors) if start else {}
        for group, part, into in zip(groups, parts, gradients, strict=True):
            group.begin(part, into, self.rank, scale)
            for name, (a, b) in zip(group.names, group.factors, strict=True):
                a.uniform_(-(group.width**-0.5), group.width**-0.5, generator=random)
                if factors := unused.pop(name, None):
                    balance = math.sqrt((start.scale if start else scale) / scale)
                    a[: len(factors[0])] = torch.from_numpy(factors[0] * np.float32(balance))
                    b[:, : len(factors[0])] = torch.from_numpy(factors[1] * np.float32(balance))
        if unused:
            raise BadInput(f"the adapter changes {shorten(unused)}, which is not trained here. Start from another.")
        self.refresh()
        platform.release_memory()

    def refresh(self) -> None:
        """Have the next forward pass use the parameters as they are now."""
        for layer in self.layers:
            for group in layer.groups:
                group.refresh()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Compute with the base alone for a while."""
        factors = self.parameters, self._unchanged
        before, fixed = [flat.clone() for flat in factors], self.fixed
        for flat in factors:
            flat.zero_()
        self.fixed = 0  # what is kept is of other factors
        self.refresh()
        try:
            yield
        finally:
            for flat, values in zip(factors, before, strict=True):
                flat.copy_(values)
            self.fixed = fixed
            self.refresh()

    def groups(self, parts: Sequence[Sequence[Sample]], *, learning: bool) -> list[list[Sequence[Sample]]]:
        """Parts of samples, in the order given, grouped for one call each of `learn` or of `loss`.

        Weights in the file are expanded once for all parts of a group. Without learning, nothing is kept of a layer, so
        that grouping costs next to no memory.
        """
        return grouped(parts, self.together if learning else TOGETHER if self._file else 0)

    def learn(self, parts: Sequence[Sequence[Sample]], over: float) -> float:
        """Add the gradient of all samples' summed loss, divided by `over`; returns the loss, not divided.

        The samples of a part lie end to end; every layer works on one part after the other.
        """
        packs = [Pack.of(samples, self.kind) for samples in parts]
        rows = sum(len(pack.ids) for pack in packs)
        keeping = self.shape.layers - max(self.recompute, self.fixed)
        self._room.reserve(rows * self.shape.kept_numbers * keeping)
        loss = self._loss(parts, packs, self._room)
        (loss / over).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    @torch.no_grad()
    def loss(self, parts: Sequence[Sequence[Sample]]) -> float:
        """Summed -log p, in nats, of the scored tokens of all samples, each seeing only itself; parts as in `learn`."""
        packs = [Pack.of(samples, self.kind) for samples in parts]
        return float(self._loss(parts, packs, self._room.sharing_scratch()))

    def _loss(self, parts: Sequence[Sequence[Sample]], packs: Sequence[Pack], buffers: ScratchBuffers) -> Tensor:
        streams = self._lower_streams(parts, packs) if self.fixed else [self._embedded(pack) for pack in packs]
        streams = self._through(range(self.fixed, len(self.layers)), streams, packs, buffers)
        scored = torch.cat([stream[pack.rows] for stream, pack in zip(streams, packs, strict=True)])
        targets = torch.from_numpy(np.concatenate([pack.targets for pack in packs]))
        scored = torch.nn.functional.pad(scored, (0, 0, 0, rounded(len(targets), self.kind) - len(targets)))
        states = Norm.apply(scored, self._norm, buffers)
        if self.shape.logit_scale != 1:
            states = states / self.shape.logit_scale
        entropy = BlockedCrossEntropy if isinstance(self._head, PackedMatrix) else CrossEntropy
        return entropy.apply(states, self._head, targets, self.shape.cap, buffers)  # type: ignore[no-any-return]

    def _through(
        self, indices: range, streams: list[Tensor], packs: Sequence[Pack], buffers: ScratchBuffers
    ) -> list[Tensor]:
        """The streams, (rows, hidden) of each pack, behind some of the layers."""
        kinds = {(layer.local, layer.rotated) for layer in self.layers}
        positions = [torch.from_numpy(pack.positions) for pack in packs]
        rotations = [{kind: self._rotation(one, *kind) for kind in kinds} for one in positions]
        # Gradients are made in the opposite order, so that they are added from the first part to the last.
        order = range(len(packs))[::-1]
        for index in indices:
            layer = self.layers[index]
            recomputes = index < self.recompute and torch.is_grad_enabled()
            room = buffers.sharing_scratch() if recomputes else buffers
            kind = layer.local, layer.rotated
            halves = [layer.halves(self._heads(packs[at], layer.local), rotations[at][kind], room) for at in order]
            for of_parts in zip(*halves, strict=True):
                for at, half in zip(order, of_parts, strict=True):
                    stream = streams[at]
                    streams[at] = (
                        Recomputed.apply(stream, self._switch, half) if recomputes else half(stream, self._switch)
                    )
        return streams

    @torch.no_grad()
    def _lower_streams(self, parts: Sequence[Sequence[Sample]], packs: Sequence[Pack]) -> list[Tensor]:
        """(rows, hidden) of each pack behind the layers that are not trained, its padding 0.

        A sample goes through them by itself, so that the numbers do not depend on what it is packed with: a run that
        was stopped goes on with the same ones.
        """
        assert self._kept is not None
        file = self._kept
        wanted = dict.fromkeys(tuple(tokens) for part in parts for tokens, _ in part)
        states = {tokens: own for tokens in wanted if (own := file.read(tokens)) is not None}
        missing = [[(list(tokens), 1)] for tokens in wanted if tokens not in states]
        for group in grouped(missing, TOGETHER if self._file else 0):
            single = [Pack.of(samples, self.kind) for samples in group]
            entering = [self._embedded(pack) for pack in single]
            leaving = self._through(range(self.fixed), entering, single, self._room.sharing_scratch())
            for ((tokens, _),), stream in zip(group, leaving, strict=True):
                states[tuple(tokens)] = own = stream[: len(tokens)].clone()
                file.write(tuple(tokens), own)
        streams = []
        for part, pack in zip(parts, packs, strict=True):
            stream = torch.zeros(len(pack.ids), self.shape.hidden, dtype=self.dtype)
            for (tokens, _), (start, end) in zip(part, pack.spans, strict=True):
                stream[start:end] = states[tuple(tokens)][len(tokens) - (end - start) :]
            streams.append(stream)
        return streams

    def _embedded(self, pack: Pack) -> Tensor:
        """(rows, hidden) what the layers begin with."""
        if isinstance(self._embedding, PackedMatrix):
            stream = self._embedding.rows(pack.ids, self.dtype)
        else:
            stream = torch.nn.functional.embedding(torch.from_numpy(pack.ids), self._embedding)
        return stream if self.shape.embedding_scale == 1 else stream * self.shape.embedding_scale

    def adapter(self) -> Adapter:
        """The factors as they are now."""
        factors = {
            name: (a.numpy().copy(), b.numpy().copy())
            for layer in self.layers
            for group in layer.groups
            for name, (a, b) in zip(group.names, group.factors, strict=True)
        }
        return Adapter(self.shape.architecture.name, self.scale * self.rank, factors)

    def _matrix(self, name: str) -> Tensor:
        """A tensor in the computation's type, read a few rows at a time."""
        shape = self._header.tensors[name].shape if name in self._header.tensors else (1, 1)
        out = torch.empty(shape, dtype=self.dtype)
        step = max(1, (1 << 18) // shape[1])
        for begin in range(0, shape[0], step):
            rows = slice(begin, min(begin + step, shape[0]))
            values = np.array(gguf.tensor(self._header, name, rows), np.float32)
            out[rows] = torch.from_numpy(values)
        return out

    def _vocabulary_matrix(self, name: str, packed: bool) -> Tensor | PackedMatrix:
        """The embedding or the output matrix; in its file where that is wanted and its type allows it."""
        in_file = PackedMatrix.of(self._header, self._file, name) if packed and self._file else None
        return self._matrix(name) if in_file is None else in_file

    def _vector(self, name: str) -> Tensor:
        return torch.tensor(np.array(gguf.tensor(self._header, name), np.float32))

    def _rms(self, name: str) -> RmsNorm:
        return RmsNorm(self._vector(name), self.shape.epsilon)

    def _layer(self, index: int) -> Layer:
        groups = []
        known = self.shape.architecture
        for modules, slot in zip(known.groups, SLOTS, strict=True):
            names = [f"blk.{index}.{module}.weight" for module in modules]
            biases = [name.removesuffix("weight") + "bias" for name in names]
            bias = None
            if any(name in self._header.tensors for name in biases):
                bias = torch.cat([self._vector(name) for name in biases]).to(self.dtype)
            groups.append(self._group(names, bias, slot))
        norms: dict[str, RmsNorm] = {name: self._rms(f"blk.{index}.{name}.weight") for name in known.norms}
        qkv, output, gate_up, down = groups
        return Layer(
            qkv,
            output,
            gate_up,
            down,
            norms,
            GatedActivation(known.activation),
            self.shape.residual_scale,
            self.shape.is_local(index),
            self.shape.is_rotated(index),
        )

    def _group(self, names: Sequence[str], bias: Tensor | None, slot: str) -> Group:
        packed = Packed.of(self._header, self._file, names) if self._file else None
        if packed:
            heights = [part.rows for part in packed.parts]
            return Group(names, heights, torch.empty(sum(heights), 0, dtype=self.dtype), packed, bias, slot)
        parts = [self._matrix(name) for name in names]
        return Group(names, [len(part) for part in parts], torch.cat(parts), None, bias, slot)

    def _heads(self, pack: Pack, local: bool) -> Heads:
        shape = self.shape
        window = shape.window if local else None
        return Heads(shape.heads, shape.groups, shape.size, pack.seen, shape.attention_scale, window)

    def _rotation(self, positions: Tensor, local: bool, rotated: bool) -> Rotation:
        """Angles position / (frequency ** (2 i / size) * stretch * factor i); none where a layer does not rotate."""
        positions = positions if rotated else torch.zeros_like(positions)
        shape, interleaved = self.shape, self.shape.architecture.interleaved
        base, stretch = (shape.local_frequency, 1.0) if local else (shape.frequency, shape.stretch)
        powers = torch.arange(0, shape.rotated, 2, dtype=torch.float64) / shape.rotated
        inverse = base**-powers / stretch / self._factors
        angles = (positions[:, None] * inverse)[:, None]
        cos, sin = ((part * shape.rotation_scale).to(self.dtype) for part in (angles.cos(), angles.sin()))
        axis = -1 if interleaved else -2
        return Rotation(
            torch.stack([cos, cos], axis).flatten(-2), torch.stack([-sin, sin], axis).flatten(-2), interleaved
        )


def open_decoder(
    base: BaseModel | Path,
    dtype: torch.dtype | str,
    *,
    recompute: int = 0,
    packed: bool = False,
    packed_head: bool = False,
    together: int = 0,
    threads: int | None = None,
) -> Decoder:
    """The decoder of a GGUF file, computed by so many threads; None leaves torch's number as it is."""
    if threads:
        torch.set_num_threads(threads)
    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    header = BaseModel.open(base).header
    return Decoder(header, kind, recompute=recompute, packed=packed, packed_head=packed_head, together=together)
