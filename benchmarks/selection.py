"""How often the right adapter is ranked first, on users of 20 test rows of each style.

    python benchmarks/selection.py --styles DIR [--out DIR]

Candidates are the embedded cache's eight adapters (chance 12.5 %), explained by their answers to the probes only, and
by the coordinates of their training text; both once more with length removed: length axes dropped and every text cut to
its first 50 words. Readings are kept under --out, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from xpert_cli.doors.corpus import read
from xpert_cli.doors.hub import find_base, open_source
from xpert_cli.maths.selection import direction_scores
from xpert_cli.maths.space import Axis, Floats, Readings, Space
from xpert_cli.maths.style import cut
from xpert_cli.paths import default
from xpert_cli.steps import explain
from xpert_cli.steps.catalogue import open_cache
from xpert_cli.verbs.cache import answer_probes, placed

POOL = 60  # test rows of a style that users are drawn from
TRAINING, ASKED = 500, 60  # training rows of a style behind source coordinates without length: counted, asked about
DRAWS, SAMPLES, CUT = 25, 20, 50


def say(message: str, fraction: float = 0.0) -> None:
    print(f"\r{message} {fraction:4.0%}\x1b[K", end="", file=sys.stderr, flush=True)


def readings(
    name: str, texts: list[str], basis: explain.Basis, base: Path, out: Path, asked: int | None = None
) -> Floats:
    """(texts, axes) readings, kept in a file named by what they were made of."""
    key = hashlib.sha256(json.dumps([name, texts, explain.questions_digest(basis)]).encode()).hexdigest()[:16]
    path = out / f"{name}-{key}.npy"
    if not path.exists():
        found = explain.read(texts, basis, base, lambda message, part: say(name, part), asked=asked or len(texts))
        np.save(path, found.values)
    return np.asarray(np.load(path), np.float64)


def rows(path: Path, count: int) -> list[str]:
    """The first responses of a style set."""
    return list(read([str(path)]).texts[:count])


def without_length(
    styles: Path, answers: dict[str, list[str]], basis: explain.Basis, axes: tuple[Axis, ...], base: Path, out: Path
) -> tuple[Space, Floats, Floats]:
    """The cache's space and coordinates once more, from texts cut to their first words."""
    said = [[cut(text, CUT) for text in texts] for texts in answers.values()]
    shown = [Readings(readings("answers", texts, basis, base, out)) for texts in said]
    trained = [[cut(text, CUT) for text in rows(styles / f"{s}_train.jsonl", TRAINING)] for s in range(1, 9)]
    sources = [Readings(readings("train", some, basis, base, out, ASKED)) for some in trained]
    return placed(axes, basis, shown, [source.mean for source in sources])


def accuracy(users: list[Floats], adapters: Floats, space: Space, samples: int) -> Floats:
    """(styles, adapters) how often each adapter was first for users of each style."""
    draw = np.random.default_rng(0)
    counts = np.zeros((len(users), len(adapters)))
    for style, pool in enumerate(users):
        for _ in range(DRAWS):
            mean = Readings(pool[draw.choice(len(pool), samples, replace=False)]).mean
            scores = direction_scores(space.shift(mean, writing=True), adapters, space.precision)
            counts[style, int(np.argmax(scores))] += 1
    return counts


def interval(right: float, total: float) -> str:
    """Wilson's 95 % interval of a share, in per cent."""
    z, p = 1.96, right / total
    centre, half = p + z * z / (2 * total), z * np.sqrt(p * (1 - p) / total + z * z / (4 * total**2))
    return f"{100 * (centre - half) / (1 + z * z / total):.0f}-{100 * (centre + half) / (1 + z * z / total):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-selection"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    base, cache = find_base(default("base")), open_cache(open_source("embedded"))
    ids = [entry.id for entry in cache.entries]
    axes, basis = cache.space.axes, cache.space.basis
    answers = answer_probes(base, {name: cache.fetch(name) for name in ids}, options.out, 0, say)
    tests = [rows(options.styles / f"{s}_test.jsonl", POOL) for s in range(1, 9)]
    print("| setting | explained by | samples | first is right | 95 % interval |\n|---|---|---|---|---|")
    tables = []
    for setting in ("full", "length removed"):
        if setting == "full":
            space, shown, origins, texts = cache.space, cache.answers, cache.origins, tests
        else:
            texts = [[cut(text, CUT) for text in some] for some in tests]
            space, shown, origins = without_length(options.styles, answers, basis, axes, base, options.out)
        users = [readings("test", some, basis, base, options.out) for some in texts]
        keep = np.array([not (axis.length and setting == "length removed") for axis in axes])
        described = np.array([axis.kind == "described" for axis in axes])
        for kind, used in (("", keep), ("measured only", keep & ~described), ("described only", keep & described)):
            part = space.only(used)
            for by, where in (("answers", shown), ("source", origins)):
                for samples in (SAMPLES, 5):
                    counts = accuracy([user[:, used] for user in users], where[:, used], part, samples)
                    right, total = np.trace(counts), counts.sum()
                    label = f"{setting}{', ' + kind if kind else ''}"
                    share = f"{100 * right / total:.1f} %"
                    print(f"| {label} | {by} | {samples} | {share} | {interval(right, total)} |", flush=True)
                    if not kind and samples == SAMPLES:
                        tables.append((f"{setting}, {by}", counts))
    for title, counts in tables:
        print(f"\n{title}: rows are the users' style, columns the adapter ranked first\n")
        print("| | " + " | ".join(str(i + 1) for i in range(len(ids))) + " |\n|---" * 1 + "|---" * len(ids) + "|")
        for name, row in zip(ids, counts, strict=True):
            print(f"| {name} | " + " | ".join(f"{int(count)}" if count else "" for count in row) + " |")


if __name__ == "__main__":
    main()
