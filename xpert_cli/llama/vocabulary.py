"""The language of a GGUF model in llama.cpp: text to tokens and back, in the model's own chat template.

    with Vocabulary(base) as vocabulary:
        tokens = vocabulary.chat("Why is the sky blue?")
        vocabulary.detokenize(tokens)

Loading only this reads no weights. Not here: evaluating tokens (llama/model.py).
"""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xpert_cli import gguf, platform
from xpert_cli.errors import BadInput, BadModel

_Opened = TypeVar("_Opened", bound="Vocabulary")


@lru_cache(maxsize=1)
def library() -> Any:
    """The ctypes binding of llama.cpp, silenced. Importing it is what loads the native library."""
    platform.prepare_libraries()
    with platform.as_linux():
        import llama_cpp.llama_cpp as binding
    library.silencer = binding.llama_log_callback(lambda level, text, data: None)  # type: ignore[attr-defined]
    binding.llama_log_set(library.silencer, ctypes.c_void_p(0))  # type: ignore[attr-defined]
    binding.llama_backend_init()
    return binding


class Vocabulary:
    """A GGUF model's tokens and chat template.

    Args:
        source: the GGUF file, or the model opened; its header is checked before llama.cpp sees it.
        weights: load these too, for a class that evaluates tokens.

    Raises:
        BadModel: llama.cpp cannot load the file.
    """

    def __init__(self, source: Path | gguf.BaseModel, *, weights: bool = False) -> None:
        self.base = gguf.BaseModel.open(source)
        self.path = self.base.path
        self._model: Any = None
        require_distinct_tokens(self.base.header)
        self._lib = lib = library()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = 0
        params.vocab_only = not weights
        self._model = lib.llama_model_load_from_file(str(self.path).encode(), params)
        if not self._model:
            raise BadModel(f"{self.path}: llama.cpp cannot load this model. Convert it again with: xpert convert")
        self._vocabulary = lib.llama_model_get_vocab(self._model)
        self.vocabulary_size: int = lib.llama_vocab_n_tokens(self._vocabulary)

    def close(self) -> None:
        """Free everything; the object cannot be used afterwards."""
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    def __enter__(self: _Opened) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; with `special`, control tokens written in it are parsed as such. No BOS is added.

        Raises:
            BadModel: the model has no tokens of its own.
        """
        if not self._lib.llama_vocab_type(self._vocabulary):  # llama.cpp would abort
            raise BadModel(f"{self.path} has no tokenizer, so it reads no text. Convert it again with: xpert convert")
        data = text.encode()
        room = len(data) + 8
        while True:  # a vocabulary without a token for the space writes it as three bytes
            buffer = (ctypes.c_int32 * room)()
            count = self._lib.llama_tokenize(self._vocabulary, data, len(data), buffer, room, False, special)
            if count >= 0:
                return list(buffer[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """The bytes of one token; control tokens are empty."""
        buffer = ctypes.create_string_buffer(256)
        count = self._lib.llama_token_to_piece(self._vocabulary, token, buffer, 256, 0, False)
        return buffer.raw[: max(count, 0)]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, bytes that are no UTF-8 replaced."""
        return b"".join(map(self.piece, tokens)).decode("utf-8", "replace")

    def metadata(self, key: str) -> str | None:
        """A metadata value of the model as llama.cpp prints it."""
        size = self._lib.llama_model_meta_val_str(self._model, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, size + 1)
        return buffer.value.decode("utf-8", "replace")

    def chat(self, messages: str | Sequence[dict[str, str]], *, reply: str | None = None) -> list[int]:
        """Tokens of a conversation in the base model's chat template, up to where the assistant starts to answer.

        Args:
            messages: a user's prompt, or role/content messages.
            reply: the assistant's answer, appended with its end-of-turn token.
        """
        turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
        tokens = self.tokenize(self._render(turns), special=True)
        if reply is not None:
            tokens += [*self.tokenize(reply), self.end_of_turn]
        return tokens

    @property
    def end_of_turn(self) -> int:
        """The token that ends an answer."""
        token = int(self._lib.llama_vocab_eot(self._vocabulary))
        return token if token >= 0 else int(self._lib.llama_vocab_eos(self._vocabulary))

    def _render(self, turns: list[dict[str, str]]) -> str:
        template = self.metadata("tokenizer.chat_template")
        bos, eos = (
            self._lib.llama_vocab_get_text(self._vocabulary, token).decode() if token >= 0 else ""
            for token in (self._lib.llama_vocab_bos(self._vocabulary), self._lib.llama_vocab_eos(self._vocabulary))
        )
        if template is None:  # a base without a template continues plain text
            start = bos if self._lib.llama_vocab_get_add_bos(self._vocabulary) else ""
            return start + "\n\n".join(turn["content"] for turn in turns) + "\n\n"
        return str(_template(template).render(messages=turns, add_generation_prompt=True, bos_token=bos, eos_token=eos))

    def decoded(self, tokens: Iterable[int]) -> Iterator[str]:
        """Text of tokens as they come."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in tokens:
            if text := decoder.decode(self.piece(token)):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text


def require_distinct_tokens(header: gguf.Header) -> None:
    """Refuse a token list that names a token twice, which llama.cpp aborts on.

    It reads a token up to its first zero byte, and gives an empty one a name of its own.

    Raises:
        BadModel: a token is there twice.
    """
    key = "tokenizer.ggml.tokens"
    if header.metadata.kind(key) != "[string]" or _all_differ(
        header.metadata.encoded[key], header.metadata.length(key)
    ):
        return
    tokens = header.metadata.texts(key)
    named = {text.partition(b"\0")[0] or b"[EMPTY_%d]" % at for at, text in enumerate(tokens)}
    if len(named) < len(tokens):
        raise BadModel(f"{header.path}: the model names a token twice. Convert it again with: xpert convert")


def _all_differ(encoded: bytes, count: int) -> bool:
    """Whether the strings of a list are known to differ by a hash of each; False where they may not.

    A loop over 262,144 tokens takes 0.1 s, this a quarter of it. The length of a string of 1 to 65,535 bytes ends with
    six zero bytes, where it is looked for; that each length leads to the next proves them.
    """
    words = np.ndarray((len(encoded) - 7,), "<u8", encoded, strides=(1,))  # eight bytes from every byte on
    places = 16 + np.flatnonzero(words[16:] < 1 << 16)
    starts = places[np.diff(places, append=-1) != 1]  # the byte before a length below 256 looks like one
    sizes = words[starts].astype(np.int64)
    ends = starts + 8 + sizes
    zeros = 8 * count - np.count_nonzero(sizes % 256) - np.count_nonzero(sizes >= 256)
    if len(starts) != count or not sizes.all() or encoded.count(0, 16) != zeros:
        return False
    if not np.array_equal(np.append(starts, len(encoded)), np.append(16, ends)):
        return False
    odd = np.uint64(0x9E3779B97F4A7C15)
    keys = sizes.astype(np.uint64) * odd
    for at in range(0, int(sizes.max(initial=0)), 8):
        longer = np.flatnonzero(sizes > at)
        piece = words[np.minimum(starts[longer] + 8 + at, ends[longer] - 8)]
        mixed = (keys[longer] ^ piece) * odd
        keys[longer] = (mixed ^ (mixed >> np.uint64(32))) * odd
    keys.sort()  # np.unique takes ten times as long
    return bool((keys[1:] != keys[:-1]).all())


@lru_cache(maxsize=4)
def _template(source: str) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise BadInput(f"the chat template refused the conversation: {message}")

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: ""
    return environment.from_string(source)
