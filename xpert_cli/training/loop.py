"""The training loop: steps, evaluations, what is kept of them, and how a stopped run carries on.

    trained = train(decoder, samples, held_out, Recipe(rank=8, steps=60), keep=Checkpoints(folder, identity))

A run's state is its step, its factors, the optimizer's two moments and the best factors so far; the order of the
samples follows from seed and step. State is written every few steps and when the run is stopped, so the same call
carries on where it was, and ends with the same factors bit for bit on one machine. Not here: the network
(training/decoder.py), the files of a run (training/finetune.py). Importing this module does not import torch.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert_cli import paths, platform
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.llama.model import Sample
from xpert_cli.training.checkpoints import Checkpoints, State
from xpert_cli.training.packing import packs
from xpert_cli.training.stopping import Stopped, Stopping

if TYPE_CHECKING:
    from xpert_cli.training.decoder import Decoder

RATE = 1e-3  # the learning rate that is used unless another is given
BATCH = 4  # samples a step
PACK = 512  # tokens; 832 are 4 % faster and take 140 MB more
POLL = 5.0  # seconds between two looks at whether a paused run may go on


def require_rate(rate: float) -> None:
    """Refuse a learning rate that cannot be one.

    Raises:
        BadUsage: it does not lie between 0 and 1.
    """
    if not 0 < rate < 1:
        raise BadUsage(f"--learning-rate must lie between 0 and 1, not {rate:g}. Try {RATE:g}.")


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults suit 20 to 2,000 messages on a model of 0.1 to 2 billion parameters.

    `layers` is the number of layers that are trained, counted from the last; None for all. `patience` is the number of
    evaluations without a new best after which training ends; 0 for never.
    """

    steps: int = 30
    rank: int = 8
    scale: float = 2.0
    learning_rate: float = RATE
    warmup: float = 0.1
    decay: bool = True
    batch: int = BATCH
    evaluate_every: int = 10
    patience: int = 0
    seed: int = 0
    layers: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields, without what is None."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def __post_init__(self) -> None:
        wrong = [name for name in ("steps", "rank", "batch", "evaluate_every") if getattr(self, name) < 1]
        wrong += ["layers"] if self.layers is not None and self.layers < 1 else []
        if wrong or self.learning_rate <= 0:
            raise BadInput(f"{', '.join(wrong) or 'learning rate'} must be positive. Correct the option and run again.")

    def rate(self, step: int, spent: float = 0.0) -> float:
        """Learning rate at a step: linear warm-up, then linear decay to a tenth, or constant.

        Args:
            spent: the share of a time budget that is used up; decay follows it where it is ahead of the steps.
        """
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = max(1 - (self.steps - step) / max(1, self.steps - warm), min(spent, 1.0))
        return self.learning_rate * max(0.1, 1 - done) if self.decay else self.learning_rate


@dataclass(frozen=True)
class Progress:
    """What a step tells: `loss` in nats a scored token of its batch, `held_out` where it was just measured."""

    step: int
    steps: int
    loss: float
    held_out: float | None
    seconds: float
    left: float  # seconds, as far as can be told
    paused: bool = False


@dataclass(frozen=True)
class Trained:
    """The best adapter by held-out loss, and how it came about.

    Losses are nats a scored token; `seconds` include evaluation, `train_seconds` do not; both add up over resumptions.
    `ended` is "steps", "patience" or "time"; `resumed` the step that a stopped run carried on from.
    """

    adapter: Adapter
    steps: int
    best_step: int
    tokens: int
    seconds: float
    train_seconds: float
    loss_base: float
    loss_before: float
    loss_after: float
    ended: str
    resumed: int | None
    curve: tuple[tuple[int, float], ...] = field(default=())


def train(
    decoder: Decoder,
    samples: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    *,
    start: Adapter | None = None,
    pack: int = PACK,
    layout: Mapping[str, Any] | None = None,
    keep: Checkpoints | None = None,
    seconds: float | None = None,
    may_run: Callable[[], bool] = lambda: True,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train a LoRA adapter on `samples`, keeping the state with the lowest loss on `held_out`.

    Args:
        samples: at least one, cut to a length the model takes.
        held_out: measured before, during and after training; at least one.
        start: the adapter to begin with, of at most the recipe's rank; a larger one of its own replaces it.
        pack: tokens that run side by side.
        layout: written with the state: what the caller needs to lay the run out the same way again.
        keep: where the state is written, and found again.
        seconds: end after about this long, the last evaluation included and pauses not, whatever the number of steps.
        may_run: asked before every step; while it says no, the run waits.

    Raises:
        Stopped: SIGINT or SIGTERM came; the state was written, and the same call carries on.
    """
    run = _Run(decoder, samples, held_out, recipe, start, pack, paths.nearest(keep.folder.parent) if keep else None)
    state, resumed = keep.newest() if keep else None, None
    if state is not None:
        run.restore(state)
        resumed = state.step
    run.state.layout = layout or {}
    watch = _Watch(run.state.seconds)
    with Stopping() as stopping:
        try:
            ended = ""
            while not ended:
                measured = run.evaluate(stopping.check) if run.due() else None
                run.state.seconds = watch.seconds
                spent = (run.state.seconds + run.evaluating) / seconds if seconds else 0.0
                if spent >= 1:
                    measured = run.evaluate(stopping.check)
                ended = run.ended(spent)
                if keep and not ended and keep.due(run.state):
                    keep.write(run.state)
                progress(run.report(measured, watch.seconds))
                if not ended:
                    with watch.stopped():
                        _wait(run, keep, may_run, progress, stopping.check)
                    run.step(stopping.check, spent)
        except Stopped:
            run.state.seconds = watch.seconds
            if keep:
                keep.write(run.state)
            raise
    run.state.seconds = watch.seconds
    if keep:
        keep.write(run.state)
    return run.trained(ended, resumed)


class _Watch:
    """The seconds that a run has worked, earlier ones included."""

    def __init__(self, earlier: float) -> None:
        self._since = time.monotonic() - earlier

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Time that does not count."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._since += time.monotonic() - began


class _Run:
    """The parts of a run and its state. Anything may be cut short between two changes of `state`."""

    def __init__(
        self,
        decoder: Decoder,
        samples: Sequence[Sample],
        held_out: Sequence[Sample],
        recipe: Recipe,
        start: Adapter | None,
        pack: int,
        folder: Path | None,
    ) -> None:
        from xpert_cli.training.operations import Adam

        self.decoder, self.samples, self.held_out, self.recipe = decoder, samples, held_out, recipe
        self.start, self.pack, self.loss = start, pack, math.nan
        self.evaluating = 0.0  # seconds that measuring the held-out samples took the last time
        decoder.begin(start, recipe.rank, recipe.scale, recipe.seed, layers=recipe.layers, folder=folder)
        self.optimizer = Adam(decoder.parameters, decoder.gradient)
        first, second = self.optimizer.first.numpy(), self.optimizer.second.numpy()
        self.state = State(decoder.parameters.numpy(), first, second, decoder.parameters.numpy().copy())

    def restore(self, state: State) -> None:
        """Carry on from a written state."""
        self.state.update(state)
        self.decoder.refresh()

    def due(self) -> bool:
        """Whether this step's evaluation is still to be made."""
        state = self.state
        at = state.step % self.recipe.evaluate_every == 0 or state.step == self.recipe.steps
        return at and (not state.curve or state.curve[-1][0] != state.step)

    def evaluate(self, check: Callable[[], None]) -> float:
        """Held-out loss now; remembers the best factors."""
        state = self.state
        if state.curve and state.curve[-1][0] == state.step:
            return state.curve[-1][1]
        if math.isnan(state.loss_base) and self.start is not None:
            with self.decoder.disabled():
                state.loss_base = evaluate(self.decoder, self.held_out, self.pack, check)
        began = time.monotonic()
        measured = evaluate(self.decoder, self.held_out, self.pack, check)
        self.evaluating = time.monotonic() - began
        if self.start is None and not state.curve:
            state.loss_base = measured
        state.curve.append((state.step, measured))
        if measured < state.best_loss:
            state.best_loss, state.best_step = measured, state.step
            state.best[:] = state.parameters
        return measured

    def step(self, check: Callable[[], None], spent: float) -> None:
        """One step of Adam on the batch's mean loss a scored token, gradients clipped to norm 1."""
        began = time.monotonic()
        state, decoder = self.state, self.decoder
        batch = [self.samples[i] for i in batch_at(state.step, len(self.samples), self.recipe.batch, self.recipe.seed)]
        scored, total = scored_tokens(batch), 0.0
        decoder.gradient.zero_()
        for parts in decoder.groups(packs(batch, self.pack), learning=True):
            total += decoder.learn(parts, scored)
            check()
        self.optimizer.step(state.step + 1, self.recipe.rate(state.step, spent))
        state.step += 1
        decoder.refresh()
        self.loss = total / scored
        state.tokens += sum(len(tokens) for tokens, _ in batch)
        state.train_seconds += time.monotonic() - began

    def ended(self, spent: float) -> str:
        """Why the run is over, "" if it is not."""
        state, patience = self.state, self.recipe.patience
        if state.step >= self.recipe.steps:
            return "steps"
        if spent >= 1:
            return "time"
        since = sum(step > state.best_step for step, _ in state.curve)
        return "patience" if patience and since >= patience else ""

    def report(self, held_out: float | None, seconds: float) -> Progress:
        """What the user is shown of this moment."""
        state, steps = self.state, self.recipe.steps
        left = (steps - state.step) * seconds / state.step if state.step else math.nan
        return Progress(state.step, steps, self.loss, held_out, seconds, left)

    def trained(self, ended: str, resumed: int | None) -> Trained:
        """The best factors, as an adapter, with the run's figures."""
        state = self.state
        state.parameters[:] = state.best
        self.decoder.refresh()
        best = self.start if self.start is not None and state.best_step == 0 else self.decoder.adapter()
        return Trained(
            adapter=best,
            steps=state.step,
            best_step=state.best_step,
            tokens=state.tokens,
            seconds=state.seconds,
            train_seconds=state.train_seconds,
            loss_base=state.loss_base,
            loss_before=state.curve[0][1],
            loss_after=state.best_loss,
            ended=ended,
            resumed=resumed,
            curve=tuple(state.curve),
        )


def _wait(
    run: _Run,
    keep: Checkpoints | None,
    may_run: Callable[[], bool],
    progress: Callable[[Progress], None],
    check: Callable[[], None],
) -> None:
    """Return when the run may go on; its state is written before it waits."""
    waited = False
    while not may_run():
        if not waited and keep:
            keep.write(run.state)
        waited = True
        now = run.report(None, run.state.seconds)
        progress(Progress(now.step, now.steps, now.loss, None, now.seconds, math.nan, paused=True))
        until = time.monotonic() + POLL
        while time.monotonic() < until:
            check()
            time.sleep(0.1)


def evaluate(
    decoder: Decoder, samples: Sequence[Sample], pack: int = PACK, check: Callable[[], None] = lambda: None
) -> float:
    """Mean loss in nats a scored token."""
    total = 0.0
    for parts in decoder.groups(packs(samples, pack), learning=False):
        total += decoder.loss(parts)
        check()
    platform.release_memory()
    return total / max(1, scored_tokens(samples))


def scored_tokens(samples: Sequence[Sample]) -> int:
    """How many tokens of samples are scored."""
    return sum(len(tokens) - first for tokens, first in samples)


def batch_at(step: int, count: int, size: int, seed: int) -> list[int]:
    """The indices of a step's samples; every pass over the samples is a new seeded shuffle."""
    size = min(size, count)
    return [_shuffled(at // count, count, seed)[at % count] for at in range(step * size, (step + 1) * size)]


def _shuffled(epoch: int, count: int, seed: int) -> list[int]:
    return random.Random(f"{seed} {epoch}").sample(range(count), count)
