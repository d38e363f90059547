"""Generation tokens/s beside programs that keep cores busy: each fixed number of threads, and the number xpert chooses.

    python -m benchmarks threads [--report]

Busy programs are Python loops that do nothing else. All numbers of threads take turns, in one process; the last column
is what xpert's choice reaches of the best fixed number. Nothing is stored. To be run on a machine that does nothing
else.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.report import table
from benchmarks.run import Run
from xpert_cli import platform
from xpert_cli.llama.model import Model

ROUNDS, TOKENS, LOOPS = 5, 96, (0, 1, 2, 4)
PROMPT = "Write a long story about a fox who travels through many countries."


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """While so many programs compute without end."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        time.sleep(2.0)
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def rate(run: Run, threads: int | None) -> tuple[float, int]:
    """Tokens a second of one answer, its first token aside, and the threads it ended with."""
    with Model(run.base, context=512, threads=threads) as model:
        times = [time.perf_counter() for _ in model.generate_tokens(model.chat(PROMPT), max_tokens=TOKENS)]
        return (len(times) - 1) / (times[-1] - times[0]), model.threads


def generation(run: Run) -> str:
    """By busy programs: the medians of every number of threads, and of xpert's own choice."""
    fixed, rows = [*range(1, platform.cores() + 1)], []
    for loops in LOOPS:
        with busy(loops):
            rate(run, 1)  # reads the file
            rates: dict[int | None, list[tuple[float, int]]] = {threads: [] for threads in (*fixed, None)}
            for _ in range(ROUNDS):
                for threads, results in rates.items():
                    results.append(rate(run, threads))
        medians = {threads: statistics.median(speed for speed, _ in results) for threads, results in rates.items()}
        best = max(medians[threads] for threads in fixed)
        chosen = "/".join(sorted({str(ended) for _, ended in rates[None]}))
        speeds = [f"{medians[threads]:.1f}" for threads in fixed]
        rows.append((loops, *speeds, f"{medians[None]:.1f}", chosen, f"{medians[None] / best:.2f}"))
    counts = (f"{threads} thread{'s' if threads > 1 else ''}" for threads in fixed)
    head = ("busy programs", *counts, "xpert", "its threads", "of the best")
    return table(head, rows)


PARTS = {"generation": generation}
