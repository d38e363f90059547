"""The runs of fine-tuning that are kept: listed, found by name, renamed, removed.

    run = find("mara")                  # or "last", "me", the folder's name or its first letters
    run.adapter                         # Path(".../runs/20261128-114500-ab12cd34/adapter.gguf")

A run is a folder below paths.data_dir()/runs; run.json is written last, so a folder without it is unfinished. A name
that the user gave is kept in run.json, and the folder keeps its own. Not here: what a run does (training/finetune.py).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert_cli import paths, settings
from xpert_cli.errors import BadInput, BadUsage, CannotWrite
from xpert_cli.foreign.data import read_json, read_object

ADAPTER, MESSAGES, MERGED, RECORD = "adapter.gguf", "messages.jsonl", "merged.gguf", "run.json"  # in a run's folder
CHECKPOINTS = "checkpoints"
NEWEST = ("last", "me")  # names that stand for the newest finished run
RESERVED = (*NEWEST, "base", "default", "selection")  # words that --from, --adapter and the server's `model` understand
_NAME = re.compile(r"[\w][\w.-]{0,63}")


@dataclass(frozen=True)
class Run:
    """One run of fine-tuning.

    Attributes:
        name: as the user named it, or the folder's name.
        finished: whether run.json is there and can be read; without it the fields from `base` on are empty.
        written: when it ended, in seconds since 1970; for an unfinished run, when it was last written to.
        base, fingerprint: of the base model.
        messages: messages it learnt from.
        loss_base, loss_before, loss_after: nats a token on the held-out messages, of the base, the start and the end.
        started_from: (adapter, weight) of what it was started from; empty for the base.
        layers, all_layers: that were trained, counted from the last, and that the base has; None where a run of an
            earlier version does not say.
        bytes: of all its files.
    """

    name: str
    folder: Path
    finished: bool
    written: float
    bytes: int
    base: str = ""
    fingerprint: str = ""
    messages: int = 0
    loss_base: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None
    started_from: tuple[tuple[str, float], ...] = ()
    layers: int | None = None
    all_layers: int | None = None

    @property
    def adapter(self) -> Path:
        """The adapter's file."""
        return self.folder / ADAPTER

    @property
    def when(self) -> str:
        """When it ended, as people write it: 2026-11-28 11:45."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.written))


def runs_dir() -> Path:
    """Where runs are kept unless --out says otherwise."""
    return paths.data_dir() / "runs"


def all_runs() -> list[Run]:
    """All runs, the newest first."""
    folders = [path for path in runs_dir().glob("*") if path.is_dir() and not path.is_symlink()]
    return sorted(map(_read, folders), key=lambda run: (-run.written, run.name))


def finished_runs() -> list[Run]:
    """The runs that have an adapter, the newest first."""
    return [run for run in all_runs() if run.finished]


def named(name: str) -> Run | None:
    """The finished run that is called exactly so, or that `last` and `me` stand for; None if there is none."""
    finished = finished_runs()
    if name in NEWEST:
        return finished[0] if finished else None
    return next((run for run in finished if name in (run.name, run.folder.name)), None)


def find(name: str, *, finished: bool = True) -> Run:
    """The run of a name: the user's own, the folder's or the first letters of one; `last` and `me` are the newest.

    Args:
        finished: look among finished runs only.

    Raises:
        BadInput: there is none, or several; the names there are, are in the message.
    """
    runs = finished_runs() if finished or name in NEWEST else all_runs()
    if not runs:
        raise BadInput("there is no earlier run. Make one with: xpert finetune TEXT")
    if name in NEWEST:
        return runs[0]
    exact = [run for run in runs if name in (run.name, run.folder.name)]
    close = exact or [run for run in runs if name and (run.name.startswith(name) or run.folder.name.startswith(name))]
    if len(close) == 1:
        return close[0]
    listed = ", ".join(run.name for run in (close or runs)[:12])
    if close:
        raise BadInput(f"{name!r} may be one of {len(close)} runs: {listed}. Write more of the name.")
    raise BadInput(f"there is no run {name!r}. There are: {listed}. See: xpert runs list")


def record(folder: Path) -> dict[str, Any]:
    """What the run.json in a folder says; empty where there is none that can be read."""
    try:
        return read_object((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}


def require_name(name: str, what: str) -> None:
    """Make sure that a name can be given to something, and has no meaning yet.

    Args:
        what: "a run's name", for the error.

    Raises:
        BadUsage: it cannot be used, whatever there is.
    """
    if not _NAME.fullmatch(name):
        raise BadUsage(
            f"{name!a} cannot be {what}. "
            "Use up to 64 letters, digits, dots, dashes and underscores, and no dot or dash first."
        )
    if name.lower() in RESERVED:
        raise BadUsage(f"{name!r} cannot be {what}: it has a meaning of its own to xpert. Choose another name.")
    if name.lower().endswith(".gguf"):
        raise BadUsage(f"{name!r} cannot be {what}: it would be taken for a file. Leave out .gguf.")


def rename(run: Run, name: str, ids: Container[str] = ()) -> Run:
    """Give a finished run a name.

    Args:
        ids: of the adapters of caches; a run of such a name would stand before the adapter.

    Raises:
        BadInput: the name cannot be used, or is another run's.
        CannotWrite: run.json cannot be written.
    """
    require_name(name, "a run's name")
    if name.lower() in settings.section("aliases"):
        raise BadInput(f"{name!r} cannot be a run's name: it is an alias. Choose another name.")
    if name in ids:
        raise BadInput(f"{name!r} cannot be a run's name: an adapter of the cache is called so. Choose another name.")
    if any(name in (other.name, other.folder.name) for other in all_runs() if other.folder != run.folder):
        raise BadInput(f"another run is called {name!r}. Choose another name.")
    file = run.folder / RECORD
    try:
        record = read_object(file.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read ({error}). Only finished runs can be renamed.") from error
    moment = file.stat().st_mtime_ns
    with paths.whole(file) as part:
        part.write_text(json.dumps({**record, "name": name}, indent=1) + "\n", "utf-8")
    os.utime(file, ns=(moment, moment))  # the newest run is the one that ended last, not the one renamed last
    return _read(run.folder)


def remove(run: Run) -> int:
    """Delete a run's folder; the bytes that were freed.

    Raises:
        CannotWrite: it cannot be deleted.
    """
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise CannotWrite(f"cannot delete {run.folder}: {error.strerror}. Delete it by hand.") from error
    return run.bytes


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder, symbolic links aside."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
        except OSError:  # deleted meanwhile
            continue
    return total


def _read(folder: Path) -> Run:
    record = folder / RECORD
    try:
        written = (record if record.is_file() else folder).stat().st_mtime
    except OSError:
        written = 0.0
    contents: Any = None
    if record.is_file() and (folder / ADAPTER).is_file():
        try:
            contents = read_json(record.read_bytes())
        except (OSError, ValueError):
            contents = None
    if not isinstance(contents, dict):
        return Run(folder.name, folder, False, written, size_of(folder))
    base, result = _part(contents, "base"), _part(contents, "result")
    name = contents.get("name")
    return Run(
        name=name if isinstance(name, str) and _NAME.fullmatch(name) else folder.name,
        folder=folder,
        finished=True,
        written=written,
        bytes=size_of(folder),
        base=str(base.get("name", "")),
        fingerprint=str(base.get("fingerprint", "")),
        messages=_number(result.get("messages"), 0),
        loss_base=_number(result.get("loss_base"), None),
        loss_before=_number(result.get("loss_before"), None),
        loss_after=_number(result.get("loss_after"), None),
        started_from=_started_from(result.get("started_from")),
        layers=_number(result.get("layers"), None),
        all_layers=_number(base.get("layers"), None),
    )


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any, other: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else other


def _started_from(value: Any) -> tuple[tuple[str, float], ...]:
    parts: Sequence[Any] = value if isinstance(value, list) else ()
    return tuple((str(one.get("adapter", "")), float(one.get("weight", 1.0))) for one in parts if isinstance(one, dict))
