"""Hidden states of samples in a file, so that what does not change is worked out once.

    kept = KeptStates(576, torch.bfloat16, folder)
    kept.write((1, 2, 3), states)                    # (3, 576)
    kept.read((1, 2, 3)), kept.read((4,))            # the same numbers, None

The file has no name: nothing of it is left, however the process ends. Importing this module imports torch.
Not here: which layers the states come from (training/decoder.py).
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

MOST = 256 << 20  # bytes; what does not fit is worked out each time


class KeptStates:
    """States by the tokens that they are of, (tokens, hidden).

    Args:
        folder: where the file is; the system's for such files unless given.
        most: bytes that are kept; a quarter of the disk's free ones at most.
    """

    def __init__(self, hidden: int, dtype: torch.dtype, folder: Path | None, most: int = MOST) -> None:
        self.hidden, self.dtype, self.folder = hidden, dtype, folder or Path(tempfile.gettempdir())
        self.most = min(most, shutil.disk_usage(self.folder).free // 4)
        self._file: IO[bytes] | None = None
        self._begins: dict[tuple[int, ...], int] = {}
        self._end = 0

    def read(self, tokens: tuple[int, ...]) -> Tensor | None:
        """The states of a sample; None where they are not kept."""
        if self._file is None or tokens not in self._begins:
            return None
        size, numbers = len(tokens) * self.hidden * self.dtype.itemsize, b""
        with suppress(OSError):
            self._file.seek(self._begins[tokens])
            numbers = self._file.read(size)
        if len(numbers) < size:
            return None
        return torch.frombuffer(bytearray(numbers), dtype=self.dtype).view(-1, self.hidden)

    def write(self, tokens: tuple[int, ...], states: Tensor) -> None:
        """Keep the states of a sample, where there is room for them."""
        if tokens in self._begins or self._end + states.nbytes > self.most:
            return
        with suppress(OSError):  # a full disk costs time, and nothing else
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0, dir=self.folder)  # noqa: SIM115
            self._file.seek(self._end)
            if self._file.write(states.contiguous().view(torch.uint8).numpy().tobytes()) == states.nbytes:
                self._begins[tokens], self._end = self._end, self._end + states.nbytes
