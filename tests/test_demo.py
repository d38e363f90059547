"""`xpert demo`: the whole story, without torch, and stopped half-way. It leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import EXTRAS, FEW_ANSWERS, xpert
from test_finetune import AT_STEP

pytestmark = [pytest.mark.model, pytest.mark.slow]

# CI runs the demo as it is (scripts/demo.sh).
SHORT = f"""
{FEW_ANSWERS}
from xpert_cli.cli import demo
demo.STEPS, demo.TRAINED_TOKENS, demo.ANSWER_TOKENS = 4, 48, 24
"""


def places(folder: Path) -> dict[str, str]:
    """Where the demo may write: the system's temporary folder, and xpert's own."""
    return {"TMPDIR": str(folder), "XPERT_HOME": str(folder / "home")}


def left(folder: Path) -> list[Path]:
    """What the demo left there, aside from notes of trial loads that passed and of what was measured to decide."""
    notes = ("trials", "decisions")
    return [path for path in folder.rglob("*") if path.is_file() and path.parent.name not in notes]


def test_the_demo_tells_the_whole_story(base, tmp_path):
    for package in EXTRAS:
        pytest.importorskip(package)
    done = xpert("demo", "--json", fault=SHORT, **places(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    steps = ["writer", "summarize", "select", "other_writer", "chat_writer", "finetune", "run", "seconds"]
    assert list(told) == steps
    assert (told["chat_writer"]["verdict"], told["chat_writer"]["selected"][0]["adapter"]) == ("community", "chat")
    assert told["select"]["ranking"][0]["adapter"] != told["other_writer"]["ranking"][0]["adapter"]
    ours, theirs = told["finetune"]
    assert (ours["started_from"], theirs["started_from"]) == (told["select"]["selected"], [])
    assert ours["steps"] == theirs["steps"]
    assert ours["loss_before"] < theirs["loss_before"]
    assert ours["loss_after"] < theirs["loss_after"] < theirs["loss_before"]
    assert told["run"]["before"]["text"] != told["run"]["after"]["text"] != ""
    assert left(tmp_path) == []


def test_without_torch_the_demo_leaves_out_fine_tuning_and_names_the_extra(base, tmp_path):
    done = xpert("demo", hide=EXTRAS, fault=SHORT, **places(tmp_path))
    assert done.returncode == 0, done.stderr
    for step in (
        "1. Somebody wrote",
        "2. Explained",
        "3. Selected",
        "4. For another",
        "5. For a third one, who chats",
        "6. Fine-tuning was left out",
        "7.",
    ):
        assert step in done.stdout
    assert "pip install 'xpert-cli[finetune]'" in " ".join(done.stdout.split())
    assert "the selected adapter" in done.stdout
    assert "What was made lay in a temporary folder, which is gone." in " ".join(done.stderr.split())
    assert left(tmp_path) == []


def test_a_demo_that_is_stopped_cleans_up(base, tmp_path):
    for package in EXTRAS:
        pytest.importorskip(package)
    done = xpert("demo", "--json", fault=SHORT + AT_STEP.format(number=1, signal="SIGINT"), **places(tmp_path))
    assert done.returncode == 130
    assert json.loads(done.stdout)["error"] == done.stderr.strip()
    assert done.stderr.startswith("stopped.")
    assert left(tmp_path) == []
