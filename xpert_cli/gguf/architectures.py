"""The tensor names of the architectures xpert converts and adapts: Hugging Face on one side, GGUF on the other.

    gguf_name("llama", "model.layers.0.self_attn.q_proj.weight")  ->  "blk.0.attn_q.weight"
    hf_name("llama", "blk.0.attn_q.weight")                       ->  "model.layers.0.self_attn.q_proj.weight"

GGUF stores the q and k projections of the llama architecture with the two halves of every rotary head interleaved
(`permute`); qwen2, qwen3 and gemma3 keep Hugging Face's order. Not covered: any other architecture, MoE, vision towers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LINEAR = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_GEMMA_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


@dataclass(frozen=True)
class Architecture:
    """One supported model family.

    `blocks` maps the module names inside `model.layers.N.` to those inside `blk.N.`; `top` the modules outside.
    """

    name: str
    hf_class: str
    blocks: Mapping[str, str]
    permuted: bool = False
    norm_offset: float = 0.0  # gemma stores w where its norm multiplies by 1 + w; GGUF stores 1 + w
    top: Mapping[str, str] = field(default_factory=lambda: MappingProxyType(_TOP))


def _architecture(name: str, hf_class: str, *blocks: Mapping[str, str], **flags: Any) -> Architecture:
    joined = {hf: gguf for part in blocks for hf, gguf in part.items()}
    return Architecture(name, hf_class, MappingProxyType(joined), **flags)


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": _architecture("llama", "LlamaForCausalLM", _LINEAR, _NORMS, permuted=True),
        "qwen2": _architecture("qwen2", "Qwen2ForCausalLM", _LINEAR, _NORMS),
        "qwen3": _architecture("qwen3", "Qwen3ForCausalLM", _LINEAR, _NORMS, _HEAD_NORMS),
        "gemma3": _architecture("gemma3", "Gemma3ForCausalLM", _LINEAR, _GEMMA_NORMS, _HEAD_NORMS, norm_offset=1.0),
    }
)

LINEAR_MODULES: tuple[str, ...] = tuple(_LINEAR)
"""The linear layers inside every block, by Hugging Face name: what a LoRA adapter may target."""

_HF_BLOCK = re.compile(r"model\.layers\.(\d+)\.(.+)")
_GGUF_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")


def _split(name: str) -> tuple[str, str]:
    """A name and its parameter suffix; module names and tensor names are both accepted."""
    for suffix in (".weight", ".bias"):
        if name.endswith(suffix):
            return name.removesuffix(suffix), suffix
    return name, ""


def gguf_name(architecture: str, hf_name: str) -> str | None:
    """The GGUF name of a Hugging Face module or tensor; None when the architecture has no such tensor.

    Raises:
        KeyError: `architecture` is not in ARCHITECTURES.
    """
    known = ARCHITECTURES[architecture]
    module, suffix = _split(hf_name)
    if block := _HF_BLOCK.fullmatch(module):
        inner = known.blocks.get(block[2])
        return None if inner is None else f"blk.{block[1]}.{inner}{suffix}"
    outer = known.top.get(module)
    return None if outer is None else outer + suffix


def hf_name(architecture: str, gguf_name: str) -> str | None:
    """The Hugging Face name of a GGUF module or tensor, the inverse of `gguf_name`; None when there is none.

    Raises:
        KeyError: `architecture` is not in ARCHITECTURES.
    """
    known = ARCHITECTURES[architecture]
    module, suffix = _split(gguf_name)
    if block := _GGUF_BLOCK.fullmatch(module):
        inner = {gguf: hf for hf, gguf in known.blocks.items()}.get(block[2])
        return None if inner is None else f"model.layers.{block[1]}.{inner}{suffix}"
    outer = {gguf: hf for hf, gguf in known.top.items()}.get(module)
    return None if outer is None else outer + suffix


def is_permuted(architecture: str, gguf_tensor_name: str) -> Literal["q", "k"] | None:
    """Which head count governs a tensor's permuted rows: "q" or "k"; None when its rows are in order.

    Raises:
        KeyError: `architecture` is not in ARCHITECTURES.
    """
    block = _GGUF_BLOCK.fullmatch(_split(gguf_tensor_name)[0])
    if not ARCHITECTURES[architecture].permuted or block is None:
        return None
    if block[2] == "attn_q":
        return "q"
    return "k" if block[2] == "attn_k" else None


def permute(w: NDArray[Any], heads: int) -> NDArray[Any]:
    """Hugging Face's row order to GGUF's: within each head, row i of the first half is followed by row i of the second.

    Args:
        w: (heads * head_dim, ...) rows of a q or k projection, its bias, or a LoRA B factor.
        heads: attention heads for q, key-value heads for k.
    Returns:
        An array of the same shape and type.
    """
    return np.ascontiguousarray(w.reshape(heads, 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape))


def unpermute(w: NDArray[Any], heads: int) -> NDArray[Any]:
    """GGUF's row order back to Hugging Face's: the inverse of `permute`, same arguments."""
    return np.ascontiguousarray(w.reshape(heads, -1, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape))
