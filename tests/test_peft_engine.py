"""`--engine peft`: a model that xpert does not compute is trained by transformers and peft."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import MARA, called, xpert
from oracle import llama_cpp_source  # noqa: F401

from xpert_cli import gguf

QUICK = ("--engine", "peft", "--steps", "4", "--max-tokens", "64", "--learning-rate", "0.01")


def stablelm(folder: Path) -> Path:
    """A StableLmForCausalLM, with layer norms, which no architecture of ours has."""
    from transformers import StableLmConfig, StableLmForCausalLM

    size = tiny.bpe_tokenizer(folder, "smollm")
    tiny.write_tokenizer_config(folder)
    return tiny.save(folder, StableLmForCausalLM, StableLmConfig(**{**tiny.SIZES, "vocab_size": size}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for package in ("torch", "transformers", "peft"):
        pytest.importorskip(package)
    return stablelm(tmp_path / "model")


def on_path(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp's converter as a program on PATH."""
    program = tmp_path / "bin" / "convert_lora_to_gguf.py"
    program.parent.mkdir()
    program.write_text(
        f"import runpy, sys\nsys.path.insert(0, {str(source)!r})\n"
        f"runpy.run_path({str(source / program.name)!r}, run_name='__main__')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.slow
def test_a_model_that_is_not_computed_here_is_trained_by_peft(tmp_path, folder, llama_cpp_source, monkeypatch):  # noqa: F811
    on_path(tmp_path, llama_cpp_source, monkeypatch)
    done = xpert("finetune", MARA, *QUICK, "--base", str(folder), "--out", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["engine"], told["steps"], told["messages"], told["held_out"], told["rank"]) == ("peft", 4, 27, 3, 8)
    assert told["loss_after"] < told["loss_before"]
    assert [step for step, _ in told["curve"]] == [0, 4]
    adapter = gguf.read_adapter(gguf.read_header(Path(told["adapter"])))
    assert (adapter.architecture, adapter.rank, adapter.scale) == ("stablelm", 8, 2.0)
    assert len(adapter.factors) == 14
    assert all(np.abs(b).max() > 0 for _, b in adapter.factors.values())
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["adapter.gguf", "messages.jsonl", "peft"]


def test_without_the_converter_it_is_refused_before_it_trains(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    status, out, err = called(monkeypatch, capsys, "finetune", MARA, *QUICK, "--base", str(folder))
    assert (status, out) == (1, "")
    assert err == (
        "error: --engine peft needs llama.cpp's convert_lora_to_gguf.py to make a GGUF adapter. Get llama.cpp's "
        "sources and put the folder with that file on PATH, or use a base that xpert trains itself (docs/models.md).\n"
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--engine", "other"), "--engine 'other' is unknown. It can be: xpert, peft."),
        (("--engine", "peft"), "--engine peft trains a folder of safetensors. Name one with --base."),
        (
            ("--engine", "peft", "--base", "no/folder"),
            "--engine peft trains a folder of safetensors, and no/folder is none. Name one with --base.",
        ),
        (
            ("--engine", "peft", "--base", "x", "--memory", "1G", "--from", "base"),
            "--engine peft takes no --memory, --from. Leave it out.",
        ),
    ],
)
def test_what_it_cannot_do_is_one_line(monkeypatch, capsys, arguments, why):
    status = 1 if "no/folder" in arguments else 2  # what is not there, and what can never be
    assert called(monkeypatch, capsys, "finetune", MARA, *arguments) == (status, "", f"error: {why}\n")
