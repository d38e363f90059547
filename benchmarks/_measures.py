"""What benchmarks/finetune.py measures, one process a measurement: MEASURES["trainer"](options, "bfloat16", "1").

Every function loads what it needs, so that "peak_bytes" (VmHWM of the process) has the load in it. Seconds do not.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from _common import TOKENS, Bench

from xpert_cli import gguf, platform
from xpert_cli.llama.model import Model, Sample
from xpert_cli.models.peft import WEIGHTS, read_peft, write_peft
from xpert_cli.paths import whole
from xpert_cli.training.loop import PACK, Recipe, batch_at, scored_tokens, train
from xpert_cli.training.packing import Pack, packs
from xpert_cli.training.shape import Shape

FIRST, HELD_OUT = 500, 12  # training rows of set 4
RANK, SCALE, BATCH = 8, 2.0, 4
SIDE = 2048  # of the square matrices whose product shows the machine's peak
PROMPT_TOKENS = 32  # not scored, of samples made to length
STEPS = 6  # that are timed where cost grows; two go before
ANSWER, ROUNDS = 128, 6  # generated tokens, and how often
STORY = "Write a long story about a fox who travels through many countries."


def bench_of(options: argparse.Namespace) -> Bench:
    return Bench(options.styles, options.threads)


def samples_of(options: argparse.Namespace) -> tuple[list[Sample], list[Sample]]:
    """The samples that are trained on, whole batches of them, and the held-out ones."""
    bench = bench_of(options)
    messages = bench.rows("4_train")[FIRST:]
    samples = bench.samples(messages[: options.rows])
    return samples[: len(samples) // BATCH * BATCH], bench.samples(messages[options.rows :][:HELD_OUT])


def recipe_of(samples: Sequence[Sample]) -> Recipe:
    """One pass over the samples, measured before and after."""
    steps = len(samples) // BATCH
    return Recipe(steps, RANK, SCALE, batch=BATCH, evaluate_every=steps)


def start(options: argparse.Namespace) -> dict[str, Any]:
    """Writes what both loops begin with: a PEFT folder of fresh factors, and the samples for the loop of others."""
    from xpert_cli.training.decoder import open_decoder

    bench = bench_of(options)
    info = gguf.base_info(bench.base)
    decoder = open_decoder(bench.base, "bfloat16", threads=options.threads)
    decoder.begin(None, RANK, SCALE, seed=0)
    folder = options.out / "start"
    write_peft(decoder.adapter(), folder, heads=info.heads, kv_heads=info.kv_heads, base_name=info.name)
    samples, held_out = samples_of(options)
    with whole(folder / "samples.json") as part:
        part.write_text(json.dumps([samples, held_out]), "utf-8")
    return {"samples": len(samples), "tokens": sum(len(tokens) for tokens, _ in samples)}


def packed(options: argparse.Namespace, dtype: str, turn: str) -> dict[str, Any]:
    """Our loop where memory is short: the base stays quantized in its file."""
    return xpert(options, dtype, turn, packed=True)


def xpert(options: argparse.Namespace, dtype: str, _round: str, *, packed: bool = False) -> dict[str, Any]:
    """Our loop, with the settings of `xpert finetune`."""
    from xpert_cli.training.decoder import open_decoder

    bench = bench_of(options)
    info = gguf.base_info(bench.base)
    samples, held_out = samples_of(options)
    decoder = open_decoder(bench.base, dtype, packed=packed, threads=options.threads)
    first = read_peft(options.out / "start", heads=info.heads, kv_heads=info.kv_heads, architecture=info.architecture)
    ran = train(decoder, samples, held_out, recipe_of(samples), start=first)
    return _trained(ran.tokens, ran.train_seconds, ran.loss_before, ran.curve[-1][1])


def _trained(tokens: int, seconds: float, before: float, after: float) -> dict[str, Any]:
    told = {"tokens": tokens, "seconds": seconds, "before": before, "after": after}
    return {**told, "tokens_per_second": tokens / seconds, "peak_bytes": platform.peak_memory()}


def trainer(options: argparse.Namespace, dtype: str, _round: str) -> dict[str, Any]:
    """transformers.Trainer and peft, as their documentation has it."""
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    samples, held_out = json.loads((options.out / "start" / "samples.json").read_text("utf-8"))
    recipe = recipe_of(samples)
    model, tokenizer = _peft_model(bench_of(options).base, dtype, options.out / "start")
    collator = transformers.DataCollatorForSeq2Seq(tokenizer)
    rows, others = ([_row(*sample) for sample in part] for part in (samples, held_out))
    times: list[float] = []

    class Clock(transformers.TrainerCallback):
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


def needed(header: gguf.Header, passes: Sequence[Sequence[Sample]], rank: int) -> int:
    """Floating-point operations that training on `passes`, samples that run side by side, needs.

    A product of (m, k) and (k, n) is 2 m k n. Frozen matrices: output and gradient of the input, 4 a parameter and
    token, half of that in the first layer's q, k, v, which no factor lies below. LoRA: the output and the gradients of
    input and factors, 6 a parameter and token. Attention: scores and mixed values, and two gradients of each, 12 an
    element of a head and pair of tokens that see each other. The head: the output at scored positions, 2; its gradient,
    of which most is left out, is not counted. Tokens that all samples of a pass begin with count once.
    """
    shape = Shape.of(header)
    packed = [Pack.of(samples) for samples in passes]
    tokens = sum(pack.spans[-1][1] for pack in packed)
    total = 0
    for name, info in header.tensors.items():
        if name.startswith("blk.") and len(info.shape) == 2:
            out, width = info.shape
            total += (4 * out * width + 6 * rank * (out + width)) * tokens
            if name.startswith(("blk.0.attn_q.", "blk.0.attn_k.", "blk.0.attn_v.")):
                total -= (2 * out * width + 2 * rank * width) * tokens
    own = [pack.positions[start:end] for pack in packed for start, end in pack.spans]
    for layer in range(shape.layers):
        window = shape.window if shape.is_local(layer) and shape.window else math.inf
        pairs = sum(int(np.minimum(positions + 1, window).sum()) for positions in own)
        total += 12 * shape.heads * shape.size * pairs
    scored = sum(len(pack.targets) for pack in packed)
    return total + 2 * math.prod(header.tensors["token_embd.weight"].shape) * scored


def peak(options: argparse.Namespace, dtype: str) -> dict[str, Any]:
    """Operations a second of our steps, and of a plain matrix product before and after them."""
    from xpert_cli.training.decoder import open_decoder

    base = bench_of(options).base
    samples, held_out = samples_of(options)
    decoder = open_decoder(base, dtype, threads=options.threads)
    earlier = _products(dtype)
    train(decoder, samples, held_out[:1], Recipe(2, RANK, SCALE, batch=BATCH, evaluate_every=2))
    ran = train(decoder, samples, held_out[:1], recipe_of(samples))
    batches = [[samples[i] for i in batch_at(step, len(samples), BATCH, 0)] for step in range(ran.steps)]
    flops = needed(gguf.read_header(base), [group for batch in batches for group in packs(batch, PACK)], RANK)
    return {"flops": flops, "seconds": ran.train_seconds, "steps": ran.steps, "peak": max(earlier, _products(dtype))}


def _products(dtype: str) -> float:
    """Operations a second of square matrix products, the median of twenty."""
    import torch

    a, b = (torch.randn(SIDE, SIDE).to(getattr(torch, dtype)) for _ in range(2))
    out = torch.mm(a, b)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        torch.mm(a, b, out=out)
        times.append(time.perf_counter() - began)
    return 2 * SIDE**3 / statistics.median(times)


def scaling(options: argparse.Namespace, kind: str, value: str) -> dict[str, Any]:
    """Seconds a step where one quantity differs: a rank, a length, a number of samples, or a base."""
    from xpert_cli.training.decoder import open_decoder

    bench = bench_of(options)
    base = next(path for path in [bench.base, *options.bases] if path.stem == value) if kind == "base" else bench.base
    rank = int(value) if kind == "rank" else RANK
    length = int(value) if "length" in kind else TOKENS
    batch = 1 if kind == "length" else BATCH * TOKENS // length
    samples = _of_length(options, int(value) if kind == "samples" else batch, length)
    decoder = open_decoder(base, "bfloat16", threads=options.threads)
    runs = [
        train(decoder, samples, samples[:1], Recipe(steps, rank, SCALE, batch=batch, evaluate_every=steps))
        for steps in (2, STEPS)
    ]
    header = gguf.read_header(base)
    return {
        "tokens": batch * length,
        "seconds": runs[1].train_seconds / STEPS,
        "peak_bytes": platform.peak_memory(),
        "parameters": sum(math.prod(info.shape) for info in header.tensors.values()),
    }


def _of_length(options: argparse.Namespace, count: int, length: int) -> list[Sample]:
    """Pieces of text in the default base's tokens; to another base they are other text, at the same cost."""
    bench = bench_of(options)
    stream = [token for tokens, _ in bench.samples(bench.rows("4_train")[FIRST:][:48]) for token in tokens]
    begins = [97 * index % (len(stream) - length) for index in range(count)]
    return [(stream[begin : begin + length], PROMPT_TOKENS) for begin in begins]


def merged(options: argparse.Namespace, kind: str) -> dict[str, Any]:
    """Loss and speed of a model merged into type `kind`, and of the base in that type with the adapter beside it."""
    from xpert_cli.models.merging import merge_into_base
    from xpert_cli.models.quantize import quantization_types, quantize
    from xpert_cli.paths import packaged

    bench = bench_of(options)
    adapter = packaged("adapters") / "adapters" / "elementary-informative-plain.gguf"
    samples = bench.samples(bench.rows("4_test")[:20])
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        base, whole_one = Path(folder) / "base.gguf", Path(folder) / "merged.gguf"
        if gguf.read_header(bench.base).metadata["general.file_type"] == quantization_types()[kind]:
            base = bench.base
        else:
            quantize(bench.base, base, kind)
        merge_into_base(bench.base, gguf.read_adapter(adapter), whole_one, kind)
        settings = {"context": 2 * TOKENS, "outputs": TOKENS, "threads": options.threads}
        with Model(base, **settings) as plain, Model(whole_one, **settings) as result:
            told = {"base": _nats(plain, samples), "merged": _nats(result, samples)}
            rates = [(_rate(plain), _rate(result)) for _ in range(ROUNDS)]
            plain.apply([(adapter, 1.0)])
            told["adapter"] = _nats(plain, samples)
        told["bytes"] = whole_one.stat().st_size
    base_rate, merged_rate = (statistics.median(some) for some in zip(*rates, strict=True))
    return {**told, "base_rate": base_rate, "merged_rate": merged_rate}


def _nats(model: Model, samples: Sequence[Sample]) -> float:
    """Mean loss in nats a scored token."""
    sums = [model.nats(sample) for sample in samples]
    return sum(nats for nats, _ in sums) / sum(count for _, count in sums)


def _rate(model: Model) -> float:
    """Generated tokens a second, without the prompt."""
    answer = model.generate_tokens(model.chat(STORY), max_tokens=ANSWER)
    times = [time.perf_counter() for _ in islice(answer, ANSWER)]
    return (len(times) - 1) / (times[-1] - times[0])


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    measure.__name__: measure for measure in (start, xpert, packed, trainer, peak, scaling, merged)
}
