"""Fine-tuning on a CPU: our loop against transformers.Trainer and peft, and against what the machine can do.

    python benchmarks/finetune.py --styles DIR [--only speed,peak,scaling,merged] [--bases FILE...] [--report FILE]

Every measurement runs in a process of its own, one after the other, and is kept under --out, so that an interrupted
benchmark goes on; remove its file there to measure it again, as after a change of the engine. Sections that --only
leaves out are reported as they were last. The section `warmstart` (benchmarks/warmstart.py, hours) runs when it is
named, with --adapters.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from _common import TOKENS, stored, table, write_report
from _measures import BATCH, FIRST, HELD_OUT, MEASURES, RANK, SIDE, STEPS, bench_of

from xpert_cli import platform
from xpert_cli.paths import whole

KINDS = {"float32": "fp32", "bfloat16": "bf16"}
ROUNDS = ("1", "2")
GROWING = {
    "rank": ("rank", (4, 8, 16, 32, 64)),
    "length": ("sample length, one sample a step", (64, 128, 256, 512, 1024)),
    "same-length": (f"sample length, {BATCH * TOKENS} tokens a step", (64, 128, 256, 512, 1024)),
    "samples": ("number of samples", (20, 200, 2000)),
}


def measured(options: argparse.Namespace, name: str, **identity: Any) -> dict[str, Any]:
    """What MEASURES tells of `name`, such as trainer:bfloat16:1, from a process of its own or from its file."""
    made_of = {"base": bench_of(options).fingerprint, "threads": options.threads, **identity}
    return stored(options.out / f"{name.replace(':', '-')}.json", made_of, partial(_child, name))


def _child(name: str) -> dict[str, Any]:
    print(name, file=sys.stderr, flush=True)
    command = [sys.executable, __file__, *sys.argv[1:], "--child", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def speed(options: argparse.Namespace) -> str:
    """Tokens/s, peak memory and loss of both loops."""
    rows = options.rows
    begun = measured(options, "start", rows=rows)
    names = {"trainer": "Trainer + peft", "xpert": "xpert", "packed": "xpert, base left quantized"}
    arms = [(loop, kind) for kind in KINDS for loop in names]
    found = {(*arm, turn): measured(options, ":".join((*arm, turn)), rows=rows) for turn in ROUNDS for arm in arms}
    shown = []
    for loop, kind in arms:
        runs = [found[loop, kind, turn] for turn in ROUNDS]
        rates = [f"{run['tokens_per_second']:.0f}" for run in runs]
        memory = f"{max(run['peak_bytes'] for run in runs) / 1e6:.0f}"
        shown.append(
            (f"{names[loop]}, {KINDS[kind]}", *rates, memory, f"{runs[0]['before']:.4f}", f"{runs[0]['after']:.4f}")
        )
    ratios = []
    against = (("bfloat16", "float32"), ("bfloat16", "bfloat16"), ("float32", "float32"))
    for loop, own, other in [(loop, *kinds) for kinds in against for loop in ("xpert", "packed")]:
        pairs = [(found[loop, own, turn], found["trainer", other, turn]) for turn in ROUNDS]
        faster = [ours["tokens_per_second"] / theirs["tokens_per_second"] for ours, theirs in pairs]
        smaller = mean(ours["peak_bytes"] / theirs["peak_bytes"] for ours, theirs in pairs)
        apart = max(abs(ours["after"] - theirs["after"]) for ours, theirs in pairs)
        label = f"{names[loop]}, {KINDS[own]} / Trainer {KINDS[other]}"
        ratios.append((label, *(f"{ratio:.2f}" for ratio in faster), f"{smaller:.3f}", f"{apart:.4f}"))
    return f"""## Speed and memory

Training rows {FIRST}-{FIRST + rows - 1} of set 4 ({begun["samples"]} samples of {begun["tokens"]} tokens), cut at
{TOKENS} tokens, one pass, rank {RANK} on all linear layers, batch {BATCH}, AdamW, the same order, learning rates and
initial factors, {options.threads} threads, both loops in turn, twice. Tokens are those that are no padding, prompts
included. Seconds run from the first step to the last, so the compilation of kernels that the steps meet first is in
them on both sides; loading and the two evaluations (one goes before training, on both sides) are not. OpenMP's threads
sleep soon when they wait (GOMP_SPINCOUNT), on both sides. Memory is VmHWM of the process, loading included; where the
base is left quantized its layers are read from the file and expanded each time they are used, which `xpert finetune`
chooses where memory is short. Losses are nats a scored token on {HELD_OUT} other rows, before and after, of the first
round.

{table(("loop", "tokens/s, round 1", "round 2", "peak MB", "loss before", "loss after"), shown)}

{table(("ratio", "tokens/s, round 1", "round 2", "peak memory", "losses apart"), ratios)}

Goals: 3 times the tokens/s of fp32, 1.75 times those of bf16, a quarter of the memory and under 900 MB, losses within
0.01."""


def peak(options: argparse.Namespace) -> str:
    """Share of the machine's peak."""
    rows = []
    for kind, name in KINDS.items():
        one = measured(options, f"peak:{kind}", rows=options.rows)
        rate = one["flops"] / one["seconds"]
        step = one["seconds"] / one["steps"]
        rows.append((name, f"{one['peak'] / 1e9:.0f}", f"{rate / 1e9:.0f}", f"{step:.2f}", f"{rate / one['peak']:.0%}"))
    return f"""## Share of the machine's peak

The peak is a product of two {SIDE} x {SIDE} matrices (median of twenty, the better of before and after training) in the
same process, type and threads. Needed are the operations of the frozen layers (output and gradient of the input), of
the LoRA factors, of attention among tokens that see each other, and of the head's output at scored positions; what our
steps do on top, and work out twice to save memory, is not counted, nor what they are spared: tokens that the samples of
a pass begin with count once, the head's gradient not at all. Samples as for speed, whole steps with optimizer, two
before.

{table(("type", "peak, GFLOP/s", "needed GFLOP/s", "seconds a step", "share"), rows)}

Goal: 50 %."""


def scaling(options: argparse.Namespace) -> str:
    """Cost of a step as rank, length, number of samples and base size grow."""
    parts = []
    for kind, (name, values) in GROWING.items():
        told = [measured(options, f"scaling:{kind}:{value}") for value in values]
        parts.append(_growth(name, values, values, told))
    bases = [bench_of(options).base, *options.bases]
    told = [measured(options, f"scaling:base:{path.stem}", bytes=path.stat().st_size) for path in bases]
    sizes = [one["parameters"] / 1e6 for one in told]
    labels = [f"{path.stem}, {size:.0f}" for path, size in zip(bases, sizes, strict=True)]
    parts.append(_growth("base, million parameters", labels, sizes, told))
    head = f"""## How the cost of a step grows

bf16, rank {RANK}, {BATCH} samples of {TOKENS} tokens a step unless the table says otherwise; the mean of {STEPS} steps
after two; memory is VmHWM of the process, loading included. "Of linear" is how much the seconds grew from the line
above over how much the quantity did: 1 is linear growth, less is better."""
    return "\n\n".join([head, *parts])


def _growth(name: str, labels: Sequence[object], values: Sequence[float], told: Sequence[dict[str, Any]]) -> str:
    rows = []
    for at, (label, one) in enumerate(zip(labels, told, strict=True)):
        share = "" if not at else f"{one['seconds'] / told[at - 1]['seconds'] / (values[at] / values[at - 1]):.2f}"
        times = f"{one['seconds'] / told[0]['seconds']:.2f}"
        rows.append((label, one["tokens"], f"{one['seconds']:.3f}", times, share, f"{one['peak_bytes'] / 1e6:.0f}"))
    return table((name, "tokens a step", "seconds a step", "of the first", "of linear", "peak MB"), rows)


def merged(options: argparse.Namespace) -> str:
    """Merged models against base and adapter."""
    rows = []
    for kind in ("F16", "Q8_0", "Q4_1"):
        one = measured(options, f"merged:{kind}")
        losses = [f"{one[name]:.4f}" for name in ("base", "adapter", "merged")]
        apart = f"{one['merged'] - one['adapter']:+.4f}"
        rates = [f"{one[name]:.1f}" for name in ("base_rate", "merged_rate")]
        ratio = f"{one['merged_rate'] / one['base_rate']:.3f}"
        rows.append((kind, *losses, apart, *rates, ratio, f"{one['bytes'] / 1e6:.0f}"))
    head = ("type", "base", "base + adapter", "merged", "apart", "base tokens/s", "merged tokens/s", "ratio", "MB")
    return f"""## Merged models

Loss in nats a scored token on test rows 0-19 of set 4, cut at {TOKENS} tokens, in llama.cpp. Base: the packaged one
(Q4_1) converted to the type; adapter: elementary-informative-plain, at run time or merged in and written in the type.
Tokens/s of greedy generation, medians of six turns about.

{table(head, rows)}

Goals: F16 and Q8_0 within 0.01 of base + adapter, and at least 0.98 of the base's tokens/s. Four bits round away much
of what few steps changed, which is why xpert merges into Q8_0 unless told otherwise."""


def warmstart(options: argparse.Namespace) -> str:
    """Time and data until scratch's best loss."""
    from warmstart import section

    return f"## Warm start\n\n{section(options).strip()}"


SECTIONS: dict[str, Callable[[argparse.Namespace], str]] = {
    "speed": speed,
    "peak": peak,
    "scaling": scaling,
    "merged": merged,
    "warmstart": warmstart,
}


def machine(threads: int) -> str:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    versions = ", ".join(f"{it} {importlib.metadata.version(it)}" for it in ("torch", "transformers", "peft"))
    return f"{name}, {threads} threads of {os.cpu_count()}, {(platform.total_memory() or 0) / 1e9:.0f} GB; {versions}."


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-finetune"))
    parser.add_argument("--only", default="speed,peak,scaling,merged", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--rows", type=int, default=48, help="training rows of the first two sections")
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--bases", type=Path, nargs="*", default=[], help="larger GGUF bases to scale to")
    parser.add_argument("--adapters", type=Path, help="folder of benchmarks/adapters.py, for warmstart")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    options = arguments().parse_args()
    if options.child:
        name, *values = options.child.split(":")
        print(json.dumps(MEASURES[name](options, *values)))
        return
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(SECTIONS):
        sys.exit(f"there is no section {', '.join(sorted(unknown))}; choose of {', '.join(SECTIONS)}")
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(options.threads)}
    platform.prepare_libraries()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        with whole(options.out / f"{name}.md") as part:
            part.write_text(SECTIONS[name](options), "utf-8")
    pages = [options.out / f"{name}.md" for name in SECTIONS]
    told = "\n\n".join(
        [
            "# Fine-tuning on a CPU",
            "```sh\npython benchmarks/finetune.py --styles DIR --report FILE\n```",
            machine(options.threads),
            *(page.read_text("utf-8") for page in pages if page.exists()),
        ]
    )
    print(told)
    write_report(told + "\n", options.report)


if __name__ == "__main__":
    main()
