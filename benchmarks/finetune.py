"""Fine-tuning on a CPU: our loop against transformers.Trainer and peft, and against what the machine can do.

    python -m benchmarks finetune --styles DIR [--only speed,peak,upper]

Every measurement runs in a process of its own, one after the other, and is stored; remove its file to measure it again,
as after a change of the engine. The base is that of the settings: `xpert config set base FILE` chooses another. Reads
--styles, --rows (48), --turns (2), --threads. Not here: the operations that a step needs (operations.py), time from a
warm start (warmstart.py), whole runs (memory.py).
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.operations import needed
from benchmarks.report import table
from benchmarks.run import Run
from benchmarks.store import Record
from xpert_cli import gguf, platform
from xpert_cli.gguf import BaseModel
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.llama.model import Sample
from xpert_cli.models.peft import WEIGHTS, read_peft, write_peft
from xpert_cli.paths import whole
from xpert_cli.training.loop import PACK, Recipe, Trained, batch_at, scored_tokens, train
from xpert_cli.training.packing import TOGETHER, packs
from xpert_cli.training.plan import PACKS, Plan
from xpert_cli.training.prepare import Settings
from xpert_cli.training.recipe import layers_for, recipe_for

FIRST, ROWS, HELD_OUT = 500, 48, 12  # training rows of set 4
RANK, SCALE, BATCH = 8, 2.0, 4
KINDS = {"float32": "fp32", "bfloat16": "bf16"}
LOOPS = {
    "trainer": "Trainer + peft",
    "xpert": "xpert",
    "packed": "xpert, base left quantized",
    "leanest": "xpert, leanest layout",
}
OURS = ("xpert", "packed", "leanest")
SIDE = 2048  # of the square matrices whose product shows the machine's peak


def samples_of(run: Run) -> tuple[list[Sample], list[Sample]]:
    """The samples that are trained on, whole batches of them, and the held-out ones."""
    messages, count = run.rows("4_train")[FIRST:], _rows(run)
    samples = run.samples(messages[:count])
    return samples[: len(samples) // BATCH * BATCH], run.samples(messages[count:][:HELD_OUT])


def _rows(run: Run) -> int:
    return (run.options.rows or (ROWS,))[0]


def recipe_of(samples: Sequence[Sample]) -> Recipe:
    """One pass over the samples, measured before and after."""
    steps = len(samples) // BATCH
    return Recipe(steps, RANK, SCALE, batch=BATCH, evaluate_every=steps)


def measured(run: Run, name: str) -> Record:
    """What ALONE returns of `name`, such as trainer:bfloat16:1, from a process of its own or from the store."""
    made_of = {"base": run.fingerprint, "threads": run.options.threads, "rows": _rows(run)}
    return run.store.record(name.replace(":", "-"), made_of, partial(run.alone, name))


# -- run alone


def start(run: Run) -> Record:
    """Writes what both loops begin with: a PEFT folder of fresh factors, and the samples for the loop of others."""
    info, folder = gguf.base_info(run.base), run.store.file("start")
    run.decoder.begin(None, RANK, SCALE, seed=0)
    write_peft(run.decoder.adapter(), folder, heads=info.heads, kv_heads=info.kv_heads, base_name=info.name)
    samples, held_out = samples_of(run)
    with whole(folder / "samples.json") as part:
        part.write_text(json.dumps([samples, held_out]), "utf-8")
    return {"samples": len(samples), "tokens": sum(len(tokens) for tokens, _ in samples)}


def ours(layout: str, run: Run, dtype: str, _turn: str) -> Record:
    """One pass in a layout, the operations that it needs, and those a second of plain matrix products after it.

    `xpert` has the settings of `xpert finetune`. `packed` is for where memory is short: the layers stay quantized
    in the base's file. `leanest`: all of the base stays there, and every layer is worked out twice.
    """
    samples, held_out = samples_of(run)
    plan, first = _plan(run, layout, dtype), _first(run)
    decoder = plan.open(BaseModel.open(run.base))
    result: Trained = train(decoder, samples, held_out, recipe_of(samples), start=first, pack=plan.pack)
    record = _trained(result.tokens, result.train_seconds, result.loss_before, result.curve[-1][1])
    batches = [[samples[i] for i in batch_at(step, len(samples), BATCH, 0)] for step in range(result.steps)]
    flops = needed(gguf.read_header(run.base), [group for batch in batches for group in packs(batch, PACK)], RANK)
    return {**record, "flops": flops, "steps": result.steps, "peak": _products(plan.dtype)}


def _plan(run: Run, layout: str, dtype: str) -> Plan:
    plan = Plan(dtype, run.options.threads, PACK, 0, 0, packed=layout != "xpert")
    if layout != "leanest":
        return plan
    layers = gguf.base_info(run.base).layers
    return replace(plan, pack=PACKS[-1], recompute=layers, packed_head=True, together=TOGETHER)


def _first(run: Run) -> Adapter:
    info = gguf.base_info(run.base)
    return read_peft(run.store.file("start"), heads=info.heads, kv_heads=info.kv_heads, architecture=info.architecture)


def uppermost(run: Run, layout: str, dtype: str) -> Record:
    """Seconds of two passes with all layers and with what `xpert finetune` trains of an adapter, --turns times about.

    The first turn is not counted: kernels are compiled in it.
    """
    samples, held_out = samples_of(run)
    plan, first, once = _plan(run, layout, dtype), _first(run), recipe_of(samples)
    base = BaseModel.open(run.base)
    decoder, layers = plan.open(base), layers_for(base, Settings(), 0)
    twice = 2 * once.steps
    both = replace(once, steps=twice, evaluate_every=recipe_for(0, RANK, Settings(steps=twice)).evaluate_every)
    runs = []
    for _ in range(1 + run.options.turns):
        for recipe in (both, replace(both, layers=layers)):
            runs.append(train(decoder, samples, held_out, recipe, start=first, pack=plan.pack))
    record: Record = {"layers": layers or base.info.layers, "of": base.info.layers, "steps": both.steps}
    for name, some in (("all", runs[2::2]), ("upper", runs[3::2])):
        record[name] = [one.train_seconds for one in some]
        record[f"{name}_whole"] = [one.seconds for one in some]
    return record


def _trained(tokens: int, seconds: float, before: float, after: float) -> Record:
    figures = {"tokens": tokens, "seconds": seconds, "before": before, "after": after}
    return {**figures, "tokens_per_second": tokens / seconds, "peak_bytes": platform.peak_memory()}


def trainer(run: Run, dtype: str, _turn: str) -> Record:
    """transformers.Trainer and peft, as their documentation has it."""
    import torch
    import transformers

    torch.set_num_threads(run.options.threads)
    samples, held_out = json.loads(run.store.file("start/samples.json").read_text("utf-8"))
    recipe = recipe_of(samples)
    model, tokenizer = _peft_model(run.base, dtype, run.store.file("start"))
    collator = transformers.DataCollatorForSeq2Seq(tokenizer)
    rows, others = ([_row(*sample) for sample in part] for part in (samples, held_out))
    times: list[float] = []

    class Clock(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times.append(time.monotonic())

        on_step_end = on_step_begin

    def loss() -> float:
        model.eval()
        with torch.no_grad():
            batches = [collator(others[at : at + BATCH]) for at in range(0, len(others), BATCH)]
            nats = [float(model(**batch).loss) * int((batch["labels"][:, 1:] >= 0).sum()) for batch in batches]
        return sum(nats) / scored_tokens(held_out)

    before, rate = loss(), recipe.learning_rate
    factors = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(factors, lr=rate, weight_decay=0.0, fused=True)  # fused as Trainer's own
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: recipe.rate(step) / rate)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            train_sampling_strategy="sequential",
            use_cpu=True,
            dataloader_pin_memory=False,
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        ordered = [rows[i] for step in range(recipe.steps) for i in batch_at(step, len(rows), BATCH, recipe.seed)]
        both = optimizer, schedule
        transformers.Trainer(model, arguments, collator, ordered, optimizers=both, callbacks=[Clock()]).train()
    return _trained(sum(len(tokens) for tokens, _ in samples), times[-1] - times[0], before, loss())


def _peft_model(base: Path, dtype: str, factors: Path) -> tuple[Any, Any]:
    """The base from its GGUF with LoRA on every linear layer, its factors those of a PEFT folder; and the tokenizer."""
    import peft
    import torch
    import transformers
    from safetensors.torch import load_file

    place = {"pretrained_model_name_or_path": str(base.parent), "gguf_file": base.name}
    dequantize = transformers.GgufConfig(dequantize=True)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        **place, dtype=getattr(torch, dtype), quantization_config=dequantize
    )
    lora = peft.LoraConfig(r=RANK, lora_alpha=round(RANK * SCALE), target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped: Any = peft.get_peft_model(model, lora)
    peft.set_peft_model_state_dict(wrapped, load_file(factors / WEIGHTS))
    return wrapped, transformers.AutoTokenizer.from_pretrained(**place)


def _row(tokens: list[int], first: int) -> dict[str, list[int]]:
    return {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": [-100] * first + tokens[first:]}


def _products(dtype: str) -> float:
    """Operations a second of square matrix products, the median of twenty."""
    import torch

    a, b = (torch.randn(SIDE, SIDE).to(getattr(torch, dtype)) for _ in range(2))
    out, times = torch.mm(a, b), []
    for _ in range(20):
        began = time.perf_counter()
        torch.mm(a, b, out=out)
        times.append(time.perf_counter() - began)
    return 2 * SIDE**3 / statistics.median(times)


# -- tables


def speed(run: Run) -> str:
    """Tokens/s, peak memory and loss of both loops; then ratios of each of ours to Trainer."""
    measured(run, "start")
    arms = [(loop, kind) for kind in KINDS for loop in LOOPS]
    turns = [str(turn + 1) for turn in range(run.options.turns)]  # both loops take turns, so often
    rounds = [f"round {turn}" for turn in turns]
    records = {(*arm, turn): measured(run, ":".join((*arm, turn))) for turn in turns for arm in arms}
    rows, ratios = [], []
    for loop, kind in arms:
        repeats = [records[loop, kind, turn] for turn in turns]
        rates = [f"{one['tokens_per_second']:.0f}" for one in repeats]
        losses = [f"{repeats[0][key]:.4f}" for key in ("before", "after")]
        rows.append(
            (f"{LOOPS[loop]}, {KINDS[kind]}", *rates, f"{max(one['peak_bytes'] for one in repeats) / 1e6:.0f}", *losses)
        )
    for own, other in (("bfloat16", "float32"), ("bfloat16", "bfloat16"), ("float32", "float32")):
        for loop in OURS:
            pairs = [(records[loop, own, turn], records["trainer", other, turn]) for turn in turns]
            faster = [f"{ours['tokens_per_second'] / theirs['tokens_per_second']:.2f}" for ours, theirs in pairs]
            smaller = mean(ours["peak_bytes"] / theirs["peak_bytes"] for ours, theirs in pairs)
            difference = max(abs(ours["after"] - theirs["after"]) for ours, theirs in pairs)
            label = f"{LOOPS[loop]}, {KINDS[own]} / Trainer {KINDS[other]}"
            ratios.append((label, *faster, f"{smaller:.3f}", f"{difference:.4f}"))
    first = table(("loop, tokens/s in", *rounds, "peak MB", "loss before", "loss after"), rows)
    return f"{first}\n\n{table(('ratio of tokens/s in', *rounds, 'peak memory', 'losses apart'), ratios)}"


def peak(run: Run) -> str:
    """Share of the machine's peak, and of the tokens/s of the layout that has all memory; the best round of each."""
    measured(run, "start")
    rows = []
    for kind, name in KINDS.items():
        rounds = [f"{kind}:{turn + 1}" for turn in range(run.options.turns)]
        best = {loop: min((measured(run, f"{loop}:{one}") for one in rounds), key=_seconds) for loop in OURS}
        top = max(one["peak"] for one in best.values())
        for loop, one in best.items():
            rate, step = one["flops"] / one["seconds"], one["seconds"] / one["steps"]
            of_fastest = f"{best['xpert']['seconds'] / one['seconds']:.2f}"
            sums = (f"{top / 1e9:.0f}", f"{rate / 1e9:.0f}", f"{step:.2f}", f"{rate / top:.0%}", of_fastest)
            rows.append((f"{LOOPS[loop]}, {name}", *sums))
    return table(("layout", "peak, GFLOP/s", "needed GFLOP/s", "seconds a step", "share", "of the fastest"), rows)


def upper(run: Run) -> str:
    """Seconds of the layers that are trained from an adapter, beside those of all; evaluations are as the product's."""
    measured(run, "start")
    rows = []
    for kind, name in KINDS.items():
        for layout in ("xpert", "leanest"):
            one = measured(run, f"uppermost:{layout}:{kind}")
            cells = [f"{mean(one[which]) / one['steps']:.2f}" for which in ("all", "upper")]
            for suffix in ("", "_whole"):
                pairs = zip(one[f"upper{suffix}"], one[f"all{suffix}"], strict=True)
                cells.append(", ".join(f"{some / every:.2f}" for some, every in pairs))
            rows.append((f"{LOOPS[layout]}, {name}", f"{one['layers']} of {one['of']}", *cells))
    heads = ("layers trained", "all: seconds a step", "these", "these / all, by turn", "with evaluations")
    return table(("layout", *heads), rows)


def _seconds(one: Record) -> float:
    return float(one["seconds"])


PARTS = {"speed": speed, "peak": peak, "upper": upper}
ALONE = {
    "start": start,
    "trainer": trainer,
    "uppermost": uppermost,
    **{layout: partial(ours, layout) for layout in OURS},
}
