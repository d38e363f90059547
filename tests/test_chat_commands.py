"""`xpert chat` as a person meets it: slash commands, pasted lines, what is kept, and which model answers."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import ROOT, called, xpert
from test_serve import write_run
from tiny_chat import write_chat_base

from xpert_cli import platform


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny base, and a home with two runs on it, `first` and the newer `second`."""
    folder = tmp_path_factory.mktemp("chat")
    base = write_chat_base(folder / "tiny.gguf")
    for number, name in enumerate(("first", "second"), 1):
        write_run(folder / "home", name, base, number, number)
    return base, folder / "home"


@pytest.fixture
def talk(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """The result of `xpert chat --json` with lines and options."""
    monkeypatch.setenv("XPERT_HOME", str(place[1]))
    monkeypatch.setattr(platform, "cores", lambda: 1)

    def chat(*lines: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        command = ("chat", "--base", str(place[0]), "--max-tokens", "8", "--temperature", "0", *options, "--json")
        status, out, err = called(monkeypatch, capsys, *command)
        assert status == 0, out + err
        told: dict[str, Any] = json.loads(out)
        return told

    return chat


def test_the_newest_run_answers_unless_told_otherwise(talk: Callable[..., dict[str, Any]]) -> None:
    newest = talk("Hello!")
    named = talk("Hello!", options=("--adapter", "second"))
    first = talk("Hello!", options=("--adapter", "first"))
    base = talk("Hello!", options=("--adapter", "base"))
    assert newest["model"].startswith("the run second of ")
    assert newest["turns"] == named["turns"]
    assert len({one["turns"][0]["text"] for one in (newest, first, base)}) == 3
    assert base["model"] == "base"


def test_slash_commands_switch_forget_and_instruct(talk: Callable[..., dict[str, Any]]) -> None:
    base = talk("Hello!", options=("--adapter", "base"))
    told = talk("/base", "Hello!", "/reset", "/me", "Hello!", "/exit", "never said")
    newest = talk("Hello!")
    assert told["turns"] == newest["turns"]
    switched = talk("/base", "Hello!")
    assert switched["turns"] == base["turns"]
    system = talk("/system Be a pirate.", "Hello!")
    option = talk("Hello!", options=("--system", "Be a pirate."))
    assert system["turns"] == option["turns"] != newest["turns"]
    many = talk("/multi", "One", "", "Two", "/send")
    assert [turn["prompt"] for turn in many["turns"]] == ["One\n\nTwo"]
    slash = talk("//etc is a folder")
    assert [turn["prompt"] for turn in slash["turns"]] == ["/etc is a folder"]


def test_an_unknown_command_is_named_and_not_sent(place: tuple[Path, Path]) -> None:
    base, home = place
    done = xpert("chat", "--base", str(base), stdin="/hlep\n/help\n", XPERT_HOME=str(home))
    assert done.returncode == 0
    assert "there is no command /hlep. /help lists them" in done.stderr
    assert "/save [FILE]" in done.stderr
    assert "Tiny answers with the run second of " in done.stderr
    assert done.stdout == ""


def test_a_conversation_is_kept_only_if_asked_and_goes_on(
    place: tuple[Path, Path], talk: Callable[..., dict[str, Any]]
) -> None:
    base, home = place
    kept = home / "chat" / "last.jsonl"
    talk("My name is Bo.")
    assert not kept.exists()
    first = talk("My name is Bo.", options=("--keep",))
    assert kept.stat().st_mode & 0o777 == 0o600
    both = talk("My name is Bo.", "And yours?")
    after = talk("And yours?", options=("--continue",))
    assert after["turns"] == both["turns"]
    assert after["turns"][0] == first["turns"][0]
    saved = talk("Hi", f"/save {home / 'talk.jsonl'}")
    line = json.loads((home / "talk.jsonl").read_text("utf-8"))
    assert line == {"prompt": "Hi", "response": saved["turns"][0]["text"]}
    kept.unlink()
    done = xpert("chat", "--base", str(base), "--continue", XPERT_HOME=str(home))
    assert (done.returncode, "no conversation was kept" in done.stderr) == (1, True)


def test_lines_pasted_into_a_terminal_are_one_message(place: tuple[Path, Path], tmp_path: Path) -> None:
    base, home = place
    saved = tmp_path / "said.jsonl"
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "xpert_cli", "chat", "--base", str(base), "--max-tokens", "4"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XPERT_HOME": str(home), "TERM": "xterm"}
    process = subprocess.Popen(command, env=env, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 60
        while text not in seen:
            assert time.monotonic() < end, seen
            seen += os.read(keyboard, 4096)
        seen = seen.partition(text)[2]

    until(b"> ")
    os.write(keyboard, b"One\nTwo\nThree\n")
    until(b"> ")
    os.write(keyboard, f"/save {saved}\n".encode())
    until(b"1 exchange is in")
    until(b"> ")
    os.write(keyboard, b"\x04")
    assert process.wait(30) == 0
    os.close(keyboard)
    assert json.loads(saved.read_text("utf-8"))["prompt"] == "One\nTwo\nThree"


def test_an_answer_without_words_says_so(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xpert_cli.llama import chat

    silent = chat.Run("\n\n", 5, 1, 0.0, 0.1, "length")
    monkeypatch.setattr(chat, "run", lambda *arguments, **options: silent)
    status, _, err = called(monkeypatch, capsys, "run", "Hello!", "--base", str(place[0]))
    assert status == 0
    assert "the model ended its answer without a word" in err
    assert "1 token, 0.0 a second (--max-tokens reached)" in err
