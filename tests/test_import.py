"""`xpert import`: which file it writes, and which it leaves as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import called

LINE = '{"prompt": "Tea?", "response": "Always."}\n'


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with notes to read and a file of the user's own."""
    monkeypatch.chdir(tmp_path)
    Path("notes").mkdir()
    Path("notes", "data.jsonl").write_text(LINE, "utf-8")
    Path("mine.txt").write_text("precious", "utf-8")
    return tmp_path


def test_a_file_that_is_there_is_replaced_only_with_overwrite(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ("import", "notes/data.jsonl", "-o", "mine.txt", "--quiet")
    status, out, err = called(monkeypatch, capsys, *call)
    assert (status, out) == (1, "")
    assert err == "error: -o mine.txt is there already. Name another file with -o, or say --overwrite.\n"
    assert Path("mine.txt").read_text("utf-8") == "precious"
    assert called(monkeypatch, capsys, *call, "--overwrite")[0] == 0
    written = json.loads(Path("mine.txt").read_text("utf-8"))
    assert written["messages"][-1] == {"role": "assistant", "content": "Always."}


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("given", ["notes/data.jsonl", "notes", "link.jsonl"])
def test_what_is_read_is_never_replaced(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    Path("link.jsonl").symlink_to("notes/data.jsonl")
    status, out, err = called(monkeypatch, capsys, "import", given, "-o", "notes/data.jsonl", "--overwrite", "--quiet")
    assert (status, out) == (1, "")
    assert err == (
        "error: -o notes/data.jsonl is among the files to read, and would be lost. Name another file with -o.\n"
    )
    assert Path("notes", "data.jsonl").read_text("utf-8") == LINE
