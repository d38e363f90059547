"""Many writers at once: a folder with a file or folder of each, or one table with an author column.

    for writer in find_writers(Path("writers"), Path("work/text")):
        corpus.read([str(writer.path)])

A table (JSON lines, CSV, TSV; Parquet where pyarrow is installed) is parted into a file a writer first, for then
writers can be read one by one, by several processes. Not here: reading what a writer wrote (corpus/reading.py).
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert_cli import paths
from xpert_cli.errors import BadInput

AUTHORS = ("author", "writer", "author_id", "user_id", "username", "sender", "speaker", "name")  # the likeliest first
TABLES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
MOST_ROWS = 50_000  # of a table that are held in memory
MOST_NAME = 96  # characters of a writer's name
_WIDEST = 1 << 27  # characters of a field
PARTED = ".complete"  # in the folder of a table's writers, once it is whole


@dataclass(frozen=True)
class Writer:
    """One writer: a name that can be a file's, and the file or folder that holds what the writer wrote.

    Attributes:
        own_name: as the table has it, or of the file or folder, without its ending: what chats may call the writer.
    """

    name: str
    path: Path
    own_name: str = ""


def find_writers(source: Path, parted: Path, column: str | None = None) -> tuple[Writer, ...]:
    """The writers of a folder or of a table, by name.

    Args:
        parted: the folder where a table's writers get a file each; a table that was parted there is not read again.
        column: the table's author column; one of AUTHORS by default.

    Raises:
        BadInput: there is no such file, it is no table, it has no author column, there is nobody, or two writers' names
            differ only in capital letters or in their form in Unicode.
    """
    if source.is_dir():
        entries = sorted(path for path in source.iterdir() if not path.name.startswith("."))
        named = {path: path.name if path.is_dir() else path.stem for path in entries}
    elif source.suffix.lower() in TABLES and source.is_file():
        names = _part(source, parted, column)
        return tuple(Writer(name, parted / f"{name}.jsonl", names[name]) for name in sorted(names))
    else:
        raise BadInput(
            f"{source} is neither a folder nor a table ({', '.join(TABLES)}). "
            "Give a folder with a file or folder for each writer, or one table with an author column."
        )
    if not named:
        raise BadInput(f"{source} holds no writers. Put a file or a folder for each writer into it.")
    counts: dict[str, int] = defaultdict(int)
    known: dict[str, str] = {}
    for name in named.values():
        _require_apart(name, known, source)
        counts[usable(name)] += 1
    return tuple(
        sorted(
            (
                Writer(usable(name) if counts[usable(name)] == 1 else usable(name, path.name), path, name)
                for path, name in named.items()
            ),
            key=lambda writer: writer.name,
        )
    )


def usable(name: str, distinct: str = "") -> str:
    """A name as an id of a cache and a file's name can be: letters, digits, dots and dashes.

    Args:
        distinct: what tells the writer from another whose name comes out the same.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    plain = plain if plain and plain[0].isalnum() else f"writer-{plain}".rstrip("-")
    if plain == name and not distinct and len(plain) <= MOST_NAME:
        return plain
    digest = hashlib.sha256(f"{name}\0{distinct}".encode()).hexdigest()[:8]
    return f"{plain[: MOST_NAME - 9]}-{digest}"


def _require_apart(name: str, known: dict[str, str], source: Path) -> None:
    """Refuse a writer whose name differs from a known one only in what some disks do not tell apart.

    Args:
        known: names by what they are on such a disk; `name` is added.
    """
    if (other := known.setdefault(paths.folded(name), name)) != name:
        raise BadInput(
            f"{source}: the writers {other} and {name} differ only in capital letters or in their form in Unicode, "
            "and some disks keep one file of two such names. Give them one name, or names that differ otherwise."
        )


def _part(table: Path, folder: Path, column: str | None) -> dict[str, str]:
    """Write a file for each author of a table, unless that was done: whole, or to be done again.

    Returns:
        The authors as the table names them, by the names of their files.
    """
    stamp = [paths.digest(table), column]
    with suppress(OSError, ValueError, KeyError, TypeError):
        done = json.loads((folder / PARTED).read_text("utf-8"))
        if done["table"] == stamp:
            return dict(done["names"])
    shutil.rmtree(folder, ignore_errors=True)
    paths.writable(folder, "--work")
    held: dict[str, list[str]] = defaultdict(list)
    names: dict[str, str] = {}
    known: dict[str, str] = {}
    for number, (author, record) in enumerate(_authored(table, column), 1):
        name = usable(author)
        if name not in names:
            _require_apart(author, known, table)
            names[name] = author
        held[name].append(json.dumps(record, ensure_ascii=False) + "\n")
        if number % MOST_ROWS == 0:
            _append(folder, held)
    if not names:
        raise BadInput(f"{table} holds no writers. Give a table with an author in each row.")
    _append(folder, held)
    with paths.whole(folder / PARTED, "--work") as part:
        part.write_text(json.dumps({"table": stamp, "names": names}), "utf-8")
    return names


def _append(folder: Path, held: dict[str, list[str]]) -> None:
    for name, lines in held.items():
        path = folder / f"{name}.jsonl"
        paths.private_file(path)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
    held.clear()


def _authored(table: Path, column: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The author of each row, and the rest of the row."""
    key = ""
    for row in _rows(table):
        if not key:
            wanted = [column.lower()] if column else AUTHORS
            key = next((name for one in wanted for name in row if name.lower() == one), "")
            if not key:
                raise BadInput(
                    f"{table} has no author column ({column or ', '.join(AUTHORS)}). It has: "
                    f"{', '.join(map(str, list(row)[:8]))}. Name it with --author-column."
                )
        author = row.get(key)
        if author is not None and str(author).strip():
            yield str(author).strip(), {name: value for name, value in row.items() if name != key and value is not None}


def _rows(table: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a table, one at a time.

    Raises:
        BadInput: a line is no JSON object, or the file is no UTF-8 text.
    """
    kind = table.suffix.lower()
    if kind == ".parquet":
        yield from _parquet(table)
        return
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            if kind in (".csv", ".tsv"):
                csv.field_size_limit(_WIDEST)
                yield from csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",", restkey="more")
                return
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise BadInput(f"{table}:{number} is no JSON object. Write one object with an author on each line.")
                yield row
    except (UnicodeDecodeError, ValueError, RecursionError, csv.Error) as error:
        raise BadInput(f"{table} cannot be read as a table ({error}). Save it as UTF-8 JSON lines or CSV.") from error


def _parquet(table: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise BadInput("Parquet is read with the package pyarrow. Install it with: pip install pyarrow") from error
    try:
        for batch in parquet.ParquetFile(table).iter_batches():
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise BadInput(f"{table} cannot be read as Parquet ({error}). Save it anew, or as JSON lines.") from error
