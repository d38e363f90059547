"""What a long computation has done so far, kept in the data folder until it ends: killed, it can carry on.

    kept = Unfinished("states", digest, prompts)         # named by all that the result is made of
    done, values = kept.found() or (0, empty)
    kept.keep(16, values)                                # at most every EVERY seconds
    kept.drop()

Not here: training runs (training/checkpoints.py), downloads (doors/download.py), results of commands.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from xpert_cli.errors import CannotWrite
from xpert_cli.paths import data_dir, whole

EVERY = 10.0  # seconds between two files: short computations leave none
STALE = 7 * 24 * 3600.0  # seconds after which nobody is expected to come back
Array = npt.NDArray[Any]


class Unfinished:
    """One computation: how much of it is done, as the computation counts, and what came out.

    Where the folder cannot be written nothing is kept, and nothing fails.
    """

    def __init__(self, *made_of: object) -> None:
        name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
        self.path = data_dir() / "unfinished" / f"{name}.npz"
        self._latest = time.monotonic()

    def found(self) -> tuple[int, Array] | None:
        """How much was done and what came out; None where nothing sound is kept."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return int(file["done"]), file["values"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def keep(self, done: int, values: Array) -> None:
        """Keep what is done, unless that was done just now."""
        if time.monotonic() - self._latest < EVERY:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget_stale(self.path.parent)
            with whole(self.path) as part, part.open("wb") as file:
                np.savez(file, done=done, values=values)
        except (OSError, CannotWrite):
            pass
        self._latest = time.monotonic()

    def drop(self) -> None:
        """The computation has ended."""
        self.path.unlink(missing_ok=True)


def _forget_stale(folder: Path) -> None:
    for path in folder.glob("*.npz"):
        if time.time() - path.stat().st_mtime > STALE:
            path.unlink(missing_ok=True)
