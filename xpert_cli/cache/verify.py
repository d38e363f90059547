"""`xpert cache verify` and `xpert cache list`: what a cache holds, and whether it is what it says.

    verify(open_cache(source), base).adapters

Not here: making one (cache/build.py), publishing one (sharing/publish.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.indexed import LISTED
from xpert_cli.cache.screening import admitted, oddities
from xpert_cli.errors import CacheMismatch
from xpert_cli.gguf import BaseModel
from xpert_cli.hub.files import CATALOGUE

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Verified:
    """A cache whose files were all read, digested, and checked against its base's description."""

    cache: str
    adapters: int
    bytes: int
    notes: tuple[str, ...]
    seconds: float


def verify(cache: OpenCache, base: BaseModel | Path, progress: Progress = lambda message, fraction: None) -> Verified:
    """Fetch every adapter of a cache and check digest, structure and base, try it, and compare it with the others.

    Raises:
        CacheMismatch, BadModel: naming the first file that is wrong.
    """
    began = time.monotonic()
    base = BaseModel.open(base)
    cache.require(base)
    notes, done, total = list(cache.notes), 0, 0
    known: set[str] = set()
    for group in cache.groups():
        for entry in group.entries:
            if entry.id in known:
                raise CacheMismatch(f"{cache.source.name}: two adapters are called {entry.id}. Get the cache anew.")
            known.add(entry.id)
            progress(entry.id, done / cache.size)
            notes += oddities(group, admitted(group.open_adapter(entry.id), base))
            done, total = done + 1, total + entry.bytes
    return Verified(cache.source.name, done, total, tuple(notes), time.monotonic() - began)


@dataclass(frozen=True)
class Listing:
    """What a cache holds, from its catalogue alone; of more than LISTED adapters those that are on this machine."""

    cache: str
    base: str
    catalogue: str
    adapters: tuple[Entry, ...]
    count: int


def listing(cache: OpenCache) -> Listing:
    """The adapters of a cache in the catalogue's order."""
    entries = cache.entries if cache.size <= LISTED else tuple(cache.at_hand())
    return Listing(cache.source.name, str(cache.base["name"]), CATALOGUE, entries, cache.size)
