"""Steps until scratch's best loss for users who write in one, two or three styles: one adapter against a mixture.

    python -m benchmarks mixed --styles DIR --adapters DIR [--levels 90]

The user 4+7 writes every other message in style 4. Protocol and stored runs are those of the benchmark `warmstart`;
adapters are of one similarity, trained on as many rows as the user has messages. Reads --styles, --adapters, --levels,
--messages, --threads.
"""

from __future__ import annotations

from benchmarks.report import table
from benchmarks.run import Run
from benchmarks.warmstart import RATES, Case, Warmstart

PAPER = {1: (1000, 250, 250), 2: (1000, 600, 450), 3: (1000, 750, 575)}  # scratch, best single, merged
USERS = ("4", "4+7", "1+4+7")
LEVEL = 90


def steps(run: Run) -> str:
    """One line a user, beside the paper's steps; shares are of scratch's steps."""
    level = LEVEL if LEVEL in run.options.levels else run.options.levels[0]
    warmstart, rows = Warmstart(Run("warmstart", run.options)), []
    for user in USERS:
        scratch, target, *_ = warmstart.scratch(user)
        parts = user.split("+")
        singles = {f"{part}-{level}": _steps(warmstart, user, level, [part], target) for part in parts}
        best = min(singles, key=lambda name: (singles[name] is None, singles[name]))
        merged = _steps(warmstart, user, level, parts, target)
        first = scratch.reached(target) or 0
        arms = ["never" if arm is None else f"{arm} ({arm / first:.2f})" for arm in (singles[best], merged)]
        paper = PAPER[len(parts)]
        theirs = " / ".join([f"{paper[0]}", *(f"{some} ({some / paper[0]:.2f})" for some in paper[1:])])
        rows.append((user, f"{target:.3f}", first, f"{arms[0]}, {best}", arms[1], theirs))
    return table(("user's styles", "target", "scratch", "best single", "merged, equal weights", "paper"), rows)


def _steps(warmstart: Warmstart, user: str, level: int, parts: list[str], target: float) -> int | None:
    """Steps from the adapters of some styles at equal weights that sum to 1."""
    files = [warmstart.own_adapter(part, level, warmstart.user) for part in parts]
    arm = "mixed-" + "-".join(path.stem for path in files)
    if parts == [user]:  # the same run as in warmstart.py
        arm = f"from{warmstart.user}-{level}-user{warmstart.user}"
    start = tuple((path, 1 / len(files)) for path in files)
    return warmstart.fastest(arm, Case(user, warmstart.user, RATES[0], start, target))[1].reached(target)


PARTS = {"steps": steps}
