"""The state of a training run in files: written whole or not at all, and the newest sound one found again.

    keep = Checkpoints(folder, {"base": fingerprint, "recipe": ...}, every=20)
    state = keep.newest()            # None: nothing that belongs to this run

The two latest files are kept. A file that is damaged, or that belongs to a run with another base, data or recipe, is
passed over. Numbers are stored as they are in memory (numpy's format in a zip archive with checksums).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli import resume
from xpert_cli.gguf.adapter import Floats
from xpert_cli.paths import whole

_ARRAYS = ("parameters", "first", "second", "best")


@dataclass(eq=False)
class State:
    """What a run is made of at a step: (count,) factors, AdamW's first and second moments, the best factors so far."""

    parameters: Floats
    first: Floats
    second: Floats
    best: Floats
    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    loss_base: float = math.nan
    tokens: int = 0
    seconds: float = 0.0
    train_seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    layout: Mapping[str, Any] = field(default_factory=dict)

    def update(self, other: State) -> None:
        """Take another state's values, arrays in place."""
        for name in _ARRAYS:
            getattr(self, name)[:] = getattr(other, name)
        for name, value in other.numbers().items():
            setattr(self, name, value)
        self.curve = [(step, loss) for step, loss in self.curve]

    def numbers(self) -> dict[str, Any]:
        """All but the arrays."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in _ARRAYS}


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run.

    Attributes:
        folder: where they are; made when the first is written.
        identity: what makes this run this run, as JSON can hold it.
        every: steps between two of them.
    """

    folder: Path
    identity: Mapping[str, Any]
    every: int = 10

    def due(self, state: State) -> bool:
        """Whether a state is to be written at its step."""
        return state.step > 0 and state.step % self.every == 0

    def write(self, state: State) -> None:
        """Write a state and drop all but the one before it: those of later steps are damaged or another run's.

        Raises:
            CannotWrite: the folder cannot be written, or the disk is full; earlier checkpoints are still there.
        """
        path = self.folder / f"step-{state.step:06}.npz"
        record = json.dumps({"run": self.digest, **state.numbers()})
        with whole(path) as part, part.open("wb") as file:
            np.savez(file, told=np.frombuffer(record.encode(), np.uint8), **{n: getattr(state, n) for n in _ARRAYS})
        resume.remember(self.folder)
        files = self._files()
        at = files.index(path)
        for old in [*files[:at], *files[at + 2 :], *self._halves()]:
            old.unlink(missing_ok=True)

    def newest(self) -> State | None:
        """The latest sound state of this run; None if there is none."""
        for path in self._files():
            try:
                with np.load(path, allow_pickle=False) as file:
                    numbers = json.loads(bytes(file["told"]))
                    if numbers.pop("run") == self.digest:
                        resume.remember(self.folder)
                        return State(**{name: file[name] for name in _ARRAYS}, **numbers)
            except Exception:  # a damaged archive fails in many ways, and none of them matters
                continue
        return None

    def clear(self) -> None:
        """Remove all checkpoints: the run is done."""
        for path in [*self._files(), *self._halves()]:
            path.unlink(missing_ok=True)
        resume.forget(self.folder)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("step-*.npz"), reverse=True)

    def _halves(self) -> list[Path]:
        """What a process that was killed while it wrote has left."""
        return list(self.folder.glob(".step-*.part"))

    @property
    def digest(self) -> str:
        """The run's name: of its identity, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
