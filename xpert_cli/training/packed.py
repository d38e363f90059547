"""Frozen weights left in their quantized GGUF file, and read and expanded each time that they are multiplied with.

    packed = Packed.of(header, file, ["blk.0.attn_q.weight", "blk.0.attn_k.weight"])
    packed.expand(out)                    # (rows of both, width), in the type of the computation

They take no memory but the system's cache of files, which it takes back where it must. The numbers are those of
`gguf.tensor`, so that training is the same bit for bit. Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xpert_cli import gguf
from xpert_cli.gguf.dequantize import dequantizer

# Numbers expanded at a time. They stay in a core's cache until they are converted, and are fewer than torch shares
# among threads (32,768): to wake a thread takes longer than to convert them, up to ten times.
CHUNK = (1 << 15) - 1


class Part(NamedTuple):
    """A matrix in the file: where it begins, its rows, the bytes of each, and how they are expanded."""

    offset: int
    rows: int
    row_bytes: int
    convert: Callable[[int, int, int], None]


@dataclass(frozen=True, eq=False)
class Packed:
    """Matrices of one width, one below the other."""

    file: FileIO
    parts: Sequence[Part]
    width: int

    @classmethod
    def of(cls, header: gguf.Header, file: FileIO, names: Sequence[str]) -> Packed | None:
        """None where a type is not expanded by ggml; `file` is the header's, open for as long as this is used."""
        parts = []
        for name in names:
            gguf.raw(header, name)  # that it is there
            info = header.tensors[name]
            if (convert := dequantizer(info.type)) is None:
                return None
            parts.append(Part(info.offset, info.shape[0], info.bytes // info.shape[0], convert))
        return cls(file, parts, header.tensors[names[0]].shape[1])

    def expand(self, out: Tensor) -> None:
        """Write the numbers to `out`, (rows, width), of any type and stride.

        One thread does it all: threads that take turns at so little work lose more than they gain.

        Raises:
            OSError: the file was cut.
        """
        at = 0
        for part in self.parts:
            self._expand(part, 0, out[at : at + part.rows])
            at += part.rows

    def expand_rows(self, first: int, out: Tensor) -> None:
        """Write as many rows of the first matrix as `out` has, from row `first` on.

        Raises:
            OSError: the file was cut.
        """
        self._expand(self.parts[0], first, out)

    def _expand(self, part: Part, first: int, out: Tensor) -> None:
        size = max(CHUNK, self.width)
        step, (raw, wide) = size // self.width, _scratch(size)
        for begin in range(0, len(out), step):
            into = out[begin : begin + step]
            wanted, count = len(into) * part.row_bytes, len(into) * self.width
            self.file.seek(part.offset + (first + begin) * part.row_bytes)
            if self.file.readinto(raw.data[:wanted]) != wanted:
                raise OSError("the base model's file was cut while it was read")
            part.convert(raw.ctypes.data, wide.data_ptr(), count)
            into.copy_(wide[:count].view(-1, self.width))


@lru_cache(maxsize=1)
def _scratch(size: int) -> tuple[npt.NDArray[np.uint8], Tensor]:
    """Memory for the blocks of so many numbers, and for the numbers."""
    return np.empty(4 * size, np.uint8), torch.empty(size)
