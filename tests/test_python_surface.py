"""`import xpert_cli`: light, typed, and the same as the commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import MARA, ROOT, called

import xpert_cli
from xpert_cli.errors import BadInput
from xpert_cli.selection.summarize import AxisReading, Summary, as_prompt


def axis(words: str, value: float, shown: bool = True) -> AxisReading:
    return AxisReading("a", "measured", value, 0.1, "less", "more", words, "a private line", shown)


def test_an_explanation_as_a_prompt_names_what_stands_out_and_quotes_nothing() -> None:
    axes = (axis("with more emoji", 2.4), axis("in shorter words", -1.0), axis("x", 0.2), axis("hidden", 3.0, False))
    text = as_prompt(Summary(5, axes, "", (), 0.0))
    assert "- with more emoji, much more than usual\n- in shorter words\nKeep" in text
    assert "private" not in text
    with pytest.raises(BadInput, match="nothing in these texts stands out"):
        as_prompt(Summary(5, axes[2:], "", (), 0.0))


def test_importing_it_loads_nothing_heavy_and_its_names_are_there() -> None:
    code = (
        "import sys, xpert_cli; print(sorted({'numpy', 'llama_cpp', 'torch', 'typer'} & set(sys.modules)));"
        "print([getattr(xpert_cli, name).__name__ for name in ('read', 'summarize', 'select', 'finetune', 'Model')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n['read', 'summarize', 'select', 'finetune', 'Model']\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        xpert_cli.nothing  # noqa: B018
    assert (ROOT / "xpert_cli" / "py.typed").exists()


def test_the_page_of_the_docs_names_what_there_is() -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    for name in ("read", "summarize", "select", "finetune", "Model"):
        assert f"xpert.{name}(" in page
    assert set(re.findall(r"xpert\.(\w+)\(", page)) <= set(xpert_cli.__all__)


@pytest.mark.model
def test_it_says_what_the_command_says(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = xpert_cli.read(MARA)
    chosen = xpert_cli.select(mine, offline=True)
    status, out, err = called(monkeypatch, capsys, "select", MARA, "--offline", "--json")
    assert status == 0, err
    told = json.loads(out)
    assert [one["adapter"] for one in told["ranking"]] == [one.adapter for one in chosen.ranking]
    summary = xpert_cli.summarize(mine, measured_only=True, offline=True)
    status, out, _ = called(monkeypatch, capsys, "summarize", MARA, "--measured-only", "--offline", "--as-prompt")
    assert out.split() == as_prompt(summary).split()
    with xpert_cli.Model(adapters=["elementary-concise-plain=0.5"], max_tokens=8, offline=True) as model:
        first = model.ask("Hello!")
        model.chat("And now?")
        assert model.ask("Hello!") == first != ""
        pieces: list[str] = []
        assert model.chat("And now?", pieces.append) == "".join(pieces)
