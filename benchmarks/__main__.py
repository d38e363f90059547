"""Runs benchmarks: `python -m benchmarks NAME... [--only PART,PART] [--report]`.

    python -m benchmarks                                               # their names, and what each answers
    python -m benchmarks selection --styles DIR --only accuracy --report

Every measurement is stored under --out and made once, so that a stopped run goes on where it was. Tables go to standard
output, and with --report into the marked places of the reports in docs/benchmarks, whose prose is written by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from types import ModuleType
from typing import Any, get_type_hints

from benchmarks.report import fill
from benchmarks.run import Options, Run, say
from benchmarks.store import Missing
from xpert_cli.errors import XpertError

NAMES = (
    *("adapters", "certainty", "finetune", "generation", "languages", "memory", "people", "persons"),
    *("reading", "scale", "selection", "warmstart"),
)


def benchmark(name: str) -> ModuleType:
    """The module of a benchmark. It has PARTS, name -> function of a Run that returns a Markdown table, in order; and
    where measurements need a process of their own, ALONE, name -> function of a Run and texts that returns a record.
    """
    return import_module(f"benchmarks.{name}")


def parser() -> argparse.ArgumentParser:
    """The one parser of all benchmarks."""
    about = [f"  {name:12}{(benchmark(name).__doc__ or '').splitlines()[0]}" for name in NAMES]
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="\n".join(["benchmarks:", *about]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("names", nargs="*", metavar="NAME")
    made.add_argument("--only", default="", help="parts to run, such as accuracy,who-for-whom; all by default")
    for name, hint in get_type_hints(Options, include_extras=True).items():
        kind, line = hint.__metadata__
        more: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": kind}
        made.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, help=line, **more)
    made.add_argument("--alone", help=argparse.SUPPRESS)
    return made


def main() -> None:
    """Run what the command line names."""
    arguments = parser().parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser().error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if not arguments.names:
        parser().print_help()
        return
    options = Options(**{one.name: getattr(arguments, one.name) for one in fields(Options) if one.name in arguments})
    for name in arguments.names:
        module, run = benchmark(name), Run(name, options, tuple(word for word in sys.argv[1:] if word not in NAMES))
        if arguments.alone:
            measure, *values = arguments.alone.split(":")
            print(json.dumps(module.ALONE[measure](run, *values)))
            return
        parts: dict[str, Callable[[Run], str]] = module.PARTS
        wanted = arguments.only.split(",") if arguments.only else list(parts)
        if unknown := set(wanted) - set(parts):
            parser().error(f"{name} has no part {', '.join(sorted(unknown))}; it has {', '.join(parts)}")
        for part in [part for part in parts if part in wanted]:
            shown(name, part, parts[part], run)


def shown(name: str, part: str, measure: Callable[[Run], str], run: Run) -> None:
    """Measure one part, print its table, and put it into the report."""
    try:
        text = measure(run)
    except Missing as error:
        say(f"{name} {part} is left out: {error} is not stored.")
        return
    print(f"{name}: {part}\n\n{text}\n", flush=True)
    if run.options.report:
        say(f"written to {fill(name, {part: text})}")


if __name__ == "__main__":
    try:
        main()
    except XpertError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
