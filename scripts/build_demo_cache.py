"""Build the embedded cache: one adapter for each of eight language styles, then the catalogue that explains them.

    python scripts/build_demo_cache.py --styles DIR [--runs DIR] [--out adapters] [--jobs N]

DIR holds `<n>_train.jsonl` for n = 1..8, the language-style data released with the XPerT paper (see
adapters/README.md). Only `xpert finetune` and `xpert cache build` do the work. Run it again after an interruption:
finished adapters are kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

STYLES = {
    f"{reader}-{size}-{tone}": number
    for number, (reader, size, tone) in enumerate(
        (
            (reader, size, tone)
            for reader in ("elementary", "expert")
            for size in ("concise", "informative")
            for tone in ("playful", "plain")
        ),
        start=1,
    )
}
ABOUT = Path(__file__).resolve().parent.parent / "prompts" / "demo_cache.md"
ROWS = 500  # training rows 0-499; the others belong to benchmarks
RECIPE = ["--from", "base", "--rank", "4", "--steps", "250", "--learning-rate", "1e-3", "--max-tokens", "512"]
RECIPE += ["--held-out", "0.08", "--seed", "0"]


def xpert(*arguments: str, cores: set[int] | None = None) -> None:
    """Run an xpert command, on some of the processor's cores if asked."""
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    subprocess.run([sys.executable, "-m", "xpert_cli", *arguments], check=True, preexec_fn=pin)


def train(style: str, rows: Path, run: Path, base: list[str], cores: set[int] | None) -> None:
    """One adapter, unless its run is finished already."""
    if (run / "run.json").exists():
        return
    text = run.with_suffix(".jsonl")
    text.parent.mkdir(parents=True, exist_ok=True)
    with rows.open(encoding="utf-8") as source, text.open("w", encoding="utf-8") as target:
        target.writelines(islice(source, ROWS))
    print(f"training {style}", flush=True)
    xpert("finetune", str(text), *base, *RECIPE, "--out", str(run), "--quiet", cores=cores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True, help="folder of the style sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/demo-cache"), help="where runs are kept")
    parser.add_argument("--out", type=Path, default=Path("adapters"), help="the cache to write")
    parser.add_argument("--base", help="the base model; xpert's default otherwise")
    parser.add_argument("--jobs", type=int, default=1, help="adapters trained at once, each on its share of the cores")
    parser.add_argument("--train-only", action="store_true", help="stop before the catalogue")
    options = parser.parse_args()
    base = ["--base", options.base] if options.base else []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    share = max(1, len(cores) // options.jobs)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = [
            pool.submit(
                train,
                style,
                options.styles / f"{number}_train.jsonl",
                options.runs / style,
                base,
                set(cores[(i % options.jobs) * share :][:share]) if options.jobs > 1 else None,
            )
            for i, (style, number) in enumerate(STYLES.items())
        ]
        for run in runs:
            run.result()
    if not options.train_only:
        xpert(
            "cache",
            "build",
            *(str(options.runs / style) for style in STYLES),
            *base,
            "--about",
            str(ABOUT),
            "--out",
            str(options.out),
        )


if __name__ == "__main__":
    main()
