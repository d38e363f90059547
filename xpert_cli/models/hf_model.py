"""A Hugging Face model folder written as one GGUF file, as llama.cpp's own converter would write it.

    write_gguf(Path("SmolLM2-135M-Instruct"), Path("smollm2.gguf"), "F16")

Tensors are streamed one at a time from the mapped safetensors. Covered: the architectures of
gguf/architectures.py, with default, linear, YaRN and (llama) llama3 rotary embeddings. Anything else is
`Unsupported`. Not here: quantizing (models/quantize.py).
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpert_cli import paths
from xpert_cli.errors import BadModel
from xpert_cli.gguf.architectures import ARCHITECTURES, Architecture, gguf_name, is_permuted, permute
from xpert_cli.gguf.dequantize import widen_bfloat16
from xpert_cli.gguf.header import ALIGNMENT, padded
from xpert_cli.models.hf_checkpoint import Checkpoint, files, open_checkpoint
from xpert_cli.models.hf_tokenizer import Unsupported, add_tokenizer
from xpert_cli.models.safetensors_file import DTYPES, StoredTensor
from xpert_cli.resume import Piece, write_pieces

FloatType = Literal["F32", "F16", "BF16"]
_FILE_TYPES: dict[str, int] = {"F32": 0, "F16": 1, "BF16": 32}
_IGNORED = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")


@dataclass(frozen=True)
class Written:
    """What a GGUF file now holds."""

    architecture: str
    tensors: int


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
    known, defaults = _architecture(checkpoint)
    config = _settings(known, defaults, checkpoint)
    jobs = list(_jobs(known, config, checkpoint, kind))
    from gguf import GGMLQuantizationType, GGUFWriter

    logging.getLogger("gguf").addHandler(logging.NullHandler())  # else its warnings reach stderr
    pieces = []
    with TemporaryDirectory() as scratch:
        writer = GGUFWriter(Path(scratch) / "head", known.name)
        for job in jobs:
            size = math.prod(job.shape) * DTYPES[job.kind].itemsize
            writer.add_tensor_info(job.name, job.shape, np.dtype(np.float32), size, GGMLQuantizationType[job.kind])
            pieces.append(Piece(padded(size, ALIGNMENT), partial(_numbers, job)))
        _add_general(writer, folder, name, kind)
        _add_hyperparameters(writer, known, config)
        add_tokenizer(folder, config, known.name, writer)
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
        finally:
            writer.close()
        head = (Path(scratch) / "head").read_bytes()
    made_of = [hashlib.sha256(head).hexdigest(), *map(paths.identity, files(folder))]
    write_pieces(out, [Piece(padded(len(head), ALIGNMENT), lambda: head), *pieces], made_of, progress)
    return Written(known.name, len(jobs))


def _numbers(job: _Job) -> NDArray[Any]:
    return np.ascontiguousarray(job.values(job.kind))


@dataclass(frozen=True)
class _Job:
    """One tensor to write: its GGUF name, shape and type, and how its values come to be in that type."""

    name: str
    shape: tuple[int, ...]
    kind: str
    values: Callable[[str], NDArray[Any]]


def _architecture(checkpoint: Checkpoint) -> tuple[Architecture, Mapping[str, Any]]:
    """What the model is, and what transformers assumes of its class where config.json is silent."""
    classes = checkpoint.config.get("architectures") or ["a model without a name for its architecture"]
    for known in ARCHITECTURES.values():
        if classes[0] in known.classes:
            return known, known.classes[classes[0]]
    names = ", ".join(name for known in ARCHITECTURES.values() for name in known.classes)
    raise Unsupported(f"xpert does not convert {classes[0]} itself (it does {names}).")


def _settings(known: Architecture, defaults: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """config.json with the defaults of its class filled in."""
    given = {key: value for key, value in checkpoint.config.items() if value is not None}
    config = {"rms_norm_eps": 1e-6, "rope_theta": 10000.0, **defaults, **given}
    needed = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    if lacking := [key for key in needed if not isinstance(config.get(key), int) or config[key] <= 0]:
        raise BadModel(f"{checkpoint.folder}/config.json lacks {', '.join(lacking)}. Download the model again.")
    if "quantization_config" in config:
        method = config["quantization_config"].get("quant_method", "another tool")
        raise BadModel(
            f"{checkpoint.folder} is already quantized by {method}. Convert the original checkpoint instead."
        )
    if config.get("hidden_act", "silu") != "silu" and known.activation == "silu":
        raise Unsupported(
            f"xpert does not convert a {known.name} model with {config['hidden_act']} activations itself."
        )
    if "attn_logit_softcapping" in config:
        raise Unsupported("xpert does not convert models with attention soft-capping itself.")
    scales = (
        config.get("head_dim"),
        config["hidden_size"] // config["num_attention_heads"],
    )  # the latter in Gemma 3 27B
    if known.name == "gemma3" and config.get("query_pre_attn_scalar", 256) not in scales:
        raise Unsupported("xpert does not convert Gemma 3 models with an attention scale of their own itself.")
    config.setdefault("num_key_value_heads", config["num_attention_heads"])
    if known.name == "llama":
        config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    return config


def _rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary parameters of full attention, from config.json as transformers 5 or as earlier versions wrote it."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    given = given.get("full_attention", given)
    return {"rope_theta": config["rope_theta"], "rope_type": given.get("type", "default"), **given}


def _jobs(known: Architecture, config: Mapping[str, Any], checkpoint: Checkpoint, kind: str | None) -> Iterator[_Job]:
    """All tensors of the file, matrices of type `kind` (None: of their own), vectors and norms of type F32."""
    layers = (f"model.layers.{i}.{module}" for i in range(config["num_hidden_layers"]) for module in known.blocks)
    needed = {f"{module}.weight" for module in ("model.embed_tokens", "model.norm", *layers)}
    if missing := sorted(needed - checkpoint.tensors.keys()):
        raise BadModel(
            f"{checkpoint.folder} lacks {len(missing)} tensors, {missing[0]} first. Download the model again."
        )
    if (rotary := _rotary(config))["rope_type"] == "llama3" and known.name == "llama":
        factors = llama3_factors(rotary, config["head_dim"])
        yield _Job("rope_freqs.weight", factors.shape, "F32", lambda _: factors)
    for hf, stored in checkpoint.tensors.items():
        if hf.endswith(_IGNORED):
            continue
        if (name := gguf_name(known.name, hf)) is None:
            raise Unsupported(f"{checkpoint.folder} holds a tensor {hf} that {known.name} models have no place for.")
        vector = len(stored.shape) < 2 or name.endswith("_norm.weight")
        rows = stored.shape[0]
        if (known.name, name) == ("gemma3", "token_embd.weight"):
            rows = min(rows, config["vocab_size"])  # its checkpoints pad the embedding
        values = partial(_values, known, name, stored, rows, config)
        yield _Job(name, (rows, *stored.shape[1:]), "F32" if vector else kind or stored.kind, values)


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
    context = rotary.get("original_max_position_embeddings", 8192)
    low, high = rotary.get("low_freq_factor", 1.0), rotary.get("high_freq_factor", 4.0)
    factor = rotary.get("factor", 8.0)
    powers = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    wavelengths = np.float32(2 * math.pi) / (np.float32(1) / np.float32(rotary["rope_theta"]) ** powers)
    smooth = (np.float32(context) / wavelengths - np.float32(low)) / np.float32(high - low)
    between = 1 / ((1 - smooth) / np.float32(factor) + smooth)
    factors = np.where(wavelengths < context / high, 1, np.where(wavelengths > context / low, factor, between))
    return factors.astype(np.float32)


def _add_general(writer: Any, folder: Path, name: str | None, kind: str | None) -> None:
    """The `general.*` keys: type, name, and what the model card says of author, licence and base model."""
    from gguf import GGML_QUANT_VERSION, GGUFType, Metadata, size_label

    total, shared, expert, experts = writer.get_total_parameter_count()
    metadata = Metadata.load(None, folder, name, total)
    metadata.name = metadata.name or folder.name
    metadata.size_label = metadata.size_label or size_label(total, shared, expert, experts)
    writer.add_type(GGUFType.MODEL)
    metadata.set_gguf_meta_model(writer)
    if kind is not None:
        writer.add_file_type(_FILE_TYPES[kind])
    writer.add_quantization_version(GGML_QUANT_VERSION)


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
    integers |= known.integers
    if known.window_period and config.get("sliding_window_pattern") != 1:
        integers["attention.sliding_window"] = "sliding_window"
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
    _add_rotary(writer, architecture, _rotary(config))


def _add_rotary(writer: Any, architecture: str, rotary: Mapping[str, Any]) -> None:
    kind = rotary["rope_type"]
    if kind not in ("default", "linear", "yarn") and (architecture, kind) != ("llama", "llama3"):
        raise Unsupported(f"xpert does not convert a {architecture} model with {kind} rotary embeddings itself.")
    writer.add_float32(f"{architecture}.rope.freq_base", rotary["rope_theta"])
    if kind not in ("linear", "yarn"):
        return
    scaling = f"{architecture}.rope.scaling."
    writer.add_string(scaling + "type", kind)
    writer.add_float32(scaling + "factor", rotary["factor"])
    if kind == "yarn":
        writer.add_uint32(scaling + "original_context_length", rotary["original_max_position_embeddings"])
        names = {
            "extrapolation_factor": "ext_factor",
            "attention_factor": "attn_factor",
            "beta_fast": "beta_fast",
            "beta_slow": "beta_slow",
        }
        for setting, key in names.items():
            if rotary.get(setting) is not None:
                writer.add_float32(f"{scaling}yarn_{key}", rotary[setting])
