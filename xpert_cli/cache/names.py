"""Adapters of a large cache by their ids: where each lies in the index, without reading the index.

    write_names(folder, ids, places)               # index/names.bin and index/names.npz
    for place in places_of(source, told, "mara"):  # its cell and row, and that of whoever shares the hash
        ...

The first bytes of an id's sha256 decide which bucket it is in; a bucket is read alone, by the digest that names.npz has
of it. Adapters that were added later lie in cells behind those that the names cover. Not here: what lies at a place
(cache/indexed.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xpert_cli import paths
from xpert_cli.errors import CacheMismatch
from xpert_cli.foreign.data import read_arrays
from xpert_cli.hub.files import Part, Source

NAMES, TABLE = "index/names.bin", "index/names.npz"
IN_BUCKET = 512  # names that are aimed at
MOST_BUCKETS = 1 << 18
_ROW = np.dtype([("hash", ">u8"), ("cell", "<u4"), ("row", "<u4")])

Place = tuple[int, int]  # cell, row


def _hash(adapter: str) -> int:
    return int.from_bytes(sha256(adapter.encode()).digest()[:8], "big")


def write_names(folder: Path, ids: Sequence[str], places: npt.NDArray[np.int64]) -> None:
    """Write the table of (adapters, 2) places: cell and row of each id."""
    bits = max(0, -(-len(ids) // IN_BUCKET) - 1).bit_length()
    rows = np.empty(len(ids), _ROW)
    rows["hash"], rows["cell"], rows["row"] = [_hash(one) for one in ids], places[:, 0], places[:, 1]
    rows = rows[np.lexsort((rows["row"], rows["cell"], rows["hash"]))]
    buckets = (rows["hash"].astype(np.uint64) >> np.uint64(64 - bits)) if bits else np.zeros(len(rows), np.uint64)
    ends = np.searchsorted(buckets, np.arange(1 << bits), side="right")
    data = rows.tobytes()
    starts = [0, *map(int, ends[:-1])]
    parts = [data[_ROW.itemsize * a : _ROW.itemsize * int(b)] for a, b in zip(starts, ends, strict=True)]
    with paths.whole(folder / NAMES) as part:
        part.write_bytes(data)
    digests = np.array([np.frombuffer(sha256(one).digest(), np.uint8) for one in parts])
    with paths.whole(folder / TABLE) as part, part.open("wb") as file:
        np.savez_compressed(file, ends=ends.astype(np.uint32), digests=digests)


def places_of(source: Source, file: Mapping[str, Any], adapter: str) -> list[Place]:
    """Where an adapter may lie: all whose ids begin with the same bytes of a hash, mostly one or none.

    Args:
        file: digest and size of names.npz.

    Raises:
        CacheMismatch: the table is damaged.
    """
    ends, digests = _table(source, file)
    wanted = _hash(adapter)
    bucket = wanted >> (64 - (len(ends) - 1).bit_length())
    rows = np.frombuffer(source.parts([_bucket(ends, digests, bucket)])[0], _ROW)
    return [(int(one["cell"]), int(one["row"])) for one in rows[rows["hash"] == np.uint64(wanted)]]


def verify_names(source: Source, file: Mapping[str, Any]) -> None:
    """Read the whole table, bucket by bucket.

    Raises:
        CacheMismatch: it is not what the catalogue says.
    """
    try:
        ends, digests = _table(source, file)
        for bucket in range(len(ends)):
            source.parts([_bucket(ends, digests, bucket)])
    except CacheMismatch as error:
        raise CacheMismatch(f"{error} If the cache is yours, mend it with: xpert cache index DIR") from error


def _table(source: Source, file: Mapping[str, Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Where each bucket ends, in rows, and the sha256 of each."""
    path = source.file(TABLE, file["sha256"], file["bytes"])
    try:
        arrays = read_arrays(path, most_bytes=40 * MOST_BUCKETS)
        ends, digests = arrays["ends"].astype(np.int64), arrays["digests"]
        bits = (len(ends) - 1).bit_length()
        if ends.shape != (1 << bits,) or digests.shape != (1 << bits, 32) or digests.dtype != np.uint8:
            raise ValueError("it does not fit")
        if (np.diff(ends, prepend=0) < 0).any():
            raise ValueError("its buckets are in no order")
    except (ValueError, KeyError) as error:
        raise CacheMismatch(f"{source.name}: {TABLE} is damaged ({error}). Get the cache anew.") from error
    return ends, digests


def _bucket(ends: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8], bucket: int) -> Part:
    """The part of names.bin that is a bucket."""
    begin, digest = int(ends[bucket - 1]) if bucket else 0, digests[bucket].tobytes()
    size = _ROW.itemsize * (int(ends[bucket]) - begin)
    return Part(NAMES, _ROW.itemsize * begin, size, digest.hex(), lambda data: sha256(data).digest() == digest)
