"""Final hidden states, a few layers at a time: in little memory, each layer read once for all prompts.

    layered_states(summarizer.header, prompts, memory=100 << 20)    # (prompts, hidden), as Model.states gives them

Consecutive layers become a small GGUF file of their own: llama.cpp maps all of a file at once, and is fed the hidden
states that the layers before left instead of tokens. The weights of a small model are expanded to float32 on the way.
Where they are quantized, llama.cpp rounds all that they are multiplied with to 8 bits, and what comes out depends on
the processor and on what else is in the batch: of the packaged base, readings were off by up to one standard deviation
of a text. In float32, with keys and values too, states agree to a part in a million whatever is read with them, and
come sooner: 4 s for 20 texts in place of 6 s. Not here: logits and text (llama/model.py, which shares what prompts have
in common in the same way).
"""

from __future__ import annotations

import ctypes
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from xpert_cli import gguf, leftovers, paths, platform, signals
from xpert_cli.errors import BadModel, CannotWrite
from xpert_cli.gguf.architectures import ARCHITECTURES, Architecture
from xpert_cli.gguf.dequantize import dequantizer
from xpert_cli.gguf.header import ALIGNMENT, BLOCKS, Header, TensorInfo, encode, padded
from xpert_cli.gguf.vocabulary import ANOTHER
from xpert_cli.llama.context import Floats
from xpert_cli.llama.memory import BATCH, Layout
from xpert_cli.llama.model import Model
from xpert_cli.resume import PartialResults

SEQUENCES = 16
GROUP = 64 << 20  # bytes of weights that are worked on together where there is room
EXPANDED = 1 << 30  # bytes of layers in float32, up to which they are expanded: a larger model would take longer
CHUNK = 1 << 18  # numbers
_EMBEDDING = "token_embd.weight"
_ENDS = (_EMBEDDING, "output.weight", "output.bias")  # what is before the first layer and after the hidden state


def layered_states(
    source: Path | Header,
    prompts: Sequence[Sequence[int]],
    *,
    memory: int,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
    partial: PartialResults | None = None,
) -> Floats:
    """(prompts, hidden) final-norm hidden states at each prompt's last token, as `Model.states` gives them.

    Args:
        prompts: token ids, at least one prompt.
        memory: bytes that the weights of the layers worked on may take. llama.cpp holds up to twice as much for the
            moment in which it rearranges quantized ones for this processor.
        partial: where the states after the layers done so far are kept, to carry on from.

    Raises:
        BadModel: layers of this architecture cannot be told apart from their model, or one alone takes over `memory`.
        CannotWrite: there is no room for a copy of the layers.
    """
    header = gguf.opened(source)
    tokens, rows = _rows(prompts)
    first, states = (partial.load() if partial else None) or (0, _embeddings(header, tokens))
    groups = layer_groups(header, memory, first)
    context = max(map(len, prompts)) + BATCH
    for group in groups:
        count = groups[-1].stop
        progress("reading your text", group.start / count)
        with _load(header, group, states, context, last=group is groups[-1]) as model:
            final = model.states(rows)
            states = model.left
        if partial and group is not groups[-1]:
            partial.keep(group.stop, states)
    progress("reading your text", 1.0)
    return final


def separable(source: Path | Header) -> bool:
    """Whether the layers of a model can be worked on a few at a time."""
    return gguf.opened(source).metadata.get("general.architecture") in ARCHITECTURES


def _architecture(header: Header) -> Architecture:
    if not separable(header):
        raise BadModel(
            f"{header.path}: the layers of such a model cannot be worked on a few at a time. "
            f"Give a summarizer of architecture {', '.join(ARCHITECTURES)}, or a smaller one."
        )
    return ARCHITECTURES[header.metadata["general.architecture"]]


def _period(header: Header) -> int:
    """After how many layers they are alike again."""
    known = _architecture(header)
    stated = header.metadata.get(f"{known.name}.attention.sliding_window_pattern", known.period)
    if not isinstance(stated, int):  # one of each layer
        raise BadModel(f"{header.path}: its layers differ by their number. Give another summarizer.")
    return stated


def layer_groups(header: Header, memory: int, first: int = 0) -> list[range]:
    """Consecutive layers from the `first` on, as many together as take at most `memory` bytes.

    Raises:
        BadModel: the architecture is not one whose layers repeat, or those that must stay together take more.
    """
    count, period = gguf.layer_count(header), _period(header)
    groups: list[range] = []
    for start in range(first, count, period):
        few = range(start, min(start + period, count))
        longer = range(groups[-1].start, few.stop) if groups else few
        if longer != few and group_bytes(header, longer) <= min(memory, GROUP):
            groups[-1] = longer
        elif (size := group_bytes(header, few)) <= memory:
            groups.append(few)
        else:
            what = f"layer {start} takes" if period == 1 else f"layers {start} to {few.stop - 1} take"
            raise BadModel(
                f"{header.path}: {what} {size / 1e6:.0f} MB, and {memory / 1e6:.0f} MB are free. "
                "Close other programs or give a smaller summarizer."
            )
    return groups


def group_bytes(header: Header, layers: range) -> int:
    """Bytes of weights that some layers need."""
    expanded = is_expanded(header)
    return sum(_laid_out(info, expanded).bytes for _, info in _parts(header, layers).values())


def is_expanded(header: Header) -> bool:
    """Whether the layers of a model are small enough to be worked on in float32."""
    layers = (info for name, info in header.tensors.items() if name not in _ENDS)
    return sum(_laid_out(info, expanded=True).bytes for info in layers) <= EXPANDED


def _laid_out(info: TensorInfo, expanded: bool) -> TensorInfo:
    """How a tensor is stored among its layers: as it is in the model's file, or a quantized one as float32."""
    if not expanded or BLOCKS[info.type][1] == 1 or dequantizer(info.type) is None:
        return info
    return TensorInfo(info.shape, "F32", info.offset, 4 * math.prod(info.shape))


def _parts(header: Header, layers: range) -> dict[str, tuple[str, TensorInfo]]:
    """The tensors of some layers and those that all layers share: name from layer 0 on -> name in the file, place."""
    parts = {}
    for name, info in header.tensors.items():
        block, _, rest = name.removeprefix("blk.").partition(".")
        if not name.startswith("blk."):
            if name not in _ENDS:
                parts[name] = name, info
        elif block.isdecimal() and int(block) in layers:
            parts[f"blk.{int(block) - layers.start}.{rest}"] = name, info
    return parts


def _rows(prompts: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """All tokens, those that every prompt starts with only once, and each prompt as indices into them."""
    columns = enumerate(zip(*prompts, strict=False))
    shared = next((i for i, column in columns if len(set(column)) > 1), min(map(len, prompts)))
    ends = list(accumulate((len(prompt) - shared for prompt in prompts), initial=shared))
    tokens = [*prompts[0][:shared], *(token for prompt in prompts for token in prompt[shared:])]
    return tokens, [[*range(shared), *range(start, end)] for start, end in pairwise(ends)]


def _embeddings(header: Header, tokens: Sequence[int]) -> Floats:
    """(tokens, hidden) input embeddings, each row read alone: the whole matrix can be a fifth of the model.

    Scaled where the architecture scales them: llama.cpp does not scale what is fed in their place.
    """
    distinct, places = np.unique(np.array(tokens), return_inverse=True)
    rows = [gguf.tensor(header, _EMBEDDING, slice(token, token + 1)) for token in distinct.tolist()]
    if any(row.ndim != 2 or not len(row) for row in rows):
        raise BadModel(f"{header.path}: not every token has an embedding. {ANOTHER}")
    known = _architecture(header)
    stated = header.metadata.get(f"{known.name}.embedding_scale", 1.0)
    scale = np.sqrt(np.float32(rows[0].shape[1])) if known.scaled_embeddings else stated
    return np.asarray(np.concatenate(rows)[places] * scale, np.float32)


def _load(header: Header, layers: range, states: Floats, context: int, *, last: bool) -> _Layers:
    with _file(header, layers) as path:
        try:
            return _Layers(path, states, len(layers), context, last=last)
        except BadModel as error:
            raise BadModel(
                f"{header.path}: llama.cpp cannot work on layers {layers.start} to {layers.stop - 1} alone. "
                "Close other programs, or give a smaller summarizer."
            ) from error


@contextmanager
def _file(header: Header, layers: range) -> Iterator[Path]:
    """A GGUF file of some layers, in memory where the system can; once mapped it need not be there any more."""
    in_memory = hasattr(os, "memfd_create")
    folder = paths.data_dir()
    try:
        with (
            os.fdopen(os.memfd_create("layers"), "wb")
            if in_memory
            else tempfile.NamedTemporaryFile(dir=paths.writable(folder, "XPERT_HOME"), prefix=".layers.")
        ) as file:
            path = Path(f"/proc/self/fd/{file.fileno()}" if in_memory else file.name)
            with nullcontext() if in_memory else leftovers.noted(path, paths.notes_dir()):
                _write(file, header, layers)
                yield path
    except OSError as error:
        raise CannotWrite(
            f"{header.path}: its layers cannot be copied ({error.strerror}). "
            f"Close other programs, or free some space in {folder}."
        ) from error


def _write(file: IO[bytes], header: Header, layers: range) -> None:
    """The layers as a model with one token, which stands for a vocabulary."""
    architecture = header.metadata["general.architecture"]
    metadata = {
        key: value
        for key, value in header.metadata.encoded.items()
        if key in ("general.architecture", "general.file_type") or key.startswith(f"{architecture}.")
        if key != f"{architecture}.embedding_scale"  # llama.cpp would scale what is fed to every group of layers
    }
    metadata |= {
        f"{architecture}.block_count": encode("uint32", len(layers)),
        f"{architecture}.vocab_size": encode("uint32", 1),
        "tokenizer.ggml.model": encode("string", "none"),
    }
    parts = {name: info for name, (_, info) in _parts(header, layers).items()}
    stored = {name: _laid_out(info, is_expanded(header)) for name, info in parts.items()}
    hidden = header.tensors[_EMBEDDING].shape[1]
    token = TensorInfo((1, hidden), "F32", 0, 4 * hidden)
    ends = {_EMBEDDING: token} | ({"output.weight": token} if _architecture(header).needs_head else {})
    file.write(gguf.file_head(metadata, ends | stored))
    file.write(bytes(len(ends) * padded(token.bytes, ALIGNMENT)))
    with header.path.open("rb", buffering=0) as source:
        for name, info in parts.items():
            source.seek(info.offset)
            file.writelines(_copied(source, info) if stored[name] is info else _float32(source, info))
            file.write(bytes(padded(stored[name].bytes, ALIGNMENT) - stored[name].bytes))
    file.flush()


def _copied(source: IO[bytes], info: TensorInfo) -> Iterator[bytes]:
    """A tensor's bytes, chunk by chunk."""
    left = info.bytes
    while left:
        data = source.read(min(left, 4 * CHUNK))
        assert data, "the file was cut while it was read"
        left -= len(data)
        yield data


def _float32(source: IO[bytes], info: TensorInfo) -> Iterator[memoryview]:
    """A quantized tensor's numbers, chunk by chunk."""
    _, elements, block = BLOCKS[info.type]
    convert, left = dequantizer(info.type), math.prod(info.shape)
    assert convert
    while left:
        numbers = np.empty(min(left, CHUNK), np.float32)
        data = np.frombuffer(source.read(len(numbers) // elements * block), np.uint8)
        assert data.nbytes == len(numbers) // elements * block, "the file was cut while it was read"
        convert(data.ctypes.data, numbers.ctypes.data, len(numbers))
        left -= len(numbers)
        yield numbers.data


class _Layers(Model):
    """Some layers of a model: their "tokens" are indices of rows of hidden states.

    Attributes:
        left: (rows, hidden) what the layers make of `states`, once `states()` has run; of the last layers nothing is
            kept, whose final-norm hidden states are the model's.
    """

    def __init__(self, path: Path, states: Floats, layers: int, context: int, *, last: bool) -> None:
        self._rows, self._last = states, last
        self.left = np.empty((0, 0) if last else states.shape, np.float32)
        self._wanted = f"l_out-{layers - 1}".encode()
        self._callback: Any = None
        outputs = 0 if last else BATCH  # of the last layer, llama.cpp works out only what is asked for
        # shared, so that rows come out in the order in which they go in
        super().__init__(path, context=context, sequences=SEQUENCES, outputs=outputs, shared=True)

    @property
    def _fed_size(self) -> int:
        return self.hidden_size

    def _params(self, layout: Layout, shared: bool) -> Any:
        """As the model's, but for exact keys and values, and for what sees the layers' output.

        In 16 bits a text's states depended on what was read with it: 5e-4 of them in place of 1e-6.
        """
        params = super()._params(layout, shared)
        params.type_k = params.type_v = self._lib.GGML_TYPE_F32
        if not self._last:
            self._ggml = _ggml()
            self._callback = params.cb_eval = self._lib.ggml_backend_sched_eval_callback(self._see)
        return params

    def close(self) -> None:
        """Free everything; the callback, which would keep this object and its states from being freed, last."""
        super().close()
        self._callback = None

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        self._adapt()
        batch = self._batch
        self._fed, self._seen = np.array([row for row, *_ in rows], np.intp), 0
        fed = np.ctypeslib.as_array(batch.embd, shape=(self._batch_size, self.hidden_size))
        fed[: len(rows)] = self._rows[self._fed]
        for i, (_, position, sequence, wanted) in enumerate(rows):
            batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = position, 1, sequence
            batch.logits[i] = wanted or not self._last
        with signals.held():  # an interrupt inside `_see` would be lost
            self._evaluate(len(rows))
        if not self._last and self._seen < len(rows):  # a later version may name its tensors otherwise
            raise BadModel(
                "this version of llama.cpp does not show what a layer leaves. Close other programs so that the "
                "summarizer fits in memory, or install llama-cpp-python 0.3.36."
            )

    def _see(self, tensor: int, ask: bool, _: int) -> bool:
        """llama.cpp's question whether a tensor is of interest, and then the tensor, just worked out: a step's rows."""
        if self._ggml.ggml_get_name(tensor) != self._wanted:
            return not ask
        if not ask:
            size = self._ggml.ggml_nbytes(tensor)
            rows = self._fed[self._seen : self._seen + size // (4 * self.hidden_size)]
            out = np.empty((len(rows), self.hidden_size), np.float32)
            if size == out.nbytes:
                self._ggml.ggml_backend_tensor_get(tensor, out.ctypes.data, 0, size)
                self.left[rows], self._seen = out, self._seen + len(rows)
        return True


@cache
def _ggml() -> Any:
    """The part of llama.cpp's library that knows tensors: three functions of it, whose types are told here."""
    with platform.as_linux():
        from llama_cpp._ggml import libggml

    libggml.ggml_get_name.argtypes = [ctypes.c_void_p]
    libggml.ggml_get_name.restype = ctypes.c_char_p
    libggml.ggml_nbytes.argtypes = [ctypes.c_void_p]
    libggml.ggml_nbytes.restype = ctypes.c_size_t
    libggml.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    libggml.ggml_backend_tensor_get.restype = None
    return libggml
