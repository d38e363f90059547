"""A slice of the fuzzing of GGUF files: everything is read or refused in one line, and what is read llama.cpp loads.

    python tests/gguf_examined.py "spliced adapter" --inputs 1000     # more of one kind
    python -m tests.fuzz --inputs 1000000                             # a million

Inputs are read in a process of its own that dies past its limits of processor seconds and address space.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="limits on a process are set here the POSIX way")

import gguf_drafts
import gguf_examined
import gguf_mutations
import numpy as np
import tiny_gguf
from gguf_drafts import Draft, key, text
from gguf_mutations import KINDS
from hypothesis import given, settings
from hypothesis import strategies as st

from xpert_cli import gguf
from xpert_cli.errors import BadModel, XpertError
from xpert_cli.gguf import encode
from xpert_cli.gguf.header import MAX_ENTRIES, MAX_LIST
from xpert_cli.gguf.vocabulary import _all_differ
from xpert_cli.llama.vocabulary import Vocabulary

INPUTS, LIMIT_MB = 900, 256
MOST = 30  # accepted files of a kind that llama.cpp loads; a base stands its trial before


@pytest.fixture(scope="module")
def findings() -> dict[str, dict[str, Any]]:
    """What became of the first inputs of every kind."""
    command = [sys.executable, gguf_examined.__file__, "--inputs", str(INPUTS), "--most", str(MOST), "--seconds", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
    return {found["kind"]: found for found in json.loads(done.stdout)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_is_read_or_refused_in_one_line(findings, kind):
    found = findings[kind]
    assert found["other"] == {}
    assert found["refused"] + found["accepted"] == found["inputs"] > 0
    assert 0 < found["peak_mb"] < LIMIT_MB


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_accepted_llama_cpp_loads(findings, kind):
    found = findings[kind]
    assert found["trouble"] == {}
    assert found["loaded"] + found["tried"] == found["sample"] == min(found["accepted"], MOST)
    assert kind in ("header of megabytes", "truncated adapter") or found["loaded"] > 0
    assert KINDS[kind].target == "base" or not found["tried"]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.randoms(use_true_random=False))
def test_structures_that_hypothesis_finds(tmp_path_factory, dice):
    path = tmp_path_factory.getbasetemp() / "drawn.gguf"
    path.write_bytes(next(gguf_drafts.adapters(dice)))
    try:
        gguf.read_adapter(path)
    except XpertError as error:
        gguf_examined.one_line(error)


def changed(*entries: gguf_drafts.Key) -> Draft:
    """A sound adapter with other metadata."""
    draft = gguf_drafts.adapter()
    draft.keys = [*(own for own in draft.keys if own[0] not in {name for name, _ in entries}), *entries]
    return draft


def with_factor(**changes: Any) -> Draft:
    """A sound adapter whose first factor is another."""
    draft = gguf_drafts.adapter()
    for name, value in changes.items():
        setattr(draft.parts[0], name, value)
    return draft


KNOWN = {
    "the header ends too early": gguf_mutations.ENDLESS_ARRAY,
    "adapter.lora.alpha is of type uint32": changed(key("adapter.lora.alpha", 4, struct.pack("<I", 8))).content(),
    "adapter.lora.alpha is of type [float32]": changed(
        key("adapter.lora.alpha", 9, struct.pack("<IQf", 6, 1, 8.0))
    ).content(),
    "alpha is nan": changed(key("adapter.lora.alpha", 6, struct.pack("<f", np.nan))).content(),
    "alpha is -8.0": changed(key("adapter.lora.alpha", 6, struct.pack("<f", -8))).content(),
    "this is no adapter": changed(key("general.type", 4, bytes(4))).content(),
    "adapter.type is not 'lora'": changed(text("adapter.type", "x")).content(),
    "not finite": with_factor(data=struct.pack("<f", np.inf) * 128).content(),
    "do not fit": with_factor(shape=(64, 1, 2)).content(),
    "reaches past": with_factor(shape=(1 << 32, 1 << 32)).content(),
    "not where it should be": with_factor(off=32).content(),
    "the base has no linear layer blk.7": gguf_drafts.adapter().content().replace(b"blk.0.attn_q", b"blk.7.attn_q"),
}  # fmt: skip


def test_a_sound_draft_is_accepted(tmp_path):
    sound, base = gguf_examined.sound_files(tmp_path)
    for content in (gguf_drafts.adapter().content(), sound.adapter):
        (tmp_path / "a.gguf").write_bytes(content)
        gguf.check_adapter(gguf.read_header(tmp_path / "a.gguf"), gguf.read_header(base))


@pytest.mark.parametrize("reason", KNOWN)
def test_known_bad_files_are_refused(tmp_path, reason):
    _, base = gguf_examined.sound_files(tmp_path)
    (tmp_path / "bad.gguf").write_bytes(KNOWN[reason])
    with pytest.raises(XpertError) as caught:
        gguf.check_adapter(gguf.read_header(tmp_path / "bad.gguf"), gguf.read_header(base))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


EXPERTS = {"llama.expert_count": encode("uint32", 8), "llama.expert_used_count": encode("uint32", 2)}
KNOWN_BASES = {  # llama.cpp aborts on each
    "llama.block_count is 0; 1 to 512": {"llama.block_count": encode("uint32", 0)},
    "llama.expert_count is 513": {"llama.expert_count": encode("uint32", 513)},
    "uses 0 of 8 experts": {"llama.expert_count": encode("uint32", 8)},
    "uses 2 of 0 experts": {"llama.expert_used_count": encode("uint32", 2)},
    "rms_epsilon is nan": {"llama.attention.layer_norm_rms_epsilon": encode("float32", float("nan"))},
    "rms_epsilon is -1.0": {"llama.attention.layer_norm_rms_epsilon": encode("float32", -1.0)},
    "rope.scaling.type is unknown": {"llama.rope.scaling.type": encode("string", "x")},
    "power of two from 32 on": {"general.alignment": encode("uint32", 8)},
    # 2^28 too many: times 16, the size of a head, that is right again in 32 bits
    "head_count_kv is 268435458; 0 to 65535": {"llama.attention.head_count_kv": encode("uint32", (1 << 28) + 2)},
    "head_count_kv is 268435459": {"llama.attention.head_count_kv": encode("[uint32]", [2, (1 << 28) + 3])},
    "head_count is 65536": {"llama.attention.head_count": encode("uint32", 65536)},
    "key_length is 65536": {"llama.attention.key_length": encode("uint32", 65536)},
    "head_count_kv differs between layers": {"llama.attention.head_count_kv": encode("[uint32]", [2, 1])},
    "heads of 16 for keys, 8 for values": {"llama.attention.value_length": encode("uint32", 8)},
    "16 for values and 8 for positions": {"llama.rope.dimension_count": encode("uint32", 8)},
    "or those of layers with a sliding window": {"llama.rope.dimension_count_swa": encode("uint32", 0)},  # it hangs
    "every layer of a pattern": {"llama.attention.sliding_window_pattern": encode("uint32", 1)},
    "nextn_predict_layers is 3, more than there are": {"llama.nextn_predict_layers": encode("uint32", 3)},
    "uses 9 of 8 experts": EXPERTS | {"llama.expert_used_count": encode("[uint32]", [2, 9])},
    "uses 0 of 1 groups of 0 experts": {"llama.expert_group_count": encode("uint32", 1)},
    "uses 0 of 8 groups of 8 experts": EXPERTS | {"llama.expert_group_count": encode("uint32", 8)},
    "uses 0 of 3 groups of 8 experts": EXPERTS | {"llama.expert_group_count": encode("uint32", 3)},
    "uses 4 of 4 groups of 8 experts": EXPERTS
    | {"llama.expert_group_count": encode("uint32", 4), "llama.expert_group_used_count": encode("uint32", 4)},
    "token_type tells of byte tokens": {
        "tokenizer.ggml.model": encode("string", "bert"),
        "tokenizer.ggml.token_type": encode("[int32]", [1, 6]),
    },
}


@pytest.mark.parametrize("reason", KNOWN_BASES)
def test_known_bad_bases_are_refused(tmp_path, reason):
    path = tiny_gguf.write_base(tmp_path / "base.gguf", entries=KNOWN_BASES[reason])
    with pytest.raises(BadModel, match=reason):
        gguf.read_header(path)


SOUND_BASES = {
    "heads a layer, all alike": {"llama.attention.head_count_kv": encode("[uint32]", [2, 2])},
    "no groups of experts": EXPERTS,
    "one group of experts": EXPERTS | {"llama.expert_group_count": encode("uint32", 1)},
    "two of four groups of experts": EXPERTS
    | {"llama.expert_group_count": encode("uint32", 4), "llama.expert_group_used_count": encode("uint32", 2)},
    "heads as large as they were": {f"llama.attention.{of}_length": encode("uint32", 16) for of in ("key", "value")},
    "layers that differ in a model made so": {
        "general.architecture": encode("string", "deci"),
        "deci.attention.head_count_kv": encode("[uint32]", [2, 0]),
    },
}


@pytest.mark.parametrize("name", SOUND_BASES)
def test_what_models_may_be_is_read(tmp_path, name):
    gguf.read_header(tiny_gguf.write_base(tmp_path / "base.gguf", entries=SOUND_BASES[name]))


def with_tokens(path: Path, *tokens: str) -> Path:
    """The tiny base with a vocabulary of these and as many more as it needs."""
    listed = [*tokens, *(f"token {at}" for at in range(tiny_gguf.VOCABULARY - len(tokens)))]
    entries = {
        "tokenizer.ggml.model": encode("string", "gpt2"),
        "tokenizer.ggml.tokens": encode("[string]", listed),
        "tokenizer.ggml.merges": encode("[string]", []),
    }
    return tiny_gguf.write_base(path, entries=entries)


@pytest.mark.parametrize(
    "tokens",
    [
        ("a", "b", "a"),
        ("a" * 300, "b", "a" * 300),
        ("a\0b", "a\0c"),  # llama.cpp reads to the first zero
        ("[EMPTY_1]", ""),  # and names an empty token after its place
        ("a\0", "[EMPTY_2]", "\0x"),
    ],
)
def test_a_token_that_is_there_twice_is_refused(tmp_path, tokens):
    with pytest.raises(BadModel, match=r"base\.gguf: the model names a token twice"):
        Vocabulary(with_tokens(tmp_path / "base.gguf", *tokens))


@pytest.mark.parametrize("tokens", [("", ""), ("a\0a", "b\0a"), ("x" * 1024, "x" * 1023), ("a" * 256, "a" * 257), ()])
def test_tokens_that_differ_are_loaded(tmp_path, tokens):
    with Vocabulary(with_tokens(tmp_path / "base.gguf", *tokens)) as vocabulary:
        assert vocabulary.vocabulary_size == tiny_gguf.VOCABULARY


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text(alphabet="ab*", max_size=40), max_size=6))
def test_the_hash_of_tokens_tells_them_apart(tokens):
    told = _all_differ(encode("[string]", tokens), len(tokens))
    assert told == (len(set(tokens)) == len(tokens) and "" not in tokens)


def test_a_hash_of_no_tokens_or_of_what_looks_like_lengths_claims_nothing_false():
    assert _all_differ(encode("[string]", []), 0)
    assert not _all_differ(encode("[string]", ["\0" * 8, "a", "a"]), 3)
    assert not _all_differ(encode("[string]", ["a" + "\0" * 7 + "b", "b"]), 2)


def test_weights_of_whole_numbers_are_refused(tmp_path):
    sound, _ = gguf_examined.sound_files(tmp_path)
    at = sound.base.index(b"blk.0.attn_q.weight") + len("blk.0.attn_q.weight") + 4 + 2 * 8
    (tmp_path / "bad.gguf").write_bytes(gguf_mutations.written(sound.base, (at, "I"), 26))  # I32: llama.cpp crashes
    with pytest.raises(BadModel, match=r"blk\.0\.attn_q\.weight is of type I32, which no weight has"):
        gguf.read_header(tmp_path / "bad.gguf")


def test_headers_that_cost_too_much_are_refused(tmp_path):
    listed = changed(key("general.name", 9, struct.pack("<IQ", 0, MAX_LIST + 1) + bytes(MAX_LIST + 1)))
    entries = changed(*(key(f"k.{at}", 0, b"\1") for at in range(MAX_ENTRIES)))
    for draft, reason in ((listed, "lists 1048577 values, over 1048576"), (entries, "metadata keys are more than any")):
        (tmp_path / "bad.gguf").write_bytes(draft.content())
        with pytest.raises(BadModel, match=reason):
            gguf.read_header(tmp_path / "bad.gguf")


def test_an_adapter_that_aborts_llama_cpp_is_told_from_one_that_loads(tmp_path):
    _, base = gguf_examined.sound_files(tmp_path)
    contents = (KNOWN["adapter.lora.alpha is of type uint32"], gguf_drafts.adapter().content(), KNOWN["do not fit"])
    for at, content in enumerate(contents):
        (tmp_path / f"{at}.gguf").write_bytes(content)
    found = gguf_examined.load_apart(gguf_examined.Findings("generated adapter"), base, tmp_path, unchecked=True)
    assert (found.sample, found.aborted, found.loaded, found.rejected) == (3, 1, 1, 1)
    assert list(found.trouble.values()) == ["0.gguf", "2.gguf"]


@pytest.mark.parametrize(("spent", "ended"), [("while True: pass", "killed"), ("bytes(1 << 30)", "MemoryError")])
def test_a_hang_or_a_blow_up_ends_the_reading_process(spent, ended):
    code = f"import gguf_examined\ngguf_examined.limit(2, 768)\n{spent}"
    folder = Path(gguf_examined.__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert ended in done.stderr or done.returncode == -9


def test_every_field_of_a_sound_file_is_known(tmp_path):
    sound, _ = gguf_examined.sound_files(tmp_path)
    found, end = gguf_mutations.fields(sound.adapter)
    assert sound.adapter[end:].strip(b"\0") != b""
    assert found[:3] == [(4, "I"), (8, "Q"), (16, "Q")]
    for field in found:
        own = struct.unpack_from(f"<{field[1]}", sound.adapter, field[0])[0]
        assert gguf_mutations.written(sound.adapter, field, own) == sound.adapter


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_the_same_for_a_seed(tmp_path, kind):
    sound, _ = gguf_examined.sound_files(tmp_path)
    few = 3 if "megabytes" in kind else 50
    one, two = ([*islice(KINDS[kind].inputs(sound, random.Random(7)), few)] for _ in range(2))
    assert one == two
