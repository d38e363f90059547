"""Adapter algebra on numbers to check in the head, PEFT folders, and `xpert merge`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import HEADS, KV_HEADS, adapter, write_base

from xpert_cli import gguf
from xpert_cli.errors import BadInput, BadModel, CacheMismatch
from xpert_cli.gguf.adapter import Adapter, merge, recompress
from xpert_cli.models.merge import merge as merge_files
from xpert_cli.models.peft import read_peft, write_peft

Q, K = "blk.0.attn_q.weight", "blk.0.attn_k.weight"


def array(rows: object) -> np.ndarray:
    return np.array(rows, np.float32)


def rank_one(column: list[float], row: list[float], name: str = Q, alpha: float = 1.0, **metadata: object) -> Adapter:
    """delta = alpha * column x row"""
    factors = {name: (array([row]), array([column]).T)}
    return Adapter("llama", alpha, factors, {f"xpert.{key}": value for key, value in metadata.items()})


def test_delta_is_scale_times_b_a():
    found = Adapter("llama", 6.0, {Q: (array([[1, 2], [0, 1]]), array([[1, 0], [0, 1], [1, 1]]))})
    assert (found.rank, found.scale) == (2, 3.0)
    assert found.delta(Q).tolist() == [[3, 6], [0, 3], [3, 9]]


def test_merging_is_linear_in_its_weights():
    a, b = rank_one([1, 0], [2, 0]), rank_one([0, 1], [0, 3])
    assert merge([(a, 0.5), (b, 2.0)]).delta(Q).tolist() == [[1, 0], [0, 6]]


def test_merging_one_adapter_at_weight_one_is_that_adapter():
    a = rank_one([1], [1], explanation="plain")
    assert merge([(a, 1.0)]) is a
    assert merge([(a, 0.5)]).delta(Q).tolist() == [[0.5]]


def test_merging_folds_scales_and_concatenates_ranks():
    both = merge([(rank_one([1], [1], alpha=4.0), 0.5), (rank_one([1], [10], alpha=2.0), 1.0)])
    assert (both.rank, both.alpha, both.scale) == (2, 2.0, 1.0)
    assert both.factors[Q][0].tolist() == [[1], [10]]
    assert both.factors[Q][1].tolist() == [[2, 2]]


def test_merging_adapters_of_different_tensors_and_ranks():
    two = Adapter("llama", 2.0, {K: (array([[1, 0], [0, 1]]), array([[1, 2], [3, 4]]))})
    both = merge([(rank_one([5], [7]), 1.0), (two, 2.0)])
    assert both.rank == 3
    assert both.delta(Q).tolist() == [[35]]
    assert both.delta(K).tolist() == [[2, 4], [6, 8]]


def test_a_change_that_is_weighed_does_not_tell_of_the_text_that_taught_it():
    taught = rank_one([1, 0], [1, 2], **{"source.mean": 1.0, "base_fingerprint": "f"})
    assert merge([(taught, 1.0)]).metadata == taught.metadata
    for weight in (0.0, 0.5, -1.0):
        assert merge([(taught, weight)]).metadata == {"xpert.base_fingerprint": "f"}
    assert merge([(taught, 0.5), (taught, 0.5)]).metadata == {"xpert.base_fingerprint": "f"}


def test_merging_keeps_the_metadata_that_all_agree_on():
    a = rank_one([1], [1], base_fingerprint="f", explanation="terse", recipe="r")
    b = rank_one([1], [1], explanation="playful", recipe="r")
    assert merge([(b, 0.5), (a, 0.5)]).metadata == {"xpert.recipe": "r", "xpert.base_fingerprint": "f"}


def test_adapters_of_different_bases_are_not_merged():
    a, b = rank_one([1], [1], base_fingerprint="aa"), rank_one([1], [1], base_fingerprint="bb")
    with pytest.raises(CacheMismatch, match="different base models"):
        merge([(a, 1.0), (b, 1.0)])
    with pytest.raises(CacheMismatch, match="different base models"):
        merge([(a, 1.0), (Adapter("qwen2", 1.0, a.factors), 1.0)])
    with pytest.raises(CacheMismatch, match="shape of"):
        merge([(a, 1.0), (rank_one([1, 1], [1]), 1.0)])
    with pytest.raises(BadInput, match="nothing to merge"):
        merge([])
    with pytest.raises(BadInput, match="not a finite number"):
        merge([(a, float("nan"))])


@pytest.mark.parametrize(
    ("alpha", "factors", "reason"),
    [
        (0.0, {Q: (array([[1]]), array([[1]]))}, "alpha is 0.0"),
        (float("inf"), {Q: (array([[1]]), array([[1]]))}, "alpha is inf"),
        (1.0, {}, "changes no tensor"),
        (1.0, {Q: (array([[1]]), array([[1, 1]]))}, "do not fit"),
        (1.0, {Q: (array([[1]]), array([[1]])), K: (array([[1], [1]]), array([[1, 1]]))}, "has ranks 1, 2"),
    ],
)
def test_adapters_that_make_no_sense_are_refused(alpha, factors, reason):
    with pytest.raises(BadModel, match=reason):
        Adapter("llama", alpha, factors)


def test_recompression_keeps_the_largest_directions():
    diagonal = Adapter("llama", 2.0, {Q: (array([[4, 0], [0, 3]]), array([[1, 0], [0, 1]]))})
    small, error = recompress(diagonal, 1)
    assert np.allclose(small.delta(Q), [[4, 0], [0, 0]], atol=1e-6)
    assert (small.rank, small.scale) == (1, 1.0)
    assert error == pytest.approx(3 / 5)  # lost 3 of a norm of 5


def test_recompression_balances_the_factors():
    small, _ = recompress(merge([(rank_one([1, 0], [0, 8]), 1.0), (rank_one([1, 0], [0, 1]), 1.0)]), 1)
    assert [float(np.linalg.norm(factor)) for factor in small.factors[Q]] == pytest.approx([3, 3])


def test_recompression_equals_the_svd_of_the_product():
    both = merge([(adapter(1), 0.5), (adapter(2, rank=6, only=("attn_q", "ffn_up")), 1.5)])
    small, error = recompress(both, 3)
    lost = total = 0.0
    for name in both.factors:
        u, s, v = np.linalg.svd(both.delta(name).astype(np.float64), full_matrices=False)
        assert np.allclose(small.delta(name), u[:, :3] * s[:3] @ v[:3], atol=1e-5)
        lost, total = lost + np.sum(s[3:] ** 2), total + np.sum(s**2)
    assert error == pytest.approx((lost / total) ** 0.5, rel=1e-5)


def test_recompression_to_a_rank_that_is_there_changes_nothing():
    a = adapter(rank=4)
    assert recompress(a, 4) == (a, 0.0)
    same, error = recompress(merge([(a, 1.0), (a, 1.0)]), 4)  # the double of rank 4 has rank 4
    assert np.allclose(same.delta(Q), 2 * a.delta(Q), atol=1e-6)
    assert error < 1e-6


BASE = {"heads": HEADS, "kv_heads": KV_HEADS}


def folder(tmp_path: Path, tensors: dict[str, np.ndarray], **config: object) -> Path:
    save_file = pytest.importorskip("safetensors.numpy").save_file

    save_file(tensors, tmp_path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none"} | config
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    return tmp_path


def lora(rank: int = 2, layer: int = 0, name: str = "mlp.up_proj") -> dict[str, np.ndarray]:
    prefix = f"base_model.model.model.layers.{layer}.{name}"
    return {
        f"{prefix}.lora_A.weight": np.ones((rank, 3), np.float32),
        f"{prefix}.lora_B.weight": np.ones((5, rank), np.float32),
    }


def test_a_peft_folder_is_read(tmp_path):
    found = read_peft(folder(tmp_path, lora()), architecture="llama", **BASE)
    assert list(found.factors) == ["blk.0.ffn_up.weight"]
    assert (found.rank, found.alpha) == (2, 4.0)
    assert found.delta("blk.0.ffn_up.weight").tolist() == [[4.0] * 3] * 5  # alpha / rank * (1 * 1 + 1 * 1)


def test_rows_of_q_and_k_are_interleaved_for_llama_only(tmp_path):
    rows = {f"base_model.model.model.layers.0.self_attn.q_proj.lora_{half}.weight": data for half, data in (
        ("A", array([[1]])), ("B", array([[0], [1], [2], [3], [4], [5], [6], [7]])))}  # fmt: skip
    source = folder(tmp_path, rows)
    orders = {
        name: read_peft(source, heads=2, kv_heads=1, architecture=name).factors[Q][1].ravel().tolist()
        for name in ("llama", "qwen2")
    }
    assert orders == {"llama": [0, 2, 1, 3, 4, 6, 5, 7], "qwen2": [0, 1, 2, 3, 4, 5, 6, 7]}


def test_rslora_divides_alpha_by_the_root_of_the_rank(tmp_path):
    found = read_peft(folder(tmp_path, lora(rank=4), r=4, lora_alpha=6, use_rslora=True), architecture="llama", **BASE)
    assert found.scale == 3.0


def test_ranks_and_alphas_by_pattern_are_folded_in(tmp_path):
    source = folder(
        tmp_path,
        lora(rank=2) | lora(rank=1, layer=1),
        rank_pattern={"layers.1.mlp.up_proj": 1},
        alpha_pattern={"1.mlp.up_proj": 7},
    )
    found = read_peft(source, architecture="llama", **BASE)
    assert found.rank == 2
    assert found.delta("blk.0.ffn_up.weight")[0, 0] == 4.0  # 4 / 2 * 2
    assert found.delta("blk.1.ffn_up.weight")[0, 0] == 7.0  # 7 / 1 * 1


def test_half_precision_is_widened_exactly(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    source = folder(tmp_path, lora())
    for kind in (torch.bfloat16, torch.float16):
        tensors = {name: torch.full(data.shape, 0.1).to(kind) for name, data in lora().items()}
        save_file(tensors, source / "adapter_model.safetensors")
        found = read_peft(source, architecture="llama", **BASE).factors["blk.0.ffn_up.weight"]
        assert found[0][0, 0] == float(torch.tensor(0.1, dtype=kind))


@pytest.mark.parametrize(
    "config",
    [
        {"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}, {"fan_in_fan_out": True},
        {"init_lora_weights": "pissa_niter_4"}, {"layer_replication": [[0, 1]]}, {"lora_bias": True},
    ],
)  # fmt: skip
def test_what_a_gguf_adapter_cannot_express_is_refused(tmp_path, config):
    with pytest.raises(BadModel, match=next(iter(config))):
        read_peft(folder(tmp_path, lora(), **config), architecture="llama", **BASE)


@pytest.mark.parametrize(
    ("tensors", "config", "reason"),
    [
        ({"base_model.model.model.embed_tokens.lora_embedding_A": np.ones((2, 2), np.float32)}, {}, "embed_tokens"),
        ({"base_model.model.lm_head.weight": np.ones((2, 2), np.float32)} | lora(), {}, "lm_head"),
        (lora(name="mlp.experts"), {}, "mlp.experts cannot be adapted"),
        (dict(list(lora().items())[:1]), {}, "no pair"),
        ({}, {}, "nothing is no pair"),
        (lora(), {"peft_type": "LOHA"}, "no LoRA adapter"),
        (lora(), {"lora_alpha": "many"}, "makes no sense"),
        (lora(), {"alpha_pattern": {"(": 1}}, "makes no sense"),
    ],
)
def test_folders_that_are_no_lora_are_refused(tmp_path, tensors, config, reason):
    with pytest.raises(BadModel, match=reason):
        read_peft(folder(tmp_path, tensors, **config), architecture="llama", **BASE)


@pytest.mark.parametrize(
    "damage", [b"", b"\xff" * 8, b"\xff" * 64, b"\x02" + bytes(7) + b"{}", b"\x02" + bytes(7) + b"[]"]
)
def test_damaged_safetensors_are_refused(tmp_path, damage):
    source = folder(tmp_path, lora())
    (source / "adapter_model.safetensors").write_bytes(damage)
    with pytest.raises(BadModel):
        read_peft(source, architecture="llama", **BASE)


def test_missing_peft_files_are_refused(tmp_path):
    with pytest.raises(BadModel, match=r"adapter_config\.json"):
        read_peft(tmp_path, architecture="llama", **BASE)
    folder(tmp_path, lora())
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(BadModel, match=r"adapter_model\.safetensors"):
        read_peft(tmp_path, architecture="llama", **BASE)
    with pytest.raises(BadModel, match="mamba adapters are not supported"):
        read_peft(tmp_path, architecture="mamba", **BASE)


@pytest.fixture
def base(tmp_path):
    return write_base(tmp_path / "base.gguf")


def test_merging_files_into_an_adapter(tmp_path):
    for seed, alpha in ((1, 4.0), (2, 8.0)):
        gguf.write_adapter(adapter(seed, alpha=alpha), tmp_path / f"{seed}.gguf", "F32")
    sources = [(tmp_path / "1.gguf", 0.5), (tmp_path / "2.gguf", 1.0)]
    done = merge_files(sources, None, tmp_path / "both.gguf", type_name="F32")
    assert (done.kind, done.rank, done.error, done.type) == ("adapter", 8, None, "F32")
    assert done.bytes == (tmp_path / "both.gguf").stat().st_size
    wanted = 0.5 * adapter(1, alpha=4.0).delta(Q) + adapter(2).delta(Q)
    assert np.allclose(gguf.read_adapter(tmp_path / "both.gguf").delta(Q), wanted, atol=1e-6)
    small = merge_files(sources, None, tmp_path / "small.gguf", rank=2)
    assert (small.rank, small.type) == (2, "F16")
    assert 0.1 < small.error < 0.9


def test_merging_through_a_peft_folder(tmp_path, base):
    gguf.write_adapter(adapter(1), tmp_path / "1.gguf", "F32")
    done = merge_files([(tmp_path / "1.gguf", 1.0)], base, tmp_path / "peft")
    assert (done.kind, done.type) == ("adapter", "F32")
    merged = merge_files([(tmp_path / "peft", 1.0)], base, tmp_path / "model.gguf")
    assert (merged.kind, merged.type) == ("model", "F32")
    wanted = gguf.tensor(base, Q) + adapter(1).delta(Q)
    assert np.array_equal(gguf.tensor(tmp_path / "model.gguf", Q), wanted)
    with pytest.raises(BadInput, match="--base"):
        merge_files([(tmp_path / "peft", 1.0)], None, tmp_path / "again.gguf")
    with pytest.raises(BadInput, match="F32, not Q8_0"):
        merge_files([(tmp_path / "1.gguf", 1.0)], base, tmp_path / "peft", type_name="Q8_0")
    with pytest.raises(BadInput, match="F16, F32 or Q8_0, not Q4_0"):
        merge_files([(tmp_path / "1.gguf", 1.0)], None, tmp_path / "no.gguf", type_name="Q4_0")


@pytest.mark.parametrize(("kind", "stored"), [("F32", "F32"), ("F16", "F16"), ("BF16", "BF16"), ("Q8_0", "Q8_0")])
def test_merging_into_a_base_of_each_type(tmp_path, base, kind, stored):
    change = adapter(1, only=("attn_q",))
    gguf.write_adapter(change, tmp_path / "a.gguf", "F32")
    done = merge_files([(tmp_path / "a.gguf", 1.0)], base, tmp_path / "m.gguf", type_name=kind)
    before, after = gguf.read_header(base), gguf.read_header(tmp_path / "m.gguf")
    assert (done.kind, done.type, after.tensors[Q].type) == ("model", kind, stored)
    assert gguf.base_info(after).fingerprint == gguf.base_info(before).fingerprint
    step = {"F32": 0.0, "F16": 2.0**-11, "BF16": 2.0**-8, "Q8_0": 1 / 127}[kind]
    for name in before.tensors:
        wanted = gguf.tensor(before, name) + (change.delta(name) if name in change.factors else 0)
        off = np.abs(gguf.tensor(after, name) - wanted)
        assert off.max() <= step * np.abs(wanted).max(), name
        if "norm" in name:
            assert off.max() == 0
    own = {"general.file_type", "general.quantization_version"}
    old, new = before.metadata.encoded, after.metadata.encoded
    assert {key: old[key] for key in old if key not in own} == {key: new[key] for key in new if key not in own}


def test_a_quantized_base_keeps_its_type_and_its_untouched_tensors(tmp_path, base):
    from xpert_cli.models.quantize import quantize

    quantize(base, tmp_path / "q8.gguf", "Q8_0")
    gguf.write_adapter(adapter(1, only=("attn_q",)), tmp_path / "a.gguf", "F32")
    done = merge_files([(tmp_path / "a.gguf", 1.0)], tmp_path / "q8.gguf", tmp_path / "m.gguf")
    assert done.type == "Q8_0"
    before, after = gguf.read_header(tmp_path / "q8.gguf"), gguf.read_header(tmp_path / "m.gguf")
    changed = [name for name in before.tensors if not np.array_equal(gguf.raw(before, name), gguf.raw(after, name))]
    assert sorted(changed) == [Q, "blk.1.attn_q.weight"]
    assert after.metadata["general.file_type"] == before.metadata["general.file_type"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "base.gguf", "m.gguf", "q8.gguf"]


def test_q8_0_is_written_as_llama_cpp_quantizes_what_is_merged(tmp_path, base):
    from xpert_cli.models.quantize import quantize

    gguf.write_adapter(adapter(1), tmp_path / "a.gguf", "F32")
    merge_files([(tmp_path / "a.gguf", 1.0)], base, tmp_path / "m.gguf", type_name="F32")
    quantize(tmp_path / "m.gguf", tmp_path / "theirs.gguf", "Q8_0")
    merge_files([(tmp_path / "a.gguf", 1.0)], base, tmp_path / "ours.gguf", type_name="Q8_0")
    theirs, ours = gguf.read_header(tmp_path / "theirs.gguf"), gguf.read_header(tmp_path / "ours.gguf")
    assert {name: info.type for name, info in theirs.tensors.items()} == {
        name: info.type for name, info in ours.tensors.items()
    }
    assert all(np.array_equal(gguf.raw(theirs, name), gguf.raw(ours, name)) for name in theirs.tensors)
    for key in ("general.file_type", "general.quantization_version"):
        assert theirs.metadata.encoded[key] == ours.metadata.encoded[key]


def test_merging_in_blocks_of_rows_changes_no_number(tmp_path, base, monkeypatch):
    from xpert_cli.models import merging

    gguf.write_adapter(adapter(1), tmp_path / "a.gguf", "F32")
    for size, name in ((merging._AT_ONCE, "whole"), (100, "rows")):
        monkeypatch.setattr(merging, "_AT_ONCE", size)
        merge_files([(tmp_path / "a.gguf", 1.0)], base, tmp_path / f"{name}.gguf", type_name="Q8_0")
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "rows.gguf").read_bytes()


@pytest.mark.parametrize(("kind", "merged"), [("Q4_0", "Q8_0"), ("F16", "F16"), ("BF16", "BF16")])
def test_a_merged_model_is_as_fine_as_its_base_or_finer(tmp_path, base, kind, merged):
    from xpert_cli.models.quantize import quantize

    quantize(base, tmp_path / "other.gguf", kind)
    gguf.write_adapter(adapter(1), tmp_path / "a.gguf", "F32")
    assert merge_files([(tmp_path / "a.gguf", 1.0)], tmp_path / "other.gguf", tmp_path / "m.gguf").type == merged


def test_weights_too_large_for_f16_are_not_quantized_to_nonsense(tmp_path, base):
    gguf.write_adapter(adapter(1, alpha=1e9), tmp_path / "a.gguf")
    with pytest.raises(BadModel, match="too large for F16"):
        merge_files([(tmp_path / "a.gguf", 1.0)], base, tmp_path / "m.gguf", type_name="Q8_0")
    assert not list(tmp_path.glob("*m.gguf*"))


def test_merging_into_another_base_is_refused(tmp_path, base):
    gguf.write_adapter(adapter(1, base_fingerprint="another"), tmp_path / "a.gguf")
    with pytest.raises(CacheMismatch, match="another"):
        merge_files([(tmp_path / "a.gguf", 1.0)], base, tmp_path / "m.gguf")
    gguf.write_adapter(adapter(1), tmp_path / "a.gguf")
    with pytest.raises(BadInput, match="Q9_9"):
        merge_files([(tmp_path / "a.gguf", 1.0)], base, tmp_path / "m.gguf", type_name="Q9_9")
    assert not (tmp_path / "m.gguf").exists()


def test_peft_itself_loads_what_we_write(tmp_path):
    torch = pytest.importorskip("torch")
    PeftModel = pytest.importorskip("peft").PeftModel
    from transformers import LlamaConfig, LlamaForCausalLM

    written = adapter(1, only=("attn_q", "ffn_down"))
    write_peft(written, tmp_path, base_name="tiny", **BASE)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
    )
    model = LlamaForCausalLM(config)
    before = model.model.layers[1].mlp.down_proj.weight.detach().clone()
    merged = PeftModel.from_pretrained(model, tmp_path).merge_and_unload()
    change = (merged.model.layers[1].mlp.down_proj.weight - before).detach()
    assert torch.allclose(change, torch.from_numpy(written.delta("blk.1.ffn_down.weight")), atol=1e-6)
