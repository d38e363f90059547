"""A million bad GGUF files for the reader, and for llama.cpp those that xpert accepts.

    taskset -c 1 python benchmarks/fuzz.py --inputs 1000000 --seed 0 --report docs/benchmarks/fuzz.md

Each kind is read by a process of its own, with its files in memory where the system has a tmpfs. Not here: the inputs
and what is asked of them (tests/gguf_mutations.py, tests/gguf_drafts.py, tests/gguf_examined.py).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from _common import table, write_report

PROGRAM = Path(__file__).resolve().parents[1] / "tests" / "gguf_examined.py"
SHARES = {"generated adapter": 3, "generated header": 2}  # of the inputs, against 1 for every other kind
LARGE = 44  # of the kind whose files are megabytes: all there are


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


def found(kind: str, inputs: int, options: argparse.Namespace) -> dict[str, Any]:
    """What became of that many inputs of a kind."""
    command = [sys.executable, str(PROGRAM), kind, "--inputs", str(inputs), "--seed", str(options.seed)]
    command += ["--most", str(options.most), "--seconds", "3600"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout)[0])


HEAD = (
    "input", "inputs", "refused", "accepted", "other exceptions", "gone on with", "refused on trial", "loaded",
    "rejected", "aborted", "slowest, ms", "its bytes", "peak, MB",
)  # fmt: skip
COUNTS = ("inputs", "refused", "accepted", "others", "sample", "tried", "loaded", "rejected", "aborted")


def report(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """The findings as Markdown."""
    slowest = max(rows, key=lambda row: float(row["slowest_ms"]))
    together = {name: sum(row[name] for row in rows) for name in COUNTS}
    together |= {"kind": "together", "peak_mb": max(row["peak_mb"] for row in rows)}
    together |= {name: slowest[name] for name in ("slowest_ms", "slowest_bytes")}
    said = [f"- {row['kind']}: {what}" for row in rows for what in (*row["other"], *row["trouble"])]
    return TEXT.format(
        **vars(options),
        table=table(HEAD, [line(row) for row in (*rows, together)]),
        said="\n".join(said) or "Nothing.",
        minutes=sum(row["seconds"] for row in rows) / 60,
        cores=len(os.sched_getaffinity(0)),
        version=importlib.metadata.version("llama-cpp-python"),
    )


def line(row: dict[str, Any]) -> list[object]:
    """A row of the table."""
    counts = [row[name] for name in ("kind", *COUNTS)]
    return [*counts, f"{row['slowest_ms']:.1f}", row["slowest_bytes"], f"{row['peak_mb']:.0f}"]


TEXT = """# Fuzzing the GGUF reader

```sh
taskset -c 1 python benchmarks/fuzz.py --inputs {inputs} --seed {seed} --most {most} --report FILE
```

Every input is a file that xpert reads as it does before llama.cpp sees one: an adapter through `read_header`,
`read_adapter` and `check_adapter` against a tiny base, a header through `read_header` and the decoding of all metadata,
a base through `read_header` (and `base_info`, whose refusal does not count: running a model does not ask it).
*Refused* is one line of a known error; *accepted* is everything else that raised nothing. Of the accepted, a random
{most} a kind at most are *gone on with*: a base stands xpert's trial first, as it does before a command uses it, in a
process of its own that may be aborted (what each architecture needs only llama.cpp knows). Then llama.cpp loads them in
other processes: an adapter is applied to the base and three tokens are evaluated, a header goes through llama.cpp's own
parser, a base is loaded and evaluated. *Rejected* and *aborted* are llama.cpp's doing there. The slowest input is wall
time; peak memory is the largest resident set of the reading process, for files of megabytes without what making them
took.

{table}

{minutes:.0f} minutes of reading on {cores} core; llama-cpp-python {version}. Files come from seeded generators
(tests/gguf_mutations.py, tests/gguf_drafts.py): cut at every offset, every field at every extreme and several at once,
every bit of the header flipped and several at once, stretches moved, doubled or lost, and structures with mistakes in
them. Many are alike, and the listed ones come again in every run; a test reads the first of each kind.

## Exceptions, and what llama.cpp said

{said}

## What earlier runs found

Mended in the reader since; sizes and times are those of the inputs that showed it:

- 32,768 pairs of factors of 1 x 1 in 5 MB took 8.5 s to read: now at most 4,096 tensors and as many metadata keys,
  which llama.cpp compares each with all the others.
- A header of 64 MB took 2.9 s with 8 million empty texts in `general.type`, 1.3 GB of memory with as many small
  numbers there as it has bytes, 0.8 GB with one long text in `general.architecture`: now at most 32 MiB of header and
  2^20 values a list, and what has to be a short text is measured before it is decoded.
- llama.cpp aborts or crashes on a base with no or over 512 layers, over 512 experts, experts of which none or too many
  are used, an unknown `rope.scaling.type`, an epsilon below 0 or NaN, weights of whole numbers or F64, an alignment
  below 32: now refused.
- llama.cpp aborts on a base whose token list has a token twice (as it reads them: up to a zero byte), on head counts
  whose product with their size is right again in 32 bits, on heads of several sizes, on odd groups of experts and
  byte tokens of a WordPiece vocabulary, and one sliding window hung it: now refused.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=2000, help="accepted files a kind that llama.cpp loads")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    rows = []
    for kind, inputs in shared(kinds(), options.inputs).items():
        rows.append(found(kind, inputs, options))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = report(rows, options)
    print(text)
    write_report(text, options.report)


if __name__ == "__main__":
    main()
