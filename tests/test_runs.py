"""`xpert runs`, `xpert disk`, `xpert config` and `xpert aliases`: what is kept, its names and what it takes."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command import called
from tiny_chat import write_chat_base
from tiny_gguf import adapter

from xpert_cli import aliases, corpus, gguf, paths, runs, settings
from xpert_cli.cache import opening
from xpert_cli.cli.options import adapter_names
from xpert_cli.errors import BadInput
from xpert_cli.hub import sources
from xpert_cli.training import starts

RESULT = {
    "messages": 20,
    "loss_base": 3.9,
    "loss_before": 3.5,
    "loss_after": 3.1,
    "started_from": [{"adapter": "terse", "weight": 0.6}, {"adapter": "warm", "weight": 0.4}],
    "prompt": "a private question",
    "before": "x",
    "after": "y",
}


def make(name: str, when: int, record: Any = None, merged: bytes = b"") -> Path:
    """A run's folder, finished if it has a record."""
    folder = runs.runs_dir() / name
    folder.mkdir(parents=True)
    (folder / "messages.jsonl").write_text('{"prompt": "a", "response": "secret words"}\n', "utf-8")
    if record is not None:
        gguf.write_adapter(adapter(1), folder / "adapter.gguf")
        (folder / "run.json").write_text(json.dumps(record), "utf-8")
        os.utime(folder / "run.json", (1_795_000_000 + when,) * 2)
    if merged:
        (folder / "merged.gguf").write_bytes(merged)
    return folder


@pytest.fixture
def three() -> list[Path]:
    """Two finished runs, the second newer, and an unfinished one."""
    base = {"name": "Tiny", "fingerprint": "ab" * 32}
    return [
        make("20261128-100000-aaaaaaaa", 1, {"base": base, "result": RESULT}, b"m" * 5000),
        make("20261128-110000-bbbbbbbb", 2, {"base": base, "result": {**RESULT, "started_from": []}}),
        make("20261128-120000-cccccccc", 3),
    ]


def test_runs_are_found_by_name_by_first_letters_and_as_the_newest(three: list[Path]) -> None:
    assert [run.folder for run in runs.finished_runs()] == [three[1], three[0]]
    assert [run.finished for run in runs.all_runs() if run.folder == three[2]] == [False]
    assert runs.find("last").folder == runs.find("me").folder == three[1]
    assert runs.find("20261128-10").folder == three[0]
    assert runs.find("20261128-12", finished=False).folder == three[2]
    with pytest.raises(BadInput, match="may be one of 2 runs"):
        runs.find("2026")
    with pytest.raises(BadInput, match="there is no run 'nobody'"):
        runs.find("nobody")
    old = runs.find("20261128-10")
    assert (old.messages, old.loss_after, old.started_from) == (20, 3.1, (("terse", 0.6), ("warm", 0.4)))


def test_a_run_that_is_renamed_keeps_its_folder_and_its_age(three: list[Path]) -> None:
    runs.rename(runs.find("20261128-10"), "mara")
    assert runs.find("mara").folder == runs.find("20261128-10").folder == three[0]
    assert runs.find("last").folder == three[1]
    record = json.loads((three[0] / "run.json").read_text("utf-8"))
    assert (record["name"], record["result"]) == ("mara", RESULT)
    for wrong in ("", "a b", "../x", "last", "me", "-x", "20261128-110000-bbbbbbbb"):
        with pytest.raises(BadInput):
            runs.rename(runs.find("mara"), wrong)
    with pytest.raises(BadInput, match="another run is called 'mara'"):
        runs.rename(runs.find("last"), "mara")


OWN = "it has a meaning of its own to xpert. Choose another name."


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((word, OWN) for word in ("last", "me", "base", "default", "selection", "Base")),
        ("mara.gguf", "it would be taken for a file. Leave out .gguf."),
        ("elementary-concise-playful", "an adapter of the cache is called so. Choose another name."),
        ("chat", "an adapter of the cache is called so. Choose another name."),  # a community
    ],
)
def test_a_name_that_stands_for_something_else_is_refused_with_the_reason(
    three: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    status, out, err = called(monkeypatch, capsys, "runs", "rename", "last", name)
    wanted = 1 if "adapter" in why else 2  # that name is free in another cache
    assert (status, out, err) == (wanted, "", f"error: {name!r} cannot be a run's name: {why}\n")
    assert runs.find("last").name == "20261128-110000-bbbbbbbb"


@pytest.mark.parametrize("record", [[], "x", {"base": 3, "result": []}, {"result": {"messages": "many"}, "name": 7}])
def test_a_record_of_the_wrong_kind_is_no_trouble(record: Any) -> None:
    make("20261128-100000-dddddddd", 1, record)
    [run] = runs.all_runs()
    assert (run.name, run.messages, run.loss_after) == ("20261128-100000-dddddddd", 0, None)


def test_list_show_and_rm(
    three: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = called(monkeypatch, capsys, "runs", "list", "--json")
    told = json.loads(out)["runs"]
    assert (status, sorted(one["finished"] for one in told)) == (0, [False, True, True])
    status, out, err = called(monkeypatch, capsys, "runs", "show", "last")
    assert "base 3.900, start 3.500, end 3.100 nats a token" in out
    assert "started from  the base model" in out
    assert "Next: xpert chat --adapter 20261128-110000-bbbbbbbb" in err
    status, out, err = called(monkeypatch, capsys, "runs", "rm", "last")
    assert (status, three[1].exists()) == (1, True)
    assert "Say yes beforehand with --yes" in err
    status, out, _ = called(monkeypatch, capsys, "runs", "rm", "last", "20261128-12", "--yes")
    assert (status, three[1].exists(), three[2].exists(), three[0].exists()) == (0, False, False, True)


@pytest.mark.parametrize(
    ("layers", "of", "said"),
    [(23, 30, "the last 23 of 30"), (30, 30, "all 30"), (23, None, "the last 23"), (None, 30, None)],
)
def test_a_run_says_which_layers_were_trained(layers, of, said, monkeypatch, capsys):
    base = {"name": "Tiny", "fingerprint": "ab" * 32, **({"layers": of} if of else {})}
    make("mara", 1, {"base": base, "result": {**RESULT, **({"layers": layers} if layers else {})}})
    told = json.loads(called(monkeypatch, capsys, "runs", "show", "mara", "--json")[1])
    assert (told["layers"], told["base_layers"]) == (layers, of)
    lines = called(monkeypatch, capsys, "runs", "show", "mara")[1].splitlines()
    shown = [line.removeprefix("trained layers").strip() for line in lines if line.startswith("trained layers")]
    assert shown == ([said] if said else [])


def test_disk_counts_and_prunes_what_can_be_had_again(
    three: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = paths.data_dir() / "files" / "ab" / "x.gguf"
    fetched.parent.mkdir(parents=True)
    fetched.write_bytes(b"f" * 700)
    status, out, _ = called(monkeypatch, capsys, "disk", "--json")
    told = json.loads(out)
    parts = {one["what"]: one["bytes"] for one in told["parts"]}
    assert parts["merged models of runs"] == 5000
    assert parts["files fetched from the Hub"] == 700
    assert told["bytes"] == runs.size_of(paths.data_dir())
    status, out, _ = called(monkeypatch, capsys, "disk", "--prune", "--yes")
    assert (status, fetched.exists(), three[2].exists(), (three[0] / "merged.gguf").exists()) == (
        0,
        False,
        False,
        False,
    )
    assert (three[0] / "adapter.gguf").exists()
    assert (three[0] / "messages.jsonl").exists()


def test_exports_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    base = write_chat_base(tmp_path / "tiny.gguf")
    info = gguf.base_info(base)
    told = {"name": "mara", "base": {"name": info.name, "fingerprint": info.fingerprint}, "result": RESULT}
    make("20261128-100000-eeeeeeee", 1, told)
    for kind, name in (("gguf", "mara.gguf"), ("peft", "mara-peft"), ("ollama", "mara-ollama"), ("zip", "mara.zip")):
        on = () if kind == "zip" else ("--base", str(base))
        status, out, err = called(monkeypatch, capsys, "runs", "export", "mara", kind, *on)
        assert status == 0, err
        assert name in out
        assert Path(name).exists()
    assert gguf.base_info(Path("mara.gguf")).fingerprint == info.fingerprint
    assert (Path("mara-peft") / "adapter_config.json").is_file()
    assert (Path("mara-ollama") / "Modelfile").read_text("utf-8").startswith("FROM ./merged.gguf")
    with zipfile.ZipFile("mara.zip") as archive:
        assert archive.namelist() == ["mara/adapter.gguf", "mara/run.json"]
        record = archive.read("mara/run.json").decode()
    assert "private question" not in record
    assert json.loads(record)["result"]["loss_after"] == 3.1
    status, _, err = called(monkeypatch, capsys, "runs", "export", "mara", "zip")
    assert (status, "mara.zip is there already" in err) == (1, True)
    (make("20261128-100001-ffffffff", 2, {**told, "name": "odd"}) / "adapter.gguf").write_bytes(b"no adapter")
    status, _, err = called(monkeypatch, capsys, "runs", "export", "odd", "ollama", "--base", str(base))
    assert (status, err.count("\n"), Path("odd-ollama").exists()) == (1, 1, False)
    status, _, err = called(monkeypatch, capsys, "runs", "export", "mara", "tar")
    assert (status, "It can be: gguf, peft, ollama, zip" in err) == (2, True)


def test_settings_are_read_and_changed_and_other_lines_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settings.names() == ["base", "cache", "markdown"]
    assert called(monkeypatch, capsys, "config", "get", "cache")[:2] == (0, "embedded\n")
    assert called(monkeypatch, capsys, "config", "set", "bass", "1")[0] == 1
    assert not paths.config_file().exists()
    file = paths.config_file()
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n[xpert]\nbase = old.gguf\n# about caches\n", "utf-8")
    assert called(monkeypatch, capsys, "config", "set", "cache", "anna/styles")[:2] == (0, "cache = anna/styles\n")
    assert file.read_text("utf-8") == "# mine\n[xpert]\ncache = anna/styles\nbase = old.gguf\n# about caches\n"
    assert settings.default("cache") == "anna/styles"
    called(monkeypatch, capsys, "config", "set", "base", "")
    assert settings.default("base") == "smollm2-135m-instruct"
    for value in ("1", ""):  # also where there are no settings yet
        status, out, err = called(monkeypatch, capsys, "config", "set", "bass", value)
        assert (status, out, err) == (1, "", "error: there is no setting 'bass'. There are: base, cache, markdown.\n")
    assert "bass" not in file.read_text("utf-8")
    told = json.loads(called(monkeypatch, capsys, "config", "list", "--json")[1])
    assert told["settings"] == {"base": "smollm2-135m-instruct", "cache": "anna/styles", "markdown": "yes"}
    status, _, err = called(monkeypatch, capsys, "config", "get", "bass")
    assert (status, "There are: base, cache, markdown." in err) == (1, True)


def test_an_alias_stands_for_a_run_a_mixture_and_a_file(
    three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = runs.finished_runs()[0].name
    file = tmp_path / "warm.gguf"
    file.write_bytes(b"")
    assert called(monkeypatch, capsys, "aliases", "set", "Work", f"{name}=0.5")[0] == 0
    assert called(monkeypatch, capsys, "aliases", "set", "mix", "elementary-concise-plain=0.6+warm.gguf=0.4")[0] == 0
    assert called(monkeypatch, capsys, "aliases", "set", "both", "mix")[0] == 0
    told = json.loads(called(monkeypatch, capsys, "aliases", "list", "--json")[1])
    mix = f"elementary-concise-plain=0.6+{file}=0.4"
    assert told == {"aliases": {"both": mix, "mix": mix, "work": f"{name}=0.5"}}
    assert opening.expanded("work=0.5") == [(name, 0.25)]
    assert opening.expanded("MIX=2") == [("elementary-concise-plain", 1.2), (str(file), 0.8)]
    assert opening.expanded("other=2") == [("other", 2.0)]
    assert [weight for _, weight in opening.find_adapters(["both"], lambda: opening.find_cache("embedded"))] == [
        0.6,
        0.4,
    ]
    assert called(monkeypatch, capsys, "aliases", "rm", "mix")[0] == 0
    assert aliases.target("mix") is None
    assert aliases.target("both") == mix


@pytest.mark.parametrize(
    ("name", "meaning", "why"),
    [
        ("last", "elementary-concise-plain", "it has a meaning of its own to xpert"),
        ("a.gguf", "elementary-concise-plain", "it would be taken for a file"),
        ("a b", "elementary-concise-plain", "cannot be an alias. Use up to 64 letters"),
        ("elementary-concise-plain", "elementary-concise-playful", "an adapter of the cache is called so"),
        ("chat", "elementary-concise-playful", "an adapter of the cache is called so"),
        ("nothing", "nowhere", "'nowhere' is no file, no run, no adapter of the cache and no base model"),
    ],
)
def test_an_alias_that_means_something_else_or_nothing_is_refused(
    name: str,
    meaning: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = called(monkeypatch, capsys, "aliases", "set", name, meaning)
    assert (status, why in err) == (1 if "adapter" in why else 2, True)


def test_runs_and_aliases_do_not_share_a_name(
    three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs.finished_runs()[0]
    assert (
        "a run is called so" in called(monkeypatch, capsys, "aliases", "set", run.name, "elementary-concise-plain")[2]
    )
    assert called(monkeypatch, capsys, "aliases", "set", "mix", "elementary-concise-plain")[0] == 0
    with pytest.raises(BadInput, match="it is an alias"):
        runs.rename(run, "Mix")


def test_a_base_has_an_alias_too(tmp_path: Path) -> None:
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF")
    aliases.add("small", str(file))
    assert sources.find_base("small") == file


def test_a_setting_of_yes_or_no_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert settings.is_on("markdown")
    assert called(monkeypatch, capsys, "config", "set", "markdown", "off")[0] == 0
    assert not settings.is_on("markdown")
    assert "neither yes nor no" in called(monkeypatch, capsys, "config", "set", "markdown", "maybe")[2]


def test_a_run_starts_from_what_an_alias_stands_for(three: list[Path], base: Path) -> None:
    plain, playful = "elementary-concise-plain", "elementary-concise-playful"
    words = corpus.read([str(three[0] / "messages.jsonl")])
    aliases.add("mix", f"{plain}=0.6+{playful}=0.4")
    aliases.add("early", "run:20261128-100000-aaaaaaaa")
    aliases.add("half", f"{plain}=0.5")
    cache, model = opening.find_cache("embedded"), gguf.BaseModel.open(base)
    found = {name: starts.find_start(name, words, model, cache) for name in ("mix", "early", "half", f"cache:{plain}")}
    assert [(one.file.name, one.weight) for one in found["mix"].parts] == [(plain, 0.6), (playful, 0.4)]
    assert [(one.file.name, one.weight) for one in found["half"].parts] == [(plain, 0.5)]
    assert [one.file.path for one in found["early"].parts] == [three[0] / "adapter.gguf"]
    assert [one.named for one in found.values()] == [True] * 4
    assert {name: starts.needs_cache(name) for name in ("mix", "early", "half", "base", "last", "selection")} == {
        **{"mix": True, "early": False, "half": True},
        **{"base": False, "last": False, "selection": True},
    }
    earlier = found["early"].earlier
    assert earlier is not None
    assert earlier.texts == ("secret words",)


def test_a_shell_completes_the_names_of_adapters(three: list[Path], base: Path) -> None:
    aliases.add("elegant", "elementary-concise-plain")
    assert adapter_names("") == [
        *("last", "20261128-110000-bbbbbbbb", "20261128-100000-aaaaaaaa", "elegant"),
        *sorted(opening.ids_at_hand()),
    ]
    assert adapter_names("el")[:2] == ["elegant", "elementary-concise-plain"]
