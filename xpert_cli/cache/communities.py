"""Communities of a cache: groups of people who write alike, each with an adapter, a place and a size.

    for one in cache.communities:
        one.entry.id, one.count, one.parent        # "people-1", 14, "people"

They are told in communities.json, whose digest stands among the `files` of the catalogue: a version of xpert that does
not know them reads the cache all the same. Not here: who belongs together (cache/groups.py), making adapters of them
(cache/writers.py), choosing one for a person (selection/community.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli import paths
from xpert_cli.cache import card
from xpert_cli.cache.catalogue import ANSWERS, COMMUNITIES, OpenCache
from xpert_cli.cache.entries import Entry, fields_of
from xpert_cli.cache.index import write_in_schema
from xpert_cli.cache.indexed import IndexedCache
from xpert_cli.cache.write import relist
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.foreign.data import read_object
from xpert_cli.hub.files import Source
from xpert_cli.style.space import Axis, Floats, Space

FILE = COMMUNITIES
SCHEMA = 1
MOST_BYTES = 64 << 20
_KEYS = {"parent", "count", "members", "made", "mean", "spread"}


@dataclass(frozen=True, eq=False)
class Community:
    """A group of people of a cache.

    Attributes:
        entry: id, file, digest and size of its adapter, and what its people write like.
        parent: id of the larger community that it is part of; "" for everybody.
        count: people in it, each once.
        members: ids of those of its people whose adapters are in the cache, several of a person who is there under
            several names; only where it has no smaller communities.
        made: "average" of its people's adapters, or trained on their "text".
        mean, spread: (axes,) mean and standard deviation of its people's coordinates; NaN where nothing is known.
    """

    entry: Entry
    parent: str
    count: int
    members: tuple[str, ...]
    made: str
    mean: Floats
    spread: Floats

    @property
    def id(self) -> str:
        """The adapter's id."""
        return self.entry.id


def read_communities(source: Source, axes: Sequence[Axis]) -> tuple[Community, ...]:
    """The communities of a cache, each after the one that it is part of; none where the catalogue names no such file.

    Raises:
        CacheMismatch: the file is damaged, or does not fit the catalogue.
    """
    if FILE not in source.known:
        return ()
    path = source.file(FILE)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        fields = read_object(path.read_bytes())
        if fields["schema"] != SCHEMA:
            raise CacheMismatch(
                f"{source.name}: {FILE} has schema {fields['schema']!a:.20}; this xpert reads {SCHEMA}. "
                "Upgrade with: pip install -U xpert-cli"
            )
        communities = tuple(
            _community(one, [axis.name for axis in axes], fields["axes"]) for one in fields["communities"]
        )
        _require_tree(communities)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CacheMismatch(f"{source.name}: {FILE} is damaged ({error}). Get the cache anew.") from error
    return communities


def _community(fields: Mapping[str, Any], names: Sequence[str], axes: Sequence[str]) -> Community:
    own = {key: value for key, value in fields.items() if key not in _KEYS}
    values = {}
    for key in ("mean", "spread"):
        numbers = [np.nan if one is None else float(one) for one in fields[key]]
        by_name = dict(zip(axes, numbers, strict=True))
        values[key] = np.array([by_name.get(name, np.nan) for name in names], np.float64)
    texts = (fields["parent"], fields["made"], *fields["members"])
    if not all(isinstance(text, str) for text in texts) or not isinstance(fields["count"], int) or fields["count"] < 1:
        raise TypeError("a community has a value of the wrong kind")
    entry = Entry(**{**own, "explained_by": tuple(own["explained_by"])})
    return Community(entry, fields["parent"], fields["count"], tuple(fields["members"]), fields["made"], **values)


def _require_tree(communities: Sequence[Community]) -> None:
    """Refuse ids that are there twice, and a community before the one that it is part of.

    Raises:
        ValueError: naming it.
    """
    seen: set[str] = set()
    for one in communities:
        if one.id in seen or (one.parent and one.parent not in seen):
            raise ValueError(f"the community {one.id!r:.40} is there twice, or stands before its parent")
        seen.add(one.id)


def write_communities(folder: Path, communities: Sequence[Community], axes: Sequence[Axis]) -> None:
    """Write communities.json; the catalogue, which is to tell its digest, comes after it."""
    with paths.whole(folder / FILE) as part:
        part.write_bytes(encoded(communities, axes))


def encoded(communities: Sequence[Community], axes: Sequence[Axis]) -> bytes:
    """Communities as the bytes of communities.json."""
    fields = {
        "schema": SCHEMA,
        "axes": [axis.name for axis in axes],
        "communities": [
            fields_of(one.entry)
            | {"parent": one.parent, "count": one.count, "members": list(one.members), "made": one.made}
            | {key: _rounded(getattr(one, key)) for key in ("mean", "spread")}
            for one in communities
        ],
    }
    return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()


def _rounded(values: Floats) -> list[float | None]:
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def people(cache: OpenCache) -> frozenset[str]:
    """Ids of the adapters that are of one person of a community."""
    return frozenset(name for one in cache.communities for name in one.members)


def at_least(cache: OpenCache, least: int, folder: Path) -> int:
    """Write a cache without the people of another's communities, and without communities of fewer than `least`.

    Adapters that belong to no community stay. Of a community that is left, the smaller ones' people are not named.

    Returns:
        The number of communities that are left.

    Raises:
        BadInput: none is left.
        CacheMismatch: a file is not what the catalogue says.
    """
    communities = _counted(cache)
    remaining = [one for one in communities if one.count >= least]
    if not remaining:
        most = max((one.count for one in communities), default=0)
        has = f"its largest has {most} people" if most else "it has none"
        raise BadInput(
            f"{cache.source.name} has no community of at least {least} people: {has}. "
            "Make communities with: xpert cache train"
        )
    ids = {one.id for one in remaining}
    remaining = [replace(one, parent=_above(cache, one, ids), members=()) for one in remaining]
    private = people(cache)
    rows = [row for row, entry in enumerate(cache.entries) if entry.id not in private]
    public = [cache.entries[row] for row in rows]
    entries = [replace(one, file=f"adapters/{one.id}.gguf", offset=None) for one in public]
    for entry in [*entries, *(one.entry for one in remaining)]:
        with paths.whole(folder / entry.file) as part:
            part.write_bytes(cache.fetch(entry.id).read_bytes())
    if (answers := cache.source.optional(ANSWERS)) is not None:
        with paths.whole(folder / ANSWERS) as part:
            part.write_bytes(answers.read_bytes())
    readme = cache.source.optional(card.FILE)
    with paths.whole(folder / card.FILE) as part:
        part.write_text(card.update_card(paths.text(readme) if readme else "", entries, {}, 0, remaining), "utf-8")
    write_communities(folder, remaining, cache.space.axes)
    made_with = {"base": dict(cache.base), "summarizer": dict(cache.summarizer), "probes": cache.probes}
    write_in_schema(
        folder,
        made_with,
        entries,
        cache.space,
        cache.answer_coordinates[rows],
        cache.training_coordinates[rows],
        indexed=isinstance(cache, IndexedCache),
    )
    return len(remaining)


def _counted(cache: OpenCache) -> list[Community]:
    """The communities of a cache, none of which has more people than its members have different texts.

    An earlier version counted one who is there under several names several times.
    """
    texts: dict[str, str] = {}
    if any(one.members for one in cache.communities):
        texts = {entry.id: str(entry.provenance.get("data", {}).get("digest", entry.id)) for entry in cache.entries}
    own: dict[str, set[str]] = {}  # a community's different texts, where all of its people are named
    parts: dict[str, list[set[str]]] = {}
    for one in reversed(cache.communities):  # parts come before what they are part of
        below, named = parts.get(one.id, []), {texts.get(name, name) for name in one.members}
        own[one.id] = named.union(*below) if named or all(below) else set()
        parts.setdefault(one.parent, []).append(own[one.id])
    return [replace(one, count=min(one.count, len(own[one.id]) or one.count)) for one in cache.communities]


def _above(cache: OpenCache, one: Community, ids: set[str]) -> str:
    """The nearest larger community that is there, "" if none is."""
    parents = {other.id: other.parent for other in cache.communities}
    parent = one.parent
    while parent and parent not in ids:
        parent = parents[parent]
    return parent


def add_communities(other: OpenCache, cache: OpenCache, folder: Path, least: int) -> tuple[Community, ...]:
    """Put the communities of a cache, of at least `least` people each, into another; its people's adapters stay out.

    Args:
        folder: where `cache` lies, whose catalogue is written anew.

    Returns:
        What was added, with its coordinates in the space of `cache`.

    Raises:
        BadInput: there is nothing to add, or an id is taken.
        CacheMismatch: the caches are for different bases.
    """
    if other.base["fingerprint"] != cache.base["fingerprint"]:
        raise CacheMismatch(f"{other.source.name} and {cache.source.name} are for different bases. Join caches of one.")
    ids = {entry.id for entry in cache.entries} | {one.id for one in cache.communities}
    new = [one for one in _counted(other) if one.count >= least]
    new_ids = {one.id for one in new}
    if not new:
        raise BadInput(f"{other.source.name} has no community of at least {least} people. Make one: xpert cache train")
    if doubled := sorted(ids & new_ids):
        raise BadInput(f"{cache.source.name} has {doubled[0]} already. Train the others with another --prefix.")
    placed = [
        replace(placed_in(one, other.space, cache.space), parent=_above(other, one, new_ids), members=()) for one in new
    ]
    for one in placed:
        with paths.whole(folder / one.entry.file) as part:
            part.write_bytes(other.fetch(one.id).read_bytes())
    rewrite(cache, folder, (*cache.communities, *placed))
    return tuple(placed)


def rewrite(cache: OpenCache, folder: Path, communities: Sequence[Community]) -> None:
    """Write a cache's communities, its card and its catalogue anew; adapters and coordinates stay as they are."""
    write_communities(folder, communities, cache.space.axes)
    readme = cache.source.optional(card.FILE)
    text = card.update_card(paths.text(readme) if readme else "", cache.entries, {}, 0, communities)
    with paths.whole(folder / card.FILE) as part:
        part.write_text(text, "utf-8")
    relist(folder)


def placed_in(one: Community, old: Space, new: Space) -> Community:
    """A community of one cache with its coordinates in the space of another, axis by axis, by name.

    Counted axes alone: what a model described is another matter in another cache.
    """
    at = {axis.name: row for row, axis in enumerate(old.axes) if axis.kind == "measured"}
    mean, spread = np.full(len(new.axes), np.nan), np.full(len(new.axes), np.nan)
    for column, axis in enumerate(new.axes):
        row = at.get(axis.name) if axis.kind == "measured" else None
        if row is None or axis.digest != old.axes[row].digest or not np.isfinite(old.spread[row] + new.spread[column]):
            continue
        raw = one.mean[row] * old.spread[row] + old.reference[row] + old.gap[row]
        mean[column] = (raw - new.reference[column] - new.gap[column]) / new.spread[column]
        spread[column] = one.spread[row] * old.spread[row] / new.spread[column]
    return replace(one, mean=mean, spread=spread)
