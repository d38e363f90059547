"""Writing a cache of schema 2: cells of adapters that point the same way, and the small files that lead to them.

    write_indexed(folder, made_with, members_of(entries, answers, training), space)
    add_to_index(folder, cache, made_with, more)          # in a cell behind the others, whose files stay as they are

Features for the cells are what `select` compares, so that near cells hold near adapters. Not here: reading
(cache/indexed.py), the form of the files (cache/cells.py), schema 1 (cache/write.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xpert_cli import paths
from xpert_cli.cache.catalogue import COORDINATES, INDEXED, OpenCache
from xpert_cli.cache.cells import MOST_IN_CELL, READ_WHOLE, ROOT, Cells, Record, cell_bytes, cells_file, write_cells
from xpert_cli.cache.clusters import clusters
from xpert_cli.cache.codes import Coding, Singles, coding_for, directions_of
from xpert_cli.cache.entries import Entry, fields_of
from xpert_cli.cache.indexed import BASIS, SPACE, IndexedCache
from xpert_cli.cache.metric import metric_arrays
from xpert_cli.cache.names import TABLE, write_names
from xpert_cli.cache.shards import PACKED_CACHE, pack
from xpert_cli.cache.write import described, encoded_indexed, short_axes, with_files, write_cache
from xpert_cli.errors import BadInput
from xpert_cli.hub.files import CATALOGUE, Part
from xpert_cli.style.space import Floats, Space, measured

SMALL = 1000  # adapters up to which there is one cell
IN_CELL, MOST_CELLS = 500, 1024  # adapters of a cell, and cells, that are aimed at
CODE = 24  # bytes of a code
TEXTS = 20  # of a writing: along each direction it errs by a single text's variance over so many, 1 in the metric
DIRECTIONS = 96
FILE = 16 << 20  # bytes from which on a new file of cells begins
MOST_ADDED = 256  # cells that came later, which are read whole to find a name
SAMPLE = 1 << 16  # adapters by which directions and codes are made

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Members:
    """Adapters to be written.

    Attributes:
        answers, training: (adapters, axes) float16 coordinates as in coordinates.npz.
        entry: what is told of one, by its row. Rows are in the order of the ids.
    """

    answers: npt.NDArray[np.float16]
    training: npt.NDArray[np.float16]
    entry: Callable[[int], Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def coordinates(self) -> Singles:
        """(adapters, axes) where each lies, as OpenCache.coordinates."""
        silent = np.isnan(self.training).all(axis=1, keepdims=True)
        return np.nan_to_num(np.where(silent, self.answers, self.training)).astype(np.float32)

    def records(self, rows: npt.NDArray[np.int64]) -> list[bytes]:
        """The records of some of them."""
        return [
            Record(self.entry(int(row)), np.asarray(self.answers[row]), np.asarray(self.training[row])).to_bytes()
            for row in rows
        ]


def members_of(entries: Sequence[Entry], answers: Floats, training: Floats) -> Members:
    """Adapters whose entries and coordinates are at hand, by their ids."""
    order = sorted(range(len(entries)), key=lambda row: entries[row].id)
    records = [fields_of(entries[row]) for row in order]
    return Members(answers[order].astype(np.float16), training[order].astype(np.float16), records.__getitem__)


def write_indexed(
    folder: Path,
    made_with: Mapping[str, Any],
    members: Members,
    space: Space,
    progress: Progress = lambda message, fraction: None,
) -> None:
    """Write all files of an index, then catalogue.json, which makes the cache complete.

    Args:
        made_with: base, summarizer and probes of the catalogue.

    Raises:
        BadInput: an entry or the catalogue is too large.
    """
    coordinates = members.coordinates
    by_source = not np.isnan(members.training).all()
    mean = coordinates.mean(axis=0, dtype=np.float64)
    metric = _metric(space, by_source)
    own = _cells_of(coordinates, mean, metric, progress)
    groups = _groups(own)
    coding, scales, middles, values = _coded(coordinates, mean, metric, groups)
    writer, places = _Writer(folder / "index", 0), np.empty((len(members), 2), np.int64)
    for done, rows in enumerate(groups):
        progress("writing the index", done / len(groups))
        codes = coding.encode(values(rows) - middles[done])
        writer.add(cell_bytes(codes, members.records(rows)))
        places[rows, 0], places[rows, 1] = done, np.arange(len(rows))
    _drop_others(folder, writer.number)
    write_names(folder, [str(members.entry(row)["id"]) for row in range(len(members))], places)
    names = {**described(folder / TABLE), "cells": len(groups)}
    cells = writer.cells(coding, middles, scales, len(space.axes))
    _complete(folder, made_with, space, mean, cells, {"by_source": bool(by_source), "names": names})


def write_in_schema(
    folder: Path,
    made_with: Mapping[str, Any],
    entries: Sequence[Entry],
    space: Space,
    answers: Floats,
    training: Floats,
    progress: Progress = lambda message, fraction: None,
    *,
    indexed: bool,
) -> None:
    """Write a cache's coordinates and catalogue with an index or without; what the other schema had there is deleted.

    With an index, many adapters are put into few files first. A cache of communities alone has none.

    Raises:
        BadInput: an entry or the catalogue is too large.
    """
    before = {entry.file for entry in entries}
    if indexed and entries:
        entries = pack(folder, entries) if len(entries) > PACKED_CACHE else entries
        write_indexed(folder, made_with, members_of(entries, answers, training), space, progress)
        (folder / COORDINATES).unlink(missing_ok=True)
    else:
        write_cache(folder, made_with, entries, space, answers, training)
        for path in (folder / SPACE, folder / BASIS, *(folder / "index").glob("*")):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # there is none, or something else is in it
            (folder / "index").rmdir()
    wanted = {entry.file for entry in entries}
    bins = {f"adapters/{path.name}" for path in (folder / "adapters").glob("*.bin")}
    for name in (before | bins) - wanted:
        (folder / name).unlink(missing_ok=True)


def to_index(cache: OpenCache, folder: Path, progress: Progress = lambda message, fraction: None) -> int:
    """Write the catalogue of a folder anew in schema 2, whichever it had; how many adapters it has.

    The table of names is made of the records, and written anew whether it was sound or not.

    Raises:
        BadInput: there are no adapters, or an entry or the catalogue is too large.
        CacheMismatch: a file is missing, or not what the old catalogue says: the new one would vouch for it.
    """
    if not cache.size:
        raise BadInput(f"{cache.source.name} has communities alone. An index is for a cache with adapters of people.")
    _require_whole(cache, progress)
    places = (cache.answer_coordinates, cache.training_coordinates)
    write_in_schema(folder, made_with(cache), cache.entries, cache.space, *places, progress, indexed=True)
    return cache.size


def _require_whole(cache: OpenCache, progress: Progress) -> None:
    """Compare every file of a cache with the catalogue's digests, but for the table of names, which holds nothing new.

    Raises:
        CacheMismatch: naming the first that is not what it should be.
    """
    OpenCache.verify_files(cache)
    everything = [*cache.entries, *(one.entry for one in cache.communities)]
    for done, entry in enumerate(everything):
        progress("checking the adapters", done / len(everything))
        if entry.offset is None:
            cache.source.file(entry.file, entry.sha256, entry.bytes)
        else:
            cache.source.parts([Part(entry.file, entry.offset, entry.bytes, entry.sha256, partial(_is, entry.sha256))])


def _is(digest: str, data: bytes) -> bool:
    return sha256(data).hexdigest() == digest


def made_with(cache: OpenCache) -> dict[str, Any]:
    """What a catalogue says of how its adapters were explained, and of files beside them."""
    fields = {"base": dict(cache.base), "summarizer": dict(cache.summarizer), "probes": cache.probes}
    files = {name: {"sha256": digest, "bytes": size} for name, (digest, size) in cache.source.known.items()}
    return fields | ({"files": files} if files else {})


def add_to_index(folder: Path, cache: IndexedCache, made_with: Mapping[str, Any], more: Members) -> None:
    """Write a cache with more adapters: a large one's in a cell of their own, and the files of its other cells stay.

    A small one is written anew, and so is one that is compared otherwise because these are the first that bring their
    training text's place.

    Args:
        folder: where it lies, or a folder for what is new alone.

    Raises:
        BadInput: it was added to so often that it has to be written anew.
    """
    turns = not cache.by_source and not np.isnan(more.training).all()
    if turns or cache.size + len(more) <= SMALL:
        return write_indexed(folder, made_with, _both(cache, more), cache.space)
    if len(cache.cells) - int(cache.names["cells"]) >= MOST_ADDED:
        raise BadInput(f"{cache.source.name} was added to {MOST_ADDED} times. Order it anew: xpert cache index DIR")
    cells, space = cache.cells, cache.space
    coordinates = more.coordinates
    coding, scales = cells.coding, cells.scales
    offsets = coding.along(coordinates - cache.mean, _metric(space, cache.by_source))
    middle = _rounded(offsets.mean(axis=0, keepdims=True), scales)
    writer = _Writer(folder / "index", int(cells.files.max()) + 1)
    writer.add(cell_bytes(coding.encode(offsets - middle), more.records(np.arange(len(more)))))
    new = writer.cells(coding, middle, scales, cells.axes)
    names = ("middles", "files", "begins", "counts", "slots", "digests")
    both: dict[str, Any] = {name: np.concatenate([getattr(cells, name), getattr(new, name)]) for name in names}
    count = cache.size + len(more)
    mean = (cache.mean * cache.size + coordinates.sum(axis=0, dtype=np.float64)) / count
    made_with = {**made_with, **({"checked": dict(cache.checked)} if cache.checked else {})}
    known = {"by_source": cache.by_source, "names": cache.names}
    _complete(folder, made_with, space, mean, replace(cells, **both), known)


def _both(cache: IndexedCache, more: Members) -> Members:
    """The adapters of a cache and more, by their ids."""
    records = [*map(fields_of, cache.entries), *(more.entry(row) for row in range(len(more)))]
    order = sorted(range(len(records)), key=lambda row: str(records[row]["id"]))
    answers = np.concatenate([cache.answer_coordinates.astype(np.float16), more.answers])[order]
    training = np.concatenate([cache.training_coordinates.astype(np.float16), more.training])[order]
    return Members(answers, training, [records[row] for row in order].__getitem__)


def pointing(offsets: Floats, mean: Floats) -> Singles:
    """(n, 2 dimensions) of length 1: directions from the base and about the mean, whose products are the score.

    Args:
        offsets: (n, dimensions) whitened coordinates less their mean.
        mean: (dimensions,) whitened.
    """
    parts = [offsets + mean, offsets]
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    units = [part / np.where(length > 0, length, 1.0) for part, length in zip(parts, lengths, strict=True)]
    return np.asarray(np.hstack(units) / np.sqrt(2), np.float32)


def _cells_of(coordinates: Singles, mean: Floats, metric: Floats, progress: Progress) -> npt.NDArray[np.int64]:
    """(adapters,) the cell of each."""
    count = len(coordinates)
    if count <= SMALL:
        return np.zeros(count, np.int64)
    values, vectors = np.linalg.eigh(metric)
    spanned = values > 1e-9 * values.max()
    root = vectors[:, spanned] * np.sqrt(values[spanned])
    features = np.empty((count, 2 * root.shape[1]), np.float32)
    for at in range(0, count, SAMPLE):
        features[at : at + SAMPLE] = pointing((coordinates[at : at + SAMPLE] - mean) @ root, mean @ root)
    wanted = min(MOST_CELLS, -(-count // IN_CELL))
    return clusters(features, wanted, progress=lambda part: progress("finding cells", part))


def _groups(own: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """The rows of each cell that has any; the largest are cut."""
    order = np.argsort(own, kind="stable")
    ends = np.cumsum(np.bincount(own))[:-1]
    groups = [rows for rows in np.split(order, ends) if len(rows)]
    return [rows[at : at + MOST_IN_CELL] for rows in groups for at in range(0, len(rows), MOST_IN_CELL)]


def _coded(
    coordinates: Singles, mean: Floats, metric: Floats, groups: Sequence[npt.NDArray[np.int64]]
) -> tuple[Coding, Singles, Singles, Callable[[npt.NDArray[np.int64]], Floats]]:
    """The coding, the scales and values of the middles of cells, and what gives the values of rows along directions."""
    few = np.sort(np.random.default_rng(0).permutation(len(coordinates))[:SAMPLE])
    small = len(coordinates) <= READ_WHOLE
    directions = directions_of(coordinates[few] - mean, metric, 0 if small else DIRECTIONS)
    plain = Coding(directions, np.zeros(len(directions), np.float32), np.zeros(len(directions), np.uint8))
    if small:
        none = np.zeros((len(groups), 0), np.float32)
        return plain, none[0], none, lambda rows: np.zeros((len(rows), 0))

    def values(rows: npt.NDArray[np.int64]) -> Floats:
        return plain.along(coordinates[rows] - mean, metric)

    exact = np.array([values(rows).mean(axis=0) for rows in groups])
    own = np.empty(len(coordinates), np.int64)
    for cell, rows in enumerate(groups):
        own[rows] = cell
    sample = values(few)
    scales = _scales(exact, sample - exact[own[few]])
    middles = _rounded(exact, scales)
    weights = (sample**2).mean(axis=0) + 1 / TEXTS
    return coding_for(directions, sample - middles[own[few]], weights, CODE), scales, middles, values


def _scales(middles: Floats, residuals: Floats) -> Singles:
    """(directions,) the steps that middles are written in: 127 reach the farthest.

    Finer ones than half a standard deviation of the residuals would take bytes, and residuals hardly less.
    """
    farthest, spread = np.abs(middles).max(axis=0), np.sqrt((residuals**2).mean(axis=0))
    return np.asarray(np.maximum(np.maximum(farthest / 127, spread / 2), 1e-6), np.float32)


def _rounded(middles: Floats, scales: Singles) -> Singles:
    return (np.clip(np.round(middles / scales), -127, 127) * scales).astype(np.float32)


def _metric(space: Space, by_source: bool) -> Floats:
    """(axes, axes) the metric of the axes that adapters are compared on, 0 elsewhere."""
    used = measured(space.axes) if by_source else np.ones(len(space.axes), np.bool_)
    metric = np.zeros_like(space.precision)
    metric[np.ix_(used, used)] = np.linalg.inv(np.linalg.inv(space.precision)[np.ix_(used, used)])
    return metric


class _Writer:
    """Cells, written one behind the other to files of bounded size."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self.number = folder, number
        self._with_checks: list[tuple[int, int, int, int, bytes]] = []
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, cell: tuple[bytes, bytes, int]) -> None:
        head, body, slot = cell
        if self._parts and self._length + len(head) + len(body) > FILE:
            self._flush()
            self.number += 1
        self._with_checks.append((self.number, self._length, len(body) // slot, slot, sha256(head).digest()))
        self._parts += [head, body]
        self._length += len(head) + len(body)

    def _flush(self) -> None:
        with paths.whole(self._folder.parent / cells_file(self.number)) as part, part.open("wb") as file:
            file.writelines(self._parts)
        self._parts, self._length = [], 0

    def cells(self, coding: Coding, middles: Singles, scales: Singles, axes: int) -> Cells:
        """What was written, as the root file tells it."""
        self._flush()
        files, begins, counts, slots = (np.array([one[at] for one in self._with_checks], np.int64) for at in range(4))
        digests = np.array([np.frombuffer(one[4], np.uint8) for one in self._with_checks])
        return Cells(coding, middles, scales, files, begins, counts, slots, digests, axes)


def _drop_others(folder: Path, last: int) -> None:
    """Delete files of cells that an earlier index of this folder had."""
    known = {cells_file(number) for number in range(last + 1)}
    for path in (folder / "index").glob("cells*.bin"):
        if f"index/{path.name}" not in known:
            path.unlink()


def _complete(
    folder: Path, made_with: Mapping[str, Any], space: Space, mean: Floats, cells: Cells, known: Mapping[str, Any]
) -> None:
    """Write root, space and basis, then the catalogue that has their digests."""
    write_cells(folder / ROOT, cells)
    singles = {name: getattr(space, name).astype(np.float32) for name in ("reference", "gap", "spread")}
    _write(folder / SPACE, mean=mean.astype(np.float32), **singles, **metric_arrays(space.precision))
    _write(folder / BASIS, basis=space.basis.astype(np.float16))
    index = {
        "adapters": int(cells.counts.sum()),
        **known,
        "cells": len(cells),
        "directions": len(cells.coding.bits),
        "space": described(folder / SPACE),
        "basis": described(folder / BASIS),
        "root": described(folder / ROOT),
    }
    with paths.whole(folder / CATALOGUE) as part:
        listed = with_files(folder, made_with)
        whole = {"schema": INDEXED, **made_with, "axes": short_axes(space.axes), "index": index, **listed}
        part.write_bytes(encoded_indexed(whole))


def _write(path: Path, **arrays: Any) -> None:
    with paths.whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)
