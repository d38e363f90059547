"""`xpert cache verify` and `xpert cache list`: what a cache holds, and whether it is what it says.

    verify(open_cache(source), base).adapters

Not here: making one (cache/build.py), publishing one (sharing/publish.py).
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xpert_cli import paths
from xpert_cli.cache.answers import answer_probes
from xpert_cli.cache.build import CLAIMED
from xpert_cli.cache.catalogue import ANSWERS, MOST_BYTES, WORDS, OpenCache, base_answers
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.indexed import LISTED
from xpert_cli.cache.screening import admitted, oddities
from xpert_cli.errors import CacheMismatch
from xpert_cli.foreign.data import read_arrays
from xpert_cli.gguf import BaseModel
from xpert_cli.hub.files import CATALOGUE
from xpert_cli.style import described
from xpert_cli.style.space import measured

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Verified:
    """A cache whose files were all read, hashed, and checked against its base's description; `bytes` are of all."""

    cache: str
    adapters: int
    bytes: int
    notes: tuple[str, ...]
    seconds: float
    answers: tuple[Answered, ...] = ()
    communities: int = 0


@dataclass(frozen=True)
class Answered:
    """An adapter that was asked: `agreement` is the cosine, from the base, of its answers and where its text lies."""

    id: str
    agreement: float


def verify(
    cache: OpenCache, base: BaseModel | Path, progress: Progress = lambda message, fraction: None, *, ask: int = 0
) -> Verified:
    """Fetch every adapter of a cache and check digest, structure and base, try it, and compare it with the others.

    Args:
        ask: so many adapters, drawn by their digests, answer the probes too; each answer is kept until all are there.

    Raises:
        CacheMismatch, BadModel: naming the first file that is wrong.
    """
    began = time.monotonic()
    base = BaseModel.open(base)
    cache.require(base)
    notes, done, total = list(cache.notes), 0, 0
    known: set[str] = set()
    cache.verify_files()
    if cache.source.optional(ANSWERS) is not None:
        base_answers(cache.source)
    _require_words(cache)
    for group in cache.groups():
        for entry in group.entries:
            if entry.id in known:
                raise CacheMismatch(f"{cache.source.name}: two adapters are called {entry.id}. Get the cache anew.")
            known.add(entry.id)
            progress(entry.id, done / cache.size)
            notes += oddities(group, admitted(group.open_adapter(entry.id), base))
            done, total = done + 1, total + entry.bytes
    for one in cache.communities:
        progress(one.id, 1.0)
        notes += oddities(cache, admitted(cache.open_adapter(one.id), base))
        total += one.entry.bytes
    answered = _answered(cache, base, ask, progress) if ask else ()
    notes += [
        f"the answers of {one.id} do not show the style that its place claims"
        for one in answered
        if one.agreement < CLAIMED
    ]
    seconds = time.monotonic() - began
    return Verified(cache.source.name, done, total, tuple(notes), seconds, answered, len(cache.communities))


def _require_words(cache: OpenCache) -> None:
    """Read words.npz, if there is one: catalogues of earlier versions do not vouch for it.

    Raises:
        CacheMismatch: it is damaged.
    """
    try:
        if (path := cache.source.optional(WORDS)) is not None:
            read_arrays(path, most_bytes=MOST_BYTES)
    except ValueError as error:
        raise CacheMismatch(
            f"{cache.source.name}: {WORDS} is damaged ({error}). Get the cache anew, or delete the file."
        ) from error


def _answered(cache: OpenCache, base: BaseModel, count: int, progress: Progress) -> tuple[Answered, ...]:
    """How the answers of some adapters agree with where their training texts lie, on measured axes."""
    drawn = sorted(range(cache.size), key=lambda row: cache.entries[row].sha256)[:count]
    files = {cache.entries[row].id: cache.open_adapter(cache.entries[row].id) for row in drawn}
    key = hashlib.sha256("".join(one.digest for one in files.values()).encode()).hexdigest()[:16]
    folder = paths.writable(paths.data_dir() / "unfinished" / f"answers-{key}", "XPERT_HOME")
    answers = answer_probes(base, files, folder, 0, progress, plain=False)
    keep = measured(cache.space.axes) & described.understood(cache.space.axes)
    space, places = cache.space.only(keep), cache.coordinates[:, keep]
    agreements = []
    for row in drawn:
        name = cache.entries[row].id
        shown = space.shift(described.read(answers[name], space.axes, space.basis, None).mean, writing=False)
        agreements.append(Answered(name, float(space.shares(places[row], shown).sum())))
    shutil.rmtree(folder, ignore_errors=True)
    return tuple(sorted(agreements, key=lambda one: one.agreement))


@dataclass(frozen=True)
class Grouped:
    """A community of a cache: how many people, and what they write like."""

    id: str
    parent: str
    people: int
    explanation: str


@dataclass(frozen=True)
class Listing:
    """What a cache holds, from its catalogue alone; of more than LISTED adapters those that are on this machine."""

    cache: str
    base: str
    catalogue: str
    adapters: tuple[Entry, ...]
    count: int
    communities: tuple[Grouped, ...] = ()


def listing(cache: OpenCache) -> Listing:
    """The adapters of a cache in the catalogue's order."""
    entries = cache.entries if cache.size <= LISTED else tuple(cache.at_hand())
    communities = tuple(Grouped(one.id, one.parent, one.count, one.entry.explanation) for one in cache.communities)
    return Listing(cache.source.name, str(cache.base["name"]), CATALOGUE, entries, cache.size, communities)
