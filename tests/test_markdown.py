"""Answers in Markdown on a terminal: a page that grows without flickering, and plain text everywhere else."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from test_terminal import EVIL, assert_tame, on_a_terminal
from tiny_chat import write_chat_base

from xpert_cli.cli import markdown
from xpert_cli.cli.output import Output, Screen


def shown(said: str) -> list[str]:
    """The lines that a terminal shows after what it was sent; fails where the cursor leaves the top."""
    rows, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.|\n", said, re.DOTALL):
        if piece == "\n":
            row, column = row + 1, 0
            rows += [""] * (row == len(rows))
        elif piece == "\r":
            column = 0
        elif piece.endswith("A"):
            row -= int(piece[2:-1])
            assert row >= 0
        elif piece.endswith("K"):
            rows[row] = rows[row][:column]
        elif not piece.startswith("\x1b"):
            rows[row] = f"{rows[row]:<{column}}"[:column] + piece + rows[row][column + 1 :]
            column += 1
    return [row.rstrip() for row in rows]


PAGE = """# Bread

Take **500 g** of `flour`, <b>water</b>
and a [pinch](http://e.example) of salt.

1. knead
2. wait

| what | long |
|---|---|
| oven | 1 h |
"""


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_markdown_is_shown_as_a_page_while_it_comes(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(markdown, "EVERY", 0)
    monkeypatch.setattr(markdown, "SHARE", 0)
    screen = Screen(file=io.StringIO(), force_terminal=True, color_system=None, width=36, height=24)
    page = markdown.Growing(screen)
    for at in range(0, len(PAGE), step):
        page.add(PAGE[at : at + step])
    page.close()
    said = screen.file.getvalue()
    lines = [line for line in shown(said) if line]
    assert lines[:3] == ["Bread", "Take 500 g of flour, <b>water</b>", "and a pinch (http://e.example) of"]
    assert lines[4:6] == [" 1 knead", " 2 wait"]
    assert [line.split() for line in (lines[6], lines[8])] == [["what", "long"], ["oven", "1", "h"]]
    assert said.count("500 g of flour, <b>water</b>") <= 7  # a line that is complete is not written again
    assert "\x1b[2J" not in said


def test_markdown_that_is_longer_than_the_screen_stays_where_it_scrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "EVERY", 0)
    monkeypatch.setattr(markdown, "SHARE", 0)
    screen = Screen(file=io.StringIO(), force_terminal=True, color_system=None, width=36, height=5)
    page = markdown.Growing(screen)
    lines = [f"line *{number}* and" for number in range(30)]
    for line in lines:
        page.add(f"{line}\n")
    page.add("- or\n- **end**")
    page.close()
    said = screen.file.getvalue()
    assert [line for line in shown(said) if line] == [line.replace("*", "") for line in lines] + [" • or", " • end"]
    assert max(int(up) for up in re.findall(r"\x1b\[(\d+)A", said) or ["0"]) < 5


def test_markdown_of_a_stranger_is_shown_and_not_obeyed() -> None:
    screen = Screen(file=io.StringIO(), force_terminal=True, color_system=None, width=60, height=24)
    page = markdown.Growing(screen)
    page.add(f"**{EVIL}** &#27;]0;x &#7; ![a](http://e.example/{EVIL}) [b](javascript:x)")
    page.close()
    said = re.sub(r"^(\x1b\[0K)|\n\x1b\[0K", "", screen.file.getvalue())
    assert_tame(said)
    assert "owned" in said


def test_answers_are_plain_where_they_are_not_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    with Output() as out, out.answer(markdown=True) as write:
        write("**a**")
    assert capsys.readouterr().out == "**a**\n"


@pytest.mark.parametrize(
    ("options", "setting", "expected"),
    [((), "yes", "warm words"), (("--plain",), "yes", "**warm** words"), ((), "no", "**warm** words")],
)
def test_a_chat_on_a_terminal_shows_pages_unless_told_otherwise(
    tmp_path: Path, options: tuple[str, ...], setting: str, expected: str
) -> None:
    base = write_chat_base(tmp_path / "tiny.gguf")
    (tmp_path / "xpert").mkdir()
    (tmp_path / "xpert" / "config.ini").write_text(f"[xpert]\nmarkdown = {setting}\n", "utf-8")
    fault = "from xpert_cli.llama.model import Model; Model.decoded = lambda self, tokens: iter(['**warm', '** words'])"
    command = ("chat", "--base", str(base), "--threads", "1", *options)
    typed = [("> ", "Hello!\n"), ("words", ""), ("> ", "/exit\n")]
    status, said = on_a_terminal(*command, typed=typed, fault=fault, XDG_CONFIG_HOME=str(tmp_path))
    assert status == 0, said
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", re.sub(r"\x1b\[[0-9;]*m", "", said))
    lines = [line.strip() for line in plain.split("\n")]
    assert lines.count(expected) == 1
    assert [line for line in lines if "warm" in line and line != "**warm"] == [expected]
