"""A cache of schema 2 opened: small files first, then only those cells and adapters that somebody asks for.

    cache = open_indexed(source, told, ...)        # by cache/catalogue.py, which has checked whose catalogue it is
    heads = cache.heads([4, 7])                    # roots and codes of two cells
    few = cache.some([(4, 17), (7, 2)])            # a OpenCache of two adapters

It is a OpenCache whose entries and coordinates are all read when they are used. Digests lead from catalogue.json down:
to index/root.npz, from there to the heads of cells, from a head to each record. Not here: who is near
(selection/search.py), the files themselves (cache/cells.py), making them (cache/index.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli import paths
from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.cells import READ_WHOLE, ROOT, Cells, Record, read_cells, record_of
from xpert_cli.cache.codes import Bytes
from xpert_cli.cache.entries import Entry, entry_of
from xpert_cli.cache.metric import metric_of
from xpert_cli.cache.names import Place, places_of, verify_names
from xpert_cli.cache.trust import Published
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.foreign.data import read_arrays
from xpert_cli.hub.files import Source
from xpert_cli.style.space import Axis, Floats, Space

SPACE, BASIS = "space.npz", "basis.npz"
MOST_SPACE, MOST_BASIS = 64 << 20, 64 << 20  # bytes
MOST_ADAPTERS = 1 << 27
LISTED = 1000  # adapters up to which all are looked at where they are listed
KEYS = {"adapters", "by_source", "cells", "directions", "space", "basis", "root", "names"}


@dataclass(frozen=True, eq=False)
class Opened:
    """What catalogue.json, space.npz and index/root.npz say, beside what every OpenCache has."""

    size: int
    by_source: bool
    mean: Floats
    cells: Cells
    bare: Space
    index: Mapping[str, Any]


class IndexedCache(OpenCache):
    """An open cache of schema 2.

    Attributes:
        mean: (axes,) of all adapters' coordinates.
        cells: where its adapters are.
        checked: what looking through training texts showed before publishing, by adapter.
    """

    def __init__(
        self,
        source: Source,
        contents: Mapping[str, Any],
        opened: Opened,
        published: Published | None,
        notes: tuple[str, ...],
    ) -> None:
        values = {
            "source": source,
            "base": contents["base"],
            "summarizer": contents["summarizer"],
            "probes": contents["probes"],
        }
        values |= {"published": published, "notes": notes, "_opened": opened}
        values |= {"cells": opened.cells, "mean": opened.mean, "checked": contents.get("checked", {}), "_known": {}}
        self.__dict__.update(values)

    cells: Cells
    mean: Floats
    checked: Mapping[str, Mapping[str, Any]]
    _opened: Opened
    _known: dict[str, Entry]

    @property
    def size(self) -> int:
        """How many adapters there are."""
        return self._opened.size

    @property
    def bare(self) -> Space:
        """The space without the directions of described axes."""
        return self._opened.bare

    @property
    def names(self) -> Mapping[str, Any]:
        """Digest and size of the table of names, and how many cells it covers."""
        return dict(self._opened.index["names"])

    @property
    def by_source(self) -> bool:
        """Whether people's texts are compared with training texts: if any adapter brought one."""
        return self._opened.by_source

    @cached_property
    def space(self) -> Space:  # type: ignore[override]
        """The space with all its directions."""
        bare, file = self.bare, self._opened.index["basis"]
        rows = sum(axis.kind == "described" for axis in bare.axes)
        path = self.source.file(BASIS, file["sha256"], file["bytes"])
        try:
            basis = read_arrays(path, most_bytes=MOST_BASIS)["basis"]
            if basis.ndim != 2 or basis.dtype.kind != "f" or len(basis) != rows or not np.isfinite(basis).all():
                raise ValueError(f"it does not hold {rows} directions")
        except (ValueError, KeyError) as error:
            raise CacheMismatch(f"{self.source.name}: {BASIS} is damaged ({error}). Get the cache anew.") from error
        return Space(bare.axes, basis.astype(np.float32), bare.reference, bare.gap, bare.spread, bare.precision)

    @cached_property
    def _all(self) -> list[Record]:
        return sorted(self.records(), key=lambda record: str(record.entry["id"]))

    @cached_property
    def entries(self) -> tuple[Entry, ...]:  # type: ignore[override]
        """All entries, which reads the whole index."""
        return self._entries(self._all)

    def entries_of(self, cells: Iterable[int]) -> list[Entry]:
        """The entries of some cells."""
        return sorted(self._entries(list(self.records(cells))), key=lambda entry: entry.id)

    @cached_property
    def answer_coordinates(self) -> Floats:  # type: ignore[override]
        """(adapters, axes) of all adapters."""
        return np.array([record.answers for record in self._all])

    @cached_property
    def training_coordinates(self) -> Floats:  # type: ignore[override]
        """(adapters, axes) of all adapters."""
        return np.array([record.training for record in self._all])

    def entry(self, adapter: str) -> Entry:
        """The entry with an id, of which no other is read.

        Raises:
            BadInput: there is none.
        """
        for entry in self._groups():
            if entry.id == adapter:
                return entry
        if self.size <= READ_WHOLE:
            return super().entry(adapter)
        if adapter not in self._known:
            names = self.names
            places = places_of(self.source, names, adapter)
            later = range(names["cells"], len(self.cells))
            if wrong := [cell for cell, row in places if cell >= later.start or row >= self.cells.counts[cell]]:
                raise self._damaged(ValueError(f"a name is in cell {wrong[0]}"))
            roots = {cell: self.heads([cell])[0][0] for cell, _ in places}
            records = [*self._records(places, roots), *self.records(later)]
            self._known |= {entry.id: entry for entry in self._entries(records)}
        if adapter not in self._known:
            raise BadInput(f"{self.source.name} has no adapter {adapter!r} among its {self.size}. Check its name.")
        return self._known[adapter]

    def verify_files(self) -> None:
        """Check what is there beside adapters and cells: what the catalogue lists, the directions, the table of names.

        Raises:
            CacheMismatch: one is missing, damaged, or another than the catalogue says.
        """
        super().verify_files()
        _ = self.space
        verify_names(self.source, self.names)

    def groups(self) -> Iterator[OpenCache]:
        """All adapters, cell by cell where they are many."""
        if self.size <= LISTED:
            yield self
            return
        for cell in range(len(self.cells)):
            ((root, codes),) = self.heads([cell])
            yield self.some([(cell, row) for row in range(len(codes))], {cell: root})

    def at_hand(self) -> list[Entry]:
        """The entries of the adapters that lie on this machine, by the files that were kept if there are many."""
        if self.size <= LISTED:
            return super().at_hand()
        entries = []
        for path in sorted((paths.data_dir() / "files").glob("*/*.gguf")):
            with suppress(BadInput, CacheMismatch):  # of another cache, or not to be looked up now
                entry = self.entry(path.stem)
                entries += [entry] if entry.sha256 == path.parent.name else []
        return entries

    def records(self, cells: Iterable[int] | None = None) -> Iterator[Record]:
        """The records of some cells, or of all, one by one."""
        for cell in range(len(self.cells)) if cells is None else cells:
            ((root, codes),) = self.heads([cell])
            yield from self._records([(cell, row) for row in range(len(codes))], {cell: root})

    def heads(self, cells: Sequence[int]) -> list[tuple[bytes, Bytes]]:
        """The root of the records and the (adapters, width) codes of some cells."""
        data = self.source.parts([self.cells.head(cell) for cell in cells])
        return [self.cells.codes(cell, head) for cell, head in zip(cells, data, strict=True)]

    def some(self, places: Sequence[Place], roots: Mapping[int, bytes]) -> OpenCache:
        """A catalogue of some adapters, by their ids.

        Args:
            roots: of their cells' records, which `heads` returned.
        """
        records = sorted(self._records(places, roots), key=lambda record: str(record.entry["id"]))
        return OpenCache(
            self.source,
            self.base,
            self.summarizer,
            self.probes,
            self._entries(records),
            self.bare,
            np.array([record.answers for record in records]),
            np.array([record.training for record in records]),
            self.published,
            self.notes,
        )

    def _records(self, places: Sequence[Place], roots: Mapping[int, bytes]) -> list[Record]:
        parts = [self.cells.record(cell, row, roots[cell]) for cell, row in places]
        records = []
        for (cell, _), data in zip(places, self.source.parts(parts), strict=True):
            try:
                records.append(record_of(data[: self.cells.record_bytes(cell)], self.cells.axes))
            except ValueError as error:
                raise self._damaged(error) from error
        return records

    def _entries(self, records: Sequence[Record]) -> tuple[Entry, ...]:
        try:
            entries = tuple(entry_of(self.source, self._with_checks(record.entry)) for record in records)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise self._damaged(error) from error
        if len({entry.id for entry in entries}) < len(entries):
            raise CacheMismatch(f"{self.source.name}: two adapters have one id. Get the cache anew, or use another.")
        return entries

    def _with_checks(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        checked = self.checked.get(entry["id"])
        return entry if checked is None else {**entry, "checked": checked}

    def _damaged(self, error: Exception) -> CacheMismatch:
        return CacheMismatch(f"{self.source.name}: a record of its index is damaged ({error}). Get the cache anew.")


def open_indexed(source: Source, contents: Mapping[str, Any], axes: tuple[Axis, ...]) -> Opened:
    """Read space.npz and index/root.npz, which the catalogue has the digests of.

    Raises:
        CacheMismatch: they are damaged, or do not fit the catalogue.
        TypeError, KeyError, ValueError: what the catalogue says of its index is wrong.
    """
    index = contents["index"]
    if wrong := sorted(set(index) ^ KEYS):
        raise ValueError(f"index has unknown or missing keys: {', '.join(wrong[:6])}")
    counts = {name: index[name] for name in ("adapters", "cells", "directions")}
    if not all(type(count) is int and 0 <= count <= MOST_ADAPTERS for count in counts.values()):
        raise ValueError("index.adapters, index.cells or index.directions is no number")
    if not isinstance(index["by_source"], bool):
        raise TypeError("index.by_source is neither true nor false")
    _require_records(contents)
    space, mean = _space(source, index["space"], axes)
    path = _file(source, ROOT, index["root"])
    try:
        cells = read_cells(path, **counts, axes=len(axes))
    except ValueError as error:
        raise CacheMismatch(f"{source.name}: {ROOT} is damaged ({error}). Get the cache anew.") from error
    return Opened(counts["adapters"], index["by_source"], mean, cells, space, index)


def _require_records(contents: Mapping[str, Any]) -> None:
    """Refuse what no catalogue says of names and of checked adapters.

    Raises:
        TypeError, KeyError: naming it.
    """
    names = contents["index"]["names"]
    if not isinstance(names["sha256"], str) or type(names["bytes"]) is not int or type(names["cells"]) is not int:
        raise TypeError("what index says of names is of the wrong kind")
    if not all(isinstance(one, dict) for one in contents.get("checked", {}).values()):
        raise TypeError("checked is of the wrong kind")


def _file(source: Source, name: str, file: Mapping[str, Any]) -> Path:
    digest, size = file["sha256"], file["bytes"]
    if not isinstance(digest, str) or type(size) is not int:
        raise TypeError(f"what index says of {name} is of the wrong kind")
    path = source.file(name, digest, size)
    if path.stat().st_size != size:
        raise CacheMismatch(f"{source.name}: {name} has not {size} bytes. Get the cache anew.")
    return path


def _space(source: Source, file: Mapping[str, Any], axes: tuple[Axis, ...]) -> tuple[Space, Floats]:
    """The space without its basis, and the mean of all coordinates."""
    count = len(axes)
    shapes = dict.fromkeys(("reference", "gap", "spread", "mean"), (count,))
    path = _file(source, SPACE, file)
    try:
        arrays = read_arrays(path, most_bytes=MOST_SPACE, shapes=shapes)
        for name, array in arrays.items():
            finite = np.isfinite(array) if array.dtype.kind in "fu" else np.array(False)
            if not (finite | ((array == np.inf) & (name == "spread"))).all():
                raise ValueError(f"{name} holds numbers that are not finite, or none")
        precision = metric_of(arrays, count)
        if (arrays["spread"] <= 0).any():
            raise ValueError("spread is not above 0")
    except (ValueError, KeyError) as error:
        raise CacheMismatch(f"{source.name}: {SPACE} is damaged ({error}). Get the cache anew.") from error
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    described = sum(axis.kind == "described" for axis in axes)
    nothing = np.zeros((described, 0), np.float32)
    space = Space(axes, nothing, arrays["reference"], arrays["gap"], arrays["spread"], precision)
    return space, arrays["mean"]
