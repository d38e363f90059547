"""Whole runs of `xpert finetune` on larger bases: memory of all their processes, by phase, and where the time goes.

    python -m benchmarks memory --models small.gguf,large.gguf --limits 700,1100 --styles DIR

Each base is fine-tuned by the command's own function in a process of its own, within the megabytes of --limits (one a
base), for STEPS steps of 4 samples of 256 tokens at rank 8, merged, and asked before and after. What it and its
children hold is read from /proc every 50 ms: RssAnon is memory that nobody else can give back, and VmRSS has the pages
of mapped files too. Stored as all measurements. Not here: speed against other programs (finetune.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from benchmarks.report import table
from benchmarks.run import TOKENS, Run
from benchmarks.store import Record
from xpert_cli import gguf, paths
from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import BadInput

STEPS, LONG = 2, 60  # steps that are measured, and steps of the run whose shares are told
FIRST, MESSAGES = 500, 10  # training rows of set 4 of which the long ones are taken
CHARACTERS = range(850, 1050)  # of a message that fills a sample
EVERY = 0.05  # seconds
PHASES = {
    "asking the model": "before and after",
    "loading the base model": "first loss",
    "step": "training",
    "placing your writing": "placing",
    "merging": "merging",
    "quantizing": "merging",
}
COLUMNS = ("preparing", "first loss", "training", "placing", "merging", "before and after")
LAID_OUT = ("first loss", "training")  # the phases whose memory is estimated: no file is mapped in them


def messages(run: Run) -> list[Message]:
    """Messages that each fill a sample."""
    long = (one for one in run.rows("4_train")[FIRST:] if len(one.response) in CHARACTERS)
    return [message for message, _ in zip(long, range(MESSAGES), strict=False)]


def whole(run: Run, model: str, limit: str) -> Record:
    """Run alone: one fine-tuning within so many megabytes; says on standard error when which phase begins."""
    from xpert_cli.training.finetune import Budget, Settings, Start, finetune

    latest = ""

    def progress(message: str, fraction: float) -> None:
        nonlocal latest
        phase = next((name for start, name in PHASES.items() if message.startswith(start)), "preparing")
        if phase != latest:
            latest = phase
            print(f"{time.monotonic()}\t{phase}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XPERT_HOME"] = folder
        settings = Settings(steps=STEPS, max_tokens=TOKENS, out=Path(folder) / "run")
        budget = Budget(memory=int(limit) * 10**6)
        done = finetune(Corpus(tuple(messages(run))), Path(model), None, Start(), settings, budget, progress=progress)
        print(f"{time.monotonic()}\tend", file=sys.stderr, flush=True)
        return {
            "estimate": done.memory.memory_estimate_bytes,
            "peak": done.memory.peak_rss_bytes,
            "layout": {"pack": done.layout.pack, "recompute": done.layout.recompute, "dtype": done.layout.dtype},
            "steps": done.losses.steps,
            "tokens": done.losses.tokens,
            "tokens_per_second": done.losses.tokens_per_second,
            "losses": [done.losses.loss_before, done.losses.loss_after],
        }


def sampled(run: Run, model: Path, limit: int) -> Record:
    """One run, watched from outside: its record with the peaks and the seconds of every phase."""
    command = [sys.executable, "-m", "benchmarks", "memory", "--alone", f"whole:{model}:{limit}", *run.arguments]
    environment = os.environ | {"OMP_NUM_THREADS": str(run.options.threads)}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    marks, lines = [(time.monotonic(), "preparing")], list[str]()

    def listen() -> None:
        for line in child.stderr or ():
            moment, _, phase = line.rstrip("\n").partition("\t")
            if phase:
                marks.append((float(moment), phase))
            else:
                lines.append(line)

    listening = threading.Thread(target=listen)
    listening.start()
    readings = []
    while child.poll() is None:
        readings.append((time.monotonic(), *held(child.pid)))
        time.sleep(EVERY)
    listening.join()
    output = child.stdout.read() if child.stdout else ""
    if child.returncode:
        raise BadInput(f"fine-tuning {model} failed: {''.join(lines[-1:])}")
    phases: dict[str, dict[str, float]] = {}
    for (begin, phase), (end, _) in zip(marks, [*marks[1:], (time.monotonic(), "")], strict=True):
        inside = [one for one in readings if begin <= one[0] < end]
        so_far = phases.setdefault(phase, {"seconds": 0.0, "anonymous": 0, "resident": 0})
        so_far["seconds"] += end - begin
        so_far["anonymous"] = max([so_far["anonymous"], *(anonymous for _, anonymous, _ in inside)])
        so_far["resident"] = max([so_far["resident"], *(resident for *_, resident in inside)])
    return {**json.loads(output.splitlines()[-1]), "phases": phases}


def held(process: int) -> tuple[int, int]:
    """Bytes that a process and its children hold now: RssAnon, VmRSS."""
    anonymous = resident = 0
    for one in family(process):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        sizes = {name: value for name, _, value in (line.partition(":") for line in lines)}
        anonymous += int(sizes.get("RssAnon", "0 kB").split()[0]) << 10
        resident += int(sizes.get("VmRSS", "0 kB").split()[0]) << 10
    return anonymous, resident


def family(process: int) -> list[int]:
    """A process and all below it."""
    processes = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            processes += [one for child in task.read_text().split() for one in family(int(child))]
        except OSError:
            continue
    return processes


def measured(run: Run) -> list[tuple[Path, int, Record]]:
    """(base, limit, record) of each base."""
    if len(run.options.models) != len(run.options.limits) or not run.options.models:
        raise BadInput("this benchmark needs --models and, in MB, as many --limits.")
    rows = []
    for model, limit in zip(run.options.models, run.options.limits, strict=True):
        made_of = {"base": paths.digest(model), "limit": limit, "threads": run.options.threads, "steps": STEPS}
        name = f"{gguf.base_info(model).fingerprint[:12]}-{limit}"
        rows.append((model, limit, run.store.record(name, made_of, partial(sampled, run, model, limit))))
    return rows


def peaks(run: Run) -> str:
    """Peaks of the whole run and of its phases, beside the estimate that is printed before loading."""
    rows = []
    for model, limit, record in measured(run):
        phases = record["phases"]
        peak = max(one["anonymous"] for one in phases.values())
        resident = max(one["resident"] for one in phases.values())
        each = [megabytes(phases[name]["anonymous"]) if name in phases else "" for name in COLUMNS]
        laid_out = max(phases[name]["resident"] for name in LAID_OUT)
        off = f"{record['estimate'] / laid_out - 1:+.0%}"
        sums = [megabytes(one) for one in (record["estimate"], laid_out)]
        rows.append((model.stem, limit, *sums, off, megabytes(peak), *each, megabytes(resident)))
    head = ("base", "--memory MB", "estimate", "VmRSS, training", "off", "RssAnon", *COLUMNS, "VmRSS")
    return table(head, rows)


def megabytes(count: float) -> str:
    """Bytes in millions."""
    return f"{count / 1e6:.0f}"


def times(run: Run) -> str:
    """Seconds of each phase, and what comes after training beside a run of LONG steps."""
    rows = []
    for model, _, record in measured(run):
        seconds = {name: one["seconds"] for name, one in record["phases"].items()}
        after = sum(seconds.get(name, 0.0) for name in ("placing", "merging", "before and after", "end"))
        long = LONG * record["tokens"] / record["steps"] / record["tokens_per_second"]
        share = after / (seconds["preparing"] + seconds["first loss"] + long + after)
        each = [f"{seconds.get(name, 0.0):.1f}" for name in COLUMNS]
        rows.append((model.stem, f"{record['tokens_per_second']:.0f}", *each, f"{share:.1%}"))
    return table(("base", "tokens/s", *COLUMNS, f"after, of {LONG} steps"), rows)


PARTS = {"peaks": peaks, "times": times}
ALONE = {"whole": whole}
