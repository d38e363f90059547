"""What a command cannot use is said at once, in one line; names that are not there, bare groups, hints."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
import typer
from command import MARA, called, leaves

from xpert_cli import aliases, corpus, paths, runs
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.cache.screening import require_new
from xpert_cli.cli.app import app
from xpert_cli.cli.help import command
from xpert_cli.cli.options import again, memory_size
from xpert_cli.errors import BadInput, BadUsage, CannotWrite
from xpert_cli.gguf import AdapterFile
from xpert_cli.hub.files import Source
from xpert_cli.hub.sources import find_base
from xpert_cli.training import places

PLAIN = "elementary-concise-plain"

# -- options that change nothing

NO_EFFECT: dict[tuple[str, ...], str] = {
    ("convert", "FOLDER", "--revision", "v1"): "--revision has no effect on FOLDER, which is no Hub repo.",
    ("summarize", MARA, "--measured-only", "--summarizer", "x.gguf"): "--summarizer has no effect beside --measured",
    ("summarize", MARA, "--as-prompt", "--top", "3"): "--top has no effect beside --as-prompt, which shows no axes.",
    ("select", MARA, "--measured-only", "--summarizer", "x.gguf"): "--summarizer has no effect beside --measured-only",
    ("finetune", MARA, "--overwrite"): "--overwrite has no effect without --out: a run gets a folder of its own.",
    ("doctor", "--threads", "2"): "--threads has no effect without --report, which computes. Leave it out.",
    ("disk", "--yes"): "--yes has no effect without --prune, which asks before it deletes. Leave it out.",
    ("runs", "export", "last", "zip", "--base", "b", "--offline"): "--base, --offline have no effect on an archive, wh",
    ("cache", "train", "FOLDER", "-o", "x", "--author-column", "user"): "--author-column has no effect on FOLDER, a fo",
    ("cache", "train", "FOLDER", "-o", "x", "--address", "1.2.3.4"): "--address has no effect without --engine ray.",
    ("cache", "train", "FOLDER", "-o", "x", "--community-steps", "9"): "--community-steps has no effect without --comm",
    ("cache", "train", "FOLDER", "-o", "x", "--communities", "none", "--least", "3"): "--least has no effect beside --",
    (
        *("cache", "train", "FOLDER", "-o", "x", "--no-people", "--communities", "text", "--steps", "3"),
    ): "--steps has no effect beside --no-people; communities have --community-steps. Leave it out.",
    (
        "cache",
        "add",
        "x.gguf",
        "--cache",
        "FOLDER",
        "--text",
        MARA,
    ): "--text has no effect on FOLDER, which is a folder.",
    ("cache", "add", "x.gguf", "--cache", "a/b", "--least", "3"): "--least has no effect on x.gguf, which is no cache.",
    ("cache", "publish", "FOLDER", "a/b", "--author", "Anna"): "--author has no effect without --text. Leave it out.",
    ("runs", "--json", "list"): "--json has no effect before 'list'; it belongs behind. Leave it out.",
    ("models", "--quiet", "list"): "--quiet has no effect before 'list'; it belongs behind. Leave it out.",
}


@pytest.mark.parametrize(("command", "said"), NO_EFFECT.items(), ids=lambda one: "" if isinstance(one, str) else one[0])
def test_an_option_that_changes_nothing_is_wrong_usage(command, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    status, _, err = called(monkeypatch, capsys, *command)
    assert (status, err.startswith(f"error: {said}"), err.count("\n")) == (2, True, 1), err


@pytest.mark.parametrize(
    "option",
    [["--wake-lock"], ["--offline"], ["--plot", "x.svg"], ["--memory", "1G"], ["--from", "base"], ["--type", "Q8_0"]],
    ids=" ".join,
)
def test_the_other_engine_says_what_it_does_not_take(option, monkeypatch, capsys):
    status, _, err = called(monkeypatch, capsys, "finetune", MARA, "--engine", "peft", *option)
    assert (status, err) == (2, f"error: --engine peft takes no {option[0]}. Leave it out.\n")


def test_the_other_engine_reads_as_the_first_does(tmp_path, monkeypatch, capsys):
    from xpert_cli.training import peft_engine

    read: list[corpus.Corpus] = []

    def train(written: corpus.Corpus, *_: object) -> None:
        read.append(written)
        raise BadInput("enough")

    monkeypatch.setattr(peft_engine, "require", lambda folder: "")
    monkeypatch.setattr(peft_engine, "train_with_peft", train)
    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "I like cats a lot."}\n{"text": "I write this to call 555-0100 now."}\n', "utf-8")
    words = ("finetune", str(few), "--engine", "peft", "--base", str(tmp_path), "--exclude", "555")
    assert called(monkeypatch, capsys, *words)[2].endswith("error: enough\n")
    assert read[0].texts == ("I like cats a lot.",)


@pytest.mark.model
def test_a_cache_that_no_name_is_looked_up_in_is_said_to_be_unused(monkeypatch, capsys, base):
    words = ("run", "Hi", "--max-tokens", "1", "--cache", "embedded")
    note = "--cache embedded is not used: no --adapter is the id of one of its adapters\n"
    assert note in called(monkeypatch, capsys, *words)[2]
    assert note not in called(monkeypatch, capsys, *words, "--adapter", PLAIN)[2]


# -- what is refused before anything is computed


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where starts must not be measured any more."""

    def measured(*_: object, **__: object) -> None:
        raise AssertionError("starts were measured")

    monkeypatch.setattr("xpert_cli.training.prepare.check_starts", measured)


@pytest.mark.model
def test_a_run_that_memory_cannot_hold_is_refused_before_starts_are_measured(unmeasured, monkeypatch, capsys, base):
    pytest.importorskip("torch")
    status, _, err = called(monkeypatch, capsys, "finetune", MARA, "--from", PLAIN, "--memory", "1M", "--quiet")
    assert status == 1
    assert re.fullmatch(
        r"error: fine-tuning this base with messages of \d+ tokens takes \d+ MB, more than --memory allows\. "
        r"Give a smaller --max-tokens, a smaller base, or more --memory\.\n",
        err,
    )


@pytest.mark.model
def test_a_folder_of_another_run_is_refused_before_starts_are_measured(unmeasured, tmp_path, monkeypatch, capsys, base):
    pytest.importorskip("torch")
    (tmp_path / "run.json").write_text(json.dumps({"identity": "x", "data": {"digest": "of others"}}), "utf-8")
    words = ("finetune", MARA, "--from", PLAIN, "--out", str(tmp_path), "--quiet")
    said = (
        f"error: {tmp_path} holds a finished run of another call. Name another folder with --out, or say --overwrite.\n"
    )
    assert called(monkeypatch, capsys, *words) == (1, "", said)


def test_the_same_messages_may_be_the_same_run(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"identity": "one", "data": {"digest": "mine"}}), "utf-8")
    places.require_free("mine", tmp_path, overwrite=False)
    places.require_free("other", tmp_path, overwrite=True)
    places.require_free("other", None, overwrite=False)
    with pytest.raises(BadInput, match="holds a finished run of another call"):
        places.require_free("other", tmp_path, overwrite=False)
    with pytest.raises(places.Finished):
        places.folder_of("one", tmp_path, overwrite=False)
    with pytest.raises(BadInput, match="holds a finished run of another call"):
        places.folder_of("two", tmp_path, overwrite=False)


@pytest.mark.model
@pytest.mark.parametrize("command", [["finetune", MARA, "--from", "base"], ["eval", MARA]], ids=lambda one: one[0])
def test_tokens_that_the_chat_template_fills_are_wrong_usage(command, monkeypatch, capsys, base):
    pytest.importorskip("torch")
    status, _, err = called(monkeypatch, capsys, *command, "--max-tokens", "8", "--quiet")
    assert status == 2
    assert re.fullmatch(r"error: --max-tokens 8 is too few: the chat template alone takes \d+\. Try 256\.\n", err)


# -- names


def finished(name: str) -> Path:
    """A finished run of a name, as short as one can be."""
    folder = runs.runs_dir() / "20261128-100000-aaaaaaaa"
    folder.mkdir(parents=True)
    (folder / "adapter.gguf").write_bytes(b"GGUF")
    record = {"name": name, "base": {"name": "Smollm2 135M 8k Lc100K Mix1 Ep2"}, "result": {}}
    (folder / "run.json").write_text(json.dumps(record), "utf-8")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["config", "get", "nosuch"],
        ["config", "set", "nosuch", "1"],
        ["runs", "show", "nosuch"],
        ["aliases", "rm", "nosuch"],
        ["models", "rm", "nosuch"],
        ["run", "Hi", "--base", "nosuch"],
        ["cache", "list", "--cache", "nosuch"],
    ],
    ids=" ".join,
)
def test_a_name_that_is_not_there_is_status_1_of_whatever_kind(command, monkeypatch, capsys):
    finished("mara")
    status, out, err = called(monkeypatch, capsys, *command)
    assert (status, out, err.startswith("error: "), err.count("\n")) == (1, "", True, 1)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "cache",
            "/nonexistent",
            "'/nonexistent' is no cache here. Give a folder, owner/name on the Hub, or embedded.",
        ),
        ("cache", "MODEL.gguf", "'MODEL.gguf' is no cache here. Give a folder, owner/name on the Hub, or embedded."),
        (
            "base",
            "/nonexistent.gguf",
            "'/nonexistent.gguf' is no base model here. Give a GGUF file, a name that `xpert",
        ),
        ("base", "folder/missing.gguf", "'folder/missing.gguf' is no base model here. Give a GGUF file, a name that"),
        (
            "base",
            "CACHE",
            "'CACHE' is no base model here. Give a GGUF file, a name that `xpert models` lists, an alias",
        ),
    ],
)
def test_a_setting_that_names_nothing_is_refused(name, value, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL.gguf").touch()
    (tmp_path / "CACHE").mkdir()
    status, out, err = called(monkeypatch, capsys, "config", "set", name, value)
    assert (status, out, err.startswith(f"error: {said}")) == (1, "", True), err
    assert not paths.config_file().exists()


def test_a_setting_of_a_file_holds_wherever_a_command_is_called(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL.gguf").touch()
    (tmp_path / "CACHE").mkdir()
    aliases.add("small", str(tmp_path / "MODEL.gguf"))
    for name, value, kept in (
        ("base", "MODEL.gguf", str(tmp_path / "MODEL.gguf")),
        ("cache", "CACHE", str(tmp_path / "CACHE")),
        ("base", "small", "small"),
        ("base", "qwen3-0.6b", "qwen3-0.6b"),
        ("base", "anna/model:Q4_K_M", "anna/model:Q4_K_M"),
        ("cache", "anna/styles@v1", "anna/styles@v1"),
        ("cache", "embedded", "embedded"),
    ):
        assert called(monkeypatch, capsys, "config", "set", name, value)[:2] == (0, f"{name} = {kept}\n")


def test_the_settings_stay_where_they_are_when_the_data_moves(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "data"))
    assert paths.config_file() == tmp_path / "settings" / "xpert" / "config.ini"
    assert runs.runs_dir() == tmp_path / "data" / "runs"


def test_a_weight_that_is_none_is_told_as_it_was_typed(monkeypatch, capsys):
    said = "error: 'X=nan': 'nan' is no weight from -100 to 100. Write NAME=0.5, or NAME alone.\n"
    assert called(monkeypatch, capsys, "aliases", "set", "m", "X=nan") == (2, "", said)


def test_what_is_no_base_says_what_it_is():
    finished("mara")
    with pytest.raises(BadInput, match=r"'base' is none\. Leave it out for the one that the settings name\."):
        find_base("base")
    with pytest.raises(
        BadInput, match=r"mara is a run of fine-tuning, and no base model\. Name it with: --adapter mara"
    ):
        find_base("mara")


# -- bare groups, lists and hints


@pytest.mark.parametrize("group", ["runs", "aliases", "config", "cache"])
def test_a_bare_group_lists(group, monkeypatch, capsys):
    finished("mara")
    aliases.add("calm", PLAIN)
    for options in ((), ("--json",)):
        bare = called(monkeypatch, capsys, group, *options)
        assert bare == called(monkeypatch, capsys, group, "list", *options)
        assert bare[0] == 0
        assert bare[1]


def test_a_run_is_listed_with_the_name_that_its_base_goes_by(monkeypatch, capsys):
    finished("mara")
    told: dict[str, Any] = json.loads(called(monkeypatch, capsys, "runs", "list", "--json")[1])
    assert told["runs"][0]["base"] == "SmolLM2-135M-Instruct"


def test_what_was_read_from_standard_input_is_named_as_a_file_to_read():
    assert again("finetune", ["-"], base=None) == "xpert finetune - < FILE"
    assert again("select", ["-", "more notes.txt"], cache="a/b") == "xpert select - 'more notes.txt' --cache a/b < FILE"
    assert again("run", ["Hello!"]) == "xpert run 'Hello!'"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("cache", "index", "embedded"), "embedded is no folder. Name the folder of a cache."),
        (("cache", "words", "embedded"), "embedded is no folder. Name the folder of a cache."),
        (
            ("cache", "add", "x.gguf", "--cache", "embedded"),
            "embedded is neither a folder nor a repo OWNER/NAME. Name the cache with --cache.",
        ),
    ],
)
def test_the_embedded_cache_is_not_written_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = called(monkeypatch, capsys, *command)
    assert (status, out, err) == (1, "", f"error: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_merge_does_not_write_over_what_it_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"an adapter")
    status, _, err = called(monkeypatch, capsys, "merge", "--adapter", f"{mine}=0.5", "--out", str(mine))
    said = f"error: --out {mine} is among the files to read, and would be lost. Name another file with --out.\n"
    assert (status, err, mine.read_bytes()) == (1, said, b"an adapter")


def test_a_file_that_is_there_is_written_over_only_where_that_is_said(tmp_path, monkeypatch, capsys):
    old = tmp_path / "old.gguf"
    old.write_bytes(b"an adapter of mine")
    said = f"error: --out {old} is there already. Name another file with --out, or say --overwrite.\n"
    adapter = paths.packaged("adapters") / "adapters" / f"{PLAIN}.gguf"
    merge = ("merge", "--adapter", f"{adapter}=0.5", "--out", str(old))
    assert called(monkeypatch, capsys, *merge)[::2] == (1, said)
    assert called(monkeypatch, capsys, "convert", str(adapter), "--out", str(old))[::2] == (1, said)
    folder = tmp_path / "peft"
    folder.mkdir()
    paths.require_new(folder)
    (folder / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(BadInput, match=r"^--out .*peft is there already"):
        paths.require_new(folder)
    assert old.read_bytes() == b"an adapter of mine"
    assert called(monkeypatch, capsys, *merge, "--overwrite", "--quiet")[0] == 0
    assert old.read_bytes()[:4] == b"GGUF"


def test_no_file_is_called_as_standard_output():
    named = {
        f"{name} {one.name}": one
        for name, leaf in leaves(command(app)).items()
        for one in leaf.params
        if one.name in ("out", "plot", "work") or (name, one.name) == ("cache key", "path")
    }
    assert sorted(named) == [
        *("cache build out", "cache key path", "cache train out"),
        *("cache train work", "convert out", "finetune out", "finetune plot"),
        *("import out", "merge out", "runs export out", "select plot"),
        "summarize plot",
    ]
    for parameter in named.values():
        with pytest.raises(BadUsage, match=r"^(--out|--plot|--work|FILE) - would be a file that is called so: "):
            parameter.process_value(typer.Context(command(app)), "-")


def test_standard_output_is_no_place_to_write_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, out, err = called(monkeypatch, capsys, "import", MARA, "-o", "-")
    said = "--out - would be a file that is called so: nothing is written to standard output. Name a file."
    assert (status, out, err) == (2, "", f"error: {said}\n")
    status, out, _ = called(monkeypatch, capsys, "merge", "--json", "-o", "-")
    assert (status, json.loads(out)) == (2, {"error": said})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("merge", "-o", ""), "--out names nothing: it is empty. Name a file or a folder."),
        (("finetune", MARA, "--out="), "--out names nothing: it is empty. Name a file or a folder."),
        (("cache", "key", ""), "FILE names nothing: it is empty. Name a file or a folder."),
        (
            ("import", MARA, "-o", "/dev/stdout"),
            "--out /dev/stdout is standard output, and a result is written as a whole file. Name a file.",
        ),
    ],
)
def test_a_place_that_can_be_none_is_wrong_usage(call, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, capsys, *call) == (2, "", f"error: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_link_a_pipe_and_a_device_are_not_replaced_by_a_file(tmp_path, monkeypatch, capsys, links):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real.gguf").write_bytes(b"an adapter of mine")
    os.mkfifo("pipe.gguf")
    Path("link.gguf").symlink_to("real.gguf")
    Path("gone.gguf").symlink_to("nowhere.gguf")
    Path("null.gguf").symlink_to("/dev/null")
    adapter = paths.packaged("adapters") / "adapters" / f"{PLAIN}.gguf"
    finished("mara")
    commands = {
        "import": (("import", MARA, "--overwrite"), "-o"),
        "convert": (("convert", str(adapter), "--overwrite"), "-o"),
        "merge": (("merge", "--adapter", f"{adapter}=0.5", "--overwrite"), "-o"),
    }
    before = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.iterdir()}
    for command_line, option in commands.values():
        for name, why in (
            ("link.gguf", "it is a link to real.gguf"),
            ("gone.gguf", "it is a link to nowhere.gguf"),
            ("null.gguf", "it is a link to /dev/null"),
            ("pipe.gguf", "it is a pipe or a device"),
            ("/dev/null", "it is a pipe or a device"),
        ):
            said = f"error: cannot write {name}: {why}. Choose another place with --out.\n"
            assert called(monkeypatch, capsys, *command_line, option, name) == (1, "", said)
    said = "error: cannot write gone.gguf: it is a link to nowhere.gguf. Choose another place with --out.\n"
    assert called(monkeypatch, capsys, "runs", "export", "mara", "zip", "--out", "gone.gguf") == (1, "", said)
    assert {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_sizes_have_units_that_are_said():
    sizes = {"900M": 900 << 20, "900": 900 << 20, "1.5G": 3 << 29, "2 GiB": 2 << 30, "1T": 1 << 40, "64k": 64 << 10}
    assert {size: memory_size(size) for size in sizes} == sizes
    for size in ("1Z", "1P", "-1G", "", "G", "1e3"):
        with pytest.raises(BadUsage) as caught:
            memory_size(size)
        said = f"--memory {size!a} is no size: a number with K, M, G or T, such as 900M or 2G."
        assert str(caught.value) == said


def test_what_no_option_names_is_to_be_made_writable(tmp_path, monkeypatch, capsys):
    def shut(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", shut)
    mend = "Read-only file system. Make it writable, or use a copy on another disk.\n"
    for words in (("index", str(tmp_path)), ("words", str(tmp_path)), ("add", "x.gguf", "--cache", str(tmp_path))):
        said = f"error: cannot write to {tmp_path}: {mend}"
        assert called(monkeypatch, capsys, "cache", *words) == (1, "", said)
    monkeypatch.setattr("tempfile.mkstemp", shut)
    with pytest.raises(CannotWrite) as caught, paths.whole(tmp_path / "catalogue.json"):
        pass
    assert f"{caught.value}\n" == f"cannot write {tmp_path / 'catalogue.json'}: {mend}"


def test_two_runs_do_not_train_in_one_folder(tmp_path):
    out = tmp_path / "run"
    with places.alone(out):
        said = "another process trains in .*run now\\. Wait until it has ended, or name another folder with --out\\.$"
        with pytest.raises(CannotWrite, match=said), places.alone(out):
            pass
        (out / "adapter.gguf").touch()
    assert [path.name for path in out.iterdir()] == ["adapter.gguf"]
    with places.alone(tmp_path / "stopped"):
        pass
    assert not (tmp_path / "stopped").exists()


def test_a_finished_run_of_the_other_engine_is_not_trained_over(tmp_path):
    (tmp_path / "peft").mkdir()
    places.require_free("", tmp_path, overwrite=False)  # of a run that was stopped
    (tmp_path / "adapter.gguf").touch()
    for data in ("", "mine"):
        with pytest.raises(BadInput, match="holds a finished run of another call"):
            places.require_free(data, tmp_path, overwrite=False)
    places.require_free("", tmp_path, overwrite=True)


def test_a_name_that_differs_in_capital_letters_only_is_no_new_one():
    folder = paths.packaged("adapters")
    cache = open_cache(Source("embedded", folder))
    file = folder / "adapters" / f"{PLAIN}.gguf"
    for name, taken in ((PLAIN.upper(), PLAIN), ("Chat", "chat")):
        said = f"embedded has {taken}, which differs from {name} only in capital letters: some disks keep one of them."
        with pytest.raises(BadInput) as caught:
            require_new({name: AdapterFile.open(file, name)}, cache)
        assert str(caught.value) == f"{said} Rename yours, or its folder."
    with pytest.raises(BadInput, match=r"^PILAR and pilar differ only in capital letters: "):
        require_new({name: AdapterFile.open(file, name) for name in ("PILAR", "pilar")})


def test_a_model_is_not_converted_onto_itself(tmp_path, links):
    from xpert_cli.models.convert import convert

    model = tiny_gguf.write_base(tmp_path / "model.gguf")
    before = model.read_bytes()
    (tmp_path / "link.gguf").symlink_to(model)
    for source, out in ((model, model), (tmp_path / "link.gguf", model), (model, tmp_path / "link.gguf")):
        with pytest.raises(BadInput, match="is among the files to read, and would be lost"):
            convert(str(source), out, "F16")
    assert model.read_bytes() == before
