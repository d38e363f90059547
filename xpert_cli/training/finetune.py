"""`xpert finetune`: a LoRA adapter for one person's writing, started from the nearest cached one.

    result = finetune(corpus, base, catalogue, start=[WeightedAdapter.open(path)], out=folder)

Writes a run folder: messages.jsonl (what later runs replay; it stays on this machine), checkpoints/ while training,
adapter.gguf (with where the writing lies in the style space), merged.gguf, and run.json last, so a folder without it is
an unfinished run, which the same call carries on. Not here: the training loop (training/loop.py), choosing the start
(selection/select.py).
"""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpert_cli import __version__, gguf, paths, platform
from xpert_cli.cache.catalogue import Catalogue, Chosen
from xpert_cli.corpus import Corpus, Message, record
from xpert_cli.errors import BadInput
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.gguf.adapter import BASE_NAME, FINGERPRINT, Adapter, merge, recompress
from xpert_cli.llama.model import Sample, Vocabulary
from xpert_cli.llama.samples import tokenized
from xpert_cli.models import ollama
from xpert_cli.models.merging import merge_into_base
from xpert_cli.selection import style_shift
from xpert_cli.style import described
from xpert_cli.style.space import Readings
from xpert_cli.training import loop
from xpert_cli.training.checkpoints import Checkpoints
from xpert_cli.training.plan import Plan, plan_for

Progress = Callable[[str, float], None]
TOLD = ("steps", "best_step", "ended", "resumed", "tokens", "loss_base", "loss_before", "loss_after", "curve")
MOST_HELD_OUT = 40  # messages; more would cost more time than they add certainty
BATCH = 4
ASKED = 120  # texts that the described axes are read from: this is done once, and others rely on it
PATIENCE = 4  # evaluations without a new best after which training ends
NOT_RECORDED = ("prompt", "before", "after")  # words of a held-out message, which may be another person's
AFTERWARDS = 15.0  # seconds of a time budget that merging and the first answers take


@dataclass(frozen=True)
class Budget:
    """What a run may use: seconds, bytes of memory, and whether it may run at this moment."""

    seconds: float | None = None
    memory: int | None = None
    may_run: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Finetuned:
    """What a run made. Losses are nats a response token on the held-out messages."""

    started_from: tuple[Chosen, ...]
    steps: int
    best_step: int
    ended: str
    resumed: int | None
    messages: int
    replayed: int
    held_out: int
    seconds: float
    tokens: int
    tokens_per_second: float
    loss_base: float
    loss_before: float
    loss_after: float
    curve: tuple[tuple[int, float], ...]
    memory_estimate_bytes: int
    peak_rss_bytes: int
    folder: str
    adapter: str
    merged: str
    modelfile: str | None
    rank: int
    recompression_error: float | None
    axes: tuple[style_shift.StyleShift, ...]
    prompt: str
    before: str
    after: str
    notes: tuple[str, ...] = field(default=())


def finetune(
    corpus: Corpus,
    base: BaseModel | Path,
    cache: Catalogue | None,
    *,
    start: Sequence[WeightedAdapter] = (),
    earlier: Corpus | None = None,
    out: Path | None = None,
    steps: int | None = None,
    rank: int | None = None,
    learning_rate: float | None = None,
    max_tokens: int = 512,
    held_out: float = 0.2,
    seed: int = 0,
    type_name: str | None = None,
    budget: Budget | None = None,
    for_ollama: bool = False,
    progress: Progress = lambda message, fraction: None,
    note: Callable[[str], None] = lambda text: None,
) -> Finetuned:
    """Train on a person's messages, keeping the step with the lowest loss on the held-out ones.

    Args:
        cache: places the writing in its space, so that others can be compared with the new adapter; may be None.
        start: the adapters to begin with; none for the base.
        earlier: messages of the run that `start` comes from; as many of them as there are new ones are learnt again.
        out: the run folder; by default one under the user's data, the same for the same call until it is finished.
        steps, rank, learning_rate: derived from the number of messages and the start unless given.
        type_name: of the merged model; as `merge_into_base` has it by default.
        for_ollama: write a Modelfile beside the merged model.
        note: told what a person should know before training begins.

    Raises:
        BadInput: too few messages to hold some out, or a budget that the run does not fit into.
        MissingExtra: torch is not installed.
        CannotWrite: the run folder cannot be written, or has too little room; said before training.
        Stopped: the user stopped the run; the same call carries on.
    """
    began = time.monotonic()
    budget = budget or Budget()
    messages, replayed = _with_earlier(corpus, earlier, seed)
    training, held = _split(messages, held_out, seed)
    base = BaseModel.open(base)
    header = base.header
    first, error = _start(start, base, rank)
    recipe = _recipe(len(training), first, steps, rank, learning_rate, seed)
    identity = _identity(base, messages, start, recipe, max_tokens, held_out)
    folder = paths.writable(out or _run_folder(identity))
    paths.require_room(folder, _room(header, recipe.rank))
    with Vocabulary(base) as model:
        samples, checks = tokenized(model, training, max_tokens, note), tokenized(model, held, max_tokens)
    keep = Checkpoints(folder / "checkpoints", identity)
    plan = _plan(keep, header, max(len(tokens) for tokens, _ in (*samples, *checks)), recipe.rank, budget.memory)
    note(f"about {plan.memory >> 20} MB of memory, {plan.threads} threads, {plan.dtype}")
    progress("loading the base model", 0.0)
    left = None if budget.seconds is None else max(0.001, budget.seconds - AFTERWARDS - (time.monotonic() - began))
    settings = {"start": first, "keep": keep, "seconds": left, "may_run": budget.may_run, "progress": _told(progress)}
    trained = _train(base, plan, samples, checks, recipe, settings)
    (folder / "run.json").unlink(missing_ok=True)  # of an earlier run in this folder, which is none from here on
    _write_messages(folder / "messages.jsonl", (*messages.messages, *(earlier.messages if earlier else ())))
    progress("placing your writing among the styles", 1.0)
    gguf.write_adapter(_with_source(trained.adapter, training, base, cache), folder / "adapter.gguf", "F16")
    merged = folder / "merged.gguf"
    merge_into_base(base, trained.adapter, merged, type_name, progress)
    platform.release_memory()  # before two models are asked
    if for_ollama:
        with paths.whole(folder / "Modelfile") as part:
            part.write_text(ollama.modelfile(merged), "utf-8")
    asked = style_shift.prompts(held)
    before, after = (
        style_shift.answers(path, asked, seed=seed, progress=lambda done: progress("asking the model", done))
        for path in (base, merged)
    )
    space = cache.space if cache else style_shift.own_space(before, messages.texts)
    result = Finetuned(
        started_from=tuple(Chosen(one.file.name, one.weight) for one in start),
        **{name: getattr(trained, name) for name in TOLD},
        messages=len(training),
        replayed=replayed,
        held_out=len(held),
        seconds=time.monotonic() - began,
        tokens_per_second=trained.tokens / max(trained.train_seconds, 1e-9),
        memory_estimate_bytes=plan.memory,
        peak_rss_bytes=platform.peak_memory(),
        folder=str(folder),
        adapter=str(folder / "adapter.gguf"),
        merged=str(merged),
        modelfile=str(folder / "Modelfile") if for_ollama else None,
        rank=trained.adapter.rank,
        recompression_error=error,
        axes=style_shift.style_shifts(before, after, messages.texts, space),
        prompt=asked[0],
        before=before[0].strip(),
        after=after[0].strip(),
        notes=_notes(trained),
    )
    _write_record(folder / "run.json", base, messages, {**dataclasses.asdict(recipe), "max_tokens": max_tokens}, result)
    keep.clear()
    return result


def _write_record(path: Path, base: BaseModel, messages: Corpus, recipe: dict[str, Any], result: Finetuned) -> None:
    """What was trained on what, how, and what came of it; none of the words."""
    told = {key: value for key, value in dataclasses.asdict(result).items() if key not in NOT_RECORDED}
    record = {
        "xpert": __version__,
        "base": dataclasses.asdict(base.info),
        "data": {"digest": messages.digest, "messages": len(messages)},
        "recipe": recipe,
        "result": told,
    }
    with paths.whole(path) as part:
        part.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _split(messages: Corpus, held_out: float, seed: int) -> tuple[Corpus, Corpus]:
    """Messages to learn from, and messages to check against."""
    if len(messages) < 4:
        raise BadInput(f"{len(messages)} messages are too few to learn from and to check against. Give at least 4.")
    training, held = messages.split(min(held_out, MOST_HELD_OUT / len(messages)), seed)
    if not len(held):
        raise BadInput("all messages are the same, so none can be held out. Give at least 2 different ones.")
    return training, held


def _with_earlier(corpus: Corpus, earlier: Corpus | None, seed: int) -> tuple[Corpus, int]:
    """The messages with as many of the earlier ones, drawn by their hashes, and how many these are."""
    given = {message.key() for message in corpus.messages}
    old = sorted((m for m in (earlier.messages if earlier else ()) if m.key() not in given), key=lambda m: m.key(seed))
    replayed = old[: len(corpus)]
    return Corpus((*corpus.messages, *replayed)), len(replayed)


def _identity(
    base: BaseModel,
    messages: Corpus,
    start: Sequence[WeightedAdapter],
    recipe: loop.Recipe,
    max_tokens: int,
    held_out: float,
) -> dict[str, Any]:
    """What makes a run the same run, so that its checkpoints are carried on from."""
    return {
        "base": base.digest,
        "data": messages.digest,
        "start": [[one.file.digest, one.weight] for one in start],
        "recipe": dataclasses.asdict(recipe),
        "max_tokens": max_tokens,
        "held_out": held_out,
    }


def _run_folder(identity: dict[str, Any]) -> Path:
    """The folder of this run where it was begun and not finished, else a new one."""
    name = Checkpoints(Path(), identity).digest[:8]
    runs = paths.data_dir() / "runs"
    begun = [path for path in sorted(runs.glob(f"*-{name}")) if not (path / "run.json").exists()]
    return begun[-1] if begun else runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"


def _room(header: gguf.Header, rank: int) -> int:
    """Bytes of disk that a run takes at most: a merged model on its way to its type, checkpoints, the adapter."""
    sizes = [info.shape for info in header.tensors.values()]
    return 3 * sum(math.prod(shape) for shape in sizes) + 60 * rank * sum(sum(s) for s in sizes if len(s) == 2)


def _plan(keep: Checkpoints, header: gguf.Header, longest: int, rank: int, limit: int | None) -> Plan:
    """The layout that a stopped run had, or a new one."""
    found = keep.newest()
    if found is not None and found.layout and (limit is None or found.layout["memory"] <= limit):
        return Plan(**found.layout)
    return plan_for(header, longest=longest, batch=BATCH, rank=rank, limit=limit)


def _train(
    base: BaseModel,
    plan: Plan,
    samples: Sequence[Sample],
    checks: Sequence[Sample],
    recipe: loop.Recipe,
    settings: dict[str, Any],
) -> loop.Trained:
    """Train, and leave no memory behind for what comes after."""
    from xpert_cli.training.decoder import open_decoder

    layout = dataclasses.asdict(plan)
    try:
        decoder = open_decoder(
            base,
            plan.dtype,
            recompute=plan.recompute,
            packed=plan.packed,
            packed_head=plan.packed_head,
            threads=plan.threads,
        )
        return loop.train(decoder, samples, checks, recipe, pack=plan.pack, layout=layout, **settings)
    finally:
        decoder = None  # type: ignore[assignment]
        gc.collect()
        platform.release_memory()


def _start(start: Sequence[WeightedAdapter], base: BaseModel, rank: int | None) -> tuple[Adapter | None, float | None]:
    """The adapters merged into one, at the asked rank; with the error of a recompression."""
    if not start:
        return None, None
    for one in start:
        gguf.check_adapter(one.file, base)
    adapters = [(one.file.adapter, one.weight) for one in start]
    for one in start:
        one.file.release()
    merged = merge(adapters)
    wanted = rank or max(adapter.rank for adapter, _ in adapters)
    return (merged, None) if merged.rank == wanted else recompress(merged, wanted)


def _recipe(
    messages: int, start: Adapter | None, steps: int | None, rank: int | None, rate: float | None, seed: int
) -> loop.Recipe:
    """Two passes over the messages, at least 30 steps; a gentler rate where there is something to keep."""
    chosen = steps or min(1000, max(30, math.ceil(2 * messages / BATCH)))
    return loop.Recipe(
        steps=chosen,
        rank=start.rank if start else rank or 8,
        learning_rate=rate or (5e-4 if start else 1e-3),
        batch=BATCH,
        evaluate_every=max(5, chosen // 10),
        patience=PATIENCE,
        seed=seed,
    )


def _told(progress: Progress) -> Callable[[loop.Progress], None]:
    latest = [math.nan]

    def tell(step: loop.Progress) -> None:
        if step.held_out is not None:
            latest[0] = step.held_out
        loss = "" if math.isnan(step.loss) else f", loss {step.loss:.3f}"
        held = "" if math.isnan(latest[0]) else f", held-out {latest[0]:.3f}"
        paused = ", paused" if step.paused else ""
        left = "" if math.isnan(step.left) else f", {step.left / 60:.0f} min left" if step.left > 90 else ""
        progress(f"step {step.step}/{step.steps}{loss}{held}{left}{paused}", step.step / step.steps)

    return tell


def _with_source(adapter: Adapter, corpus: Corpus, base: BaseModel, cache: Catalogue | None) -> Adapter:
    """The adapter with its base's name and fingerprint, and where its training text lies on the style axes.

    Described axes are told only where the base is the model that the cache was explained with.
    """
    axes, basis = (cache.space.axes, cache.space.basis) if cache else described.axes_of(base)
    own = base.info
    able = cache is None or cache.summarizer["fingerprint"] == own.fingerprint
    axes = described.source_axes(axes)
    values = described.read(corpus.passages, axes, basis, base if able else None, asked=ASKED).values
    if not corpus.shows_length:
        values[:, [axis.length for axis in axes]] = math.nan
    metadata = described.source_metadata(Readings(values), axes, basis)
    metadata |= {FINGERPRINT: own.fingerprint, BASE_NAME: own.name}
    return dataclasses.replace(adapter, metadata=metadata)


def _write_messages(path: Path, messages: Sequence[Message]) -> None:
    """Each different message once, readable by its owner alone."""
    different = {message.key(): message for message in messages}.values()
    lines = [json.dumps(record(message), ensure_ascii=False) for message in different]
    with paths.whole(path) as part:
        part.write_text("\n".join(lines) + "\n", "utf-8")


def _notes(trained: loop.Trained) -> tuple[str, ...]:
    notes = []
    if trained.resumed:
        notes.append(f"carried on from step {trained.resumed} of a run that was stopped")
    if trained.ended == "patience":
        notes.append(f"ended at step {trained.steps}: the held-out messages were predicted best at {trained.best_step}")
    if trained.ended == "time":
        notes.append(
            f"the time was up at step {trained.steps}; the best adapter so far (step {trained.best_step}) was kept"
        )
    if trained.best_step == 0:
        notes.append("no step was better on the held-out messages than the start, which was kept as it is")
    return tuple(notes)
