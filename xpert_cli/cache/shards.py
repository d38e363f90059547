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

MOST = 1 << 30  # bytes of a file
FROM = 1000  # adapters from which on they are packed


def pack(folder: Path, entries: Sequence[Entry], most: int = MOST) -> list[Entry]:
    """Put the adapters of a folder that are one file each one behind the other into files of at most `most` bytes.

    Adapters that are packed already stay where they are, and so do the files that were packed: a catalogue names them
    until another is written.
    """
    alone = [entry for entry in entries if entry.offset is None and entry.file.endswith(".gguf")]
    files, taken = {entry.id: entry.file for entry in alone}, {entry.file for entry in entries}
    packed: dict[str, Entry] = {}
    number = 0
    while alone:
        while (name := f"adapters/{number:04d}.bin") in taken:
            number += 1
        taken.add(name)
        begin = 0
        group: list[Entry] = []
        while alone and (not group or begin + alone[0].bytes <= most):
            entry = alone.pop(0)
            group.append(replace(entry, file=name, offset=begin))
            begin += entry.bytes
        with paths.whole(folder / name) as part, part.open("wb") as file:
            for entry in group:
                with (folder / files[entry.id]).open("rb") as own:
                    shutil.copyfileobj(own, file)
        packed |= {entry.id: entry for entry in group}
    return [packed.get(entry.id, entry) for entry in entries]
