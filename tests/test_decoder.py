"""Our decoder against transformers and PEFT (losses, gradients) and against llama.cpp (logits), on tiny models."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_gguf

from xpert_cli import gguf
from xpert_cli.errors import BadInput, BadModel, XpertError
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.llama import model as llama
from xpert_cli.models.hf_model import write_gguf
from xpert_cli.models.peft import read_peft, write_peft
from xpert_cli.training.packing import Pack, packs

for extra in ("torch", "transformers", "peft", "safetensors"):
    pytest.importorskip(extra)

LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
GEMMA_LINEAR = {
    "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-tied-biased": ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama3": ("llama", {"pre_tokenizer": "llama-bpe", "rope_parameters": tiny.LLAMA3, "head_dim": 32}),
    "llama-linear": ("llama", {"rope_parameters": LINEAR}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "smollm3": ("smollm3", {}),
    "granite": ("granite", {}),
    "olmo2": ("olmo2", {}),
    "phi3": ("phi3", {"original_max_position_embeddings": 512}),
    "gemma3": ("gemma3", {"num_hidden_layers": 6}),
    "gemma3-linear-capped": (
        "gemma3",
        {"num_hidden_layers": 6, "rope_parameters": GEMMA_LINEAR, "final_logit_softcapping": 30.0}
        | {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2},
    ),
}
LENGTHS = ((300, 20), (70, 3), (33, 32), (9, 1), (2, 1))  # tokens, first scored: blocks, windows of 32, and edges
RANK, SCALE = 3, 0.5

# The tiny gemma3, of six layers whose norms multiply by about 2, magnifies rounding, in transformers as here.
GRADIENT = {"gemma3": 5e-4}  # of a factor's largest
COSINE = {"gemma3": 0.85, "smollm3": 0.98}  # of the gradients in bfloat16 and float32
LOGITS = {"gemma3": 0.03}  # of their standard deviation; llama.cpp looks GELU up in a table of float16


@dataclass(frozen=True)
class Case:
    """A tiny model in both of its forms, samples, and an adapter of it in both of its forms."""

    architecture: str
    folder: Path
    path: Path
    samples: list[tuple[list[int], int]]
    adapter: Adapter
    peft: Path

    def decoder(self, kind: str = "float32", *, recompute: bool = False) -> Any:
        """The model with its adapter."""
        import torch

        from xpert_cli.training.decoder import open_decoder

        decoder = open_decoder(self.path, getattr(torch, kind), recompute=recompute)
        decoder.begin(self.adapter, 1, SCALE, 0)
        return decoder

    def oracle(self, adapted: bool) -> Any:
        """transformers' own model, with PEFT's adapter if asked for."""
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
        return PeftModel.from_pretrained(model, self.peft, is_trainable=True) if adapted else model


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    architecture, changes = CASES[request.param]
    root = tmp_path_factory.mktemp(request.param)
    folder = tiny.MAKERS[architecture](root / "model", **{"max_position_embeddings": 512, **changes})
    write_gguf(folder, root / "base.gguf", "F32")
    header = gguf.read_header(root / "base.gguf")
    numbers = random.Random(0)
    size = header.tensors["token_embd.weight"].shape[0]
    samples = [([numbers.randrange(size) for _ in range(length)], first) for length, first in LENGTHS]
    adapter, heads = random_adapter(header), gguf.base_info(header)
    write_peft(adapter, root / "peft", heads=heads.heads, kv_heads=heads.kv_heads, base_name="tiny")
    return Case(architecture, folder, root / "base.gguf", samples, adapter, root / "peft")


def random_adapter(header: gguf.Header) -> Adapter:
    """Random factors for every linear layer of every block."""
    numbers = np.random.default_rng(1)
    factors = {
        name: (
            numbers.normal(0, 0.1, (RANK, info.shape[1])).astype(np.float32),
            numbers.normal(0, 0.1, (info.shape[0], RANK)).astype(np.float32),
        )
        for name, info in header.tensors.items()
        if name.startswith("blk.") and len(info.shape) == 2
    }
    return Adapter(header.metadata["general.architecture"], RANK * SCALE, factors)


def nats(model: Any, sample: tuple[list[int], int]) -> Any:
    """Summed -log p of a sample's scored tokens under a transformers model, alone in its batch."""
    import torch

    tokens, first = sample
    ids = torch.tensor([tokens])
    logs = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
    return -logs[first - 1 : -1].gather(1, ids[0, first:, None]).sum()


def test_losses_are_those_of_transformers(case):
    import torch

    model, decoder = case.oracle(adapted=True), case.decoder()
    with torch.no_grad():
        expected = [float(nats(model, sample)) for sample in case.samples]
        alone = [decoder.loss([[sample]]) for sample in case.samples]
        together = decoder.loss([case.samples])
        with model.disable_adapter():
            of_base = [float(nats(model, sample)) for sample in case.samples]
        with decoder.disabled():
            assert [decoder.loss([[sample]]) for sample in case.samples] == pytest.approx(of_base, rel=1e-5, abs=1e-4)
        assert [decoder.loss([[sample]]) for sample in case.samples] == alone
    assert alone == pytest.approx(expected, rel=1e-5, abs=1e-4)
    assert together == pytest.approx(sum(expected), rel=1e-5)
    assert abs(sum(of_base) - sum(expected)) > 0.1  # the adapter does something


def alike(samples: list[tuple[list[int], int]], shared: int) -> list[tuple[list[int], int]]:
    """Samples that begin with the same tokens, none of which is scored."""
    return [(samples[0][0][:shared] + tokens, first + shared) for tokens, first in samples]


def test_what_all_samples_begin_with_is_worked_out_once(case):
    samples = alike(case.samples, 40)
    pack = Pack.of(samples)
    assert (pack.shared, pack.spans[:2], len(pack.targets)) == (40, ((0, 340), (340, 410)), 357)
    decoder = case.decoder()
    assert decoder.loss([samples]) == pytest.approx(sum(decoder.loss([[sample]]) for sample in samples), rel=1e-5)


@pytest.mark.parametrize(("shared", "recompute"), [(0, False), (0, True), (40, False), (40, True)])
def test_gradients_are_those_of_autograd_and_peft(case, shared, recompute, tmp_path):
    model, decoder = case.oracle(adapted=True), case.decoder(recompute=recompute)
    samples = alike(case.samples, shared)
    sum(nats(model, sample) for sample in samples).backward()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.grad
    model.save_pretrained(tmp_path)
    heads = gguf.base_info(case.path)
    expected = read_peft(tmp_path, heads=heads.heads, kv_heads=heads.kv_heads, architecture=case.architecture)
    assert decoder.learn([samples], over=1) == pytest.approx(decoder.loss([samples]), rel=1e-6)
    decoder.parameters.copy_(decoder.gradient)
    found, tolerance = decoder.adapter(), GRADIENT.get(case.architecture, 2e-5)
    assert found.factors.keys() == expected.factors.keys()
    for name, pair in expected.factors.items():
        for mine, theirs in zip(found.factors[name], pair, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(), err_msg=name)


def test_gradients_are_finite_differences(case):
    """At the steepest entry of each eighth of the factors; one scored token, so that float32 has digits to spare."""
    decoder, sample, step = case.decoder(), case.samples[2], 1e-3
    decoder.learn([[sample]], over=1)
    size = len(decoder.gradient) // 8
    for begin in range(0, 8 * size, size):
        entry = begin + int(decoder.gradient[begin : begin + size].abs().argmax())
        around = []
        for sign in (1, -1):
            decoder.parameters[entry] += sign * step
            decoder.refresh()
            around.append(decoder.loss([[sample]]))
            decoder.parameters[entry] -= sign * step
        slope = (around[0] - around[1]) / (2 * step)
        assert slope == pytest.approx(float(decoder.gradient[entry]), rel=0.01, abs=1e-3), entry


def test_the_room_of_one_pass_serves_the_next(case):
    """Smaller and larger packs in turn give the gradients that each gives to a decoder of its own."""
    turns = [case.samples[:1], case.samples, case.samples[2:3]]
    reused = case.decoder()
    for samples in turns:
        reused.gradient.zero_()
        fresh = case.decoder()
        assert reused.learn([samples], over=3) == fresh.learn([samples], over=3)
        assert reused.gradient.equal(fresh.gradient)


def test_a_room_gives_what_was_reserved_and_then_more():
    import torch

    from xpert_cli.training.operations import ScratchBuffers

    buffers = ScratchBuffers(torch.float32)
    buffers.reserve(10)
    first, second, third = buffers.take(2, 3), buffers.take(1, 4), buffers.take(2, 2)
    for value, part in enumerate((first, second, third)):
        part.fill_(value)
    assert [part.unique().tolist() for part in (first, second, third)] == [[0], [1], [2]]
    assert second.data_ptr() == first.data_ptr() + 6 * 4
    buffers.reserve(6)
    assert buffers.take(3, 2).data_ptr() == first.data_ptr()


def test_packs_are_even_and_hold_what_they_may():
    samples = [([1] * 10 + [own] * length, 10) for own, length in enumerate((100, 90, 50, 40, 300))]
    assert [[len(tokens) for tokens, _ in pack] for pack in packs(samples, 200)] == [[310], [110, 50], [100, 60]]
    assert [len(pack) for pack in packs(samples, 1000)] == [5]
    assert packs([], 100) == []


def test_the_unlikeliest_tokens_are_left_out_of_the_gradient_in_bfloat16():
    """States that point at a few tokens of many; the error of leaving the others out is below that of the type."""
    import torch

    from xpert_cli.training.operations import CrossEntropy, ScratchBuffers

    numbers = torch.Generator().manual_seed(0)
    head, targets = torch.randn(4096, 64, generator=numbers), torch.arange(100)
    states = head[targets] / 4 + torch.randn(100, 64, generator=numbers) / 4
    gradients = {}
    for kind in (torch.float32, torch.bfloat16):
        leaf = states.to(kind, copy=True).requires_grad_()
        CrossEntropy.apply(leaf, head.to(kind), targets, None, ScratchBuffers(kind)).backward()
        gradients[kind] = leaf.grad.float()
    exact, coarse = gradients.values()
    leaf = states.clone().requires_grad_()
    torch.nn.functional.cross_entropy(leaf @ head.t(), targets, reduction="sum").backward()
    assert torch.allclose(exact, leaf.grad, rtol=0, atol=1e-4)
    assert (coarse - exact).norm() < 0.02 * exact.norm()


def test_bfloat16_is_near_float32(case):
    import torch

    exact, coarse = case.decoder(), case.decoder("bfloat16")
    losses = [decoder.learn([case.samples], over=1) for decoder in (exact, coarse)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert torch.cosine_similarity(exact.gradient, coarse.gradient, dim=0) > COSINE.get(case.architecture, 0.995)


# -- in llama.cpp


class Recorder:
    """Stands where the loss is worked out, and keeps the logits instead."""

    logits: Any = None

    @classmethod
    def apply(cls, states: Any, head: Any, targets: Any, cap: float | None, buffers: Any) -> Any:
        cls.logits = (states @ head.t())[: len(targets)].float()
        if cap is not None:
            cls.logits = (cls.logits / cap).tanh() * cap
        return cls.logits.sum()


def logits(decoder: Any, tokens: list[int], monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """(tokens, vocabulary) what the decoder gives for every position."""
    with monkeypatch.context() as patch:
        patch.setattr("xpert_cli.training.decoder.CrossEntropy", Recorder)
        decoder.loss([[([*tokens, 0], 1)]])
    return np.asarray(Recorder.logits)


@pytest.fixture
def wide_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp keeps keys and values in float32."""
    binding = llama.library()
    default = binding.llama_context_default_params

    def params() -> Any:
        found = default()
        found.type_k = found.type_v = binding.GGML_TYPE_F32
        return found

    monkeypatch.setattr(binding, "llama_context_default_params", params)


def test_trained_for_real_the_adapter_gives_llama_cpp_the_same_logits(case, tmp_path, monkeypatch, wide_cache):
    from xpert_cli.training.loop import Recipe, train

    decoder, tokens = case.decoder(), case.samples[0][0]
    recipe = Recipe(steps=20, rank=4, learning_rate=1e-2, batch=5, evaluate_every=20)
    trained = train(decoder, case.samples[1:], case.samples[1:], recipe)
    assert trained.loss_after < 0.8 * trained.loss_before
    gguf.write_adapter(trained.adapter, tmp_path / "adapter.gguf", "F32")
    with llama.Model(case.path, context=512, outputs=512, threads=1) as model:
        of_base = model.logits(tokens)
        model.apply([gguf.WeightedAdapter.open(tmp_path / "adapter.gguf")])
        adapted = model.logits(tokens)
    ours = logits(decoder, tokens, monkeypatch)
    with decoder.disabled():
        ours_of_base = logits(decoder, tokens, monkeypatch)
    near = LOGITS.get(case.architecture, 1e-4) * of_base.std()
    np.testing.assert_allclose(ours_of_base, of_base, rtol=0, atol=near)
    np.testing.assert_allclose(ours, adapted, rtol=0, atol=near)
    assert np.abs(adapted - of_base).max() > of_base.std()


# -- refusals


def refused(header: Path, kind: type[XpertError], start: Adapter | None = None) -> str:
    """The one line that opening a model and beginning there gives."""
    import torch

    from xpert_cli.training.decoder import open_decoder

    with pytest.raises(kind) as caught:
        open_decoder(header, torch.float32).begin(start, 2, 1.0, 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(path: Path, without: str = "", **strings: str) -> Path:
    """The tiny llama with other metadata, or a tensor less; "__" in a key stands for "."."""
    header = gguf.read_header(tiny_gguf.write_base(path))
    planned = {
        name: gguf.Planned(info.shape, "F32", lambda name=name: np.array(gguf.tensor(header, name)))
        for name, info in header.tensors.items()
        if name != without
    }
    told = {key.replace("__", "."): gguf.encode("string", value) for key, value in strings.items()}
    gguf.write_model(path.with_suffix(".changed.gguf"), {**header.metadata.encoded, **told}, planned)
    return path.with_suffix(".changed.gguf")


def test_other_architectures_are_refused(tmp_path):
    names = "llama, qwen2, qwen3, smollm3, granite, olmo2, phi3, gemma3"
    assert refused(changed(tmp_path / "a.gguf", general__architecture="mamba"), BadModel).endswith(
        f"xpert does not train 'mamba' models. Use a base of one of these architectures: {names}; "
        "or train its folder of safetensors with --engine peft."
    )


def test_yarn_is_refused(tmp_path):
    path = changed(tmp_path / "a.gguf", llama__rope__scaling__type="yarn")
    assert "does not train models with yarn rotary embeddings yet. Use another base" in refused(path, BadModel)


@pytest.mark.parametrize(
    "name", ["token_embd", "output_norm", "blk.1.ffn_up", "blk.1.attn_q", "blk.0.attn_norm", "blk.1.ffn_norm"]
)
def test_a_missing_tensor_is_named(tmp_path, name):
    path = changed(tmp_path / "a.gguf", without=f"{name}.weight")
    assert refused(path, BadModel).startswith(f"{path}: there is no tensor {name}.weight.")


def test_a_start_that_changes_what_is_not_trained_is_refused(tmp_path):
    head = Adapter("llama", 2.0, {"output.weight": (np.ones((2, 64), np.float32), np.ones((32, 2), np.float32))})
    assert refused(tiny_gguf.write_base(tmp_path / "a.gguf"), BadInput, head) == (
        "the adapter changes output.weight, which is not trained here. Start from another."
    )
