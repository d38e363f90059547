"""docs/cli.md is what the commands say of themselves, and every example in it can be typed."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from command import ROOT, leaves

from xpert_cli.cli.app import app
from xpert_cli.cli.help import EXAMPLES, command

COMMANDS = leaves(command(app))


def test_the_reference_is_up_to_date() -> None:
    code = "import sys; sys.path[:0] = ['scripts']; import cli_reference as made; sys.stdout.write(made.reference())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs" / "cli.md").read_text("utf-8"), "run: python scripts/cli_reference.py"


def test_every_command_has_two_examples() -> None:
    assert {name for name in COMMANDS if len(EXAMPLES.get(name, ())) < 2} == set()
    assert set(EXAMPLES) - set(COMMANDS) == set()


@pytest.mark.parametrize("example", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_can_be_typed(example: str) -> None:
    words = shlex.split(example.partition(" < ")[0].partition(" > ")[0])
    assert words[0] == "xpert"
    name = max((name for name in COMMANDS if words[1 : 1 + len(name.split())] == name.split()), key=len)
    rest = words[1 + len(name.split()) :]
    context = COMMANDS[name].make_context(name, rest)  # raises where an option or argument is wrong
    assert not context.args


def test_every_option_says_what_it_does() -> None:
    silent = {
        f"{name} {param.opts[0]}" for name, one in COMMANDS.items() for param in one.params if not (param.help or "")
    }
    assert silent == set()


@pytest.mark.parametrize("words", [["-h"], ["runs", "-h"], ["select", "-h"]])
def test_help_names_values_plainly(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xpert_cli", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Usage: xpert" in done.stdout
    kinds = [line for line in done.stdout.splitlines() if "<bool>" in line and "--help" not in line]
    assert kinds == []


def test_completion_is_typers_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xpert_cli", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--install-completion" in done.stdout
