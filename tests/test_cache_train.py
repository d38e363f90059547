"""`xpert cache train`: from many writers to a cache, killed and made again, one process or several, the same bytes."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, called
from many_writers import Prepared, answer, contents, messages, prepare
from tiny_run import one_thread

from xpert_cli import gguf, paths, resume
from xpert_cli.cache.build import build
from xpert_cli.cache.catalogue import OpenCache, open_cache
from xpert_cli.cache.communities import _counted, add_communities, at_least
from xpert_cli.cache.groups import grouped
from xpert_cli.cache.index import made_with, to_index, write_in_schema
from xpert_cli.cache.metric import metric_arrays
from xpert_cli.cache.screening import require_new
from xpert_cli.cli import views
from xpert_cli.corpus.writers import find_writers, usable
from xpert_cli.errors import BadInput, BadUsage, TimeIsUp
from xpert_cli.gguf import AdapterFile, BaseModel
from xpert_cli.gguf.adapter import merge
from xpert_cli.gguf.averaging import average
from xpert_cli.hub.sources import open_source
from xpert_cli.style import described
from xpert_cli.training.many import Progress, Settings, TrainedCache, train_cache
from xpert_cli.training.stopping import Stopped
from xpert_cli.training.writer import How, Task, Trainer, number_type, plan_of

pytest.importorskip("torch")
single = pytest.fixture(scope="module", autouse=True)(one_thread)

HOW = How(base="", rank=2, steps=3, community_steps=4, max_tokens=64)
SETTINGS = Settings(HOW, jobs=1, least=4)
TOLD = [f"It is {len(probe)}." for probe in described.probes()]


def made(
    prepared: Prepared, out: str = "cache", settings: Settings = SETTINGS, after: int | None = None
) -> TrainedCache:
    """The cache of the writers; stopped after so many looks at the clock."""
    looks = [0]

    def progress(message: str, fraction: float) -> None:
        looks[0] += 1
        if looks[0] == after:
            raise TimeIsUp("now")

    folder, work = prepared.folder / out, prepared.folder / f"{out}.work"
    if not (work / "base_answers.jsonl").exists():
        answer(prepared, f"{out}.work")
    writers = find_writers(prepared.writers, work / "texts")
    return train_cache(writers, folder, work, BaseModel.open(prepared.base), settings, progress)


def made_in(
    folder: Path, prepared: Prepared, settings: Settings = SETTINGS, progress: Progress = lambda *_: None
) -> TrainedCache:
    """A cache of the writers in a folder of its own, where nothing was begun."""
    writers = find_writers(prepared.writers, folder / "texts")
    return train_cache(writers, folder / "cache", folder / "work", BaseModel.open(prepared.base), settings, progress)


def opened(folder: Path) -> OpenCache:
    return open_cache(open_source(str(folder)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="module")
def whole(prepared: Prepared) -> Path:
    """An undisturbed cache of the nine writers, and of one without text."""
    (prepared.writers / "nobody.txt").write_text("\n", "utf-8")
    told = made(prepared)
    assert (told.writers, told.trained, list(told.left_out)) == (9, 9, ["nobody"])
    assert "is empty" in told.left_out["nobody"]
    return prepared.folder / "cache"


def test_quiet_and_loud_people_are_two_communities(whole):
    cache = opened(whole)
    assert [entry.id for entry in cache.entries] == [f"w{number}" for number in range(9)]
    assert [(one.id, one.parent, one.count) for one in cache.communities] == [
        ("people", "", 9),
        ("people-1", "people", 5),
        ("people-2", "people", 4),
    ]
    assert cache.communities[1].members == ("w0", "w2", "w4", "w6", "w8")
    assert cache.communities[0].members == ()
    assert cache.entries[0].explained_by == ("source",)
    ran = cache.entries[0].provenance
    assert (ran["messages"] + ran["held_out"], ran["data"]["messages"], ran["steps"]) == (8, 8, 3)
    assert metric_arrays(cache.space.precision).keys() == {"high", "low"}  # two bytes a number in an index
    assert np.allclose(
        cache.communities[0].mean, cache.coordinates.mean(axis=0), rtol=2e-3, atol=5e-3
    )  # coordinates are float16
    assert np.allclose(
        cache.communities[2].spread, cache.coordinates[1::2].std(axis=0), rtol=2e-3, atol=5e-3
    )  # coordinates are float16


def require_average(cache: OpenCache, community: str, members: Sequence[str]) -> None:
    """Hold a community's adapter against the best of its rank that its people's average can be brought to."""
    exact = merge([(gguf.read_adapter(cache.fetch(name)), 1 / len(members)) for name in members])
    own = gguf.read_adapter(cache.fetch(community))
    assert own.rank == 2
    name = "blk.0.ffn_up.weight"
    values = np.linalg.svd(exact.delta(name), compute_uv=False)
    lost = np.linalg.norm(exact.delta(name) - own.delta(name))
    assert lost == pytest.approx(np.sqrt((values[2:] ** 2).sum()), rel=0.01)


def test_a_community_has_the_average_of_its_peoples_adapters(whole):
    require_average(opened(whole), "people-2", ("w1", "w3", "w5", "w7"))


def test_the_same_call_changes_nothing(prepared, whole):
    before = contents(whole)
    told = made(prepared)
    assert (told.writers, told.trained, told.tokens) == (9, 0, 0)
    assert contents(whole) == before


def test_stopped_at_any_moment_and_made_again_it_is_the_same(prepared, whole):
    draw = random.Random(3)
    for _ in range(40):
        try:
            made(prepared, "stopped", after=draw.randrange(1, 12))
            break
        except TimeIsUp:
            continue
    else:
        made(prepared, "stopped")
    assert contents(prepared.folder / "stopped") == contents(whole)


def test_a_stopped_call_says_whether_anything_was_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "_kept", set())
    prepared = prepare(tmp_path, 5)
    with pytest.raises(TimeIsUp):
        made(prepared, after=1)
    assert resume.outlook() == "Nothing was kept: the same command starts from the beginning."
    with pytest.raises(TimeIsUp):
        made(prepared, after=9)  # the first writer is done
    assert (tmp_path / "cache.work" / "w0" / "run.json").exists()
    assert not (tmp_path / "cache").exists()
    assert resume.outlook() == "What is done is kept: the same command goes on from there."
    assert made(prepared).trained < 5


def test_only_new_and_changed_writers_are_trained(tmp_path):
    prepared = prepare(tmp_path, 5)
    assert made(prepared).trained == 5
    (prepared.writers / "w7.jsonl").write_text(messages(7), "utf-8")
    assert (made(prepared).writers, made(prepared).trained) == (6, 0)
    (prepared.writers / "w2.jsonl").write_text(messages(12), "utf-8")
    (prepared.writers / "w4.jsonl").write_text("\n", "utf-8")
    told = made(prepared)
    assert (told.writers, told.trained, list(told.left_out)) == (5, 1, ["w4"])
    assert sorted(path.stem for path in (tmp_path / "cache" / "adapters").iterdir()) == ["w0", "w1", "w2", "w3", "w7"]


def test_a_table_is_the_same_as_files(prepared, whole, tmp_path):
    rows = []
    for path in sorted(prepared.writers.glob("*.jsonl")):
        rows += [{"author": path.stem, **json.loads(line)} for line in path.read_text("utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    table = tmp_path / "all.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    answer(prepared, "table.work")
    work = prepared.folder / "table.work"
    writers = find_writers(table, work / "texts")
    assert [writer.name for writer in writers] == [f"w{number}" for number in range(9)]
    train_cache(writers, prepared.folder / "table", work, BaseModel.open(prepared.base), SETTINGS)
    assert contents(prepared.folder / "table") == contents(whole)


def test_names_are_files_names(tmp_path):
    assert usable("anna") == "anna"
    assert usable("Anna Müller").startswith("Anna-M-ller-")
    assert usable("../x") != usable("x")
    table = tmp_path / "chat.csv"
    table.write_text("text,who\nhello there you,Ünal\nfine and you too,Ünal\n", "utf-8")
    with pytest.raises(BadInput, match=r"no author column .*It has: text, who\. Name it with --author-column"):
        find_writers(table, tmp_path / "parts")
    (writer,) = find_writers(table, tmp_path / "parts", "who")
    assert writer.path.read_text("utf-8").count("\n") == 2


def test_communities_of_text_and_nobodys_adapter(prepared):
    settings = replace(SETTINGS, how=replace(HOW, adapters=False), communities="text", prefix="chat")
    told = made(prepared, "text", settings)
    cache = opened(prepared.folder / "text")
    assert (told.writers, len(cache.entries), [one.count for one in cache.communities]) == (9, 0, [9, 5, 4])
    assert [one.made for one in cache.communities] == ["text"] * 3
    assert cache.communities[0].entry.provenance["steps"] == 4
    before = contents(prepared.folder / "text")
    made(prepared, "text", settings)
    assert contents(prepared.folder / "text") == before
    with pytest.raises(BadUsage, match="nothing to average"):
        replace(settings, communities="average")


def test_least_publishes_no_person(whole, tmp_path):
    assert at_least(opened(whole), 5, tmp_path / "five") == 2
    left = opened(tmp_path / "five")
    assert (left.entries, [(one.id, one.parent, one.members) for one in left.communities]) == (
        (),
        [("people", "", ()), ("people-1", "people", ())],
    )
    everything = b"".join(contents(tmp_path / "five").values())
    assert not any(f"w{number}".encode() + b'"' in everything for number in range(9))
    assert sorted(path.name for path in (tmp_path / "five").rglob("*.gguf")) == ["people-1.gguf", "people.gguf"]
    with pytest.raises(BadInput, match="no community of at least 10 people: its largest has 9"):
        at_least(opened(whole), 10, tmp_path / "ten")


def test_a_person_counts_once_whatever_the_names(tmp_path):
    prepared = prepare(tmp_path)
    made(prepared)
    once = opened(tmp_path / "cache").communities
    lines = (prepared.writers / "w2.jsonl").read_text("utf-8").splitlines()
    (prepared.writers / "a.jsonl").write_text("".join(f"{line}\n" for line in reversed(lines)), "utf-8")
    (prepared.writers / "b.jsonl").write_text("".join(f"{line}\n" for line in lines[:5]).upper(), "utf-8")
    told = made(prepared)
    assert (told.writers, told.people) == (11, 9)
    assert told.notes == (
        "taken for one person, as at least half of the messages are the same: b (as a), w2 (as a). A person counts "
        "once in communities",
    )
    cache = opened(tmp_path / "cache")
    assert [(one.id, one.count, one.members) for one in cache.communities] == [
        ("people", 9, ()),
        ("people-1", 5, ("a", "b", "w0", "w2", "w4", "w6", "w8")),
        ("people-2", 4, ("w1", "w3", "w5", "w7")),
    ]
    for before, after in zip(once, cache.communities, strict=True):  # no heavier for having three names
        assert np.allclose(np.nan_to_num(before.mean), np.nan_to_num(after.mean), atol=1e-3)
    require_average(cache, "people-1", ("a", "w0", "w4", "w6", "w8"))
    assert at_least(cache, 5, tmp_path / "five") == 2
    assert opened(tmp_path / "five").entries == ()  # nobody's adapter, under whatever name
    with pytest.raises(BadInput, match="no community of at least 10 people: its largest has 9"):
        at_least(cache, 10, tmp_path / "ten")
    text = replace(SETTINGS, how=replace(HOW, adapters=False), communities="text")
    assert [one.people for one in made(prepared, "text", text).communities] == [9, 5, 4]
    pooled = (tmp_path / "text.work" / "_pooled" / "people-1.jsonl").read_text("utf-8").splitlines()
    assert (len(pooled), len(set(pooled))) == (40, 40)


def test_too_few_people_are_no_community_whatever_the_names(tmp_path):
    prepared = prepare(tmp_path, 3)
    for name in ("x", "y"):
        (prepared.writers / f"{name}.jsonl").write_text(messages(1), "utf-8")
    told = made(prepared)
    assert (told.writers, told.people, told.communities) == (5, 3, ())
    assert told.notes[0] == "3 people are too few for a community of 4: there is none"


@pytest.mark.parametrize("indexed", [False, True])
def test_a_cache_of_an_earlier_version_is_counted_anew(indexed, whole, tmp_path):
    """It counted names. Those whose text is the same have the same digest of it."""
    folder = shutil.copytree(whole, tmp_path / "cache")
    cache = opened(folder)
    assert [one.count for one in _counted(cache)] == [9, 5, 4]
    data = cache.entries[0].provenance["data"]
    entries = [replace(one, provenance={**one.provenance, "data": data}) for one in cache.entries[:3]]
    entries += cache.entries[3:]
    write_in_schema(
        folder,
        made_with(cache),
        entries,
        cache.space,
        cache.answer_coordinates,
        cache.training_coordinates,
        indexed=indexed,
    )
    cache = opened(folder)
    assert [one.count for one in _counted(cache)] == [7, 4, 4]
    assert at_least(cache, 5, tmp_path / "five") == 1
    alone = opened(tmp_path / "five")
    assert ([(one.id, one.count) for one in alone.communities], schema(tmp_path / "five")[0]) == ([("people", 7)], 1)
    with pytest.raises(BadInput, match="has communities alone"):
        to_index(alone, tmp_path / "five")
    bare = [replace(one, members=()) for one in cache.communities]
    cache.__dict__["communities"] = bare
    assert [one.count for one in _counted(cache)] == [9, 5, 4]  # nobody is named


def test_communities_are_put_beside_other_adapters(whole, prepared, tmp_path):
    alone = made(prepared, "alone", replace(SETTINGS, communities="none"))
    assert alone.communities == ()
    target = shutil.copytree(prepared.folder / "alone", tmp_path / "target")
    added = add_communities(opened(whole), opened(target), target, least=5)
    both = opened(target)
    assert [one.id for one in added] == [one.id for one in both.communities] == ["people", "people-1"]
    assert len(both.entries) == 9
    before, after = (np.nan_to_num(cache.communities[1].mean) for cache in (opened(whole), both))
    assert np.allclose(after, before, atol=1e-3)  # axes that never vary are told as unknown, and count for nothing
    with pytest.raises(BadInput, match="has people already"):
        add_communities(opened(whole), both, target, least=5)


def schema(folder: Path) -> tuple[int, set[str]]:
    """A cache's schema, and the files of it that the other schema has not."""
    told = json.loads((folder / "catalogue.json").read_bytes())
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    return told["schema"], names & {"coordinates.npz", "space.npz", "basis.npz", "root.npz", "cells.bin", "names.bin"}


INDEXED = (2, {"space.npz", "basis.npz", "root.npz", "cells.bin", "names.bin"})


def test_a_cache_with_an_index_keeps_it(tmp_path):
    prepared = prepare(tmp_path, 9)
    made(prepared)
    folder = tmp_path / "cache"
    assert schema(folder) == (1, {"coordinates.npz"})
    to_index(opened(folder), folder)
    assert schema(folder) == INDEXED
    (prepared.writers / "w9.jsonl").write_text(messages(9), "utf-8")
    assert made(prepared).trained == 1
    assert schema(folder) == INDEXED
    cache = opened(folder)
    assert [entry.id for entry in cache.entries] == [f"w{number}" for number in range(10)]
    assert [(one.id, one.count) for one in cache.communities] == [("people", 10), ("people-1", 5), ("people-2", 5)]
    before = contents(folder)
    made(prepared)
    assert contents(folder) == before


def test_a_cache_with_an_index_is_added_to_verified_and_reduced_as_one_without(
    whole, prepared, tmp_path, monkeypatch, capsys
):
    folder = shutil.copytree(whole, tmp_path / "cache")
    to_index(opened(folder), folder)
    more = tmp_path / "more.gguf"
    gguf.write_adapter(merge([(gguf.read_adapter(whole / "adapters" / "w1.gguf"), 0.5)]), more)
    monkeypatch.setattr("xpert_cli.cache.build.answer_probes", lambda base, files, *_, **__: dict.fromkeys(files, TOLD))
    on = ("--cache", str(folder), "--base", str(prepared.base), "--json")
    status, out, _ = called(monkeypatch, capsys, "cache", "add", str(more), *on)
    assert (status, [one["id"] for one in json.loads(out)["adapters"]]) == (0, ["more"])
    assert schema(folder) == INDEXED
    status, out, _ = called(monkeypatch, capsys, "cache", "verify", *on)
    told = json.loads(out)
    assert (status, told["adapters"], told["communities"]) == (0, 10, 3)
    assert [one.count for one in opened(folder).communities] == [9, 5, 4]
    other = shutil.copytree(whole, tmp_path / "other")
    alone = made(prepared, "bare", replace(SETTINGS, communities="none"))
    bare = shutil.copytree(Path(alone.out), tmp_path / "bare")
    to_index(opened(bare), bare)
    add_communities(opened(other), opened(bare), bare, least=5)
    assert schema(bare) == INDEXED
    assert [one.id for one in opened(bare).communities] == ["people", "people-1"]
    assert at_least(opened(folder), 5, tmp_path / "five") == 2
    assert schema(tmp_path / "five") == INDEXED
    assert [entry.id for entry in opened(tmp_path / "five").entries] == ["more"]
    victim = folder / "communities" / "people-2.gguf"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    status, _, err = called(monkeypatch, capsys, "cache", "verify", *on)
    assert (status, "communities/people-2.gguf is not the file its catalogue describes" in err) == (1, True)


def test_verification_names_directions_that_are_not_there_and_words_that_are_damaged(
    whole, prepared, tmp_path, monkeypatch, capsys
):
    folder = shutil.copytree(whole, tmp_path / "cache")
    to_index(opened(folder), folder)
    command = ("cache", "verify", "--cache", str(folder), "--base", str(prepared.base))
    (folder / "words.npz").write_bytes(b"words")
    status, _, err = called(monkeypatch, capsys, *command)
    why = "words.npz is damaged (File is not a zip file). Get the cache anew, or delete the file."
    assert (status, err) == (1, f"error: {folder}: {why}\n")
    (folder / "basis.npz").unlink()
    status, _, err = called(monkeypatch, capsys, *command)
    assert (status, err) == (1, f"error: {folder}: the cache has no file basis.npz. Check --cache.\n")


@pytest.mark.parametrize("indexed", [False, True])
def test_an_adapter_is_put_into_a_cache_once_whatever_it_is_called(indexed, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "cache")
    if indexed:
        to_index(opened(folder), folder)
    cache = opened(folder)

    def add(**files: str) -> None:
        require_new({name: AdapterFile.open(whole / file, name) for name, file in files.items()}, cache)

    for files, said in (
        ({"w1": "adapters/w1.gguf"}, "has w1 already: the same file. Nothing is to add."),
        ({"new": "adapters/w1.gguf"}, "has new already, as w1: the same file. Nothing is to add."),
        ({"new": "communities/people-1.gguf"}, "has new already, as people-1: the same file. Nothing is to add."),
        ({"w1": "adapters/w2.gguf"}, "has w1 already, another file. Rename yours, or its folder."),
    ):
        with pytest.raises(BadInput) as caught:
            add(**files)
        assert str(caught.value) == f"{folder} {said}"
    with pytest.raises(BadInput, match=r"^one and two are the same file\. Name one of them\.$"):
        require_new({name: AdapterFile.open(whole / "adapters" / "w1.gguf", name) for name in ("one", "two")})
    build_from = [shutil.copy(whole / "adapters" / "w1.gguf", tmp_path / name) for name in ("one.gguf", "two.gguf")]
    with pytest.raises(BadInput, match=r"^one and two are the same file"):
        build(build_from, tmp_path / "built", whole.parent / "base.gguf")
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize("indexed", [False, True])
def test_a_cache_of_a_base_that_tells_no_adjectives_apart_can_be_opened(
    indexed, whole, prepared, tmp_path, monkeypatch
):
    def answered(base: object, files: dict[str, object], *_: object) -> dict[str, list[str]]:
        return dict.fromkeys(["", *files], TOLD)

    monkeypatch.setattr("xpert_cli.cache.build.answer_probes", answered)
    files = [whole / "adapters" / f"w{number}.gguf" for number in range(2)]
    build(files, tmp_path, prepared.base, indexed=indexed)
    cache = opened(tmp_path)
    assert (cache.space.basis.shape, [entry.id for entry in cache.entries]) == ((0, 0), ["w0", "w1"])


def test_many_adapters_are_averaged_as_few_are(tmp_path, monkeypatch):
    import tiny_gguf

    files = []
    for seed in range(5):
        files.append(tmp_path / f"{seed}.gguf")
        gguf.write_adapter(tiny_gguf.adapter(seed, rank=2), files[-1], "F32")
    few = average(files, 3)
    monkeypatch.setattr("xpert_cli.gguf.averaging.TOGETHER", 2)
    many = average(files, 3)
    for name in few.factors:
        assert np.allclose(few.delta(name), many.delta(name), atol=1e-6)


def test_groups_are_no_smaller_than_the_least():
    draw = np.random.default_rng(0)
    points = np.concatenate([draw.normal(0, 1, (14, 5)), draw.normal(9, 1, (26, 5)), draw.normal(-9, 1, (3, 5))])
    tree = grouped(points, 10)
    assert [(one.parent, len(one.members)) for one in tree] == [(-1, 43), (0, 26), (0, 17)]
    assert [len(one.members) for one in grouped(points[:19], 10)] == [19]


def test_another_cache_is_not_overwritten(prepared, tmp_path):
    shutil.copytree(paths.packaged("adapters"), tmp_path / "cache")
    with pytest.raises(BadInput, match="holds a cache that was not trained here"):
        made_in(tmp_path, prepared)


def test_options_that_do_not_fit_are_one_line(prepared, monkeypatch, capsys):
    status, _, err = called(monkeypatch, capsys, *prepared.command("wrong", "--engine", "cloud"))
    assert status == 2
    assert "--engine is local or ray, not 'cloud'." in err
    status, _, err = called(monkeypatch, capsys, *prepared.command("wrong", "--prefix", "../../evil"))
    assert (status, "'../../evil' cannot be an adapter's id" in err) == (2, True)
    status, _, err = called(monkeypatch, capsys, *prepared.command(str(prepared.writers)))
    assert (status, "holds the writers' texts" in err) == (2, True)
    for option, said in {
        "--learning-rate=0": "--learning-rate must lie between 0 and 1, not 0. Try 0.001.",
        "--learning-rate=1": "--learning-rate must lie between 0 and 1, not 1. Try 0.001.",
        "--max-tokens=8": "--max-tokens 8 is too few: the chat template alone takes 18. Try 256.",
    }.items():
        status, _, err = called(monkeypatch, capsys, *prepared.command("wrong", option))
        assert (status, err) == (2, f"error: {said}\n")
        assert not (prepared.folder / "wrong.work").exists()
    status, _, err = called(monkeypatch, capsys, *prepared.command("wrong", "--no-people"))
    assert "Say --communities text." in err
    assert status == 2


@pytest.mark.slow
def test_killed_several_times_two_workers_make_the_same_bytes(prepared, whole):
    answer(prepared, "killed.work")
    command = [sys.executable, "-m", "xpert_cli", *prepared.command("killed", "--jobs", "2", "--json")]
    draw, killed = random.Random(7), 0
    for _ in range(4):
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            process.communicate(timeout=draw.uniform(3, 7))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    assert json.loads(done.stdout)["writers"] == 9
    assert killed
    assert contents(prepared.folder / "killed") == contents(whole)
    time.sleep(1)  # workers of the killed ones have found their pipes closed


@pytest.mark.model
def test_a_workers_layout_follows_from_the_memory_that_it_may_take(base: Path) -> None:
    header = gguf.read_header(base)

    def layout(memory: int | None, dtype: str = "bfloat16") -> list[object]:
        return plan_of(How(base="", dtype=dtype, memory=memory), header).identity

    assert layout(None) == ["bfloat16", 1]
    assert layout(1 << 30) == ["bfloat16", 1]
    assert layout(600 << 20) == ["bfloat16", 1, 512, 30, True, True, 1024]
    assert layout(450 << 20) == ["bfloat16", 1, 256, 30, True, True, 0]
    with pytest.raises(BadInput, match=r"takes \d+ MB, more than --memory allows"):
        layout(300 << 20)


def test_no_memory_at_all_is_wrong_usage_and_leaves_no_folder(prepared, monkeypatch, capsys):
    said = "error: --memory must be more than 0. Write 900M or 2G, or leave it out.\n"
    status, _, err = called(monkeypatch, capsys, *prepared.command("wrong", "--memory", "0"))
    assert (status, err) == (2, said)
    status, _, err = called(monkeypatch, capsys, *prepared.command("wrong", "--memory", "1M"))
    assert (status, "MB, more than --memory allows. Give" in err) == (1, True)
    assert not (prepared.folder / "wrong.work").exists()


def test_where_nobody_can_be_used_five_are_named_and_nothing_stays(tmp_path):
    prepared = prepare(tmp_path, 0)
    for number in range(7):
        (prepared.writers / f"w{number}.txt").write_text("One line of five words.\n" if number == 1 else "\n", "utf-8")
    with pytest.raises(BadInput) as caught:
        made_in(tmp_path, prepared)
    said = str(caught.value)
    assert said.startswith("none of 7 writers has a text that can be used. w0: ")
    assert "w1: 1 different message is too few to learn from and to check against. w2: " in said
    assert [f"w{number}: " in said for number in range(7)] == [True] * 5 + [False] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.gguf", "writers"]


def test_where_the_time_is_up_before_anybody_is_trained_no_folder_stays(prepared, tmp_path):
    def over(message: str, fraction: float) -> None:
        raise TimeIsUp("0 minutes are over.")

    with pytest.raises(TimeIsUp):
        made_in(tmp_path, prepared, progress=over)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("trained", "tokens", "people", "said"),
    [
        (0, 0, 9, "c: 9 writers, none of them trained now, 1 left out"),
        (0, 0, 7, "c: 9 writers (7 people), none of them trained now, 1 left out"),
        (1, 600, 9, "c: 9 writers, 1 of them trained now (200 tokens/s), 1 left out"),
        (0, 600, 9, "c: 9 writers, none of them trained now (communities at 200 tokens/s), 1 left out"),
    ],
)
def test_a_rate_is_told_of_what_was_trained(trained, tokens, people, said):
    cache = TrainedCache("c", 9, trained, {"nobody": "is empty"}, (), tokens, tokens / 3, 3.0, "w", people)
    assert str(views.trained_cache(cache)) == said


def test_writers_that_would_be_trained_anew_need_memory_too(prepared, whole, monkeypatch):
    shutil.copytree(prepared.folder / "cache.work", prepared.folder / "again.work")
    with Trainer(replace(HOW, base=str(prepared.base), dtype=number_type()), prepared.folder / "again.work") as trainer:
        task = Task("w3", str(prepared.writers / "w3.jsonl"))
        assert not trainer.would_train(task)
        assert trainer.would_train(replace(task, source=str(prepared.writers / "w2.jsonl")))  # another text
        assert not trainer.would_train(replace(task, source=str(prepared.writers / "nobody.txt")))
        assert not trainer.would_train(replace(task, trained=False))
        (prepared.folder / "again.work" / "w3" / "adapter.gguf").unlink()
        assert trainer.would_train(task)
    monkeypatch.setattr("xpert_cli.platform.available_memory", lambda: 100 << 20)
    with pytest.raises(BadInput, match=r"^a worker takes \d+ MB, and 100 MB are free"):
        made(prepared, "again", replace(SETTINGS, jobs=2))
    monkeypatch.setattr("xpert_cli.platform.available_memory", lambda: 500 << 20)
    with pytest.raises(BadInput, match=r"^2 workers at a time take \d+ MB, and 500 MB are free"):
        made(prepared, "again", replace(SETTINGS, jobs=2, how=replace(HOW, steps=4)))
    before = contents(prepared.folder / "cache")
    monkeypatch.setattr("xpert_cli.platform.available_memory", lambda: 100 << 20)
    assert made(prepared).trained == 0
    assert contents(prepared.folder / "cache") == before


def test_the_base_makes_no_copies_for_the_probes_where_memory_is_limited(prepared, whole, monkeypatch):
    lean: list[bool | None] = []

    def answered(base: object, files: object, *_: object, **options: bool | None) -> dict[str, list[str]]:
        lean.append(options["lean"])
        return {"": TOLD}

    monkeypatch.setattr("xpert_cli.cache.writers.answer_probes", answered)
    for memory in (1 << 40, None):
        (prepared.folder / "cache.work" / "base_answers.jsonl").unlink()
        settings = replace(SETTINGS, how=replace(HOW, memory=memory))
        writers = find_writers(prepared.writers, prepared.folder / "texts")
        work = prepared.folder / "cache.work"
        train_cache(writers, prepared.folder / "cache", work, BaseModel.open(prepared.base), settings)
    assert lean == [True, None]


def test_workers_end_with_the_process_that_they_work_for(prepared, tmp_path):
    tasks = []
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)  # reading it takes for ever
        tasks.append(Task(name, str(tmp_path / name)))
    script = (
        "import sys; from pathlib import Path; from xpert_cli.training.workers import local\n"
        "from xpert_cli.training.writer import How, Task\n"
        "if __name__ == '__main__':\n"
        f"    list(local(How({str(prepared.base)!r}), Path({str(tmp_path)!r}, 'work'), {tasks!r}, 2, lambda: None))\n"
    )
    (tmp_path / "parent.py").write_text(script, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], env=environment)

    def until(happened: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 60
        while not happened() and time.monotonic() < deadline:
            time.sleep(0.05)
        return happened()

    locks = [tmp_path / "work" / task.name / ".lock" for task in tasks]
    try:
        assert until(lambda: all(lock.exists() for lock in locks))
    finally:
        process.kill()
        process.wait()

    def free() -> bool:
        for lock in locks:
            with lock.open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return False
        return True

    assert until(free)


@pytest.mark.parametrize(("call", "step"), [(1, 0), (2, 0), (4, 2), (5, 3)])  # first and last measure what is held out
def test_a_worker_that_is_stopped_within_a_step_writes_its_state_and_makes_the_same(
    call, step, prepared, whole, tmp_path, monkeypatch
):
    from xpert_cli.training.decoder import Decoder

    calls, learn, loss = [0], Decoder.learn, Decoder.loss

    def counted(work: Callable[..., float]) -> Callable[..., float]:
        def at(self: Decoder, *arguments: object) -> float:
            calls[0] += 1
            if calls[0] == call:
                os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C at a terminal, and the parent's
                os.kill(os.getpid(), signal.SIGTERM)
            return work(self, *arguments)

        return at

    monkeypatch.setattr(Decoder, "learn", counted(learn))
    monkeypatch.setattr(Decoder, "loss", counted(loss))
    task = Task("w3", str(prepared.writers / "w3.jsonl"))
    with Trainer(replace(HOW, base=str(prepared.base), dtype=number_type()), tmp_path) as trainer:
        with pytest.raises(Stopped):
            trainer.run(task)
        assert [path.name for path in (tmp_path / "w3" / "checkpoints").iterdir()] == [f"step-{step:06}.npz"]
        assert trainer.run(task).tokens > 0
    done = tmp_path / "w3" / "adapter.gguf"
    assert done.read_bytes() == (prepared.folder / "cache.work" / "w3" / "adapter.gguf").read_bytes()


def test_workers_that_need_more_memory_than_there_is_are_refused_before_any_starts(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("xpert_cli.platform.available_memory", lambda: 400 << 20)
    with pytest.raises(
        BadInput, match=r"2 workers at a time take \d+ MB, and 400 MB are free\. .*, or fewer --jobs\.$"
    ):
        made_in(tmp_path, prepared, replace(SETTINGS, jobs=2))
    assert list(tmp_path.iterdir()) == []
