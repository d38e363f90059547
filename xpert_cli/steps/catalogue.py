"""A cache opened: its catalogue, the style space it was built in, and where its adapters lie there.

    catalogue = open_cache(hub.open_source("embedded"))
    path = catalogue.fetch("elementary-concise-playful")

Two small files are read before anything is decided; an adapter is fetched, checked against its digest and against the
base, only when it is asked for. Not here: fetching (doors/hub.py), making a cache (verbs/cache.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from xpert_cli import paths
from xpert_cli.doors import gguf
from xpert_cli.doors.hub import Source
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.maths.space import Axis, Floats, Space

SCHEMA = 1
CATALOGUE, COORDINATES, ANSWERS = "catalogue.json", "coordinates.npz", "base_answers.jsonl"
MOST_BYTES = 256 << 20  # of coordinates.npz: 100,000 adapters on 500 axes take 200 MB
_TOP = {"schema", "base", "summarizer", "probes", "axes", "adapters", "coordinates"}
_AXIS = {"name", "kind", "low", "high", "length"}
_ENTRY = {"id", "file", "sha256", "bytes", "rank", "alpha", "explanation", "provenance", "explained_by"}


@dataclass(frozen=True)
class Entry:
    """One adapter of a cache, as its catalogue tells it."""

    id: str
    file: str
    sha256: str
    bytes: int
    rank: int
    alpha: float
    explanation: str
    provenance: Mapping[str, Any]
    explained_by: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """An adapter to start from, and its mixing coefficient."""

    adapter: str
    weight: float


@dataclass(frozen=True, eq=False)
class Catalogue:
    """An open cache.

    Attributes:
        base: name, architecture, fingerprint and known file digests of the base model.
        summarizer: fingerprint of the model behind the described axes, digest of its questions, word cap.
        answers: (adapters, axes) shifts of the adapters' answers to the probes.
        origins: (adapters, axes) shifts of their training text; NaN where an adapter brought none.
    """

    source: Source
    base: Mapping[str, Any]
    summarizer: Mapping[str, Any]
    probes: str
    entries: tuple[Entry, ...]
    space: Space
    answers: Floats
    origins: Floats

    @property
    def coordinates(self) -> Floats:
        """(adapters, axes) where each adapter lies: by its training text if it brought that, else by its answers."""
        silent = np.isnan(self.origins).all(axis=1, keepdims=True)
        return np.asarray(np.nan_to_num(np.where(silent, self.answers, self.origins)))

    def entry(self, adapter: str) -> Entry:
        """The entry with an id.

        Raises:
            BadInput: there is none; the ids there are, are named.
        """
        for entry in self.entries:
            if entry.id == adapter:
                return entry
        known = ", ".join(entry.id for entry in self.entries[:12]) + (", …" if len(self.entries) > 12 else "")
        raise BadInput(f"{self.source.name} has no adapter {adapter!r}. It has: {known}.")

    def fetch(self, adapter: str) -> Path:
        """The local file of an adapter, verified against the catalogue's digest."""
        entry = self.entry(adapter)
        return self.source.file(entry.file, entry.sha256)

    def require(self, base: Path) -> None:
        """Refuse a base model that this cache was not made for.

        Raises:
            CacheMismatch: the fingerprints differ.
        """
        info = gguf.base_info(base)
        if info.fingerprint != self.base["fingerprint"]:
            raise CacheMismatch(
                f"this cache is for {self.base['name']} (fingerprint {self.base['fingerprint'][:8]}…); the base at "
                f"hand is {info.name} ({info.fingerprint[:8]}…). Use --base, or --cache with a cache built for it."
            )


def open_cache(source: Source) -> Catalogue:
    """Read and check a cache's catalogue and coordinates; nothing else is fetched.

    Raises:
        CacheMismatch: the files are damaged, of a newer schema, or have unknown keys.
    """
    told = _json(source)
    _known(source, told, _TOP, "catalogue.json")
    axes = []
    for one in told["axes"]:
        _known(source, one, _AXIS, "an axis")
        axes.append(Axis(**one))
    entries = []
    for one in told["adapters"]:
        _known(source, one, _ENTRY, f"the entry {one.get('id')!r}")
        entries.append(Entry(**{**one, "explained_by": tuple(one["explained_by"])}))
    if len({entry.id for entry in entries}) < len(entries):
        raise CacheMismatch(f"{source.name}: two adapters have one id. Get the cache anew, or use another.")
    arrays = _arrays(source, told["coordinates"], len(entries), len(axes))
    space = Space(
        tuple(axes),
        arrays["basis"].astype(np.float32),
        *(arrays[name].astype(np.float64) for name in ("reference", "gap", "spread", "precision")),
    )
    answers, origins = (arrays[name].astype(np.float64) for name in ("answers", "source"))
    return Catalogue(source, told["base"], told["summarizer"], told["probes"], tuple(entries), space, answers, origins)


def _json(source: Source) -> dict[str, Any]:
    try:
        told = json.loads(source.file(CATALOGUE).read_bytes())
    except ValueError as error:
        raise CacheMismatch(f"{source.name}: catalogue.json is damaged ({error}). Get the cache anew.") from error
    if not isinstance(told, dict) or not isinstance(told.get("schema"), int):
        raise CacheMismatch(f"{source.name}: catalogue.json is not a catalogue. Check --cache.")
    if told["schema"] > SCHEMA:
        raise CacheMismatch(
            f"{source.name} has schema {told['schema']}; this xpert reads up to {SCHEMA}. "
            "Upgrade with: pip install -U xpert-cli"
        )
    return told


def _known(source: Source, told: Mapping[str, Any], keys: set[str], where: str) -> None:
    wrong = sorted(set(told) ^ keys) if isinstance(told, dict) else ["not an object"]
    if wrong:
        raise CacheMismatch(
            f"{source.name}: {where} has unknown or missing keys ({', '.join(map(str, wrong[:6]))}). "
            "Upgrade xpert, or get the cache anew."
        )


def _arrays(source: Source, told: Mapping[str, Any], adapters: int, axes: int) -> dict[str, Any]:
    """The arrays of coordinates.npz, their shapes checked against the catalogue."""
    path = source.file(COORDINATES, told["sha256"])
    size = path.stat().st_size
    if size > MOST_BYTES or size != told["bytes"]:
        raise CacheMismatch(f"{source.name}: {COORDINATES} has {size} bytes, not {told['bytes']}. Get the cache anew.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise CacheMismatch(f"{source.name}: {COORDINATES} is damaged ({error}). Get the cache anew.") from error
    shapes = {"answers": (adapters, axes), "source": (adapters, axes), "reference": (axes,), "gap": (axes,)}
    shapes |= {"spread": (axes,), "precision": (axes, axes)}
    wrong = [name for name, shape in shapes.items() if name not in arrays or arrays[name].shape != shape]
    if wrong or "basis" not in arrays or arrays["basis"].ndim != 2:
        raise CacheMismatch(
            f"{source.name}: {COORDINATES} does not fit the catalogue ({', '.join(wrong)}). Get the cache anew."
        )
    return arrays


def write_cache(folder: Path, told: Mapping[str, Any], space: Space, answers: Floats, origins: Floats) -> None:
    """Write coordinates.npz, then catalogue.json, which makes the cache complete.

    Args:
        told: base, summarizer, probes and adapters of the catalogue.
    """
    with paths.whole(folder / COORDINATES) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            answers=answers.astype(np.float16),
            source=origins.astype(np.float16),
            basis=space.basis.astype(np.float16),
            **{name: getattr(space, name).astype(np.float32) for name in ("reference", "gap", "spread", "precision")},
        )
    path = folder / COORDINATES
    coordinates = {"sha256": paths.digest(path), "bytes": path.stat().st_size}
    axes = [vars(axis) for axis in space.axes]
    whole = {"schema": SCHEMA, **told, "axes": axes, "coordinates": coordinates}
    with paths.whole(folder / CATALOGUE) as part:
        part.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
