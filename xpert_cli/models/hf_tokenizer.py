"""A Hugging Face folder's tokenizer, put into a GGUF file the way llama.cpp reads it.

    add_tokenizer(folder, config, ARCHITECTURES["llama"], writer)

tokenizer.model (SentencePiece) is parsed from its protobuf. tokenizer.json may hold byte-level BPE or SentencePiece's
BPE. llama.cpp knows pre-tokenizers of byte-level BPE by name only: they are recognised by their regular expressions,
others are `Unsupported`. Not covered: WordPiece, Unigram in tokenizer.json, the infill tokens of CodeLlama.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xpert_cli.errors import BadModel
from xpert_cli.gguf.architectures import Architecture
from xpert_cli.models.hf_checkpoint import read_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(
    1, 7
)  # llama.cpp's token types; SentencePiece's are the same

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASES = (  # words end where a capital letter follows a small one
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s"
    r"|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PRE_TOKENIZERS = {
    ("gpt2",): "gpt-2",
    ("digits", "gpt2"): "smollm",
    (_WORDS % "{1,3}",): "dbrx",
    (_WORDS % "{1,3}", "whole words"): "llama-bpe",
    (_WORDS % "",): "qwen2",
    (_CASES % (_ENDINGS, _ENDINGS, "{1,3}"),): "gpt-4o",
    (_CASES % ("", "", ""), "whole words"): "tekken",
}
_BYTE_PIECE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_BRACKETS = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Unsupported(BadModel):
    """A model that xpert cannot convert itself, though llama.cpp's own converter may."""


def add_tokenizer(folder: Path, config: Mapping[str, Any], known: Architecture, writer: Any) -> None:
    """Write every `tokenizer.*` key of `folder` into a gguf.GGUFWriter.

    Args:
        config: config.json, whose vocab_size says how many tokens the embedding has.
        known: the model's architecture.

    Raises:
        Unsupported: a kind of tokenizer, or a pre-tokenizer, without a name in llama.cpp.
        BadModel: a tokenizer file is missing or damaged.
    """
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    stated = settings.get("add_prefix_space")
    space = known.space_prefix
    if space is None and known.llama_keys and isinstance(stated, bool):
        space = stated
    size = config["vocab_size"]
    try:
        if (folder / "tokenizer.model").is_file():
            _add_sentencepiece(folder, settings, size, writer)
        else:
            tokenizer = read_json(folder / "tokenizer.json")
            if tokenizer["model"].get("type", "BPE") == "BPE" and tokenizer["model"].get("byte_fallback"):
                space = _add_sentencepiece_bpe(folder, tokenizer, settings, size, writer)
            else:
                _add_bpe(folder, tokenizer, settings, size, writer)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, struct.error) as error:
        reason = " ".join(repr(error).split())[:200]
        raise BadModel(f"the tokenizer files in {folder} are damaged: {reason}. Download the model again.") from error
    if space is not None:
        writer.add_add_space_prefix(space)
    if known.llama_keys and size == 49152:  # SmolLM's post-processor asks for none, yet says nothing
        writer.add_add_bos_token(False)


def _add_bpe(folder: Path, tokenizer: Mapping[str, Any], settings: Mapping[str, Any], size: int, writer: Any) -> None:
    from gguf import SpecialVocab

    if (kind := tokenizer["model"].get("type", "BPE")) != "BPE":
        raise Unsupported(f"{folder}/tokenizer.json holds a tokenizer of kind {kind!s:.40}, which is not BPE.")
    tokens, types = bpe_tokens(tokenizer, settings, size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(tokenizer))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    SpecialVocab(folder, load_merges=True).add_to_gguf(writer, quiet=True)


def pre_tokenizer(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for the pre-tokenizer of a parsed tokenizer.json.

    Raises:
        Unsupported: its regular expressions are none that this module knows.
    """
    root = tokenizer.get("pre_tokenizer") or {}
    steps: list[str] = []
    for step in root.get("pretokenizers", [root]):
        if step.get("type") == "Split":
            steps.append(step["pattern"].get("Regex") or step["pattern"].get("String"))
        elif step.get("type") == "Digits":
            steps.append("digits" if step.get("individual_digits") else "digit runs")
        elif step.get("type") != "ByteLevel":
            steps.append(str(step.get("type")))
        elif step.get("use_regex", True):
            steps.append("gpt2")
    if tokenizer.get("model", {}).get("ignore_merges"):
        steps.append("whole words")
    if (name := _PRE_TOKENIZERS.get(tuple(steps))) is None:
        raise Unsupported(f"xpert does not know this model's pre-tokenizer {steps}.")
    return name


def bpe_tokens(tokenizer: Mapping[str, Any], settings: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    """The texts and llama.cpp types of all `size` tokens; ids that no token has are padded as unused.

    Args:
        tokenizer: the parsed tokenizer.json. settings: the parsed tokenizer_config.json.

    Raises:
        BadModel: a token's id lies beyond `size`.
    """
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [UNUSED] * size
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    named = {_content(settings.get(name)) for name in _SPECIAL_NAMES} - {None}
    added = {entry["id"]: entry for entry in tokenizer.get("added_tokens", [])}
    added |= {vocabulary[name]: {"content": name, "special": True} for name in named if name in vocabulary}
    added |= {int(key): entry for key, entry in settings.get("added_tokens_decoder", {}).items()}
    if (highest := max([*vocabulary.values(), *added], default=-1)) >= size:
        raise BadModel(
            f"token {highest} lies beyond the model's vocabulary of {size}. Use the tokenizer that belongs to it."
        )
    for text, token in vocabulary.items():
        tokens[token], types[token] = text, NORMAL
    for token, entry in added.items():
        tokens[token], types[token] = _added(entry)
    return tokens, types


def _add_sentencepiece_bpe(
    folder: Path, tokenizer: Mapping[str, Any], settings: Mapping[str, Any], size: int, writer: Any
) -> bool:
    """SentencePiece's BPE as tokenizer.json holds it; whether a space goes before each text.

    llama.cpp merges the pair of the highest score first, tokenizer.json the pair that its list of merges names first:
    a piece's score is minus the place of the merge that makes it.
    """
    from gguf import SpecialVocab

    model = tokenizer["model"]
    prefix = _space_prefix(tokenizer)
    texts, types = bpe_tokens(tokenizer, settings, size)
    scores = [0.0 if kind != UNUSED else -10000.0 for kind in types]
    for place, merge in reversed(list(enumerate(model["merges"]))):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        scores[model["vocab"][left + right]] = float(-place)
    for token, text in enumerate(texts):
        if types[token] == NORMAL and _BYTE_PIECE.fullmatch(text):
            types[token] = BYTE
    if (unknown := model["vocab"].get(model.get("unk_token"))) is not None:
        types[unknown] = UNKNOWN
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    SpecialVocab(folder, n_vocab=size).add_to_gguf(writer, quiet=True)
    return prefix


def _space_prefix(tokenizer: Mapping[str, Any]) -> bool:
    """Whether SentencePiece's BPE puts a space before each text.

    Raises:
        Unsupported: it also does what llama.cpp does not.
    """
    normalizer, before = tokenizer.get("normalizer") or {}, tokenizer.get("pre_tokenizer") or {}
    prefix = False
    for step in normalizer.get("normalizers", [normalizer] if normalizer else []):
        if step == {"type": "Prepend", "prepend": "▁"}:
            prefix = True
        elif step != {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}:
            raise Unsupported(f"xpert does not know this model's normalizer {step.get('type')!s:.40}.")
    if before.get("type") == "Metaspace" and before.get("split") is False and before.get("replacement") == "▁":
        return bool(before.get("prepend_scheme", "always") != "never")
    # gemma's splits at spaces, of which the normalizer leaves none
    if before and not (before.get("type") == "Split" and before.get("pattern") == {"String": " "}):
        raise Unsupported(f"xpert does not know this model's pre-tokenizer {before.get('type')!s:.40}.")
    return prefix


def _content(entry: Any) -> str | None:
    return entry.get("content") if isinstance(entry, dict) else entry


def _added(entry: Mapping[str, Any]) -> tuple[str, int]:
    """Text and type of an added token. Some models forget to mark their control tokens as special."""
    text: str = entry["content"]
    looks_special = text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]") or any(
        text.startswith(start) and text.endswith(end) for start, end in _BRACKETS
    )
    return (text, CONTROL) if entry.get("special") or looks_special else (text.replace("▁", " "), USER_DEFINED)


def _add_sentencepiece(folder: Path, settings: Mapping[str, Any], size: int, writer: Any) -> None:
    from gguf import SpecialVocab

    pieces = dict(enumerate(sentencepieces((folder / "tokenizer.model").read_bytes())))
    if (file := folder / "added_tokens.json").is_file():
        pieces |= {token: (text, -1000.0, USER_DEFINED) for text, token in read_json(file).items()}
    for key, entry in settings.get("added_tokens_decoder", {}).items():
        text, kind = _added(entry)
        pieces[int(key)] = (text, -1000.0, kind)
    rows = [pieces.get(i, (f"[PAD{i}]", -10000.0, UNUSED)) for i in range(size)]
    texts, scores, types = zip(*rows, strict=True)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text.encode() for text in texts])
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    SpecialVocab(folder, n_vocab=size).add_to_gguf(writer, quiet=True)


def sentencepieces(model: bytes) -> list[tuple[str, float, int]]:
    """Text, score and llama.cpp type of every piece in a SentencePiece model file (a protobuf ModelProto).

    Raises:
        ValueError, IndexError, struct.error: `model` is no such file.
    """
    pieces = []
    for number, value in _fields(model):
        if number == 1:
            piece = dict(_fields(value))
            kind = piece.get(3, NORMAL)
            score = struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0
            # llama.cpp's converter takes user-defined pieces for normal ones
            pieces.append((piece[1].decode(), score, NORMAL if kind == USER_DEFINED else kind))
    if not pieces:
        raise ValueError("tokenizer.model holds no pieces")
    return pieces


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of one protobuf message: varints as int, all else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"tokenizer.model has a field of unknown kind {wire}")
        if at + length > len(data):
            raise ValueError("tokenizer.model is cut short")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise ValueError("tokenizer.model has a number of over 64 bits")
