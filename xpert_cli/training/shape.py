"""The sizes of a base model's decoder, from its GGUF metadata.

    shape = Shape.of(read_header(path))
    shape.layers, shape.hidden                     # (30, 576)

Not here: its weights, and what is computed with them (training/decoder.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xpert_cli import gguf
from xpert_cli.errors import BadModel
from xpert_cli.gguf.architectures import ARCHITECTURES, Architecture


@dataclass(frozen=True)
class Shape:
    """The sizes of a base model, from its GGUF metadata."""

    architecture: Architecture
    layers: int
    hidden: int
    wide: int
    heads: int
    groups: int
    size: int
    epsilon: float
    window: int | None
    window_period: int  # of so many layers, the last sees all tokens
    frequency: float
    local_frequency: float
    stretch: float
    cap: float | None
    rotated: int  # numbers of a head that positions rotate
    rotation_scale: float
    embedding_scale: float
    attention_scale: float
    residual_scale: float  # of what each sublayer adds
    logit_scale: float  # what logits are divided by

    @classmethod
    def of(cls, header: gguf.Header) -> Shape:
        """Raises BadModel for an architecture, or a variant of one, that this decoder does not compute."""
        metadata = header.metadata
        name = str(metadata.get("general.architecture"))
        if name not in ARCHITECTURES:
            raise BadModel(
                f"{header.path}: xpert does not train {name!r:.40} models. "
                f"Use a base of one of these architectures: {', '.join(ARCHITECTURES)}; or train its folder of "
                "safetensors with --engine peft."
            )

        known = ARCHITECTURES[name]

        def value(key: str, default: Any = None) -> Any:
            number = metadata.get(f"{name}.{key}", default)
            if number is None or isinstance(number, list):
                raise BadModel(f"{header.path}: no usable {name}.{key}. Convert the model again with: xpert convert")
            return number

        if (scaling := value("rope.scaling.type", "none")) not in ("none", "linear"):
            raise BadModel(
                f"{header.path}: xpert does not train models with {scaling} rotary embeddings yet. Use another base."
            )
        size = value("attention.key_length", value("embedding_length") // value("attention.head_count"))
        period = value("attention.sliding_window_pattern", known.window_period)
        heads, hidden = value("attention.head_count"), value("embedding_length")
        return cls(
            architecture=known,
            layers=value("block_count"),
            hidden=hidden,
            wide=value("feed_forward_length"),
            heads=heads,
            groups=value("attention.head_count_kv", heads),
            size=size,
            epsilon=value("attention.layer_norm_rms_epsilon"),
            window=value("attention.sliding_window", 0) or None if known.window_period else None,
            window_period=period,
            frequency=value("rope.freq_base", 10000.0),
            local_frequency=value("rope.freq_base_swa", 10000.0),
            stretch=value("rope.scaling.factor", 1.0) if scaling == "linear" else 1.0,
            cap=value("final_logit_softcapping", 0.0) or None,
            rotated=value("rope.dimension_count", size),
            rotation_scale=value("rope.scaling.attn_factor", 1.0),
            embedding_scale=hidden**0.5 if known.scaled_embeddings else value("embedding_scale", 1.0),
            attention_scale=value("attention.scale", size**-0.5),
            residual_scale=value("residual_scale", 1.0),
            logit_scale=value("logit_scale", 1.0),
        )

    @property
    def kept_numbers(self) -> int:
        """Numbers a token that a layer keeps for its gradient: two streams, q, k, v, their mix, gate and up."""
        return 2 * self.hidden + (2 * self.heads + 2 * self.groups) * self.size + 2 * self.wide

    def is_rotated(self, layer: int) -> bool:
        """Whether a layer's queries and keys know their positions."""
        return not self.architecture.no_rope_period or (layer + 1) % self.architecture.no_rope_period != 0

    def is_local(self, layer: int) -> bool:
        """Whether a layer sees only a window of the tokens before."""
        return self.window is not None and (layer + 1) % self.window_period != 0
