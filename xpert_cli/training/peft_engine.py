"""Fine-tuning with transformers and peft: for the architectures that xpert's own engine does not compute.

    done = train_with_peft(corpus, Path("gpt2"), out, Settings(steps=30))
    done.adapter                     # adapter.gguf, made by llama.cpp's own converter

Slower and larger than the engine of training/loop.py, begun anew where it is stopped, and without a start from a cache:
a folder of safetensors goes in, a PEFT folder and its GGUF adapter come out. Split, order, rates and what is scored are
those of the other engine. Not here: architectures that xpert computes (training/decoder.py).
"""

from __future__ import annotations

import importlib.util
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert_cli import paths, platform, runs
from xpert_cli.corpus import Corpus
from xpert_cli.errors import BadInput, BadModel, MissingExtra
from xpert_cli.gguf import read_adapter
from xpert_cli.llama.model import Sample
from xpert_cli.llama.samples import PROMPT
from xpert_cli.models.convert import run_converter
from xpert_cli.models.hf_checkpoint import read_json
from xpert_cli.selection.start_check import RANK
from xpert_cli.training.loop import Recipe, batch_at, scored_tokens
from xpert_cli.training.package import write_messages
from xpert_cli.training.places import PEFT, require_free
from xpert_cli.training.prepare import Settings, split
from xpert_cli.training.recipe import recipe_for

CONVERTER = "convert_lora_to_gguf.py"
_NEEDED = ("torch", "transformers", "peft", "safetensors")


@dataclass(frozen=True)
class PeftTrained:
    """What was trained. Losses are nats a scored token on the held-out messages; `peft` is PEFT's own folder."""

    engine: str
    steps: int
    best_step: int
    messages: int
    held_out: int
    tokens: int
    tokens_per_second: float
    loss_before: float
    loss_after: float
    curve: tuple[tuple[int, float], ...]
    rank: int
    peak_rss_bytes: int
    folder: str
    peft: str
    adapter: str
    seconds: float


def require(folder: Path) -> str:
    """llama.cpp's converter of adapters, where all else that is needed is here too.

    Raises:
        BadInput: `folder` is none, or the converter is not on PATH.
        MissingExtra: transformers or peft is not installed.
    """
    if not folder.is_dir():
        raise BadInput(f"--engine peft trains a folder of safetensors, and {folder} is none. Name one with --base.")
    read_json(folder / "config.json")
    if not all(map(importlib.util.find_spec, _NEEDED)):
        raise MissingExtra("--engine peft", "finetune")
    if (program := shutil.which(CONVERTER)) is None:
        raise BadInput(
            f"--engine peft needs llama.cpp's {CONVERTER} to make a GGUF adapter. Get llama.cpp's sources and put the "
            "folder with that file on PATH, or use a base that xpert trains itself (docs/models.md)."
        )
    return program


def train_with_peft(
    corpus: Corpus,
    folder: Path,
    settings: Settings,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> PeftTrained:
    """Train a LoRA adapter on every linear layer, keeping the step with the lowest held-out loss.

    Raises:
        BadInput: too few messages, or see `require`.
        BadModel: transformers cannot load the folder, or llama.cpp's converter knows no such model.
        MissingExtra: transformers or peft is not installed.
    """
    began, program = time.monotonic(), require(folder)
    require_free("", settings.out, settings.overwrite)
    training, held = split(corpus, settings.held_out, settings.seed)
    rank = settings.rank or RANK
    recipe = recipe_for(len(training), rank, settings)
    out = settings.out or runs.runs_dir() / f"{time.strftime('%Y%m%d-%H%M%S')}-peft"
    paths.require_folder(out)
    progress("loading the base model", 0.0)
    model, tokenizer = _opened(folder, recipe)
    samples, checks = (_samples(part, tokenizer, settings.max_tokens) for part in (training, held))
    paths.writable(out)
    (out / runs.RECORD).unlink(missing_ok=True)  # of the run that is overwritten
    curve, best, seconds = _train(model, samples, checks, recipe, out / PEFT, progress)
    write_messages(out / runs.MESSAGES, corpus.messages)
    del model
    progress("converting the adapter", 1.0)
    _convert(program, folder, out / PEFT, out / runs.ADAPTER)
    tokens = sum(len(samples[at][0]) for step in range(recipe.steps) for at in _batch(step, samples, recipe))
    return PeftTrained(
        engine="peft",
        steps=recipe.steps,
        best_step=best,
        messages=len(training),
        held_out=len(held),
        tokens=tokens,
        tokens_per_second=tokens / max(seconds, 1e-9),
        loss_before=curve[0][1],
        loss_after=min(loss for _, loss in curve),
        curve=tuple(curve),
        rank=rank,
        peak_rss_bytes=platform.peak_memory(),
        folder=str(out),
        peft=str(out / PEFT),
        adapter=str(out / runs.ADAPTER),
        seconds=time.monotonic() - began,
    )


def _opened(folder: Path, recipe: Recipe) -> tuple[Any, Any]:
    """The model with fresh LoRA factors on its linear layers, and its tokenizer; the folder's own code is never run."""
    platform.prepare_libraries()
    import peft
    import torch
    import transformers

    torch.manual_seed(recipe.seed)
    torch.set_num_threads(platform.cores())
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        base: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        lora = peft.LoraConfig(
            r=recipe.rank,
            lora_alpha=round(recipe.rank * recipe.scale),
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        wrapped: Any = peft.get_peft_model(base, lora)
    except (OSError, ValueError, KeyError, ImportError) as error:
        why = " ".join(str(error).split())[:200].rstrip(". ")
        raise BadModel(f"{folder}: transformers cannot load this model: {why}. Use another base.") from error
    return wrapped, tokenizer


def _samples(corpus: Corpus, tokenizer: Any, most: int) -> list[Sample]:
    """(tokens, first scored one) of each message that leaves room for an answer, cut to `most` tokens."""
    samples: list[Sample] = []
    for message in corpus.messages:
        prompt = message.prompt or PROMPT
        if tokenizer.chat_template:
            turns = [{"role": "user", "content": prompt}]
            head = list(tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))
        else:
            head = list(tokenizer(f"{prompt}\n\n").input_ids)
        answer = [*tokenizer(message.response, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        head = head[-max(1, most - len(answer)) :]
        if head and answer[-1] is not None:
            samples.append(((head + answer)[:most], len(head)))
    if not samples:
        raise BadInput("the base's tokenizer leaves nothing to train on. Use another base.")
    return samples


def _train(
    model: Any,
    samples: Sequence[Sample],
    checks: Sequence[Sample],
    recipe: Recipe,
    keep: Path,
    progress: Callable[[str, float], None],
) -> tuple[list[tuple[int, float]], int, float]:
    """(step, held-out loss) of each evaluation, the best step, whose factors are in `keep`, and seconds of training."""
    import torch

    factors = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(factors, lr=recipe.learning_rate, weight_decay=0.0)
    curve: list[tuple[int, float]] = []
    lowest, best, seconds = math.inf, 0, 0.0
    for step in range(recipe.steps + 1):
        if step % recipe.evaluate_every == 0 or step == recipe.steps:
            model.eval()
            with torch.no_grad():
                nats = sum(float(_nats(model, [one])) for one in checks)
            curve.append((step, nats / scored_tokens(checks)))
            if curve[-1][1] < lowest:
                lowest, best = curve[-1][1], step
                model.save_pretrained(keep)
        if step == recipe.steps:
            break
        began = time.monotonic()
        model.train()
        batch = [samples[at] for at in _batch(step, samples, recipe)]
        optimizer.zero_grad()
        loss = _nats(model, batch) / scored_tokens(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(factors, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.step()
        seconds += time.monotonic() - began
        progress(f"step {step + 1}/{recipe.steps}, loss {float(loss):.3f}", (step + 1) / recipe.steps)
    return curve, best, seconds


def _batch(step: int, samples: Sequence[Sample], recipe: Recipe) -> list[int]:
    return batch_at(step, len(samples), recipe.batch, recipe.seed)


def _nats(model: Any, samples: Sequence[Sample]) -> Any:
    """Summed -log p of the scored tokens."""
    import torch

    longest = max(len(tokens) for tokens, _ in samples)
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for row, (tokens, first) in enumerate(samples):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
        labels[row, first : len(tokens)] = ids[row, first : len(tokens)]
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].flatten(0, 1).float()
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")


def _convert(program: str, base: Path, adapter: Path, out: Path) -> None:
    """Make a GGUF adapter of a PEFT folder; what is not sound never gets the name of the output."""
    with paths.whole(out) as part:
        command: list[str | Path] = [
            sys.executable,
            program,
            "--base",
            base,
            "--outfile",
            part,
            "--outtype",
            "f16",
            adapter,
        ]
        run_converter(command, f"{program} cannot convert the adapter", f"It is kept as PEFT's folder {adapter}.")
        read_adapter(part)
