"""Adapters of diluted styles, for other benchmarks to start from: 8 styles x similarity 30/50/70/80/90 %.

    python -m benchmarks adapters --styles DIR --adapters DIR [--rows 50,240] [--levels 90] [--of-styles 4]

The adapter 4-90 is trained on training rows 0 to rows-1, each of set 4 with probability 0.9, else of the unstyled set
0. Draws are seeded by style and shared by its levels: a row that is styled at 30 % is styled at all of them. Writes
DIR/ROWS/4-90.gguf. Reads --styles, --adapters, --rows, --levels, --of-styles, --threads.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from benchmarks.report import table
from benchmarks.run import STYLES, TOKENS, TUNING, Run
from benchmarks.store import Record, Store
from xpert_cli.corpus import Message
from xpert_cli.training.checkpoints import Checkpoints
from xpert_cli.training.loop import Recipe

HELD_OUT = 20  # rows that losses before and after are measured on
BATCH = 4
LEAST = 30  # steps, as many as `xpert finetune` makes at least


def diluted(run: Run, style: int, level: int, rows: int) -> tuple[list[Message], int]:
    """The training messages of an adapter, and how many of them are styled."""
    draw = random.Random(f"similarity {style}")
    styled = [100 * draw.random() < level for _ in range(rows)]
    pairs = zip(styled, run.rows(f"{style}_train"), run.rows("0_train"), strict=False)
    return [own if chosen else plain for chosen, own, plain in pairs], sum(styled)


def recipe(rows: int) -> Recipe:
    """One pass, at least LEAST steps; the last factors are kept unless the base is better on held-out rows."""
    steps = max(LEAST, math.ceil(rows / BATCH))
    return Recipe(steps=steps, rank=8, learning_rate=1e-3, batch=BATCH, evaluate_every=steps)


def adapter_file(run: Run, style: int, level: int, rows: int) -> Path:
    """Where an adapter is written."""
    return run.options.adapters / str(rows) / f"{style}-{level}.gguf"


def made(run: Run, style: int, level: int, rows: int) -> Record:
    """What is known of an adapter, which is trained first where it is not there."""
    path = adapter_file(run, style, level, rows)
    store, settings = Store(path.parent, run.options.stored), recipe(rows).to_json()
    made_of = {"adapter": path.stem, "base": run.fingerprint, "rows": rows, "tokens": TOKENS, "recipe": settings}
    if not path.exists():
        path.with_suffix(".json").unlink(missing_ok=True)

    def make() -> Record:
        messages, styled = diluted(run, style, level, rows)
        keep = Checkpoints(store.file(f"{path.stem}.part"), made_of)
        held_out = run.rows(f"{style}_train")[TUNING : TUNING + HELD_OUT]
        record = run.adapter(path, messages, held_out, recipe(rows), keep)
        keep.clear()
        return {**record, "styled": styled}

    return store.record(path.stem, made_of, make)


def losses(run: Run, rows: int) -> str:
    """Losses and digests of the adapters of so many rows."""
    lines = []
    for style in run.options.of_styles or STYLES:
        for level in run.options.levels:
            one = made(run, style, level, rows)
            after = [f"{one[key]:.3f}" for key in ("before", "after")]
            lines.append((f"{style}-{level}", one["styled"], *after, one["tokens"], one["sha256"][:16]))
    return table(("adapter", "styled rows", "base", "adapter", "tokens", "sha256 begins with"), lines)


def all_rows(run: Run) -> str:
    """A table for each number of rows that is asked for."""
    return "\n\n".join(f"{rows} rows:\n\n{losses(run, rows)}" for rows in run.options.rows or (240, 50))


PARTS = {"losses": all_rows}
