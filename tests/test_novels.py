"""Novels that the benchmark `languages` reads: how they are cut into passages, and whose they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import languages, novels
from benchmarks.run import Options, Run
from xpert_cli.errors import BadInput

TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt>
<title>{title}</title><author ref="viaf:1">
   {name} (1812-1870)</author></titleStmt></fileDesc></teiHeader>
<text><front><p>Title page.</p></front><body><p>{text}</p></body><back><p>A note.</p></back></text></TEI>"""


def test_passages_are_whole_sentences_of_enough_words_with_marks_written_alike():
    paragraphs = ["«Ah ! he said… ‘No’ -- never...»", "One two three.   Four\tfive. Six.", "Too short"]
    assert novels.passages(paragraphs, 5) == ["\"Ah! he said… 'No' — never…\"", "One two three. Four five."]
    assert novels.passages(["私は行く。君も。"], 4, "") == ["私は行く。"]
    assert novels.spread(["a", "b", "c", "d", "e"], 3) == ["a", "c", "e"]
    assert novels.spread(["a", "b"], 60) == ["a", "b"]


def test_a_writer_is_trained_on_half_a_book_and_tested_on_its_end_and_on_another_book(tmp_path):
    (tmp_path / "ELTeC-xyz/level1").mkdir(parents=True)
    texts = {"1": ("Ada, B.", "a"), "2": ("Cole, D.", "c"), "3": ("Cole, D.", "d"), "4": ("Short, E.", "")}
    for file, (name, letter) in texts.items():
        text = " ".join(f"{letter}{number}." for number in range(16)) if letter else "Little."
        page = TEI.format(title=file, name=name, text=text)
        (tmp_path / "ELTeC-xyz/level1" / f"{file}.xml").write_text(page, "utf-8")
    small = novels.Collection("ELTeC-xyz", shortest=2, least=40)
    assert [one.name for one in novels.writers(tmp_path, small, 0)] == ["Cole, D", "Ada, B"]
    assert [one.name for one in novels.writers(tmp_path, small, 1)] == ["Cole, D"]
    assert novels.writers(tmp_path, small, 0)[0].parts == (
        ["c0. c1.", "c2. c3.", "c4. c5.", "c6. c7."],
        ["c12. c13.", "c14. c15."],
        ["d12. d13.", "d14. d15."],
    )
    assert novels.writers(tmp_path, small, 0)[1].parts[2] == []


def test_every_collection_is_read_as_it_is_written(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("Dostoyevski_Idiot1", "Dostoyevsky_Idiot2", "Nabokov_Dar_1938"):
        (folder / f"{name}.txt").write_text("\ufeffДа.\nНет.\n", "utf-8")
    assert list(novels.russian(tmp_path)) == [("Dostoyevsky", "idiot", ["Да.", "Нет."])] * 2

    line = "-" * 55
    text = f"《》：ルビ\r\n{line}\r\n\r\n私《わたくし》は｜麦《むぎ》［＃改行］。\r\n\r\n底本：「こころ」\r\n"
    own = f"こころ\r\n夏目漱石\r\n\r\n{line}\r\n{text}"
    _write(tmp_path / "cards/1/files/1/1.txt", own.encode("cp932"))
    _write(tmp_path / "cards/1/files/2/2.txt", own.replace("夏目漱石", "ポー\r\n夏目漱石訳").encode("cp932"))
    (book,) = novels.japanese(tmp_path)
    assert book[:2] == ("夏目漱石", "こころ")
    assert [text for text in book[2] if text] == ["私は麦。"]

    for number, (category, translator) in enumerate([("novels", "None"), ("history", "None"), ("novels", "someone")]):
        about = {"BookCats": category, "BookTitle": f"كتاب {number}", "TranslNam": translator, "EditorNam": "None"}
        text = f"######OpenITI#\n\n{json.dumps(about)}\n\n#META#Header#End#\nنعم.\n"
        _write(tmp_path / f"converted_mARkdownSimple/1332JurjiZaydan.B{number}.X-ara1", text.encode())
    _write(tmp_path / "converted_mARkdownSimple/1450Later.B.X-ara1", text.replace("someone", "None").encode())
    assert list(novels.arabic(tmp_path)) == [("JurjiZaydan", "كتاب 0", ["", "نعم."])]


def _write(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def test_what_books_are_long_enough_is_said_for_each_language():
    assert {one.least for one in novels.COLLECTIONS.values()} == {150_000, 50_000}
    assert dataclasses.replace(novels.COLLECTIONS["Japanese"], shortest=2).cut(["私は。行く。"]) == ["私は。", "行く。"]


def test_the_right_one_of_two_writers_who_write_unlike_is_found(tmp_path, monkeypatch):
    folder = tmp_path / "ELTeC-xyz/level1"
    folder.mkdir(parents=True)
    for name, text in (
        ("Ada", "Oh, how I love you! Do come, my dear!"),
        ("Cole", "The dog lay by the door; it slept."),
    ):
        page = TEI.format(title=name, name=name, text=" ".join([text] * 40))
        (folder / f"{name}.xml").write_text(page, "utf-8")
    monkeypatch.setattr(novels, "COLLECTIONS", {"English": novels.Collection("ELTeC-xyz", shortest=8, least=100)})
    run = Run("languages", Options(texts=tmp_path))
    known = languages._measured(run, "English", 0)
    assert [len(one) for one in known.train] == [20, 20]
    assert known.placed("same").firsts(2, 5) == [100.0, 100.0]
    assert [len(one) for one in known.another] == [0, 0]
    with pytest.raises(BadInput, match="Clone ELTeC-xyz"):
        languages._measured(Run("languages", Options(texts=tmp_path / "lost")), "English", 0)
