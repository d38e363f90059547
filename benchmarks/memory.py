"""Memory, time and bytes of weights that asking a summarizer takes: all of it at once, and a few layers at a time.

python benchmarks/memory.py --model summarizer.gguf

Each way runs in a process of its own, on 16 texts of 60 words. Memory is the peak of the resident set, pages of files
among it (VmHWM). Of the whole model all bytes are read, since llama.cpp maps the file at once; of the layers those that
are copied, and the rows of the tokens. Not here: the page cache, which the system takes back when it needs it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np

from xpert_cli import gguf, platform
from xpert_cli.llama.model import Model
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.style import described

SAMPLES = 16
WAYS = ("whole", "layers")


def texts() -> list[str]:
    """So many different texts of 60 words, made of the probes."""
    words = " ".join(described.probes()).split()
    return [" ".join((words * 2)[step * len(words) // SAMPLES :][: described.WORDS]) for step in range(SAMPLES)]


def measure(way: str, model: Path, memory: int) -> dict[str, object]:
    """What this process takes to ask `model` about all texts; its first states tell that both ways agree."""
    began = time.perf_counter()
    if way == "layers":
        platform.available_memory = lambda: memory * 4 + described.MARGIN  # explain gives the layers a quarter of it
        states = described.states(texts(), model)
    else:
        with Model(model, context=described.CONTEXT, sequences=described.SEQUENCES, shared=True) as whole:
            states = whole.states(described.questions(texts(), whole))
    seconds, peak = time.perf_counter() - began, platform.peak_memory()
    read = model.stat().st_size if way == "whole" else copied(model)
    return {"seconds": seconds, "peak": peak, "read": read, "states": states.tolist()}


def copied(model: Path) -> int:
    """Bytes of all layers in the file, and of the embeddings of the tokens."""
    header = gguf.read_header(model)
    with Vocabulary(model) as vocabulary:
        tokens = len(set(chain(*described.questions(texts(), vocabulary))))
    embedding = header.tensors["token_embd.weight"]
    layers = sum(info.bytes for name, info in header.tensors.items() if name.startswith("blk."))
    return layers + tokens * embedding.bytes // embedding.shape[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file of architecture llama, qwen2 or qwen3")
    parser.add_argument("--memory", type=int, default=100, help="MB that the weights of a group of layers may take")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    memory = options.memory * 1_000_000
    if options.way:
        print(json.dumps(measure(options.way, options.model, memory)))
        return
    command = [sys.executable, __file__, "--model", str(options.model), "--memory", str(options.memory), "--way"]
    found = [
        json.loads(subprocess.run([*command, way], capture_output=True, text=True, check=True).stdout) for way in WAYS
    ]
    size = options.model.stat().st_size
    print(f"{options.model.name}, {size / 1e6:.0f} MB, {SAMPLES} texts, groups of at most {options.memory} MB")
    print("| | whole | layers | layers / whole |\n|---|---|---|---|")
    for name, key, unit in (
        ("peak memory, MB", "peak", 1e6),
        ("seconds", "seconds", 1),
        ("weights read, MB", "read", 1e6),
    ):
        whole, layers = (some[key] / unit for some in found)
        print(f"| {name} | {whole:.1f} | {layers:.1f} | {layers / whole:.2f} |")
    whole, layers = (np.array(some["states"]) for some in found)
    print(f"largest relative difference of a state: {np.max(np.abs(layers - whole)) / np.max(np.abs(whole)):.1e}")


if __name__ == "__main__":
    main()
