"""The cache and the adapters that names stand for, opened once and passed on.

    cache = find_cache("owner/styles")                 # None: the one that the settings name
    parts = open_adapters(["terse.gguf=0.5", "elementary-concise-plain"], base, lambda: cache)

An adapter's name is a GGUF file, a folder of a run, the name of a run, an id of the cache, or an alias of one or of
several, with =WEIGHT behind it if it is not 1. Not here: what a cache holds (cache/catalogue.py), what a foreign one
has to pass (cache/screening.py).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache as once
from pathlib import Path

from xpert_cli import aliases, settings
from xpert_cli.cache.catalogue import OpenCache, open_cache
from xpert_cli.cache.indexed import LISTED
from xpert_cli.cache.screening import admitted
from xpert_cli.errors import BadInput, BadUsage, XpertError
from xpert_cli.foreign.numbers import number
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.hub.sources import EMBEDDED, open_source
from xpert_cli.runs import ADAPTER, NEWEST, named

Progress = Callable[[str, float], None]
MOST_WEIGHT = 100.0  # of an adapter, either way: far beyond what leaves a model able to speak


def find_cache(
    name: str | None = None, *, offline: bool = False, progress: Progress = lambda message, fraction: None
) -> OpenCache:
    """The cache of a name, or the default one.

    Raises:
        BadInput, CacheMismatch: it cannot be fetched, or is damaged.
    """
    return open_cache(open_source(name or settings.default("cache"), offline=offline, progress=progress))


def cache_at_hand(
    name: str | None, base: BaseModel, note: Callable[[str], None], progress: Progress = lambda message, fraction: None
) -> OpenCache | None:
    """The cache that is on this machine and for this base; None where there is none, and a note says why.

    Without one a new adapter's style is described on the axes of its base alone, and caches cannot place it by its
    text.
    """
    try:
        opened = find_cache(name, offline=True, progress=progress)
        opened.require(base)
    except XpertError as error:
        note(f"going on without a cache: {error}")
        return None
    return opened


def split_weight(spec: str) -> tuple[str, float]:
    """Name and weight of NAME[=WEIGHT]; the weight is 1 where none is given.

    Raises:
        BadUsage: what follows the last = is no weight, and there is no such file.
    """
    name, sign, tail = spec.rpartition("=")
    if not sign or Path(spec).exists():
        return spec, 1.0
    try:
        weight = number(tail, -MOST_WEIGHT, MOST_WEIGHT)
    except ValueError:
        weight = math.nan
    if math.isnan(weight) or not name:
        range_ = f"from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}"
        raise BadUsage(f"{spec!a:.80}: {tail!a:.60} is no weight {range_}. Write NAME=0.5, or NAME alone.")
    return name, weight


def mixture(text: str) -> list[tuple[str, float]]:
    """Names and weights of "A=0.6+B=0.4"; a file of that name is one part.

    Raises:
        BadInput: a weight is no number.
    """
    return [split_weight(part.strip()) for part in ([text] if Path(text).exists() else text.split("+"))]


def expanded(spec: str) -> list[tuple[str, float]]:
    """Names and weights that NAME[=WEIGHT] stands for: several for the alias of a mixture.

    Raises:
        BadInput: a weight is no number.
    """
    name, weight = split_weight(spec)
    meaning = aliases.target(name)
    return [(name, weight)] if meaning is None else [(part, weight * share) for part, share in mixture(meaning)]


def ids_at_hand() -> set[str]:
    """Ids of the adapters in the default cache and the embedded one, communities' too, as far as they are here."""
    ids: set[str] = set()
    for name in (None, EMBEDDED):
        with suppress(XpertError):  # a cache that is not here, or is damaged, has no adapter to be mistaken
            opened = find_cache(name, offline=True)
            ids.update(entry.id for entry in (opened.entries if opened.size <= LISTED else opened.at_hand()))
            ids.update(group.id for group in opened.communities)
    return ids


def is_file_name(name: str) -> bool:
    """Whether an adapter's name is that of a file or folder, and not an id of the cache."""
    return name.endswith(".gguf") or "/" in name or os.sep in name or Path(name).exists()


def adapter_path(name: str) -> Path:
    """The adapter of a file, or of a run's folder."""
    return Path(name, ADAPTER) if Path(name, ADAPTER).is_file() else Path(name)


def find_adapters(specs: Sequence[str], cache: Callable[[], OpenCache]) -> list[tuple[AdapterFile | Path, float]]:
    """The adapters of NAME[=WEIGHT], those of the cache opened, files and folders as paths.

    Args:
        cache: called if one of them is an id, once.
    """
    opened = once(cache)
    adapters: list[tuple[AdapterFile | Path, float]] = []
    for name, weight in [part for spec in specs for part in expanded(spec)]:
        if is_file_name(name):
            adapters.append((adapter_path(name), weight))
        elif (run := named(name.removeprefix("run:"))) is not None:
            adapters.append((run.adapter, weight))
        elif name in NEWEST or name.startswith("run:"):
            raise BadInput(f"there is no run {name}. List them with: xpert runs list")
        else:
            adapters.append((opened().open_adapter(name.removeprefix("cache:")), weight))
    return adapters


def open_adapters(specs: Sequence[str], base: BaseModel, cache: Callable[[], OpenCache]) -> list[WeightedAdapter]:
    """The adapters of NAME[=WEIGHT] for use on a base; each fits it and stood a trial.

    Raises:
        BadInput, BadModel, CacheMismatch: one of them cannot be used.
    """
    return [
        WeightedAdapter(admitted(AdapterFile.open(file), base), weight) for file, weight in find_adapters(specs, cache)
    ]
