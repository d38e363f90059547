"""`xpert convert`: names, permutation, tokenizers, quantizing, and what it refuses."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_gguf

from xpert_cli import gguf
from xpert_cli.errors import BadInput, BadModel, CannotWrite
from xpert_cli.gguf import architectures
from xpert_cli.llama.model import Model, Vocabulary
from xpert_cli.models import hf_checkpoint, hf_model, hf_tokenizer, quantize
from xpert_cli.models.convert import convert

# The text by which llama.cpp's converter tells pre-tokenizers apart, in short.
TRICKY = (
    "\n \n\n\t x  y   z\n🚀 (normal) 3 33 333 3333 33333 3.3 3..3 apple工作1314151天～ '''``..!!! I've 'LL don't\r\n"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny Hugging Face folder of each architecture."""
    pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("models")
    return {name: make(root / name) for name, make in tiny.MAKERS.items()}


# -- names and the permutation


@pytest.mark.parametrize(
    ("architecture", "hf", "gguf"),
    [
        ("llama", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"),
        ("llama", "model.layers.11.post_attention_layernorm.weight", "blk.11.ffn_norm.weight"),
        ("llama", "model.layers.3.mlp.down_proj", "blk.3.ffn_down"),
        ("qwen2", "model.layers.1.self_attn.k_proj.bias", "blk.1.attn_k.bias"),
        ("qwen3", "model.layers.1.self_attn.k_norm.weight", "blk.1.attn_k_norm.weight"),
        ("gemma3", "model.layers.0.post_attention_layernorm.weight", "blk.0.post_attention_norm.weight"),
        ("gemma3", "model.embed_tokens.weight", "token_embd.weight"),
    ],
)
def test_names_go_both_ways(architecture: str, hf: str, gguf: str) -> None:
    assert architectures.gguf_name(architecture, hf) == gguf
    assert architectures.hf_name(architecture, gguf) == hf


def test_names_that_an_architecture_lacks() -> None:
    assert architectures.gguf_name("llama", "model.layers.0.self_attn.q_norm.weight") is None
    assert architectures.hf_name("qwen2", "blk.0.attn_q_norm.weight") is None


def test_permute_interleaves_the_halves_of_each_head() -> None:
    assert architectures.permute(np.arange(8), heads=2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert architectures.permute(np.arange(6), heads=1).tolist() == [0, 3, 1, 4, 2, 5]
    w = np.arange(24).reshape(12, 2)
    assert (architectures.unpermute(architectures.permute(w, 2), 2) == w).all()


def test_only_llama_permutes_and_only_q_and_k() -> None:
    assert architectures.is_permuted("llama", "blk.0.attn_q.weight") == "q"
    assert architectures.is_permuted("llama", "blk.0.attn_k.bias") == "k"
    assert architectures.is_permuted("llama", "blk.0.attn_v.weight") is None
    assert architectures.is_permuted("qwen2", "blk.0.attn_q.weight") is None


def test_llama3_factors_keep_short_waves_and_slow_long_ones() -> None:
    rotary = {"rope_theta": 500000.0, "factor": 32.0, "original_max_position_embeddings": 64}
    factors = hf_model.llama3_factors(rotary, 8)
    assert factors[0] == 1  # one radian a token: 6.3 tokens a turn, under 64 / 4
    assert factors[-1] == 32  # 118000 tokens a turn, over 64 / 1


# -- tokenizers


def test_bpe_tokens_have_types_and_padding() -> None:
    tokenizer = {
        "model": {"vocab": {"<s>": 0, "a": 1, "Ġb": 2}},
        "added_tokens": [
            {"id": 0, "content": "<s>", "special": True},
            {"id": 3, "content": "<|looks|>", "special": False},
            {"id": 4, "content": "▁▁x", "special": False},
        ],
    }
    tokens, types = hf_tokenizer.bpe_tokens(tokenizer, {}, 6)
    assert tokens == ["<s>", "a", "Ġb", "<|looks|>", "  x", "[PAD5]"]
    control, normal, user, unused = 3, 1, 4, 5
    assert types == [control, normal, normal, control, user, unused]


def test_a_token_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(BadModel, match="token 7 lies beyond the model's vocabulary of 5"):
        hf_tokenizer.bpe_tokens({"model": {"vocab": {"a": 7}}}, {}, 5)


def test_an_unknown_pre_tokenizer_is_refused() -> None:
    with pytest.raises(hf_tokenizer.Unsupported, match="pre-tokenizer"):
        hf_tokenizer.pre_tokenizer({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}}})


def test_sentencepieces_from_protobuf() -> None:
    def piece(text: bytes, score: float, kind: bytes) -> bytes:
        body = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score) + kind
        return b"\x0a" + bytes([len(body)]) + body

    model = piece(b"<unk>", 0.0, b"\x18\x02") + b"\x12\x00" + piece("▁a".encode(), -1.5, b"")
    assert hf_tokenizer.sentencepieces(model) == [("<unk>", 0.0, 2), ("▁a", -1.5, 1)]


@pytest.mark.parametrize("data", [b"", b"\x0a", b"\x0a\x05ab", b"\x0f", b"\x0a\x02\x10\x01", b"\xff\xff"])
def test_a_damaged_sentencepiece_model_is_refused(data: bytes, models: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(models["gemma3"], tmp_path)
    (folder / "tokenizer.model").write_bytes(data)
    with pytest.raises(BadModel, match="tokenizer files"):
        convert(str(folder), tmp_path / "out.gguf", "F16")


@pytest.mark.parametrize("pre", ["smollm", "gpt-2", "llama-bpe", "dbrx", "qwen2", "gpt-4o", "tekken"])
def test_llama_cpp_cuts_text_as_hugging_face_does(pre: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer

    folder = tiny.llama(tmp_path / "model", pre_tokenizer=pre)
    convert(str(folder), tmp_path / "out.gguf", "F16")
    expected = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TRICKY).ids
    with Vocabulary(tmp_path / "out.gguf") as model:
        assert model.tokenize(TRICKY) == expected
        assert model.metadata("tokenizer.ggml.pre") == pre


# -- whole conversions


@pytest.mark.parametrize("architecture", tiny.MAKERS)
@pytest.mark.parametrize("kind", ["F32", "Q4_K_M", "Q8_0"])
def test_a_converted_model_runs(architecture: str, kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    result = convert(str(models[architecture]), tmp_path / "out.gguf", kind)
    assert (result.architecture, result.type) == (architecture, kind)
    assert (result.bytes, result.requantized) == ((tmp_path / "out.gguf").stat().st_size, False)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]
    with Model(tmp_path / "out.gguf", context=64, threads=1) as model:
        tokens = model.tokenize("The quick brown fox")
        assert len(list(model.generate_tokens(tokens, max_tokens=4))) <= 4
        assert np.isfinite(model.logits(tokens)).all()


@pytest.mark.parametrize("architecture", tiny.MAKERS)
def test_logits_equal_those_of_transformers(architecture: str, models: dict[str, Path], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    convert(str(models[architecture]), tmp_path / "out.gguf", "F32")
    tokens = list(range(5, 45))  # longer than gemma3's sliding window of 32
    reference = AutoModelForCausalLM.from_pretrained(models[architecture], dtype=torch.float32)
    with torch.no_grad():
        expected = reference(torch.tensor([tokens])).logits[0, -1].numpy()
    with Model(tmp_path / "out.gguf", context=64, threads=1) as model:
        logits = np.asarray(model.logits(tokens)).reshape(-1, expected.size)[-1]
    # llama.cpp keeps keys and values in F16; a wrong permutation, norm or window is off by the size of the logits
    assert np.abs(logits - expected).max() < 0.01 * np.abs(expected).max()


def test_rows_that_do_not_fit_are_reported(models: dict[str, Path], tmp_path: Path) -> None:
    result = convert(str(models["llama"]), tmp_path / "out.gguf", "Q4_K_M")
    written = gguf.read_header(tmp_path / "out.gguf").tensors
    assert result.fallback["blk.0.ffn_up.weight"] == "Q5_0"  # rows of 64 are no multiple of 256
    assert result.fallback["output.weight"] == "Q8_0"
    assert {name: written[name].type for name in result.fallback} == result.fallback


def test_rows_that_fit_fall_back_nowhere(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = tiny.llama(tmp_path / "model", hidden_size=256, intermediate_size=512)
    result = convert(str(folder), tmp_path / "out.gguf", "q4_k_m")
    assert (result.fallback, result.type) == ({}, "Q4_K_M")
    assert gguf.read_header(tmp_path / "out.gguf").tensors["blk.0.ffn_up.weight"].type == "Q4_K"
    with pytest.raises(BadInput, match="importance matrix"):
        convert(str(folder), tmp_path / "other.gguf", "IQ2_XXS")
    assert not (tmp_path / "other.gguf").exists()


def test_a_quantized_gguf_can_be_quantized_again_and_says_so(models: dict[str, Path], tmp_path: Path) -> None:
    for source, kind, requantized in [("F16", "Q8_0", False), ("Q8_0", "Q4_0", True), ("Q4_0", "F16", True)]:
        if not (tmp_path / f"{source}.gguf").exists():
            convert(str(models["llama"]), tmp_path / f"{source}.gguf", source)
        result = convert(str(tmp_path / f"{source}.gguf"), tmp_path / f"{kind}.gguf", kind)
        assert result.requantized is requantized
        assert result.tensors == 21
        (tmp_path / f"{source}.gguf").unlink()


@pytest.mark.parametrize(("kind", "copied_to"), [("Q4_1", "Q8_0"), ("Q8_0", None), ("F32", None)])
def test_for_many_texts_a_slow_type_is_copied(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, copied_to: str | None
) -> None:
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    convert(str(models["llama"]), tmp_path / "own.gguf", kind)
    with quantize.for_many_texts(tmp_path / "own.gguf") as copy:
        assert (copy.path == tmp_path / "own.gguf") is (copied_to is None)
        found = {info.type for name, info in copy.header.tensors.items() if name.endswith("attn_q.weight")}
        assert found == {copied_to or kind}
    assert not list((tmp_path / "home").glob("*"))


def test_shards_equal_one_file(models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = copied(models["llama"], tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = {f"model-0000{part}-of-00002.safetensors": sorted(tensors)[part - 1 :: 2] for part in (1, 2)}
    for file, names in halves.items():
        save_file({name: tensors[name] for name in names}, folder / file)
    weight_map = {name: file for file, names in halves.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    convert(str(folder), tmp_path / "sharded.gguf", "F32")
    convert(str(models["llama"]), tmp_path / "single.gguf", "F32")
    ours, single = (gguf.read_header(tmp_path / f"{name}.gguf") for name in ("sharded", "single"))
    assert all((gguf.raw(ours, name) == gguf.raw(single, name)).all() for name in single.tensors)

    next(iter(folder.glob("*-00002-of-00002.safetensors"))).unlink()
    with pytest.raises(BadModel, match="is missing"):
        convert(str(folder), tmp_path / "sharded.gguf", "F32")


def test_every_type_of_llama_cpp_is_offered() -> None:
    types = quantize.quantization_types()
    assert (types["F32"], types["F16"], types["Q4_K_M"], types["Q8_0"], types["BF16"]) == (0, 1, 15, 7, 32)
    assert "GUESSED" not in types
    assert types["Q4_K"] == types["Q4_K_M"]


def test_progress_rises_to_one(models: dict[str, Path], tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    convert(str(models["llama"]), tmp_path / "out.gguf", "Q8_0", progress=lambda *step: seen.append(step))
    for message in ("converting", "quantizing"):
        fractions = [fraction for said, fraction in seen if said == message]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0


def test_converting_imports_no_torch(models: dict[str, Path], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['sentencepiece'] = None; "  # gguf imports it where it is installed
        "from pathlib import Path; from xpert_cli.models.convert import convert; "
        f"convert({str(models['gemma3'])!r}, Path({str(tmp_path / 'out.gguf')!r}), 'Q8_0'); "
        "print(*{'torch', 'transformers', 'safetensors', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


# -- what is refused


def copied(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """A copy of a model folder; `changes` go to its config.json."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changes}))
    return copy


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM.*convert_hf_to_gguf.py"),
        ({"architectures": None}, "architecture.*convert_hf_to_gguf.py"),
        ({"hidden_act": "gelu"}, "gelu activations, which a GGUF file of architecture llama cannot say"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "longrope rotary embeddings, which a GGUF file"),
        ({"hidden_size": None}, "has no usable hidden_size"),
        ({"num_hidden_layers": 3}, "lacks 9 tensors"),
        ({"vocab_size": 300}, r"lm_head.weight is \(321, 64\), and by config.json \(300, 64\)"),
        ({"quantization_config": {"quant_method": "awq"}}, "already quantized by awq"),
    ],
)
def test_configurations_that_are_refused(
    changes: dict[str, Any], reason: str, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    folder = copied(models["llama"], tmp_path, **changes)
    with pytest.raises(BadModel, match=reason):
        convert(str(folder), tmp_path / "out.gguf", "Q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_llama_cpps_converter_on_path_is_used(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(str(models["llama"]), tmp_path / "ready.gguf", "F16")
    program = tmp_path / "bin" / "convert_hf_to_gguf.py"
    program.parent.mkdir()
    ready = str(tmp_path / "ready.gguf")
    code = f"import shutil, sys; assert sys.argv[4:] == ['--outtype', 'auto']; shutil.copy({ready!r}, sys.argv[3])"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    folder = copied(models["llama"], tmp_path, architectures=["MambaForCausalLM"])
    with pytest.raises(BadModel, match=rf"runs Python code from {folder}. If you trust both.*--llama-converter"):
        convert(str(folder), tmp_path / "out.gguf", "Q8_0")
    asked: list[str] = []
    allow = lambda what: asked.append(what) is None  # noqa: E731
    assert convert(str(folder), tmp_path / "out.gguf", "Q8_0", permission=allow).tensors == 21
    assert f"{program} may be able to. For some models it runs Python code from {folder}." in asked[0]

    (tmp_path / "out.gguf").unlink()
    program.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[3], 'wb').write(b'GGUF, but no more')\n")
    with pytest.raises(BadModel, match=r"\.part"):
        convert(str(folder), tmp_path / "out.gguf", "F16", permission=allow)
    assert not list(tmp_path.glob("*out.gguf*"))

    program.write_text(f"#!{sys.executable}\nraise SystemExit('Model MambaForCausalLM is too new')\n")
    with pytest.raises(BadModel, match="Model MambaForCausalLM is too new"):
        convert(str(folder), tmp_path / "out.gguf", "Q8_0", permission=allow)


def test_pytorch_weights_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(models["llama"], tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadModel, match="safetensors: load the model with transformers"):
        convert(str(folder), tmp_path / "out.gguf")


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_a_truncated_checkpoint_is_refused(keep: int, models: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(models["llama"], tmp_path)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:keep])
    with pytest.raises(BadModel, match="not a whole safetensors file"):
        convert(str(folder), tmp_path / "out.gguf")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [100, 104]},
        {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]},
        {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1]},
        None,
    ],
)
def test_a_crafted_checkpoint_is_refused(entry: Any, tmp_path: Path) -> None:
    header = json.dumps({"model.norm.weight": entry}).encode()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(BadModel):
        hf_checkpoint.open_checkpoint(tmp_path)


def test_what_is_no_model_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="neither a folder, nor a GGUF file, nor a Hub repo"):
        convert("no-such-model", tmp_path / "out.gguf")
    (tmp_path / "text.gguf").write_text("not a GGUF file at all, only text")
    with pytest.raises(BadModel):
        convert(str(tmp_path / "text.gguf"), tmp_path / "out.gguf")
    with pytest.raises(BadInput, match=r"Q5_X is no quantization type. Choose one of BF16, "):
        convert(str(models["llama"]), tmp_path / "out.gguf", "Q5_X")
    assert not (tmp_path / "out.gguf").exists()


def test_a_repo_that_is_not_cached_needs_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match="someone/some-model is not downloaded yet"):
        convert("someone/some-model", tmp_path / "out.gguf", offline=True)
    with pytest.raises(BadInput, match="neither a folder, nor a GGUF file, nor a Hub repo"):
        convert("someone/no such name", tmp_path / "out.gguf", offline=True)


def test_a_cached_repo_is_converted_offline(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repo, commit = tmp_path / "hub" / "models--someone--tiny-llama", "0" * 40
    shutil.copytree(models["llama"], repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    convert("someone/tiny-llama", tmp_path / "out.gguf", "F16", offline=True)
    assert gguf.read_header(tmp_path / "out.gguf").metadata["general.name"] == "tiny-llama"


def test_a_folder_that_cannot_be_written_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="--out"):
        convert(str(models["llama"]), tmp_path / "file" / "out.gguf", "Q8_0")


def test_values_beyond_f16_are_refused_rather_than_made_infinite(models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = copied(models["llama"], tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][0, 0] = 1e6
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadModel, match=r"output.weight has values beyond the range of F16"):
        convert(str(folder), tmp_path / "out.gguf", "F16")
    convert(str(folder), tmp_path / "out.gguf", "BF16")


def test_what_is_made_of_a_private_model_is_private(tmp_path: Path) -> None:
    source = tiny_gguf.write_base(tmp_path / "merged.gguf")
    modes = []
    for mode in (0o600, 0o644):
        source.chmod(mode)
        made = Path(convert(str(source), tmp_path / "small.gguf", "Q8_0").out)
        modes.append(made.stat().st_mode & 0o044 != 0)
    assert modes == [False, True]
