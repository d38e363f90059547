"""A million bad GGUF files for the reader, and for llama.cpp those that xpert accepts.

    taskset -c 1 python -m tests.fuzz --inputs 1000000 --seed 0

Each kind is read by a process of its own, with its files in memory where the system has a tmpfs. Prints a table, and
with --report puts it into docs/benchmarks/fuzz.md; findings of each kind go to standard error as JSON. Not here: the
inputs and what is asked of them (tests/gguf_mutations.py, tests/gguf_drafts.py, tests/gguf_examined.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import fill, table

PROGRAM = Path(__file__).resolve().parent / "gguf_examined.py"
SHARES = {"generated adapter": 3, "generated header": 2}  # of the inputs, against 1 for every other kind
LARGE = 44  # of the kind whose files are megabytes: all there are
HEAD = (
    *("input", "inputs", "refused", "accepted", "other exceptions", "gone on with", "refused on trial", "loaded"),
    *("rejected", "aborted", "slowest, ms", "its bytes", "peak, MB"),
)
COUNTS = ("inputs", "refused", "accepted", "others", "sample", "tried", "loaded", "rejected", "aborted")


def kinds() -> list[str]:
    """Names of the kinds of bad files."""
    done = subprocess.run([sys.executable, str(PROGRAM), "--list"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def shared(names: list[str], inputs: int) -> dict[str, int]:
    """How many inputs of each kind; together as many as asked for, and a few large ones."""
    small = {name: SHARES.get(name, 1) for name in names if "megabytes" not in name}
    counts = {name: inputs * share // sum(small.values()) for name, share in small.items()}
    counts[next(iter(counts))] += inputs - sum(counts.values())
    return counts | {name: LARGE for name in names if name not in small}


def findings(kind: str, inputs: int, options: argparse.Namespace) -> dict[str, Any]:
    """What became of that many inputs of a kind."""
    command = [sys.executable, str(PROGRAM), kind, "--inputs", str(inputs), "--seed", str(options.seed)]
    command += ["--most", str(options.most), "--seconds", "3600"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout)[0])


def together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The sums of all kinds, with the slowest input and the largest peak."""
    slowest = max(rows, key=lambda row: float(row["slowest_ms"]))
    sums = {name: sum(row[name] for row in rows) for name in COUNTS}
    worst = {name: slowest[name] for name in ("slowest_ms", "slowest_bytes")}
    return {"kind": "together", **sums, **worst, "peak_mb": max(row["peak_mb"] for row in rows)}


def line(row: dict[str, Any]) -> list[object]:
    """A row of the table."""
    counts = [row[name] for name in ("kind", *COUNTS)]
    return [*counts, f"{row['slowest_ms']:.1f}", row["slowest_bytes"], f"{row['peak_mb']:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=2000, help="accepted files a kind that llama.cpp loads")
    parser.add_argument("--report", action="store_true", help="put the table into docs/benchmarks/fuzz.md")
    options = parser.parse_args()
    rows = []
    for kind, inputs in shared(kinds(), options.inputs).items():
        rows.append(findings(kind, inputs, options))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = table(HEAD, [line(row) for row in (*rows, together(rows))])
    print(text)
    for row in rows:
        for what in (*row["other"], *row["trouble"]):
            print(f"- {row['kind']}: {what}")
    print(f"{sum(row['seconds'] for row in rows) / 60:.0f} minutes of reading")
    if options.report:
        fill("fuzz", {"inputs": text})


if __name__ == "__main__":
    main()
