"""Many adapters in few files: a folder of the Hub holds ten thousand files, and a cache may hold more adapters.

    entries = pack(folder, entries)                # adapters/0000.bin and so on

Each adapter stays whole and keeps its digest, so that a device reads it alone. Not here: reading (hub/files.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xpert_cli import paths
from xpert_cli.cache.entries import Entry

FILE_BYTES = 1 << 30  # bytes of a file
PACKED_CACHE = 1000  # adapters of a cache from which on they are packed


def pack(folder: Path, entries: Sequence[Entry], file_bytes: int = FILE_BYTES) -> list[Entry]:
    """Put the adapters of a folder that are one file each, one behind the other, into files of `file_bytes` at most.

    Adapters that are packed already stay where they are, and so do the files that were packed: a catalogue names them
    until another is written.
    """
    single_files = [entry for entry in entries if entry.offset is None and entry.file.endswith(".gguf")]
    files, names = {entry.id: entry.file for entry in single_files}, {entry.file for entry in entries}
    packed: dict[str, Entry] = {}
    number = 0
    while single_files:
        while (name := f"adapters/{number:04d}.bin") in names:
            number += 1
        names.add(name)
        begin = 0
        group: list[Entry] = []
        while single_files and (not group or begin + single_files[0].bytes <= file_bytes):
            entry = single_files.pop(0)
            group.append(replace(entry, file=name, offset=begin))
            begin += entry.bytes
        with paths.whole(folder / name) as part, part.open("wb") as file:
            for entry in group:
                with (folder / files[entry.id]).open("rb") as own:
                    shutil.copyfileobj(own, file)
        packed |= {entry.id: entry for entry in group}
    return [packed.get(entry.id, entry) for entry in entries]
