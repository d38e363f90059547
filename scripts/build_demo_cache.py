"""Build the embedded cache: one adapter for each of eight language styles, then the catalogue that explains them.

    python scripts/build_demo_cache.py --styles DIR [--people DIR] [--runs DIR] [--out adapters] [--jobs N]

DIR holds `<n>_train.jsonl` for n = 1..8, the language-style data released with the XPerT paper (see
adapters/README.md). --people holds `PERSON/{train,tune}.jsonl` of real people's chats, and people.json with their
counts: a community of CHATTERS of them is put beside the styles. Only `xpert` commands do the work. Run it again after
an interruption: finished adapters are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from benchmarks.writers import USERS, split

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
CHATTERS = 40  # people whose chats communities are made of
COMMUNITIES = ["--communities", "text", "--no-people", "--prefix", "chat", "--rank", "4", "--learning-rate", "2e-3"]
COMMUNITIES += ["--jobs", "1"]


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


def chatters(people: Path, folder: Path) -> Path:
    """A file for each of the CHATTERS with the most turns, none of whom is a user in benchmarks/people.py."""
    counts = json.loads((people / "people.json").read_text("utf-8"))
    _, cached = split(counts, USERS, CHATTERS)
    folder.mkdir(parents=True, exist_ok=True)
    for who in cached:
        turns = "".join((people / who / f"{part}.jsonl").read_text("utf-8") for part in ("train", "tune"))
        (folder / f"{who}.jsonl").write_text(turns, "utf-8")
    return folder


def add_communities(people: Path, runs: Path, out: Path, base: list[str]) -> None:
    """Train communities on people's chats, and put that of everybody beside the styles; nobody's own adapter is made.

    For people who were not trained on, the smaller ones were no better a start: docs/benchmarks/people.md.
    """
    cache = runs / "chat"
    xpert("cache", "train", str(chatters(people, runs / "chatters")), *base, *COMMUNITIES, "--out", str(cache))
    xpert("cache", "add", str(cache), "--cache", str(out), "--least", str(CHATTERS), *base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True, help="folder of the style sets")
    parser.add_argument("--people", type=Path, help="folder of people's chats")
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
        if options.people:
            add_communities(options.people, options.runs, options.out, base)


if __name__ == "__main__":
    main()
