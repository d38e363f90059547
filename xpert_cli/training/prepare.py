"""The first part of a fine-tuning run: everything that is settled before training begins.

    run = prepare(corpus, base, cache, Start(), Settings(steps=60), Budget())
    run.recipe, run.plan, run.start           # how it is trained, how it is laid out, what it begins with

Cheap refusals come first, then what takes seconds: measuring where to start, and laying the run out. Both are decided
once and repeated by the same call. Not here: training (training/loop.py), the run's folder (training/places.py), what
is written in the end (training/package.py), what --from means (training/starts.py).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xpert_cli import gguf, paths, platform, runs
from xpert_cli.cache.catalogue import Chosen, OpenCache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.corpus.messages import LEAST_MESSAGES
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.llama.model import Sample, Vocabulary
from xpert_cli.llama.samples import tokenized
from xpert_cli.models.quantize import quantization_type
from xpert_cli.selection import style_shift
from xpert_cli.selection.start_check import MESSAGES, MOST, SCORED, Arm, StartCheck, check_starts, common_rank
from xpert_cli.training import loop, places
from xpert_cli.training.checkpoints import Checkpoints
from xpert_cli.training.decisions import Json, decided
from xpert_cli.training.plan import Plan, Work, fitting, plan_for, require, require_limit
from xpert_cli.training.recipe import layers_for, recipe_for
from xpert_cli.training.starts import Start

Progress = Callable[[str, float], None]
Note = Callable[[str], None]
MOST_HELD_OUT = 40  # messages; more would cost more time than they add certainty


@dataclass(frozen=True)
class Settings:
    """What a person may decide of a run; None is derived from the messages and the start.

    Attributes:
        layers: trained, counted from the last.
        out: the run folder; by default one under the user's data, the same for the same call until it is finished.
        overwrite: train into a folder that holds a finished run.
        type_name: of the merged model; as `merge_into_base` has it by default.
        for_ollama: write a Modelfile beside the merged model.

    Raises:
        BadUsage: a number is out of its range.
    """

    steps: int | None = None
    rank: int | None = None
    layers: int | None = None
    learning_rate: float | None = None
    max_tokens: int = 512
    held_out: float = 0.2
    seed: int = 0
    type_name: str | None = None
    for_ollama: bool = False
    out: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "rank", "layers", "max_tokens"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise BadUsage(f"--{name.replace('_', '-')} must be at least 1, not {value}.")
        if self.rank is not None and self.rank > gguf.MAX_RANK:
            raise BadUsage(f"--rank must be at most {gguf.MAX_RANK}, not {self.rank}.")
        if self.learning_rate is not None:
            loop.require_rate(self.learning_rate)
        if not 0 < self.held_out < 1:
            raise BadUsage(f"--held-out is a share between 0 and 1, not {self.held_out:g}. Try 0.2.")


@dataclass(frozen=True)
class Budget:
    """What a run may use: seconds, bytes of memory, and whether it may run at this moment.

    Raises:
        BadUsage: a number is out of its range.
    """

    seconds: float | None = None
    memory: int | None = None
    may_run: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds >= 0:
            raise BadUsage("--minutes must not be negative.")
        require_limit(self.memory)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run before it trains.

    Attributes:
        messages: all that take part, replayed ones included; `training` and `held` are its two sides.
        earlier: messages of the run that this one goes on from, all of them; `replayed` of them are learnt again.
        samples, checks: the two sides in tokens.
        parts: the adapters that the run begins with; `start` is what they make together, None for the base.
        recompression_error: what bringing `start` to its rank lost, relative to its whole change; None for nothing.
        check: the starts that were measured; None where there was nothing to compare.
        began: `time.monotonic()` of the call.
    """

    base: BaseModel
    cache: OpenCache | None
    settings: Settings
    budget: Budget
    messages: Corpus
    earlier: Corpus | None
    replayed: int
    training: Corpus
    held: Corpus
    samples: Sequence[Sample]
    checks: Sequence[Sample]
    parts: Sequence[WeightedAdapter]
    start: Adapter | None
    recompression_error: float | None
    check: StartCheck | None
    recipe: loop.Recipe
    keep: Checkpoints
    folder: Path
    plan: Plan
    began: float
    progress: Progress = field(default=lambda message, fraction: None)

    @property
    def seconds(self) -> float:
        """Since the call began."""
        return time.monotonic() - self.began

    @property
    def all_messages(self) -> list[Message]:
        """Each different message once, with those of the earlier run: the lines of messages.jsonl."""
        messages = (*self.messages.messages, *(self.earlier.messages if self.earlier else ()))
        return list({message.key(): message for message in messages}.values())

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """Prompts of held-out messages, which are answered before and after."""
        return style_shift.prompts(self.held)

    @cached_property
    def before(self) -> list[str]:
        """What the base answers to them."""
        return style_shift.answers(
            self.base,
            self.prompts,
            seed=self.settings.seed,
            progress=lambda done: self.progress("asking the model", done),
        )


def check(settings: Settings) -> None:
    """Refuse what needs no text to be refused: a type that there is not, a folder that cannot be written.

    Raises:
        BadInput: there is no such type.
        CannotWrite: --out cannot be a folder.
    """
    if settings.type_name is not None:
        quantization_type(settings.type_name)
    if settings.out is not None:
        paths.require_folder(settings.out)


def prepare(
    corpus: Corpus,
    base: BaseModel,
    cache: OpenCache | None,
    start: Start,
    settings: Settings,
    budget: Budget,
    progress: Progress,
    note: Note,
) -> Prepared:
    """Settle what is trained, from where, how, and in which folder.

    Raises:
        BadInput, CacheMismatch, CannotWrite, MissingExtra: as `finetune`.
        Finished: there is nothing to do.
    """
    began = time.monotonic()
    check(settings)
    layers_for(base, settings, None)
    require()
    messages, replayed = _with_earlier(corpus, start.earlier, settings.seed)
    training, held = split(messages, settings.held_out, settings.seed)
    if len(held) > len(training):
        share = f"{len(held)} of the {counted(len(messages), 'messages')} are held out"
        note(f"{share}, and only {len(training)} trained on. Give a smaller --held-out, such as 0.2.")
    for part in start.files:
        gguf.check_adapter(part.file, base)
    places.require_unread(settings.out, [base.path, *(part.file.path for part in start.files)])
    places.require_free(messages.digest, settings.out, settings.overwrite)
    compared = bool(start.files) and start.check
    rank = common_rank(start.files if compared else start.parts, settings.rank)
    places.require_room(base.header, settings.out, rank, settings.type_name)
    with Vocabulary(base) as model:
        samples = tokenized(model, training, settings.max_tokens, note)
        checks = tokenized(model, held, settings.max_tokens)
    longest = max(len(tokens) for tokens, _ in (*samples, *checks))

    def require_memory() -> None:
        some = layers_for(base, settings, len(training) if start.named else None)  # else it may be the base
        fitting(base.header, Work(longest, loop.BATCH, rank, some), budget.memory)

    measured = _measured(training, base, start, settings, require_memory, progress) if compared else None
    if measured:
        for line in measured.lines:
            note(line)
    parts = measured.parts if measured else start.parts
    first, error = gguf.combined(parts, rank) if parts else (None, None)
    for part in start.files:
        part.file.release()
    layers = layers_for(base, settings, len(training) if first else None)
    recipe = recipe_for(len(training), rank, settings, layers)
    identity = _identity(base, messages, parts, recipe, settings)
    folder = places.folder_of(Checkpoints(Path(), identity).digest, settings.out, settings.overwrite)
    keep = Checkpoints(folder / runs.CHECKPOINTS, identity)
    plan = _plan(keep, base, Work(longest, recipe.batch, recipe.rank, recipe.layers), budget.memory)
    some = f", the last {recipe.layers} of {base.info.layers} layers" if recipe.layers else ""
    note(f"about {plan.memory >> 20} MB of memory, {counted(plan.threads, 'threads')}, {plan.dtype}{some}")
    return Prepared(
        base=base,
        cache=cache,
        settings=settings,
        budget=budget,
        messages=messages,
        earlier=start.earlier,
        replayed=replayed,
        training=training,
        held=held,
        samples=samples,
        checks=checks,
        parts=parts,
        start=first,
        recompression_error=error,
        check=measured,
        recipe=recipe,
        keep=keep,
        folder=folder,
        plan=plan,
        began=began,
        progress=progress,
    )


def _with_earlier(corpus: Corpus, earlier: Corpus | None, seed: int) -> tuple[Corpus, int]:
    """The messages with as many of the earlier ones, drawn by their hashes, and how many these are."""
    new_keys = {message.key() for message in corpus.messages}
    old = sorted(
        (m for m in (earlier.messages if earlier else ()) if m.key() not in new_keys), key=lambda m: m.key(seed)
    )
    replayed = old[: len(corpus)]
    return Corpus((*corpus.messages, *replayed)), len(replayed)


def split(messages: Corpus, held_out: float, seed: int) -> tuple[Corpus, Corpus]:
    """Messages to learn from, and messages to check against.

    Raises:
        BadInput: there are too few, or no different ones.
    """
    if len(messages) < LEAST_MESSAGES:
        few = counted(len(messages), "messages are")
        raise BadInput(f"{few} too few to learn from and to check against. Give at least {LEAST_MESSAGES}.")
    training, held = messages.split(min(held_out, MOST_HELD_OUT / len(messages)), seed)
    if not len(held):
        raise BadInput("all messages are the same, so none can be held out. Give at least 2 different ones.")
    return training, held


def _measured(
    training: Corpus,
    base: BaseModel,
    start: Start,
    settings: Settings,
    before: Callable[[], None],
    progress: Progress,
) -> StartCheck:
    """The starts measured on messages of the training side, which the report's losses are not of.

    Args:
        before: called where they are measured now, and not taken from a call that was stopped.
    """
    identity: Json = {
        "base": base.digest,
        "data": training.digest,
        "start": [[part.file.digest, part.weight] for part in start.parts],
        "others": [[[part.file.digest, part.weight] for part in one] for one in start.others],
        "how": [settings.rank, settings.seed, start.named, MESSAGES, MOST, SCORED],
    }
    fresh: list[StartCheck] = []

    def measure() -> Json:
        before()
        check = check_starts(
            training,
            base,
            start.parts,
            others=start.others,
            rank=settings.rank,
            named=start.named,
            seed=settings.seed,
            progress=progress,
        )
        fresh.append(check)
        record = dataclasses.asdict(dataclasses.replace(check, parts=()))
        return {name: value for name, value in record.items() if name != "parts"}

    record = dict(decided("start", identity, measure, lambda record: {"arms", "start"} <= record.keys()))
    if fresh:
        return fresh[0]
    arms = tuple(
        Arm(tuple(Chosen(**part) for part in arm["parts"]), arm["loss"])
        for arm in record.pop("arms")  # type: ignore[attr-defined]
    )
    check = StartCheck(arms=arms, **record)  # type: ignore[arg-type]
    files = {part.file.name: part.file for part in start.files}
    parts = tuple(WeightedAdapter(files[part.adapter], part.weight) for part in check.chosen.parts)
    return dataclasses.replace(check, parts=parts)


def _identity(
    base: BaseModel, messages: Corpus, parts: Sequence[WeightedAdapter], recipe: loop.Recipe, settings: Settings
) -> Json:
    """What makes a run the same run, so that its checkpoints are carried on from."""
    return {
        "base": base.digest,
        "data": messages.digest,
        "start": [[part.file.digest, part.weight] for part in parts],
        "recipe": recipe.to_json(),
        "max_tokens": settings.max_tokens,
        "held_out": settings.held_out,
    }


def _plan(keep: Checkpoints, base: BaseModel, work: Work, limit: int | None) -> Plan:
    """The layout that this run had before, here or in another folder, where it still fits; else a new one."""
    state = keep.newest()
    if state is not None and state.layout and (limit is None or state.layout["memory"] <= limit):
        return Plan(**state.layout)
    free = platform.available_memory()
    room = limit or (platform.resident_memory() + free if free else math.inf)
    layout = decided(
        "layout",
        {"run": keep.digest, "cores": platform.cores(), "limit": limit},
        lambda: dataclasses.asdict(plan_for(base.header, work, limit)),
        lambda record: record.keys() == {one.name for one in dataclasses.fields(Plan)} and _fits(record, room),
    )
    return Plan(**layout)  # type: ignore[arg-type]


def _fits(layout: Json, room: float) -> bool:
    memory = layout["memory"]
    return isinstance(memory, int) and memory <= room
