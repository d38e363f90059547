"""GGUF files: tensors, what identifies a base model, LoRA adapters, and writing.

    base = read_header(path)                          # strict and bounded, see gguf/header.py
    tensor(base, "output_norm.weight"), base_info(base).fingerprint
    adapter = read_adapter(file)

Not here: files that are opened once and passed on (gguf/open_files.py), Hugging Face models (models/convert.py), PEFT
folders (models/peft.py), quantizing (models/quantize.py).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert_cli.errors import BadModel, BadUsage
from xpert_cli.gguf.adapter import Adapter, Factors, Floats, Metadata, shorten
from xpert_cli.gguf.dequantize import dequantizer, widen_bfloat16
from xpert_cli.gguf.header import ALIGNMENT, BLOCKS, Header, MetadataView, TensorInfo, encode, padded, read_header
from xpert_cli.resume import Piece, write_pieces

__all__ = ["Header", "MetadataView", "TensorInfo", "encode", "read_header"]  # the other half of this door

MAX_RANK = 1024
MAX_WORD = 1 << 10  # bytes of a name or a type
_FACTORS = ("F32", "F16", "BF16", "Q8_0")  # types of an adapter's factors
_ALPHA = "adapter.lora.alpha"


@dataclass(frozen=True)
class BaseInfo:
    """What xpert needs to know of a base model; `fingerprint` is equal for all quantizations of one model."""

    name: str
    architecture: str
    fingerprint: str
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    context: int
    vocabulary: int


@dataclass(frozen=True)
class Planned:
    """A tensor about to be written: shape (rows first), ggml type name, and the function that makes its data."""

    shape: tuple[int, ...]
    type: str
    data: Callable[[], NDArray[Any]]


def opened(source: Path | Header) -> Header:
    """The header of a path, or the header itself."""
    return source if isinstance(source, Header) else read_header(source)


def raw(source: Path | Header, name: str) -> NDArray[np.uint8]:
    """(bytes,) a tensor as it is in the file, memory-mapped and read-only.

    Raises:
        BadModel: there is no such tensor.
    """
    header = opened(source)
    if name not in header.tensors:
        raise BadModel(
            f"{header.path}: there is no tensor {name}. Give another model, or convert it again with: xpert convert"
        )
    info = header.tensors[name]
    return np.asarray(np.memmap(header.path, np.uint8, "r", info.offset, (info.bytes,)))


def tensor(source: Path | Header, name: str, rows: slice = slice(None)) -> Floats:
    """A tensor, or some of its rows, as float32 in numpy's shape; of type F32 it is memory-mapped and read-only.

    Raises:
        BadModel: there is no such tensor, or its type has no dequantizer.
    """
    header = opened(source)
    data, info = raw(header, name), header.tensors[name]
    data = data.reshape(info.shape[0], -1)[rows].reshape(-1)
    shape = (-1, *info.shape[1:])
    if info.type == "F32":
        return data.view("<f4").reshape(shape)
    if info.type == "F16":
        return data.view("<f2").astype(np.float32).reshape(shape)
    if info.type == "BF16":
        return widen_bfloat16(data.view("<u2")).reshape(shape)
    if (convert := dequantizer(info.type)) is None:
        raise BadModel(f"{header.path}: {info.type} tensors cannot be read. Use a file of another type, such as Q8_0.")
    _, elements, block = BLOCKS[info.type]
    data, values = np.ascontiguousarray(data), np.empty(data.size // block * elements, np.float32)
    convert(data.ctypes.data, values.ctypes.data, values.size)
    return values.reshape(shape)


def fingerprint(source: Path | Header) -> str:
    """sha256 of what all quantizations of a model share: hyperparameters, token list, norm tensors.

    Names, templates, file types and the context length are left out: they differ between revisions of one model.
    """
    header = opened(source)
    architecture = architecture_of(header)
    heads = header.metadata.get(f"{architecture}.attention.head_count")
    shape = {
        "block_count": None,
        "embedding_length": None,
        "feed_forward_length": None,
        "attention.head_count": heads,
        "attention.head_count_kv": heads,
        "attention.layer_norm_rms_epsilon": None,
        "rope.freq_base": 10000.0,
    }
    digest = hashlib.sha256(architecture.encode())
    for key, default in shape.items():
        digest.update(f"\n{key}={header.metadata.get(f'{architecture}.{key}', default)}".encode())
    digest.update(b"\ntokens=" + header.metadata.encoded.get("tokenizer.ggml.tokens", b""))
    for name, info in sorted(header.tensors.items()):
        if len(info.shape) == 1 and name.endswith("_norm.weight"):
            digest.update(f"\n{name}=".encode() + np.ascontiguousarray(tensor(header, name), "<f4").tobytes())
    return digest.hexdigest()


def require_model(header: Header) -> None:
    """Make sure that a GGUF file holds a model, and nothing that is put onto one.

    Raises:
        BadModel: an adapter, or something else; names the fix.
    """
    if "general.type" not in header.metadata or (kind := _word(header, "general.type")) == "model":
        return
    if kind == "adapter":
        raise BadModel(
            f"{header.path} is an adapter, not a base model. Give it with --adapter, and the GGUF file of the model "
            "that it was made for with --base."
        )
    raise BadModel(f"{header.path} is no base model, but {ascii(kind)[:40]}. Give the model's file with --base.")


_CALLED = {"Smollm2 135M 8k Lc100K Mix1 Ep2": "SmolLM2-135M-Instruct"}


def base_info(source: Path | Header, known_fingerprint: str | None = None) -> BaseInfo:
    """Name, sizes and fingerprint of a base model.

    Args:
        known_fingerprint: where it was hashed already.

    Raises:
        BadModel: an adapter, or a model whose layers differ in their head counts.
    """
    header = opened(source)
    architecture = architecture_of(header)
    require_model(header)
    name = _word(header, "general.name")
    heads = _count(header, f"{architecture}.attention.head_count")
    shared = f"{architecture}.attention.head_count_kv"
    return BaseInfo(
        name="".join(filter(str.isprintable, name)) if name else header.path.stem,
        architecture=architecture,
        fingerprint=known_fingerprint or fingerprint(header),
        layers=layer_count(header),
        heads=heads,
        kv_heads=_count(header, shared) if shared in header.metadata else heads,
        hidden=_count(header, f"{architecture}.embedding_length"),
        context=_count(header, f"{architecture}.context_length"),
        vocabulary=header.metadata.length("tokenizer.ggml.tokens"),
    )


def called(name: str) -> str:
    """A base's name for people: what its makers call the model, where the file names the training run it came from."""
    return _CALLED.get(name, name)


def _word(header: Header, key: str) -> str | None:
    """A short text; None where there is none or something else, which is not decoded: it may be large."""
    short = header.metadata.kind(key) == "string" and len(header.metadata.encoded[key]) <= MAX_WORD
    return str(header.metadata[key]) if short else None


def architecture_of(header: Header) -> str:
    """The name of a model's architecture, as in "llama".

    Raises:
        BadModel: the file does not say it.
    """
    key = "general.architecture"
    text = _word(header, key)
    if text is None or not text.isprintable():
        raise BadModel(
            f"{header.path}: metadata {key} is missing or no text. Convert the model again with: xpert convert"
        )
    return text


def layer_count(header: Header) -> int:
    """How many blocks a model has.

    Raises:
        BadModel: the file does not say it.
    """
    return _count(header, f"{architecture_of(header)}.block_count")


def _count(header: Header, key: str) -> int:
    if header.metadata.kind(key) not in ("uint32", "int32", "uint64", "int64") or header.metadata[key] < 1:
        raise BadModel(
            f"{header.path}: metadata {key} is missing or no positive number. Give another model with --base."
        )
    return int(header.metadata[key])


def read_adapter(source: Path | Header) -> Adapter:
    """A GGUF LoRA adapter, its metadata's types and every factor checked; factors are float32.

    Raises:
        BadModel: not an adapter that llama.cpp can use safely; one line names all that is wrong.
    """
    header = opened(source)
    metadata = header.metadata
    if _word(header, "general.type") != "adapter":
        raise BadModel(
            f"{header.path}: this is no adapter (general.type is not 'adapter'). Give a GGUF LoRA file with --adapter."
        )
    problems = [] if _word(header, "adapter.type") == "lora" else ["adapter.type is not 'lora'"]
    problems += [
        f"metadata {key} is of type {metadata.kind(key) or 'none'} instead of {kind}"
        for key, kind in (("general.architecture", "string"), (_ALPHA, "float32"))
        if metadata.kind(key) != kind
    ]
    if unknown := [key for key in metadata if key.startswith("adapter.") and key not in ("adapter.type", _ALPHA)]:
        problems.append(f"metadata {shorten(unknown)} is not supported")
    own = [key for key in metadata if key.startswith("xpert.")]
    if odd := [key for key in own if metadata.kind(key) not in _OWN_KINDS]:
        problems.append(f"metadata {shorten(odd)} is neither text nor numbers")
    names, mistakes = _pairs(header.tensors)
    factors = {} if problems or mistakes else {name: _factors(header, name) for name in names}
    if infinite := [name for name, pair in factors.items() if not all(np.isfinite(factor).all() for factor in pair)]:
        problems.append(f"{shorten(infinite)} holds values that are not finite")
    if problems or mistakes:
        raise BadModel(f"{header.path}: {'; '.join(problems + mistakes)}. Export the adapter again.")
    try:
        return Adapter(metadata["general.architecture"], metadata[_ALPHA], factors, {key: metadata[key] for key in own})
    except BadModel as error:
        raise BadModel(f"{header.path}: {error}") from error


_OWN_KINDS = ("string", "int64", "float64", "[float64]", "uint32", "int32", "float32", "[float32]")


def _pairs(tensors: Mapping[str, TensorInfo]) -> tuple[list[str], list[str]]:
    """Base tensor names that have both factors in usable shape, and what is wrong with the others."""
    names = list(dict.fromkeys(name.removesuffix(".lora_a").removesuffix(".lora_b") for name in tensors))
    problems = []
    for name in names:
        a, b = tensors.get(f"{name}.lora_a"), tensors.get(f"{name}.lora_b")
        if name in tensors or ".lora_" in name:
            problems.append(f"{name} is no LoRA factor")
        elif a is None or b is None:
            problems.append(f"{name} has only one of its two factors")
        elif a.type not in _FACTORS or b.type not in _FACTORS:
            problems.append(f"{name} is of type {a.type}, {b.type} instead of F32, F16, BF16 or Q8_0")
        elif len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
            problems.append(f"{name} has factors of shapes {a.shape}, {b.shape} that do not fit")
        elif a.shape[0] > MAX_RANK:
            problems.append(f"{name} has rank {a.shape[0]}, over {MAX_RANK}")
    return names, [shorten(problems)] if problems else []


def _factors(header: Header, name: str) -> Factors:
    return np.array(tensor(header, f"{name}.lora_a")), np.array(tensor(header, f"{name}.lora_b"))


def write_adapter(adapter: Adapter, path: Path, dtype: str = "F16") -> None:
    """Write a GGUF LoRA adapter that llama.cpp loads; `dtype` is "F16" (factors rounded), "F32" (exact) or "Q8_0".

    A row of Q8_0 is of whole blocks of 32 numbers. That holds for A of most bases, and for B only where the rank is a
    multiple of 32; other factors are then F16.

    Raises:
        BadModel: a factor is too large for F16.
        CannotWrite: the file cannot be written.
    """
    kinds = {"F16": np.float16, "F32": np.float32, "Q8_0": np.float16}
    if dtype not in kinds:
        raise BadUsage(f"adapters are written as F16, F32 or Q8_0, not {dtype}. Choose one of these with --type.")
    metadata = {
        "general.architecture": encode("string", adapter.architecture),
        "general.type": encode("string", "adapter"),
        "adapter.type": encode("string", "lora"),
        _ALPHA: encode("float32", adapter.alpha),
        **{key: _encoded(value) for key, value in sorted(adapter.metadata.items())},
    }
    tensors = {}
    for name, pair in adapter.factors.items():
        for suffix, factor in zip(("lora_a", "lora_b"), pair, strict=True):
            with np.errstate(over="ignore"):
                data = np.ascontiguousarray(factor, kinds[dtype])
            if not np.isfinite(data).all():
                raise BadModel(
                    f"{name}.{suffix} does not fit in {dtype}. Write the adapter as F32, or train it at a lower rate."
                )
            kind = "F16" if dtype == "Q8_0" else dtype
            if dtype == "Q8_0" and factor.shape[1] % BLOCKS["Q8_0"][1] == 0:
                from gguf import GGMLQuantizationType, quants

                kind, data = dtype, quants.quantize(np.asarray(factor, np.float32), GGMLQuantizationType.Q8_0)
            tensors[f"{name}.{suffix}"] = Planned(factor.shape, kind, lambda data=data: data)  # type: ignore[misc]
    write_model(path, metadata, tensors)


def _encoded(value: Metadata) -> bytes:
    if isinstance(value, str):
        return encode("string", value)
    if isinstance(value, list):
        return encode("[float64]", value)
    return encode("int64" if isinstance(value, int) else "float64", value)


def write_model(
    path: Path,
    metadata: Mapping[str, bytes],
    tensors: Mapping[str, Planned],
    made_of: object = None,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write a GGUF file whole or not at all, one tensor in memory at a time.

    Args:
        metadata: encoded values, as in `header.metadata.encoded | {"general.file_type": encode("uint32", 1)}`.
        tensors: in the order they are written.
        made_of: all that their numbers follow from, as JSON has it: killed, the same call then carries on.

    Raises:
        CannotWrite: the folder cannot be written, or the disk is full.
    """
    alignment = _alignment(metadata)
    head = file_head(metadata, tensors)
    pieces = [Piece(padded(_size(one), alignment), partial(_numbers, one)) for one in tensors.values()]
    recipe = made_of and [hashlib.sha256(head).hexdigest(), made_of]
    write_pieces(path, [Piece(len(head), lambda: head), *pieces], recipe, progress)


def _numbers(planned: Planned) -> NDArray[Any]:
    data = np.ascontiguousarray(planned.data())
    assert data.nbytes == _size(planned), planned
    return data


def file_head(metadata: Mapping[str, bytes], tensors: Mapping[str, Planned | TensorInfo]) -> bytes:
    """A GGUF header up to where the data begins; the tensors follow each other, each padded to the alignment."""
    alignment, offset = _alignment(metadata), 0
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        head += encode("string", key)[4:] + value
    for name, info in tensors.items():
        shape = info.shape[::-1]
        number = BLOCKS[info.type][0]
        head += encode("string", name)[4:] + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset)
        offset += padded(_size(info), alignment)
    return bytes(head.ljust(padded(len(head), alignment), b"\0"))


def _size(info: Planned | TensorInfo) -> int:
    _, elements, block = BLOCKS[info.type]
    return int(np.prod(info.shape)) // elements * block


def _alignment(metadata: Mapping[str, bytes]) -> int:
    own = metadata.get("general.alignment")
    return int(struct.unpack_from("<I", own, 4)[0]) if own else ALIGNMENT
