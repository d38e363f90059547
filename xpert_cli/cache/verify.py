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
from xpert_cli.cache.screening import admitted, oddities
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
    notes = list(cache.notes)
    for done, entry in enumerate(cache.entries):
        progress(entry.id, done / len(cache.entries))
        notes += oddities(cache, admitted(cache.open_adapter(entry.id), base))
    total = sum(entry.bytes for entry in cache.entries)
    return Verified(cache.source.name, len(cache.entries), total, tuple(notes), time.monotonic() - began)


@dataclass(frozen=True)
class Listing:
    """What a cache holds, from its catalogue alone."""

    cache: str
    base: str
    catalogue: str
    adapters: tuple[Entry, ...]


def listing(cache: OpenCache) -> Listing:
    """The adapters of a cache in the catalogue's order."""
    return Listing(cache.source.name, str(cache.base["name"]), CATALOGUE, cache.entries)
