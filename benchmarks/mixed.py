"""Steps until scratch's best loss for users who write in one, two or three styles: one adapter against a mixture.

    python benchmarks/mixed.py --styles DIR --adapters DIR [--users 4,4+7,1+4+7] [--report FILE]

The user 4+7 writes every other message in style 4. Protocol, files and runs are those of benchmarks/warmstart.py;
adapters those of one similarity, trained on as many rows as the user has messages.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _common import Bench, table, write_report
from _outcomes import Run, Start
from warmstart import EVERY, PROTOCOL, RATES, Case, Missing, Warmstart

from xpert_cli import platform

PAPER = {1: (1000, 250, 250), 2: (1000, 600, 450), 3: (1000, 750, 575)}  # scratch, best single, merged


@dataclass(frozen=True)
class Mixed:
    """Steps of one user's arms to the target; None for never, within the steps that scratch was given."""

    user: str
    target: float
    scratch: int
    single: int | None
    single_adapter: str
    merged: int | None


def measured(warmstart: Warmstart, user: str, level: int) -> Mixed:
    """All arms of a user.

    Raises:
        Missing: an adapter, or with `stored_only` a run, that is not there.
    """
    run, target, *_ = warmstart.scratch(user)
    files = [_adapter(warmstart, part, level) for part in user.split("+")]
    singles = {path.stem: _steps(warmstart, user, level, [path], target) for path in files}
    best = min(singles, key=lambda name: (singles[name] is None, singles[name]))
    merged = _steps(warmstart, user, level, files, target)
    return Mixed(user, target, _first(run, target) or 0, singles[best], best, merged)


def _adapter(warmstart: Warmstart, style: str, level: int) -> Path:
    path = warmstart.adapters / str(warmstart.user) / f"{style}-{level}.gguf"
    if not path.exists():
        raise Missing(path.name)
    return path


def _steps(warmstart: Warmstart, user: str, level: int, files: Sequence[Path], target: float) -> int | None:
    """Steps from adapters at equal weights that sum to 1."""
    start = Start(tuple((str(path), 1 / len(files)) for path in files), 0.0, "the user's styles")
    arm = "mixed-" + "-".join(path.stem for path in files)
    if len(files) == 1 and user == files[0].stem.split("-")[0]:
        arm = f"from{warmstart.user}-{level}-user{warmstart.user}"  # the same run as in warmstart.py
    return _first(warmstart.fastest(arm, Case(user, warmstart.user, RATES[0], start, target))[1], target)


def _first(run: Run, target: float) -> int | None:
    reached = run.reached(target)
    return None if reached is None else reached[0]


def markdown(found: Sequence[Mixed], level: int) -> str:
    """One line a user, beside the paper's steps."""
    rows = []
    for one in found:
        parts = one.user.count("+") + 1
        steps = ["never" if arm is None else f"{arm} ({arm / one.scratch:.2f})" for arm in (one.single, one.merged)]
        paper = PAPER[parts]
        told = f"{paper[0]} / {paper[1]} ({paper[1] / paper[0]:.2f}) / {paper[2]} ({paper[2] / paper[0]:.2f})"
        rows.append((one.user, f"{one.target:.3f}", one.scratch, f"{steps[0]}, {one.single_adapter}", steps[1], told))
    head = ("user's styles", "target", "scratch", "best single", "merged, equal weights", "paper")
    return f"""# Users of mixed styles

```sh
python benchmarks/mixed.py --styles DIR --adapters DIR
```

Steps, and their share of scratch's, until scratch's lowest tuning loss + 0.01 nats a token. The single adapter is the
one of the user's styles that gets there first. The user 4+7 writes every other message in style 4. Losses are measured
at the start and every {EVERY} steps. Both starts are adapters of {level} % similarity, of as many rows as the user has
messages.

{PROTOCOL}

{table(head, rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, default=Path("runs/benchmark-adapters"))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-finetune/warmstart"))
    parser.add_argument("--users", default="4,4+7,1+4+7", help="styles of each user")
    parser.add_argument("--level", type=int, default=90, help="similarity of the adapters, in per cent")
    parser.add_argument("--user", type=int, default=50, help="a user's messages")
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--stored", action="store_true", help="run nothing")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    bench = Bench(options.styles, options.threads)
    warmstart = Warmstart(bench, options.adapters, options.out, options.user, 0, True, False, options.stored)
    found = []
    for user in options.users.split(","):
        try:
            found.append(measured(warmstart, user, options.level))
        except Missing as error:
            print(f"user {user} is left out: there is no {error}")
    told = markdown(found, options.level)
    print("\n" + told)
    write_report(told, options.report)


if __name__ == "__main__":
    main()
