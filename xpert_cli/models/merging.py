"""Adding an adapter to its base model: one GGUF that needs no adapter any more.

    merge_into_base(base, adapter, out, "Q4_K_M")

Deltas are added in float32, some rows at a time: no matrix is ever whole but in the bytes that are written. Float types
and Q8_0 are written at once, other types by llama.cpp from a file of F16. Quantized tensors that the adapter does not
touch are copied as they are where the type stays or is Q8_0, norms always. Not here: merging adapters
(gguf/adapter.py).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert_cli import gguf
from xpert_cli.errors import BadModel
from xpert_cli.gguf import BaseModel
from xpert_cli.gguf.adapter import Adapter, Floats
from xpert_cli.gguf.dequantize import quantized
from xpert_cli.models.quantize import quantization_type, quantize
from xpert_cli.paths import identity
from xpert_cli.resume import middle

Progress = Callable[[str, float], None]
_FLOATS = ("F32", "F16", "BF16")
_FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7}  # llama.cpp's numbers of what is written here
_AT_ONCE = 1 << 18  # numbers of a matrix that exist at one time: they stay in a core's cache
_ALONE = 1 << 18  # multiplications up to which OpenBLAS starts no other thread
_FITS_Q8_0 = 32  # the width of a row is a multiple of it; other matrices become F16, as llama.cpp has it


def merge_into_base(
    base: BaseModel | Path,
    adapter: Adapter,
    out: Path,
    type_name: str | None = None,
    progress: Progress = lambda message, fraction: None,
) -> str:
    """Write `base` with the adapter's deltas added.

    Args:
        type_name: the quantization type of the result; by default the base's own float type, or Q8_0. What few steps
            change is smaller than the rounding of 4 bits: into Q4_1, nine tenths of a gain were lost; into Q8_0, none.
    Returns:
        The type written.
    Raises:
        BadInput: there is no such type.
        BadModel: the base is damaged, or its weights are too large for the F16 that precedes quantization.
        CacheMismatch: the adapter is for another base model.
        CannotWrite: no space, or no such folder.
    """
    base = BaseModel.open(base)
    header = base.header
    gguf.check_adapter(adapter, base)
    kind = merged_type(header, type_name)
    if kind in _FILE_TYPES:
        _write(header, adapter, out, kind, everything=True, progress=progress)
        return kind
    with middle(out, *_made_of(header, adapter)) as merged:
        if not merged.exists():
            _write(header, adapter, merged, "F16", everything=False, progress=progress)
        quantize(merged, out, kind, progress=partial(progress, f"quantizing to {kind}"))
    return kind


def merged_type(header: gguf.Header, type_name: str | None) -> str:
    """The type that a merged model is written in; `type_name` as `merge_into_base` has it.

    Raises:
        BadInput: there is no such type.
    """
    return quantization_type(type_name) if type_name else _own_type(header)


def room_for(header: gguf.Header, type_name: str | None) -> int:
    """Bytes of disk that merging takes at most."""
    kind, numbers = merged_type(header, type_name), sum(math.prod(info.shape) for info in header.tensors.values())
    each = {"F32": 4.0, "F16": 2.0, "BF16": 2.0, "Q8_0": 1.25}.get(kind, 3.0)  # 3: F16 first, then the type beside it
    return int(each * numbers)


def merging_seconds(header: gguf.Header, type_name: str | None) -> float:
    """About how long `merge_into_base` takes on this machine: timed on some rows of one matrix, and as long to write.

    Types that llama.cpp quantizes to take several times as long, from a file that is written first.
    """
    kind = merged_type(header, type_name)
    matrices = {name: info.shape for name, info in header.tensors.items() if len(info.shape) == 2}
    fitting = [name for name, (_, width) in matrices.items() if width % _FITS_Q8_0 == 0]
    if not fitting:
        return 0.0
    name = max(fitting, key=lambda one: (one.startswith("blk."), math.prod(matrices[one])))
    rows = slice(0, max(1, min(matrices[name][0], _AT_ONCE // matrices[name][1])))
    for _ in range(2):  # the first time, libraries are loaded
        began = time.monotonic()
        quantized(gguf.tensor(header, name, rows), "Q8_0")
    each = (time.monotonic() - began) / (rows.stop * matrices[name][1])
    return each * sum(map(math.prod, matrices.values())) * (2 if kind in _FILE_TYPES else 8)


def _made_of(header: gguf.Header, adapter: Adapter) -> list[object]:
    """What tells a merged model from others."""
    factors = hashlib.sha256()
    for name, (a, b) in adapter.factors.items():
        factors.update(name.encode() + a.tobytes() + b.tobytes())
    return [identity(header.path), adapter.scale, factors.hexdigest()]


def _own_type(header: gguf.Header) -> str:
    """The float type of a model's matrices; one fine enough for a merged model where they are quantized."""
    kinds = {info.type for info in header.tensors.values() if len(info.shape) > 1}
    if not kinds <= set(_FLOATS):
        return "Q8_0"
    return kinds.pop() if len(kinds) == 1 else "F32"


def _write(
    header: gguf.Header, adapter: Adapter, out: Path, kind: str, *, everything: bool, progress: Progress
) -> None:
    """The merged model with changed matrices, or all of them with `everything`, in the type `kind`."""
    tensors = {}
    for name, info in header.tensors.items():
        copied = kind == "Q8_0" and info.type not in _FLOATS
        if name in adapter.factors or (everything and len(info.shape) > 1 and not copied):
            own = "F16" if kind == "Q8_0" and info.shape[-1] % _FITS_Q8_0 else kind
            tensors[name] = gguf.Planned(info.shape, own, partial(_merged, header, adapter, name, own))
        else:
            tensors[name] = gguf.Planned(info.shape, info.type, partial(gguf.raw, header, name))
    metadata = dict(header.metadata.encoded) | {"general.file_type": gguf.encode("uint32", _FILE_TYPES[kind])}
    if kind == "Q8_0":
        metadata["general.quantization_version"] = gguf.encode("uint32", 2)
    gguf.write_model(out, metadata, tensors, _made_of(header, adapter), partial(progress, "merging"))


def _merged(header: gguf.Header, adapter: Adapter, name: str, kind: str) -> NDArray[Any]:
    """One tensor with its delta, in the bytes of a type."""
    shape = header.tensors[name].shape
    step = max(1, _AT_ONCE // math.prod(shape[1:]))
    parts = (slice(begin, min(begin + step, shape[0])) for begin in range(0, shape[0], step))
    return np.concatenate([_rows(header, adapter, name, kind, rows).reshape(-1).view(np.uint8) for rows in parts])


def _product(b: Floats, a: Floats) -> Floats:
    """b @ a, in parts so small that one thread makes each: several wait for each other where other programs run."""
    out = np.empty((len(b), a.shape[1]), np.float32)
    step = max(1, _ALONE // a.size)
    for begin in range(0, len(b), step):
        np.matmul(b[begin : begin + step], a, out=out[begin : begin + step])
    return out


def _rows(header: gguf.Header, adapter: Adapter, name: str, kind: str, rows: slice) -> NDArray[Any]:
    """Some rows of a tensor with their delta, in a type."""
    values: Floats = gguf.tensor(header, name, rows)
    if name in adapter.factors:
        a, b = adapter.factors[name]
        with np.errstate(over="ignore", invalid="ignore"):
            delta = _product(b[rows], a)
            delta *= np.float32(adapter.scale)
            delta += values
            values = delta
    largest = max(abs(values.min()), abs(values.max()))
    if not np.isfinite(largest):
        whose = "with the adapter, " if name in adapter.factors else ""
        raise BadModel(f"{header.path}: {whose}{name} holds values that are not finite. Use another adapter or base.")
    if kind == "BF16":
        from gguf import GGMLQuantizationType, quants

        return np.asarray(quants.quantize(values, GGMLQuantizationType.BF16))
    if kind in ("F16", "Q8_0") and largest > np.finfo(np.float16).max:
        raise BadModel(f"{header.path}: {name} has values too large for F16. Merge with --type F32 or BF16.")
    if kind == "Q8_0":
        return quantized(values.reshape(-1, values.shape[-1]), kind)
    return values.astype(np.float16 if kind == "F16" else np.float32, copy=False)
