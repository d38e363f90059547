"""Model folders as people have them: settings that a GGUF file cannot hold, wrappers' names, damaged cards, pickles.

What is converted computes what transformers computes; what cannot be is refused, with the setting named.
"""

from __future__ import annotations

import json
import shutil
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from xpert_cli import gguf
from xpert_cli.errors import BadModel
from xpert_cli.llama.model import Model, Vocabulary
from xpert_cli.models import model_card
from xpert_cli.models.convert import convert

pytest.importorskip("transformers")
pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny Hugging Face folder of each architecture; gemma3's has six layers, the last one without a window."""
    root = tmp_path_factory.mktemp("folders")
    changes: dict[str, dict[str, Any]] = {"gemma3": {"num_hidden_layers": 6}}
    return {name: make(root / name, **changes.get(name, {})) for name, make in tiny.MAKERS.items()}


def copied(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """A copy with other settings in config.json; one that is ... is left out."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text()) | changes
    (copy / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    return copy


def retensored(folder: Path, change: Any) -> None:
    """Rewrite model.safetensors with what `change` makes of its tensors, a dict of numpy arrays."""
    from safetensors.numpy import load_file, save_file

    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def error_in_logits(folder: Path, tmp_path: Path) -> float:
    """How far llama.cpp's logits of the converted model are from transformers', relative to the largest."""
    import torch
    from transformers import AutoModelForCausalLM

    convert(str(folder), tmp_path / "out.gguf", "F32")
    tokens = [7 + i % 200 for i in range(100)]
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        expected = reference(torch.tensor([tokens])).logits[0, -1].numpy()
    with Model(tmp_path / "out.gguf", context=128, threads=1) as model:
        logits = np.asarray(model.logits(tokens)).reshape(-1, expected.size)[-1]
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


# -- settings


# The tiny gemma3 magnifies rounding; llama.cpp looks GELU up in a table of float16.
NEAR = {"gemma3": 0.03}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
PATTERN = ["sliding_attention", "full_attention"]


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("qwen2", {"rope_parameters": ..., "rope_theta": 1e4, "rope_scaling": {"type": "yarn", "factor": 4.0}}),
        ("qwen2", {"rope_parameters": YARN | {"original_max_position_embeddings": 64}}),
        ("qwen2", {"rope_parameters": YARN | {"original_max_position_embeddings": 64, "attention_factor": 1.5}}),
        ("llama", {"rope_parameters": YARN | {"mscale": 0.7, "mscale_all_dim": 1.2}}),
        ("llama", {"rope_parameters": YARN | {"beta_fast": 32, "beta_slow": 1}}),
        ("llama", {"rope_parameters": {**tiny.LLAMA3, "original_max_position_embeddings": ...}}),
        ("gemma3", {"layer_types": PATTERN * 3}),
        ("gemma3", {"layer_types": PATTERN[:1] * 6}),
        ("gemma3", {"layer_types": PATTERN[1:] * 6}),
        ("gemma3", {"layer_types": ..., "sliding_window_pattern": 3}),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 256, "layer_types": ...}),
        ("llama", {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": None}),
        ("llama", {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 256}),
    ],
)  # fmt: skip
def test_what_can_be_held_computes_the_same(
    architecture: str, changes: dict[str, Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    if "rope_parameters" in changes and changes["rope_parameters"] is not ...:
        changes["rope_parameters"] = {key: v for key, v in changes["rope_parameters"].items() if v is not ...}
    assert error_in_logits(copied(folders[architecture], tmp_path, **changes), tmp_path) < NEAR.get(architecture, 0.01)


@pytest.mark.parametrize(
    ("architecture", "changes", "reason"),
    [
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "layer_types": PATTERN}, "sliding window of 16"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1, "layer_types": ...}, "9"),
        ("llama", {"architectures": ["MistralForCausalLM"], "sliding_window": 16}, "sliding window of 16 tokens"),
        ("llama", {"architectures": ["MistralForCausalLM"], "max_position_embeddings": 8192}, "window of 4096"),
        ("gemma3", {"layer_types": PATTERN[:1] * 2 + PATTERN[1:] * 4}, "irregular places"),
        ("gemma3", {"layer_types": ["chunked_attention"] * 6}, "layers of type chunked_attention"),
        ("gemma3", {"layer_types": PATTERN}, "does not name 6 layers"),
        ("gemma3", {"use_bidirectional_attention": True}, "attention to later tokens"),
        ("gemma3", {"query_pre_attn_scalar": 32}, "an attention scale of its own"),
        ("gemma3", {"hidden_activation": "silu"}, "silu activations"),
        ("llama", {"rope_parameters": YARN | {"truncate": False}}, "YaRN with truncate"),
        ("llama", {"rope_parameters": YARN | {"beta_fast": 8.0}}, "YaRN with other beta_fast and beta_slow"),
        ("llama", {"rope_parameters": YARN | {"factor": -1.0}}, "factor in config.json is -1.0"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic rotary embeddings"),
        ("qwen2", {"rope_parameters": tiny.LLAMA3}, "llama3 rotary embeddings"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "a part of each head"),
        ("llama", {"attn_logit_softcapping": 30.0}, "attention soft-capping"),
        ("llama", {"vocab_size": 10**9}, r"is \(321, 64\), and by config.json \(1000000000, 64\)"),
        ("llama", {"hidden_size": 10**9}, r"and by config.json \(321, 1000000000\)"),
        ("llama", {"num_hidden_layers": 10**9}, "1000000000 layers, over 512"),
        ("llama", {"num_hidden_layers": 1}, "model.layers.1.* and config.json tells of 1 layer"),
        ("llama", {"max_position_embeddings": 10**11}, "no usable max_position_embeddings"),
        ("llama", {"num_attention_heads": True}, "no usable num_attention_heads"),
        ("llama", {"num_key_value_heads": 3}, r"is \(32, 64\), and by config.json \(48, 64\)"),
        ("llama", {"quantization_config": "awq"}, "value of the wrong kind"),
        ("llama", {"rope_parameters": [1]}, "value of the wrong kind"),
        ("llama", {"architectures": {"a": 1}}, "a model without a name for its architecture"),
        ("llama", {"architectures": ["KeinForCausalLM"]}, "does not convert KeinForCausalLM"),
        ("smollm3", {"no_rope_layers": [1, 1, 1, 1, 0]}, "elsewhere than at every 4th"),
        ("smollm3", {"no_rope_layers": ..., "no_rope_layer_interval": 2}, "elsewhere than at every 4th"),
        ("olmo2", {"tie_word_embeddings": True}, "an output matrix tied to its embeddings"),
        ("granite", {"logits_scaling": 0.0}, r"logits_scaling in config.json is 0\.0"),
        ("granite", {"residual_multiplier": "half"}, "value of the wrong kind"),
        ("phi3", {"sliding_window": 9}, "a sliding window of 9 tokens"),
        ("phi3", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "yarn rotary embeddings"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope", "long_factor": [1.0]}}, "long_factor in config.json"),
        ("llama", {"attention_bias": True}, "lacks 8 tensors, model.layers.0.self_attn.k_proj.bias first"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused(
    architecture: str, changes: dict[str, Any], reason: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadModel, match=reason) as caught:
        convert(str(copied(folders[architecture], tmp_path, **changes)), tmp_path / "out.gguf", "F16")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]  # nothing is left behind


# -- tensors


def test_a_head_that_is_missing_is_refused_unless_it_is_tied(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["llama"], tmp_path)
    retensored(folder, lambda tensors: {name: value for name, value in tensors.items() if name != "lm_head.weight"})
    with pytest.raises(BadModel, match=r"lacks 1 tensor, lm_head\.weight first"):
        convert(str(folder), tmp_path / "out.gguf", "F16")
    config = (folder / "config.json").read_text().replace('"tie_word_embeddings": false', '"tie_word_embeddings": true')
    (folder / "config.json").write_text(config)
    assert error_in_logits(folder, tmp_path) < 0.01


def test_a_head_beside_tied_embeddings_is_used_as_transformers_does(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["llama"], tmp_path, tie_word_embeddings=True)
    assert error_in_logits(folder, tmp_path) < 0.01


def test_a_tensor_that_has_no_place_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["llama"], tmp_path)
    retensored(folder, lambda tensors: tensors | {"model.layers.0.self_attn.q_proj.bias": np.ones(64, np.float32)})
    with pytest.raises(BadModel, match=r"q_proj\.bias that llama models have no place for"):
        convert(str(folder), tmp_path / "out.gguf", "F16")


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "module.", "_orig_mod.module."])
def test_names_of_wrappers_are_read(wrapper: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["llama"], tmp_path)
    retensored(folder, lambda tensors: {wrapper + name: value for name, value in tensors.items()})
    assert convert(str(folder), tmp_path / "out.gguf", "F16").tensors == 21


def test_a_compiled_layer_inside_is_read_and_not_twice(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["llama"], tmp_path)
    inside = "model.layers.0._orig_mod.mlp.up_proj.weight"
    retensored(
        folder, lambda tensors: {inside if "0.mlp.up" in name else name: value for name, value in tensors.items()}
    )
    assert convert(str(folder), tmp_path / "out.gguf", "F16").tensors == 21
    retensored(folder, lambda tensors: tensors | {"model.layers.0.mlp.up_proj.weight": tensors[inside] + 1})
    with pytest.raises(BadModel, match="holds tensors twice"):
        convert(str(folder), tmp_path / "out.gguf", "F16")


def test_a_whole_file_counts_more_than_an_index_beside_it(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["llama"], tmp_path)
    stale = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(stale))
    assert convert(str(folder), tmp_path / "out.gguf", "F16").tensors == 21


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(dtype: str, value: float, tmp_path: Path) -> None:
    folder = tiny.llama(tmp_path / "model", dtype=dtype)
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-2:] = struct.pack("<e", value) if dtype == "float16" else struct.pack("<f", value)[2:]
    path.write_bytes(data)
    with pytest.raises(BadModel, match="values that are not finite"):
        convert(str(folder), tmp_path / "out.gguf", "F32")
    assert not list(tmp_path.glob("*out.gguf*"))


# -- tokenizers


TEXTS = ("Hello  world, it's 3.14!", " leading", "", "tabs\tand\nlines 🚀 Ünï", "aaaa", "The quick brown fox")


def test_sentencepiece_in_tokenizer_json_cuts_text_alike(tmp_path: Path) -> None:
    """Merges in an order that is not that of ids; with a space put first, and without."""
    from tokenizers import Tokenizer

    folder = tiny.llama(tmp_path / "model")
    for prefix in (True, False):
        tokenizer = sentencepiece_json(prefix)
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        convert(str(folder), tmp_path / "out.gguf", "F16")
        expected = Tokenizer.from_str(json.dumps(tokenizer))
        with Vocabulary(tmp_path / "out.gguf") as model:
            assert model.metadata("tokenizer.ggml.model") == "llama"
            for text in TEXTS:
                assert model.tokenize(text) == expected.encode(text).ids, text


def sentencepiece_json(prefix: bool) -> dict[str, Any]:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyzTH"]
    merges = [
        "l l",
        "h e",
        "▁ t",
        "q u",
        "e l",
        "▁ w",
        "o r",
        "▁t he",
        "H el",
        "Hel l",
        "b r",
        "i c",
        "a a",
        "w o",
        "ll o",
    ]
    pieces += sorted({merge.replace(" ", "") for merge in merges})
    normalizers = [{"type": "Prepend", "prepend": "▁"}] if prefix else []
    normalizers += [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": False}
    model |= {"dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    model |= {"vocab": {piece: index for index, piece in enumerate(pieces)}, "merges": merges}
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": pieces[index], **kinds} for index in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": model,
    }


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("normalizer", {"type": "Lowercase"}, "does not know this model's normalizer Lowercase"),
        ("pre_tokenizer", {"type": "Digits", "individual_digits": True}, "pre-tokenizer Digits"),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "▁", "split": True}, "pre-tokenizer Metaspace"),
        ("model", {"type": "Unigram", "vocab": []}, "a tokenizer of kind Unigram"),
        ("model", {"type": "BPE", "byte_fallback": True, "vocab": {"a": 0}, "merges": ["a b"]}, "damaged"),
        ("model", {"type": "BPE", "byte_fallback": True, "vocab": {"a": 10**9}, "merges": []}, "lies beyond"),
        ("model", None, "damaged"),
    ],
)
def test_other_tokenizers_are_refused(
    key: str, value: Any, reason: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("PATH", "")
    folder = copied(folders["llama"], tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps(sentencepiece_json(prefix=True) | {key: value}))
    with pytest.raises(BadModel, match=reason):
        convert(str(folder), tmp_path / "out.gguf", "F16")


def test_a_sentencepiece_model_of_ones_is_refused_at_once(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["gemma3"], tmp_path)
    (folder / "tokenizer.model").write_bytes(b"\xff" * 2_000_000)  # one number of 14 million bits
    with pytest.raises(BadModel, match="a number of over 64 bits"):
        convert(str(folder), tmp_path / "out.gguf", "F16")


# -- model cards


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    "card",
    [
        f"---\n{BOMB}tags: *j\n---\n# Model",
        "---\nlicense: [mit\n---\n",
        "---\nlicense: apache-2.0\n",
        "---\n" + "[" * 30_000 + "\n---\n",
        "---\n" + "a: {" * 5_000 + "\n---\n",
        "---\n- just\n- a list\n---\n",
        "---\ntags: !!python/object/apply:os.system ['true']\n---\n",
        "---\nx: " + "9" * 20_000 + "\n---\n",
        "---\n" + "x: y\n" * 100_000 + "---\n",
        "---\ndate: 2026-99-99\n---\n",
        "---\n? [a, b]\n: 1\n---\n",
        "---\n\x00\x07\n---\n",
    ],
)
def test_a_damaged_card_never_stops_a_conversion(card: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    began = time.process_time()
    content, note = model_card.read_card(tmp_path)
    assert content == {}
    assert note is not None
    assert note.startswith("The front matter of README.md was left out: ")
    assert note.isprintable()
    assert time.process_time() - began < 20  # an exploding card takes hours


def test_a_card_of_odd_values_gives_what_makes_sense(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["llama"], tmp_path)
    (folder / "README.md").write_bytes(
        b"---\nlicense: mit\nlanguage: no\nversion: 1.5\ndescription: {a: 1}\nbase_model: [org/One-1B, 3, {x: y}]\n"
        b"tags: [[1], text, null]\ndatasets: 7\nauthor: \"\\e[31mred\"\n---\n\xff\xfe"
    )  # fmt: skip
    (folder / "generation_config.json").write_text('{"temperature": 0.5, "top_k": 2.5, "top_p": "high"}')
    result = convert(str(folder), tmp_path / "out.gguf", "F16")
    assert result.notes == ()
    header = gguf.read_header(tmp_path / "out.gguf")
    general = {key: header.metadata[key] for key in header.metadata if key.startswith("general.")}
    assert general["general.license"] == "mit"
    assert general["general.version"] == "1.5"
    assert general["general.base_model.0.name"] == "One 1B"
    assert general["general.tags"] == ["text"]
    assert general["general.author"] == "[31mred"
    assert general["general.sampling.temp"] == 0.5
    assert not {"general.languages", "general.description", "general.sampling.top_k", "general.sampling.top_p"} & set(
        general
    )

    (folder / "README.md").write_text("---\nlicense: [mit\n---\n")
    assert len(convert(str(folder), tmp_path / "out.gguf", "Q8_0").notes) == 1


# -- adapters in place of models


def test_an_adapter_is_no_model(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    with pytest.raises(BadModel, match=r"lora is a folder with a PEFT.*xpert merge --adapter .*lora --base BASE"):
        convert(str(tmp_path / "lora"), tmp_path / "out.gguf", "F16")
