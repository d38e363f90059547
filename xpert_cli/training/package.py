"""The third part of a fine-tuning run: its files, made from the trained factors.

    files = package(run, trained.adapter)
    files.adapter, files.merged

Not here: run.json, which is written last (training/finetune.py).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xpert_cli import gguf, paths, platform, runs
from xpert_cli.corpus import Corpus, Message, record
from xpert_cli.gguf import BaseModel
from xpert_cli.gguf.adapter import BASE_NAME, FINGERPRINT, Adapter, Metadata
from xpert_cli.models import ollama
from xpert_cli.models.merging import merge_into_base
from xpert_cli.style import described
from xpert_cli.style.space import Readings
from xpert_cli.training.prepare import Prepared


@dataclass(frozen=True)
class Files:
    """What is in a run's folder."""

    folder: str
    adapter: str
    merged: str
    modelfile: str | None


def package(run: Prepared, adapter: Adapter) -> Files:
    """Write messages.jsonl, adapter.gguf, merged.gguf and the Modelfile of a run.

    Raises:
        CannotWrite: the disk is full.
    """
    folder, settings = run.folder, run.settings
    (folder / runs.RECORD).unlink(missing_ok=True)  # of an earlier run in this folder, which is none from here on
    write_messages(folder / runs.MESSAGES, run.all_messages)
    run.progress("placing your writing among the styles", 1.0)
    final = dataclasses.replace(adapter, metadata=source_metadata(run.training, run.base))
    gguf.write_adapter(final, folder / runs.ADAPTER, "F16")
    merged = folder / runs.MERGED
    merge_into_base(run.base, adapter, merged, settings.type_name, run.progress)
    platform.release_memory()  # before two models are asked
    modelfile = folder / "Modelfile"
    if settings.for_ollama:
        with paths.whole(modelfile) as part:
            part.write_text(ollama.modelfile(merged), "utf-8")
    return Files(
        folder=str(folder),
        adapter=str(folder / runs.ADAPTER),
        merged=str(merged),
        modelfile=str(modelfile) if settings.for_ollama else None,
    )


def source_metadata(training: Corpus, base: BaseModel) -> dict[str, Metadata]:
    """What a new adapter says: its base's name and fingerprint, and where its training text lies on the measured axes.

    People are compared with training texts on these alone (`OpenCache.by_source`), and asking a model of 0.5 billion
    parameters to describe 120 texts takes longer than fine-tuning it for a few steps.
    """
    axes = described.measured_axes()
    values = described.read(training.passages, axes, described.NO_BASIS, None).values
    if not training.shows_length:
        values[:, [axis.length for axis in axes]] = math.nan
    return described.source_metadata(Readings(values), axes, described.NO_BASIS) | {
        FINGERPRINT: base.fingerprint,
        BASE_NAME: base.info.name,
    }


def write_messages(path: Path, messages: Sequence[Message]) -> None:
    """A line a message, readable by its owner alone."""
    with paths.whole(path) as part:
        part.write_text("".join(json.dumps(record(one), ensure_ascii=False) + "\n" for one in messages), "utf-8")
