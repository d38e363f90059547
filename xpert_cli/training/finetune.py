"""`xpert finetune`: a LoRA adapter for one person's writing, started from where it is predicted best.

    result = finetune(corpus, base, cache, Start(selection.files), Settings(out=folder))

A run is prepared (training/prepare.py), trained (training/loop.py), packaged (training/package.py) and reported. Its
folder gets messages.jsonl (what later runs replay; it stays on this machine), checkpoints/ while training, adapter.gguf
(with where the writing lies in the style space), merged.gguf, and run.json last, so a folder without it is an
unfinished run, which the same call carries on.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from xpert_cli import __version__, paths, platform, runs
from xpert_cli.cache.catalogue import Chosen, OpenCache
from xpert_cli.corpus import Corpus
from xpert_cli.gguf import BaseModel
from xpert_cli.models.merging import merging_seconds
from xpert_cli.selection import style_shift
from xpert_cli.selection.start_check import StartCheck
from xpert_cli.training import loop
from xpert_cli.training.package import Files, package
from xpert_cli.training.places import Finished, alone
from xpert_cli.training.plan import Plan
from xpert_cli.training.prepare import Budget, Note, Prepared, Progress, Settings, prepare
from xpert_cli.training.starts import Start
from xpert_cli.training.stopping import cuttable

__all__ = ["Budget", "Finetuned", "Settings", "Start", "finetune"]

NOT_RECORDED = ("prompt", "before", "after")  # words of a held-out message, which may be another person's
FILES = ("adapter", "merged", "modelfile")  # what of the record names a file in the run's folder
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Losses:
    """How training went. Losses are nats a response token on the held-out messages, `curve` is (step, loss).

    `layers` were trained, counted from the last; None where a run of an earlier version does not say.
    """

    steps: int
    best_step: int
    ended: str
    resumed: int | None
    tokens: int
    tokens_per_second: float
    loss_base: float
    loss_before: float
    loss_after: float
    curve: tuple[tuple[int, float], ...]
    rank: int
    recompression_error: float | None
    layers: int | None = None


@dataclass(frozen=True)
class Data:
    """Messages: trained on, of these replayed from the run before, and held out."""

    messages: int
    replayed: int
    held_out: int


@dataclass(frozen=True)
class Memory:
    """Bytes: what was estimated before training, and the process's largest resident set."""

    memory_estimate_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True)
class Answers:
    """What changed: the style of the answers to held-out prompts, axis by axis, and one prompt with its two answers."""

    axes: tuple[style_shift.StyleShift, ...]
    prompt: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Finetuned:
    """What a run made. `start_check` is None where there was nothing to compare; `layout` repeats the run's sums."""

    started_from: tuple[Chosen, ...]
    start_check: StartCheck | None
    losses: Losses
    data: Data
    memory: Memory
    files: Files
    answers: Answers
    layout: Plan
    seconds: float
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """All fields on one level, as commands print them and run.json has them."""
        check = self.start_check and dataclasses.replace(self.start_check, parts=())
        fields = dataclasses.asdict(dataclasses.replace(self, start_check=check))
        if fields["start_check"]:
            fields["start_check"].pop("parts")
        parts = {name: value for part in _PARTS for name, value in fields.pop(part).items()}
        return {**fields, **parts}

    @classmethod
    def of_record(cls, folder: Path) -> Finetuned:
        """The result that a finished run's record tells; its words are not in it.

        Its files are named where they are now: the folder may have been moved, or named from elsewhere.
        """
        record: dict[str, Any] = {**dict.fromkeys(NOT_RECORDED, ""), **runs.record(folder)["result"]}
        record["curve"] = tuple((step, loss) for step, loss in record["curve"])
        here = {name: str(folder / Path(path).name) for name in FILES if (path := record.get(name))}
        record |= {"folder": str(folder), **here}
        record["axes"] = tuple(style_shift.StyleShift(**axis) for axis in record["axes"])
        return cls(
            started_from=tuple(Chosen(**part) for part in record["started_from"]),
            start_check=None,
            **{name: _part(kind, record) for name, kind in _PARTS.items()},
            layout=Plan(**record["layout"]),
            seconds=record["seconds"],
            notes=("this run was finished before and is kept as it is; --overwrite trains it anew",),
        )


_PARTS: dict[str, Any] = {"losses": Losses, "data": Data, "memory": Memory, "files": Files, "answers": Answers}


def _part(kind: Callable[..., _Part], record: Mapping[str, Any]) -> _Part:
    names = [one.name for one in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: record[name] for name in names if name in record})


def finetune(
    corpus: Corpus,
    base: BaseModel | Path,
    cache: OpenCache | None,
    start: Start | None = None,
    settings: Settings | None = None,
    budget: Budget | None = None,
    *,
    progress: Progress = lambda message, fraction: None,
    note: Note = lambda text: None,
) -> Finetuned:
    """Train on a person's messages, keeping the step with the lowest loss on the held-out ones.

    Args:
        cache: places the writing in its space, so that others can be compared with the new adapter; may be None.
        start: the base unless given; one that nobody named is measured, and given up where the base is better.
        note: told what a person should know before training begins.

    Raises:
        BadInput: too few messages to hold some out, a budget that the run does not fit into, or a folder that holds
            another finished run.
        MissingExtra: torch is not installed.
        CannotWrite: the run folder cannot be written, has too little room, or another process trains there; said
            before training.
        Stopped: the user stopped the run; the same call carries on.
    """
    base = BaseModel.open(base)
    try:
        run = prepare(corpus, base, cache, start or Start(), settings or Settings(), budget or Budget(), progress, note)
    except Finished as finished:
        return Finetuned.of_record(finished.folder)
    with alone(run.folder):
        trained = _train(run)
        files = package(run, trained.adapter)
        result = _report(run, trained, files)
        _write_record(run, result)
        run.keep.clear()
    return result


def _train(run: Prepared) -> loop.Trained:
    """Train, and leave no memory behind for what comes after."""
    afterwards = 0.0
    if run.budget.seconds:  # what is asked before is asked again after, and takes about as long
        began = time.monotonic()
        afterwards = len(run.before) and time.monotonic() - began
        afterwards += merging_seconds(run.base.header, run.settings.type_name)
        platform.release_memory()
    run.progress("loading the base model", 0.0)
    plan = run.plan
    try:
        decoder = cuttable(plan.open(run.base))
        return loop.train(
            decoder,
            run.samples,
            run.checks,
            run.recipe,
            start=run.start,
            pack=plan.pack,
            layout=dataclasses.asdict(plan),
            keep=run.keep,
            seconds=None if run.budget.seconds is None else max(0.001, run.budget.seconds - run.seconds - afterwards),
            may_run=run.budget.may_run,
            progress=_step_reporter(run.progress),
        )
    finally:
        decoder = None  # type: ignore[assignment]
        gc.collect()
        platform.release_memory()


def _step_reporter(progress: Progress) -> Callable[[loop.Progress], None]:
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


def _report(run: Prepared, trained: loop.Trained, files: Files) -> Finetuned:
    """Ask the model before and after, and tell what came of the run."""
    same = not trained.best_step and not run.parts  # the base as it was: what its answers differ in is chance
    changed = Answers(axes=()) if same else _changed(run, files)
    return Finetuned(
        started_from=tuple(Chosen(part.file.name, part.weight) for part in run.parts),
        start_check=run.check,
        losses=Losses(
            steps=trained.steps,
            best_step=trained.best_step,
            ended=trained.ended,
            resumed=trained.resumed,
            tokens=trained.tokens,
            tokens_per_second=trained.tokens / max(trained.train_seconds, 1e-9),
            loss_base=trained.loss_base,
            loss_before=trained.loss_before,
            loss_after=trained.loss_after,
            curve=trained.curve,
            rank=trained.adapter.rank,
            recompression_error=run.recompression_error,
            layers=run.recipe.layers or run.base.info.layers,
        ),
        data=Data(messages=len(run.training), replayed=run.replayed, held_out=len(run.held)),
        memory=Memory(memory_estimate_bytes=run.plan.memory, peak_rss_bytes=platform.peak_memory()),
        files=files,
        answers=changed,
        layout=run.plan,
        seconds=run.seconds,
        notes=_notes(trained),
    )


def _changed(run: Prepared, files: Files) -> Answers:
    """Ask the model after training what the base was asked before."""
    merged = BaseModel.open(Path(files.merged))
    after = style_shift.answers(
        merged, run.prompts, seed=run.settings.seed, progress=lambda done: run.progress("asking the model", done)
    )
    space = run.cache.space if run.cache else style_shift.own_space(run.before, run.messages.texts)
    return Answers(
        axes=style_shift.style_shifts(run.before, after, run.messages.texts, space),
        prompt=run.prompts[0],
        before=run.before[0].strip(),
        after=after[0].strip(),
    )


def _write_record(run: Prepared, result: Finetuned) -> None:
    """What was trained on what, how, and what came of it; none of the words."""
    held_keys = {message.key() for message in run.held.messages}
    record = {
        "xpert": __version__,
        "identity": run.keep.digest,
        "base": dataclasses.asdict(run.base.info),
        "data": {
            "digest": run.messages.digest,
            "messages": len(run.messages),
            "held_out_lines": [line for line, message in enumerate(run.all_messages, 1) if message.key() in held_keys],
        },
        "recipe": {**run.recipe.to_json(), "max_tokens": run.settings.max_tokens},
        "result": {name: value for name, value in result.to_json().items() if name not in NOT_RECORDED},
    }
    with paths.whole(run.folder / runs.RECORD) as part:
        part.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _notes(trained: loop.Trained) -> tuple[str, ...]:
    notes = []
    if trained.resumed:
        notes.append(f"carried on from step {trained.resumed} of a run that was stopped")
    if trained.ended == "patience":
        notes.append(f"ended at step {trained.steps}: the held-out messages were predicted best at {trained.best_step}")
    if trained.ended == "time" and trained.steps:
        notes.append(
            f"the time was up at step {trained.steps}; the best adapter so far (step {trained.best_step}) was kept"
        )
    if trained.steps == 0:
        notes.append("no step was trained: the model is what it was started from")
    elif trained.best_step == 0:
        notes.append("no step was better on the held-out messages than the start, which was kept as it is")
    return tuple(notes)
