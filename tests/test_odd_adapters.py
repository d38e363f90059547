"""PEFT folders as people have them, and adapters that would make a model of no numbers."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf
from command import called
from test_adapters import BASE, folder, lora
from tiny import packaged_base

from xpert_cli import gguf
from xpert_cli.errors import BadModel, CacheMismatch
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.llama import vocabulary
from xpert_cli.models import bases
from xpert_cli.models.convert import convert
from xpert_cli.models.merge import merge
from xpert_cli.models.peft import read_peft

UP = "blk.0.ffn_up.weight"


def renamed(old: str, new: str) -> dict[str, np.ndarray]:
    return {name.replace(old, new): values for name, values in lora().items()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".weight", ".default.weight"),
        ("model.model.layers", "model.model.language_model.layers"),
        ("model.model.layers", "model.language_model.model.layers"),
        ("base_model.model.model", "base_model.model._orig_mod.model"),
        ("base_model.model.", ""),
    ],
)
def test_names_as_other_tools_write_them_are_read(old: str, new: str, tmp_path: Path) -> None:
    adapter = read_peft(folder(tmp_path, renamed(old, new)), architecture="llama", **BASE)
    assert list(adapter.factors) == [UP]
    assert adapter.delta(UP).tolist() == [[4.0] * 3] * 5


def test_two_adapters_in_one_file_are_named(tmp_path: Path) -> None:
    both = renamed(".weight", ".terse.weight") | renamed(".weight", ".warm.weight")
    with pytest.raises(BadModel, match=r"holds several adapters: terse, warm\. Save one of them alone"):
        read_peft(folder(tmp_path, both), architecture="llama", **BASE)


def test_a_vision_tower_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"vision_tower\.model\.layers\.0\.mlp\.up_proj cannot be adapted"):
        read_peft(folder(tmp_path, renamed("model.model.", "model.model.vision_tower.")), architecture="llama", **BASE)


def test_a_pickle_is_named_and_not_read(tmp_path: Path) -> None:
    source = folder(tmp_path, lora())
    (source / "adapter_model.safetensors").rename(source / "adapter_model.bin")
    with pytest.raises(BadModel, match=r"adapter_model\.bin is a pickle, which can run code.*safe_serialization=True"):
        read_peft(source, architecture="llama", **BASE)


def test_the_only_checkpoint_in_a_folder_is_read_and_of_several_the_latest_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-10").mkdir()
    folder(tmp_path / "checkpoint-10", lora())
    assert list(read_peft(tmp_path, architecture="llama", **BASE).factors) == [UP]
    shutil.copytree(tmp_path / "checkpoint-10", tmp_path / "checkpoint-9", copy_function=shutil.copy)
    with pytest.raises(BadModel, match=r"holds 2 checkpoints\. Give one of them: the latest is .*/checkpoint-9$"):
        read_peft(tmp_path, architecture="llama", **BASE)


def test_an_adapter_of_another_class_is_refused(tmp_path: Path) -> None:
    mapping = {"base_model_class": "Qwen2ForCausalLM", "parent_library": "transformers.models.qwen2.modeling_qwen2"}
    source = folder(tmp_path, lora(), auto_mapping=mapping)
    with pytest.raises(CacheMismatch, match="is for a Qwen2ForCausalLM model; the base is llama"):
        read_peft(source, architecture="llama", **BASE)
    assert read_peft(source, architecture="qwen2", **BASE).architecture == "qwen2"


# -- patterns and numbers


WIDE = r"(?:[a-z._0-9]+)+!"


@pytest.mark.parametrize(
    "pattern", [WIDE, "(a*)*b", "(a|a)+!", "a**", ".*.*.*.*!", "(?=x)", r"(a)\1", "x" * 201 + "*", "(", "["]
)
def test_a_pattern_that_could_take_forever_is_refused_at_once(pattern: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(BadModel, match=r"lora_alpha or alpha_pattern makes no sense"):
        read_peft(folder(tmp_path, lora(), alpha_pattern={pattern: 7}), architecture="llama", **BASE)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("pattern", "delta"),
    [
        ("up_proj", 7.0),
        ("mlp.up_proj", 7.0),
        ("model.layers.0.mlp.up_proj", 7.0),
        (r"model\.layers\.\d+\.mlp\.(up|gate)_proj", 7.0),
        (r".*\.0\..*up_proj", 7.0),
        ("layers.1.mlp.up_proj", 4.0),
        ("p_proj", 4.0),
    ],
)
def test_patterns_match_as_in_peft(pattern: str, delta: float, tmp_path: Path) -> None:
    adapter = read_peft(folder(tmp_path, lora(), alpha_pattern={pattern: 7}), architecture="llama", **BASE)
    assert adapter.delta(UP)[0, 0] == delta  # alpha / rank * (1 * 1 + 1 * 1)


@pytest.mark.parametrize("value", ["4", None, [4], {}, float("nan"), float("inf")])
def test_an_alpha_that_is_no_number_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"makes no sense|is no number"):
        read_peft(folder(tmp_path, lora(), lora_alpha=value), architecture="llama", **BASE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_factors_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    tensors = lora()
    next(iter(tensors.values()))[0, 0] = value
    with pytest.raises(BadModel, match=r"blk\.0\.ffn_up\.weight holds values that are not finite"):
        read_peft(folder(tmp_path, tensors), architecture="llama", **BASE)


def huge(base: Path, path: Path) -> Path:
    """An adapter of finite factors whose product is not finite."""
    header = gguf.read_header(base)
    rows, columns = header.tensors["blk.0.attn_q.weight"].shape
    factors = np.full((2, columns), 3e38, np.float32), np.full((rows, 2), 1e10, np.float32)
    gguf.write_adapter(Adapter("llama", 2.0, {"blk.0.attn_q.weight": factors}), path, "F32")
    return path


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_a_merged_model_holds_numbers_or_is_not_written(kind: str, tmp_path: Path) -> None:
    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    adapter = huge(base, tmp_path / "huge.gguf")
    with pytest.raises(BadModel, match=r"with the adapter, blk\.0\.attn_q\.weight holds values that are not finite"):
        merge([(adapter, 1.0)], base, tmp_path / "merged.gguf", type_name=kind)
    assert not list(tmp_path.glob("*merged.gguf*"))


@pytest.mark.parametrize("out", ["merged.gguf", "merged"])
def test_merged_adapters_hold_numbers_or_are_not_written(out: str, tmp_path: Path) -> None:
    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    adapter = huge(base, tmp_path / "huge.gguf")
    into = None if out.endswith(".gguf") else base
    with pytest.raises(BadModel, match=r"not finite|does not fit"):
        merge([(adapter, 1e38), (adapter, 1.0)], into, tmp_path / out, type_name="F32")
    assert not (tmp_path / out / "adapter_model.safetensors").exists()
    with pytest.raises(BadModel, match=r"not finite"):
        merge([(adapter, 1e38), (adapter, 1.0)], None, tmp_path / "small.gguf", rank=1, type_name="F32")


# -- which base


def peft_for(base: Path, path: Path, **settings: Any) -> Path:
    """A PEFT folder whose only pair fits the tiny base."""
    rows, columns = gguf.read_header(base).tensors["blk.0.ffn_up.weight"].shape
    path.mkdir()
    prefix = "base_model.model.model.layers.0.mlp.up_proj.lora_"
    pair = {"A": np.ones((2, columns), np.float32), "B": np.ones((rows, 2), np.float32)}
    return folder(path, {f"{prefix}{half}.weight": values for half, values in pair.items()}, **settings)


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("tiny", False),
        ("someone/Tiny-hf", False),
        ("/data/models/tiny/", False),
        ("C:\\models\\TINY", False),
        (None, False),
        (7, False),
        ("meta-llama/Llama-3.2-1B", True),
    ],
)
def test_another_base_in_the_adapters_settings_is_told(name: Any, noted: bool, tmp_path: Path) -> None:
    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    source = peft_for(base, tmp_path / "lora", base_model_name_or_path=name)
    notes = merge([(source, 1.0)], base, tmp_path / "merged.gguf").notes
    said = ("lora says that it is for Llama-3.2-1B; the base is Tiny. Make sure that they are one.",)
    assert notes == (said if noted else ())


def test_settings_that_are_no_json_object_are_refused(tmp_path: Path) -> None:
    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    source = peft_for(base, tmp_path / "lora")
    for text in ("[" * 100_000, json.dumps([1]), "{"):
        (source / "adapter_config.json").write_text(text)
        with pytest.raises(BadModel, match=r"adapter_config\.json"):
            merge([(source, 1.0)], base, tmp_path / "merged.gguf")


def test_an_adapter_or_something_else_in_place_of_a_base_is_named(tmp_path: Path) -> None:
    from xpert_cli.llama.trial_load import try_base

    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    adapter = huge(base, tmp_path / "lora.gguf")
    with pytest.raises(BadModel, match=r"lora\.gguf is an adapter, not a base model\. Give it with --adapter"):
        try_base(adapter)
    with pytest.raises(BadModel, match=r"is an adapter, not a model.*xpert merge --adapter .*lora\.gguf --base"):
        convert(str(adapter), tmp_path / "out.gguf", "F16")
    other = tiny_gguf.write_base(tmp_path / "other.gguf", entries={"general.type": gguf.encode("string", "mmproj")})
    for attempt in (lambda: try_base(other), lambda: convert(str(other), tmp_path / "out.gguf", "F16")):
        with pytest.raises(BadModel, match=r"other\.gguf is no base model, but 'mmproj'"):
            attempt()


def test_an_architecture_that_llama_cpp_refuses_is_named(tmp_path: Path) -> None:
    from xpert_cli.llama.trial_load import try_base

    entries = {"general.architecture": gguf.encode("string", "novel-net")}
    base = tiny_gguf.write_base(tmp_path / "base.gguf", entries=entries)
    with pytest.raises(BadModel, match=r"refuses this model: unknown model architecture: 'novel-net'\."):
        try_base(base)


def test_a_model_that_does_not_fit_is_told_from_one_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    binding = vocabulary.library()
    monkeypatch.setattr(binding, "llama_model_load_from_file", lambda *_: None)  # as where memory is short: no word
    monkeypatch.setattr(vocabulary.platform, "available_memory", lambda: 3 << 20)
    with pytest.raises(BadModel, match=r"not enough memory: its \d+ MB do not fit, and 3 MB are free\. Close other"):
        vocabulary.Vocabulary(base)


@pytest.mark.parametrize(
    "call",
    [
        ("run", "hi", "--base", "lora"),
        ("run", "hi", "--adapter", "lora"),
        ("finetune", "me.txt", "--from", "./lora"),
        ("eval", "me.txt", "--merged", "lora"),
        ("eval", "me.txt", "--adapter", "lora=0.5"),
        ("select", "me.txt", "--base", "lora"),
        ("cache", "build", "lora", "-o", "cache"),
        ("convert", "lora"),
        ("run", "hi", "--adapter", "trained"),
    ],
    ids=" ".join,
)
def test_a_peft_folder_is_named_wherever_a_gguf_file_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: tuple[str, ...]
) -> None:
    packaged_base()
    if call[0] == "finetune":
        pytest.importorskip("torch", reason="without it fine-tuning says so first")
    monkeypatch.chdir(tmp_path)
    for place in ("lora", "trained/checkpoint-8"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "adapter_config.json").write_text("{}")
    (tmp_path / "me.txt").write_text("I write one.\n\nI write two.\n\nI write three.\n\nI write four.\n", "utf-8")
    status, out, err = called(monkeypatch, capsys, *call, "--quiet")
    name = "trained" if "trained" in call else "./lora" if "./lora" in call else "lora"
    assert (status, out) == (1, "")
    assert err.endswith(
        f"{name.removeprefix('./')} is a folder with a PEFT adapter, and no GGUF file. Put it into its base model, "
        f"and run that: xpert merge --adapter {name.removeprefix('./')} --base BASE.gguf --out model.gguf\n"
    )


def test_a_folder_in_place_of_a_base_says_what_to_do_with_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadModel, match=r"a model of Hugging Face's\. Make a GGUF file of it: xpert convert "):
        bases.open_base(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(BadModel, match=r"is a folder\. Give the GGUF file in it\."):
        bases.open_base(str(tmp_path))


def test_advice_about_a_vocabulary_does_not_lead_in_a_circle(tmp_path: Path) -> None:
    entries = {
        "tokenizer.ggml.model": gguf.encode("string", "llama"),
        "tokenizer.ggml.tokens": gguf.encode("[string]", [f"word{at}" for at in range(tiny_gguf.VOCABULARY)]),
    }
    base = tiny_gguf.write_base(tmp_path / "base.gguf", entries=entries)
    with pytest.raises(BadModel) as caught:
        bases.open_base(str(base))
    assert "convert the original model and not this file: xpert convert FOLDER|OWNER/NAME" in str(caught.value)
    with pytest.raises(BadModel, match="no token stands for the byte"):
        convert(str(base), tmp_path / "out.gguf", "F16")
    assert not (tmp_path / "out.gguf").exists()
