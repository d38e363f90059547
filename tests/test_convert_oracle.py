"""Our conversion against llama.cpp's own `convert_hf_to_gguf.py`: the same tensors byte for byte, the same metadata.

Compared are all tensors and all `<architecture>.*` and `tokenizer.*` keys. Left out: `general.*`, which describes the
model to people and which the two draw from different versions of one library. That converter knows a pre-tokenizer by
the hash of its output, so it does not know tiny vocabularies: there its question is answered with the name we expect,
and what llama.cpp makes of that name is compared with the Hugging Face tokenizer's tokens instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from oracle import llama_cpp_source, run_converter, run_converters

from xpert_cli import gguf
from xpert_cli.models.convert import convert

pytest.importorskip("transformers")
pytest.importorskip("torch")
__all__ = ["llama_cpp_source"]

YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
KINDS = ("F32", "F16", "BF16")
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "smollm", {}),
    "llama-tied-biased": ("llama", "smollm", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama-smollm-size": ("llama", "smollm", {"vocab_size": 49152, "hidden_size": 32, "tie_word_embeddings": True}),
    "llama3": ("llama", "llama-bpe", {"pre_tokenizer": "llama-bpe", "rope_parameters": tiny.LLAMA3, "head_dim": 32}),
    "llama-gpt2-linear": (
        "llama",
        "gpt-2",
        {"pre_tokenizer": "gpt-2", "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "qwen2": ("qwen2", "qwen2", {}),
    "qwen2-tied-yarn": ("qwen2", "qwen2", {"tie_word_embeddings": True, "rope_parameters": YARN}),
    "qwen3": ("qwen3", "qwen2", {}),
    "qwen3-untied": ("qwen3", "qwen2", {"tie_word_embeddings": False}),
    "smollm3": ("smollm3", "llama-bpe", {}),
    "granite": ("granite", "smollm", {"attention_bias": True}),
    "olmo2": ("olmo2", "dbrx", {}),
    "phi3": ("phi3", "gpt-2", {}),
    "gemma3": ("gemma3", "default", {}),
    "gemma3-bf16": ("gemma3", "default", {"dtype": "bfloat16"}),
    "gemma3-f16": ("gemma3", "default", {"dtype": "float16"}),
    "llama-bf16": ("llama", "smollm", {"dtype": "bfloat16"}),
    "gemma3-softcap": ("gemma3", "default", {"final_logit_softcapping": 30.0, "num_key_value_heads": 4}),
}


def contents(path: Path) -> tuple[dict[str, tuple[str, tuple[int, ...], bytes]], dict[str, Any]]:
    """All tensors (type, shape, bytes), and the metadata that matters to llama.cpp."""
    header = gguf.read_header(path)
    tensors = {name: (t.type, t.shape, gguf.raw(header, name).tobytes()) for name, t in header.tensors.items()}
    keys = (key for key in header.metadata if not key.startswith("general."))
    return tensors, {key: listed(header.metadata[key]) for key in keys}


def listed(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else list(value)


def assert_equal(ours: Path, theirs: Path) -> None:
    (tensors, metadata), (expected_tensors, expected_metadata) = contents(ours), contents(theirs)
    assert tensors.keys() == expected_tensors.keys()
    assert [name for name in tensors if tensors[name] != expected_tensors[name]] == []
    assert metadata == expected_metadata


@pytest.fixture(scope="module")
def converted(llama_cpp_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with <case>-<kind>-ours.gguf and <case>-<kind>-theirs.gguf for all cases; theirs from one process."""
    root = tmp_path_factory.mktemp("converted")
    runs = []
    for case, (architecture, pre, changes) in CASES.items():
        folder = tiny.MAKERS[architecture](root / case, **changes)
        for kind in KINDS:
            convert(str(folder), root / f"{case}-{kind}-ours.gguf", kind)
            theirs = root / f"{case}-{kind}-theirs.gguf"
            runs.append(((str(folder), "--outfile", str(theirs), "--outtype", kind.lower()), pre))
    run_converters(llama_cpp_source, "convert_hf_to_gguf.py", runs)
    return root


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_equals_llama_cpp(case: str, kind: str, converted: Path) -> None:
    assert_equal(converted / f"{case}-{kind}-ours.gguf", converted / f"{case}-{kind}-theirs.gguf")


@pytest.mark.slow
@pytest.mark.model
def test_smollm2_itself(llama_cpp_source: Path, tmp_path: Path) -> None:
    """The packaged base model, dequantized into a Hugging Face folder: its real tokenizer is recognised by both."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    base = tiny.packaged_base()
    folder = tiny.smollm2_tokenizer(tmp_path / "SmolLM2-135M-Instruct")
    options = {"gguf_file": base.name, "quantization_config": GgufConfig(dequantize=True)}
    model = AutoModelForCausalLM.from_pretrained(base.parent, dtype=torch.float32, **options)
    model.save_pretrained(folder)
    del model
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    for kind in ("F32", "F16"):
        convert(str(folder), ours, kind)
        arguments = (str(folder), "--outfile", str(theirs), "--outtype", kind.lower())
        run_converter(llama_cpp_source, "convert_hf_to_gguf.py", *arguments)
        assert_equal(ours, theirs)
        theirs.unlink()
    tensors = contents(ours)[0]
    for name, kind in (
        ("blk.0.attn_q.weight", "<f2"),
        ("blk.29.ffn_down.weight", "<f2"),
        ("output_norm.weight", "<f4"),
    ):
        assert tensors[name][2] == gguf.tensor(base, name).astype(kind).tobytes(), name
