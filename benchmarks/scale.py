"""What does choosing cost in a cache of 8, 1,000, 100,000 and 1,000,000 people, and does it find the nearest?

    python -m benchmarks scale --people DIR --threads 2 [--only cost] [--report]

The people are synthetic, drawn from real ones (synthetic.py); users are real, and none of those drawn from. Caches are
made once, below --out, and are in schema 2. `cost` runs `xpert select` in a process of its own; `recall` compares what
an index finds with a full scan of all coordinates. Reads --people, --users (all), --threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import share_text
from benchmarks.report import table
from benchmarks.run import Run
from benchmarks.store import Record
from benchmarks.synthetic import PLACES, people, users, write
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import BadInput
from xpert_cli.hub.files import Part, Source
from xpert_cli.selection.project import Projection, project
from xpert_cli.selection.score import scores
from xpert_cli.selection.search import nearest
from xpert_cli.style.space import Floats

SIZES = (8, 1_000, 100_000, 1_000_000)
TEXTS = 20  # of a user
TRIES = 3  # after one that is not counted: it reads files into memory, and tries adapters


class Counted(Source):
    """A folder that tells how many bytes of it were read."""

    read = 0

    def file(self, relative: str, sha256: str | None = None, size: int | None = None) -> Path:
        path = super().file(relative, sha256, size)
        self.read += path.stat().st_size
        return path

    def parts(self, wanted: Sequence[Part]) -> list[bytes]:
        self.read += sum(part.size for part in wanted)
        return super().parts(wanted)


def _folder(run: Run) -> Path:
    if run.options.people is None:
        raise BadInput("this benchmark reads people's turns. Name their folder with --people.")
    return run.options.people


def _cache(run: Run, size: int) -> Path:
    """The folder of a cache, made if it is not there."""
    folder = run.store.file(f"cache-{size}/catalogue.json").parent
    if not (folder / "catalogue.json").exists():
        write(folder, people(_folder(run)), size)
    return folder


def _written(texts: Sequence[str]) -> Corpus:
    return Corpus(tuple(Message("", text, "") for text in texts[:TEXTS]))


def select(run: Run, size: str) -> Record:
    """Seconds and memory of `xpert select` for one user, and the seconds of counting in the user's text."""
    folder, text = _cache(run, int(size)), run.store.file("user.jsonl")
    first = users(_folder(run))[0][:TEXTS]
    text.write_text("".join(json.dumps({"prompt": "?", "response": one}) + "\n" for one in first), "utf-8")
    command = [sys.executable, "-m", "xpert_cli", "select", str(text), "--cache", str(folder), "--json", "--quiet"]
    environment = os.environ | {"XPERT_HOME": str(run.store.file("home"))}
    seconds, processor, memory = [], [], []
    for _ in range(TRIES + 1):
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise BadInput(f"xpert select failed on {folder}. Run it by hand: {' '.join(command)}")
        seconds.append(time.monotonic() - began)
        processor.append(used.ru_utime + used.ru_stime)
        memory.append(used.ru_maxrss * 1024)
    cache, began = open_cache(source := Counted(str(folder), folder)), time.process_time()
    projection = project(_written(first), cache, run.base, measured_only=True).telling()
    counting = time.process_time() - began
    assert nearest(cache, projection)[0].entries
    least = {"seconds": min(seconds[1:]), "processor": min(processor[1:]), "memory": max(memory[1:])}
    return {**least, "counting": counting, "bytes": source.read}


def compare(run: Run, size: str) -> Record:
    """How many users' nearest is found, and by how much the score of what is found is less."""
    folder = _cache(run, int(size))
    cache, places = open_cache(Source(size, folder)), np.load(folder / PLACES, mmap_mode="r")
    lost = []
    for texts in users(_folder(run))[: run.options.users or None]:
        projection = project(_written(texts), cache, run.base, measured_only=True).telling()
        view, rest = nearest(cache, projection)
        own = scores(projection.shift, view.coordinates[:, projection.used], projection.space, rest).max()
        assert rest is not None
        first = places[_first(places, projection, rest.mean)][:, projection.used].astype(np.float64)
        lost.append(float(max(0.0, scores(projection.shift, first, projection.space, rest).max() - own)))
    same = sum(one < 1e-9 for one in lost)
    return {"same": same, "users": len(lost), "loss": float(np.mean(lost)), "most": max(lost)}


def _first(places: Any, projection: Projection, mean: Floats) -> Any:
    """The rows of the 64 best of all, by scores in single precision; these are then scored exactly."""
    root = np.linalg.cholesky(projection.space.precision).astype(np.float32)
    user, middle = (projection.shift @ root).astype(np.float32), (mean @ root).astype(np.float32)
    near = np.empty(len(places), np.float32)
    for at in range(0, len(places), 1 << 15):
        rows = places[at : at + (1 << 15)][:, projection.used].astype(np.float32) @ root
        parts = [(rows, user), (rows - middle, user - middle)]
        cosines = [some @ aim / np.linalg.norm(some, axis=1) / np.linalg.norm(aim) for some, aim in parts]
        near[at : at + (1 << 15)] = cosines[0] + cosines[1]
    return np.sort(np.argsort(-near)[:64])


def cost(run: Run) -> str:
    """Bytes, seconds and memory by size."""
    rows = []
    for size in SIZES:
        one = run.store.record(f"cost-{size}", {"texts": TEXTS}, partial(run.alone, f"select:{size}"))
        seconds = [f"{one[name]:.2f}" for name in ("seconds", "processor", "counting")]
        rows.append((f"{size:,}", round(one["bytes"] / 1e3), *seconds, round(one["memory"] / 1e6)))
    head = ("people", "kB before the decision", "seconds", "processor seconds", "of these counting", "MB of memory")
    return table(head, rows)


def recall(run: Run) -> str:
    """Whether the nearest is found, by size."""
    rows = []
    for size in SIZES[1:]:
        one = run.store.record(f"recall-{size}", {"texts": TEXTS}, partial(run.alone, f"compare:{size}"))
        share = share_text(one["same"], one["users"], digits=1, unit=" %")
        rows.append((f"{size:,}", one["users"], share, f"{one['loss']:.5f}", f"{one['most']:.4f}"))
    return table(("people", "users", "nearest found", "mean loss of score", "largest"), rows)


PARTS = {"cost": cost, "recall": recall}
ALONE = {"select": select, "compare": compare}
