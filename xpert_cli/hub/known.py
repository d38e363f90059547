"""Base models worth using on a small machine: their names here, where they lie on the Hub, and their published sizes.

    known("qwen3-0.6b").address                # "Qwen/Qwen3-0.6B-GGUF:Q8_0", which find_base understands

Sizes are those of each model's config.json. Not here: what a model takes on this machine (training/bases.py), fetching
it (hub/sources.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """One base model.

    Attributes:
        repo, type: of its GGUF file on the Hub, and the quantization type that its name ends in.
        architecture: as GGUF names it.
        layers, hidden, wide, heads, groups, size, vocabulary: of the decoder; `size` is a head's width, `groups` the
            number of heads of keys and values.
        tied: the file has no output matrix of its own beside the token embedding.
    """

    name: str
    repo: str
    type: str
    licence: str
    architecture: str
    layers: int
    hidden: int
    wide: int
    heads: int
    groups: int
    size: int
    vocabulary: int
    tied: bool = True

    @property
    def address(self) -> str:
        """`owner/name:TYPE`."""
        return f"{self.repo}:{self.type}"


KNOWN = (
    Known(
        *("smollm2-135m-instruct", "", "Q4_1", "Apache-2.0", "llama"),
        *(30, 576, 1536, 9, 3, 64, 49152),
    ),  # brought by a package, not by the Hub
    Known(
        *("gemma-3-270m-it", "ggml-org/gemma-3-270m-it-GGUF", "Q8_0", "Gemma", "gemma3"),
        *(18, 640, 2048, 4, 1, 256, 262144),
    ),
    Known(
        *("smollm2-360m-instruct", "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF", "Q8_0", "Apache-2.0", "llama"),
        *(32, 960, 2560, 15, 5, 64, 49152),
    ),
    Known(
        *("qwen2.5-0.5b-instruct", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "Q4_K_M", "Apache-2.0", "qwen2"),
        *(24, 896, 4864, 14, 2, 64, 151936),
        tied=False,
    ),
    Known(
        *("qwen2.5-coder-0.5b-instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "Q4_K_M", "Apache-2.0", "qwen2"),
        *(24, 896, 4864, 14, 2, 64, 151936),
        tied=False,
    ),
    Known(
        *("qwen3-0.6b", "Qwen/Qwen3-0.6B-GGUF", "Q8_0", "Apache-2.0", "qwen3"),
        *(28, 1024, 3072, 16, 8, 128, 151936),
    ),
    Known(
        *("gemma-3-1b-it", "ggml-org/gemma-3-1b-it-GGUF", "Q4_K_M", "Gemma", "gemma3"),
        *(26, 1152, 6912, 4, 1, 256, 262144),
    ),
    Known(
        *("llama-3.2-1b-instruct", "bartowski/Llama-3.2-1B-Instruct-GGUF", "Q4_K_M", "Llama 3.2", "llama"),
        *(16, 2048, 8192, 32, 8, 64, 128256),
    ),
    Known(
        *("qwen2.5-1.5b-instruct", "Qwen/Qwen2.5-1.5B-Instruct-GGUF", "Q4_K_M", "Apache-2.0", "qwen2"),
        *(28, 1536, 8960, 12, 2, 128, 151936),
        tied=False,
    ),
    Known(
        *("qwen2.5-coder-1.5b-instruct", "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "Q4_K_M", "Apache-2.0", "qwen2"),
        *(28, 1536, 8960, 12, 2, 128, 151936),
        tied=False,
    ),
    Known(
        *("smollm2-1.7b-instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", "Q4_K_M", "Apache-2.0", "llama"),
        *(24, 2048, 8192, 32, 32, 64, 49152),
    ),
    Known(
        *("qwen3-1.7b", "Qwen/Qwen3-1.7B-GGUF", "Q8_0", "Apache-2.0", "qwen3"),
        *(28, 2048, 6144, 16, 8, 128, 151936),
    ),
)


def known(name: str) -> Known | None:
    """The model of a name, in letters of any case; None where it is none of them."""
    return next((one for one in KNOWN if one.name == name.lower()), None)
