"""`xpert eval`: how well a base model, with adapters and merged, predicts someone's writing.

    evaluate(corpus, base, [(Path("mine.gguf"), 1.0)], Path("merged.gguf")).loss_adapter

Losses are mean nats a response token under llama.cpp, so they hold for the quantized files that are run in the end.
Give writing that was not trained on. Not here: judging generated text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from xpert_cli.doors.corpus import Corpus
from xpert_cli.doors.llama import Model, Sample
from xpert_cli.steps.samples import tokenized

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Evaluation:
    """Losses in nats a response token over the same `tokens`; None for what was not given."""

    samples: int
    tokens: int
    loss_base: float
    loss_adapter: float | None
    loss_merged: float | None
    axes: tuple[Any, ...]
    seconds: float


def evaluate(
    corpus: Corpus,
    base: Path,
    adapters: Sequence[tuple[Path, float]] = (),
    merged: Path | None = None,
    *,
    max_tokens: int = 512,
    progress: Progress = lambda message, fraction: None,
) -> Evaluation:
    """Losses of `base`, of base and adapters, and of a merged model on every message of `corpus`.

    Args:
        adapters: adapter GGUF files with their weights, applied together.
        max_tokens: what is read of a message, its prompt included.

    Raises:
        BadInput: no message fits into `max_tokens`.
        BadModel, CacheMismatch: a model or adapter cannot be used.
    """
    started = time.monotonic()
    with _opened(base, max_tokens) as model:
        samples = tokenized(model, corpus, max_tokens)
        loss_adapter = None
        if adapters:  # first, so that one that does not fit is refused at once
            model.apply(adapters)
            loss_adapter, _ = _loss(model, samples, partial(progress, "with adapters"))
            model.apply([])
        loss_base, tokens = _loss(model, samples, partial(progress, "base model"))
    loss_merged = None
    if merged is not None:
        with _opened(merged, max_tokens) as model:
            loss_merged, _ = _loss(model, tokenized(model, corpus, max_tokens), partial(progress, "merged model"))
    seconds = time.monotonic() - started
    return Evaluation(len(samples), tokens, loss_base, loss_adapter, loss_merged, (), seconds)


def _opened(path: Path, context: int) -> Model:
    return Model(path, context=context, outputs=min(context, 64))


def _loss(model: Model, samples: Sequence[Sample], progress: Callable[[float], None]) -> tuple[float, int]:
    """Mean nats a scored token, and how many tokens that are."""
    total, count = 0.0, 0
    for done, sample in enumerate(samples):
        progress(done / len(samples))
        nats, tokens = model.nats(sample)
        total, count = total + nats, count + tokens
    return total / count, count
