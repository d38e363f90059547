"""The folder of a fine-tuning run: which one it is, whether it may be used, and the room that it needs.

    require_free(messages.digest, out, overwrite)         # before anything is measured
    folder = folder_of(identity, out, overwrite)          # once it is known which run this is
    with alone(folder):                                   # while it trains
        ...

Not here: what is written there (training/package.py, training/checkpoints.py), runs that are finished (runs.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from xpert_cli import gguf, paths, runs
from xpert_cli.errors import BadInput, CannotWrite
from xpert_cli.models.merging import room_for

WRITTEN = (runs.ADAPTER, runs.MESSAGES, runs.MERGED)  # what a run puts into its folder
PEFT = "peft"  # the folder there that `--engine peft` makes
LOCK = ".lock"  # in the folder of a run at work


class Finished(Exception):
    """The folder holds the finished run of this very call."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


def require_free(data: str, out: Path | None, overwrite: bool) -> None:
    """Refuse a folder that holds a finished run of other messages, or files of other origin that a run would replace.

    Args:
        data: digest of this run's messages; "" where it cannot be the same run whatever they are.

    Raises:
        BadInput: it does.
    """
    if out is None or overwrite:
        return
    record = runs.record(out).get("data")
    if isinstance(record, dict) and record.get("digest") != data:
        raise _taken(out)
    by_peft = (out / PEFT).exists() and (out / runs.ADAPTER).exists()  # such a run has no record
    if by_peft and not any((out / name).exists() for name in (runs.RECORD, runs.CHECKPOINTS)):
        raise _taken(out)
    if not any((out / name).exists() for name in (runs.RECORD, runs.CHECKPOINTS, PEFT)):
        for name in WRITTEN:
            if (out / name).exists():
                raise BadInput(
                    f"{out} holds {name}, which no run made there, and it would be lost. "
                    "Name another folder with --out, or say --overwrite."
                )


def require_unread(out: Path | None, files: Sequence[Path]) -> None:
    """Refuse a folder of which the run reads a file that it would replace.

    Raises:
        BadInput: it does.
    """
    for file in [out / name for name in WRITTEN] if out is not None else []:
        if any(paths.is_in(file, one) for one in files):
            raise BadInput(f"this run reads {file}, and would replace it. Name another folder with --out.")


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


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While no other process trains in a folder; of a run that left nothing there, nothing stays.

    Raises:
        CannotWrite: another process does, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(paths.writable(folder) / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise CannotWrite(
            f"another process trains in {folder} now. Wait until it has ended, or name another folder with --out."
        ) from error
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # it is not empty
            folder.rmdir()


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
    begun = [one for one in runs.runs_dir().glob("*") if not (one / runs.RECORD).exists()] if out is None else [out]
    states = (sum(one.stat().st_size for one in (folder / runs.CHECKPOINTS).glob("*.npz")) for folder in begun)
    written -= min(written, max(states, default=0))  # a run that was stopped has written these already
    paths.require_room(paths.nearest(out or runs.runs_dir()), room_for(header, type_name) + written)
