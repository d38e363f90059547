"""A cache: what is refused, what the commands print, and one built small from start to end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import MARA, called
from tiny_gguf import write_base

from xpert_cli import corpus, gguf, paths
from xpert_cli.cache import answers, build
from xpert_cli.cache.catalogue import OpenCache, base_answers, open_cache
from xpert_cli.cache.gains import gains
from xpert_cli.cache.screening import require_own
from xpert_cli.cache.verify import verify
from xpert_cli.cache.write import relist, write_cache
from xpert_cli.errors import BadInput, BadModel, CacheMismatch
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.hub import sources
from xpert_cli.llama.model import Model
from xpert_cli.models.quantize import for_many_texts
from xpert_cli.selection.select import select
from xpert_cli.selection.summarize import summarize
from xpert_cli.style import axes as axes_table
from xpert_cli.style import described, measured
from xpert_cli.style.formula import Formula, MeasuredAxis, Rule
from xpert_cli.style.measured import MEASURED
from xpert_cli.style.space import WORDING, Axis, Readings, Scatter, Space

EMBEDDED = paths.packaged("adapters")
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the embedded cache that may be spoiled."""
    return shutil.copytree(EMBEDDED, tmp_path / "cache")


def opened(folder: Path) -> OpenCache:
    return open_cache(sources.open_source(str(folder)))


def edit(folder: Path, change: Edit) -> None:
    told = json.loads((folder / "catalogue.json").read_text("utf-8"))
    change(told)
    (folder / "catalogue.json").write_text(json.dumps(told), encoding="utf-8")


# -- what is refused


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda told: told.update(schema=99), "schema 99; this xpert reads up to 2. Upgrade"),
        (lambda told: told.update(colour="red"), r"catalogue.json has unknown or missing keys \(colour\)"),
        (lambda told: told.pop("axes"), r"catalogue.json has unknown or missing keys \(axes\)"),
        (lambda told: told.pop("schema"), "is not a catalogue"),
        (lambda told: told["adapters"][2].update(size=3), r"the entry '.*' has unknown or missing keys \(size\)"),
        (lambda told: told["adapters"][0].pop("sha256"), r"the entry '.*' has unknown or missing keys \(sha256\)"),
        (lambda told: told["adapters"].pop(), "does not fit the catalogue"),
        (lambda told: told["coordinates"].update(sha256="0" * 64), "coordinates.npz is not the file its catalogue"),
        (lambda told: told["coordinates"].update(bytes=7), "coordinates.npz has .* bytes, not 7"),
    ],
    ids=["newer", "unknown", "missing", "no schema", "unknown of entry", "missing of entry", "fewer", "digest", "size"],
)
def test_a_catalogue_that_does_not_fit_is_refused(copy, change, reason):
    edit(copy, change)
    with pytest.raises(CacheMismatch, match=reason):
        opened(copy)


def test_a_damaged_cache_is_one_line(copy, monkeypatch, capsys):
    whole = (copy / "catalogue.json").read_bytes()
    (copy / "catalogue.json").write_bytes(whole[: len(whole) // 2])
    status, out, err = called(monkeypatch, capsys, "select", MARA, "--cache", str(copy))
    assert (status, out) == (1, "")
    assert [line for line in err.splitlines() if not line.startswith("read 30 texts")] == [err.splitlines()[-1]]
    assert "catalogue.json is damaged" in err.splitlines()[-1]
    (copy / "catalogue.json").unlink()
    assert "no file catalogue.json" in called(monkeypatch, capsys, "cache", "list", "--cache", str(copy))[2]


def test_coordinates_that_were_tampered_with_are_refused(copy):
    data = bytearray((copy / "coordinates.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "coordinates.npz").write_bytes(data)
    with pytest.raises(CacheMismatch, match=r"coordinates\.npz is not the file its catalogue describes"):
        opened(copy)


def test_coordinates_with_pickles_are_refused(copy):
    np.savez(copy / "coordinates.npz", answers=np.array([{"a": 1}], dtype=object))
    path = copy / "coordinates.npz"
    edit(copy, lambda told: told["coordinates"].update(sha256=paths.digest(path), bytes=path.stat().st_size))
    with pytest.raises(CacheMismatch, match=r"coordinates\.npz is damaged"):
        opened(copy)


@pytest.mark.model
def test_an_adapter_that_was_tampered_with_is_named(copy, monkeypatch, capsys, base):
    victim = opened(copy).entries[3]
    data = bytearray((copy / victim.file).read_bytes())
    data[-1] ^= 1
    (copy / victim.file).write_bytes(data)
    status, out, err = called(monkeypatch, capsys, "cache", "verify", "--cache", str(copy))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"{victim.file} is not the file its catalogue describes" in err


def test_another_base_is_refused(tmp_path):
    other = write_base(tmp_path / "tiny.gguf")
    with pytest.raises(CacheMismatch, match=r"this cache is for .*; the base at hand is Tiny"):
        verify(opened(EMBEDDED), other)


# -- the embedded cache


def test_list_tells_what_is_there(monkeypatch, capsys):
    status, out, _ = called(monkeypatch, capsys, "cache", "list", "--json")
    listed = json.loads(out)
    assert status == 0
    assert [one["id"] for one in listed["adapters"]] == [entry.id for entry in opened(EMBEDDED).entries]
    assert len(listed["adapters"]) == 8
    status, out, _ = called(monkeypatch, capsys, "cache", "list")
    assert status == 0
    assert all(one["id"] in out for one in listed["adapters"])


@pytest.mark.model
def test_the_embedded_cache_is_sound(monkeypatch, capsys, base):
    status, out, _ = called(monkeypatch, capsys, "cache", "verify", "--json")
    assert status == 0
    told = json.loads(out)
    assert (told["adapters"], told["communities"], told["bytes"]) == (
        8,
        1,
        sum(file.stat().st_size for file in EMBEDDED.glob("*/*.gguf")),
    )


# -- building one


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three probes with short answers."""
    probes = ("Name a fruit.", "Describe a rainy day in two sentences.", "How do I boil an egg?")
    monkeypatch.setattr(described, "probes", lambda: probes)
    monkeypatch.setattr(answers, "ANSWER_TOKENS", 16)


def adapters(base: Path, folder: Path, **metadata: Any) -> list[Path]:
    """Two adapters of one layer, the second with `metadata` of its source."""
    rows, columns = gguf.read_header(base).tensors["blk.0.ffn_down.weight"].shape
    random = np.random.default_rng(0)
    files = [folder / "one.gguf", folder / "two.gguf"]
    for path in files:
        a, b = random.normal(0, 0.1, (1, columns)), random.normal(0, 0.1, (rows, 1))
        factors = {"blk.0.ffn_down.weight": (a.astype(np.float32), b.astype(np.float32))}
        gguf.write_adapter(Adapter("llama", 1.0, factors, metadata if path == files[1] else {}), path)
    return files


@pytest.mark.model
def test_a_cache_is_built_verified_and_selected_from(monkeypatch, capsys, small, tmp_path, base):
    axes, basis = described.axes_of(base)
    writing = described.read(corpus.read([MARA]).texts[:6], axes, basis, base)
    files = adapters(base, tmp_path, **described.source_metadata(writing, axes, basis))
    out = tmp_path / "new"
    status, printed, _ = called(monkeypatch, capsys, "cache", "build", *map(str, files), "-o", str(out), "--json")
    assert status == 0
    built = json.loads(printed)
    assert {"adapters", "axes", "seconds"} <= built.keys()
    for one in built["adapters"]:
        path = out / one["file"]
        assert (one["sha256"], one["bytes"]) == (paths.digest(path), path.stat().st_size)
    assert [one["id"] for one in built["adapters"]] == ["one", "two"]
    whole = ["README.md", "adapters", "base_answers.jsonl", "catalogue.json", "coordinates.npz"]
    assert sorted(path.name for path in out.iterdir()) == whole
    cache = opened(out)
    assert [entry.explained_by for entry in cache.entries] == [("answers",), ("answers", "source")]
    assert verify(cache, base).adapters == 2
    ranking = select(corpus.Corpus(corpus.read([MARA]).messages[:4]), cache, base).ranking
    assert {one.adapter for one in ranking} == {"one", "two"}
    counted = {axis.name for axis in axes if axis.kind == "measured"} | {WORDING}
    assert {reason.axis for one in ranking for reason in one.reasons} <= counted  # one brought its training text


def told_of(values: Any, **changes: Any) -> Adapter:
    """An adapter that tells of training texts with these readings on the measured axes."""
    axes = described.measured_axes()
    metadata = described.source_metadata(Readings(values), axes, np.empty((0, 4), np.float32)) | changes
    return Adapter("llama", 1.0, {"x": (np.ones((1, 2), np.float32), np.ones((2, 1), np.float32))}, metadata)


def test_how_training_texts_differ_is_told_and_understood():
    values = np.random.default_rng(0).normal(size=(7, len(MEASURED)))
    values[2:, 4] = np.nan
    told = described.source_scatter(told_of(values), described.measured_axes())
    wanted = Readings(values).scatter
    assert told is not None
    assert (told.samples, told.known[4]) == (7, 2)
    np.testing.assert_allclose(told.squares, wanted.squares)
    np.testing.assert_allclose(told.mean, wanted.mean)
    alone = described.source_scatter(told_of(values[:1]), described.measured_axes())
    assert alone is not None
    assert not alone.squares.any()
    older = {"xpert.source.scatter": 1.0}
    assert described.source_scatter(told_of(values, **older), described.measured_axes()) is None
    short: dict[str, Any] = {"xpert.source.mean": [1.0] * 3}  # is not understood, as by `source_mean`
    assert described.source_scatter(told_of(values, **short), described.measured_axes()) is None


def test_what_an_adapter_tells_is_matched_by_name_and_by_what_is_counted():
    values = np.random.default_rng(0).normal(size=(7, len(MEASURED)))
    adapter, axes = told_of(values), described.measured_axes()
    picked = [axes[5], Axis("unheard of", "measured", "a", "b"), axes[2]]
    nothing = np.empty((0, 4), np.float32)
    found, mean = described.source_scatter(adapter, picked), described.source_mean(adapter, picked, nothing)
    assert found is not None
    assert mean is not None
    np.testing.assert_allclose(mean, [values[:, 5].mean(), np.nan, values[:, 2].mean()])
    np.testing.assert_array_equal(found.known, [7, 0, 7])
    np.testing.assert_allclose(found.squares[0, 2], Readings(values).scatter.squares[5, 2])
    assert not found.squares[1].any()
    other = [replace(axes[5], digest="0" * 16), axes[2]]  # counts something else under the same name
    mean = described.source_mean(adapter, other, nothing)
    assert mean is not None
    np.testing.assert_allclose(mean, [np.nan, values[:, 2].mean()])
    old = [replace(axis, digest="") for axis in other]  # does not say what it counts: by name
    mean = described.source_mean(adapter, old, nothing)
    np.testing.assert_allclose(mean, values[:, [5, 2]].mean(axis=0))
    assert described.source_scatter(adapter, [Axis("unheard of", "measured", "a", "b")]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"xpert.source.scatter": [1.0]},
        {"xpert.source.scatter": [-1.0] * (len(MEASURED) * (len(MEASURED) + 1) // 2)},
        {"xpert.source.scatter": [float("inf")] * (len(MEASURED) * (len(MEASURED) + 1) // 2)},
        {"xpert.source.known": [9.0] * len(MEASURED)},
        {"xpert.source.samples": -7},
        {"xpert.source.samples": 7.5},
    ],
)
def test_what_no_training_texts_can_be_is_refused(wrong):
    values = np.random.default_rng(0).normal(size=(7, len(MEASURED)))
    with pytest.raises(BadModel, match="what no texts can be"):
        described.source_scatter(told_of(values, **wrong), described.measured_axes())


def test_measured_axes_are_scaled_as_people_write_and_described_ones_as_models_answer():
    axes = (Axis("counted", "measured", "a", "b"), Axis("asked", "described", "c", "d"))
    answers = Readings(np.array([[0.0, 0.0], [2.0, 4.0]] * 40))
    people = Scatter(5000.0, np.array([5000.0]), np.array([0.0]), np.array([[5000.0 * 100]]))
    claim = np.array([5.0, np.nan])
    space, _ = build.build_space(axes, np.ones((1, 3), np.float32), [answers, answers], [claim], [people])
    # people: variance 100, of 1000 texts at most; answers: variance 80/79, standing in for 100
    assert space.spread[0] ** 2 == pytest.approx((999 * 500000 / 4999 + 100 * 80 / 79) / 1099)
    assert space.spread[1] ** 2 == pytest.approx(4 * 80 / 79)
    assert space.precision[0, 1] == 0
    assert space.shift(claim, writing=True)[0] == 0  # the gap takes the one claim out


def test_training_text_is_drawn_to_0_on_axes_that_few_of_its_texts_show():
    values = np.full((30, len(MEASURED)), 1.0)
    values[2:, 0] = np.nan  # two of thirty texts show the first axis
    space = Space(
        described.measured_axes(),
        np.zeros((0, 0), np.float32),
        *(np.zeros(len(MEASURED)), np.zeros(len(MEASURED)), np.ones(len(MEASURED)), np.eye(len(MEASURED))),
    )
    adapters = told_of(values), told_of(values, **{"xpert.source.known": "none"})
    claimed = build.claimed(space, [described.read_source(one, space.axes, space.basis) for one in adapters])
    assert claimed[0, 0] == pytest.approx(2 / 82 * 110 / 30)
    assert claimed[0, 1] == pytest.approx(1.0)
    assert claimed[1, 0] == 1.0  # how many texts show it is not told
    np.testing.assert_allclose(claimed[0], space.position(Readings(values)), atol=1e-6)
    np.testing.assert_allclose(claimed[0], space.position(Readings(values).scatter), atol=1e-6)


def test_where_the_gap_is_not_known_the_metric_is_drawn_towards_the_identity():
    axes = tuple(Axis(name, "measured", "a", "b") for name in "xy")
    answers = Readings(np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 200))
    claim = np.array([5.0, 5.0])
    known, unknown = (
        np.linalg.inv(build.build_space(axes, np.ones((0, 3), np.float32), [answers, answers], [one])[0].precision)
        for one in (claim, None)
    )
    assert known[0, 1] == pytest.approx(0.8, abs=0.05)
    np.testing.assert_allclose(unknown, [[1.0, 0.1 * known[0, 1]], [0.1 * known[0, 1], 1.0]], atol=2e-4)


@pytest.mark.model
def test_adapters_without_training_text_are_also_explained_by_what_they_make_more_probable(
    monkeypatch, small, tmp_path, base
):
    files, alone, scored = adapters(base, tmp_path), tmp_path / "alone", tmp_path / "scored"
    build.build(files, alone, base)
    monkeypatch.setattr(build, "FEWEST", 2)
    build.build(files, scored, base)
    first, second = (opened(folder) for folder in (alone, scored))
    assert [entry.explained_by for entry in first.entries] == [("answers",)] * 2
    assert [entry.explained_by for entry in second.entries] == [("answers", "likelihood")] * 2
    for before, after in zip(first.answer_coordinates, second.answer_coordinates, strict=True):
        space = second.space
        assert space.norm(after) == pytest.approx(space.norm(before), rel=0.01)
        assert 0.1 < float(space.shares(before, after).sum()) < 0.999


@pytest.mark.model
def test_a_gain_is_what_an_adapter_saves_in_nats_a_token(small, tmp_path, base):
    one, two = adapters(base, tmp_path)
    none = gguf.read_adapter(one)
    nothing = {name: (a, np.zeros_like(b)) for name, (a, b) in none.factors.items()}
    gguf.write_adapter(replace(none, factors=nothing), one)
    answers = {"": ["An apple.", " ", "Boil it."], "one": ["A pear.", "It rains.", ""], "two": ["x", "y", "z"]}
    told = gains(BaseModel.open(base), {"one": AdapterFile.open(one), "two": AdapterFile.open(two)}, answers)
    assert sorted(told.texts) == [("", 0), ("", 2), ("one", 0), ("one", 1), ("two", 0), ("two", 1), ("two", 2)]
    assert told.values.shape == (7, 2)
    np.testing.assert_array_equal(told.values[:, 0], 0.0)
    with for_many_texts(base) as copy, Model(copy, outputs=64) as model:
        asked = model.chat(described.probes()[0])
        sample = [*asked, *model.tokenize("An apple.")], len(asked)
        before, tokens = model.nats(sample)
        model.apply([WeightedAdapter.open(two)])
        expected = (before - model.nats(sample)[0]) / tokens
    assert told.values[told.texts.index(("", 0)), 1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.model
def test_an_interrupted_build_asks_for_no_answer_twice(monkeypatch, small, tmp_path, base):
    for name, value in {"SEQUENCES": 1, "CONTEXT": 256, "ANSWER_TOKENS": 4}.items():
        monkeypatch.setattr(answers, name, value)
    files = {path.stem: gguf.AdapterFile.open(path) for path in adapters(base, tmp_path)}
    model = gguf.BaseModel.open(base)
    asked: list[int] = []
    sampler = Model._sampler

    def counting(self: Model, temperature: float, top_p: float, seed: int, repeat: float = 1.0) -> Any:
        asked.append(seed)
        if asked == [0, 1, 2, 0, 1]:
            raise KeyboardInterrupt
        return sampler(self, temperature, top_p, seed, repeat)

    def answered(out: str) -> dict[str, list[str]]:
        return answers.answer_probes(model, files, tmp_path / out, 0, lambda message, part: None)

    monkeypatch.setattr(Model, "_sampler", counting)
    with pytest.raises(KeyboardInterrupt):
        answered("stopped")
    stored = json.loads((tmp_path / "stopped" / answers.FILE).read_text("utf-8"))["answers"]
    assert sorted(map(len, stored.values())) == [0, 1, 3]  # none of the second, one of the first, all of the base's
    carried_on = answered("stopped")
    assert asked == [0, 1, 2, 0, 1, 1, 2, 0, 1, 2]
    monkeypatch.setattr(Model, "_sampler", sampler)
    assert answered("straight") == carried_on
    answers.drop(tmp_path / "stopped")
    assert list((tmp_path / "stopped").iterdir()) == []


def test_a_cache_is_not_built_over_another(tmp_path):
    out = tmp_path / "cache"
    (out / "adapters").mkdir(parents=True)
    (out / "adapters" / "one.gguf").touch()
    require_own(out, {"two"})  # a folder of adapters, which is no cache yet
    (out / "catalogue.json").touch()
    require_own(out, {"one", "two"})
    with pytest.raises(BadInput, match=r"cache holds another cache, with one\. Choose another folder with -o, or add"):
        require_own(out, {"two"})
    (out / "communities").mkdir()
    with pytest.raises(BadInput, match="cache holds another cache, with communities"):
        require_own(out, {"one"})


@pytest.mark.model
def test_adapters_that_cannot_share_a_cache_are_refused(tmp_path, base):
    files = adapters(base, tmp_path)
    with pytest.raises(BadInput, match="cannot be an adapter's id"):
        build.build([files[0], files[0]], tmp_path / "new", base)
    with pytest.raises(CacheMismatch, match="does not fit"):
        build.build(files, tmp_path / "new", write_base(tmp_path / "tiny.gguf"))
    assert not list((tmp_path / "new").glob("**/*.gguf"))


# -- axes of another version


@pytest.mark.model
@pytest.mark.parametrize("change", ["one axis more in front", "the other way round"])
def test_a_cache_is_read_the_same_whatever_stands_in_the_table(change, monkeypatch, base):
    few = corpus.Corpus(corpus.read([MARA]).messages[:8])

    def told() -> tuple[Any, ...]:
        cache = opened(EMBEDDED)
        chosen, explained = select(few, cache, base), summarize(few, cache, base, measured_only=True)
        return chosen.ranking, chosen.selected, explained.explanation, explained.axes

    before = told()
    rule = Rule(Formula("vowels", lambda sample: 3.0), 0, 5, False, "text")
    more = (MeasuredAxis("vowels", "with fewer vowels", "with more vowels", False, "vowels"), rule)
    table = (more, *axes_table.TABLE) if "front" in change else axes_table.TABLE[::-1]
    monkeypatch.setattr(measured, "TABLE", table)
    monkeypatch.setattr(measured, "MEASURED", tuple(axis for axis, _ in table))
    assert told() == before


def told_by(folder: Path) -> Any:
    return json.loads((folder / "catalogue.json").read_text("utf-8"))


def counting(axis: str, digest: str) -> Edit:
    return lambda told: next(one for one in told["axes"] if one["name"] == axis).update(digest=digest)


@pytest.mark.model
def test_an_axis_that_counts_something_else_is_left_out_and_said(copy, base):
    few = corpus.Corpus(corpus.read([MARA]).messages[:8])
    edit(copy, counting("commas", "0" * 16))
    edit(copy, counting("emoji", described.digests()["emoji"]))
    cache = opened(copy)
    explained = summarize(few, cache, base, measured_only=True)
    assert "commas" not in {axis.name for axis in explained.axes}
    assert "emoji" in {axis.name for axis in explained.axes}
    note = "this version of xpert counts commas otherwise than the cache: left out"
    assert note in explained.notes
    chosen = select(few, cache, base)
    assert note in chosen.notes
    assert "commas" not in {reason.axis for reason in chosen.ranking[0].reasons}
    with pytest.raises(CacheMismatch, match="counts commas otherwise than this version"):
        build.add([copy / "adapters" / "expert-concise-plain.gguf"], cache, copy / "more", base)


def test_a_cache_written_again_states_what_each_axis_counts(copy):
    edit(copy, lambda told: [axis.pop("digest", None) for axis in told["axes"]])  # as caches were before
    cache = opened(copy)
    axes = tuple(replace(axis, digest=described.digests().get(axis.name, "")) for axis in cache.space.axes)
    space = replace(cache.space, axes=axes)
    made_with = {"base": dict(cache.base), "summarizer": dict(cache.summarizer), "probes": cache.probes}
    write_cache(copy, made_with, cache.entries, space, cache.answer_coordinates, cache.training_coordinates)
    assert opened(copy).space.axes == space.axes
    written = {axis["name"]: axis.get("digest") for axis in told_by(copy)["axes"]}
    assert written["emoji"] == described.digests()["emoji"]
    assert written["formal–casual"] is None


def test_what_the_base_answered_is_vouched_for(copy):
    assert set(told_by(copy)["files"]) == {"base_answers.jsonl", "communities.json"}
    opened(copy).verify_files()
    lines = (copy / "base_answers.jsonl").read_text("utf-8").splitlines()
    (copy / "base_answers.jsonl").write_text("\n".join([lines[0].replace("a", "e"), *lines[1:]]) + "\n", "utf-8")
    why = r"base_answers\.jsonl is not the file its catalogue describes"
    with pytest.raises(CacheMismatch, match=why):
        opened(copy).verify_files()
    with pytest.raises(CacheMismatch, match=why):
        base_answers(opened(copy).source)
    (copy / "README.md").write_text("for people", "utf-8")  # no program reads it
    relist(copy)
    opened(copy).verify_files()


@pytest.mark.model
def test_of_an_older_cache_verification_reads_what_the_base_answered(copy, base):
    edit(copy, lambda told: told.pop("files"))
    verify(opened(copy), base)
    (copy / "base_answers.jsonl").write_text('{"prompt": "Hi"}\n', "utf-8")
    with pytest.raises(CacheMismatch, match=r"base_answers\.jsonl is damaged"):
        verify(opened(copy), base)


def test_words_are_vouched_for_when_they_are_whole(copy):
    (copy / "words.npz").write_bytes(b"words")
    edit(copy, lambda told: told.update(published={"key": "", "version": 3, "at": "", "expires": ""}))
    relist(copy, without=("words.npz",))
    assert set(told_by(copy)["files"]) == {"base_answers.jsonl", "communities.json"}
    assert "published" not in told_by(copy)
    relist(copy)
    assert told_by(copy)["files"]["words.npz"] == {"sha256": paths.digest(copy / "words.npz"), "bytes": 5}


def test_two_axes_of_one_name_are_refused(copy):
    edit(copy, lambda told: told["axes"][3].update(name="emoji"))
    with pytest.raises(CacheMismatch, match="two axes are called 'emoji'"):
        opened(copy)


def test_an_axis_that_is_understood_is_called_as_this_version_calls_it(copy):
    edit(copy, lambda told: told["axes"][5].update(low="for infants", digest=""))
    edit(copy, lambda told: told["axes"][4].update(low="for infants", digest="0" * 16))
    grade, words = opened(copy).space.axes[5], opened(copy).space.axes[4]
    assert (grade.name, grade.low) == ("reading grade", "in words and sentences that read more easily")
    assert (words.name, words.low) == ("word length", "for infants")
