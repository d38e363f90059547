"""A Hugging Face model folder written as one GGUF file, as llama.cpp's own converter would write it.

    write_gguf(Path("SmolLM2-135M-Instruct"), Path("smollm2.gguf"), "F16")

Tensors are streamed one at a time from the mapped safetensors. Covered: the architectures of
gguf/architectures.py, with default, linear, YaRN and (llama) llama3 rotary embeddings. Not here: what config.json says
and which of it is refused (models/hf_config.py), quantizing (models/quantize.py).
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpert_cli import paths
from xpert_cli.counts import counted
from xpert_cli.errors import BadModel
from xpert_cli.gguf.architectures import Architecture, gguf_name, is_permuted, permute
from xpert_cli.gguf.dequantize import widen_bfloat16
from xpert_cli.gguf.header import ALIGNMENT, padded, read_header
from xpert_cli.models.hf_checkpoint import Checkpoint, files, open_checkpoint
from xpert_cli.models.hf_config import (
    attention_factor,
    head_size,
    longrope_factor,
    read_settings,
    rotary,
    rotated_size,
)
from xpert_cli.models.hf_tokenizer import add_tokenizer
from xpert_cli.models.model_card import add_general
from xpert_cli.models.safetensors_file import DTYPES, StoredTensor
from xpert_cli.resume import Piece, write_pieces

FloatType = Literal["F32", "F16", "BF16"]
_FILE_TYPES: dict[str, int] = {"F32": 0, "F16": 1, "BF16": 32}
_LAYER = re.compile(r"model\.layers\.(\d{1,9})\.")
_IGNORED = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")


@dataclass(frozen=True)
class Written:
    """What a GGUF file now holds."""

    architecture: str
    tensors: int
    note: str | None = None  # what was left out of the model card


def write_gguf(
    folder: Path,
    out: Path,
    kind: FloatType | None = None,
    *,
    name: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Written:
    """Convert `folder` to the GGUF file `out`.

    Args:
        kind: the type of all matrices; None keeps each in its own, so nothing is lost. Vectors and norms are F32.
        name: the model's name in the file; None derives it from the model card and the folder.
        progress: told the fraction done.

    Raises:
        Unsupported: not one of the built-in architectures, or a variant of one that is not covered.
        BadModel: the folder is incomplete, damaged, quantized, or not in safetensors.
    """
    checkpoint = open_checkpoint(folder)
    known, config = read_settings(checkpoint)
    jobs = list(_jobs(known, config, checkpoint, kind))
    from gguf import GGMLQuantizationType, GGUFWriter

    logging.getLogger("gguf").addHandler(logging.NullHandler())  # else its warnings reach stderr
    pieces = []
    with paths.scratch() as scratch:
        writer = GGUFWriter(scratch / "head", known.name)
        for job in jobs:
            size = math.prod(job.shape) * DTYPES[job.kind].itemsize
            writer.add_tensor_info(job.name, job.shape, np.dtype(np.float32), size, GGMLQuantizationType[job.kind])
            pieces.append(Piece(padded(size, ALIGNMENT), partial(_numbers, job)))
        note = add_general(writer, folder, checkpoint.config, name, _FILE_TYPES[kind] if kind else None)
        _add_hyperparameters(writer, known, config)
        add_tokenizer(folder, config, known, writer)
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
        finally:
            writer.close()
        head = (scratch / "head").read_bytes()
        _check_head(scratch / "head", padded(len(head), ALIGNMENT) + sum(piece.size for piece in pieces), out)
    made_of = [hashlib.sha256(head).hexdigest(), *map(paths.identity, files(folder))]
    write_pieces(out, [Piece(padded(len(head), ALIGNMENT), lambda: head), *pieces], made_of, progress)
    return Written(known.name, len(jobs), note)


def _check_head(head: Path, size: int, out: Path) -> None:
    """That a file which begins like `head` would be sound, before its tensors are worked out."""
    with head.open("r+b") as file:
        file.truncate(size)  # a hole: it takes no room
    try:
        read_header(head)
    except BadModel as error:
        reason = str(error).removeprefix(f"{head}: ")
        raise BadModel(f"the model would make no sound GGUF file {out.name}: {reason}") from error


def _numbers(job: _Job) -> NDArray[Any]:
    return np.ascontiguousarray(job.values(job.kind))


@dataclass(frozen=True)
class _Job:
    """One tensor to write: its GGUF name, shape and type, and how its values come to be in that type."""

    name: str
    shape: tuple[int, ...]
    kind: str
    values: Callable[[str], NDArray[Any]]


def _check_names(known: Architecture, config: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """That every tensor is there whose absence would change the model, and none that has no place in it."""
    count, names = config["num_hidden_layers"], checkpoint.tensors.keys()
    layers = (f"model.layers.{i}.{module}" for i in range(count) for module in known.blocks)
    needed = {f"{module}.weight" for module in ("model.embed_tokens", "model.norm", *layers)}
    if not config["tie_word_embeddings"]:
        needed.add("lm_head.weight")
    attention, mlp = ({name for name in known.blocks if name.startswith(part)} for part in ("self_attn", "mlp"))
    linear = {name for name in known.blocks if name.endswith("_proj")}
    biased = set(known.biases)
    biased |= attention & linear if config.get("attention_bias") else set()
    biased |= mlp & linear if config.get("mlp_bias") else set()
    needed |= {f"model.layers.{i}.{module}.bias" for i in range(count) for module in biased}
    if missing := sorted(needed - names):
        raise BadModel(
            f"{checkpoint.folder} lacks {counted(len(missing), 'tensors')}, {missing[0]} first. "
            "Download the model again."
        )
    if beyond := [name for name in names if (match := _LAYER.match(name)) and int(match[1]) >= count]:
        raise BadModel(
            f"{checkpoint.folder} holds {beyond[0]:.80}, and config.json tells of {counted(count, 'layers')}. "
            "Download the model again."
        )
    unused = {name for name in names if name.endswith(_IGNORED)} | {"lm_head.weight"}
    known_names = needed | unused
    if unknown := [name for name in names if name not in known_names]:
        raise BadModel(
            f"{checkpoint.folder} holds a tensor {unknown[0]:.80} that {known.name} models have no place for. "
            "Choose another model."
        )


def _shape(known: Architecture, config: Mapping[str, Any], name: str) -> tuple[tuple[int, ...], ...]:
    """The shapes that a tensor of the GGUF file may have, by what config.json says of the model's sizes."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    size = head_size(config)
    q, kv = size * config["num_attention_heads"], size * config["num_key_value_heads"]
    rows, columns = {
        "token_embd": (config["vocab_size"], hidden),
        "output": (config["vocab_size"], hidden),
        "attn_q": (q, hidden),
        "attn_k": (kv, hidden),
        "attn_v": (kv, hidden),
        "attn_qkv": (q + 2 * kv, hidden),
        "attn_output": (hidden, q),
        "ffn_gate": (wide, hidden),
        "ffn_up": (wide if "ffn_gate" in known.blocks.values() else 2 * wide, hidden),
        "ffn_down": (hidden, wide),
    }.get(name.split(".")[-2], (hidden, 0))
    if name.endswith(("attn_q_norm.weight", "attn_k_norm.weight")):
        return (size,), (q if "attn_q" in name else kv,)
    return ((rows,),) if name.endswith("_norm.weight") or name.endswith(".bias") else ((rows, columns),)


def _jobs(known: Architecture, config: Mapping[str, Any], checkpoint: Checkpoint, kind: str | None) -> Iterator[_Job]:
    """All tensors of the file, matrices of type `kind` (None: of their own), vectors and norms of type F32."""
    _check_names(known, config, checkpoint)
    if (parameters := rotary(config))["rope_type"] == "llama3":
        yield _constants("rope_freqs.weight", llama3_factors(parameters, head_size(config)))
    if parameters["rope_type"] == "longrope":
        for which in ("long", "short"):
            yield _constants(f"rope_factors_{which}.weight", np.array(parameters[f"{which}_factor"], np.float32))
    for hf, stored in checkpoint.tensors.items():
        if (name := gguf_name(known.name, hf)) is None:
            continue
        vector = len(stored.shape) < 2 or name.endswith("_norm.weight")
        shape = stored.shape
        if known.padded_embeddings and name == "token_embd.weight" and shape:
            shape = (min(shape[0], config["vocab_size"]), *shape[1:])
        if shape not in (expected := _shape(known, config, name)):
            raise BadModel(
                f"{checkpoint.folder}: {hf} is {stored.shape}, and by config.json {expected[0]}. "
                "Download the model again."
            )
        values = partial(_values, known, name, stored, shape[0], config)
        yield _Job(name, shape, "F32" if vector else kind or stored.kind, values)


def _constants(name: str, numbers: NDArray[np.float32]) -> _Job:
    return _Job(name, numbers.shape, "F32", lambda _: numbers)


def _values(
    known: Architecture, name: str, stored: StoredTensor, rows: int, config: Mapping[str, Any], kind: str
) -> NDArray[Any]:
    """The first `rows` rows of a tensor as llama.cpp wants them, in the storage type of `kind`."""
    data = stored.read()[:rows]
    if (side := is_permuted(known.name, name)) is not None:
        data = permute(data, config["num_attention_heads" if side == "q" else "num_key_value_heads"])
    if stored.kind == "BF16" and kind != "BF16":
        data = widen_bfloat16(data)
    if known.norm_offset and name.endswith("_norm.weight"):
        data = data + data.dtype.type(known.norm_offset)
    if not (data & 0x7F80 != 0x7F80 if data.dtype == np.uint16 else np.isfinite(data)).all():
        raise BadModel(f"{stored.file}: {name} holds values that are not finite. Choose another model.")
    if stored.kind == kind:
        return data
    from gguf import GGMLQuantizationType, quants

    try:
        with np.errstate(over="raise"):
            return np.asarray(quants.quantize(data, GGMLQuantizationType[kind]))
    except FloatingPointError as error:
        raise BadModel(f"{name} has values beyond the range of F16. Choose BF16, F32 or a quantized type.") from error


def llama3_factors(rotary: Mapping[str, Any], head_dim: int) -> NDArray[np.float32]:
    """(head_dim / 2,) what llama.cpp divides each rotary frequency by, for Llama 3's long context.

    Wavelengths beyond the original context are slowed by `factor`, short ones kept, those between interpolated.
    """
    context = rotary["original_max_position_embeddings"]
    low, high = rotary.get("low_freq_factor", 1.0), rotary.get("high_freq_factor", 4.0)
    factor = rotary.get("factor", 8.0)
    powers = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    wavelengths = np.float32(2 * math.pi) / (np.float32(1) / np.float32(rotary["rope_theta"]) ** powers)
    smooth = (np.float32(context) / wavelengths - np.float32(low)) / np.float32(high - low)
    interpolation = 1 / ((1 - smooth) / np.float32(factor) + smooth)
    factors = np.where(wavelengths < context / high, 1, np.where(wavelengths > context / low, factor, interpolation))
    return factors.astype(np.float32)


def _add_hyperparameters(writer: Any, known: Architecture, config: Mapping[str, Any]) -> None:
    """The `<architecture>.*` keys."""
    architecture = known.name
    integers = {
        "block_count": "num_hidden_layers",
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.value_length": "head_dim",
    }
    if known.llama_keys:
        integers["vocab_size"] = "vocab_size"
    if known.llama_keys or known.partial_rope:
        writer.add_uint32(f"{architecture}.rope.dimension_count", rotated_size(config))
    if known.partial_rope:
        original = config["original_max_position_embeddings"]
        writer.add_uint32(f"{architecture}.rope.scaling.original_context_length", original)
        writer.add_uint32(f"{architecture}.attention.sliding_window", config.get("sliding_window", 0))
        if rotary(config)["rope_type"] == "longrope":
            writer.add_float32(f"{architecture}.rope.scaling.attn_factor", longrope_factor(config))
    if known.window_period and (period := config["sliding_window_pattern"]) != 1:
        integers["attention.sliding_window"] = "sliding_window"
        if period != known.window_period:
            integers["attention.sliding_window_pattern"] = "sliding_window_pattern"
    for key, setting in integers.items():
        if setting in config:
            writer.add_uint32(f"{architecture}.{key}", config[setting])
    for key, setting in known.floats.items():
        if setting in config:
            writer.add_float32(f"{architecture}.{key}", config[setting])
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    if known.window_period:
        local = (config.get("rope_parameters") or {}).get("sliding_attention") or {}
        writer.add_float32(
            f"{architecture}.rope.freq_base_swa", local.get("rope_theta", config["rope_local_base_freq"])
        )
    _add_rotary(writer, architecture, rotary(config))


def _add_rotary(writer: Any, architecture: str, parameters: Mapping[str, Any]) -> None:
    kind = parameters["rope_type"]
    writer.add_float32(f"{architecture}.rope.freq_base", parameters["rope_theta"])
    if kind not in ("linear", "yarn"):
        return
    scaling = f"{architecture}.rope.scaling."
    writer.add_string(scaling + "type", kind)
    writer.add_float32(scaling + "factor", parameters["factor"])
    if kind == "yarn":
        writer.add_uint32(scaling + "original_context_length", parameters["original_max_position_embeddings"])
        if (factor := attention_factor(parameters)) != 1:
            writer.add_float32(scaling + "attn_factor", factor)
