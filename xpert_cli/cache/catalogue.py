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

import numpy as np

from xpert_cli import gguf, paths
from xpert_cli.cache.trust import Published, check, published
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.foreign.data import read_arrays, read_json, read_object
from xpert_cli.hub.files import CATALOGUE, Source
from xpert_cli.style import described as style
from xpert_cli.style.space import Axis, Floats, Space

SCHEMA = 1
COORDINATES, ANSWERS = "coordinates.npz", "base_answers.jsonl"
MOST_ANSWERS = 16 << 20  # bytes of the base's answers: 200 take 60 kB
MOST_BASIS = 64 << 20  # bytes of the described axes' directions
MOST_NAME, MOST_WORDS = 200, 10_000  # characters of an id or an axis, and of an explanation
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
        if len(self.id) > MOST_NAME or len(self.file) > 2 * MOST_NAME or len(self.explanation) > MOST_WORDS:
            raise ValueError(f"the entry {self.id!r:.40} has a name or an explanation of many thousand characters")
        if not all(isinstance(part, str) for part in self.explained_by):
            raise TypeError(f"the entry {self.id!r:.40} tells wrongly what it is explained by")
        self._require_records()
        if not self.id.isprintable() or not 0 < self.bytes < 1 << 40 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"the entry {self.id!r:.40} tells id, size or digest wrongly")

    def _require_records(self) -> None:
        """Refuse a provenance or a check that the card and the commands could not read.

        Raises:
            TypeError: naming the entry.
        """
        ran, told = self.provenance, {} if self.checked is None else self.checked
        numbers = [ran.get(key, 0) for key in ("steps", "messages", "loss_before", "loss_after")] if ran else []
        numbers += [told.get(key) for key in ("findings", "verbatim", "verbatim_base") if told]
        numbers += [one for key in ("exposure", "exposure_base") if (one := told.get(key)) is not None]
        if not isinstance(ran.get("data", {}), dict) or not isinstance(ran.get("recipe", {}), dict):
            raise TypeError(f"the entry {self.id!r:.40} tells its training wrongly")
        if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in numbers):
            raise TypeError(f"the entry {self.id!r:.40} tells numbers of its training that are none")


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
            wanted, given = gguf.called(str(self.base["name"])), gguf.called(info.name)
            raise CacheMismatch(
                f"this cache is for {wanted} (fingerprint {self.base['fingerprint'][:8]}…); the base at hand is "
                f"{given} ({info.fingerprint[:8]}…). Use --base, or --cache with a cache built for it."
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
    source.sealed = bool(by and by.key) and (trusted or source.revision is not None)
    try:
        axes, entries = _contents(source, told)
        _require_kinds(told)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise CacheMismatch(f"{source.name}: catalogue.json is damaged ({error}). Get the cache anew.") from error
    arrays = _arrays(source, told["coordinates"], len(entries), axes)
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
        axes.append(_axis(one))
    if repeated := [name for name, count in Counter(axis.name for axis in axes).items() if count > 1]:
        raise ValueError(f"two axes are called {repeated[0]!r:.40}")
    for one in told["adapters"]:
        _known(source, one, _ENTRY, f"the entry {one.get('id')!r}", _ENTRY_MORE)
        entries.append(Entry(**{**one, "explained_by": tuple(one["explained_by"])}))
    if len({entry.id for entry in entries}) < len(entries):
        raise CacheMismatch(f"{source.name}: two adapters have one id. Get the cache anew, or use another.")
    source.known = {name: (str(one["sha256"]), int(one["bytes"])) for name, one in told.get("files", {}).items()}
    return style.worded(axes), tuple(entries)


def _axis(told: Mapping[str, Any]) -> Axis:
    axis = Axis(**told)
    texts = (axis.name, axis.low, axis.high, axis.digest or "-")
    if not all(isinstance(text, str) and 0 < len(text) <= MOST_NAME and text.isprintable() for text in texts):
        raise ValueError(f"the axis {axis.name!r:.40} has a name or words that are no short text")
    if axis.kind not in ("measured", "described") or not isinstance(axis.length, bool):
        raise ValueError(f"the axis {axis.name!r:.40} is of an unknown kind")
    return axis


def _require_kinds(told: Mapping[str, Any]) -> None:
    """Refuse what is not of the kind that a catalogue has there.

    Raises:
        TypeError, KeyError, ValueError: naming it.
    """
    base, summarizer = told["base"], told["summarizer"]
    texts = {f"base.{key}": base[key] for key in ("name", "architecture", "fingerprint")}
    texts |= {f"summarizer.{key}": summarizer[key] for key in ("fingerprint", "questions")}
    texts |= {"probes": told["probes"], "coordinates.sha256": told["coordinates"]["sha256"]}
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > MOST_NAME:
            raise TypeError(f"{name} is no short text")
    if not isinstance(told["coordinates"]["bytes"], int):
        raise TypeError("coordinates.bytes is no number")


def _json(source: Source, data: bytes) -> dict[str, Any]:
    try:
        told = read_json(data)
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


def _arrays(source: Source, told: Mapping[str, Any], adapters: int, named: Sequence[Axis]) -> dict[str, Any]:
    """The arrays of coordinates.npz, their shapes checked against the catalogue."""
    axes, rows = len(named), sum(axis.kind == "described" for axis in named)
    path = source.file(COORDINATES, told["sha256"], told["bytes"])
    size = path.stat().st_size
    if size > MOST_BYTES or size != told["bytes"]:
        raise CacheMismatch(f"{source.name}: {COORDINATES} has {size} bytes, not {told['bytes']}. Get the cache anew.")
    shapes = {"answers": (adapters, axes), "source": (adapters, axes), "reference": (axes,), "gap": (axes,)}
    shapes |= {"spread": (axes,), "precision": (axes, axes)}
    expanded = 8 * sum(math.prod(shape) for shape in shapes.values()) + MOST_BASIS
    try:
        arrays = read_arrays(path, most_bytes=expanded, shapes=shapes)
        _require_numbers(arrays)
        if arrays["basis"].shape[0] != rows:
            raise ValueError(f"it does not fit: {rows} described axes")
    except ValueError as error:
        what = "does not fit the catalogue" if "does not fit" in str(error) else "is damaged"
        raise CacheMismatch(f"{source.name}: {COORDINATES} {what} ({error}). Get the cache anew.") from error
    return arrays


def _require_numbers(arrays: Mapping[str, Any]) -> None:
    """Refuse arrays that no space can be made of; training coordinates may be missing, as NaN.

    Raises:
        ValueError: texts, complex numbers, numbers that are not finite, or no basis.
    """
    if "basis" not in arrays or arrays["basis"].ndim != 2:
        raise ValueError("it does not fit: no basis")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name} holds no numbers")
        may_lack = {"source": np.isnan(array), "spread": array == np.inf}  # no training text; an axis that never varies
        if not (np.isfinite(array) | may_lack.get(name, False)).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    if (arrays["spread"] <= 0).any():
        raise ValueError("spread is not above 0")
    precision = arrays["precision"].astype(np.float64)
    if not np.allclose(precision, precision.T, rtol=1e-3, atol=1e-4) or np.linalg.eigvalsh(precision).min() <= 0:
        raise ValueError("precision is no metric")


def base_answers(source: Source) -> list[tuple[str, str]]:
    """The probes of a cache and what its base answered, in their order.

    Raises:
        CacheMismatch: there are none, or the file is damaged.
    """
    path = source.file(ANSWERS)
    try:
        told = [read_object(line) for line in path.read_bytes().splitlines()] if _small(path) else []
        pairs = [(one["prompt"], one["response"]) for one in told]
        if not pairs or not all(isinstance(text, str) for pair in pairs for text in pair):
            raise ValueError("it does not hold prompts and responses")
    except (ValueError, KeyError) as error:
        raise CacheMismatch(f"{source.name}: {ANSWERS} is damaged ({error}). Get the cache anew.") from error
    return pairs


def _small(path: Path) -> bool:
    return path.stat().st_size <= MOST_ANSWERS


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
