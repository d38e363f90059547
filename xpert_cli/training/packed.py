"""Frozen weights left in their quantized GGUF file, and read and expanded each time that they are multiplied with.

    packed = Packed.of(header, file, ["blk.0.attn_q.weight", "blk.0.attn_k.weight"])
    packed.expand(out)                    # (rows of both, width), in the type of the computation

They take no memory but the system's cache of files, which it takes back where it must. The numbers are those of
`gguf.tensor`, so that training is the same bit for bit. Importing this module imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xpert_cli.doors import gguf
from xpert_cli.doors.dequantize import dequantizer

CHUNK = 1 << 15  # numbers expanded at a time: torch copies so few without threads of its own


class Part(NamedTuple):
    """A matrix in the file: where it begins, its rows, the bytes of each, and how they are expanded."""

    offset: int
    rows: int
    row_bytes: int
    convert: Callable[[int, int, int], None]


@dataclass(frozen=True, eq=False)
class Packed:
    """Matrices of one width, one below the other."""

    file: IO[bytes]
    parts: Sequence[Part]
    width: int

    @classmethod
    def of(cls, header: gguf.Header, file: IO[bytes], names: Sequence[str]) -> Packed | None:
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
        """Write the numbers to `out`, (rows, width), of any type and stride, with as many threads as torch has.

        Raises:
            OSError: the file was cut.
        """
        jobs, step, at = [], max(1, CHUNK // self.width), 0
        for part in self.parts:
            for first in range(0, part.rows, step):
                into = out[at + first : at + min(first + step, part.rows)]
                jobs.append((part, part.offset + first * part.row_bytes, into))
            at += part.rows
        threads, run = torch.get_num_threads(), partial(_expanded, self.file.fileno(), self.width)
        if threads == 1:
            run(jobs)
        else:
            list(_workers(threads).map(run, [jobs[one::threads] for one in range(threads)]))


def _expanded(file: int, width: int, jobs: Sequence[tuple[Part, int, Tensor]]) -> None:
    rows = max((len(out) for *_, out in jobs), default=0)
    wide = torch.empty(rows, width)
    for part, offset, out in jobs:
        wanted = len(out) * part.row_bytes
        blocks = np.frombuffer(os.pread(file, wanted, offset), np.uint8)
        if len(blocks) != wanted:
            raise OSError("the base model's file was cut while it was read")
        part.convert(blocks.ctypes.data, wide.data_ptr(), len(out) * width)
        out.copy_(wide[: len(out)])


@lru_cache(maxsize=1)
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "expand")
