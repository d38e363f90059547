"""What must hold between adapters, their files and llama.cpp."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import packaged_base
from tiny_gguf import HEADS, KV_HEADS, VOCABULARY, adapter, write_base

from xpert_cli import gguf
from xpert_cli.gguf.adapter import Adapter, merge
from xpert_cli.llama.model import Model
from xpert_cli.models.merging import merge_into_base
from xpert_cli.models.peft import read_peft, write_peft

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]


def logits(path, adapters=(), tokens=TOKENS):
    with Model(path, context=128) as model:
        model.apply([gguf.WeightedAdapter.open(file, weight) for file, weight in adapters])
        return model.logits(tokens)


@pytest.fixture
def base(tmp_path):
    return write_base(tmp_path / "base.gguf")


def test_scale_zero_equals_the_base(tmp_path, base):
    gguf.write_adapter(adapter(1), tmp_path / "a.gguf")
    plain = logits(base)
    assert plain.shape == (len(TOKENS), VOCABULARY)
    assert np.array_equal(logits(base, [(tmp_path / "a.gguf", 0.0)]), plain)
    assert np.abs(logits(base, [(tmp_path / "a.gguf", 1.0)]) - plain).max() > 0.1


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_an_adapter_at_run_time_is_the_adapter_merged(tmp_path, base, weight):
    change = adapter(1)
    gguf.write_adapter(change, tmp_path / "a.gguf", "F32")
    assert merge_into_base(base, merge([(change, weight)]), tmp_path / "merged.gguf") == "F32"
    beside, inside = logits(base, [(tmp_path / "a.gguf", weight)]), logits(tmp_path / "merged.gguf")
    assert np.abs(beside - inside).max() < 1e-3


def test_several_adapters_at_run_time_are_their_merge(tmp_path, base):
    both = [(adapter(1), 0.7), (adapter(2, rank=3, only=("attn_k", "ffn_down"), coordinates=[0.5], samples=3), 0.6)]
    paths = []
    for number, (change, weight) in enumerate(both):
        gguf.write_adapter(change, tmp_path / f"{number}.gguf", "F32")
        paths.append((tmp_path / f"{number}.gguf", weight))
    gguf.write_adapter(merge(both), tmp_path / "merged.gguf", "F32")
    assert np.abs(logits(base, paths) - logits(base, [(tmp_path / "merged.gguf", 1.0)])).max() < 1e-3


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma3"])
def test_peft_to_gguf_to_peft_is_exact(tmp_path, architecture):
    factors = adapter(1, alpha=6.0).factors
    sizes = {"heads": HEADS, "kv_heads": KV_HEADS}
    write_peft(Adapter(architecture, 6.0, factors), tmp_path / "one", base_name="tiny", **sizes)
    gguf.write_adapter(read_peft(tmp_path / "one", architecture=architecture, **sizes), tmp_path / "a.gguf", "F32")
    found = gguf.read_adapter(tmp_path / "a.gguf")
    assert found.alpha == 6.0
    assert all(
        np.array_equal(ours, theirs) for n in factors for ours, theirs in zip(factors[n], found.factors[n], strict=True)
    )
    write_peft(found, tmp_path / "two", base_name="tiny", **sizes)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def likely(base: gguf.Header, share: float) -> Adapter:
    """A random adapter of every linear layer, each delta with `share` of the norm of the weight it changes."""
    random = np.random.default_rng(0)
    factors = {}
    for name, info in base.tensors.items():
        if len(info.shape) == 2 and name.startswith("blk."):
            a = random.normal(size=(8, info.shape[1])).astype(np.float32)
            b = random.normal(size=(info.shape[0], 8)).astype(np.float32)
            b *= share * np.linalg.norm(gguf.tensor(base, name)) / np.linalg.norm(b @ a)
            factors[name] = a, b
    return Adapter("llama", 8.0, factors)


@pytest.mark.slow
@pytest.mark.model
def test_the_packaged_base_at_f16_with_an_adapter_is_the_merged_model(tmp_path):
    from xpert_cli.models.quantize import quantize

    base, merged, file = (tmp_path / name for name in ("base.gguf", "merged.gguf", "a.gguf"))
    quantize(packaged_base(), base, "F16")
    gguf.write_adapter(likely(gguf.read_header(base), 0.02), file)
    assert merge_into_base(base, gguf.read_adapter(file), merged) == "F16"
    found = []
    for path, adapters in ((base, []), (base, [gguf.WeightedAdapter.open(file)]), (merged, [])):
        with Model(path, context=256) as model:
            model.apply(adapters)
            prompt = model.chat("Why is the sky blue?")
            found.append((model.logits(prompt), list(model.generate_tokens(prompt, max_tokens=32))))
    plain, beside, inside = found
    assert np.abs(beside[0] - plain[0]).max() > 1  # the adapter does something
    assert np.abs(beside[0] - inside[0]).max() < 0.25  # weights and activations are rounded to 11 bits; 0.11 measured
    assert beside[1] == inside[1]
