"""Temporary files that a kill leaves behind: noted while they exist, and deleted at the next start of any command.

    with noted(Path(".model.gguf.x1y2.part"), data_dir() / "writing"):
        ...                                       # SIGKILL, or the power fails
    clear(data_dir() / "writing")                 # later, in another process

Each process notes its own in one file, locked as long as it lives: what an unlocked file names, nobody is writing any
more. Where nothing can be noted or locked, nothing fails, and nothing is cleared. Not here: files that the same command
goes on with (resume.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_SCRATCH = re.compile(r"\.(?:scratch|copy|layers)\..*")
OURS = re.compile(rf"\..*\.part|{_SCRATCH.pattern}")  # names that are deleted; nothing else ever is
DAY = 24 * 3600.0  # seconds

_noted: dict[Path, set[Path]] = {}  # folder -> what this process has there at this moment
_files: dict[Path, IO[str]] = {}


@contextmanager
def noted(path: Path, folder: Path) -> Iterator[None]:
    """While `path` is a temporary file or folder of this process; `folder` is where the notes lie."""
    _noted.setdefault(folder, set()).add(path.absolute())
    _write(folder)
    try:
        yield
    finally:
        _noted[folder].discard(path.absolute())
        _write(folder)


def clear(folder: Path) -> list[Path]:
    """Delete what processes that were killed left behind; what was deleted.

    Beside the notes, in the data folder, what nobody notes goes too, once it is older than a day: earlier versions
    noted nothing, and a process may be killed before it notes.
    """
    cleared: list[Path] = []
    running: set[Path] = set()
    for note in folder.glob("*.json") if folder.is_dir() else ():
        with suppress(OSError, ValueError), note.open("r+", encoding="utf-8") as file:
            if note == _path(folder) or not _locked(file):
                running |= set(map(Path, json.load(file)))
                continue
            for path in map(Path, json.load(file)):
                if OURS.fullmatch(path.name) and (path.is_file() or path.is_dir()):
                    _delete(path)
                    cleared.append(path)
            note.unlink()
    for path in folder.parent.glob(".*"):
        with suppress(OSError):
            if _SCRATCH.fullmatch(path.name) and path not in running and path.stat().st_mtime < time.time() - DAY:
                _delete(path)
                cleared.append(path)
    _remove_empty(folder)
    return cleared


def _delete(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _path(folder: Path) -> Path:
    return folder / f"{os.getpid()}.json"


def make_folders(folder: Path) -> None:
    """Make a folder, and the ones above it that are missing, for their owner alone; what is there stays as it is.

    Raises:
        OSError: one cannot be made.
    """
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _write(folder: Path) -> None:
    """Bring this process's notes up to date; without any there is no file."""
    with suppress(OSError):
        if not _noted[folder]:
            if file := _files.pop(folder, None):
                _path(folder).unlink(missing_ok=True)
                file.close()
                _remove_empty(folder)
            return
        if folder not in _files:
            make_folders(folder)
            _files[folder] = os.fdopen(os.open(_path(folder), os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
            _locked(_files[folder])
        file = _files[folder]
        file.seek(0)
        file.truncate()
        json.dump(sorted(map(str, _noted[folder])), file)
        file.flush()


def _locked(file: IO[str]) -> bool:
    """Take a file's lock unless another process has it; it goes with the process."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_empty(folder: Path) -> None:
    for one in (folder, folder.parent):
        with suppress(OSError):
            one.rmdir()
