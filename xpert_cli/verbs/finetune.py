"""`xpert finetune`: a LoRA adapter for one person's writing, started from the nearest cached one.

    result = finetune(corpus, base, catalogue, start=[("id", path, 1.0)], out=folder)

Writes a run folder: adapter.gguf (with where the writing lies in the style space), merged.gguf, and run.json last, so a
folder without it is an unfinished run. Not here: the training loop (doors/trainer.py), choosing the start
(verbs/select.py).
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xpert_cli import __version__, paths, platform
from xpert_cli.doors import gguf, trainer
from xpert_cli.doors.corpus import Corpus
from xpert_cli.doors.llama import Model, Vocabulary
from xpert_cli.errors import BadInput
from xpert_cli.maths.adapters import FINGERPRINT, Adapter, merge, recompress
from xpert_cli.steps import explain
from xpert_cli.steps.catalogue import Catalogue
from xpert_cli.steps.merging import merge_into_base
from xpert_cli.steps.samples import PROMPT, tokenized

Progress = Callable[[str, float], None]
MOST_HELD_OUT = 40  # messages; more would cost more time than they add certainty
BATCH = 4
ASKED = 120  # texts that the described axes are read from: this is done once, and others rely on it


@dataclass(frozen=True)
class Started:
    """One adapter that training began with, and its mixing coefficient."""

    adapter: str
    weight: float


@dataclass(frozen=True)
class Finetuned:
    """What a run made. Losses are nats a response token on the held-out messages."""

    started_from: tuple[Started, ...]
    steps: int
    best_step: int
    messages: int
    held_out: int
    seconds: float
    tokens: int
    tokens_per_second: float
    loss_base: float
    loss_before: float
    loss_after: float
    peak_rss_bytes: int
    adapter: str
    merged: str
    rank: int
    recompression_error: float | None
    interrupted: bool
    prompt: str
    before: str
    after: str
    notes: tuple[str, ...] = field(default=())


def finetune(
    corpus: Corpus,
    base: Path,
    cache: Catalogue | None,
    *,
    start: Sequence[tuple[str, Path, float]] = (),
    out: Path,
    steps: int | None = None,
    rank: int | None = None,
    learning_rate: float | None = None,
    max_tokens: int = 512,
    held_out: float = 0.2,
    seed: int = 0,
    type_name: str | None = None,
    progress: Progress = lambda message, fraction: None,
) -> Finetuned:
    """Train on a person's messages, keeping the step with the lowest loss on the held-out ones.

    Args:
        cache: places the writing in its space, so that others can be compared with the new adapter; may be None.
        start: (id, file, weight) of the adapters to begin with; empty for the base.
        out: the run folder.
        steps, rank, learning_rate: derived from the number of messages and the start unless given.
        type_name: of the merged model: Q8_0 by default, or the base's own float type. What few steps change is smaller
            than the rounding of 4 bits: merged into Q4_1, nine tenths of the gain were lost; into Q8_0, none.

    Raises:
        BadInput: too few messages to hold some out.
        MissingExtra: torch is not installed.
        CannotWrite: the run folder cannot be written; said before training.
    """
    began = time.monotonic()
    folder = paths.writable(out)
    if len(corpus) < 4:
        raise BadInput(f"{len(corpus)} messages are too few to learn from and to check against. Give at least 4.")
    training, held = corpus.split(min(held_out, MOST_HELD_OUT / len(corpus)), seed)
    if not len(held):
        raise BadInput("all messages are the same, so none can be held out. Give at least 2 different ones.")
    first, error = _start(start, base, rank)
    recipe = _recipe(len(training), first, steps, rank, learning_rate, seed)
    with Vocabulary(base) as model:
        samples = tokenized(model, training, max_tokens)
        checks = tokenized(model, held, max_tokens)
    progress("loading the base model", 0.0)
    trained = trainer.train(base, samples, checks, recipe, start=first, progress=_told(progress))
    progress("placing your writing among the styles", 1.0)
    adapter = _with_source(trained.adapter, training, base, cache)
    (folder / "run.json").unlink(missing_ok=True)  # of an earlier run in this folder, which is none from here on
    gguf.write_adapter(adapter, folder / "adapter.gguf", "F16")
    merge_into_base(base, adapter, folder / "merged.gguf", type_name or _roomy_type(base), progress)
    prompt = next((message.prompt for message in held.messages if message.prompt), PROMPT)
    result = Finetuned(
        started_from=tuple(Started(name, weight) for name, _, weight in start),
        steps=trained.steps,
        best_step=trained.best_step,
        messages=len(training),
        held_out=len(held),
        seconds=time.monotonic() - began,
        tokens=trained.tokens,
        tokens_per_second=trained.tokens / max(trained.train_seconds, 1e-9),
        loss_base=trained.loss_base,
        loss_before=trained.loss_before,
        loss_after=trained.loss_after,
        peak_rss_bytes=platform.peak_memory(),
        adapter=str(folder / "adapter.gguf"),
        merged=str(folder / "merged.gguf"),
        rank=adapter.rank,
        recompression_error=error,
        interrupted=trained.interrupted,
        prompt=prompt,
        before=_answer(base, prompt, seed),
        after=_answer(folder / "merged.gguf", prompt, seed),
        notes=_notes(trained),
    )
    record = {
        "xpert": __version__,
        "base": dataclasses.asdict(gguf.base_info(base)),
        "data": {"digest": corpus.digest, "messages": len(corpus)},
        "recipe": dataclasses.asdict(recipe) | {"max_tokens": max_tokens},
        "curve": trained.curve,
        "result": dataclasses.asdict(result),
    }
    with paths.whole(folder / "run.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return result


def _start(
    start: Sequence[tuple[str, Path, float]], base: Path, rank: int | None
) -> tuple[Adapter | None, float | None]:
    """The adapters merged into one, at the asked rank; with the error of a recompression."""
    if not start:
        return None, None
    adapters = [(gguf.read_adapter(path), weight) for _, path, weight in start]
    for _, path, _ in start:
        gguf.check_adapter(gguf.read_header(path), gguf.read_header(base))
    merged = merge(adapters)
    wanted = rank or max(adapter.rank for adapter, _ in adapters)
    return (merged, None) if merged.rank == wanted else recompress(merged, wanted)


def _recipe(
    messages: int, start: Adapter | None, steps: int | None, rank: int | None, rate: float | None, seed: int
) -> trainer.Recipe:
    """Two passes over the messages, at least 30 steps; a gentler rate where there is something to keep."""
    chosen = steps or min(1000, max(30, math.ceil(2 * messages / BATCH)))
    return trainer.Recipe(
        steps=chosen,
        rank=start.rank if start else rank or 8,
        learning_rate=rate or (5e-4 if start else 1e-3),
        batch=BATCH,
        evaluate_every=max(5, chosen // 10),
        seed=seed,
    )


def _told(progress: Progress) -> Callable[[trainer.Progress], None]:
    latest = [math.nan]

    def tell(step: trainer.Progress) -> None:
        if step.held_out is not None:
            latest[0] = step.held_out
        held = "" if math.isnan(latest[0]) else f", held-out {latest[0]:.3f}"
        progress(f"step {step.step}/{step.steps}, loss {step.loss:.3f}{held}", step.step / step.steps)

    return tell


def _with_source(adapter: Adapter, corpus: Corpus, base: Path, cache: Catalogue | None) -> Adapter:
    """The adapter with its base's fingerprint and where its training text lies on the style axes.

    Described axes are told only where the base is the model that the cache was explained with.
    """
    axes, basis = (cache.space.axes, cache.space.basis) if cache else explain.axes_of(base)
    able = cache is None or cache.summarizer["fingerprint"] == gguf.fingerprint(base)
    readings = explain.read(corpus.texts, basis, base if able else None, asked=ASKED)
    metadata = explain.source_metadata(readings, axes, basis) | {FINGERPRINT: gguf.base_info(base).fingerprint}
    return dataclasses.replace(adapter, metadata=metadata)


def _roomy_type(base: Path) -> str | None:
    """A type fine enough for a merged model; None (the base's own) for a base that is not quantized."""
    matrices = {info.type for info in gguf.read_header(base).tensors.values() if len(info.shape) > 1}
    return None if matrices <= {"F32", "F16", "BF16"} else "Q8_0"


def _answer(path: Path, prompt: str, seed: int) -> str:
    with Model(path, context=1024) as model:
        tokens = model.chat(prompt)[:800]
        return "".join(model.generate(tokens, max_tokens=96, temperature=0.7, repeat=1.1, seed=seed)).strip()


def _notes(trained: trainer.Trained) -> tuple[str, ...]:
    notes = []
    if trained.interrupted:
        notes.append(f"stopped at step {trained.steps}; the best adapter so far (step {trained.best_step}) was kept")
    if trained.best_step == 0:
        notes.append("no step was better on the held-out messages than the start, which was kept as it is")
    return tuple(notes)
