"""A few layers at a time against the whole model: the same hidden states, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_gguf
from command import MARA

from xpert_cli import gguf, platform
from xpert_cli.corpus import read
from xpert_cli.errors import BadModel
from xpert_cli.llama import layers
from xpert_cli.llama.layers import group_bytes, is_expanded, layer_groups, layered_states, separable
from xpert_cli.llama.memory import Layout
from xpert_cli.llama.model import Model
from xpert_cli.models.quantize import quantize
from xpert_cli.style import described

LAYER = 4 * (64 + 64 + 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 96 * 64)  # bytes of one of the tiny model's, in F32
NORM = 4 * 64  # the output norm, which goes with every group
PROMPTS = [[1, 2, 3, 4, 5], [1, 2, 3, 9], [1, 2, 3, *range(4, 32)], [1, 2, 3, 9], [1, 2, 3, *range(31)] * 17]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model, with three layers in F32."""
    monkeypatch.setattr(tiny_gguf, "LAYERS", 3)
    return tiny_gguf.write_base(tmp_path / "tiny.gguf")


class Exact(Model):
    """A model that keeps keys and values as its layers do."""

    def _params(self, layout: Layout, shared: bool) -> Any:
        params = super()._params(layout, shared)
        params.type_k = params.type_v = self._lib.GGML_TYPE_F32
        return params


def whole(path: Path, prompts: list[list[int]]) -> np.ndarray:
    """What the layers are to give, from llama.cpp with the whole model."""
    with Exact(path, context=4096, sequences=16, shared=True) as model:
        return model.states(prompts)


def usual(path: Path) -> np.ndarray:
    """States from the whole model as it is used."""
    with Model(path, context=4096, sequences=16, shared=True) as model:
        return model.states(PROMPTS)


def assert_near(states: np.ndarray, expected: np.ndarray, within: float = 2e-6) -> None:
    """Each row is off by so much of its length at most."""
    assert states.shape == expected.shape
    assert (np.linalg.norm(states - expected, axis=1) < within * np.linalg.norm(expected, axis=1)).all()


def test_layers_are_grouped_by_the_memory_that_they_take(small: Path) -> None:
    header = gguf.read_header(small)
    assert group_bytes(header, range(0, 1)) == LAYER + NORM
    assert layer_groups(header, 2 * LAYER + NORM) == [range(0, 2), range(2, 3)]
    assert layer_groups(header, 2 * LAYER + NORM - 1) == [range(0, 1), range(1, 2), range(2, 3)]
    with pytest.raises(BadModel, match="layer 0 takes 0 MB, and 0 MB are free"):
        layer_groups(header, LAYER)


@pytest.mark.parametrize("memory", [LAYER + NORM, 2 * LAYER + NORM, 10 * LAYER], ids=["1+1+1", "2+1", "3"])
def test_the_states_are_those_of_the_whole_model(small: Path, memory: int) -> None:
    # Prompts with a common start, two of them equal, one longer than a batch.
    assert len(PROMPTS[-1]) == 578
    np.testing.assert_array_equal(layered_states(small, PROMPTS, memory=memory), whole(small, PROMPTS))


def test_a_prompt_gives_the_same_alone_and_among_others(small: Path) -> None:
    together = layered_states(small, PROMPTS, memory=LAYER + NORM)
    assert_near(together, np.concatenate([layered_states(small, [one], memory=LAYER + NORM) for one in PROMPTS]))
    assert np.abs(together[0] - together[1]).max() > 0.1


@pytest.mark.parametrize("read", [lambda path: layered_states(path, PROMPTS, memory=LAYER + NORM), usual])
def test_the_number_of_threads_changes_nothing(
    small: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], np.ndarray]
) -> None:
    monkeypatch.setattr(platform, "_chosen", 1)
    expected = read(small)
    for threads in (2, 3):
        monkeypatch.setattr(platform, "_chosen", threads)
        np.testing.assert_array_equal(read(small), expected)


def test_more_prompts_than_sequences(small: Path) -> None:
    prompts = [[7, 7, token] for token in range(32)]
    np.testing.assert_array_equal(layered_states(small, prompts, memory=LAYER + NORM), whole(small, prompts))


def test_without_files_in_memory_the_layers_lie_in_the_data_folder_for_a_moment(
    small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = layered_states(small, PROMPTS, memory=LAYER + NORM)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "data"))
    np.testing.assert_array_equal(layered_states(small, PROMPTS, memory=LAYER + NORM), expected)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_model_whose_layers_differ_by_their_number_is_refused(tmp_path: Path) -> None:
    path = tiny_gguf.write_base(tmp_path / "phi.gguf", entries={"general.architecture": gguf.encode("string", "phi2")})
    assert not separable(path)
    with pytest.raises(BadModel, match="a few at a time"):
        layered_states(path, PROMPTS, memory=1 << 30)


def test_a_file_that_llama_cpp_refuses_is_named(tmp_path: Path) -> None:
    path = tiny_gguf.write_base(tmp_path / "odd.gguf", **{"feed_forward_length": 97})
    with pytest.raises(BadModel, match=r"odd\.gguf: llama\.cpp cannot work on layers 0 to 1 alone"):
        layered_states(path, PROMPTS, memory=1 << 30)


def test_a_token_without_an_embedding_is_refused(small: Path) -> None:
    with pytest.raises(BadModel, match=r"tiny\.gguf: not every token has an embedding"):
        layered_states(small, [[1, 31, 32]], memory=1 << 30)


def test_progress_tells_the_layers(small: Path) -> None:
    told: list[tuple[str, float]] = []
    layered_states(small, PROMPTS, memory=2 * LAYER + NORM, progress=lambda *step: told.append(step))
    assert told == [
        ("reading your text", 0.0),
        ("reading your text", 2 / 3),
        ("reading your text", 1.0),
    ]


def test_a_llama_cpp_with_other_names_for_its_tensors_is_noticed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Renamed:
        def ggml_get_name(self, tensor: int) -> bytes:
            return b"layer_out-0"

    monkeypatch.setattr(layers, "_ggml", Renamed)
    with pytest.raises(BadModel, match=r"does not show what a layer leaves"):
        layered_states(small, PROMPTS, memory=LAYER + NORM)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [name for name in tiny.MAKERS if name != "gemma3"])
def test_every_architecture(architecture: str, tmp_path: Path) -> None:
    for extra in ("torch", "transformers"):
        pytest.importorskip(extra)
    from xpert_cli.models.hf_model import write_gguf

    path = tmp_path / "model.gguf"
    write_gguf(tiny.MAKERS[architecture](tmp_path / "folder", num_hidden_layers=5), path)
    header = gguf.read_header(path)
    few = 4 if architecture == "smollm3" else 2  # whose fourth layer does not rotate
    memory = group_bytes(header, range(0, few))
    groups = [range(0, 4), range(4, 5)] if few == 4 else [range(0, 2), range(2, 4), range(4, 5)]
    assert layer_groups(header, memory) == groups
    np.testing.assert_array_equal(layered_states(path, PROMPTS, memory=memory), whole(path, PROMPTS))


@pytest.mark.model
def test_the_packaged_base_gives_the_states_of_its_float32_copy(base: Path, tmp_path: Path) -> None:
    quantize(base, tmp_path / "float32.gguf", "F32")
    header = gguf.read_header(base)
    memory = group_bytes(header, range(0, 3))
    groups = layer_groups(header, memory)
    assert len(groups) == 10
    prompts = [[*range(100, 120), n, *range(200, 200 + 7 * n)] for n in range(1, 5)]
    found = layered_states(base, prompts, memory=memory)
    np.testing.assert_array_equal(found, whole(tmp_path / "float32.gguf", prompts))


@pytest.mark.model
def test_a_model_too_large_to_be_expanded_is_worked_on_as_it_is(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "EXPANDED", 424_000_000)  # the packaged base's layers take 424.7 MB
    header = gguf.read_header(base)
    assert not is_expanded(header)
    assert group_bytes(header, range(0, 30)) < base.stat().st_size
    prompts = [[*range(100, 120), n, *range(200, 200 + 7 * n)] for n in range(1, 5)]
    np.testing.assert_array_equal(layered_states(base, prompts, memory=10_000_000), whole(base, prompts))


def test_layers_are_not_put_together_beyond_what_is_worth_it(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "GROUP", 2 * LAYER + NORM)
    assert layer_groups(gguf.read_header(small), 1 << 30) == [range(0, 2), range(2, 3)]


@pytest.mark.slow
def test_gemma3_goes_by_six_layers_since_every_sixth_sees_all_tokens(tmp_path: Path) -> None:
    for extra in ("torch", "transformers"):
        pytest.importorskip(extra)
    from xpert_cli.models.hf_model import write_gguf

    path = tmp_path / "model.gguf"
    write_gguf(tiny.gemma3(tmp_path / "folder", num_hidden_layers=14), path)
    header = gguf.read_header(path)
    memory = group_bytes(header, range(0, 6))
    assert layer_groups(header, memory) == [range(0, 6), range(6, 12), range(12, 14)]
    assert layer_groups(header, group_bytes(header, range(0, 12))) == [range(0, 12), range(12, 14)]
    with pytest.raises(BadModel, match="layers 0 to 5 take"):
        layer_groups(header, memory - 1)
    np.testing.assert_array_equal(layered_states(path, PROMPTS, memory=memory), whole(path, PROMPTS))


@pytest.mark.model
def test_with_little_free_memory_texts_are_explained_the_same(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["The cat sat on the mat, and there it stays.", "Pursuant to our agreement, payment is due."]
    monkeypatch.setattr(described, "_latest", {})
    usual = described.states(texts, base)
    monkeypatch.setattr(described, "_latest", {})
    monkeypatch.setattr(platform, "available_memory", lambda: described.MARGIN + (60 << 20))
    np.testing.assert_array_equal(described.states(texts, base), usual)


@pytest.mark.model
def test_what_a_text_is_read_with_does_not_matter(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(described, "_latest", {})
    texts = [message.response for message in read([MARA]).messages]
    basis = described.described_axes(base)[1]
    together = described.states(texts, base) @ basis.T
    alone = np.concatenate([described.states([text], base) @ basis.T for text in texts[:3]])
    assert np.abs((alone - together[:3]) / together.std(axis=0)).max() < 1e-4  # it was 0.47 with quantized weights
