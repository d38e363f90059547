"""`xpert eval`: how well a base model, with adapters and merged, predicts someone's writing.

    evaluate(corpus, base, [WeightedAdapter.open(Path("mine.gguf"))], Path("merged.gguf")).loss_adapter

Losses are mean nats a response token under llama.cpp, so they hold for the quantized files that are run in the end.
Style is read from answers to the person's own prompts. Give writing that was not trained on. Not here: whether an
answer is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xpert_cli import paths
from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.corpus import Corpus
from xpert_cli.counts import counted
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model, Sample
from xpert_cli.llama.samples import tokenized
from xpert_cli.resume import PartialResults
from xpert_cli.selection import style_shift
from xpert_cli.training.starts import trained_on

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Standing:
    """Where the answers of each model and the person's writing lie on one axis; None for what was not given.

    Values are shifts in pooled within-writer standard deviations; `name` is the person's end of the axis, in words.
    """

    axis: str
    name: str
    base: float
    adapter: float | None
    merged: float | None
    you: float


@dataclass(frozen=True)
class Evaluation:
    """Losses in nats a response token over the same `tokens`; None for what was not given.

    `trained_on` is how many of the messages an adapter or the merged model was trained on; None where only the base was
    measured, and where no run that made them is on this machine.
    """

    samples: int
    tokens: int
    loss_base: float
    loss_adapter: float | None
    loss_merged: float | None
    axes: tuple[Standing, ...]
    seconds: float
    trained_on: int | None = None
    notes: tuple[str, ...] = ()


def evaluate(
    corpus: Corpus,
    base: BaseModel | Path,
    adapters: Sequence[WeightedAdapter] = (),
    merged: BaseModel | Path | None = None,
    *,
    cache: OpenCache | None = None,
    max_tokens: int = 512,
    seed: int = 0,
    progress: Progress = lambda message, fraction: None,
) -> Evaluation:
    """Losses of `base`, of base and adapters, and of a merged model on every message of `corpus`, and their styles.

    Args:
        adapters: applied together.
        cache: of this base, whose space the styles are told in; without one, a space of the base's own answers.
        max_tokens: what is read of a message, its prompt included.
        seed: of the answers that show the style.

    Raises:
        BadInput: no message fits into `max_tokens`.
        BadModel, CacheMismatch: a model or adapter cannot be used.
    """
    started, partials = time.monotonic(), list[PartialResults]()
    base, merged = BaseModel.open(base), None if merged is None else BaseModel.open(merged)
    with _opened(base, max_tokens) as model:
        samples = tokenized(model, corpus, max_tokens)
        loss_adapter = None
        if adapters:  # first, so that one that does not fit is refused at once
            model.apply(adapters)
            loss_adapter, _ = _loss(model, samples, adapters, partials, partial(progress, "with adapters"))
            model.apply([])
        loss_base, tokens = _loss(model, samples, (), partials, partial(progress, "base model"))
    loss_merged = None
    if merged is not None:
        with _opened(merged, max_tokens) as model:
            others = tokenized(model, corpus, max_tokens)
            loss_merged, _ = _loss(model, others, (), partials, partial(progress, "merged model"))
    axes = _standings(corpus, base, adapters, merged, cache, seed, progress)
    for one in partials:
        one.drop()
    known = trained_on(corpus, [*(one.file.path for one in adapters), *([merged.path] if merged else [])])
    notes = _warned(known, len(corpus)) if known else ()
    seconds = time.monotonic() - started
    return Evaluation(len(samples), tokens, loss_base, loss_adapter, loss_merged, axes, seconds, known, notes)


def _warned(trained_on: int, messages: int) -> tuple[str, ...]:
    were = "was" if trained_on == 1 else "were"
    of = f"{trained_on} of the {counted(messages, 'messages')}"
    return (f"{of} {were} trained on: their loss says little of new ones",)


def _standings(
    corpus: Corpus,
    base: BaseModel,
    adapters: Sequence[WeightedAdapter],
    merged: BaseModel | None,
    cache: OpenCache | None,
    seed: int,
    progress: Progress,
) -> tuple[Standing, ...]:
    """The axes where the person lies furthest from the base, strongest first."""
    prompts = style_shift.prompts(corpus)
    models: dict[str, tuple[BaseModel, Sequence[WeightedAdapter]]] = {"base model": (base, ())}
    models |= {"with adapters": (base, adapters)} if adapters else {}
    models |= {"merged model": (merged, ())} if merged else {}
    answers = {
        name: style_shift.answers(
            model, prompts, applied, seed=seed, progress=partial(progress, f"answers of the {name}")
        )
        for name, (model, applied) in models.items()
    }
    space = cache.space if cache else style_shift.own_space(answers["base model"], corpus.texts)
    standings = []
    for axis, values, you in style_shift.compared(list(answers.values()), corpus.texts, space):
        at = dict(zip(answers, values, strict=True))
        shifts = (at["base model"], at.get("with adapters"), at.get("merged model"))
        standings.append(Standing(axis.name, axis.words(you), *shifts, you))
    return tuple(standings)


def _opened(base: BaseModel, context: int) -> Model:
    return Model(base, context=context, outputs=min(context, 64), lean=True)


def _loss(
    model: Model,
    samples: Sequence[Sample],
    adapters: Sequence[WeightedAdapter],
    keeping: list[PartialResults],
    progress: Callable[[float], None],
) -> tuple[float, int]:
    """Mean nats a scored token, and how many tokens that are.

    The sums so far are kept, for long writing takes long; `keeping` gets what is to be dropped in the end.
    """
    weights = [(one.file.digest, one.weight) for one in adapters]
    partial_sum = PartialResults("loss", *paths.identity(model.path), weights, [list(one) for one in samples])
    keeping.append(partial_sum)
    begun, (total, count) = partial_sum.load() or (0, (0.0, 0))
    for done, sample in enumerate(samples[begun:], begun):
        progress(done / len(samples))
        nats, tokens = model.nats(sample)
        total, count = total + nats, count + tokens
        partial_sum.keep(done + 1, np.array([total, count]))
    return float(total) / int(count), int(count)
