"""The folder of a fine-tuning run: which one it is, whether it may be used, and the room that it needs.

    require_free(messages.digest, out, overwrite)         # before anything is measured
    folder = folder_of(identity, out, overwrite)          # once it is known which run this is

Not here: what is written there (training/package.py, training/checkpoints.py), runs that are finished (runs.py).
"""

from __future__ import annotations

import time
from pathlib import Path

from xpert_cli import gguf, paths, runs
from xpert_cli.errors import BadInput
from xpert_cli.models.merging import room_for


class Finished(Exception):
    """The folder holds the finished run of this very call."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


def require_free(data: str, out: Path | None, overwrite: bool) -> None:
    """Refuse a folder that holds a finished run of other messages.

    Args:
        data: digest of this run's messages; "" where it cannot be the same run whatever they are.

    Raises:
        BadInput: it does.
    """
    record = runs.record(out).get("data") if out is not None and not overwrite else None
    if isinstance(record, dict) and record.get("digest") != data:
        raise _taken(out)


def folder_of(identity: str, out: Path | None, overwrite: bool) -> Path:
    """The run's folder: the one that was named, or that of this run where it was begun and not finished, or a new one.

    It is made when the first file is written: what is refused before leaves no unfinished run.

    Args:
        identity: digest of what makes the run this run.

    Raises:
        Finished: the folder that was named holds this run, finished.
        BadInput: it holds another finished run.
        CannotWrite: it cannot be written.
    """
    if out is None:
        same = sorted(runs.runs_dir().glob(f"*-{identity[:8]}"))
        begun = [path for path in same if not (path / runs.RECORD).exists()]
        new = runs.runs_dir() / f"{time.strftime('%Y%m%d-%H%M%S')}-{identity[:8]}"
        out = begun[-1] if begun else new
    elif (out / runs.RECORD).exists() and not overwrite:
        if runs.record(out).get("identity") == identity:
            raise Finished(out)
        raise _taken(out)
    paths.require_folder(out)
    return out


def _taken(folder: Path | None) -> BadInput:
    return BadInput(
        f"{folder} holds a finished run of another call. Name another folder with --out, or say --overwrite."
    )


def require_room(header: gguf.Header, out: Path | None, rank: int, type_name: str | None) -> None:
    """Make sure that the disk has room for checkpoints, adapter and merged model.

    Raises:
        CannotWrite: it has not.
    """
    written = 60 * rank * sum(sum(info.shape) for info in header.tensors.values() if len(info.shape) == 2)
    paths.require_room(paths.nearest(out or runs.runs_dir()), room_for(header, type_name) + written)
