"""A cache opened: its catalogue, the style space it was built in, and where its adapters lie there.

    catalogue = open_cache(hub.open_source("embedded"))
    path = catalogue.fetch("elementary-concise-playful")

Two small files are read before anything is decided; an adapter is fetched, checked against its digest and against the
base, only when it is asked for. Not here: fetching (hub/sources.py), writing catalogues (cache/write.py), making a
cache (cache/build.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpert_cli import gguf
from xpert_cli.cache.entries import MOST_NAME, Entry, entry_of, require_keys
from xpert_cli.cache.trust import Published, check, published
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.foreign.data import read_arrays, read_json, read_object
from xpert_cli.hub.files import CATALOGUE, Source, kept
from xpert_cli.style import described as style
from xpert_cli.style.space import Axis, Floats, Space

if TYPE_CHECKING:
    from xpert_cli.cache.communities import Community

SCHEMA, INDEXED = 1, 2  # one file of coordinates that is read whole, and an index (cache/indexed.py)
COORDINATES, ANSWERS, COMMUNITIES = "coordinates.npz", "base_answers.jsonl", "communities.json"
WORDS = "words.npz"
MOST_ANSWERS = 16 << 20  # bytes of the base's answers: 200 take 60 kB
MOST_BASIS = 64 << 20  # bytes of the described axes' directions
MOST_BYTES = 256 << 20  # of coordinates.npz: 100,000 adapters on 500 axes take 200 MB
_TOP = {"schema", "base", "summarizer", "probes", "axes", "adapters", "coordinates"}
_TOP_INDEXED = _TOP - {"adapters", "coordinates"} | {"index"}
_TOP_MORE = {"files", "published"}
_AXIS, _AXIS_MORE = {"name", "kind", "low", "high", "length"}, {"digest"}
_SHORT = {"name", "kind", "digest"}  # an axis in schema 2 without its words


@dataclass(frozen=True)
class Chosen:
    """An adapter to start from, and its mixing coefficient."""

    adapter: str
    weight: float


@dataclass(frozen=True, eq=False)
class OpenCache:
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
    def size(self) -> int:
        """How many adapters there are."""
        return len(self.entries)

    @property
    def bare(self) -> Space:
        """The space, of which the directions of described axes need not be there: where no model is asked."""
        return self.space

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
        return not self.entries or not np.isnan(self.training_coordinates).all()

    def verify_files(self) -> None:
        """Check what is there beside adapters: the files that the catalogue lists.

        Raises:
            CacheMismatch: one is missing, or another than the catalogue says.
        """
        for name in self.source.known:
            self.source.file(name)

    @cached_property
    def communities(self) -> tuple[Community, ...]:
        """Groups of people, each after the larger one that it is part of; read when they are first asked for."""
        from xpert_cli.cache.communities import read_communities

        return read_communities(self.source, self.bare.axes)

    def has(self, adapter: str) -> bool:
        """Whether there is an adapter of an id."""
        try:
            return self.entry(adapter).id == adapter
        except BadInput:
            return False

    def entry(self, adapter: str) -> Entry:
        """The entry with an id, a community's too.

        Raises:
            BadInput: there is none; the ids there are, are named.
        """
        for entry in (*self.entries, *self._groups()):
            if entry.id == adapter:
                return entry
        groups = [entry.id for entry in self._groups()[:12]]
        known = ", ".join(
            [entry.id for entry in self.entries[:12]] + (["…"] if len(self.entries) > 12 else []) + groups
        )
        raise BadInput(f"{self.source.name} has no adapter {adapter!r}. It has: {known}.")

    def _groups(self) -> tuple[Entry, ...]:
        """The entries of the communities."""
        return tuple(one.entry for one in self.communities)

    def open_adapter(self, adapter: str) -> gguf.AdapterFile:
        """An adapter, fetched, verified and opened."""
        return gguf.AdapterFile.open(self.fetch(adapter), adapter, self.entry(adapter).sha256)

    def fetch(self, adapter: str) -> Path:
        """The local file of an adapter, verified against the catalogue's digest."""
        entry = self.entry(adapter)
        if entry.offset is None:
            return self.source.file(entry.file, entry.sha256, entry.bytes)
        return self.source.cut(entry.file, entry.offset, entry.bytes, entry.sha256, f"{entry.id}.gguf")

    def here(self, entry: Entry) -> Path | None:
        """Where an adapter lies on this machine, None where it would have to be fetched; its contents are not read."""
        if entry.offset is None:
            return self.source.here(entry.file, entry.sha256)
        path = kept(entry.sha256, f"{entry.id}.gguf")
        return path if path.is_file() else None

    def groups(self) -> Iterator[OpenCache]:
        """All adapters, in parts that are read one at a time."""
        yield self

    def at_hand(self) -> list[Entry]:
        """The entries of the adapters that lie on this machine."""
        return [entry for entry in self.entries if self.here(entry) is not None]

    def require(self, base: gguf.BaseModel | Path) -> None:
        """Refuse a base model that this cache was not made for.

        Raises:
            CacheMismatch: the fingerprints differ.
        """
        info = gguf.BaseModel.open(base).info
        if info.fingerprint != self.base["fingerprint"]:
            own, other = gguf.called(str(self.base["name"])), gguf.called(info.name)
            raise CacheMismatch(
                f"this cache is for {own} (fingerprint {self.base['fingerprint'][:8]}…); the base at hand is "
                f"{other} ({info.fingerprint[:8]}…). Use --base, or --cache with a cache built for it."
            )


def open_cache(source: Source, *, trusted: bool = True) -> OpenCache:
    """Read and check a cache's catalogue and coordinates; nothing else is fetched.

    Args:
        trusted: refuse a catalogue that is not its publisher's (cache/trust.py).

    Raises:
        CacheMismatch: the files are damaged, of a newer schema, have unknown keys, or are not the publisher's.
    """
    data = source.file(CATALOGUE).read_bytes()
    contents = _json(source, data)
    indexed = contents["schema"] == INDEXED
    keys, more = (_TOP_INDEXED, {*_TOP_MORE, "checked"}) if indexed else (_TOP, _TOP_MORE)
    require_keys(source, contents, keys, "catalogue.json", more)
    by = published(contents.get("published"), source.name)
    notes = (*source.notes, *(check(source, data, by) if trusted else ()))
    source.sealed = bool(by and by.key) and (trusted or source.revision is not None)
    try:
        axes = _contents(source, contents)
        _require_kinds(contents)
        if indexed:
            from xpert_cli.cache.indexed import IndexedCache, open_indexed

            return IndexedCache(source, contents, open_indexed(source, contents, axes), by, notes)
        entries = tuple(entry_of(source, one) for one in contents["adapters"])
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise CacheMismatch(f"{source.name}: catalogue.json is damaged ({error}). Get the cache anew.") from error
    if len({entry.id for entry in entries}) < len(entries):
        raise CacheMismatch(f"{source.name}: two adapters have one id. Get the cache anew, or use another.")
    arrays = _arrays(source, contents["coordinates"], len(entries), axes)
    space = Space(
        axes,
        arrays["basis"].astype(np.float32),
        *(arrays[name].astype(np.float64) for name in ("reference", "gap", "spread", "precision")),
    )
    answered, trained = (arrays[name].astype(np.float64) for name in ("answers", "source"))
    return OpenCache(
        source,
        contents["base"],
        contents["summarizer"],
        contents["probes"],
        entries,
        space,
        answered,
        trained,
        by,
        notes,
    )


def _contents(source: Source, contents: Mapping[str, Any]) -> tuple[Axis, ...]:
    """Axes of a catalogue; what it says of its other files goes to the source."""
    axes, own = [], {(axis.name, axis.digest): axis for axis in style.measured_axes()}
    for one in contents["axes"]:
        if contents["schema"] == INDEXED:
            one = _with_words(one, own)
        require_keys(source, one, _AXIS, "an axis", _AXIS_MORE)
        axes.append(_axis(one))
    if repeated := [name for name, count in Counter(axis.name for axis in axes).items() if count > 1]:
        raise ValueError(f"two axes are called {repeated[0]!r:.40}")
    source.known = {name: (str(one["sha256"]), int(one["bytes"])) for name, one in contents.get("files", {}).items()}
    return style.worded(axes)


def _with_words(one: Any, own: Mapping[tuple[str, str], Axis]) -> Any:
    """An axis of schema 2 whose words are not there: in this version's, if it counts the same, else by its name.

    It is told as "DIGEST NAME"; caches that were made before have an object of kind, name and digest.
    """
    if isinstance(one, str):
        digest, _, name = one.partition(" ")
        one = {"name": name, "kind": "measured", "digest": digest}
    if not isinstance(one, dict) or one.keys() != _SHORT:
        return one
    name, known = one["name"], own.get((str(one["name"]), str(one["digest"])))
    return {"low": name, "high": name, "length": known is not None and known.length, **one}


def _axis(fields: Mapping[str, Any]) -> Axis:
    axis = Axis(**fields)
    texts = (axis.name, axis.low, axis.high, axis.digest or "-")
    if not all(isinstance(text, str) and 0 < len(text) <= MOST_NAME and text.isprintable() for text in texts):
        raise ValueError(f"the axis {axis.name!r:.40} has a name or words that are no short text")
    if axis.kind not in ("measured", "described") or not isinstance(axis.length, bool):
        raise ValueError(f"the axis {axis.name!r:.40} is of an unknown kind")
    return axis


def _require_kinds(contents: Mapping[str, Any]) -> None:
    """Refuse what is not of the kind that a catalogue has there.

    Raises:
        TypeError, KeyError, ValueError: naming it.
    """
    base, summarizer = contents["base"], contents["summarizer"]
    texts = {f"base.{key}": base[key] for key in ("name", "architecture", "fingerprint")}
    texts |= {f"summarizer.{key}": summarizer[key] for key in ("fingerprint", "questions")}
    coordinates = contents.get("coordinates", {"sha256": "", "bytes": 0})  # where there is no index
    texts |= {"probes": contents["probes"], "coordinates.sha256": coordinates["sha256"]}
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > MOST_NAME:
            raise TypeError(f"{name} is no short text")
    if not isinstance(coordinates["bytes"], int):
        raise TypeError("coordinates.bytes is no number")


def _json(source: Source, data: bytes) -> dict[str, Any]:
    try:
        contents = read_json(data)
    except ValueError as error:
        raise CacheMismatch(f"{source.name}: catalogue.json is damaged ({error}). Get the cache anew.") from error
    if not isinstance(contents, dict) or not isinstance(contents.get("schema"), int):
        raise CacheMismatch(f"{source.name}: catalogue.json is not a catalogue. Check --cache.")
    if contents["schema"] > INDEXED:
        raise CacheMismatch(
            f"{source.name} has schema {contents['schema']}; this xpert reads up to {INDEXED}. "
            "Upgrade with: pip install -U xpert-cli"
        )
    return contents


def _arrays(source: Source, file: Mapping[str, Any], adapters: int, named: Sequence[Axis]) -> dict[str, Any]:
    """The arrays of coordinates.npz, their shapes checked against the catalogue."""
    axes, rows = len(named), sum(axis.kind == "described" for axis in named)
    path = source.file(COORDINATES, file["sha256"], file["bytes"])
    size = path.stat().st_size
    if size > MOST_BYTES or size != file["bytes"]:
        raise CacheMismatch(f"{source.name}: {COORDINATES} has {size} bytes, not {file['bytes']}. Get the cache anew.")
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
        records = [read_object(line) for line in path.read_bytes().splitlines()] if _small(path) else []
        pairs = [(one["prompt"], one["response"]) for one in records]
        if not pairs or not all(isinstance(text, str) for pair in pairs for text in pair):
            raise ValueError("it does not hold prompts and responses")
    except (ValueError, KeyError) as error:
        raise CacheMismatch(f"{source.name}: {ANSWERS} is damaged ({error}). Get the cache anew.") from error
    return pairs


def _small(path: Path) -> bool:
    return path.stat().st_size <= MOST_ANSWERS
