"""What a context takes in llama.cpp, and what is chosen where that is more than is free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import write_base

from xpert_cli import platform
from xpert_cli.llama.chat import Sampling, run
from xpert_cli.llama.memory import MARGIN, Layout, context_bytes, fitted, room_for_copies
from xpert_cli.llama.model import Model

# Of a token: 2 layers of 32 keys and 32 values in 16 bits. Of a batch's row: 6 * 64 + 3 * 96 numbers in 32 bits.
CACHED, ROW, OUTPUT = 2 * 2 * (32 + 32), 4 * (6 * 64 + 3 * 96), 8 * 32


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("small") / "small.gguf")


def free(monkeypatch: pytest.MonkeyPatch, path: Path, room: int | None) -> None:
    """Let so many bytes be left beside the weights of a model."""
    told = None if room is None else room + MARGIN + path.stat().st_size
    monkeypatch.setattr(platform, "available_memory", lambda: told)


@pytest.mark.parametrize(("free", "room"), [(None, True), (3.1, True), (2.9, False)])
def test_weights_are_copied_only_where_memory_is_no_matter(small, monkeypatch, free, room):
    told = None if free is None else int(free * small.stat().st_size)
    monkeypatch.setattr(platform, "available_memory", lambda: told)
    assert room_for_copies(small) is room


def test_a_context_takes_keys_and_values_rows_and_logits(small):
    assert context_bytes(small, Layout(1000, batch=512, outputs=3)) == 1000 * CACHED + 512 * ROW + 3 * OUTPUT


@pytest.mark.parametrize(
    ("batch", "tokens", "chosen"),
    [
        (512, 2048, Layout(2048, batch=512)),
        (128, 2048, Layout(2048, batch=128)),
        (128, 2047, Layout(1024, batch=128)),
        (128, 1023, Layout(700, batch=128)),
        (0, 0, Layout(700, batch=128)),
    ],
)
def test_the_batch_gets_smaller_first_then_the_context_as_far_as_it_may(small, monkeypatch, batch, tokens, chosen):
    free(monkeypatch, small, tokens * CACHED + batch * ROW + OUTPUT)
    found = fitted(small, Layout(2048), least=700)
    assert (found.context, found.batch) == (chosen.context, chosen.batch)
    assert ("tokens of context in place of 2,048" in found.note) == (chosen.context < 2048)


def test_sequences_with_a_context_each_get_fewer_and_keep_theirs(small, monkeypatch):
    free(monkeypatch, small, 500 * CACHED + 128 * ROW + 4 * OUTPUT)
    found = fitted(small, Layout(1600, sequences=16, outputs=16), least=1600)
    assert (found.sequences, found.context, found.batch) == (4, 400, 128)
    assert found.note.endswith("MB of memory are free: 4 answers at once in place of 16")


def test_nothing_is_chosen_where_the_system_does_not_say_what_is_free(small, monkeypatch):
    free(monkeypatch, small, None)
    assert fitted(small, Layout(2048), least=512) == Layout(2048)


def test_a_model_larger_than_the_free_memory_is_said_to_be_slow(small, monkeypatch):
    monkeypatch.setattr(platform, "available_memory", lambda: 1000)
    assert "are read from storage again and again, which is slow" in fitted(small, Layout(64), least=64).note


@pytest.mark.model
def test_run_takes_the_context_that_fits_and_says_so(base, monkeypatch):
    greedy = Sampling(max_tokens=8, temperature=0.0)
    usual = run("Say hello.", base, [], sampling=greedy)
    free(monkeypatch, base, 40 << 20)
    squeezed = run("Say hello.", base, [], sampling=greedy)
    assert usual.notes == ()
    assert squeezed.text == usual.text
    assert squeezed.notes[0].endswith("MB of memory are free: 1,024 tokens of context in place of 2,048")
    named = run("Say hello.", base, [], sampling=greedy, context=2048)  # who names a context gets it
    assert named.notes == ()


@pytest.mark.model
def test_answers_with_fewer_sequences_are_as_long(base, monkeypatch):
    with Model(base, context=16 * 64, sequences=16) as model:
        asked = [model.chat("Say hello.")] * 3
        usual = model.answers(asked, max_tokens=6, temperature=0.0, seed=0)
    free(monkeypatch, base, 10 << 20)
    with Model(base, context=16 * 64, sequences=16) as model:
        assert (model.sequences, model.context) == (2, 128)
        np.testing.assert_equal(
            [len(one) for one in model.answers(asked, max_tokens=6, temperature=0.0, seed=0)],
            [len(one) for one in usual],
        )
