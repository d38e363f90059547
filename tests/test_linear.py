"""Time in proportion to the text, whatever it is made of: each shape is doubled twice, and the work compared.

Work is processor time, the least of three tries, which other programs hardly change; four times the text may take nine
times as long before a test fails, and what takes a moment is not looked at. With the square of the length it would be
sixteen. The garbage collector rests meanwhile: it walks what all the tests before have left in memory.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from xpert_cli import corpus
from xpert_cli.cli.output import Output
from xpert_cli.errors import XpertError
from xpert_cli.foreign.data import read_json
from xpert_cli.foreign.text import markdown, one_line, printable
from xpert_cli.models.hf_tokenizer import sentencepieces
from xpert_cli.style.measured import measure_all

SMALL, LARGE = 6_000, 24_000
MOMENT = 0.15  # seconds
SHAPES = {
    **{"comments": "<!-- ", "accents": "e\u0301", "marks alone": "\u0301", "per cent": "%%%", "hyphens": "A-A-"},
    **{
        "letters": "a",
        "brackets": "[",
        "links": "[a](http://",
        "images": "![a](b",
        "wiki links": "[[a|",
        "angles": "<",
    },
    **{"tags": "<b>", "ticks": "`", "stars": "*", "quotes": '"', "addresses": "a@b.de ", "web": "http://a.b/ "},
    **{"blanks": " ", "line ends": "\n", "dots": "...", "joined emoji": "\U0001f469\u200d", "sentences": "です。"},
    **{"stamps": "[01/02/2024, 10:00:00] a: b\n", "backslashes": "\\", "braces": "{", "escapes": "\x1b[31m"},
}


def work(job: Callable[[str], object], text: str) -> float:
    """Seconds of this process for a job that may refuse the text."""
    gc.disable()
    began = time.process_time()
    try:
        with suppress(XpertError, ValueError, TypeError, KeyError):
            job(text)
        return time.process_time() - began
    finally:
        gc.enable()


def assert_linear(job: Callable[[str], object], unit: str) -> None:
    small, large = ((unit * (length // len(unit) + 1))[:length] for length in (SMALL, LARGE))
    work(job, small)  # what is worked out once
    if (first := work(job, large)) > MOMENT:
        long = min(first, work(job, large), work(job, large))
        short = min(work(job, small) for _ in range(3))
        assert long < 9 * short + MOMENT, f"{long:.2f} s for {LARGE} characters, {short:.2f} s for {SMALL}"


@pytest.mark.parametrize("unit", SHAPES.values(), ids=SHAPES)
def test_a_style_is_measured_in_linear_time(unit):
    assert_linear(lambda text: measure_all([text]), unit)


@pytest.mark.parametrize("name", ["notes.md", "notes.txt", "page.html", "chat.json", "lines.jsonl", "table.csv"])
@pytest.mark.parametrize("unit", SHAPES.values(), ids=SHAPES)
def test_a_file_is_read_in_linear_time(tmp_path: Path, name: str, unit: str):
    def read(text: str) -> object:
        (tmp_path / name).write_text(f"good morning dear friend\n\n{text}\n\nand good night to you\n")
        return corpus.read([str(tmp_path / name)])

    assert_linear(read, unit)


@pytest.mark.parametrize("unit", SHAPES.values(), ids=SHAPES)
def test_a_message_is_read_in_linear_time(tmp_path: Path, unit: str):
    def read(text: str) -> object:
        lines = [{"prompt": "how are you?", "response": text}, {"prompt": text, "response": "fine, and you?"}]
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return corpus.read([str(tmp_path / "a.jsonl")])

    assert_linear(read, unit)


@pytest.mark.parametrize("unit", ["hello you there\n", "ok\n", "\n", "[01/02/2024, 10:00:01] Anna: bye\n"])
def test_many_messages_of_one_author_are_joined_in_linear_time(tmp_path: Path, unit: str):
    def read(text: str) -> object:
        lines = "".join(f"[01/02/2024, 10:00:00] Anna: {line}\n" for line in text.splitlines())
        (tmp_path / "WhatsApp Chat with Bo.txt").write_text(f"[01/02/2024, 09:00:00] Bo: hi\n{lines}")
        return corpus.read([str(tmp_path / "WhatsApp Chat with Bo.txt")], author="Anna")

    assert_linear(read, unit)


@pytest.mark.parametrize("unit", SHAPES.values(), ids=SHAPES)
def test_text_is_shown_in_linear_time(unit, capsys):
    def show(text: str) -> None:
        printable(text), one_line(text), markdown(text)
        with Output() as out:
            out.note(text)

    assert_linear(show, unit)


@pytest.mark.parametrize("unit", ["[", "[[],", '{"a":', '"', "1,", "\\u0000", "-", "1e9", " "])
def test_json_from_elsewhere_is_read_or_refused_in_linear_time(unit):
    assert_linear(read_json, unit)


@pytest.mark.parametrize("unit", [b"\xff", b"\x0a\x00", b"\x0a\x04\x0a\x02\xff\xff", b"\x80", b"\x08\x01"])
def test_a_sentencepiece_model_is_read_or_refused_in_linear_time(unit):
    assert_linear(lambda text: sentencepieces(text.encode("latin-1")), unit.decode("latin-1"))
