"""Adapters of diluted styles, for other benchmarks to start from: 8 styles x similarity 30/50/70/80/90 %.

    python benchmarks/adapters.py --styles DIR --out DIR [--rows 240] [--only 4:90,1:30] [--report FILE]

The adapter 4-90 is trained on training rows 0 to rows-1, each of set 4 with probability 0.9, else of the unstyled set
0. Draws are seeded by style and shared by its levels: a row that is styled at 30 % is styled at all of them. Writes
OUT/ROWS/4-90.gguf and, when it is done, 4-90.json beside it; what is done is not done again, and a stopped run carries
on. OUT/ROWS/index.json holds recipe, digests and losses of all. --report puts them, for every ROWS in OUT, in one page.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
from functools import partial
from pathlib import Path
from typing import Any

from _common import TOKENS, TUNING, Bench, kept, stored, table, write_report

from xpert_cli import gguf, platform
from xpert_cli.corpus import Message
from xpert_cli.gguf.adapter import FINGERPRINT
from xpert_cli.paths import digest, whole
from xpert_cli.training.checkpoints import Checkpoints
from xpert_cli.training.loop import Recipe, train

LEVELS = (30, 50, 70, 80, 90)
FIRST, OTHERS = (1, 4, 6, 7), (2, 3, 5, 8)
HELD_OUT = 20  # rows that losses before and after are measured on
BATCH = 4
LEAST = 30  # steps, as many as `xpert finetune` makes at least


def identifiers() -> list[str]:
    """All adapters, those that are wanted first at the front."""
    first = [(style, 90) for style in FIRST] + [(style, level) for style in FIRST for level in LEVELS[:-1]]
    others = [(style, level) for level in (90, 30, 50, 70, 80) for style in OTHERS]
    return [f"{style}-{level}" for style, level in first + others]


def diluted(bench: Bench, style: int, level: int, rows: int) -> tuple[list[Message], int]:
    """The training messages of an adapter, and how many of them are styled."""
    draw = random.Random(f"similarity {style}")
    styled = [100 * draw.random() < level for _ in range(rows)]
    pairs = zip(styled, bench.rows(f"{style}_train"), bench.rows("0_train"), strict=False)
    return [own if chosen else plain for chosen, own, plain in pairs], sum(styled)


def recipe(rows: int) -> Recipe:
    """One pass, at least LEAST steps; the last factors are kept unless the base is better on held-out rows."""
    steps = max(LEAST, math.ceil(rows / BATCH))
    return Recipe(steps=steps, rank=8, learning_rate=1e-3, batch=BATCH, evaluate_every=steps)


def identity(bench: Bench, name: str, rows: int) -> dict[str, Any]:
    """What an adapter is made of."""
    made_of = {"base": bench.fingerprint, "rows": rows, "tokens": TOKENS, "recipe": dataclasses.asdict(recipe(rows))}
    return {"adapter": name, **made_of}


def make(bench: Bench, name: str, rows: int, path: Path) -> dict[str, Any]:
    """Train one adapter, write it, and tell of it."""
    style, level = map(int, name.split("-"))
    messages, styled = diluted(bench, style, level, rows)
    tuning = bench.samples(bench.rows(f"{style}_train")[TUNING : TUNING + HELD_OUT])
    keep = Checkpoints(path.with_suffix(".part"), identity(bench, name, rows))
    trained = train(bench.decoder, bench.samples(messages), tuning, recipe(rows), keep=keep)
    adapter = dataclasses.replace(trained.adapter, metadata={FINGERPRINT: bench.fingerprint})
    gguf.write_adapter(adapter, path, "F16")
    keep.clear()
    return {
        "sha256": digest(path),
        "styled": styled,
        "before": trained.loss_before,
        "after": trained.loss_after,
        "best_step": trained.best_step,
        "tokens": trained.tokens,
        "seconds": trained.seconds,
    }


def index(bench: Bench, rows: int, folder: Path) -> dict[str, Any]:
    """Recipe and all finished adapters of a folder, as index.json holds them."""
    found = {name: kept(folder / f"{name}.json", identity(bench, name, rows)) for name in identifiers()}
    told = {key: value for key, value in identity(bench, "", rows).items() if key != "adapter"}
    return {**told, "adapters": {name: one for name, one in found.items() if one}}


def tables(told: dict[str, Any]) -> str:
    """Markdown of an index."""
    rows = [
        (name, one["styled"], f"{one['before']:.3f}", f"{one['after']:.3f}", one["tokens"])
        for name, one in told["adapters"].items()
    ]
    head = ("adapter", "styled rows", "base", "adapter", "tokens")
    if unmoved := [name for name, one in told["adapters"].items() if not one["best_step"]]:
        return table(head, rows) + f"\n\nNo better than the base, and without effect: {', '.join(unmoved)}."
    return table(head, rows)


def report(out: Path) -> str:
    """Markdown: recipe, losses and digests of every index under `out`."""
    parts = [
        "# Adapters of diluted styles\n",
        "```sh\npython benchmarks/adapters.py --styles DIR --out DIR --rows 240\n```\n",
        "Adapter 4-90 is trained on rows of set 4 with probability 0.9, else on the same prompt's row of the unstyled",
        f"set 0. Losses are nats a response token on training rows {TUNING}-{TUNING + HELD_OUT - 1} of the style, cut",
        f"at {TOKENS} tokens like the training rows. Digests (sha256) hold for one kind of processor and one number of",
        "threads: sums in another order round differently.",
    ]
    for path in sorted(out.glob("*/index.json"), key=lambda path: -int(path.parent.name)):
        told = json.loads(path.read_text("utf-8"))
        settings = ", ".join(f"{key} {value}" for key, value in told["recipe"].items())
        parts += [f"\n## {told['rows']} rows\n", f"{settings}; base {told['base']}.\n", tables(told)]
        digests = [f"{one['sha256']}  {name}.gguf" for name, one in told["adapters"].items()]
        parts.append("\n```\n" + "\n".join(digests) + "\n```")
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--only", default="", help="such as 4:90,1:30; all 40 by default")
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    wanted = [part.replace(":", "-") for part in options.only.split(",")] if options.only else identifiers()
    if unknown := set(wanted) - set(identifiers()):
        parser.error(f"there is no adapter {', '.join(sorted(unknown))}; there is 4:90")
    bench, rows, folder = Bench(options.styles, options.threads), options.rows, options.out / str(options.rows)
    for name in wanted:
        path = folder / f"{name}.gguf"
        if not path.exists():
            path.with_suffix(".json").unlink(missing_ok=True)
        told = stored(path.with_suffix(".json"), identity(bench, name, rows), partial(make, bench, name, rows, path))
        print(f"{name}: {told['before']:.3f} -> {told['after']:.3f} in {told['seconds']:.0f} s", flush=True)
        with whole(folder / "index.json") as part:
            part.write_text(json.dumps(index(bench, rows, folder), indent=1) + "\n", "utf-8")
    print("\n" + tables(index(bench, rows, folder)))
    write_report(report(options.out), options.report)


if __name__ == "__main__":
    main()
