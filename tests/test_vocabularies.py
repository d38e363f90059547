"""Vocabularies against their kind: what llama.cpp would die of on some text is refused before it sees the file."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits on a process are set here the POSIX way")

import fuzz_vocabularies
import gguf_vocabularies
from gguf_drafts import key
from gguf_vocabularies import KINDS, Made, sound, written
from tiny import packaged_base

from xpert_cli import gguf
from xpert_cli.errors import BadModel
from xpert_cli.gguf.vocabulary import check_vocabulary
from xpert_cli.llama import trial_load
from xpert_cli.llama.vocabulary import LONGEST, Vocabulary, _parts

packaged = pytest.fixture(name="packaged")(packaged_base)
MAP = "tokenizer.ggml.precompiled_charsmap"


def base(folder: Path, kind: str, change: Callable[[Made], object] = lambda made: None) -> Path:
    made = sound(kind, random.Random(1))
    change(made)
    path = folder / "base.gguf"
    path.write_bytes(written(made).content())
    return path


def without(made: Made, token: bytes) -> None:
    at = made.tokens.index(token)
    made.tokens[at] = b"another"
    of_type(made, at, 1)


def of_type(made: Made, at: int, number: int) -> None:
    assert made.types is not None
    made.types[at] = number


def chart(made: Made, nodes: list[int], texts: bytes) -> None:
    data = struct.pack("<I", 4 * len(nodes)) + struct.pack(f"<{len(nodes)}I", *nodes) + texts
    made.more = [key(MAP, 9, struct.pack("<IQ", 0, len(data)) + data)]


def leaf(value: int) -> list[int]:
    """512 nodes of which the one for A names the replacement at `value`."""
    nodes = [256 << 10, *[0] * 511]
    nodes[256 ^ 65], nodes[400] = ((256 ^ 65 ^ 400) << 10) | 1 << 8 | 65, 1 << 31 | value
    return nodes


REFUSED: dict[str, tuple[str, Callable[[Made], object]]] = {
    "no token stands for the byte 0x80, so some texts": ("llama", lambda made: without(made, b"<0x80>")),
    "no token stands for the byte 0xFF, so some texts": ("rwkv", lambda made: without(made, rb"\xff")),
    "no token stands for what the vocabulary cannot read": (
        "bert", lambda made: made.tokens.__delitem__(slice(99, 300)),
    ),
    "a token is of type -1, which does not exist": ("gpt2", lambda made: of_type(made, 7, -1)),
    "token 300 stands for a byte and does not say for which": ("llama", lambda made: of_type(made, 300, 6)),
    "a token's score is no finite number": ("t5", lambda made: made.scores.__setitem__(5, float("nan"))),
    "a token's score is over 100,000": ("plamo2", lambda made: made.scores.__setitem__(5, -1e6)),
    "a token is 1025 bytes long, over 1024": ("gpt2", lambda made: made.tokens.__setitem__(9, b"x" * 1025)),
    "the model names a token twice": ("gemma4", lambda made: made.tokens.__setitem__(9, made.tokens[8])),
    "a vocabulary of kind test reads no text": ("llama", lambda made: setattr(made, "kind", "test")),
    "a vocabulary of kind gpt2 reads no text": ("gpt2", lambda made: setattr(made, "pre", "whitespace")),
    "the vocabulary has no tokens": ("t5", lambda made: made.tokens.clear()),
    "its gpt2 vocabulary are so long that it would take": (
        "gpt2", lambda made: made.tokens.__setitem__(slice(None), [b"%01000d" % at for at in range(200)]),
    ),
    "the chart of replacements points past its end": ("t5", lambda made: chart(made, leaf(2), b"a\0")),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_llama_cpp_would_die_of_is_refused_in_one_line(tmp_path, reason):
    kind, change = REFUSED[reason]
    with pytest.raises(BadModel) as caught:
        check_vocabulary(gguf.read_header(base(tmp_path, kind, change)))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


CHARTS = {
    "the replacement does not end": (leaf(0), b"a", True),
    "a child is past the end": (leaf(0)[:300], b"a\0", True),
    "the root is past the end": ([1 << 20 << 10, *[0] * 511], b"a\0", True),
    "sound": (leaf(0), b"a\0", False),
    "sound, and empty": ([], b"\0", False),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_of_replacements_stays_inside_itself(tmp_path, name):
    nodes, texts, refused = CHARTS[name]
    header = gguf.read_header(base(tmp_path, "t5", lambda made: chart(made, nodes, texts)))
    with pytest.raises(BadModel, match="points past its end") if refused else nullcontext():
        check_vocabulary(header)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("bert", "rwkv")])
def test_a_sound_vocabulary_of_every_kind_stands_the_trial(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    trial_load.try_base(base(tmp_path, kind))


def test_a_base_whose_answers_cannot_end_is_refused_by_its_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    with pytest.raises(BadModel, match="no token that ends an answer"):
        trial_load.try_base(base(tmp_path, "bert"))


def test_a_base_that_leaves_nothing_of_a_message_is_refused_by_its_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    empty = base(tmp_path, "gpt2", lambda made: setattr(made, "template", ""))
    with pytest.raises(BadModel, match="leave nothing of a message"):
        trial_load.try_base(empty)


def test_a_slice_of_the_fuzzing_has_no_findings():
    command = [sys.executable, fuzz_vocabularies.__file__, "--inputs", "12", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert (found["inputs"], found["findings"]) == (12, [])
    assert found["used"] > 0
    assert found["refused"] > 0


def test_inputs_are_the_same_for_a_seed():
    one, two = (gguf_vocabularies.base_file(random.Random("3 4")) for _ in range(2))
    assert one == two


# -- long texts


@pytest.mark.parametrize("text", ["", "a" * (3 * LONGEST), "word " * 5000, "x\ny " * 5000])
def test_a_long_text_is_read_in_parts_that_make_it_up(text):
    parts = list(_parts(text))
    assert "".join(parts) == text
    assert all(len(part) <= LONGEST for part in parts)


@pytest.mark.model
def test_parts_do_not_change_the_tokens_of_words(packaged, monkeypatch):
    text = "It is what I wanted to say, and then some more: 1,234 words. " * 40
    with Vocabulary(packaged) as vocabulary:
        whole = vocabulary.tokenize(text)
        monkeypatch.setattr("xpert_cli.llama.vocabulary.LONGEST", 100)
        assert vocabulary.tokenize(text) == whole
