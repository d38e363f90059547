"""The command line: what it imports, prints and returns."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import typer
from command import FEW_ANSWERS, ROOT, called, leaves, xpert
from rich.console import Console

from xpert_cli import runs
from xpert_cli.cache import opening
from xpert_cli.cli import app, options, views
from xpert_cli.cli.help import command
from xpert_cli.cli.output import Output, plain, reason
from xpert_cli.errors import BadInput
from xpert_cli.training.evaluate import Evaluation, Standing

HEAVY = ("torch", "transformers", "peft", "safetensors", "numpy", "llama_cpp", "gguf", "huggingface_hub", "jinja2")
COMMANDS = (
    "demo",
    "convert",
    "summarize",
    "select",
    "finetune",
    "run",
    "chat",
    "eval",
    "merge",
    "doctor",
    "cache",
    "serve",
    "import",
    "models",
    "runs",
    "aliases",
    "disk",
    "config",
)


@dataclass(frozen=True)
class Reading:
    words: str
    value: float
    evidence: str = ""


def drawn(view: Any, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(view)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


# -- imports, help, usage


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from xpert_cli.cli import app as cli; sys.argv = ['xpert', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_and_version(monkeypatch, capsys):
    status, out, _ = called(monkeypatch, capsys, "--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)
    assert called(monkeypatch, capsys, "--version")[:2] == (0, "xpert 0.1.0\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(monkeypatch, capsys, command):
    status, out, _ = called(monkeypatch, capsys, command, "--help")
    assert status == 0
    assert "Usage: xpert " + command in out
    assert "<bool>" not in out


@pytest.mark.parametrize(
    "wrong", [["select"], ["run"], ["fly"], ["run", "hi", "--steps", "3"], ["run", "--top-p=2", "x"]]
)
def test_wrong_usage_is_status_2(monkeypatch, capsys, wrong):
    status, out, err = called(monkeypatch, capsys, *wrong)
    assert (status, out) == (2, "")
    assert err


# -- errors


def test_an_error_is_one_line_and_status_1(monkeypatch, capsys):
    status, out, err = called(monkeypatch, capsys, "eval", "missing.txt")
    assert (status, out) == (1, "")
    assert err == "error: missing.txt cannot be read: No such file or directory. Check the path and its permissions.\n"


def test_with_json_an_error_is_one_object_too(monkeypatch, capsys):
    status, out, err = called(monkeypatch, capsys, "eval", "missing.txt", "--json")
    assert status == 1
    assert json.loads(out) == {"error": err.removeprefix("error: ").strip()}


def test_a_bug_is_one_line_and_its_traceback_on_request(monkeypatch, capsys):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("xpert_cli.cli.doctor.doctor", broken)
    status, out, err = called(monkeypatch, capsys, "doctor")
    assert (status, out) == (1, "")
    assert err.startswith("error: internal error (ZeroDivisionError: division by zero). Run again with XPERT_DEBUG=1")
    assert err.count("\n") == 1
    monkeypatch.setenv("XPERT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        app.main()


def test_an_interrupt_is_one_line_and_status_130(monkeypatch, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xpert_cli.cli.doctor.doctor", interrupted)
    monkeypatch.setattr("xpert_cli.resume._kept", set())
    line = "stopped. Nothing was kept: the same command starts from the beginning."
    assert called(monkeypatch, capsys, "doctor", "--quiet") == (130, "", f"{line}\n")
    status, out, err = called(monkeypatch, capsys, "doctor", "--json")
    assert (status, json.loads(out), err) == (130, {"error": line}, f"{line}\n")


def test_the_one_line_of_an_error_stays_one_line():
    assert reason(BadInput("a name\nwith a line break. Rename it.")) == "a name with a line break. Rename it."


# -- options


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("terse", ("terse", 1.0)), ("terse=0.5", ("terse", 0.5)), ("a=b.gguf=-1", ("a=b.gguf", -1.0))],
)
def test_an_adapter_comes_with_its_weight(spec, expected):
    assert opening.split_weight(spec) == expected


NO_NUMBERS = ("nan", "inf", "-inf", "1e39", "1e400", "-1", "1_000_000_0", "٣", "", " 3", "0x10", "1,5", "9" * 41)
NUMERIC = [
    (name, param.opts[0])
    for name, one in leaves(command(app.app)).items()
    for param in one.params
    if param.param_type_name == "option" and param.metavar in ("NUMBER", "HOURS", "DAYS")
]
OUT_OF_RANGE = [
    ["select", "x", "--top", "0"],
    ["finetune", "x", "--steps", "0"],
    ["finetune", "x", "--rank", "0"],
    ["finetune", "x", "--max-tokens", "0"],
    ["run", "x", "--seed", "4294967296"],
    ["run", "x", "--temperature", "11"],
    ["run", "x", "--top-p", "1.1"],
    ["run", "x", "--context", "1"],
    ["merge", "--rank", "0"],
    ["cache", "words", "x", "--orthogonality", "2"],
    ["cache", "words", "x", "--candidates", "0"],
    ["cache", "publish", "x", "y", "--expires", "0"],
]
REFUSED = {
    ("--learning-rate", "0"): "--learning-rate must lie between 0 and 1, not 0. Try 0.001.",
    ("--held-out", "1"): "--held-out is a share between 0 and 1, not 1. Try 0.2.",
    ("--held-out", "0"): "--held-out is a share between 0 and 1, not 0. Try 0.2.",
    ("--memory", "0"): "--memory must be more than 0. Write 900M or 2G, or leave it out.",
    ("--memory", "٣G"): "--memory '\\u0663G' is no size: a number with K, M, G or T, such as 900M or 2G.",
    ("--export", "zip"): "--export 'zip' is unknown. It can be: ollama.",
    ("--plot", "a.gif"): "--plot draws SVG, not .gif. Name it FILE.svg.",
    ("--since", "1_000"): "--since '1_000' is no date. Write it as 2024-05-31.",
    ("--since", "2024-03-13", "--until", "2024-03-01"): (
        "--since 2024-03-13 is after --until 2024-03-01: no message is between them. Turn them round."
    ),
    ("--exclude", "("): "--exclude '(' is no regular expression: missing ), unterminated subpattern at position 0. "
    "Write plain words.",
}


def test_there_are_numbers_to_try() -> None:
    assert len(NUMERIC) > 40
    assert {"--minutes", "--top-p", "--learning-rate", "--expires", "--session-gap"} <= {name for _, name in NUMERIC}


@pytest.mark.parametrize(("command_name", "option"), NUMERIC)
def test_what_is_no_number_is_wrong_usage_in_every_option(command_name: str, option: str) -> None:
    for value in NO_NUMBERS:
        with pytest.raises(typer.BadParameter, match=r"is no (?:whole )?number from "):
            leaves(command(app.app))[command_name].make_context(command_name, ["x", "y", f"{option}={value}"])


@pytest.mark.parametrize("wrong", OUT_OF_RANGE, ids=" ".join)
def test_a_number_out_of_range_is_wrong_usage(monkeypatch, capsys, wrong):
    assert called(monkeypatch, capsys, *wrong)[:2] == (2, "")


@pytest.mark.parametrize(
    ("option", "said"), REFUSED.items(), ids=lambda one: "" if isinstance(one, str) else ascii("=".join(one))
)
def test_what_finetune_can_never_use_is_wrong_usage_in_one_line(monkeypatch, capsys, option, said):
    assert called(monkeypatch, capsys, "finetune", "x", *option) == (2, "", f"error: {said}\n")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["fly"], "No such command 'fly'."),
        (["select"], "Missing argument 'TEXT...'."),
        (["cache", "fly"], "No such command 'fly'."),
        (["select", "x", "--fly"], "No such option: --fly"),
        (["select", "x", "--top", "1_0"], "Invalid value for '--top': '1_0' is no whole number from 1 to 1000000."),
        (["finetune", "x", "--export", "zip"], "--export 'zip' is unknown. It can be: ollama."),
        (["select", "x", "--plot", "a.gif"], "--plot draws SVG, HTML or PNG, not .gif. Name it FILE.svg, FILE.html or"),
        (["select", "x", "--compare", "--check"], "--compare goes with none of --measured-only, --plot and --check."),
        (["merge"], "there is nothing to merge. Name adapters with --adapter FILE=WEIGHT."),
        (["merge", "--adapter", "a.gguf=1e39"], "'a.gguf=1e39': '1e39' is no weight from -100 to 100."),
        (["runs", "export", "last", "tar"], "'tar' is no form of a run."),
    ],
    ids=lambda one: "" if isinstance(one, str) else " ".join(one),
)
def test_with_json_wrong_usage_is_one_object_too(monkeypatch, capsys, wrong, said, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("I write this. And I write more of it.\n", "utf-8")
    status, out, err = called(monkeypatch, capsys, *wrong, "--json")
    assert status == 2
    assert json.loads(out)["error"].startswith(said)
    assert err


@pytest.mark.parametrize(
    "spec",
    ["terse=", "terse=much", "terse=nan", "terse=inf", "=0.5", "terse=1e39", "terse=1_0", "terse=٣", "terse=101"],
)
def test_a_weight_must_be_a_number(spec):
    with pytest.raises(BadInput, match="is no weight"):
        opening.split_weight(spec)


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a=1").touch()
    assert opening.split_weight("a=1") == ("a=1", 1.0)
    assert opening.is_file_name("a=1")
    assert not opening.is_file_name("elementary-concise")


def test_from_last_is_the_newest_finished_run(home):
    folder = home / ".data" / "xpert" / "runs"
    with pytest.raises(BadInput, match="no earlier run"):
        runs.find("last")
    for age, name in enumerate(("new", "old")):
        (folder / name).mkdir(parents=True)
        (folder / name / "adapter.gguf").touch()
        (folder / name / "run.json").write_text("{}", "utf-8")
        os.utime(folder / name / "run.json", (1000 - age, 1000 - age))
    (folder / "unfinished").mkdir()
    assert runs.find("last").folder == folder / "new"


def test_the_next_command_can_be_pasted():
    assert options.again("select", ["my notes", "-"], base=None, author="Anna's") == (
        """xpert select 'my notes' - --author 'Anna'"'"'s' < FILE"""
    )


# -- results


@dataclass(frozen=True)
class Result:
    json_omit: ClassVar[tuple[str, ...]] = ("files",)
    path: Path
    score: float
    parts: tuple[Reading, ...]
    files: tuple[Path, ...]


def test_results_become_plain_json():
    result = Result(Path("a/b"), math.nan, (Reading("short", 1.0),), (Path("c"),))
    expected = {"path": "a/b", "score": None, "parts": [{"words": "short", "value": 1.0, "evidence": ""}]}
    assert plain(result) == expected
    assert plain({1: np.float32(0.5), "a": np.array([1, np.inf])}) == {"1": 0.5, "a": [1.0, None]}


def test_json_is_one_object_and_talk_is_kept_back(capsys):
    with Output(json=True) as out:
        out.write("streamed")
        out.note("by the way")
        out.hint("xpert run")
        out.progress("working", 0.5)
        out.show({"text": "ü"}, "for people")
    assert capsys.readouterr() == ('{"text": "\\u00fc"}\n', "")


def test_people_get_the_view_and_talk_goes_to_stderr(capsys):
    with Output() as out:
        out.note("by the way")
        out.show({"text": "hi"}, "for people")
        out.hint("xpert run " + "x" * 200)
    assert capsys.readouterr() == ("for people\n", "by the way\nNext: xpert run " + "x" * 200 + "\n")


def test_quiet_is_the_result_alone(capsys):
    with Output(quiet=True) as out:
        out.note("by the way")
        out.hint("xpert run")
        out.show({}, "for people")
    assert capsys.readouterr() == ("for people\n", "")


def test_a_log_hears_of_progress_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 10.0, 31.0, 31.0, 40.0, 40.0, 62.0, 62.0])
    monkeypatch.setattr("xpert_cli.cli.output.time.monotonic", lambda: next(clock))
    with Output() as out:
        next(clock)
        for part in (0.1, 0.5, 0.6, 0.9):
            out.progress(f"step {part:.0%}\x1b[31m", part)
    assert capsys.readouterr() == ("", "step 50%\\x1b[31m (50%)\nstep 90%\\x1b[31m (90%)\n")


def test_what_a_library_logs_or_warns_of_is_not_shown():
    fault = "import logging, warnings, atexit\natexit.register(lambda: (warnings.warn('odd'), logging.warning('odd')))"
    done = xpert("config", "get", "bass", fault=fault)
    assert done.stderr == "error: there is no setting 'bass'. There are: base, cache, markdown.\n"
    assert "odd" in xpert("config", "get", "bass", fault=fault, XPERT_DEBUG="1").stderr


# -- what people see


@pytest.mark.parametrize(
    ("share", "bar"),
    [(0, "  │  "), (1, "  │██"), (0.5, "  │█ "), (0.75, "  │█▌"), (-0.25, " ▐│  "), (-1, "██│  "), (-9, "██│  ")],
)
def test_bars_grow_from_the_middle(share, bar):
    assert views.signed_bar(share, 2) == bar


AXES = (
    Reading("in shorter sentences", -1.5, "“Nope.” (1 word)"),
    Reading("with very many rather colourful emoji indeed", 3.0),
)


def test_words_are_not_cut_where_there_is_room():
    words = "with fewer abstract nouns in “-tion” or “-ity”"
    [line] = drawn(views.Bars([Reading(words, -1.5)]), 80)
    assert line.startswith(f"{words} ")
    assert "█" in line
    [line] = drawn(views.Bars([Reading(words, -1.5)]), 60)
    assert "…" in line


def test_every_part_of_a_mixture_is_in_the_ranking():
    from xpert_cli.cache.catalogue import Chosen
    from xpert_cli.selection.select import Ranked, Selection

    ranking = tuple(Ranked(name, 0.9 - at / 10, ()) for at, name in enumerate("abcdefg"))
    parts = (Chosen("a", 0.5), Chosen("g", 0.3), Chosen("b", 0.2))
    result = Selection(parts, ranking, "mixture", 0.8, 20, "Why.", (), 0, 0.1)
    assert [line.split()[-1] for line in drawn(views.selection(result, 3), 80)[-4:]] == ["a", "b", "c", "g"]


def test_communities_and_adapters_of_a_ranking_have_heads_of_their_own():
    from xpert_cli.cache.catalogue import Chosen
    from xpert_cli.selection.select import Ranked, Selection

    ranking = (
        Ranked("people-1", 0.4, (), 12),
        Ranked("people", 0.5, (), 40),
        Ranked("anna", 0.7, ()),
        Ranked("bo", 0.2, ()),
    )
    result = Selection((Chosen("people-1", 1.0),), ranking, "community", 0.8, 20, "Why.", (), 0, 0.1)
    assert drawn(views.selection(result, 4), 80)[3:] == [
        "       communities that you are of, the smallest first",
        "+0.40  people-1  12 people",
        "+0.50  people  40 people",
        "       adapters, the nearest first",
        "+0.70  anna",
        "+0.20  bo",
    ]
    assert drawn(views.selection(result, 1), 80)[3:] == [
        "       communities that you are of, the smallest first",
        "+0.40  people-1  12 people",
    ]


def test_bars_on_a_terminal():
    first, quote, second = drawn(views.Bars(AXES), 80)
    assert first == "in shorter sentences".ljust(52) + "█" * 7 + "│" + " " * 14 + "  -1.5"
    assert quote == "    “Nope.” (1 word)"
    assert second == "with very many rather colourful emoji indeed".ljust(59) + "│" + "█" * 14 + "  +3.0"


def test_bars_on_a_phone():
    lines = drawn(views.Bars(AXES), 40)
    assert max(map(len, lines)) <= 40
    assert lines[0] == "in shorter sentences                -1.5"
    assert lines[1] == " " * 11 + "█" * 9 + "│"
    assert lines[2] == "    “Nope.” (1 word)"


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    def shown() -> str:
        console = Console(file=io.StringIO(), force_terminal=True, width=80)
        console.print(views.Bars(AXES))
        return console.file.getvalue()  # type: ignore[attr-defined]

    assert "\x1b[3" not in shown()  # NO_COLOR is set for every test
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[3" in shown()


def test_a_selection_tells_the_choice_first_and_then_the_ranking():
    def shown(verdict: str, *chosen: tuple[str, float]) -> list[str]:
        selected = [SimpleNamespace(adapter=name, weight=weight) for name, weight in chosen]
        why = ("in shorter sentences", "with emoji")
        ranking = [
            SimpleNamespace(adapter="terse", score=0.75, why=why, people=0),
            SimpleNamespace(adapter="formal", score=-0.5, why=(), people=0),
        ]
        result = SimpleNamespace(
            selected=selected,
            ranking=ranking,
            verdict=verdict,
            nearness=0.75,
            confidence=0.9,
            few="",
            explanation="You are brief.",
        )
        return drawn(views.selection(result, top=2), 50)  # type: ignore[arg-type]

    assert shown("best", ("terse", 1.0)) == [
        "Nearest: terse (nearness 0.75, confidence 0.90)",
        "You are brief.",
        "",
        "+0.75  terse",
        "       in shorter sentences, with emoji",
        "-0.50  formal",
    ]
    assert shown("mixture", ("a", 0.75), ("b", 0.25))[0].startswith("Nearest mixture: 0.75 a + 0.25 b")
    assert shown("none")[0].startswith("No adapter is near enough: start from")


def test_an_evaluation_shows_what_was_measured():
    result = Evaluation(2, 10, loss_base=3.0, loss_adapter=2.5, loss_merged=None, axes=(), seconds=1.0)
    assert drawn(views.evaluation(result), 60) == [
        "base           3.0000",
        "with adapters  2.5000  -0.5000",
        "nats a token, over 10 tokens of 2 messages",
    ]


def test_numbers_of_style_say_what_they_count():
    axes = (Standing("emoji", "with more emoji", 0.0, 1.25, None, 20.0),)
    result = Evaluation(2, 10, loss_base=3.0, loss_adapter=2.5, loss_merged=None, axes=axes, seconds=1.0)
    assert drawn(views.evaluation(result), 110)[-3:] == [
        "                 base  with adapters  your texts",
        "with more emoji  +0.0           +1.2       +20.0",
        "0 is where the base's answers lie, 1 is a standard deviation between texts of one person",
    ]


def test_sizes_in_words():
    assert [views.size(count) for count in (999, 98_000_000, 1_500_000_000)] == ["999 bytes", "98 MB", "1.5 GB"]


# -- whole commands


@pytest.mark.model
def test_run_prints_its_answer_or_one_object(base):
    spoken = xpert("run", "Say hello.", "--max-tokens", "8", "--quiet")
    written = xpert("run", "-", "--max-tokens", "8", "--json", stdin="Say hello.")
    assert (spoken.returncode, written.returncode, spoken.stderr, written.stderr) == (0, 0, "", "")
    result = json.loads(written.stdout)
    assert spoken.stdout == result["text"] + "\n"
    assert {"text", "prompt_tokens", "generated_tokens", "tokens_per_second"} <= result.keys()


@pytest.mark.model
def test_chat_answers_line_by_line(base):
    done = xpert("chat", "--max-tokens", "6", "--json", stdin="Hello.\n\nAgain?\n")
    assert [turn["prompt"] for turn in json.loads(done.stdout)["turns"]] == ["Hello.", "Again?"]


@pytest.mark.model
def test_eval_prints_the_losses(base, tmp_path):
    (tmp_path / "notes.txt").write_text("I went to the market today.\n\nIt rained all day long.\n")
    done = xpert("eval", str(tmp_path / "notes.txt"), "--merged", str(base), "--json", fault=FEW_ANSWERS)
    result = json.loads(done.stdout)
    assert (result["samples"], result["loss_adapter"]) == (2, None)
    assert result["loss_merged"] == result["loss_base"] > 0


@pytest.mark.model
def test_a_pipe_that_closes_early_is_no_trouble(base):
    command = f"{sys.executable} -m xpert_cli run Hello --max-tokens 200 | head -c 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert len(done.stdout) == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.model
def test_an_interrupted_answer_is_one_word_and_status_130(base):
    command = [
        sys.executable,
        "-m",
        "xpert_cli",
        "run",
        "Write a long story about a fox who travels through many countries.",
        "--max-tokens",
        "1900",
        "--temperature=0",
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # what a shell starts in the background, such as all tests, ignores the signal, and so would this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        assert running.stdout is not None
        assert running.stdout.read(1)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate()
    assert (running.returncode, err) == (130, b"stopped.\n")
