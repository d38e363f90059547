"""LoRA fine-tuning of a GGUF base with torch and peft: the training loop and nothing else.

    trained = train(base, samples, held_out, Recipe(rank=8, steps=60))

Samples are token ids with the index of the first scored token; on a CPU each runs on its own (no padding, no
cross-talk) and its gradient is added up over a batch. The output layer and the cross-entropy are computed at scored
positions only, in chunks, so nothing grows with the vocabulary times the text. The base is bf16 where the processor
multiplies it natively, the LoRA factors are fp32. Not here: reading text (doors/corpus.py), the files of a run
(verbs/finetune.py).
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpert_cli import platform
from xpert_cli.doors import gguf, peft
from xpert_cli.errors import BadInput, MissingExtra
from xpert_cli.maths.adapters import Adapter

Sample = tuple[Sequence[int], int]  # tokens, and the index of the first one that is scored
CHUNK = 128  # scored positions whose logits exist at one time


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults suit 20 to 2,000 messages on a model of 0.1 to 2 billion parameters."""

    steps: int = 30
    rank: int = 8
    scale: float = 2.0
    learning_rate: float = 1e-3
    warmup: float = 0.1
    batch: int = 4
    evaluate_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [name for name in ("steps", "rank", "batch", "evaluate_every") if getattr(self, name) < 1]
        if wrong or self.learning_rate <= 0:
            raise BadInput(f"{', '.join(wrong) or 'learning rate'} must be positive. Correct the option and run again.")

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, then linear decay to a tenth."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        left = (self.steps - step) / max(1, self.steps - warm)
        return self.learning_rate * max(0.1, left)


@dataclass(frozen=True)
class Progress:
    """What a step tells: `loss` in nats a scored token of its batch, `held_out` where it was just measured."""

    step: int
    steps: int
    loss: float
    held_out: float | None
    seconds: float


@dataclass(frozen=True)
class Trained:
    """The best adapter by held-out loss, and how it came about.

    Losses are nats a scored token; `seconds` include evaluation, `train_seconds` do not.
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
    interrupted: bool
    curve: tuple[tuple[int, float], ...] = field(default=())


def require() -> None:
    """Import what training needs.

    Raises:
        MissingExtra: torch, transformers or peft is not installed.
    """
    platform.spin_shortly()
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported; xpert shows its own progress
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra("fine-tuning", "finetune") from error


def train(
    base: Path,
    samples: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    *,
    start: Adapter | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train a LoRA adapter on `samples`, keeping the state with the lowest loss on `held_out`.

    Args:
        samples: at least one, cut to a length the model takes.
        held_out: measured before, during and after training; at least one.
        start: the adapter to begin with; its rank and scale replace the recipe's.

    Ctrl-C ends training early and the best state so far is returned, marked `interrupted`.

    Raises:
        MissingExtra: torch, transformers or peft is not installed.
    """
    require()
    import torch

    torch.manual_seed(recipe.seed)
    torch.set_num_threads(platform.cores())
    with _quiet():
        model, info = _load(base, recipe, start)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.0)
    order = _batches(len(samples), recipe.batch, recipe.seed)
    began = time.monotonic()
    with model.disable_adapter():
        of_base = _evaluate(model, held_out)
    before = best = of_base if start is None else _evaluate(model, held_out)
    best_step, kept, tokens, training, step = 0, [w.detach().clone() for w in weights], 0, 0.0, 0
    interrupted = False
    curve = [(0, before)]
    try:
        for step in range(1, recipe.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step - 1)
            batch = [samples[i] for i in next(order)]
            step_began = time.monotonic()
            loss = _step(model, batch)
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            training += time.monotonic() - step_began
            tokens += sum(len(sample[0]) for sample in batch)
            measured = None
            if step % recipe.evaluate_every == 0 or step == recipe.steps:
                measured = _evaluate(model, held_out)
                curve.append((step, measured))
                if measured < best:
                    best, best_step, kept = measured, step, [w.detach().clone() for w in weights]
            progress(Progress(step, recipe.steps, loss, measured, time.monotonic() - began))
    except KeyboardInterrupt:
        interrupted = True
    with torch.no_grad():
        for weight, value in zip(weights, kept, strict=True):
            weight.copy_(value)
    seconds = time.monotonic() - began
    return Trained(
        adapter=_adapter(model, info),
        steps=step,
        best_step=best_step,
        tokens=tokens,
        seconds=seconds,
        train_seconds=training,
        loss_base=of_base,
        loss_before=before,
        loss_after=best,
        interrupted=interrupted,
        curve=tuple(curve),
    )


def _load(base: Path, recipe: Recipe, start: Adapter | None) -> tuple[Any, gguf.BaseInfo]:
    """The base from its GGUF with LoRA modules on every linear layer, ready to train."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, GgufConfig

    info = gguf.base_info(base)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(base.parent), gguf_file=base.name, dtype=_dtype(), quantization_config=GgufConfig(dequantize=True)
    )
    model.config.use_cache = False
    model.to(device)
    if start is None:
        config = LoraConfig(
            r=recipe.rank,
            lora_alpha=round(recipe.scale * recipe.rank),
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        wrapped: Any = get_peft_model(model, config)
    else:
        with tempfile.TemporaryDirectory() as folder:
            peft.write_peft(start, Path(folder), heads=info.heads, kv_heads=info.kv_heads, base_name=info.name)
            wrapped = PeftModel.from_pretrained(model, folder, is_trainable=True)
    wrapped.train()
    return wrapped, info


def _dtype() -> Any:
    """bf16 where matrix products of it are native, else fp32."""
    import torch

    if torch.cuda.is_available() or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        return torch.bfloat16
    return torch.float32


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loading without progress bars and advice meant for developers."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def _batches(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of indices; every pass over the samples is a new seeded shuffle."""
    shuffle = random.Random(seed)
    queue: list[int] = []
    while True:
        while len(queue) < min(size, count):
            queue += shuffle.sample(range(count), count)
        yield [queue.pop(0) for _ in range(min(size, count))]


def _nats(model: Any, samples: Sequence[Sample]) -> Any:
    """Summed -log p of the scored tokens of samples run side by side, as a tensor that can be differentiated."""
    import torch
    from torch.utils.checkpoint import checkpoint

    inner = model.get_base_model()
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(list(tokens)) for tokens, _ in samples], batch_first=True)
    ids = ids.to(inner.device)
    # Padding comes last and attention is causal: real tokens never see it, and it is never scored.
    scored = torch.zeros_like(ids, dtype=torch.bool)
    for row, (tokens, first) in enumerate(samples):
        scored[row, first : len(tokens)] = True
    states = inner.model(input_ids=ids).last_hidden_state[:, :-1][scored[:, 1:]]
    targets = ids[:, 1:][scored[:, 1:]]

    def chunk(part: Any, wanted: Any) -> Any:
        return torch.nn.functional.cross_entropy(inner.lm_head(part).float(), wanted, reduction="sum")

    parts = zip(torch.split(states, CHUNK), torch.split(targets, CHUNK), strict=True)
    return sum(checkpoint(chunk, part, wanted, use_reentrant=False) for part, wanted in parts)


def _side_by_side(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    """Samples to run together: one on a CPU, where padding costs as much as text; a few on a GPU."""
    import torch

    size = 4 if torch.cuda.is_available() else 1
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _step(model: Any, batch: Sequence[Sample]) -> float:
    """Add the gradient of the batch's mean loss a scored token; returns that loss."""
    scored = _scored(batch)
    total = 0.0
    for samples in _side_by_side(batch):
        loss = _nats(model, samples) / scored
        loss.backward()
        total += float(loss.detach())
    return total


def _evaluate(model: Any, samples: Sequence[Sample]) -> float:
    """Mean loss in nats a scored token."""
    import torch

    model.eval()
    with torch.no_grad():
        total = sum(float(_nats(model, part)) for part in _side_by_side(samples))
    model.train()
    return total / max(1, _scored(samples))


def _scored(samples: Sequence[Sample]) -> int:
    return sum(len(tokens) - first for tokens, first in samples)


def _adapter(model: Any, info: gguf.BaseInfo) -> Adapter:
    """The trained factors, through PEFT's own files."""
    with tempfile.TemporaryDirectory() as folder:
        with _quiet():
            model.save_pretrained(folder)
        return peft.read_peft(Path(folder), heads=info.heads, kv_heads=info.kv_heads, architecture=info.architecture)
