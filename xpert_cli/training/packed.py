"""Frozen weights kept as they lie in a quantized GGUF file, and expanded each time that they are multiplied with.

    packed = Packed.of(header, ["blk.0.attn_q.weight", "blk.0.attn_k.weight"])
    packed.expand(out)                    # (rows of both, width), in the type of the computation

A Q4_1 base takes 0.6 bytes a weight in place of 2 (bf16) or 4; pages of the file are the system's to take back. The
numbers are those of `gguf.tensor`, so that training is the same bit for bit. Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xpert_cli.doors import gguf
from xpert_cli.doors.dequantize import dequantizer

CHUNK = 1 << 15  # numbers expanded at a time: torch copies so few without threads of its own


@dataclass(frozen=True, eq=False)
class Packed:
    """Matrices of one width, one below the other.

    `parts`: the bytes of each in the file, its rows, and how it is expanded.
    """

    parts: Sequence[tuple[npt.NDArray[np.uint8], int, Callable[[int, int, int], None]]]
    width: int

    @classmethod
    def of(cls, header: gguf.Header, names: Sequence[str]) -> Packed | None:
        """None where a tensor's type is not expanded by ggml."""
        told = [(gguf.raw(header, name), header.tensors[name]) for name in names]
        found = [(data, info.shape[0], dequantizer(info.type)) for data, info in told]
        parts = [(data, rows, convert) for data, rows, convert in found if convert is not None]
        return cls(parts, told[0][1].shape[1]) if len(parts) == len(names) else None

    def expand(self, out: Tensor) -> None:
        """Write the numbers to `out`, (height, width), of any type and stride, with as many threads as torch has."""
        jobs, step, at = [], max(1, CHUNK // self.width), 0
        for data, rows, convert in self.parts:
            row_bytes = len(data) // rows
            for first in range(0, rows, step):
                count = min(step, rows - first)
                jobs.append((convert, data.ctypes.data + first * row_bytes, out[at + first : at + first + count]))
            at += rows
        threads = torch.get_num_threads()
        run = partial(_expanded, self.width)
        if threads == 1:
            run(jobs)
        else:
            list(_workers(threads).map(run, [jobs[one::threads] for one in range(threads)]))


def _expanded(width: int, jobs: Sequence[tuple[Callable[[int, int, int], None], int, Tensor]]) -> None:
    wide = torch.empty(max(len(out) for _, _, out in jobs) if jobs else 0, width)
    for convert, address, out in jobs:
        convert(address, wide.data_ptr(), len(out) * width)
        out.copy_(wide[: len(out)])


@lru_cache(maxsize=1)
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "expand")
