"""Our PEFT -> GGUF against llama.cpp's own convert_lora_to_gguf.py: the same tensors, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from oracle import llama_cpp_source, run_converter  # noqa: F401

from xpert_cli import gguf
from xpert_cli.models.peft import read_peft

pytestmark = pytest.mark.slow

HEADS, KV_HEADS = tiny.SIZES["num_attention_heads"], tiny.SIZES["num_key_value_heads"]


def trained(model: Path, folder: Path) -> Path:
    """A PEFT LoRA of every linear layer of a tiny model, with random B factors."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    torch.manual_seed(1)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    wrapped.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_tensors_are_those_of_llama_cpps_converter(architecture, tmp_path, llama_cpp_source):  # noqa: F811
    model = tiny.MAKERS[architecture](tmp_path / "model")
    folder = trained(model, tmp_path / "peft")
    ours = read_peft(folder, heads=HEADS, kv_heads=KV_HEADS, architecture=architecture)
    assert len(ours.factors) == 7 * tiny.SIZES["num_hidden_layers"]
    for kind in ("F32", "F16"):
        theirs_file, ours_file = tmp_path / f"theirs-{kind}.gguf", tmp_path / f"ours-{kind}.gguf"
        arguments = ("--outtype", kind.lower(), "--outfile", str(theirs_file), "--base", str(model), str(folder))
        run_converter(llama_cpp_source, "convert_lora_to_gguf.py", *arguments)
        gguf.write_adapter(ours, ours_file, kind)
        theirs, mine = gguf.read_header(theirs_file), gguf.read_header(ours_file)
        assert {n: (i.shape, i.type) for n, i in theirs.tensors.items()} == {
            n: (i.shape, i.type) for n, i in mine.tensors.items()
        }
        for name in theirs.tensors:
            assert np.array_equal(gguf.raw(theirs, name), gguf.raw(mine, name)), name
        for key in ("general.architecture", "general.type", "adapter.type", "adapter.lora.alpha"):
            assert theirs.metadata.encoded[key] == mine.metadata.encoded[key]
