"""scripts/arm64.sh and arm64.py: what counts as a difference between processors, and what the script needs and does."""

from __future__ import annotations

import importlib.util
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command import ROOT


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("arm64", ROOT / "scripts" / "arm64.py")
    assert spec
    assert spec.loader
    module = sys.modules["arm64"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


arm64 = loaded()

# -- what is compared


def steps(*pairs: tuple[int, float]) -> tuple:
    return tuple(arm64.Step(token, gap) for token, gap in pairs)


HERE = arm64.Answers(
    selected={"terse": 1.0},
    coordinates={"emoji": 1.5, "formal": None},
    tokens=(steps((5, 2.0), (7, 0.3), (9, 0.6)),),
    seconds=1.0,
)


def compared(here: object = HERE, **changes: object) -> Any:
    """The comparison with what HERE answers but for the changes."""
    return arm64.compare(here, replace(HERE, **changes))


def test_the_same_answers_have_no_fault():
    same = compared()
    assert (same.faults, same.apart, same.equal, same.due, same.gap) == ([], 0.0, (3,), (3,), 0.3)


@pytest.mark.parametrize("selected", [{"wordy": 1.0}, {}, {"terse": 0.97}, {"terse": 0.5, "wordy": 0.5}])
def test_another_adapter_or_weight_is_another_selection(selected):
    assert compared(selected=selected).faults == ["another selection"]


def test_a_weight_may_differ_by_a_hundredth():
    assert compared(selected={"terse": 0.995}).faults == []


def test_a_coordinate_may_differ_by_a_hundredth():
    assert compared(coordinates={"emoji": 1.52, "formal": None}).faults == ["a coordinate that differs by 0.020"]
    assert compared(coordinates={"emoji": 1.509, "formal": None}).faults == []


@pytest.mark.parametrize("emoji", [None, math.nan, math.inf])
def test_what_is_no_number_is_no_coordinate(emoji):
    assert compared(coordinates={"emoji": emoji, "formal": None}).faults == ["a coordinate that differs by inf"]


@pytest.mark.parametrize("coordinates", [{"emoji": 1.5}, {"emoji": 1.5, "formal": 0.0}])
def test_a_coordinate_that_only_one_machine_tells_is_a_fault(coordinates):
    assert compared(coordinates=coordinates).faults == ["a coordinate that differs by inf"]


def test_tokens_have_to_agree_until_a_choice_is_narrow():
    second = (steps((5, 2.0), (8, 0.3), (9, 0.6)),)
    assert compared(tokens=second).faults == ["another token after 1 of 3 that are clear"]
    narrow = replace(HERE, tokens=(steps((5, 2.0), (7, 0.049), (9, 0.6)),))
    assert (compared(narrow, tokens=second).faults, compared(narrow, tokens=second).due) == ([], (1,))
    first = (steps((4, 2.0), (7, 0.049), (9, 0.6)),)
    assert compared(narrow, tokens=first).faults == ["another token after 0 of 1 that are clear"]


@pytest.mark.parametrize("tokens", [steps((5, 2.0), (arm64.END, 0.3)), steps((5, 2.0))])
def test_an_answer_that_ends_early_differs(tokens):
    assert compared(tokens=(tokens,)).faults == ["another token after 1 of 3 that are clear"]


def test_the_table_tells_each_processor_and_a_fault_is_the_exit_status(monkeypatch, tmp_path, capsys):
    off = replace(HERE, selected={"wordy": 1.0}, coordinates={"emoji": 1.53, "formal": None}, seconds=61.0)
    told = {"this machine": HERE, "good": HERE, "bad": off}
    monkeypatch.setattr(arm64, "answers", lambda machine, work: told[machine.name])
    assert arm64.main(tmp_path, "qemu", ["good"]) == 0
    capsys.readouterr()
    assert arm64.main(tmp_path, "qemu", ["good", "bad"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[2:] == [
        "| good | yes | 0.0000 | 3 of 3 | 0.30 | 1 |",
        "| bad | no | 0.0300 | 3 of 3 | 0.30 | 61 |",
    ]
    assert err.splitlines()[-2:] == [
        "error: bad: another selection",
        "error: bad: a coordinate that differs by 0.030",
    ]


def test_an_illegal_instruction_is_named(tmp_path):
    killed = arm64.Machine("cortex-a53", ("sh", "-c", "kill -ILL $$"), ())
    with pytest.raises(SystemExit, match=r"under cortex-a53, .*summarize ended with an illegal instruction"):
        arm64.answers(killed, tmp_path)


def test_messages_have_forty_words():
    assert [len(message.split()) for message in arm64.MESSAGES] == [40, 40, 40]


@pytest.mark.model
def test_the_command_is_watched_as_it_chooses_its_tokens(base, tmp_path):
    from xpert_cli.llama.model import Model

    here = arm64.Machine("here", (sys.executable,), (ROOT,))
    script = str(ROOT / "scripts" / "arm64.py")
    wanted = ("watch", "run", "Name a fruit.", "--temperature", "0", "--max-tokens", "4")
    ran, taken = arm64._printed(here, tmp_path, script, *wanted)
    with Model(base) as model:
        prompt = model.chat("Name a fruit.")
        assert [token for token, _ in taken] == list(model.generate_tokens(prompt, max_tokens=4))
        assert model.detokenize([token for token, _ in taken]) == ran["text"]
        last_two = sorted(model.logits(prompt)[-1])[-2:]
    assert taken[0][1] == pytest.approx(last_two[1] - last_two[0], abs=0.1)


# -- scripts/arm64.sh

FAKE = """#!/bin/sh
# Every command that the script needs: notes how it is called, and does the least of what is expected.
name=${0##*/}
echo "$name $*" >>"$LOG"
case "$name $*" in
    *"${BROKEN:-nothing at all}"*) exit 1 ;;
    *cortex-a53*/dot) exit "${REFUSED:-132}" ;;
    *sys.version_info*) echo 3.13 ;;
    apt-get*--download-only*) : >"$WORK/apt/archives/libc6.deb" ;;
    *"pip install"*huggingface-hub*) mkdir -p "$WORK/more/huggingface_hub" ;;
    *"pip install"*) mkdir -p "$WORK/site/typer" ;;
    *"pip download"*)
        mkdir -p "$WORK/$RELEASE/llama_cpp" && : >"$WORK/$RELEASE/PKG-INFO"
        tar -czf "$WORK/$RELEASE.tar.gz" -C "$WORK" "$RELEASE" && rm -r "$WORK/$RELEASE"
        ;;
    cmake*--build*) mkdir -p "$WORK/$RELEASE/build/bin" && : >"$WORK/$RELEASE/build/bin/libllama.so" ;;
esac
"""
NEEDED = {
    "qemu-aarch64-static": "qemu-user-static",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "cmake": "cmake",
    "make": "make",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
BASICS = ("cat", "cksum", "cp", "date", "dirname", "gzip", "id", "ln", "mkdir", "rm", "sed", "sh", "tail", "tar")
Run = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def debian(tmp_path: Path) -> Run:
    """A checkout with a .venv, and a PATH of pretended tools: a function that runs the script: status, calls, talk."""
    root, tools = tmp_path / "a checkout", tmp_path / "bin"
    for folder in (root / "scripts", root / ".venv" / "bin", tools):
        folder.mkdir(parents=True)
    for name in ("scripts/arm64.sh", "scripts/termux.sh", "constraints.txt", "constraints-termux.txt"):
        shutil.copy(ROOT / name, root / name)
    scripts = {tools / name: FAKE for name in NEEDED} | {root / ".venv" / "bin" / "python": FAKE}
    scripts |= {tools / name: f'#!/bin/sh\nexec {shutil.which(name)} "$@"\n' for name in BASICS}
    for file, content in scripts.items():
        file.write_text(content)
        file.chmod(0o755)

    def run(*arguments: str, without: str = "", **settings: str) -> tuple[int, list[str], list[str]]:
        log, kept = tmp_path / "log", tmp_path / "kept"
        log.write_text("")
        if without:
            (tools / without).rename(kept)
        release = "llama_cpp_python-0.3.36"
        env = {"PATH": str(tools), "LOG": str(log), "WORK": str(root / "runs" / "arm64"), "RELEASE": release} | settings
        script = str(root / "scripts" / "arm64.sh")
        command = [str(shutil.which("sh")), script, *arguments]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        if without:
            kept.rename(tools / without)
        calls = log.read_text().replace(str(root), "ROOT").splitlines()
        return done.returncode, calls, done.stderr.splitlines()

    return run


@pytest.mark.parametrize(("command", "package"), NEEDED.items())
def test_a_tool_that_is_missing_is_named_with_its_package(debian, command, package):
    line = f"error: {command} is missing. Install it, here on Debian: apt install {package}"
    assert debian(without=command)[::2] == (1, [line])


def test_without_the_virtual_environment_the_script_names_setup(debian):
    status, calls, talk = debian(BROKEN="import llama_cpp")
    assert (status, len(calls), len(talk)) == (1, 1, 1)
    assert talk[0].startswith("error: ")
    assert talk[0].endswith("/.venv lacks xpert and its demo model. Make it first: sh scripts/setup.sh")


def test_options_are_refused(debian):
    status, calls, talk = debian("--help")
    assert (status, calls, talk[0].split(".")[0]) == (1, [], "error: there is no option --help")


def test_an_emulator_that_refuses_nothing_proves_nothing(debian):
    status, calls, talk = debian(REFUSED="0")
    assert (status, "7.2 or later" in talk[-1], "apt-get" in " ".join(calls)) == (1, True, False)


def test_the_script_prepares_once_and_then_only_compares(debian):
    status, calls, talk = debian()
    assert (status, talk[-1].partition(":")[0]) == (0, "compiling llama.cpp for plain armv8-a, some minutes")
    flags = next(call for call in calls if call.startswith("cmake -S")).split()
    wanted = "-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF -DCMAKE_CXX_FLAGS=-march=armv8-a"
    assert set(wanted.split()) <= set(flags)
    packages = next(call for call in calls if "--only-binary" in call)
    assert " gguf typer rich jinja2 " in packages  # what termux.sh installs
    assert packages.split("numpy==")[1].split()[0] == "2.4.6"
    compared = "python ROOT/scripts/arm64.py ROOT/runs/arm64 "
    assert calls[-1].startswith(compared)
    assert calls[-1].endswith("qemu-aarch64-static cortex-a53 cortex-a76")
    again = debian("cortex-a72")[1]
    assert [call.split()[0] for call in again] == [
        *("python", "aarch64-linux-gnu-g++", "qemu-aarch64-static", "qemu-aarch64-static", "python")
    ]
    assert again[-1].endswith(" cortex-a72")


@pytest.mark.parametrize(
    ("step", "fix"),
    [
        ("apt-get -q -y", "This needs package sources that have arm64"),
        ("pip install", "Check the network"),
        ("cmake --build", "CMAKE_BUILD_PARALLEL_LEVEL=1 sh "),
    ],
)
def test_a_step_that_fails_names_the_fix_and_is_tried_again(debian, step, fix):
    status, calls, talk = debian(BROKEN=step)
    assert (status, talk[-1].startswith("error: that did not work"), fix in talk[-1]) == (1, True, True)
    assert any(step in call for call in debian()[1])
    assert not any("arm64.py" in call for call in calls)
