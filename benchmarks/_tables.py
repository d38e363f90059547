"""The selection benchmark's records as Markdown, beside the goals.

    markdown = report({"accuracy": {"users": 100, "rows": 40, "records": [...]}, ...})

Not here: measuring (_sections.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from _baselines import FULL, READ
from _candidates import CUT, DESCRIBED, POOL, REFERENCES, SCORED, STYLES
from _choosing import AXES, GAPS, METHODS, UNTOLD, WEIGHT, told
from _common import TOKENS, table
from _sections import SEARCHES
from _summarizers import POOL as SUMMARIZED
from _summarizers import PROBES, SAMPLES, USERS

Told = Mapping[str, Any]
# Similarity: goals of answers or likelihood, of source, of source with 5 samples; the paper's best of three models.
GOALS = {
    30: (60, 95, 80, 28.6),
    50: (80, 97, 85, 64.2),
    70: (92, 98, 88, 85.7),
    80: (97, 99, 90, 96.4),
    90: (99, 99, 90, 100),
}
LOST = 5  # points that may be lost with length removed
BYTES, COMPUTE = 0.5, 10  # per cent of the exhaustive search's
ORDER = ("exhaustive search", "successive halving", "Bayesian optimization", "encoder", "encoder, shift from the base")

INTRODUCTION = f"""# Is the right adapter ranked first?

```sh
python benchmarks/selection.py --styles DIR --adapters DIR --report docs/benchmarks/selection.md
```

Eight candidates of one similarity level (chance 12.5 %): adapters of SmolLM2-135M-Instruct whose training rows are
each of a style with that probability, else the same prompt's unstyled row (benchmarks/adapters.py, rows 0-239); level
100 is the packaged cache (rows 0-499). A user of 20 or 5 texts is drawn with a seed from the first {POOL} test rows of
a style. Intervals are Wilson's at 95 %, as if users were independent; they share the {POOL} rows, so the truth is
wider. The base is its own summarizer.

- *answers*: an adapter lies where its sampled answers to the 50 probes lie, and nothing is known of training text: what
  writing and answers differ in whatever the style (the gap) is an error, and the metric is that of answers, drawn
  towards the identity. The table of gaps shows what training text would bring.
- *likelihood*: an adapter's gain over the base on the first {SCORED} tokens of the answers that base and adapters gave
  to {REFERENCES} probes ({9 * REFERENCES} texts), regressed on the axes, gives it coordinates; the penalty is chosen by
  leaving out probes. Gains are counted from the candidates' mean, and users from the mean of the texts.
- *answers and likelihood*: the sum of both coordinates, each of length 1, likelihood weighing {WEIGHT}; here gains
  are counted from the base.
- *source*: an adapter lies where its own training text lies, on the measured axes: all rows counted. ({DESCRIBED} rows
  are asked about for the table of described axes.)
- *length removed*: length axes dropped, and every text of users, adapters and training cut to its first {CUT} words.
"""


def _find(records: list[dict[str, Any]], **wanted: object) -> dict[str, Any] | None:
    return next((one for one in records if all(one[key] == value for key, value in wanted.items())), None)


def _share(records: list[dict[str, Any]], **wanted: object) -> str:
    found = _find(records, **wanted)
    return told(np.array(found["counts"], np.float64)) if found else ""


def _levels(records: list[dict[str, Any]]) -> list[int]:
    return sorted({one["level"] for one in records})


def accuracy(section: Told) -> str:
    """Shares by level, with the goals; then by kind of axes and without length; then who is taken for whom."""
    records = section["records"]
    parts = [f"## Accuracy\n\n{section['users']} users a style. Per cent, 95 % interval in brackets.\n"]
    for short in (False, True):
        title = "length removed" if short else "all of the text"
        for axes in AXES:
            kind = "" if axes == "all" else f", {axes} axes only"
            parts.append(f"### {title.capitalize()}{kind}\n\n{_by_level(records, short, axes)}\n")
    level = 90 if 90 in _levels(records) else _levels(records)[-1]
    parts.append(f"### Who is taken for whom at {level} %, 20 samples\n")
    for method in METHODS:
        found = _find(records, level=level, short=False, axes="all", samples=20, method=method)
        rows = [(name, *row) for name, row in zip(STYLES.values(), found["counts"], strict=True)] if found else []
        parts.append(f"By {method}; rows are the users' styles, columns the adapter ranked first.\n")
        parts.append(table(("users", *map(str, STYLES)), [[cell or "" for cell in row] for row in rows]) + "\n")
    return "\n".join(parts)


def _by_level(records: list[dict[str, Any]], short: bool, axes: str) -> str:
    pairs = [(method, samples) for samples in (20, 5) for method in METHODS]
    head = ["similarity", *(f"{method}, {samples}" for method, samples in pairs)]
    goals = not short and axes == "all"
    rows = []
    for level in _levels(records):
        cells = [
            _share(records, level=level, short=short, axes=axes, samples=samples, method=method)
            for method, samples in pairs
        ]
        if goals:
            goal = GOALS.get(level)
            cells += ["{} / {} / {}".format(*goal[:3]), str(goal[3])] if goal else ["", ""]
        rows.append((f"{level} %", *cells))
    if goals:
        head += ["goal: answers or likelihood / source / source, 5", "paper's best"]
        return table(head, rows)
    return table(head, rows) + (
        f"\n\nGoal: within {LOST} points of all of the text." if short and axes == "all" else ""
    )


def constants(section: Told) -> str:
    """Chosen against default values."""
    rows = [
        (
            one["constant"],
            "by prompts left out" if one["default"] is None else one["default"],
            "by prompts left out" if one["chosen"] is None else one["chosen"],
            f"{100 * one['default_shown']:.1f}",
            f"{100 * one['chosen_shown']:.1f}",
            " ".join(f"{100 * shown:.0f}" for _, _, shown in one["grid"]),
        )
        for one in section["records"]
    ]
    head = ("constant", "default", "best on styles 1-4", "default on 5-8, %", "best on 5-8, %", "whole grid on 5-8, %")
    return (
        "## Constants chosen on styles 1-4, shown on styles 5-8\n\nMean accuracy over the levels and over users of "
        f"20 and 5 texts, among all eight adapters.\n\n{table(head, rows)}\n"
    )


def gap(section: Told) -> str:
    """Accuracy by estimate of the gap."""
    records = section["records"]
    rows = [
        (
            f"{one['level']} %",
            GAPS.get(one["gap"], UNTOLD),
            *("-" if one[method] is None else f"{100 * one[method]:.1f}" for method in METHODS),
        )
        for one in records
    ]
    head = ("similarity", "gap between writing and answers", *METHODS)
    return f"## The gap between writing and answers\n\n20 samples, all axes, per cent.\n\n{table(head, rows)}\n"


def baselines(section: Told) -> str:
    """Other ways to choose on the same users."""
    records = section["records"]
    rows = []
    for method in (*METHODS, *ORDER):
        own = [one for one in records if one["method"] == method]
        if own:
            shares = [_share(own, level=level) for level in _levels(records)]
            rows.append((method, *shares, f"{np.mean([one['evaluated'] for one in own]):.0f}"))
    text = f"""## Other ways of choosing

{section["users"]} users a style ({SEARCHES} at most for Bayesian optimization) of {min(20, section["rows"])} texts,
drawn from the first {section["rows"]} test rows of a style: the same for every way. Losses are of a text's first
{TOKENS} tokens. *Evaluated*: the user's texts that were run under some adapter. Successive halving looks at 2, 4 and 8
texts; Bayesian optimization evaluates {FULL} adapters on all texts. The encoder reads a text's first {READ} tokens.
The paper's own rule (nearest point, on its own axes) is measured by benchmarks/algorithm1.py, in algorithm1.md.

"""
    text += table(("chosen by", *(f"{level} %" for level in _levels(records)), "evaluated"), rows) + "\n"
    if not any(one["method"] == "encoder" for one in records):
        text += "\nThe encoder all-MiniLM-L6-v2 was not at hand.\n"
    return text


def words(section: Told) -> str:
    """What each adapter is told to be, beside what it is."""
    parts = [
        "## What adapters are said to be\n\nThe strongest words and axes, in standard deviations of single texts from "
        "the base.\n"
    ]
    level = 90 if 90 in _levels(section["records"]) else _levels(section["records"])[-1]
    kinds = [f"{kind}, {by}" for by in ("answers", "source") for kind in ("described", "measured")]
    for shown in sorted({level, 100} & set(_levels(section["records"]))):
        records = [one for one in section["records"] if one["level"] == shown]
        rows = [(one["style"], *("; ".join(one[kind]) for kind in kinds)) for one in records]
        parts.append(f"### Similarity {shown} %\n\n{table(('true style', *kinds), rows)}\n")
    return "\n".join(parts)


def summarizers(section: Told) -> str:
    """Accuracy by summarizer, by all axes and by described ones."""
    records = section["records"]
    rows = [
        (
            one["summarizer"],
            one["megabytes"],
            _share(records, summarizer=one["summarizer"], axes="all"),
            _share(records, summarizer=one["summarizer"], axes="described"),
        )
        for one in records
        if one["axes"] == "all"
    ]
    return f"""## Other summarizers

By answers at {records[0]["level"]} %: {PROBES} probes, {USERS} users a style of {SAMPLES} texts among {SUMMARIZED} test
rows, without any training text. Per cent. The paper: 96.4 with 8B parameters, 70 with 1B.

{table(("summarizer", "MB", "all axes", "described axes only"), rows)}
"""


def cost(section: Told) -> str:
    """Bytes, tokens and seconds."""
    read = [one for one in section["records"] if "tokens" in one]
    sizes = [one for one in section["records"] if "adapters" in one]
    parts = [
        "## Cost of deciding\n",
        "Compared by training text, as the packaged cache is: no model reads anything. Compared by answers:\n",
    ]
    for one in read:
        placing, scoring = one["tokens"]
        parts.append(
            f"With {one['samples']} texts the base reads {placing:,.0f} tokens to place the user; scoring the user's "
            f"texts under 8 adapters reads {scoring:,.0f} (the same parameters a token): {100 * placing / scoring:.1f} "
            f"% (goal: under {COMPUTE} %). Placing reads no more with more adapters.\n"
        )
    rows = [
        (
            f"{one['adapters']:,}",
            f"{one['fetched']:,}",
            f"{one['all']:,}",
            f"{100 * one['fetched'] / one['all']:.3f} %",
            *(f"{one[key]:.4f}" for key in ("open_seconds", "rank_seconds", "select_seconds")),
        )
        for one in sizes
    ]
    head = (
        "adapters",
        "bytes to decide",
        "bytes of all adapters",
        f"share (goal: under {BYTES} %)",
        "open, s",
        "rank, s",
    )
    parts.append(table((*head, "select, s"), rows))
    parts.append(
        "\nAbove the packaged cache's eight, adapters are jittered copies. *Rank* scores and sorts all adapters; "
        "*select* is the whole command after opening, counted axes only, on one user of 20 texts."
    )
    return "\n".join(parts) + "\n"


SHOWN: dict[str, Callable[[Told], str]] = {
    "accuracy": accuracy,
    "constants": constants,
    "gap": gap,
    "baselines": baselines,
    "words": words,
    "summarizers": summarizers,
    "cost": cost,
}


def report(found: Told) -> str:
    """The whole page, of the parts that were measured."""
    missing = [f"- {line}" for line in found.get("missing", [])]
    parts = [INTRODUCTION, "\n".join(missing) + "\n" if missing else ""]
    return "\n".join([part for part in parts if part] + [SHOWN[name](found[name]) for name in SHOWN if name in found])
