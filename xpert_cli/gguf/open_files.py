"""Files that are opened once and passed on open: a base model, an adapter, an adapter with its weight.

    base = BaseModel.open(Path("base.gguf"))           # its header is parsed and checked here, and never again
    mine = AdapterFile.open(Path("mine.gguf"))
    check_adapter(mine, base)                          # reads the factors, which are kept, and hashes the fingerprint
    parts = [WeightedAdapter(mine, 0.5)]

What takes long is done when it is first asked for, and remembered by the object. A function of the library takes a
path too and opens it for itself; a program that calls several opens the file and passes the object. The vocabulary is
not among it: llama.cpp holds some 20 MB for it, so it is opened where it is used (llama/vocabulary.py). Not here:
reading and writing the files (gguf/files.py), adapter algebra (gguf/adapter.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from xpert_cli import paths
from xpert_cli.errors import CacheMismatch
from xpert_cli.gguf.adapter import BASE_NAME, FINGERPRINT, Adapter, merge, recompress, shorten
from xpert_cli.gguf.files import BaseInfo, architecture_of, base_info, fingerprint, read_adapter
from xpert_cli.gguf.header import Header, read_header


@dataclass(frozen=True, eq=False)
class BaseModel:
    """A base model's GGUF file, its header parsed and checked."""

    header: Header

    @classmethod
    def open(cls, source: BaseModel | Header | Path) -> BaseModel:
        """The model of a path or of a header; an open one comes back as it is.

        Raises:
            BadModel: the file is missing, or is no GGUF file llama.cpp could read.
        """
        if isinstance(source, BaseModel):
            return source
        return cls(source if isinstance(source, Header) else read_header(source))

    @property
    def path(self) -> Path:
        """The GGUF file."""
        return self.header.path

    @cached_property
    def fingerprint(self) -> str:
        """The same for all quantizations of one model, see gguf/files.py."""
        return fingerprint(self.header)

    @cached_property
    def digest(self) -> str:
        """sha256 of the file, in hexadecimal: a model that something was merged into keeps size and fingerprint."""
        return paths.digest(self.path)

    @cached_property
    def info(self) -> BaseInfo:
        """Name, sizes and fingerprint.

        Raises:
            BadModel: an adapter, or a model whose layers differ in their head counts.
        """
        return base_info(self.header, self.fingerprint)


@dataclass(frozen=True, eq=False)
class AdapterFile:
    """An adapter's GGUF file, its header parsed and checked.

    Attributes:
        name: what people call it: an id of a cache, or the path.
        fits: fingerprints of the bases that it was checked against, see `check_adapter`.
    """

    header: Header
    name: str

    fits: set[str] = field(default_factory=set, repr=False)

    @classmethod
    def open(cls, source: AdapterFile | Path, name: str | None = None, digest: str | None = None) -> AdapterFile:
        """The adapter of a file; an open one comes back as it is.

        Args:
            digest: sha256 of the file, where it was hashed already.

        Raises:
            BadModel: the file is missing, or is no GGUF file.
        """
        if isinstance(source, AdapterFile):
            return source
        opened = cls(read_header(source), name or str(source))
        if digest is not None:
            opened.__dict__["digest"] = digest
        return opened

    @property
    def path(self) -> Path:
        """The GGUF file."""
        return self.header.path

    @cached_property
    def digest(self) -> str:
        """sha256 of the file, in hexadecimal."""
        return paths.digest(self.path)

    @cached_property
    def adapter(self) -> Adapter:
        """The factors, checked, and the metadata.

        Raises:
            BadModel: it is not an adapter that llama.cpp can use safely.
        """
        return read_adapter(self.header)

    def release(self) -> None:
        """Free the factors; they are read again if they are asked for."""
        self.__dict__.pop("adapter", None)


class WeightedAdapter(NamedTuple):
    """An adapter and the weight that its change of the base is multiplied by; 1.0 is as trained."""

    file: AdapterFile
    weight: float = 1.0

    @classmethod
    def open(cls, path: Path, weight: float = 1.0) -> WeightedAdapter:
        """The adapter of a file, at a weight."""
        return cls(AdapterFile.open(path), weight)


def combined(parts: Sequence[WeightedAdapter], most: int) -> tuple[Adapter, float | None]:
    """Adapters at their weights as one of at most this rank; with the error of a recompression, None where there is
    none.

    Raises:
        BadInput: no adapter, or a rank below 1.
        CacheMismatch: the adapters belong to different base models.
    """
    merged = merge([(part.file.adapter, part.weight) for part in parts])
    return (merged, None) if merged.rank <= most else recompress(merged, most)


_USE = "Use the base it was made for with --base, or another adapter."


def check_adapter(adapter: Adapter | AdapterFile | Header, base: BaseModel | Header) -> None:
    """Refuse an adapter that is not made for `base`: architecture, fingerprint, every tensor's name and shape.

    A file remembers that it passed, so that its factors need not be read for another check.

    Raises:
        BadModel: given as a file or its header, it is no sound adapter (see read_adapter).
        CacheMismatch: it belongs to another base model; one line names every mismatch.
    """
    base = BaseModel.open(base)
    if isinstance(adapter, Header):
        adapter = AdapterFile(adapter, str(adapter.path))
    if isinstance(adapter, Adapter):
        _check(adapter, base, "")
    elif base.fingerprint not in adapter.fits:
        _check(adapter.adapter, base, f"{adapter.path}: ")
        adapter.fits.add(base.fingerprint)


def _check(adapter: Adapter, base: BaseModel, label: str) -> None:
    architecture = architecture_of(base.header)
    if adapter.architecture != architecture:
        raise CacheMismatch(
            f"{label}this adapter is for a {adapter.architecture[:40]!r:.40} model; the base is {architecture}. {_USE}"
        )
    problems = []
    if (expected := adapter.metadata.get(FINGERPRINT)) is not None and expected != (actual := base.fingerprint):
        name = str(adapter.metadata.get(BASE_NAME, "another base"))[:60]
        problems.append(f"it is for {name!a} (fingerprint {str(expected)[:12]!a}), this one has {actual[:12]!a}")
    tensors = base.header.tensors
    missing = [name for name in adapter.factors if name not in tensors or name.startswith("token_embd.")]
    if missing:
        problems.append(f"the base has no linear layer {shorten(missing)}")
    for name, (a, b) in adapter.factors.items():
        if name not in missing and (shape := (len(b), a.shape[1])) != tensors[name].shape:
            problems.append(f"{name} is {shape}, the base's is {tensors[name].shape}")
    if problems:
        raise CacheMismatch(f"{label}this adapter does not fit {base.path.name}: {shorten(problems, 6)}. {_USE}")
