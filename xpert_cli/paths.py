"""Where things are: packaged data, the user's folders, and files written whole or not at all, for their owner alone.

Almost all that xpert writes holds a person's text, or was trained on it. So files are made with mode 0600 and folders
with 0700 before anything is in them, whatever the umask is; `share` opens a file that holds nothing of a person's.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xpert_cli import leftovers
from xpert_cli.errors import BadInput, CannotWrite, XpertError

PACKAGE = Path(__file__).resolve().parent
ABANDONED = 3600.0  # seconds without a change after which nobody is writing a file


def packaged(name: str) -> Path:
    """The packaged folder `adapters` or `prompts`: inside an installed wheel, beside the package in a checkout."""
    for root in (PACKAGE, PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise XpertError(f"the packaged folder {name!r} is missing. Reinstall xpert-cli.")


def config_file() -> Path:
    """The user's settings file; it need not exist. XDG_CONFIG_HOME moves it."""
    root = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(root) / "xpert" / "config.ini"


def data_dir() -> Path:
    """Where runs and fetched adapters are kept. XPERT_HOME moves it, and not the settings."""
    if home := os.environ.get("XPERT_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "xpert"


def notes_dir() -> Path:
    """Where running processes note their temporary files, so that what a kill leaves is cleared (leftovers.py)."""
    return data_dir() / "writing"


def make_private(folder: Path) -> None:
    """Make a folder, and the ones above it that are missing, for their owner alone; what is there stays as it is.

    Below the data folder, what an earlier version made readable for others is closed.

    Raises:
        OSError: it cannot be made.
    """
    leftovers.make_folders(folder)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    for ours in (one for one in (folder, *folder.parents) if data_dir() in one.parents):
        if ours.stat().st_mode & 0o077:
            with suppress(PermissionError):  # another user's
                ours.chmod(0o700)


def private_file(path: Path) -> None:
    """Make an empty file for its owner alone where there is none, and close one that others can read.

    Raises:
        OSError: it cannot be made.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.close(handle)
    path.chmod(0o600)


def share(path: Path) -> None:
    """Give a file that holds nothing of a person's the permissions of an ordinary one."""
    mask = os.umask(0o077)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _fix(option: str, what: str = "place", before: str = "") -> str:
    """What helps where something cannot be written: another place, where an option names it; else this one mended."""
    other = f"{'or c' if before else 'C'}hoose another {what} with {option}" if option else ""
    return f"{' '.join(filter(None, (before, other))) or 'Make it writable, or use a copy on another disk'}."


def writable(folder: Path, option: str = "--out") -> Path:
    """`folder`, made if need be and known to take files; `option` is what named it, "" for none.

    Raises:
        CannotWrite: it cannot be made or written.
    """
    try:
        make_private(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise CannotWrite(f"cannot write to {folder}: {error.strerror}. {_fix(option, 'folder')}") from error
    return folder


def require_folder(folder: Path, option: str = "--out") -> None:
    """Make sure that `folder` is one, or can be made, before the work whose files go there; nothing is made.

    Raises:
        CannotWrite: a file is in the way, or the folder above takes no files.
    """
    try:
        above = nearest(folder)
        why = "" if os.access(above, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
        why = why if above.is_dir() else f"{above} is no folder"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise CannotWrite(f"cannot write to {folder}: {why}. {_fix(option, 'folder')}")


def nearest(folder: Path) -> Path:
    """The folder, or the first one above it that is there."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def require_place(file: Path, option: str = "--out") -> None:
    """Make sure that a file can be written where the user named it, before the work whose result it is.

    A folder that is to hold many files is made where it is missing; the folder of one file is not, for its name may be
    mistyped. A link is not followed, and would be lost: results are written beside their place, and then moved there.

    Raises:
        CannotWrite: the file's folder is not there or takes no files, or what is there is no file: a folder, a link, a
            pipe, a device.
    """
    folder = file.absolute().parent
    try:
        why = f"it is a link to {file.readlink()}" if file.is_symlink() else ""
        why = why or ("it is a folder" if file.is_dir() else "")
        why = why or ("it is a pipe or a device" if file.exists() and not file.is_file() else "")
        if not why and not folder.is_dir():
            why = f"{folder} is no folder" if folder.exists() else f"there is no folder {folder}"
        elif not why and not os.access(folder, os.W_OK | os.X_OK):
            why = f"{folder}: {os.strerror(errno.EACCES)}"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise CannotWrite(f"cannot write {file}: {why}. {_fix(option)}")


def require_unread(target: Path, sources: Iterable[Path], option: str = "--out") -> None:
    """Refuse to write to a file that is to be read, or that lies in a folder that is.

    Raises:
        BadInput: it is among them.
    """
    if target.exists() and any(is_in(target, source) for source in sources):
        raise BadInput(
            f"{option} {target} is among the files to read, and would be lost. Name another file with {option}."
        )


def is_in(place: Path, source: Path) -> bool:
    """Whether a place, which need not be there, is a file to read, or lies in a folder to read."""
    try:
        if source.is_dir():
            return source.resolve() in (place.resolve(), *place.resolve().parents)
        return source.samefile(place)
    except OSError:  # one is standard input, is not there, or cannot be looked at
        return False


def require_new(target: Path, option: str = "--out") -> None:
    """Refuse a file that is there already, or a folder that holds something.

    Raises:
        BadInput: it is there.
    """
    if any(target.iterdir()) if target.is_dir() else target.exists():
        raise BadInput(f"{option} {target} is there already. Name another file with {option}, or say --overwrite.")


def require_room(folder: Path, size: int, option: str = "--out") -> None:
    """Make sure that a folder's disk has `size` bytes free.

    Raises:
        CannotWrite: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise CannotWrite(
            f"{folder} has {free >> 20} MB free, and {size >> 20} MB are needed. "
            f"Free some space or choose another folder with {option}."
        )


def text(path: Path) -> str:
    """What a small text file of the user's says.

    Raises:
        BadInput: it cannot be read, or is no UTF-8 text.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text ({error}). Give a UTF-8 text file.") from error


def identity(path: Path) -> tuple[str, int, int]:
    """What tells a file from others, and from itself once it is changed: path, bytes, time of the change in ns."""
    stat = path.stat()
    return str(path.resolve()), stat.st_size, stat.st_mtime_ns


def folded(name: str) -> str:
    """What a file's name is on disks that tell neither capital letters nor forms of Unicode apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        sha = hashlib.sha256()
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the moment, in the data folder: what a kill leaves is deleted at the next start of any command.

    Raises:
        CannotWrite: the data folder cannot be written.
    """
    folder = writable(data_dir(), "XPERT_HOME")
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".scratch.", ignore_cleanup_errors=True) as name,
        leftovers.noted(Path(name), notes_dir()),
    ):
        yield Path(name)


@contextmanager
def whole(target: Path, option: str = "") -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` if the block ends well, and vanishes if it does not.

    What a kill leaves is deleted at the next start of any command (leftovers.py); where that cannot be noted, once
    nobody has written to it for an hour.

    Args:
        option: the one that named the target, for the error; "" for none.

    Raises:
        CannotWrite: the folder cannot be written, or the disk is full.
    """
    try:
        make_private(target.parent)
        for abandoned in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            with suppress(FileNotFoundError):  # somebody else was faster
                if abandoned.stat().st_mtime < time.time() - ABANDONED:
                    abandoned.unlink()
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
    except OSError as error:
        raise CannotWrite(f"cannot write {target}: {error.strerror}. {_fix(option)}") from error
    part = Path(name)
    try:
        with leftovers.noted(part, notes_dir()), finished(part, target, option):
            yield part
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def finished(part: Path, target: Path, option: str = "") -> Iterator[None]:
    """Turn `part` into `target` if the block, in which it is written, ends well.

    Raises:
        CannotWrite: the disk is full, or `target` is in the way.
    """
    try:
        yield
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        if error.errno is None:
            raise
        raise CannotWrite(
            f"cannot write {target}: {error.strerror}. {_fix(option, before='Free some space')}"
        ) from error
