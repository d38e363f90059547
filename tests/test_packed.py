"""Weights that stay quantized while they are trained on: the same numbers, less memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import write_base

from xpert_cli import gguf
from xpert_cli.errors import BadInput
from xpert_cli.gguf.dequantize import dequantizer

pytest.importorskip("torch")
pytestmark = pytest.mark.model
NAMES = ["blk.3.attn_q.weight", "blk.3.attn_k.weight", "blk.3.attn_v.weight"]
SAMPLES = [([*range(100, 160)], 20), ([*range(300, 330)], 5)]


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_expanded_is_what_the_file_says(base: Path, kind: str, threads: int) -> None:
    import torch

    from xpert_cli.training.packed import Packed

    before = torch.get_num_threads()
    out = torch.zeros(576 + 192 + 192, 576 + 8, dtype=getattr(torch, kind))
    torch.set_num_threads(threads)
    try:
        with base.open("rb") as file:
            Packed.of(gguf.read_header(base), file, NAMES).expand(out[:, :576])
    finally:
        torch.set_num_threads(before)
    expected = np.concatenate([gguf.tensor(base, name) for name in NAMES])
    assert torch.equal(out[:, :576], torch.tensor(expected).to(out.dtype))
    assert not out[:, 576:].any()


def test_numbers_that_are_no_blocks_are_not_packed(tmp_path: Path) -> None:
    from xpert_cli.training.packed import Packed

    assert dequantizer("F32") is None
    path = write_base(tmp_path / "tiny.gguf")
    with path.open("rb") as file:
        assert Packed.of(gguf.read_header(path), file, ["blk.0.attn_q.weight"]) is None


def test_a_file_that_was_cut_is_noticed(base: Path, tmp_path: Path) -> None:
    import torch

    from xpert_cli.training.packed import Packed

    header = gguf.read_header(base)
    cut = tmp_path / "cut.gguf"
    with base.open("rb") as whole:
        cut.write_bytes(whole.read(header.tensors[NAMES[0]].offset + 100))
    with cut.open("rb") as file, pytest.raises(OSError, match="was cut while it was read"):
        Packed.of(header, file, NAMES[:1]).expand(torch.zeros(576, 576))


@pytest.mark.parametrize("recompute", [0, 2])
def test_training_is_the_same_bit_for_bit(base: Path, recompute: int) -> None:
    import torch

    from xpert_cli.training.decoder import open_decoder

    found = []
    for packed in (False, True):
        decoder = open_decoder(base, "bfloat16", recompute=recompute, packed=packed)
        decoder.begin(None, 4, 2.0, seed=0)
        for _ in range(2):
            decoder.gradient.zero_()
            loss = decoder.learn([SAMPLES], over=1)
            decoder.parameters -= 0.01 * decoder.gradient
            decoder.refresh()
        found.append((loss, decoder.gradient.clone(), decoder.loss([SAMPLES])))
    (loss, gradient, after), other = found
    assert (loss, after) == (other[0], other[2])
    assert torch.equal(gradient, other[1])
    assert gradient.abs().max() > 0


LEAN = """
import sys
from pathlib import Path
from xpert_cli.training.decoder import open_decoder
decoder = open_decoder(Path(sys.argv[1]), "float32", recompute=1, packed=True)
decoder.begin(None, 2, 2.0, 0)
decoder.learn([[([5, 6, 7, 8], 1)]], over=1)
assert decoder.gradient.abs().max() > 0
print({"torch._dynamo", "sympy"} & set(sys.modules))
"""


@pytest.mark.parametrize(
    ("recompute", "together", "expansions"), [(0, 0, 2 * 237 - 1), (30, 0, 2 * 238 - 2), (30, 1024, 238)]
)
def test_each_half_of_a_layer_is_expanded_once_forward_and_once_back(
    base: Path, monkeypatch: pytest.MonkeyPatch, recompute: int, together: int, expansions: int
) -> None:
    from xpert_cli.training.decoder import open_decoder
    from xpert_cli.training.packed import Packed

    expand, calls = Packed.expand, list[int]()
    monkeypatch.setattr(Packed, "expand", lambda *arguments: (calls.append(1), expand(*arguments))[1])
    decoder = open_decoder(base, "bfloat16", recompute=recompute, packed=True, together=together)
    decoder.begin(None, 4, 2.0, seed=0)
    for parts in decoder.groups([SAMPLES, SAMPLES[:1]], learning=True):
        decoder.learn(parts, over=1)
    assert len(calls) == expansions  # of 30 layers with 4 products, two ways; a few are still there


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("packed_head", [False, True])
def test_parts_that_go_through_a_layer_together_learn_what_they_learn_apart(
    base: Path, kind: str, packed_head: bool
) -> None:
    import torch

    from xpert_cli.training.decoder import open_decoder

    parts = [SAMPLES, [([*range(700, 950)], 3)], SAMPLES[1:]]  # 386 tokens, and 338 of them scored
    found = []
    for together in (0, 1024):
        layout = {"recompute": 30, "packed": True, "packed_head": packed_head, "together": together}
        decoder = open_decoder(base, kind, **layout)
        decoder.begin(None, 4, 2.0, seed=0)
        decoder.parameters.add_(torch.linspace(-0.01, 0.01, len(decoder.parameters)))
        decoder.refresh()
        groups = decoder.groups(parts, learning=True)
        assert [len(group) for group in groups] == ([3] if together else [1, 1, 1])
        learnt = sum(decoder.learn(group, over=1) for group in groups)
        found.append((learnt, decoder.loss(parts), decoder.gradient.clone()))
    (apart, of_apart, gradient), (joined, of_joined, other) = found
    assert [joined, of_joined, of_apart] == pytest.approx([apart] * 3, rel=1e-6 if kind == "float32" else 1e-3)
    assert torch.cosine_similarity(gradient, other, dim=0) > (0.999999 if kind == "float32" else 0.9999)
    assert float(other.norm()) == pytest.approx(float(gradient.norm()), rel=1e-5 if kind == "float32" else 1e-3)


def test_the_leanest_layout_does_not_import_torchs_compiler(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEAN, str(write_base(tmp_path / "tiny.gguf"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr


def test_a_plan_keeps_weights_packed_before_it_works_anything_out_twice(base: Path) -> None:
    from xpert_cli.training.plan import Work, plan_for

    def plan(limit: int | None):
        return plan_for(gguf.read_header(base), Work(longest=256, batch=4, rank=8), limit)

    roomy = plan(1 << 40)
    assert (roomy.pack, roomy.packed, roomy.recompute) == (512, False, 0)
    chosen, limit = [], roomy.memory
    while limit > 0:
        try:
            found = plan(limit - 1)
        except BadInput as error:
            assert "more than --memory allows" in str(error)  # noqa: PT017
            break
        chosen.append((found.pack, found.packed, found.packed_head, found.recompute, found.together))
        limit = found.memory
    assert chosen == [
        *[(256, False, False, 0, 0), (512, True, False, 0, 0), (512, True, True, 0, 0)],
        *[(512, True, True, 30, 1024), (256, True, True, 30, 1024), (256, True, True, 30, 0)],
    ]


@pytest.mark.parametrize(("kind", "cosine"), [("float32", 0.999999), ("bfloat16", 0.998)])
def test_a_packed_head_gives_the_loss_and_the_gradient_of_one_in_memory(base: Path, kind: str, cosine: float) -> None:
    import torch

    from xpert_cli.training.decoder import open_decoder

    losses, gradients = [], []
    for packed_head in (False, True):
        decoder = open_decoder(base, kind, packed=True, packed_head=packed_head)
        decoder.begin(None, 4, 2.0, seed=0)
        decoder.learn([SAMPLES], over=1)
        decoder.parameters -= 0.01 * decoder.gradient
        decoder.refresh()
        decoder.gradient.zero_()
        losses.append((decoder.learn([SAMPLES], over=1), decoder.loss([SAMPLES])))
        gradients.append(decoder.gradient.clone())
    assert losses[1] == pytest.approx(losses[0], rel=5e-3 if kind == "bfloat16" else 1e-6)
    assert torch.cosine_similarity(*gradients, dim=0) > cosine


def test_the_blocked_loss_is_that_of_the_whole_vocabulary_with_a_cap_too(base: Path) -> None:
    import torch

    from xpert_cli.training.operations import CrossEntropy, ScratchBuffers
    from xpert_cli.training.packed_head import BLOCK, BlockedCrossEntropy, PackedMatrix

    header = gguf.read_header(base)
    whole = torch.tensor(gguf.tensor(header, "token_embd.weight"))
    targets = torch.tensor([0, BLOCK - 1, BLOCK, 3 * BLOCK + 5, len(whole) - 1])
    draws = torch.randn(8, whole.shape[1], generator=torch.Generator().manual_seed(0))
    with base.open("rb", buffering=0) as file:
        packed = PackedMatrix.of(header, file, "token_embd.weight")
        assert packed is not None
        assert len(packed) == len(whole)
        assert torch.equal(packed.rows(np.array([7, 49151, 7]), torch.float32), whole[[7, 49151, 7]])
        for cap in (None, 5.0):
            results = []
            for function, head in ((CrossEntropy, whole), (BlockedCrossEntropy, packed)):
                leaf = draws.clone().requires_grad_()
                loss = function.apply(leaf, head, targets, cap, ScratchBuffers(torch.float32))
                loss.backward()
                results.append((float(loss.detach()), leaf.grad))
            assert results[1][0] == pytest.approx(results[0][0], rel=1e-6)
            assert torch.allclose(results[1][1], results[0][1], rtol=1e-4, atol=1e-5)
            assert not results[1][1][5:].any()


def test_a_gradient_is_made_of_the_tokens_that_are_likely_and_of_the_targets():
    import torch

    from xpert_cli.training.likely_tokens import likely_tokens

    def of(likely: dict[int, float], targets: list[int], dtype: torch.dtype) -> tuple[list[int] | None, list[int], int]:
        likeliest = torch.zeros(16)
        for token, probability in likely.items():
            likeliest[token] = probability
        columns, places, real = likely_tokens(likeliest, torch.tensor(targets, dtype=torch.int64), dtype)
        return None if columns is None else columns.tolist(), places.tolist(), real

    least = 2.0**-16  # of bfloat16, whose precision is 2 ** -7: half of it, squared
    assert of({3: 0.5, 7: 2 * least, 9: least}, [12, 3], torch.bfloat16) == ([3, 7, 12, 0], [2, 0], 3)
    assert of({3: 0.5, 7: 2 * least, 9: least}, [12, 3], torch.float32) == ([3, 7, 9, 12], [3, 0], 4)
    assert of(dict.fromkeys(range(8), 0.1), [8], torch.bfloat16) == (None, [8], 16)
    assert of({}, [], torch.bfloat16)[1:] == ([], 0)
