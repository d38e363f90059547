"""Tiny GGUF models and adapters made of seeded random numbers, small enough to read through in a debugger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xpert_cli import gguf
from xpert_cli.gguf.adapter import Adapter

HIDDEN, WIDE, HEADS, KV_HEADS, LAYERS, VOCABULARY = 64, 96, 4, 2, 2, 32
LINEAR = {
    "attn_q": (HIDDEN, HIDDEN),
    "attn_k": (HIDDEN // 2, HIDDEN),
    "attn_v": (HIDDEN // 2, HIDDEN),
    "attn_output": (HIDDEN, HIDDEN),
    "ffn_gate": (WIDE, HIDDEN),
    "ffn_up": (WIDE, HIDDEN),
    "ffn_down": (HIDDEN, WIDE),
}


def metadata(**changed: object) -> dict[str, bytes]:
    """A llama model without a tokenizer; keyword arguments set integers of the architecture."""
    sizes = {
        "block_count": LAYERS,
        "context_length": 128,
        "embedding_length": HIDDEN,
        "feed_forward_length": WIDE,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "rope.dimension_count": HIDDEN // HEADS,
        "vocab_size": VOCABULARY,
    } | changed
    return {
        "general.architecture": gguf.encode("string", "llama"),
        "general.type": gguf.encode("string", "model"),
        "general.name": gguf.encode("string", "Tiny"),
        "general.file_type": gguf.encode("uint32", 0),
        **{f"llama.{key}": gguf.encode("uint32", value) for key, value in sizes.items()},
        "llama.attention.layer_norm_rms_epsilon": gguf.encode("float32", 1e-5),
        "tokenizer.ggml.model": gguf.encode("string", "none"),
    }


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (VOCABULARY, HIDDEN), "output_norm": (HIDDEN,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}": (HIDDEN,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in LINEAR.items()}
    return {
        f"{name}.weight": random.normal(len(shape) == 1, 0.1, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_base(path: Path, seed: int = 0, entries: Mapping[str, bytes] | None = None, **changed: object) -> Path:
    """The tiny model as a file; `entries` are metadata, encoded, beside or in place of its own."""
    planned = {name: gguf.Planned(data.shape, "F32", lambda data=data: data) for name, data in tensors(seed).items()}
    gguf.write_model(path, metadata(**changed) | dict(entries or {}), planned)
    return path


def adapter(
    seed: int = 0, rank: int = 4, alpha: float = 8.0, only: tuple[str, ...] = tuple(LINEAR), **extra: object
) -> Adapter:
    """A random adapter of the tiny base; keyword arguments become xpert.* metadata."""
    random = np.random.default_rng(seed)
    factors = {
        f"blk.{layer}.{name}.weight": (
            random.normal(0, 0.1, (rank, LINEAR[name][1])).astype(np.float32),
            random.normal(0, 0.1, (LINEAR[name][0], rank)).astype(np.float32),
        )
        for layer in range(LAYERS)
        for name in only
    }
    return Adapter("llama", alpha, factors, {f"xpert.{key}": value for key, value in extra.items()})
