"""Writes docs/cli.md: every command with its help, options and examples, as the command line itself describes them.

python scripts/cli_reference.py            # writes it; tests/test_cli_reference.py compares
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpert_cli.cli.app import app
from xpert_cli.cli.help import command

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD = """\
# The command line

Made by `python scripts/cli_reference.py` from the commands themselves; `xpert COMMAND -h` shows the same. Options that
most commands take: `--json` prints exactly one JSON object on standard output, `--quiet` prints the result only,
`--offline` uses only what was downloaded before. Exit status: 0 done, 1 could not (one line with the reason and the
fix), 2 wrong usage, 130 ended by Ctrl-C.
"""


def reference() -> str:
    """The text of docs/cli.md."""
    commands = dict(_commands(command(app), "xpert"))
    listed = "\n".join(f"- [`{name}`](#{name.replace(' ', '-')}): {_first(one)}" for name, one in commands.items())
    return "\n".join([HEAD, listed, "", *(_section(name, one) for name, one in commands.items())])


def _commands(one: Any, name: str) -> Iterator[tuple[str, Any]]:
    for below, part in getattr(one, "commands", {}).items():
        if hasattr(part, "commands"):
            if part.invoke_without_command:
                yield f"{name} {below}", part
            yield from _commands(part, f"{name} {below}")
        else:
            yield f"{name} {below}", part


def _first(one: Any) -> str:
    return _paragraphs(one)[0]


def _paragraphs(one: Any) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", one.help or "") if part.strip()]


def _section(name: str, one: Any) -> str:
    arguments = [param for param in one.params if param.param_type_name == "argument"]
    options = [param for param in one.params if param.param_type_name == "option"]
    usage = " ".join([name, *(_argument(param) for param in arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", *(f"{text}\n" for text in _paragraphs(one)), "```sh", usage, *_examples(one), "```", ""]
    rows = [(f"`{_argument(param)}`", param) for param in arguments]
    rows += [(f"`{', '.join(param.opts)}{_value(param)}`", param) for param in options]
    if rows:
        lines += ["| | |", "|---|---|", *(f"| {_cell(left)} | {_cell(_about(param))} |" for left, param in rows), ""]
    return "\n".join(lines)


def _examples(one: Any) -> list[str]:
    lines = (one.epilog or "").split("\n\n")
    return [line for line in lines if line and line != "Examples:"]


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _value(param: Any) -> str:
    return "" if param.is_flag else f" {param.metavar}"


def _about(param: Any) -> str:
    default = getattr(param, "default", None)
    shown = "" if default in (None, False, (), []) or callable(default) else f" Default: `{default}`."
    return f"{param.help or ''}{shown}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(reference(), "utf-8")
