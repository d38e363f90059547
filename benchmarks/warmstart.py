"""Held-out loss of a user of each style: 30 steps from the selected adapter against 30 steps from the base.

    python benchmarks/warmstart.py --styles DIR [--out DIR] [--only 1,4,6,7]

A user has 40 messages (training rows 500-539 of the style), about half of them held out: 20 to learn from, 20 that the
losses, in nats a response token, are measured on. Both arms have rank 4, texts cut at 96 tokens, xpert's own learning
rates, and keep their best of the losses taken every 5 steps. Finished runs are kept under --out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

STEPS, FIRST, MESSAGES, TOKENS = 30, 500, 40, 96


def run(style: int, arm: str, styles: Path, out: Path) -> dict[str, Any]:
    """What `xpert finetune --from base|selection` prints for one user."""
    path = out / f"{style}-{arm}.json"
    if not path.exists():
        text = out / f"{style}.jsonl"
        with (styles / f"{style}_train.jsonl").open(encoding="utf-8") as lines:
            text.write_text("".join(islice(lines, FIRST, FIRST + MESSAGES)), "utf-8")
        options = ["--steps", str(STEPS), "--rank", "4", "--max-tokens", str(TOKENS), "--held-out", "0.5"]
        command = [sys.executable, "-m", "xpert_cli", "finetune", str(text), "--from", arm]
        folder = ["--out", str(out / f"{style}-{arm}"), "--json", "--quiet"]
        done = subprocess.run([*command, *options, *folder], check=True, stdout=subprocess.PIPE)
        path.write_bytes(done.stdout)
    return dict(json.loads(path.read_text("utf-8")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-warmstart"))
    parser.add_argument("--only", default="1,2,3,4,5,6,7,8", help="numbers of the styles, with commas")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| style | started from | base | base + 30 steps | selection | selection + 30 steps |")
    print("|---|---|---|---|---|---|")
    gained = []
    for style in map(int, options.only.split(",")):
        warm, cold = (run(style, arm, options.styles, options.out) for arm in ("selection", "base"))
        picked = " + ".join(f"{one['weight']:g} {one['adapter']}" for one in warm["started_from"]) or "base"
        losses = [cold["loss_base"], cold["loss_after"], warm["loss_before"], warm["loss_after"]]
        print(f"| {style} | {picked} | " + " | ".join(f"{loss:.3f}" for loss in losses) + " |", flush=True)
        gained.append(cold["loss_after"] - warm["loss_after"])
    print(f"\nThe warm start ends {sum(gained) / len(gained):.3f} nats a token lower on average.")


if __name__ == "__main__":
    main()
