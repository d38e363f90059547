"""Cells of a large cache as files: where each lies, what it holds, and how what is read of it is checked.

    cells = read_cells(path, adapters=1_000_000, cells=1024, directions=64, axes=208)       # index/root.npz
    source.parts([cells.head(4)])              # the codes of cell 4: (adapters, width) bytes behind a Merkle root
    source.parts([cells.record(4, 17, root)])  # one adapter's record, and what proves it

A cell is a head, which is read to see who is near, and the records of its adapters, of which the nearest are read. The
root file has the digest of every head, and a head the root of the hash tree of its records (cache/merkle.py), so that
whatever is read is checked alone. All records of a cell are equally long. Not here: who is near (selection/search.py),
making cells (cache/index.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xpert_cli import paths
from xpert_cli.cache import merkle
from xpert_cli.cache.codes import Bytes, Coding, Singles
from xpert_cli.errors import BadInput
from xpert_cli.foreign.data import read_arrays, read_object
from xpert_cli.hub.files import Part
from xpert_cli.style.space import Floats

ROOT = "index/root.npz"
READ_WHOLE = 64  # adapters of which all records are read, so that there need be no codes
MOST_ROOT = 16 << 20  # bytes
MOST_CELLS, MOST_DIRECTIONS = 1 << 16, 96
MOST_IN_CELL = 1 << 16  # adapters
MOST_RECORD = 64 << 10  # bytes of one adapter's record with its proof
MOST_FILE = 1 << 32  # bytes of a file of cells


def cells_file(number: int) -> str:
    """The name of a file of cells; small caches have one."""
    return f"index/cells-{number:04d}.bin" if number else "index/cells.bin"


@dataclass(frozen=True, eq=False)
class Record:
    """What an index holds of one adapter: its entry as in catalogue.json, and its coordinates as in coordinates.npz."""

    entry: Mapping[str, Any]
    answers: Floats
    training: Floats

    def to_bytes(self) -> bytes:
        """(2, axes) float16, then the entry as JSON."""
        places = np.array([self.answers, self.training]).astype("<f2").tobytes()
        return places + json.dumps(self.entry, ensure_ascii=False, separators=(",", ":")).encode()


def record_of(data: bytes, axes: int) -> Record:
    """A record, read.

    Raises:
        ValueError: it is none.
    """
    places = np.frombuffer(data[: 4 * axes], "<f2").reshape(2, axes).astype(np.float64)
    if not np.isfinite(places[0]).all() or np.isinf(places[1]).any():
        raise ValueError("coordinates that are no numbers")
    return Record(read_object(data[4 * axes :], most_values=4096), places[0], places[1])


@dataclass(frozen=True, eq=False)
class Cells:
    """index/root.npz: all cells, and how their codes are read.

    Attributes:
        middles: (cells, directions) where each cell lies along the directions, off the mean of the cache.
        scales: (directions,) the steps that middles are told in.
        files, begins, counts, slots: (cells,) number of the file, first byte, adapters, bytes of a record.
        digests: (cells, 32) sha256 of the heads.
        axes: number of axes.
    """

    coding: Coding
    middles: Singles
    scales: Singles
    files: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int64]
    digests: Bytes
    axes: int

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def heads(self) -> npt.NDArray[np.int64]:
        """(cells,) bytes of the heads."""
        return merkle.SIZE + self.counts * self.coding.width

    def head(self, cell: int) -> Part:
        """What has to be read to see who is in a cell."""
        digest = self.digests[cell].tobytes()
        return Part(
            cells_file(int(self.files[cell])),
            int(self.begins[cell]),
            int(self.heads[cell]),
            digest.hex(),
            lambda data: sha256(data).digest() == digest,
        )

    def codes(self, cell: int, head: bytes) -> tuple[bytes, Bytes]:
        """The root of a cell's records, and the (adapters, width) codes of its adapters."""
        codes = np.frombuffer(head[merkle.SIZE :], np.uint8)
        return head[: merkle.SIZE], codes.reshape(int(self.counts[cell]), self.coding.width)

    def record(self, cell: int, row: int, root: bytes) -> Part:
        """What has to be read to know one adapter; `root` is of its cell."""
        slot, length = int(self.slots[cell]), self.record_bytes(cell)
        return Part(
            cells_file(int(self.files[cell])),
            int(self.begins[cell] + self.heads[cell]) + row * slot,
            slot,
            f"{self.digests[cell].tobytes().hex()}-{row}",
            lambda data: merkle.root_of(data[:length], row, data[length:]) == root,
        )

    def record_bytes(self, cell: int) -> int:
        """Bytes of a record in a cell without its proof."""
        return int(self.slots[cell]) - merkle.SIZE * merkle.depth(int(self.counts[cell]))


def cell_bytes(codes: Bytes, records: list[bytes]) -> tuple[bytes, bytes, int]:
    """A cell's head, its records with their proofs, and the bytes of each of these.

    Args:
        codes: (adapters, width).

    Raises:
        BadInput: a record is too large.
    """
    longest = max(map(len, records))
    padded = [record.ljust(longest) for record in records]  # blanks behind JSON say nothing
    levels = merkle.tree(padded)
    slot = longest + merkle.SIZE * merkle.depth(len(padded))
    if slot > MOST_RECORD:
        raise BadInput(
            f"what an adapter brings along takes {slot} bytes, and {MOST_RECORD} are allowed. Shorten its provenance."
        )
    body = b"".join(record + merkle.proof(levels, row) for row, record in enumerate(padded))
    return levels[-1][0] + codes.tobytes(), body, slot


def write_cells(path: Path, cells: Cells) -> None:
    """Write index/root.npz."""
    with paths.whole(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            directions=cells.coding.directions.astype(np.float16),
            steps=cells.coding.steps,
            bits=cells.coding.bits,
            scales=cells.scales,
            middles=np.round(cells.middles / cells.scales).astype(np.int8),
            files=cells.files.astype(np.uint16),
            begins=cells.begins.astype(np.uint32),
            counts=cells.counts.astype(np.uint32),
            slots=cells.slots.astype(np.uint32),
            digests=cells.digests,
        )


def read_cells(path: Path, *, adapters: int, cells: int, directions: int, axes: int) -> Cells:
    """index/root.npz, checked against what the catalogue says of it.

    Raises:
        ValueError: it is damaged, or what no index can be.
    """
    if not (0 < cells <= MOST_CELLS and 0 <= directions <= MOST_DIRECTIONS):
        raise ValueError(f"it cannot have {cells} cells and {directions} directions")
    shapes: dict[str, tuple[int, ...]] = {"directions": (directions, axes), "middles": (cells, directions)}
    shapes |= dict.fromkeys(("steps", "bits", "scales"), (directions,)) | {"digests": (cells, 32)}
    shapes |= dict.fromkeys(("files", "begins", "counts", "slots"), (cells,))
    arrays = read_arrays(path, most_bytes=MOST_ROOT, shapes=shapes)
    kinds = dict.fromkeys(("directions", "steps", "scales"), "f") | {"middles": "i", "digests": "u"}
    for name in shapes:
        if arrays[name].dtype.kind != kinds.get(name, "u") or arrays[name].dtype.itemsize > 4:
            raise ValueError(f"{name} is of the wrong type")
        if kinds.get(name) == "f" and not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    if arrays["digests"].dtype.itemsize != 1 or arrays["bits"].dtype.itemsize != 1 or (arrays["bits"] > 8).any():
        raise ValueError("codes or digests are of the wrong type")
    coding = Coding(arrays["directions"].astype(np.float32), arrays["steps"].astype(np.float32), arrays["bits"])
    numbers = {name: arrays[name].astype(np.int64) for name in ("files", "begins", "counts", "slots")}
    scales = arrays["scales"].astype(np.float32)
    middles = arrays["middles"].astype(np.float32) * scales
    made = Cells(coding, middles, scales, **numbers, digests=arrays["digests"], axes=axes)
    _require_sound(made, adapters)
    return made


def _require_sound(cells: Cells, adapters: int) -> None:
    """Refuse numbers that no index has.

    Raises:
        ValueError: naming them.
    """
    if int(cells.counts.sum()) != adapters or cells.counts.min() < 1 or cells.counts.max() > MOST_IN_CELL:
        raise ValueError(f"its cells hold {int(cells.counts.sum())} adapters, and the catalogue says {adapters}")
    ends = cells.begins + cells.heads + cells.counts * cells.slots
    least = min(cells.record_bytes(cell) for cell in range(len(cells)))
    if cells.slots.max() > MOST_RECORD or ends.max() > MOST_FILE or least <= 4 * cells.axes:
        raise ValueError("a cell or a record of it is larger than allowed, or holds nothing")
    order = np.lexsort((cells.begins, cells.files))
    files, begins, ends = cells.files[order], cells.begins[order], ends[order]
    if ((files[1:] == files[:-1]) & (begins[1:] < ends[:-1])).any():
        raise ValueError("two of its cells overlap")
