"""Writing a cache's catalogue, with the digests of the other files that readers use, and coordinates in schema 1.

    write_cache(folder, made_with, entries, space, answers, training)
    relist(folder)                                # after one of the other files was written anew

The card, README.md, is for people and is edited on the Hub: no program reads it, and no digest covers it. Not here:
reading (cache/catalogue.py), schema 2 (cache/index.py).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli import paths
from xpert_cli.cache.catalogue import ANSWERS, COMMUNITIES, COORDINATES, INDEXED, SCHEMA, WORDS
from xpert_cli.cache.entries import Entry, fields_of
from xpert_cli.errors import BadInput
from xpert_cli.foreign.data import read_object
from xpert_cli.hub.files import CATALOGUE
from xpert_cli.style.described import measured_axes
from xpert_cli.style.space import Axis, Floats, Space

MOST_CATALOGUE = 100_000  # bytes of one in schema 2
LISTED_FILES = (ANSWERS, COMMUNITIES, WORDS)  # what readers use beside what the catalogue names elsewhere


def write_cache(
    folder: Path,
    made_with: Mapping[str, Any],
    entries: Sequence[Entry],
    space: Space,
    answers: Floats,
    training_coordinates: Floats,
) -> None:
    """Write coordinates.npz, then catalogue.json, which makes the cache complete.

    Args:
        made_with: base, summarizer and probes of the catalogue; `files` of those that are not in the folder.
    """
    with paths.whole(folder / COORDINATES) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            answers=answers.astype(np.float16),
            source=training_coordinates.astype(np.float16),
            basis=space.basis.astype(np.float16),
            **{name: getattr(space, name).astype(np.float32) for name in ("reference", "gap", "spread", "precision")},
        )
    whole = {
        "schema": SCHEMA,
        **made_with,
        "adapters": [fields_of(entry) for entry in entries],
        "axes": axis_fields(space.axes),
        "coordinates": described(folder / COORDINATES),
        **with_files(folder, made_with),
    }
    with paths.whole(folder / CATALOGUE) as part:
        part.write_bytes(encoded(whole))


def axis_fields(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Axes as a catalogue tells them."""
    return [{key: value for key, value in vars(axis).items() if value != ""} for axis in axes]


def short_axes(axes: Sequence[Axis]) -> list[dict[str, Any] | str]:
    """Axes as a catalogue of schema 2 has them: whoever knows an axis by its digest has its words too."""
    known = set(measured_axes())
    return [
        f"{axis.digest} {axis.name}" if axis in known else one
        for axis, one in zip(axes, axis_fields(axes), strict=True)
    ]


def described(path: Path) -> dict[str, Any]:
    """Digest and size of a file, as a catalogue tells them."""
    return {"sha256": paths.digest(path), "bytes": path.stat().st_size}


def encoded(contents: Mapping[str, Any]) -> bytes:
    """A catalogue as the bytes of catalogue.json."""
    return (json.dumps(contents, indent=1, ensure_ascii=False) + "\n").encode()


def encoded_indexed(contents: Mapping[str, Any]) -> bytes:
    """A catalogue of schema 2 as the bytes of catalogue.json, which is short whatever the cache's size.

    Raises:
        BadInput: it is not: what was checked of adapters is told there, and they are too many.
    """
    data = json.dumps(contents, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    if len(data) > MOST_CATALOGUE:
        raise BadInput(f"catalogue.json would take {len(data)} bytes, and {MOST_CATALOGUE} are allowed.")
    return data


def with_files(folder: Path, made_with: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
    """The key `files` of a catalogue: digests of what lies in the folder, and what `made_with` says of other files."""
    names = [name for name in LISTED_FILES if name not in without]
    own = {name: described(folder / name) for name in names if (folder / name).is_file()}
    files = {**{name: made_with.get("files", {}).get(name) for name in names}, **own}
    files = {name: one for name, one in files.items() if one}
    return {"files": files} if files else {}


def relist(folder: Path, without: Collection[str] = ()) -> None:
    """Tell in a folder's catalogue the digests of its other files anew; what a publisher said of the old ones goes.

    Args:
        without: files that are about to be written piece by piece, and are not vouched for until they are whole.
    """
    contents = read_object((folder / CATALOGUE).read_bytes())
    others = {key: value for key, value in contents.items() if key not in ("files", "published")}
    encode = encoded_indexed if contents["schema"] == INDEXED else encoded
    with paths.whole(folder / CATALOGUE) as part:
        part.write_bytes(encode({**others, **with_files(folder, {}, without)}))


def has_index(folder: Path) -> bool:
    """Whether the cache in a folder is of schema 2; False where there is none that can be read."""
    try:
        return bool(read_object((folder / CATALOGUE).read_bytes()).get("schema") == INDEXED)
    except (OSError, ValueError):
        return False
