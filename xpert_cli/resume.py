"""What a long computation has done so far, kept until it ends: killed, it can carry on.

    kept = PartialResults("states", digest, prompts)         # named by all that the result is made of
    done, values = kept.load() or (0, empty)
    kept.keep(16, values)                                # at most every EVERY seconds
    kept.drop()

    write_pieces(out, [Piece(24, head), Piece(4096, first)], made_of)      # the same for a large file

Numbers are kept in the data folder, files beside what they are to be. Not here: training runs
(training/checkpoints.py), downloads (hub/download.py), results of commands.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from xpert_cli.errors import CannotWrite, TimeIsUp
from xpert_cli.paths import data_dir, finished, make_private, private_file, whole

_kept: set[str] = set()  # what this process has kept, or found kept, of the work it has not finished


def remember(what: object) -> None:
    """Say that the same command would go on from `what`, a file as a rule."""
    _kept.add(str(what))


def forget(what: object) -> None:
    """Say that `what` is not there any more, or not needed."""
    _kept.discard(str(what))


def outlook() -> str:
    """What becomes of the work if it ends now, for people: true at this moment."""
    if _kept:
        return "What is done is kept: the same command goes on from there."
    return "Nothing was kept: the same command starts from the beginning."


EVERY = 10.0  # seconds between two files: short computations leave none
STALE = 7 * 24 * 3600.0  # seconds after which nobody is expected to come back
Array = npt.NDArray[Any]


class PartialResults:
    """One computation: how much of it is done, as the computation counts, and what came out.

    Where the folder cannot be written nothing is kept, and nothing fails.
    """

    def __init__(self, *made_of: object) -> None:
        self.name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
        self.path = data_dir() / "unfinished" / f"{self.name}.npz"
        self._latest = time.monotonic()

    def load(self) -> tuple[int, Array] | None:
        """How much was done and what came out; None where nothing sound is kept."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                done, values = int(file["done"]), file["values"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        remember(self.path)
        return done, values

    def keep(self, done: int, values: Array, file: IO[bytes] | None = None, *, now: bool = False) -> None:
        """Keep what is done, unless that was done just now; what was written to `file` is on the disk before.

        Args:
            now: keep it in any case, for the work ends here.
        """
        if not now and time.monotonic() - self._latest < EVERY:
            return
        try:
            if file:
                file.flush()
                os.fsync(file.fileno())
            make_private(self.path.parent)
            _forget_stale(self.path.parent)
            with whole(self.path) as part, part.open("wb") as file:
                np.savez(file, done=done, values=values)
            remember(self.path)
        except (OSError, CannotWrite):
            pass
        self._latest = time.monotonic()

    def drop(self) -> None:
        """The computation has ended."""
        self.path.unlink(missing_ok=True)
        forget(self.path)


def _forget_stale(folder: Path) -> None:
    """Delete what nobody came back for, and the file that it was to become."""
    for path in folder.glob("*.npz"):
        if time.time() - path.stat().st_mtime > STALE:
            with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), np.load(path) as file:
                part = Path(str(file["values"])) if file["values"].dtype.kind == "U" else path
                if part.name.startswith("."):
                    part.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    for path in folder.glob("answers-*"):  # of `cache verify --answers`, in a folder
        if time.time() - path.stat().st_mtime > STALE:
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Piece:
    """Bytes of a file, and how they come to be; zeros follow until `size` is full."""

    size: int
    data: Callable[[], Any]


def write_pieces(
    target: Path, pieces: Sequence[Piece], made_of: object = None, progress: Callable[[float], None] = lambda _: None
) -> None:
    """Write a file whole or not at all; killed or out of time, the same call carries on after the last piece kept.

    An error, or Ctrl-C, leaves nothing behind.

    Args:
        made_of: all that the bytes follow from, as JSON has it. Without it, the file is begun anew each time.

    Raises:
        CannotWrite: the folder cannot be written, the disk is full, or another process is writing the same.
    """
    if made_of is None:
        with whole(target) as part, part.open("wb") as file:
            for done in _written(file, pieces):
                progress(done / len(pieces))
        return
    ends = [0, *accumulate(piece.size for piece in pieces)]
    partial = PartialResults("file", str(target.absolute()), ends, made_of)
    part = _beside(target, partial, "part")
    with _alone(target, part), _left_if_time_is_up(part, partial), finished(part, target, "--out"):
        private_file(part)
        with part.open("r+b") as file:
            first, _ = partial.load() or (0, None)
            first = first if os.fstat(file.fileno()).st_size >= ends[first] else 0
            file.seek(ends[first])
            file.truncate()
            for done in _written(file, pieces[first:]):
                place = np.array(str(part.absolute()))
                partial.keep(first + done, place, file)
                try:
                    progress((first + done) / len(pieces))
                except TimeIsUp:
                    partial.keep(first + done, place, file, now=True)
                    raise
    partial.drop()


def _written(file: IO[bytes], pieces: Sequence[Piece]) -> Iterator[int]:
    """Write one piece after the other; how many there are."""
    for done, piece in enumerate(pieces, 1):
        data = memoryview(piece.data())
        file.write(data)
        file.write(bytes(piece.size - data.nbytes))
        yield done


@contextmanager
def middle(target: Path, *made_of: object) -> Iterator[Path]:
    """Where a large file is to lie that `target` is made from: killed or out of time, the same call finds it again."""
    path = _beside(target, PartialResults("middle", *made_of), "middle")
    with _alone(target, path), _left_if_time_is_up(path):
        if path.exists():
            remember(path)
        yield path
        path.unlink(missing_ok=True)
        forget(path)


def _beside(target: Path, partial: PartialResults, kind: str) -> Path:
    return target.with_name(f".{target.name}.{partial.name[:12]}.{kind}")


@contextmanager
def _alone(target: Path, path: Path) -> Iterator[None]:
    """While no other process makes `target`; what is left of it, made of something else than `path`, is deleted."""
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=0)
    try:
        make_private(target.parent)
        lock.acquire()
    except Timeout as error:
        raise CannotWrite(f"another process is writing {target}. Wait until it has ended.") from error
    except OSError as error:
        raise CannotWrite(f"cannot write {target}: {error.strerror}. Choose another place with --out.") from error
    remains = re.compile(rf"\.{{1,2}}{re.escape(target.name)}\.[0-9a-f]{{12}}\.(part|middle(\..*)?)")
    try:
        for other in target.parent.iterdir():
            if remains.fullmatch(other.name) and path.name not in other.name:
                other.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def _left_if_time_is_up(path: Path, partial: PartialResults | None = None) -> Iterator[None]:
    """An unfinished file stays for the next call if this one runs out of time, and not if it fails or is stopped."""
    try:
        yield
    except TimeIsUp:
        if partial is None and path.exists():
            remember(path)
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        forget(path)
        if partial:
            partial.drop()
        raise
