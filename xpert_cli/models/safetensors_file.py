"""The safetensors format: a JSON header that says where each tensor lies, then raw numbers.

    tensors = read_safetensors(folder / "model.safetensors")
    tensors["model.norm.weight"].floats()                      # float32, of the tensor's shape
    write_safetensors(folder / "adapter_model.safetensors", {"a": values})

Tensors are memory-mapped, so only the one at hand is in memory. Covered: F32, F16 and BF16. The package `safetensors`
has no BF16 in numpy, and would be one more binary wheel to build on a phone.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpert_cli.errors import BadModel
from xpert_cli.foreign.data import read_object
from xpert_cli.gguf.adapter import Floats
from xpert_cli.gguf.dequantize import widen_bfloat16
from xpert_cli.paths import whole

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind) for name, kind in (("F32", "<f4"), ("F16", "<f2"), ("BF16", "<u2"))
}
MAX_HEADER = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies: `kind` is F32, F16 or BF16, `offset` counts from the start of `file`."""

    file: Path
    kind: str
    shape: tuple[int, ...]
    offset: int

    def read(self) -> NDArray[Any]:
        """The mapped values in their stored type, of shape `shape`; BF16 as the uint16 that holds its bits."""
        if not math.prod(self.shape):
            return np.empty(self.shape, DTYPES[self.kind])
        return np.memmap(self.file, DTYPES[self.kind], "r", self.offset, self.shape)

    def floats(self) -> Floats:
        """The values widened to float32 exactly, of shape `shape`."""
        values = self.read()
        return widen_bfloat16(values) if self.kind == "BF16" else values.astype(np.float32)


def read_safetensors(file: Path, max_header: int = MAX_HEADER) -> dict[str, StoredTensor]:
    """By name, the tensors of a safetensors file; only its header is read.

    Args:
        max_header: bytes of JSON that are parsed at most.

    Raises:
        BadModel: missing, damaged, or with tensors of a type that is not covered; names the fix.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= min(max_header, size - 8):
                raise ValueError("its header does not fit the file")
            header = read_object(handle.read(length), most_bytes=MAX_HEADER)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _stored(file, name, entry, 8 + length, size) for name, entry in entries.items()}
    except FileNotFoundError as error:
        raise BadModel(f"{file} is missing. Download the model again, or save it again.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadModel(f"{file} is not a whole safetensors file: {error}. Download or save it again.") from error


def _stored(file: Path, name: str, entry: Mapping[str, Any], start: int, size: int) -> StoredTensor:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if kind not in DTYPES:
        raise BadModel(f"{file}: {name:.80} is stored as {kind}. Use the original weights in F32, F16 or BF16.")
    if not all(type(count) is int and count >= 0 for count in (*shape, begin, end)):
        raise ValueError(f"{name:.80} has an impossible shape")
    if end - begin != math.prod(shape) * DTYPES[kind].itemsize or start + end > size:
        raise ValueError(f"{name:.80} does not fit the file")
    return StoredTensor(file, kind, shape, start + begin)


def write_safetensors(file: Path, tensors: Mapping[str, Floats]) -> None:
    """Write float32 tensors to a file, whole or not at all.

    Raises:
        CannotWrite: the folder cannot be written, or the disk is full.
    """
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, values in tensors.items():
        entries[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    head = json.dumps(entries, separators=(",", ":")).encode()
    head = head.ljust(-(-len(head) // 8) * 8)  # tensors start at a multiple of 8
    with whole(file, "--out") as part, part.open("wb") as out:
        out.write(struct.pack("<Q", len(head)) + head)
        for values in tensors.values():
            out.write(np.ascontiguousarray(values, "<f4").data)
