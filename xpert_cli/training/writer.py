"""One writer of many: read, split, fine-tune, explain; done when the writer's record is whole.

    with Trainer(how, folder) as trainer:         # keeps the base open from writer to writer
        outcome = trainer.run(Task("anna", "writers/anna"))

A writer's folder gets place.npz (where the text lies on the measured axes: numbers, no text), adapter.gguf and, last,
run.json. The same task again changes nothing; a stopped one goes on from its checkpoints. Everything follows from the
text, the writer's name and `How`, so any number of processes makes the same bytes. Not here: many writers
(training/many.py), the processes (training/workers.py), the cache that is made of them (cache/writers.py).
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from xpert_cli import __version__, corpus, gguf, paths, platform, runs
from xpert_cli.cache.writers import PLACE, read_place, weights_told, write_place
from xpert_cli.corpus import Corpus
from xpert_cli.corpus.persons import keys
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, XpertError
from xpert_cli.gguf import BaseModel
from xpert_cli.gguf.adapter import BASE_NAME, FINGERPRINT
from xpert_cli.llama.samples import tokenized
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.style import described
from xpert_cli.style.space import Readings
from xpert_cli.training import loop
from xpert_cli.training.checkpoints import Checkpoints
from xpert_cli.training.plan import Plan, Work, layouts, within
from xpert_cli.training.stopping import cuttable

if TYPE_CHECKING:
    from xpert_cli.training.decoder import Decoder

LEAST = 4  # messages
LOCK = ".lock"  # in the folder of a writer at work
LOADED = 250 << 20  # bytes of a worker before it opens the base
MOST_HELD_OUT = 40
_NOTHING: described.Basis = np.empty((0, 0), np.float32)  # no model is asked about a writer's text

Tick = Callable[[], None]


@dataclass(frozen=True)
class How:
    """How every writer is trained; what a writer's bytes follow from beside the text and the name.

    Attributes:
        base: the base's file, on a disk that every worker sees.
        steps: None for two passes over the messages, at least 16 steps and at most 1,000; `community_steps` are
            those of an adapter that is trained on a community's text: about one pass.
        most: messages of a writer that are used, drawn by their hashes.
        dtype, threads: of the computation; other values sum in another order.
        memory: bytes that a worker may take; None lays it out for the most speed.
        type_name: of the adapter's file.
        adapters: False explains the writers and trains none of them.
    """

    base: str
    rank: int = 8
    steps: int | None = None
    community_steps: int = 128
    learning_rate: float = 1e-3
    max_tokens: int = 256
    held_out: float = 0.2
    most: int | None = None
    seed: int = 0
    dtype: str = "float32"
    threads: int = 1
    memory: int | None = None
    type_name: str = "F16"
    adapters: bool = True

    def seed_of(self, name: str) -> int:
        """A writer's own seed, the same wherever the writer is trained."""
        return int(hashlib.sha256(f"{self.seed} {name}".encode()).hexdigest()[:8], 16)


@dataclass(frozen=True)
class Task:
    """A writer: a name that can be a folder's, and where the text is.

    Attributes:
        trained: False: only explained.
        author: the writer's name in chats whose owner is not known; `name` where it is "".
    """

    name: str
    source: str
    trained: bool = True
    author: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a writer. `error` says why there is nothing; `tokens` and `seconds` are this call's.

    Attributes:
        keys: of all that the writer wrote, by which the same person is known under another name (corpus/persons.py).
    """

    name: str
    error: str = ""
    fresh: bool = False
    messages: int = 0
    tokens: int = 0
    seconds: float = 0.0
    keys: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Work:
    """What is to do for a writer: the two sides of the messages, the recipe, and where the state of it is kept.

    `record` is of an earlier call; `same`: that call did the same, and its adapter is there.
    """

    training: Corpus
    held: Corpus
    recipe: loop.Recipe
    keep: Checkpoints
    record: dict[str, Any]
    same: bool


class Trainer:
    """Trains one writer after the other, with the base open. Used as a context, for the vocabulary that it holds."""

    def __init__(self, how: How, folder: Path) -> None:
        self.how, self.folder = how, folder
        self._base = BaseModel.open(Path(how.base))
        self._vocabulary: Vocabulary | None = None

    def __enter__(self) -> Trainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._vocabulary is not None:
            self._vocabulary.__exit__(kind, error, trace)
            self._vocabulary = None
        self.__dict__.pop("_decoder", None)  # what comes next in this process may need its memory
        gc.collect()
        platform.release_memory()

    @cached_property
    def _decoder(self) -> Decoder:
        platform.prepare_libraries()
        return cuttable(self._plan.open(self._base))

    @cached_property
    def _plan(self) -> Plan:
        return plan_of(self.how, self._base.header)

    def run(self, task: Task, tick: Tick = lambda: None) -> Outcome:
        """Do what is missing of a writer; what is wrong with the writer's text is a result, and no error.

        Args:
            tick: called between steps; what it raises stops the run, whose state is then kept.

        Raises:
            CannotWrite: the folder cannot be written.
        """
        from filelock import FileLock

        began = time.monotonic()
        folder = paths.writable(self.folder / task.name, "--work")
        with FileLock(folder / LOCK):  # a process that a kill of its parent left may be at work here
            try:
                written = read_writer(task)
                messages = self._drawn(written, task)
            except XpertError as error:
                for name in (runs.RECORD, runs.ADAPTER, PLACE):  # of a text that was usable before
                    (folder / name).unlink(missing_ok=True)
                return Outcome(task.name, error=str(error), seconds=time.monotonic() - began)
            tokens = self._do(task, messages, tick)
        return Outcome(
            name=task.name,
            fresh=tokens is not None,
            messages=len(messages),
            tokens=tokens or 0,
            seconds=time.monotonic() - began,
            keys=keys(written.texts),
        )

    def would_train(self, task: Task) -> bool:
        """Whether `run` would train a writer. The text is read to tell, and nothing is written."""
        if not self._trains(task):
            return False
        try:
            return not self._work(task, self._drawn(read_writer(task), task)).same
        except XpertError:  # of the text: `run` leaves the writer out
            return False

    def _trains(self, task: Task) -> bool:
        return self.how.adapters and task.trained

    def _drawn(self, written: Corpus, task: Task) -> Corpus:
        """The messages that are used, in an order that does not depend on the files'.

        Raises:
            BadInput: too few.
        """
        seed = self.how.seed_of(task.name)
        ordered = sorted({one.key(): one for one in written.messages}.values(), key=lambda one: one.key(seed))
        if len(ordered) < LEAST:
            raise BadInput(
                f"{counted(len(ordered), 'different messages are')} too few to learn from and to check against."
            )
        if self.how.most is None:
            return Corpus(tuple(sorted(written.messages, key=lambda one: one.key(seed))))
        return Corpus(tuple(ordered[: max(LEAST, self.how.most)]))

    def _work(self, task: Task, messages: Corpus) -> _Work:
        folder, trained = self.folder / task.name, self._trains(task)
        training, held = messages.split(min(self.how.held_out, MOST_HELD_OUT / len(messages)), self.how.seed)
        recipe = self._recipe(task.name, len(training))
        identity = {
            "base": self._base.digest,
            "data": messages.digest,
            "recipe": recipe.to_json() if trained else None,
            "max_tokens": self.how.max_tokens,
            "held_out": self.how.held_out,
            "layout": self._plan.identity,
            "type": self.how.type_name if trained else None,
        }
        keep, record = Checkpoints(folder / runs.CHECKPOINTS, identity), _record(folder)
        same = record.get("identity") == keep.digest and (not trained or (folder / runs.ADAPTER).is_file())
        return _Work(training, held, recipe, keep, record, same)

    def _do(self, task: Task, messages: Corpus, tick: Tick) -> int | None:
        """Train and explain what is not there; the number of tokens trained on, None where all was there."""
        folder, trained, work = self.folder / task.name, self._trains(task), self._work(task, messages)
        training, held, recipe, keep = work.training, work.held, work.recipe, work.keep
        axes = described.measured_axes()
        if work.same and read_place(folder / PLACE, axes) is not None:
            return None
        (folder / runs.RECORD).unlink(missing_ok=True)
        values = described.read(training.passages, axes, _NOTHING, None).values
        if not training.shows_length:
            values[:, [axis.length for axis in axes]] = math.nan
        place = Readings(values)
        write_place(folder / PLACE, place.scatter, axes)
        result: dict[str, Any] = {"messages": len(training), "held_out": len(held)}
        tokens = 0
        if trained:
            metadata = described.source_metadata(place, axes, _NOTHING) | self._names
            if work.same:  # this version counts otherwise: the adapter stays
                adapter, result = gguf.read_adapter(folder / runs.ADAPTER), work.record["result"]
            else:
                learnt = self._train(training, held, recipe, keep, tick)
                adapter, tokens = learnt.adapter, learnt.tokens
                result |= {name: getattr(learnt, name) for name in ("steps", "best_step", "tokens")}
                result |= {"loss_before": learnt.loss_before, "loss_after": learnt.loss_after}
            path = folder / runs.ADAPTER
            gguf.write_adapter(dataclasses.replace(adapter, metadata=metadata), path, self.how.type_name)
        record = {
            "xpert": __version__,
            "identity": keep.digest,
            "data": {"digest": messages.digest, "messages": len(messages)},
            "recipe": {**recipe.to_json(), "max_tokens": self.how.max_tokens} if trained else {},
            "result": result,
            **(weights_told(folder / runs.ADAPTER) if trained else {}),
        }
        with paths.whole(folder / runs.RECORD) as part:
            part.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        keep.clear()
        return tokens

    @property
    def _names(self) -> dict[str, str]:
        return {FINGERPRINT: self._base.fingerprint, BASE_NAME: self._base.info.name}

    def _recipe(self, name: str, messages: int) -> loop.Recipe:
        steps = self.how.steps or min(1000, max(16, math.ceil(2 * messages / loop.BATCH)))
        return loop.Recipe(
            steps=steps,
            rank=self.how.rank,
            learning_rate=self.how.learning_rate,
            evaluate_every=max(5, math.ceil(steps / 4)),
            seed=self.how.seed_of(name),
        )

    def _train(
        self, training: Corpus, held: Corpus, recipe: loop.Recipe, keep: Checkpoints, tick: Tick
    ) -> loop.Trained:
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self._base).__enter__()
        samples, checks = (tokenized(self._vocabulary, part, self.how.max_tokens) for part in (training, held))
        return loop.train(
            self._decoder, samples, checks, recipe, pack=self._plan.pack, keep=keep, progress=lambda _: tick()
        )


def plan_of(how: How, header: gguf.Header) -> Plan:
    """How a worker lays a writer's training out: the same in every process, whatever else the machine is doing.

    Raises:
        BadInput: the leanest layout takes more than `how.memory`.
    """
    work = Work(how.max_tokens, loop.BATCH, how.rank)
    plans = layouts(header, how.dtype, work, resident=LOADED)
    return replace(within(plans, how.memory, work, "--memory allows"), threads=how.threads)


def number_type() -> str:
    """The number type that writers are trained in here: bfloat16 where the processor multiplies it, else float32.

    Read from the processor's features, not from a clock, so that every call on a machine says the same.
    """
    import torch

    features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bfloat16" if any(getattr(torch.cpu, name, bool)() for name in features) else "float32"


def read_writer(task: Task) -> Corpus:
    """What a writer wrote: a chat whose owner is not known is read as the writer's of the file's name.

    Raises:
        XpertError: there is nothing usable.
    """
    try:
        return corpus.read([task.source])
    except BadInput as error:
        with suppress(XpertError):
            return corpus.read([task.source], author=task.author or task.name)
        raise error


def _record(folder: Path) -> dict[str, Any]:
    """A writer's record; empty where there is none that is sound."""
    try:
        earlier = json.loads((folder / runs.RECORD).read_text("utf-8"))
        return earlier if isinstance(earlier, dict) and isinstance(earlier.get("result"), dict) else {}
    except (OSError, ValueError):
        return {}
