"""Files that the user names: which are written, which are left as they are, and that no folder is made for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import called

from xpert_cli import runs
from xpert_cli.corpus import read

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


@pytest.mark.parametrize(
    "call",
    [
        ("import", "notes", "-o", "no/such/mine.jsonl"),
        ("summarize", "notes", "--plot", "no/such/me.svg"),
        ("select", "notes", "--plot", "no/such/me.html"),
        ("finetune", "notes", "--plot", "no/such/loss.svg"),
        ("convert", "notes", "-o", "no/such/base.gguf"),
        ("merge", "--adapter", "mine.txt", "-o", "no/such/both.gguf"),
        ("runs", "export", "mara", "zip", "-o", "no/such/mara.zip"),
        ("runs", "export", "mara", "gguf", "-o", "no/such/mara.gguf"),
    ],
    ids=" ".join,
)
def test_the_folder_of_a_file_is_not_made_for_its_name_may_be_mistyped(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: tuple[str, ...]
) -> None:
    run = runs.runs_dir() / "mara"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}", "utf-8")
    (run / "adapter.gguf").touch()
    status, out, err = called(monkeypatch, capsys, *call)
    option = "--plot" if "--plot" in call else "--out"
    place = f"there is no folder {notes}/no/such"
    assert (status, out) == (1, "")
    assert err == f"error: cannot write {call[-1]}: {place}. Choose another place with {option}.\n"
    assert not Path("no").exists()


def test_a_file_that_is_named_in_two_ways_is_read_once(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("I wrote this note about the garden.")
    (tmp_path / "sub").mkdir()
    assert len(read([str(note), str(tmp_path / "sub" / ".." / "note.txt")])) == 1
    (tmp_path / "sub" / "other.txt").write_text("And I wrote this other one at home.")
    both = str(note), str(tmp_path), str(tmp_path / "sub"), str(tmp_path / "sub" / "other.txt")
    for sources in (both, both[::-1]):
        corpus = read(sources)
        assert (len(corpus), corpus.reading.left_out, corpus.reading.files) == (2, {}, {"text": 2})
