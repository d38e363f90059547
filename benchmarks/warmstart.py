"""Held-out loss of a user of each style: 30 steps from the selected adapter against 30 steps from the base.

    python benchmarks/warmstart.py --styles DIR [--out DIR] [--only 1,4,6,7]

A user has 20 messages (training rows 500-519 of the style); losses, in nats a response token, are measured on 12 other
messages (rows 520-531). Both arms have rank 4, texts cut at 96 tokens and xpert's own learning rates, and keep the best
of the losses taken every 15 steps. The adapter is selected by measured axes. Finished users are kept under --out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from xpert_cli.doors import gguf, trainer
from xpert_cli.doors.corpus import Corpus, read
from xpert_cli.doors.hub import find_base, open_source
from xpert_cli.doors.llama_vocabulary import Vocabulary
from xpert_cli.maths.adapters import Adapter, merge, recompress
from xpert_cli.paths import default
from xpert_cli.steps.catalogue import Catalogue, open_cache
from xpert_cli.steps.samples import tokenized
from xpert_cli.verbs.select import select

STEPS, FIRST, MESSAGES, HELD_OUT, TOKENS, RANK = 30, 500, 20, 12, 96, 4


def user(style: int, styles: Path, base: Path, cache: Catalogue) -> dict[str, Any]:
    """Losses of one user, both ways."""
    trainer.require()
    rows = read([str(styles / f"{style}_train.jsonl")]).messages
    messages, others = Corpus(rows[FIRST:][:MESSAGES]), Corpus(rows[FIRST + MESSAGES :][:HELD_OUT])
    chosen = select(messages, cache, base, measured_only=True)
    merged = merge([(gguf.read_adapter(path), weight) for path, weight in chosen.files])
    warm: Adapter = merged if merged.rank == RANK else recompress(merged, RANK)[0]
    with Vocabulary(base) as vocabulary:
        samples, held = (tokenized(vocabulary, part, TOKENS) for part in (messages, others))
    told: dict[str, Any] = {"from": " + ".join(f"{one.weight:g} {one.adapter}" for one in chosen.selected)}
    for arm, start, rate in (("warm", warm, 5e-4), ("cold", None, 1e-3)):
        recipe = trainer.Recipe(steps=STEPS, rank=RANK, learning_rate=rate, evaluate_every=15)
        ran = trainer.train(base, samples, held, recipe, start=start)
        told[arm] = {"base": ran.loss_base, "before": ran.loss_before, "after": ran.loss_after}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-warmstart"))
    parser.add_argument("--only", default="1,2,3,4,5,6,7,8", help="numbers of the styles, with commas")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    base, cache = find_base(default("base")), open_cache(open_source("embedded"))
    print("| style | started from | base | base + 30 steps | selection | selection + 30 steps |")
    print("|---|---|---|---|---|---|")
    gained = []
    for style in map(int, options.only.split(",")):
        path = options.out / f"{style}.json"
        if not path.exists():
            path.write_text(json.dumps(user(style, options.styles, base, cache)), "utf-8")
        told = json.loads(path.read_text("utf-8"))
        cold, warm = told["cold"], told["warm"]
        losses = " | ".join(f"{loss:.3f}" for loss in (cold["base"], cold["after"], warm["before"], warm["after"]))
        print(f"| {style} | {told['from']} | {losses} |", flush=True)
        gained.append(cold["after"] - warm["after"])
    print(f"\nThe warm start ends {sum(gained) / len(gained):.3f} nats a token lower on average.")


if __name__ == "__main__":
    main()
