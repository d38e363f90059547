"""A cache opened: its catalogue, the style space it was built in, and where its adapters lie there.

    catalogue = open_cache(hub.open_source("embedded"))
    path = catalogue.fetch("elementary-concise-playful")

Two small files are read before anything is decided; an adapter is fetched, checked against its digest and against the
base, only when it is asked for. Not here: fetching (hub/sources.py), making a cache (cache/build.py).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from xpert_cli import gguf, paths
from xpert_cli.cache.trust import Published, check, published
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub.sources import CATALOGUE, Source
from xpert_cli.style import described as style
from xpert_cli.style.space import Axis, Floats, Space

SCHEMA = 1
COORDINATES, ANSWERS = "coordinates.npz", "base_answers.jsonl"
MOST_BYTES = 256 << 20  # of coordinates.npz: 100,000 adapters on 500 axes take 200 MB
_TOP = {"schema", "base", "summarizer", "probes", "axes", "adapters", "coordinates"}
_TOP_MORE = {"files", "published"}
_AXIS, _AXIS_MORE = {"name", "kind", "low", "high", "length"}, {"digest"}
_ENTRY = {"id", "file", "sha256", "bytes", "rank", "alpha", "explanation", "provenance", "explained_by"}
_ENTRY_MORE = {"checked", "traits"}


@dataclass(frozen=True)
class Entry:
    """One adapter of a cache, as its catalogue tells it.

    Attributes:
        checked: what looking through its training text, and asking it for that text, showed before it was published.
        traits: numbers of its weights, see cache/outliers.py.
    """

    id: str
    file: str
    sha256: str
    bytes: int
    rank: int
    alpha: float
    explanation: str
    provenance: Mapping[str, Any]
    explained_by: tuple[str, ...]
    checked: Mapping[str, Any] | None = None
    traits: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        texts, numbers = (self.id, self.file, self.sha256, self.explanation), (self.bytes, self.rank, self.alpha)
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(n, (int, float)) for n in numbers):
            raise TypeError(f"the entry {self.id!r:.40} has a value of the wrong kind")
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in (self.traits or {}).values()):
            raise TypeError(f"the entry {self.id!r:.40} has traits that are no numbers")
        if not self.id.isprintable() or not 0 < self.bytes < 1 << 40 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"the entry {self.id!r:.40} tells id, size or digest wrongly")


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
        answer_coordinates: (adapters, axes) shifts of the adapters' answers to the probes.
        training_coordinates: (adapters, axes) shifts of their training text; NaN where an adapter brought none.
        published: what its publisher says of this state.
        notes: what is worth knowing of where it comes from.
    """

    source: Source
    base: Mapping[str, Any]
    summarizer: Mapping[str, Any]
    probes: str
    entries: tuple[Entry, ...]
    space: Space
    answer_coordinates: Floats
    training_coordinates: Floats
    published: Published | None = None
    notes: tuple[str, ...] = ()

    @property
    def coordinates(self) -> Floats:
        """(adapters, axes) where each adapter lies: by its training text if it brought that, else by its answers."""
        silent = np.isnan(self.training_coordinates).all(axis=1, keepdims=True)
        return np.asarray(np.nan_to_num(np.where(silent, self.answer_coordinates, self.training_coordinates)))

    @property
    def by_source(self) -> bool:
        """Whether people's texts are compared with training texts, and so on measured axes: if any adapter brought one.

        What is described rests on a few of the training texts only, and has made selection worse.
        """
        return not np.isnan(self.training_coordinates).all()

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

    def open_adapter(self, adapter: str) -> gguf.AdapterFile:
        """An adapter, fetched, verified and opened."""
        return gguf.AdapterFile.open(self.fetch(adapter), adapter, self.entry(adapter).sha256)

    def fetch(self, adapter: str) -> Path:
        """The local file of an adapter, verified against the catalogue's digest."""
        entry = self.entry(adapter)
        return self.source.file(entry.file, entry.sha256, entry.bytes)

    def require(self, base: gguf.BaseModel | Path) -> None:
        """Refuse a base model that this cache was not made for.

        Raises:
            CacheMismatch: the fingerprints differ.
        """
        info = gguf.BaseModel.open(base).info
        if info.fingerprint != self.base["fingerprint"]:
            raise CacheMismatch(
                f"this cache is for {self.base['name']} (fingerprint {self.base['fingerprint'][:8]}…); the base at "
                f"hand is {info.name} ({info.fingerprint[:8]}…). Use --base, or --cache with a cache built for it."
            )


def open_cache(source: Source, *, trusted: bool = True) -> Catalogue:
    """Read and check a cache's catalogue and coordinates; nothing else is fetched.

    Args:
        trusted: refuse a catalogue that is not its publisher's (cache/trust.py).

    Raises:
        CacheMismatch: the files are damaged, of a newer schema, have unknown keys, or are not the publisher's.
    """
    data = source.file(CATALOGUE).read_bytes()
    told = _json(source, data)
    _known(source, told, _TOP, "catalogue.json", _TOP_MORE)
    by = published(told.get("published"), source.name)
    notes = (*source.notes, *(check(source, data, by) if trusted else ()))
    try:
        axes, entries = _contents(source, told)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise CacheMismatch(f"{source.name}: catalogue.json is damaged ({error}). Get the cache anew.") from error
    arrays = _arrays(source, told["coordinates"], len(entries), len(axes))
    space = Space(
        axes,
        arrays["basis"].astype(np.float32),
        *(arrays[name].astype(np.float64) for name in ("reference", "gap", "spread", "precision")),
    )
    answered, trained = (arrays[name].astype(np.float64) for name in ("answers", "source"))
    return Catalogue(
        source, told["base"], told["summarizer"], told["probes"], entries, space, answered, trained, by, notes
    )


def _contents(source: Source, told: Mapping[str, Any]) -> tuple[tuple[Axis, ...], tuple[Entry, ...]]:
    """Axes and entries of a catalogue; what it says of its other files goes to the source."""
    axes, entries = [], []
    for one in told["axes"]:
        _known(source, one, _AXIS, "an axis", _AXIS_MORE)
        axes.append(Axis(**one))
    if repeated := [name for name, count in Counter(axis.name for axis in axes).items() if count > 1]:
        raise ValueError(f"two axes are called {repeated[0]!r:.40}")
    for one in told["adapters"]:
        _known(source, one, _ENTRY, f"the entry {one.get('id')!r}", _ENTRY_MORE)
        entries.append(Entry(**{**one, "explained_by": tuple(one["explained_by"])}))
    if len({entry.id for entry in entries}) < len(entries):
        raise CacheMismatch(f"{source.name}: two adapters have one id. Get the cache anew, or use another.")
    for text in (*told["base"].values(), told["coordinates"]["sha256"], told["coordinates"]["bytes"]):
        if not isinstance(text, (str, int, list)):
            raise TypeError(f"{text!r:.40} is not what a catalogue tells")
    source.known = {name: (str(one["sha256"]), int(one["bytes"])) for name, one in told.get("files", {}).items()}
    return style.worded(axes), tuple(entries)


def _json(source: Source, data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
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


def _known(source: Source, told: Mapping[str, Any], keys: set[str], where: str, more: Set[str] = frozenset()) -> None:
    wrong = sorted((set(told) - more) ^ keys) if isinstance(told, dict) else ["not an object"]
    if wrong:
        raise CacheMismatch(
            f"{source.name}: {where} has unknown or missing keys ({', '.join(map(str, wrong[:6]))}). "
            "Upgrade xpert, or get the cache anew."
        )


def _arrays(source: Source, told: Mapping[str, Any], adapters: int, axes: int) -> dict[str, Any]:
    """The arrays of coordinates.npz, their shapes checked against the catalogue."""
    path = source.file(COORDINATES, told["sha256"], told["bytes"])
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


def write_cache(
    folder: Path,
    told: Mapping[str, Any],
    entries: Sequence[Entry],
    space: Space,
    answers: Floats,
    training_coordinates: Floats,
) -> None:
    """Write coordinates.npz, then catalogue.json, which makes the cache complete.

    Args:
        told: base, summarizer and probes of the catalogue.
    """
    with paths.whole(folder / COORDINATES) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            answers=answers.astype(np.float16),
            source=training_coordinates.astype(np.float16),
            basis=space.basis.astype(np.float16),
            **{name: getattr(space, name).astype(np.float32) for name in ("reference", "gap", "spread", "precision")},
        )
    adapters = [{key: value for key, value in asdict(entry).items() if value is not None} for entry in entries]
    whole = {
        "schema": SCHEMA,
        **told,
        "adapters": adapters,
        "axes": [{key: value for key, value in vars(axis).items() if value != ""} for axis in space.axes],
        "coordinates": described(folder / COORDINATES),
    }
    with paths.whole(folder / CATALOGUE) as part:
        part.write_bytes(encoded(whole))


def described(path: Path) -> dict[str, Any]:
    """Digest and size of a file, as a catalogue tells them."""
    return {"sha256": paths.digest(path), "bytes": path.stat().st_size}


def encoded(told: Mapping[str, Any]) -> bytes:
    """A catalogue as the bytes of catalogue.json."""
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()
