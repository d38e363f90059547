"""One file over HTTP: carried on after a drop, bounded, verified, and safe beside other processes.

    received = download(url, store / digest, digest=digest, size=2_472_864)

What has arrived lies beside the target in a .part file, which the next try, or the next process, carries on from; the
target appears only when its contents are right. HTTP, login and redirects are huggingface_hub's. Its own
hf_hub_download (2.4.0) was tried in place of this file against the server of tests/test_download.py: it gives up at the
fifth drop of a connection although each brought more, and a full disk leaves it as a bare OSError. Not here: what is
fetched and where it is kept (hub/repo.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from time import sleep
from typing import Any

from xpert_cli import __version__, paths, resume
from xpert_cli.errors import CacheMismatch, CannotWrite

TRIES = 5  # without a byte in between
PAUSE = 0.5  # seconds before the second try, twice that before the third
LONGEST = 60  # seconds; what asks to wait longer is left for another day
CONNECT, STALLED = 10, 15  # seconds without a connection, and without a byte
BUSY = (408, 429, 500, 502, 503, 504)


class Patience:
    """Tries again what failed for a reason that passes: a dropped connection, a busy server.

    Args:
        tries: how often in a row something may fail before its error is let through.
        say: told what is waited for.
    """

    def __init__(self, tries: int = TRIES, say: Callable[[str], None] = lambda message: None) -> None:
        self._tries, self._say, self._failed = tries, say, 0

    def moved(self) -> None:
        """Something arrived: start counting anew."""
        self._failed = 0

    def bear(self, error: Exception) -> None:
        """Wait before the next try, as long as the server asks, or raise the error."""
        response = getattr(error, "response", None)
        if response is not None and response.status_code not in BUSY:
            raise error
        self._failed += 1
        wanted_wait = _retry_after(response)
        if self._failed >= self._tries or wanted_wait > LONGEST:
            raise error
        pause = max(wanted_wait, PAUSE * 2 ** (self._failed - 1))
        self._say(f"the server does not answer; trying again in {pause:.0f} s")
        sleep(pause)


def _retry_after(response: Any) -> float:
    """Seconds that the server asks to wait; 0 if it does not say."""
    header = response.headers.get("Retry-After", "") if response is not None else ""
    return float(header) if header.isdigit() else 0.0


def download(
    url: str,
    target: Path,
    *,
    digest: str,
    size: int,
    what: str,
    begin: int | None = None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> int:
    """Fetch `url` to `target` unless it is there; how many bytes were received.

    Args:
        digest: sha256 of the contents, or the sha1 that git gives them as a blob; 64 or 40 hexadecimal digits.
        size: bytes of the contents; not one more is taken.
        begin: the contents are a part of the file at `url`, from this byte on.
        what: the file, in messages.

    Raises:
        CacheMismatch: twice, the contents were not what they should be.
        CannotWrite: no room, or the folder cannot be written.
        huggingface_hub's errors: the server does not answer or refuses, after several tries.
    """
    from filelock import FileLock

    paths.writable(target.parent, "XPERT_HOME")
    part = target.with_name(f".{target.name}.part")
    received = 0
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.is_file():
            return 0  # by another process, while this one waited
        if _length(part) > size:
            part.unlink()
        if size == 0:
            paths.private_file(part)
        for _ in range(2):
            received += _fill(part, url, size, what, begin, progress)
            if _contents(part, digest) == digest:
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
                part.replace(target)
                resume.forget(part)
                return received
            part.unlink()  # damaged on the way, or by an earlier process: from the beginning
    raise CacheMismatch(
        f"{what} is not the file its catalogue describes (sha256). "
        "It may be damaged: run again later, get the cache anew, or use another."
    )


def _fill(part: Path, url: str, size: int, what: str, begin: int | None, progress: Callable[[str, float], None]) -> int:
    """Bring a partial file to its full size; bytes received."""
    errors: Any = import_module("huggingface_hub.errors")
    message = f"fetching {Path(what).name} ({f'{size / 1e6:.1f} MB' if size >= 1e6 else f'{size / 1e3:.0f} kB'})"
    patience = Patience(say=lambda message: progress(message, 0.0))
    received, furthest = 0, _length(part)
    paths.require_room(part.parent, size - furthest, "XPERT_HOME")
    while (have := _length(part)) < size:
        trouble: Exception = errors.HTTPError(f"{what} ends too early")
        try:
            for arrived in _pieces(url, part, have, size, begin):
                received += arrived
                resume.remember(part)
                progress(message, _length(part) / size)
        except errors.HTTPError as error:
            trouble = error
        if _length(part) > furthest:
            furthest = _length(part)
            patience.moved()
        else:
            patience.bear(trouble)
    return received


def _pieces(url: str, part: Path, have: int, size: int, begin: int | None) -> Iterator[int]:
    """Ask for what is missing and append it; yields the bytes that arrived with every piece."""
    first = None if begin is None and not have else (begin or 0) + have
    with asking(url, first, None if begin is None else begin + size) as (response, carries_on):
        at, skipped = (have, 0) if carries_on else (0, begin or 0)
        try:
            paths.private_file(part)
            with part.open("ab" if at else "wb") as file:
                for piece in response.iter_raw():
                    data = piece[skipped:][: size - at]  # not a byte more than there should be
                    skipped = max(0, skipped - len(piece))
                    at += file.write(data)
                    file.flush()
                    yield len(data) if begin is None else len(piece)
                    if at == size:
                        return
        except OSError as error:
            raise CannotWrite(
                f"cannot write {part}: {error.strerror}. Free some space, or move the folder with XPERT_HOME."
            ) from error


@contextmanager
def asking(url: str, begin: int | None, end: int | None = None) -> Iterator[tuple[Any, bool]]:
    """An answer to a GET, to be read piece by piece, and whether it begins where it was asked to.

    Args:
        begin, end: the first byte that is wanted, and the one behind the last; None for all of the file.
    """
    utils: Any = import_module("huggingface_hub.utils")  # whose types are not exported
    headers = utils.build_hf_headers(library_name="xpert", library_version=__version__)
    headers["Accept-Encoding"] = "identity"
    if begin is not None:
        headers["Range"] = f"bytes={begin}-{'' if end is None else end - 1}"
    timeout = (CONNECT, STALLED, STALLED, CONNECT)  # connect, read, write, pool
    with utils.get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        utils.hf_raise_for_status(response)
        content_range = response.headers.get("Content-Range", "")
        yield response, response.status_code == 206 and content_range.startswith(f"bytes {begin}-")


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _contents(path: Path, digest: str) -> str:
    """The digest of a file, of the kind of `digest`."""
    if len(digest) == 64:
        return paths.digest(path)
    return git_blob(path.read_bytes())


def git_blob(data: bytes) -> str:
    """The sha1 by which git, and so the Hub, names a small file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
