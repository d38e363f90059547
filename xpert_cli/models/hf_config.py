"""A Hugging Face model's config.json: what it says, what transformers assumes where it is silent, and what is refused.

    known, config = read_settings(open_checkpoint(folder))
    rotary(config)                                    # {"rope_theta": 10000.0, "rope_type": "default", ...}

Refused is every setting that would change what the model computes and that a GGUF file cannot hold or llama.cpp does
not compute; llama.cpp's own converter drops some of these without a word. Not here: tensors (models/hf_model.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from xpert_cli.counts import counted
from xpert_cli.errors import BadModel
from xpert_cli.gguf.architectures import ARCHITECTURES, Architecture
from xpert_cli.gguf.header import MAX_LAYERS
from xpert_cli.models.hf_checkpoint import Checkpoint
from xpert_cli.models.hf_tokenizer import Unsupported

SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_ACTIVATIONS = {"silu": ("silu", "swish"), "gelu": ("gelu_pytorch_tanh",)}
_DEFAULTS = {"rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False, "use_sliding_window": False}
_WITH_ORIGINAL = ("llama3", "yarn", "longrope")  # rotary embeddings stretched from an original context


def read_settings(checkpoint: Checkpoint) -> tuple[Architecture, dict[str, Any]]:
    """The model's architecture, and config.json with the defaults of its class filled in and nulls left out.

    Raises:
        Unsupported: not one of the built-in architectures.
        BadModel: config.json is damaged, or says what a GGUF file cannot hold; names the setting.
    """
    try:
        known, defaults = _architecture(checkpoint)
        config = {key: value for key, value in {**defaults, **checkpoint.config}.items() if value is not None}
        _check_sizes(config)
        config.setdefault("num_key_value_heads", config["num_attention_heads"])
        _refuse(known, config)
        _set_window(known, defaults, config)
        _check_rotary(known, config)
        return known, config
    except BadModel as error:
        raise type(error)(f"{checkpoint.folder}: {error}") from error
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError, RecursionError) as error:
        raise BadModel(
            f"{checkpoint.folder}/config.json holds a value of the wrong kind ({error}). Download the model again."
        ) from error


def _architecture(checkpoint: Checkpoint) -> tuple[Architecture, Mapping[str, Any]]:
    """What the model is, and what transformers assumes of its class."""
    classes = checkpoint.config.get("architectures")
    name = classes[0] if isinstance(classes, list) and classes else "a model without a name for its architecture"
    for known in ARCHITECTURES.values():
        if name in known.classes:
            return known, {**_DEFAULTS, **known.classes[name]}
    names = ", ".join(name for known in ARCHITECTURES.values() for name in known.classes)
    raise Unsupported(f"xpert does not convert {name!s:.80} itself (it does {names}).")


def _check_sizes(config: Mapping[str, Any]) -> None:
    """That the sizes are there, and all that is written as a whole number is one."""
    optional = ("num_key_value_heads", "head_dim", "max_position_embeddings", "sliding_window")
    wrong = [key for key in SIZES if not _is_count(config.get(key))]
    wrong += [key for key in optional if key in config and not _is_count(config[key])]
    if wrong:
        raise BadModel(f"config.json has no usable {', '.join(wrong)}. Download the model again.")
    if config["num_hidden_layers"] > MAX_LAYERS:
        raise BadModel(f"config.json tells of {config['num_hidden_layers']} layers, over {MAX_LAYERS}.")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _refuse(known: Architecture, config: Mapping[str, Any]) -> None:
    """Refuse what has no place in a GGUF file of this architecture."""
    if "quantization_config" in config:
        method = config["quantization_config"].get("quant_method", "another tool")
        raise BadModel(f"the model is already quantized by {method}. Convert the original checkpoint instead.")
    setting = "hidden_activation" if known.activation == "gelu" else "hidden_act"
    names = _ACTIVATIONS[known.activation]
    if (activation := config.get(setting, names[0])) not in names:
        raise _cannot(known, f"{activation} activations")
    if "attn_logit_softcapping" in config:
        raise _cannot(known, "attention soft-capping")
    if config.get("use_bidirectional_attention") or config.get("is_causal") is False:
        raise _cannot(known, "attention to later tokens")
    if known.name == "gemma3":
        large = config["num_hidden_layers"] == 62  # Gemma 3 27B, whose attention llama.cpp scales otherwise
        size = config["hidden_size"] // config["num_attention_heads"] if large else config["head_dim"]
        if config.get("query_pre_attn_scalar", 256) != size:
            raise _cannot(known, "an attention scale of its own")
    if known.needs_head and config["tie_word_embeddings"] is True:
        raise _cannot(known, "an output matrix tied to its embeddings")
    if period := known.no_rope_period:
        expected = [int((layer + 1) % period != 0) for layer in range(config["num_hidden_layers"])]
        stated = config.get("no_rope_layer_interval", period)
        if config.get("no_rope_layers", expected if stated == period else None) != expected:
            raise _cannot(known, f"layers without rotary embeddings elsewhere than at every {period}th")
    for setting in known.floats.values():
        if setting in config and not (math.isfinite(config[setting]) and config[setting] > 0):
            raise BadModel(f"{setting} in config.json is {config[setting]!s:.40}. Download the model again.")
    if not isinstance(config["tie_word_embeddings"], bool):
        raise BadModel("tie_word_embeddings is neither true nor false. Download the model again.")


def _cannot(known: Architecture, what: str) -> BadModel:
    return BadModel(
        f"this model has {what}, which a GGUF file of architecture {known.name} cannot say: "
        "llama.cpp would compute something else. Choose another model."
    )


def _set_window(known: Architecture, defaults: Mapping[str, Any], config: dict[str, Any]) -> None:
    """Set `sliding_window_pattern` to the period of the layers with a sliding window; refuse what has no period."""
    sliding = _sliding(known, defaults, config)
    window = config.get("sliding_window", config["max_position_embeddings"])
    if not known.window_period:
        if any(sliding) and window < config["max_position_embeddings"]:
            raise _cannot(known, f"a sliding window of {window} tokens")
        return
    if any(sliding) and "sliding_window" not in config:
        raise BadModel("config.json has layers with a sliding window, and no sliding_window. Download the model again.")
    periods = [known.window_period, *range(1, len(sliding) + 2)]
    matching = (p for p in periods if sliding == [(layer + 1) % p != 0 for layer in range(len(sliding))])
    if (period := next(matching, None)) is None:
        raise _cannot(known, "layers with a sliding window in irregular places")
    config["sliding_window_pattern"] = period


def _sliding(known: Architecture, defaults: Mapping[str, Any], config: Mapping[str, Any]) -> list[bool]:
    """Whether each layer sees only a window of tokens, as transformers decides it."""
    count = config["num_hidden_layers"]
    everywhere = bool(defaults["use_sliding_window"])  # classes that know of no other kind of layer
    if "layer_types" in config and not everywhere:
        kinds = config["layer_types"]
        if not isinstance(kinds, list) or len(kinds) != count:
            raise BadModel(
                f"layer_types in config.json does not name {counted(count, 'layers')}. Download the model again."
            )
        if other := set(map(str, kinds)) - {"full_attention", "sliding_attention"}:
            raise _cannot(known, f"layers of type {min(other):.40}")
        return [kind == "sliding_attention" for kind in kinds]
    if known.window_period:
        period = config.get("sliding_window_pattern", known.window_period)
        return [(layer + 1) % period != 0 for layer in range(count)]
    if "sliding_window" not in config or not config["use_sliding_window"]:
        return [False] * count
    return [layer >= config.get("max_window_layers", 0) for layer in range(count)]


def rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary parameters of full attention, from config.json as transformers 5 or as earlier versions wrote it."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope = {key: value for key, value in rope.get("full_attention", rope).items() if value is not None}
    kind = rope.get("rope_type", rope.get("type", "default"))
    merged = {"rope_theta": config["rope_theta"], **rope, "rope_type": kind}
    if kind in _WITH_ORIGINAL:
        original = "original_max_position_embeddings"
        merged[original] = config.get(original, rope.get(original, config["max_position_embeddings"]))
    return merged


def head_size(config: Mapping[str, Any]) -> int:
    """Numbers of one head of queries, keys or values."""
    return int(config.get("head_dim", config["hidden_size"] // config["num_attention_heads"]))


def rotated_size(config: Mapping[str, Any]) -> int:
    """Numbers of a head that are rotated."""
    share = rotary(config).get("partial_rotary_factor", config.get("partial_rotary_factor", 1))
    return int(head_size(config) * share)


def longrope_factor(config: Mapping[str, Any]) -> float:
    """What longrope multiplies cosines and sines with."""
    parameters = rotary(config)
    if "attention_factor" in parameters:
        return float(parameters["attention_factor"])
    original = parameters["original_max_position_embeddings"]
    factor = parameters.get("factor", config["max_position_embeddings"] / original)
    return math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0


def attention_factor(rotary: Mapping[str, Any]) -> float:
    """What YaRN multiplies cosines and sines with beyond the 0.1 ln(factor) + 1 that llama.cpp takes by itself."""
    usual = 0.1 * math.log(max(rotary["factor"], 1.0)) + 1
    if "attention_factor" in rotary:
        return float(rotary["attention_factor"] / usual)
    if rotary.get("mscale") and rotary.get("mscale_all_dim"):
        above, below = (0.1 * rotary[key] * math.log(max(rotary["factor"], 1.0)) + 1 for key in _SCALES)
        return float(above / below / usual)
    return 1.0


_SCALES = ("mscale", "mscale_all_dim")


def _check_rotary(known: Architecture, config: Mapping[str, Any]) -> None:
    parameters = rotary(config)
    kind = parameters["rope_type"]
    known_kinds = {"default", "longrope"} if known.partial_rope else {"default", "linear", "yarn"}
    if kind not in known_kinds | ({"llama3"} if known.rope_factors else set()):
        raise _cannot(known, f"{kind!s:.40} rotary embeddings")
    numbers = ("rope_theta", "factor", "attention_factor", "beta_fast", "beta_slow", *_SCALES)
    needed = ("rope_theta",) if kind in ("default", "longrope") else ("rope_theta", "factor")
    for key in {*needed, *(key for key in numbers if key in parameters)}:
        value = parameters[key]
        if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
            raise BadModel(f"the rotary embeddings' {key} in config.json is {value!s:.40}. Download the model again.")
    if kind in _WITH_ORIGINAL and not _is_count(parameters["original_max_position_embeddings"]):
        raise BadModel("original_max_position_embeddings in config.json is no number. Download the model again.")
    if kind == "yarn" and (parameters.get("truncate") is False or parameters.get("extrapolation_factor", 1) != 1):
        raise _cannot(known, "YaRN with truncate or extrapolation_factor")
    if kind == "yarn" and (parameters.get("beta_fast", 32), parameters.get("beta_slow", 1)) != (32, 1):
        raise _cannot(known, "YaRN with other beta_fast and beta_slow than 32 and 1")
    if kind == "longrope":
        for key in ("long_factor", "short_factor"):
            if len(parameters[key]) != rotated_size(config) // 2 or not all(map(math.isfinite, parameters[key])):
                raise BadModel(f"{key} in config.json is no list of one number a frequency. Download the model again.")
    if not known.partial_rope and rotated_size(config) != head_size(config):
        raise _cannot(known, "rotary embeddings of a part of each head")
    local = (config.get("rope_parameters") or {}).get("sliding_attention") or {}
    if local.get("rope_type", "default") != "default":
        raise _cannot(known, "stretched rotary embeddings in layers with a sliding window")
