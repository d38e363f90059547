"""`xpert merge`: adapters into one adapter, or adapters and their base into one model.

    merge([(Path("terse.gguf"), 0.7), (Path("playful.gguf"), 0.3)], None, Path("both.gguf"), rank=8)
    merge([(Path("mine.gguf"), 1.0)], BaseModel.open(Path("base.gguf")), Path("me.gguf"))          # a model

An output without .gguf is a PEFT folder; folders are accepted as adapters too. Both need the base's head counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xpert_cli import gguf, paths
from xpert_cli.errors import BadInput, BadModel, BadUsage
from xpert_cli.gguf import AdapterFile, BaseModel
from xpert_cli.gguf import adapter as algebra
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.models import peft
from xpert_cli.models.merging import merge_into_base


@dataclass(frozen=True)
class Merged:
    """What was written: `error` is what recompression lost, relative to the whole change; None without it.

    `notes` are sentences to tell the user.
    """

    out: str
    kind: str  # "adapter" or "model"
    rank: int
    error: float | None
    bytes: int
    type: str
    seconds: float
    notes: tuple[str, ...] = ()


def merge(
    adapters: Sequence[tuple[AdapterFile | Path, float]],
    base: BaseModel | Path | None,
    out: Path,
    *,
    rank: int | None = None,
    type_name: str | None = None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Merged:
    """Merge adapters at their weights, exactly or recompressed to `rank`, into one adapter or into their base.

    Args:
        adapters: GGUF files or PEFT folders, each with its weight.
        base: the model to merge into; None, or an `out` that is no .gguf file, merges the adapters alone.
        type_name: of the model: the base's own float type or Q8_0 by default. Of an adapter: F16 (default) or F32;
            PEFT folders are F32.

    Raises:
        BadInput: nothing to merge, or a PEFT folder without a base.
        BadModel: a file is no sound adapter or model.
        CacheMismatch: the files belong to different base models.
        CannotWrite: `out` cannot be written.
    """
    started = time.monotonic()
    if out.suffix == ".gguf":
        paths.require_place(out)
    base = None if base is None else BaseModel.open(base)
    opened = [(_opened(adapter), weight) for adapter, weight in adapters]
    notes = tuple(note for adapter, _ in opened if base and (note := _note(adapter, base)))
    merged = algebra.merge([(_read(adapter, base), weight) for adapter, weight in opened])
    error = None
    _require_numbers(merged)
    if rank is not None:
        merged, error = algebra.recompress(merged, rank)
        _require_numbers(merged)
    if base is not None:
        gguf.check_adapter(merged, base)
    kind = "adapter"
    if out.suffix != ".gguf":
        written = _write_folder(merged, base, out, type_name)
    elif base is None:
        written = type_name or "F16"
        gguf.write_adapter(merged, out, written)
    else:
        kind, written = "model", merge_into_base(base, merged, out, type_name, progress)
    size = sum(file.stat().st_size for file in ([out] if out.is_file() else out.iterdir()))
    return Merged(str(out), kind, merged.rank, error, size, written, time.monotonic() - started, notes)


def _require_numbers(adapter: Adapter) -> None:
    """Refuse an adapter with factors that are not finite: some product of weights was too large."""
    if wrong := [name for name, pair in adapter.factors.items() if not all(np.isfinite(half).all() for half in pair)]:
        raise BadModel(
            f"the merged adapter's {algebra.shorten(wrong)} holds values that are not finite. Give smaller weights."
        )


def _heads(base: BaseModel | None, path: Path) -> gguf.BaseInfo:
    if base is None:
        raise BadInput(
            f"{path} is no .gguf file, so it is a PEFT folder, which needs the base model's head counts: "
            "name the model with --base."
        )
    return base.info


def _opened(adapter: AdapterFile | Path) -> AdapterFile | Path:
    """An open file, or the path of a PEFT folder."""
    return adapter if isinstance(adapter, Path) and adapter.is_dir() else AdapterFile.open(adapter)


def _read(adapter: AdapterFile | Path, base: BaseModel | None) -> Adapter:
    if isinstance(adapter, AdapterFile):
        return adapter.adapter
    info = _heads(base, adapter)
    return peft.read_peft(adapter, heads=info.heads, kv_heads=info.kv_heads, architecture=info.architecture)


def _note(adapter: AdapterFile | Path, base: BaseModel) -> str | None:
    """A sentence about an adapter that names another base; no refusal, for one base is written in several ways."""
    if isinstance(adapter, AdapterFile):
        base_name = adapter.header.metadata.get("general.base_model.0.name")
        name, named = adapter.path.name, base_name if isinstance(base_name, str) else None
    else:
        name, named = adapter.name, peft.base_named(adapter)
    own = base.info.name
    mine, theirs = ("".join(filter(str.isalnum, text.lower())) for text in (own, named or ""))
    if not theirs or mine in theirs or theirs in mine:
        return None
    return f"{name} says that it is for {ascii(named)[1:-1]:.60}; the base is {own}. Make sure that they are one."


def _write_folder(merged: Adapter, base: BaseModel | None, out: Path, type_name: str | None) -> str:
    if type_name not in (None, "F32"):
        raise BadUsage(f"PEFT folders are written as F32, not {type_name}. Leave --type out, or end --out in .gguf.")
    info = _heads(base, out)
    peft.write_peft(merged, out, heads=info.heads, kv_heads=info.kv_heads, base_name=info.name)
    return "F32"
