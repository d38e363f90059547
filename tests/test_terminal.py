"""Foreign text on a terminal: shown, never obeyed, whatever way it takes; and odd shells around the command."""

from __future__ import annotations

import ast
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from command import MARA, ROOT, called

from xpert_cli import paths
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.cli import views
from xpert_cli.cli.doctor import Check, Diagnosis
from xpert_cli.cli.help import EXAMPLES
from xpert_cli.cli.output import Output, complain
from xpert_cli.errors import BadInput
from xpert_cli.hub import sources

EVIL = "\x1b]0;owned\x07\x1b]8;;http://e.example\x1b\\\x1b[2J\x9b31m\u202etxt\x08\r[/x][link=http://e.example]"
START = "from xpert_cli.cli.entry import main; main()"
DIRECT = {"print", "typer.echo", "typer.secho", "Console", "sys.stdout.write", "sys.stderr.write"}
SOURCES = sorted((ROOT / "xpert_cli").rglob("*.py"))


def assert_tame(text: str) -> None:
    """Nothing is left in it that a terminal acts upon."""
    assert [character for character in "\x1b\x07\x08\x9b\u202e\r" if character in text] == []


def on_a_terminal(
    *arguments: str, typed: Sequence[tuple[str, str]] = (), fault: str = "", **environment: str
) -> tuple[int, str]:
    """Exit status, and all that a terminal was sent, of a command that believes to be on one.

    Args:
        typed: what a person waits for, and then types.
        fault: statements before the command.
    """
    sent, own = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "NO_COLOR": "1", **environment}
    running = subprocess.Popen(
        [sys.executable, "-c", f"{fault}\nimport sys; sys.argv = ['xpert', *{arguments!r}]\n{START}"],
        stdin=own,
        stdout=own,
        stderr=own,
        env=environment,
    )
    os.close(own)
    said, seen, waits = b"", 0, list(typed)
    while True:
        try:
            if not (piece := os.read(sent, 4096)):
                break
        except OSError:
            break
        said += piece
        while waits and (at := said.find(waits[0][0].encode(), seen)) >= 0:
            seen = at + 1
            os.write(sent, waits.pop(0)[1].encode())
    os.close(sent)
    return running.wait(), said.decode("utf-8", "replace")


# -- every way out


@pytest.mark.parametrize(
    "way",
    [
        lambda out: out.show({"a": 1}, EVIL),
        lambda out: out.show({"a": 1}, views.pairs([(EVIL, EVIL)])),
        lambda out: out.show({"a": 1}, views._adapters([(EVIL, EVIL, EVIL)])),
        lambda out: out.write(EVIL),
        lambda out: out.note(EVIL),
        lambda out: out.hint(EVIL),
        lambda out: out.note(f"Make one with: xpert {EVIL}"),
        lambda out: complain(BadInput(EVIL)),
        lambda out: complain(ValueError(EVIL)),
    ],
    ids=["view", "pairs", "table", "stream", "note", "hint", "command", "error", "bug"],
)
def test_foreign_text_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str], way: Callable[[Output], None]):
    with Output() as out:
        way(out)
    said = "".join(capsys.readouterr())
    assert_tame(said)
    assert "owned" in said
    assert "[/x]" in said.replace("\n", "").replace(" ", "")


def test_progress_shows_a_message_and_reads_no_markup(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR")
    with Output() as out:
        out._err._force_terminal = True  # type: ignore[attr-defined]
        out.progress(f"fetching {EVIL}", 0.5)
        out._clear_progress()
    said = capsys.readouterr().err
    assert "[/x]" in said
    assert "\x07" not in said
    assert "\x1b]" not in said


def test_json_is_exact_and_plain_ascii(capsys):
    with Output(json=True) as out:
        out.show({"text": EVIL})
    said = capsys.readouterr().out
    assert json.loads(said) == {"text": EVIL}
    assert said.isascii()


def test_only_one_module_writes_to_the_screen():
    """A command that printed by itself would print foreign text as it is."""
    own = {"output.py", "app.py", "entry.py"}  # app.py: the version alone; entry.py: one fixed line
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        if path.name not in own:
            assert calls & DIRECT == set()
    assert "Console(" not in (ROOT / "xpert_cli" / "cli" / "app.py").read_text("utf-8")


# -- a cache from a stranger


def evil_cache(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    folder = shutil.copytree(paths.packaged("adapters"), tmp_path / "cache")
    told = json.loads((folder / "catalogue.json").read_text("utf-8"))
    change(told)
    (folder / "catalogue.json").write_text(json.dumps(told), encoding="utf-8")
    return str(folder)


def test_a_catalogues_words_are_shown_and_not_obeyed(tmp_path, monkeypatch, capsys):
    def change(told: dict[str, Any]) -> None:
        told["adapters"][0]["explanation"] = EVIL
        told["adapters"][0]["id"] = "[/x]"
        told["base"]["name"] = EVIL[:150]

    cache = evil_cache(tmp_path, change)
    status, out, err = called(monkeypatch, capsys, "cache", "list", "--cache", cache)
    assert (status, err) == (0, "")
    assert_tame(out)
    assert "[/x]" in out
    status, out, err = called(monkeypatch, capsys, "select", MARA, "--measured-only", "--cache", cache)
    assert_tame(out + err)


@pytest.mark.model
def test_an_adapter_named_like_markup_crashes_nothing(tmp_path, base):
    cache = evil_cache(tmp_path, lambda told: told["adapters"][0].update(id="[/x]"))
    status, said = on_a_terminal("cache", "verify", "--cache", cache)
    assert status == 0, said
    assert "8 adapters and 1 of" in said


@pytest.mark.parametrize("key", ["name", "low", "high"])
def test_axes_that_are_no_plain_words_are_refused(tmp_path, key):
    cache = evil_cache(tmp_path, lambda told: told["axes"][0].update({key: f"in {EVIL}"}))
    with pytest.raises(Exception, match="short text"):
        open_cache(sources.open_source(cache))


# -- odd shells


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "X": f"{sys.executable} -m xpert_cli", **environment}
    return subprocess.run(["bash", "-c", command], capture_output=True, check=False, env=environment)


def test_a_closed_standard_input_is_an_empty_one():
    done = shell("$X summarize - --measured-only <&-")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"internal error" not in done.stderr


def test_a_closed_standard_output_or_error_ends_nothing():
    for command in ("$X cache list >&-", "$X cache list 2>&- >/dev/null", "$X nothing.txt 2>&-"):
        assert b"internal error" not in shell(command).stderr


def test_standard_input_that_is_no_utf8_is_one_line():
    done = shell(r"printf 'caf\xe9' | $X run - --base nothing.gguf")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"standard input is no UTF-8 text. Convert it first" in done.stderr


def test_names_that_are_no_utf8_are_refused_before_any_work():
    for command in (
        r"$X finetune $'\xff.txt'",
        r"$X finetune notes.txt --out $'run\xff'",
        r"d=$(mktemp -d)/$'\xff'; mkdir $d && cd $d && $X select notes.txt",
        r"XPERT_HOME=$'/tmp/home\xff' $X select notes.txt",
    ):
        done = shell(command)
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
        assert b"is no UTF-8. Rename it" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_one_line():
    for command in ("$X cache list > /dev/full", "$X cache list --json > /dev/full"):
        done = shell(command)
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr
        assert b"cannot write to standard output: No space left on device" in done.stderr
    assert shell("$X cache list 2> /dev/full").returncode == 0


def test_a_width_of_nothing_is_no_width():
    for width in ("0", "1"):
        assert b"elementary" in shell("$X cache list", COLUMNS=width).stdout.replace(b"\n", b"")
    assert b"finetune" in shell("$X --help", COLUMNS="0").stdout


# -- what is to be copied is not broken into lines, however narrow the screen


def test_commands_keys_and_examples_are_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "30")
    fix = f"with a compiler: pip install {'x' * 40}\nor ask somebody"
    checks = (Check("llama.cpp", False, "no library", fix), Check("encoder", None, "missing", "pip install 'a b'"))
    with Output() as out:
        out.show({"works": False}, views.diagnosis(Diagnosis(False, checks)))
        out.note("there is no earlier run. Make one with: xpert finetune my-messages.jsonl --author Anna")
        out.note("No run yet. Make one: xpert demo")
    said, noted = capsys.readouterr()
    lines = [line.rstrip() for line in said.splitlines()]
    assert f"    pip install {'x' * 40}" in lines
    assert "    pip install 'a b'" in lines
    assert noted.splitlines()[-3:] == [
        "xpert finetune my-messages.jsonl --author Anna",
        "No run yet. Make one:",
        "xpert demo",
    ]
    called(monkeypatch, capsys, "aliases", "set", "long", "elementary-concise-plain=0.6+elementary-concise-playful=0.4")
    told = called(monkeypatch, capsys, "aliases", "list")[1]
    assert told == "long  elementary-concise-plain=0.6+elementary-concise-playful=0.4\n"
    helped = called(monkeypatch, capsys, "cache", "trust", "-h")[1]
    for example in EXAMPLES["cache trust"]:
        assert f"   {example}" in helped.splitlines()
