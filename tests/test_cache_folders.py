"""`xpert cache train`: folders refused before anything is read, whose chats are whose, and where texts lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command import called

from xpert_cli import paths
from xpert_cli.corpus.writers import find_writers
from xpert_cli.errors import BadInput, BadUsage, CannotWrite
from xpert_cli.training.folders import require_folders, texts_folder
from xpert_cli.training.many import _repeated
from xpert_cli.training.writer import Task, read_writer

CHAT = """[03.01.24, 10:00:0{n}] Mira Holm: the river walks past number {n}
[03.01.24, 10:01:0{n}] Bo: and what then, {n}?
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a writer in W and a table beside it."""
    (tmp_path / "W").mkdir()
    (tmp_path / "W" / "anna.txt").write_text("Some text of Anna.\n", "utf-8")
    (tmp_path / "all.jsonl").write_text('{"author": "anna", "text": "Some text of Anna."}\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


AMONG = "is among the writers: every entry of W is taken for one. Choose a folder outside of it with"
WITHIN = "which holds texts of people and is not to be published. Choose another folder with -o or --work."
BESIDE = "which is to be published, and it holds texts of people. Choose another folder with -o or --work."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("W", "-o", "W"), "W holds the writers' texts. Choose another folder for the cache with -o."),
        (("W", "-o", "W/cache"), f"-o W/cache {AMONG} -o."),
        (("W", "-o", "x/../W/a/cache"), f"-o x/../W/a/cache {AMONG} -o."),
        (("W", "-o", "c", "--work", "W/c.work"), f"--work W/c.work {AMONG} --work."),
        (("W", "-o", "c", "--work", "W"), f"--work W {AMONG} --work."),
        (("W", "-o", "c", "--work", "c"), f"-o c is in the folder of --work, c, {WITHIN}"),
        (("W", "-o", "c", "--work", "c/work"), f"--work c/work is in the folder of -o, c, {BESIDE}"),
        (("all.jsonl", "-o", "w/c", "--work", "w"), f"-o w/c is in the folder of --work, w, {WITHIN}"),
    ],
)
def test_folders_that_lie_in_others_are_wrong_usage(options, said, place, monkeypatch, capsys):
    before = sorted(place.rglob("*"))
    status, out, err = called(monkeypatch, capsys, "cache", "train", *options, "--base", "nowhere.gguf")
    assert (status, out, err) == (2, "", f"error: {said}\n")
    assert sorted(place.rglob("*")) == before


def test_what_an_earlier_call_made_among_the_writers_is_to_be_moved(place):
    for name in ("W/cache", "W/cache.work"):
        (place / name).mkdir()
    with pytest.raises(BadUsage) as caught:
        require_folders(Path("W"), Path("W/cache"), Path("W/cache.work"))
    assert str(caught.value) == f"-o W/cache {AMONG} -o, and move W/cache and W/cache.work out of it."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-o", "all.jsonl"), "cannot write to all.jsonl: {why}. Choose another folder with -o."),
        (("-o", "c/adapters"), "cannot write to c/adapters: {why}. Choose another folder with -o."),
        (("-o", "c"), "cannot write to c/adapters: {why}. Choose another folder with -o."),
        (("-o", "d", "--work", "all.jsonl"), "cannot write to all.jsonl: {why}. Choose another folder with --work."),
    ],
)
def test_a_file_in_the_way_is_refused_before_anybody_is_trained(options, said, place, monkeypatch, capsys):
    (place / "c").mkdir()
    (place / "c" / "adapters").write_text("a file", "utf-8")
    before = sorted(place.rglob("*"))
    status, out, err = called(monkeypatch, capsys, "cache", "train", "W", *options, "--base", "nowhere.gguf")
    file = said.split()[3].rstrip(":")
    assert (status, out, err) == (1, "", f"error: {said.format(why=f'{file} is no folder')}\n")
    assert sorted(place.rglob("*")) == before


def test_a_place_that_takes_no_files_is_refused(place, monkeypatch):
    (place / "shut").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "shut")
    with pytest.raises(CannotWrite) as caught:
        require_folders(Path("W"), Path("shut/c"), Path("work"))
    assert str(caught.value) == "cannot write to shut/c: Permission denied. Choose another folder with -o."
    require_folders(Path("W"), Path("c"), Path("c.work"))
    assert not (place / "c").exists()


def test_a_link_among_the_writers_and_one_that_leads_there_are_refused(place, links):
    (place / "elsewhere").mkdir()
    (place / "W" / "cache").symlink_to(place / "elsewhere")
    (place / "link").symlink_to(place / "W")
    for out in ("W/cache", "link/cache"):
        with pytest.raises(BadUsage, match=f"^-o {out} is among the writers"):
            require_folders(Path("W"), Path(out), Path("work"))


@pytest.mark.parametrize("name", ["Mira Holm.txt", "Mira Holm/chat.txt"])
def test_a_chat_is_its_whom_the_file_or_folder_is_called_after(name, tmp_path):
    file = tmp_path / "writers" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(CHAT.format(n=n) for n in range(5)), "utf-8")
    (writer,) = find_writers(tmp_path / "writers", tmp_path / "texts")
    assert (writer.name, writer.own_name) == ("Mira-Holm-2a15165f", "Mira Holm")
    task = Task(writer.name, str(writer.path), author=writer.own_name)
    said = [one.response for one in read_writer(task).messages]
    assert said == [f"the river walks past number {n}" for n in range(5)]


def test_a_tables_writer_is_called_in_chats_as_the_table_names_the_writer(tmp_path):
    talk = [("Mira Hölm", "the river walks past"), ("Bo", "and what then?"), ("Mira Hölm", "it walks on and on")]
    row = {"author": "Mira Hölm", "messages": [{"from": who, "content": text} for who, text in talk]}
    (tmp_path / "all.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    for _ in range(2):  # parted now, and found parted
        (writer,) = find_writers(tmp_path / "all.jsonl", tmp_path / "texts")
        assert (writer.name, writer.own_name) == ("Mira-H-lm-8ed61e0d", "Mira Hölm")
    task = Task(writer.name, str(writer.path), author=writer.own_name)
    assert [one.response for one in read_writer(task).messages] == ["the river walks past", "it walks on and on"]


@pytest.mark.parametrize(("one", "other"), [("PILAR", "pilar"), ("Zo\u00eb", "Zoe\u0308"), ("stra\u00dfe", "STRASSE")])
def test_writers_whom_some_disks_take_for_one_are_refused(one, other, tmp_path):
    folder, table = tmp_path / "W", tmp_path / "all.jsonl"
    for name in (one, other):
        (folder / name).mkdir(parents=True)
    table.write_text("".join(json.dumps({"author": who, "text": "a"}) + "\n" for who in (one, other, one)), "utf-8")
    for source in (folder, table):
        with pytest.raises(BadInput, match="differ only in capital letters or in their form in Unicode"):
            find_writers(source, tmp_path / "texts")
    (folder / other).rename(folder / "bo")
    assert len(find_writers(folder, tmp_path / "texts")) == 2


def test_texts_lie_where_no_writer_can(tmp_path):
    writer, table = tmp_path / "texts" / "run.json", '{"author": "texts", "text": "one line of a writer"}\n'
    writer.parent.mkdir()
    writer.write_text("{}", "utf-8")
    (tmp_path / "all.jsonl").write_text(table, "utf-8")
    assert texts_folder(tmp_path, "texts") == tmp_path / "_texts"
    (one,) = find_writers(tmp_path / "all.jsonl", texts_folder(tmp_path, "texts"))
    assert (one.name, one.path) == ("texts", tmp_path / "_texts" / "texts.jsonl")
    assert writer.read_text("utf-8") == "{}"


def test_texts_of_an_earlier_version_are_moved_and_what_is_a_writers_stays(tmp_path):
    before = tmp_path / "texts"
    paths.writable(before)
    for name in ("anna.jsonl", "texts.jsonl", ".complete", "run.json"):
        (before / name).write_text(name, "utf-8")
    folder = texts_folder(tmp_path, "texts")
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == {
        name: name for name in ("anna.jsonl", "texts.jsonl", ".complete")
    }
    assert [path.name for path in before.iterdir()] == ["run.json"]
    (before / "anna.jsonl").write_text("older", "utf-8")  # an earlier version was called again
    assert texts_folder(tmp_path, "texts") == folder
    assert ((folder / "anna.jsonl").read_text("utf-8"), len(list(before.iterdir()))) == ("anna.jsonl", 1)
    (before / "run.json").unlink()
    texts_folder(tmp_path, "texts")
    assert not before.exists()


def test_names_that_are_taken_for_one_person_are_said():
    assert _repeated({"a": "a", "b": "b", "c": "a"}) == [
        "taken for one person, as at least half of the messages are the same: c (as a). A person counts once in "
        "communities"
    ]
    assert _repeated({"a": "a", "b": "b"}) == []
    (said,) = _repeated(dict.fromkeys("abcdefgh", "a"))
    assert ": b (as a), c (as a), d (as a), e (as a), f (as a) and 2 more. " in said
