"""The architectures that xpert converts, trains and adapts: one entry each, read by all code that they differ in.

    gguf_name("llama", "model.layers.0.self_attn.q_proj.weight")  ->  "blk.0.attn_q.weight"
    hf_name("llama", "blk.0.attn_q.weight")                       ->  "model.layers.0.self_attn.q_proj.weight"
    ARCHITECTURES["gemma3"].activation                            ->  "gelu"

To add an architecture that differs from these by flags alone: add an entry here, a maker in tests/tiny.py, and its name
to the cases of tests/test_decoder.py and tests/test_convert_oracle.py. Its conversion (models/hf_model.py), its decoder
(training/decoder.py) and its layers (llama/layers.py) read the entry. Not covered: experts, vision towers.
"""

from __future__ import annotations

import math
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
_AFTER = {"post_attention_layernorm": "post_attention_norm", "post_feedforward_layernorm": "post_ffw_norm"}
_JOINED = {
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GEMMA_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


@dataclass(frozen=True)
class Architecture:
    """One supported model family: its names, and the flags by which its computation differs from the others.

    Attributes:
        name: as `general.architecture` of a GGUF file has it.
        classes: by Hugging Face class, what transformers assumes where config.json is silent.
        blocks: the module names inside `model.layers.N.` -> those inside `blk.N.`. Norms that a family does not have
            are left out; a norm on queries or keys is one of each head or one of them all, as its size says.
        top: the same for the modules outside of the layers.
        biases: linear layers of a block that always have a bias; config.json may state others.
        interleaved: rotary pairs are neighbours in the GGUF file; the rows of q and k are permuted on the way there.
        norm_offset: what the stored weights of norms lack: gemma3 multiplies by 1 + w, and GGUF stores 1 + w.
        activation: of the gate.
        scaled_embeddings: embeddings are multiplied by the square root of their width.
        padded_embeddings: checkpoints may have more rows of embeddings than the vocabulary has tokens.
        needs_head: llama.cpp loads no file without an output matrix of its own.
        no_rope_period: the last of each run of so many layers does not rotate; 0: all do.
        partial_rope: a part of each head may be rotated alone, `rope.dimension_count` numbers, with longrope's factors.
        rope_factors: llama.cpp reads factors of the rotary frequencies, as llama3's long context needs them.
        window_period: in each run of so many layers, all but the last see only `attention.sliding_window` tokens; 0:
            none does. A GGUF file may state another period.
        space_prefix: whether SentencePiece puts a space before each text; None: as the tokenizer's settings say.
        llama_keys: the GGUF file repeats the sizes of the vocabulary and of rotated heads, as llama's do.
        floats: keys of the GGUF file, after the architecture, that only this family has -> config.json's.
    """

    name: str
    classes: Mapping[str, Mapping[str, Any]]
    blocks: Mapping[str, str]
    top: Mapping[str, str] = field(default_factory=lambda: MappingProxyType(_TOP))
    biases: tuple[str, ...] = ()
    interleaved: bool = False
    norm_offset: float = 0.0
    activation: Literal["silu", "gelu"] = "silu"
    scaled_embeddings: bool = False
    padded_embeddings: bool = False
    needs_head: bool = False
    no_rope_period: int = 0
    partial_rope: bool = False
    rope_factors: bool = False
    window_period: int = 0
    space_prefix: bool | None = None
    llama_keys: bool = False
    floats: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The linear layers of a block by what they share as input, in their order, by GGUF name."""
        names = set(self.blocks.values())
        qkv = ("attn_qkv",) if "attn_qkv" in names else ("attn_q", "attn_k", "attn_v")
        gate_up = ("ffn_gate", "ffn_up") if "ffn_gate" in names else ("ffn_up",)
        return qkv, ("attn_output",), gate_up, ("ffn_down",)

    @property
    def period(self) -> int:
        """After how many layers they are alike again, if a GGUF file states no other pattern of windows."""
        return math.lcm(self.window_period or 1, self.no_rope_period or 1)

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms of a layer, by GGUF name."""
        return tuple(name for name in self.blocks.values() if name.endswith("_norm"))


_ENTRIES = (
    Architecture(
        "llama",
        {
            "LlamaForCausalLM": {"max_position_embeddings": 2048},
            "MistralForCausalLM": {
                "max_position_embeddings": 131072,
                "num_key_value_heads": 8,
                "use_sliding_window": True,
                "sliding_window": 4096,
            },
        },
        _LINEAR | _NORMS,
        interleaved=True,
        rope_factors=True,
        llama_keys=True,
    ),
    Architecture(
        "qwen2",
        {"Qwen2ForCausalLM": {"max_position_embeddings": 32768, "num_key_value_heads": 32}},
        _LINEAR | _NORMS,
        biases=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ),
    Architecture(
        "qwen3",
        {"Qwen3ForCausalLM": {"max_position_embeddings": 32768, "num_key_value_heads": 32, "head_dim": 128}},
        _LINEAR | _NORMS | _HEAD_NORMS,
    ),
    Architecture(
        "smollm3",
        {
            "SmolLM3ForCausalLM": {
                "max_position_embeddings": 32768,
                "num_key_value_heads": 4,
                "rope_theta": 2000000.0,
                "tie_word_embeddings": True,
            }
        },
        _LINEAR | _NORMS,
        interleaved=True,
        llama_keys=True,
        no_rope_period=4,
    ),
    Architecture(
        "granite",
        {
            "GraniteForCausalLM": {
                "max_position_embeddings": 2048,
                "embedding_multiplier": 1.0,
                "attention_multiplier": 1.0,
                "residual_multiplier": 1.0,
                "logits_scaling": 1.0,
            }
        },
        _LINEAR | _NORMS,
        interleaved=True,
        llama_keys=True,
        rope_factors=True,
        floats={
            "embedding_scale": "embedding_multiplier",
            "attention.scale": "attention_multiplier",
            "residual_scale": "residual_multiplier",
            "logit_scale": "logits_scaling",
        },
    ),
    Architecture(
        "olmo2",
        {"Olmo2ForCausalLM": {"max_position_embeddings": 2048, "rms_norm_eps": 1e-5}},
        _LINEAR | _AFTER | _HEAD_NORMS,
        needs_head=True,
    ),
    Architecture(
        "phi3",
        {
            "Phi3ForCausalLM": {
                "max_position_embeddings": 4096,
                "original_max_position_embeddings": 4096,
                "rms_norm_eps": 1e-5,
                "use_sliding_window": True,
            }
        },
        _JOINED | _NORMS,
        partial_rope=True,
    ),
    Architecture(
        "gemma3",
        {
            "Gemma3ForCausalLM": {
                "max_position_embeddings": 131072,
                "rope_theta": 1000000.0,
                "rope_local_base_freq": 10000.0,
                "num_attention_heads": 8,
                "num_key_value_heads": 4,
                "head_dim": 256,
                "sliding_window": 4096,
                "tie_word_embeddings": True,
            }
        },
        _LINEAR | _GEMMA_NORMS | _HEAD_NORMS,
        norm_offset=1.0,
        activation="gelu",
        scaled_embeddings=True,
        padded_embeddings=True,
        space_prefix=False,
        window_period=6,
        floats={"final_logit_softcapping": "final_logit_softcapping"},
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({entry.name: entry for entry in _ENTRIES})

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
    if not ARCHITECTURES[architecture].interleaved or block is None:
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
