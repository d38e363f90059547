"""Parts of files over HTTP, several at a time: asked for by Range, carried on after a drop, bounded.

    data, received = fetch_ranges([(url, 4096, 512), (url, 4608, 512)], "owner/name")      # one request

Neighbours are asked for together. What arrives is in memory, and whoever asked checks it. Not here: one file or part to
a file (hub/download.py), where parts are kept (hub/repo.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from xpert_cli.errors import CacheMismatch
from xpert_cli.hub.download import Patience, asking

AT_ONCE = 4  # requests
MOST_SKIPPED = 64 << 20  # bytes in front of a part that are received for nothing where a server sends whole files
Range = tuple[str, int, int]  # url, first byte, bytes


def fetch_ranges(
    wanted: Sequence[Range], what: str, progress: Callable[[str, float], None] = lambda message, fraction: None
) -> tuple[list[bytes], int]:
    """The bytes of each range, in order, and how many were received.

    Raises:
        CacheMismatch: a file ends before a range does, or the server sends no parts of large files.
        huggingface_hub's errors: the server does not answer or refuses, after several tries.
    """
    joined = _joined(wanted)
    done = 0

    def fetch(one: Range) -> tuple[bytearray, int]:
        nonlocal done
        fetched = _fetch(*one, what, progress)
        done += 1
        progress(f"fetching parts of the index of {what}", done / len(joined))
        return fetched

    with ThreadPoolExecutor(min(AT_ONCE, len(joined))) as pool:
        fetched = list(pool.map(fetch, joined))
    ranges = []
    for url, begin, size in wanted:
        for (other, first, length), (data, _) in zip(joined, fetched, strict=True):
            if url == other and first <= begin and begin + size <= first + length:
                ranges.append(bytes(data[begin - first : begin - first + size]))
                break
    return ranges, sum(received for _, received in fetched)


def _joined(wanted: Sequence[Range]) -> list[Range]:
    """The ranges to ask for: those that follow each other as one."""
    joined: list[Range] = []
    for url, begin, size in sorted(set(wanted)):
        if joined and joined[-1][0] == url and begin <= (end := joined[-1][1] + joined[-1][2]):
            joined[-1] = url, joined[-1][1], max(end, begin + size) - joined[-1][1]
        else:
            joined.append((url, begin, size))
    return joined


def _fetch(url: str, begin: int, size: int, what: str, progress: Callable[[str, float], None]) -> tuple[bytearray, int]:
    """The bytes of one range, and how many were received."""
    errors: Any = import_module("huggingface_hub.errors")
    patience = Patience(say=lambda message: progress(message, 0.0))
    data, received = bytearray(), 0
    while len(data) < size:
        trouble: Exception = errors.HTTPError(f"a part of a file of {what} ends too early")
        before = len(data)
        try:
            with asking(url, begin + before, begin + size) as (response, carries_on):
                skipped = 0 if carries_on else begin + before
                if skipped > MOST_SKIPPED:
                    raise CacheMismatch(
                        f"{what}: the server sends whole files, and no parts of them. "
                        "Use another server, or download the cache and name its folder."
                    )
                for piece in response.iter_raw():
                    received += len(piece)
                    data += piece[skipped:][: size - len(data)]
                    skipped = max(0, skipped - len(piece))
                    if len(data) == size:
                        break
        except errors.HTTPError as error:
            if getattr(getattr(error, "response", None), "status_code", 0) == 416:
                raise CacheMismatch(
                    f"{what}: a file of its index is shorter than the index says. Get the cache anew, or use another."
                ) from error
            trouble = error
        if len(data) > before:
            patience.moved()
        else:
            patience.bear(trouble)
    return data, received
