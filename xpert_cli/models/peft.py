"""PEFT LoRA folders (adapter_config.json, adapter_model.safetensors) to adapters and back, exactly.

    adapter = read_peft(folder, heads=9, kv_heads=3, architecture="llama")
    write_peft(adapter, folder, heads=9, kv_heads=3, base_name="SmolLM2-135M-Instruct")

Neither torch nor peft is needed. rsLoRA and per-layer ranks or alphas are folded into the factors. What an adapter
GGUF cannot hold is refused: DoRA, biases, whole modules, embeddings, weights that assume a changed base (PiSSA).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli.errors import BadModel, CacheMismatch
from xpert_cli.gguf.adapter import Adapter, Factors, Floats, shorten
from xpert_cli.gguf.architectures import ARCHITECTURES, gguf_name, hf_name, is_permuted, permute, unpermute
from xpert_cli.models.hf_checkpoint import read_json
from xpert_cli.models.safetensors_file import read_safetensors, write_safetensors
from xpert_cli.paths import whole

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MAX_HEADER = 16 << 20  # bytes

# Settings of a PEFT config under which W + scale * B @ A is not what the adapter does.
_REFUSED = (
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "fan_in_fan_out",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
)
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_NAME = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.([^.]+))?\.weight")  # module, half, adapter's name
_WRAPPED = re.compile(r"(?:language_model\.model|model\.language_model)\.")  # the text model beside a vision tower
_PLAIN = re.compile(r"[\w.]+")  # a pattern without anything to try in several ways
# A group repeated, a repetition repeated, a look-around or a back-reference: with these, trying can take forever.
_WILD = re.compile(r"\)[*+?{]|[*+?}][*+{]|\(\?|\\\d")
MAX_PATTERN, MAX_REPEATS = 200, 3  # characters of a module or a foreign pattern, repetitions in the latter


def read_peft(folder: Path, *, heads: int, kv_heads: int, architecture: str) -> Adapter:
    """A PEFT LoRA folder as an adapter in GGUF's names and row order; factors are float32.

    Args:
        heads, kv_heads: attention heads of the base model, for the row order of q and k.
        architecture: GGUF name of the base's architecture.

    Raises:
        BadModel: not a LoRA folder, or one that a GGUF adapter cannot express.
        CacheMismatch: the folder says that it is for another architecture.
    """
    if architecture not in ARCHITECTURES:
        raise BadModel(
            f"{architecture} adapters are not supported ({', '.join(ARCHITECTURES)} are). Use another base model."
        )
    folder = peft_folder(folder)
    config, modules = _config(folder), _modules(folder)
    _check_class(folder, config, architecture)
    if unknown := [module for module in modules if _gguf_name(architecture, module) is None]:
        raise BadModel(
            f"{folder}: {shorten(unknown)} cannot be adapted in a GGUF file. Train the blocks' linear layers only."
        )
    try:
        scales = {module: _scale(config, module, len(a)) for module, (a, _) in modules.items()}
        if not all(map(math.isfinite, scales.values())):
            raise ValueError("a scale is not finite")
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, re.error) as error:
        raise BadModel(
            f"{folder / CONFIG}: lora_alpha or alpha_pattern makes no sense ({error}). Save the adapter again."
        ) from error
    rank = max(len(a) for a, _ in modules.values())
    uniform = len(set(scales.values())) == 1 and all(len(a) == rank for a, _ in modules.values())
    alpha = next(iter(scales.values())) * rank if uniform else float(rank)
    factors = {}
    for module, (a, b) in modules.items():
        name = str(_gguf_name(architecture, module))
        if role := is_permuted(architecture, name):
            b = permute(b, heads if role == "q" else kv_heads)
        factors[name] = (a, b) if uniform else _padded(a, b * np.float32(scales[module]), rank)
    if infinite := [name for name, pair in factors.items() if not all(np.isfinite(half).all() for half in pair)]:
        raise BadModel(f"{folder}: {shorten(infinite)} holds values that are not finite. Train the adapter again.")
    return Adapter(architecture, alpha, factors)


def _gguf_name(architecture: str, module: str) -> str | None:
    name = gguf_name(architecture, f"{module}.weight") if len(module) <= MAX_PATTERN else None
    return None if name is None or name == "token_embd.weight" or "norm" in name else name


def peft_folder(folder: Path) -> Path:
    """The folder that holds the adapter: the given one, or the only checkpoint that a trainer left in it.

    Raises:
        BadModel: there are several checkpoints, or PEFT's weights lie in a pickle.
    """
    if not (folder / CONFIG).is_file():
        checkpoints = sorted(folder.glob(f"checkpoint-*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
        if len(checkpoints) > 1:
            latest = checkpoints[-1].parent
            raise BadModel(f"{folder} holds {len(checkpoints)} checkpoints. Give one of them: the latest is {latest}")
        folder = checkpoints[0].parent if checkpoints else folder
    if (pickle := folder / "adapter_model.bin").is_file() and not (folder / WEIGHTS).is_file():
        raise BadModel(
            f"{pickle} is a pickle, which can run code when it is read. Load it with PEFT where you trust it, and save "
            "it with save_pretrained(folder, safe_serialization=True)."
        )
    return folder


def base_named(folder: Path) -> str | None:
    """The base model that a PEFT folder says it is for, without its folders and owner; None if it says none."""
    name = read_json(peft_folder(folder) / CONFIG).get("base_model_name_or_path")
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1] or None if isinstance(name, str) else None


def _check_class(folder: Path, config: Mapping[str, Any], architecture: str) -> None:
    mapping = config.get("auto_mapping")
    class_name = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    known = {name: entry.name for entry in ARCHITECTURES.values() for name in entry.classes}
    if isinstance(class_name, str) and known.get(class_name, architecture) != architecture:
        raise CacheMismatch(
            f"{folder} is for a {class_name} model; the base is {architecture}. Use the base that it was trained on."
        )


def _config(folder: Path) -> Mapping[str, Any]:
    config = read_json(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise BadModel(f"{folder}: this is no LoRA adapter (peft_type is not LORA). Give a LoRA folder.")
    refused = [key for key in _REFUSED if config.get(key)]
    if config.get("bias", "none") != "none":
        refused.append("bias")
    if str(config.get("init_lora_weights")).startswith(_CHANGES_BASE):
        refused.append(f"init_lora_weights={config['init_lora_weights']}")
    if refused:
        raise BadModel(f"{folder}: {', '.join(refused)} cannot be expressed in a GGUF adapter. Train plain LoRA.")
    return config


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What PEFT multiplies B @ A with; a pattern matches the end of a module's name."""
    alpha = config.get("lora_alpha", 8)
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if _matches(pattern, module):
            alpha = value
            break
    return float(alpha / rank**0.5 if config.get("use_rslora") else alpha / rank)


def _matches(pattern: str, module: str) -> bool:
    """Whether PEFT would apply a pattern to a module: it matches the name's end.

    Raises:
        ValueError: a pattern that could take forever to try; PEFT writes none.
    """
    plain = _PLAIN.fullmatch(pattern)
    if not plain and (
        len(pattern) > MAX_PATTERN or _WILD.search(pattern) or len(re.findall(r"[*+{]", pattern)) > MAX_REPEATS
    ):
        raise ValueError(f"the pattern {pattern!a:.60} is too complex")
    return re.match(rf"(.*\.)?({pattern})$", module) is not None


def _padded(a: Floats, b: Floats, rank: int) -> Factors:
    more = rank - len(a)
    return np.pad(a, ((0, more), (0, 0))), np.pad(b, ((0, 0), (0, more)))


def _modules(folder: Path) -> dict[str, Factors]:
    """Hugging Face module name -> A and B."""
    path = folder / WEIGHTS
    halves: dict[str, dict[str, Floats]] = {}
    odd = []
    names = set()
    for name, stored in read_safetensors(path, MAX_HEADER).items():
        if (match := _NAME.fullmatch(name)) and len(stored.shape) == 2:
            module = _WRAPPED.sub("model.", match[1].replace("_orig_mod.", ""), count=1)
            halves.setdefault(module, {})[match[2]] = stored.floats()
            names.add(match[3])
        else:
            odd.append(name)
    odd += [module for module, half in halves.items() if len(half) < 2 or len(half["A"]) != half["B"].shape[1]]
    if len(names) > 1:
        raise BadModel(f"{path} holds several adapters: {shorten(sorted(map(str, names)))}. Save one of them alone.")
    if odd or not halves:
        raise BadModel(
            f"{path}: {shorten(odd) or 'nothing'} is no pair of LoRA factors. Train the linear layers with plain LoRA."
        )
    return {module: (half["A"], half["B"]) for module, half in halves.items()}


def write_peft(adapter: Adapter, folder: Path, *, heads: int, kv_heads: int, base_name: str) -> None:
    """Write a folder that PEFT's from_pretrained and llama.cpp's convert_lora_to_gguf.py read; float32, exact.

    Raises:
        BadModel: the adapter's architecture has no Hugging Face names here.
        CannotWrite: the folder cannot be written.
    """
    architecture = adapter.architecture
    if architecture not in ARCHITECTURES:
        raise BadModel(f"{architecture} adapters cannot be written as PEFT folders. Write a .gguf file instead.")
    tensors: dict[str, Floats] = {}
    modules = []
    for name, (a, b) in adapter.factors.items():
        module = hf_name(architecture, name.removesuffix(".weight"))
        if module is None:
            raise BadModel(f"{name} has no name in a PEFT folder. Write a .gguf file instead.")
        if role := is_permuted(architecture, name):
            b = unpermute(b, heads if role == "q" else kv_heads)
        modules.append(module)
        tensors |= {f"base_model.model.{module}.lora_{half}.weight": values for half, values in (("A", a), ("B", b))}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": adapter.rank,
        "lora_alpha": int(adapter.alpha) if adapter.alpha == int(adapter.alpha) else adapter.alpha,
        "target_modules": modules,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    write_safetensors(folder / WEIGHTS, tensors)
    with whole(folder / CONFIG, "--out") as part:
        part.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
