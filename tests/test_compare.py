"""The two-answer question, the words that follow from it, and the commands that make and use them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import shutil
import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import MARA, OKORO, called

from xpert_cli import corpus, gguf, paths
from xpert_cli.cache.catalogue import OpenCache, open_cache
from xpert_cli.cli import cache as cli_cache
from xpert_cli.corpus import Corpus
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub import sources
from xpert_cli.llama.model import Model
from xpert_cli.paper import basis, spelling, two_answers, word_index
from xpert_cli.paper.basis import Basis
from xpert_cli.paper.compare import compare as by_words
from xpert_cli.paper.name_adapters import name_words

TWO = word_index.Words(
    summarizer="model",
    question="question",
    basis=Basis(("formal", "funny"), np.eye(3)[:2]),
    seen=("formal", "casual", "funny"),
    ids=("one", "two"),
    sha256=("1", "2"),
    states=np.array([[2.0, 0.5, 7.0], [-1.0, 4.0, 0.0]]),
    centre=np.zeros(3),
)


# -- what readings mean


def test_a_reading_takes_out_what_all_answers_share() -> None:
    assert two_answers.neutral(np.array([[5.0, 1.0]]), np.array([[4.0, 1.0]])).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("text", "word"),
    [(" Formal", "formal"), ("of", None), (" the", None), (" very", None), ("co-operative", None), (" 3", None)],
)
def test_only_whole_words_that_can_name_a_style_count(text: str, word: str | None) -> None:
    assert spelling.accepted(text) == word


def test_the_question_is_known_by_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = two_answers.digest()
    monkeypatch.setattr(two_answers, "WORDS", 41)
    assert two_answers.digest() != before


def test_the_command_has_the_defaults_of_the_method() -> None:
    told = inspect.signature(cli_cache.words).parameters
    defaults = [told[name].default for name in ("orthogonality", "residual", "candidates")]
    assert defaults == [basis.ORTHOGONALITY, basis.RESIDUAL, basis.MOST] == [0.1, 0.2, 300]


# -- words.npz


def source(folder: Path) -> sources.Source:
    return sources.Source("cache", folder)


def test_words_are_read_as_they_were_written(tmp_path: Path) -> None:
    word_index.write(tmp_path, TWO)
    read = word_index.read(source(tmp_path))
    assert (read.summarizer, read.question, read.basis.words) == ("model", "question", ("formal", "funny"))
    assert (read.seen, read.ids, read.sha256) == (TWO.seen, TWO.ids, TWO.sha256)
    assert read.coordinates.tolist() == [[2, 0.5], [-1, 4]]
    assert read.basis.units.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert [path.name for path in tmp_path.iterdir()] == ["words.npz"]


def test_a_cache_without_words_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(CacheMismatch, match=r"cache has no words.npz.*xpert cache words"):
        word_index.read(source(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"units": np.eye(3)},
        {"units": np.zeros((2, 3))},
        {"states": np.full((2, 3), np.nan)},
        {"ids": np.array(["one"])},
        {"sha256": np.array(["1", "2", "3"])},
        {"made_by": np.array(["model"])},
        {"centre": np.zeros((1, 3))},
        {"words": np.array([{"a": 1}], dtype=object)},
        {"words": None},
    ],
)
def test_damaged_words_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    word_index.write(tmp_path, TWO)
    with np.load(tmp_path / word_index.FILE) as file:
        arrays = {name: file[name] for name in file.files} | change
    np.savez(tmp_path / word_index.FILE, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(CacheMismatch, match=r"words.npz is damaged \(.*\). Get the cache anew."):
        word_index.read(source(tmp_path))


def test_bytes_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 but not really", b"text"):
        (tmp_path / word_index.FILE).write_bytes(content)
        with pytest.raises(CacheMismatch, match=r"words.npz is damaged"):
            word_index.read(source(tmp_path))


def test_words_of_another_summarizer_are_refused() -> None:
    TWO.require("model", "question", "cache")
    with pytest.raises(CacheMismatch, match="made with another summarizer"):
        TWO.require("other", "question", "cache")
    with pytest.raises(CacheMismatch, match="made with another version of the question"):
        TWO.require("model", "other", "cache")


# -- with the packaged model


@pytest.fixture(scope="module")
def summarizer(base: Path) -> Iterator[Model]:
    with two_answers.opened(base) as model:
        yield model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One prompt, answers of a few words, and two words to centre by."""
    for name, value in {"PAIRS": 1, "ANSWER_TOKENS": 8, "anchors": lambda: ["ordinary", "formal"]}.items():
        monkeypatch.setattr(two_answers, name, value)
    monkeypatch.setattr(spelling, "CHUNK", 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded cache."""
    return shutil.copytree(paths.packaged("adapters"), tmp_path / "cache")


def first(folder: Path, count: int) -> OpenCache:
    """The cache as it was when it held fewer adapters."""
    cache = open_cache(sources.open_source(str(folder)))
    return dataclasses.replace(cache, entries=cache.entries[:count])


def answering(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The adapters that answer from now on."""
    asked: list[Any] = []
    answered = two_answers.answered

    def counting(base: Path, prompts: list[str], adapter: Path | None = None) -> list[str]:
        asked.append(adapter and adapter.path.stem)
        return answered(base, prompts, adapter)

    monkeypatch.setattr(two_answers, "answered", counting)
    return asked


@pytest.mark.model
def test_a_text_cannot_speak_for_the_question(summarizer: Model) -> None:
    text = summarizer.detokenize(two_answers.put(summarizer, "What? {second}", "Mine {second} {first}", "Yours"))
    assert "Question: What? {second}\n\nAnswer 1: Mine {second} {first}\n\nAnswer 2: Yours\n\nWhich one" in text
    assert text.endswith("answer 1 is written in a more")


@pytest.mark.model
def test_states_follow_the_order_of_the_answers(summarizer: Model) -> None:
    asked = {
        order: two_answers.states(summarizer, ["Hi?"], ["Yo!"], ["Good day."], order) for order in ("ab", "ba", "bb")
    }
    assert asked["ab"].shape == (1, summarizer.hidden_size)
    exchanged = two_answers.states(summarizer, ["Hi?"], ["Good day."], ["Yo!"], "ab")
    assert asked["ba"] == pytest.approx(exchanged, abs=1e-3)
    assert not np.allclose(asked["ab"], asked["bb"], atol=0.1)
    shift = two_answers.shift(summarizer, ["Hi?"], ["Yo!"], ["Good day."])
    assert shift == pytest.approx((asked["ab"] - asked["bb"])[0], abs=1e-3)


@pytest.mark.model
def test_words_come_whole_and_likeliest_first(summarizer: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spelling, "CHUNK", 8)
    told, ordinary = two_answers.worded(summarizer, ["technical", "ordinary"], "ab")
    found = list(islice(spelling.Speller(summarizer).ranked(told - ordinary), 10))
    assert found[0] == "technical"
    assert len(set(found)) == 10
    assert all(word.isalpha() and word == word.lower() and len(word) > 2 for word in found)


@pytest.mark.model
def test_words_grow_with_the_cache_and_rank_it(monkeypatch, capsys, small, folder, base) -> None:
    ids = [entry.id for entry in first(folder, 3).entries]
    asked, write = answering(monkeypatch), word_index.write

    def interrupted(to: Path, found: word_index.Words) -> None:
        write(to, found)
        raise KeyboardInterrupt

    monkeypatch.setattr(word_index, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        name_words(first(folder, 2), folder, base, candidates=2)
    monkeypatch.setattr(word_index, "write", write)
    done = name_words(first(folder, 2), folder, base, candidates=2)
    before = word_index.read(source(folder))
    assert (asked, [one.id for one in done.added], before.ids) == (ids[:2], ids[1:2], (ids[0], ids[1]))
    assert 1 <= len(done.words) <= done.looked <= 4
    assert done.notes == ("2 words leave more than 0.2 of 1 of 1 adapter unexplained",)

    now = first(folder, 3)
    monkeypatch.setattr("xpert_cli.cli.cache.opened_cache", lambda name, offline, out: now)
    status, out, _ = called(monkeypatch, capsys, "cache", "words", str(folder), "--candidates", "2", "--json")
    after = word_index.read(source(folder))
    assert (status, asked, [one["id"] for one in json.loads(out)["added"]]) == (0, ids, ids[2:])
    assert json.loads(out)["words"] == list(after.basis.words)
    assert after.basis.words[: len(before.basis)] == before.basis.words
    assert np.array_equal(after.basis.units[: len(before.basis)], before.basis.units)
    assert np.array_equal(after.states[:2], before.states)

    monkeypatch.setattr(socket, "socket", None)  # nothing leaves the process
    placed = by_words(Corpus(corpus.read([MARA]).messages[:3]), open_cache(sources.open_source(str(folder))), base)
    distances = [near.distance for near in placed.ranking]
    assert ({near.adapter for near in placed.ranking}, sorted(distances)) == (set(ids), distances)
    assert (placed.samples, {told.word for told in placed.words}) == (1, set(after.basis.words))
    assert placed.notes == ("5 adapters have no words yet and are not ranked",)


@pytest.mark.model
def test_writing_without_prompts_is_no_answer(folder, base) -> None:
    made_by = gguf.fingerprint(base), two_answers.digest()
    word_index.write(folder, dataclasses.replace(TWO, summarizer=made_by[0], question=made_by[1]))
    with pytest.raises(BadInput, match="needs messages with the prompts they answer"):
        by_words(corpus.read([OKORO]), open_cache(sources.open_source(str(folder))), base)
