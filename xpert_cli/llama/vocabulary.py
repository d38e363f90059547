"""The language of a GGUF model in llama.cpp: text to tokens and back, in the model's own chat template.

    with Vocabulary(base) as vocabulary:
        tokens = vocabulary.chat("Why is the sky blue?")
        vocabulary.detokenize(tokens)

Loading only this reads no weights. Not here: evaluating tokens (llama/model.py).
"""

from __future__ import annotations

import codecs
import ctypes
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from xpert_cli import gguf, platform
from xpert_cli.errors import BadModel
from xpert_cli.foreign.text import printable
from xpert_cli.gguf.vocabulary import ANOTHER, check_vocabulary
from xpert_cli.llama.template import render

_Opened = TypeVar("_Opened", bound="Vocabulary")
_BPE = 2  # llama.cpp's number for the kind of vocabulary
LONGEST = 1 << 13  # characters that llama.cpp is given of a text at once: its regular expressions recurse
MOST_TOKENS = 64  # of a byte
_ERROR = 4  # the level of llama.cpp's log that says why a model is not loaded
_STARVED = ("allocate", "bad_alloc", "mmap", "memory")  # in its words where memory was short


@lru_cache(maxsize=1)
def library() -> Any:
    """The ctypes binding of llama.cpp, silenced. Importing it is what loads the native library."""
    platform.prepare_libraries()
    with platform.as_linux():
        import llama_cpp.llama_cpp as binding
    library.silencer = ctypes.cast(_c_library().abs, binding.llama_log_callback)  # type: ignore[attr-defined]
    binding.llama_log_set(library.silencer, ctypes.c_void_p(0))  # type: ignore[attr-defined]
    binding.llama_backend_init()
    return binding


def _parts(text: str) -> Iterator[str]:
    """A text in parts of at most LONGEST characters, cut where a word begins if there is one.

    Between a word and the space before the next one, every splitting into words cuts too: tokens stay the same.
    """
    at = 0
    while len(text) - at > LONGEST:
        cut = next((m.end() for m in _WORD_ENDS.finditer(text, at + LONGEST // 2, at + LONGEST)), at + LONGEST)
        yield text[at:cut]
        at = cut
    yield text[at:]


_WORD_ENDS = re.compile(r"[a-z](?= [a-z])")


def _c_library() -> Any:
    """The C library, of which `abs` serves as a log callback that does nothing.

    A Python function in its place would run inside every call that logs, and Ctrl-C during one would be lost.
    """
    return ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)


def _refusal(lib: Any, path: Path, params: Any) -> str:
    """Why a file was not loaded, in llama.cpp's own words: it is loaded once more with its log listened to."""
    lines: list[str] = []

    def listen(level: int, text: bytes, _: Any) -> None:
        lines.append(printable(text.decode("utf-8", "replace"))) if level == _ERROR else None

    listener = lib.llama_log_callback(listen)
    lib.llama_log_set(listener, ctypes.c_void_p(0))
    try:
        if model := lib.llama_model_load_from_file(str(path).encode(), params):
            lib.llama_model_free(model)
    finally:
        lib.llama_log_set(library.silencer, ctypes.c_void_p(0))  # type: ignore[attr-defined]
    message = next(
        (line.partition("error loading model: ")[2] for line in lines if "error loading model: " in line), ""
    )
    room, size = platform.available_memory(), path.stat().st_size
    if not message or any(word in message for word in _STARVED):
        free = "" if room is None else f", and {room >> 20} MB are free"
        return f"not enough memory: its {size >> 20} MB do not fit{free}. Close other programs or use a smaller model."
    return f"llama.cpp refuses this model: {' '.join(message.split())[:200]}. {ANOTHER}"


class Vocabulary:
    """A GGUF model's tokens and chat template.

    Args:
        source: the GGUF file, or the model opened; its header is checked before llama.cpp sees it.
        weights: load these too, for a class that evaluates tokens.
        copied: let llama.cpp copy weights into an order that some of its kernels read faster; else they stay in the
            file, which is mapped.

    Raises:
        BadModel: llama.cpp cannot load the file.
    """

    def __init__(self, source: Path | gguf.BaseModel, *, weights: bool = False, copied: bool = False) -> None:
        self.base = gguf.BaseModel.open(source)
        self.path = self.base.path
        self._model: Any = None
        check_vocabulary(self.base.header)
        self._lib = lib = library()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = 0
        params.vocab_only = not weights
        params.use_extra_bufts = copied
        self._model = lib.llama_model_load_from_file(str(self.path).encode(), params)
        if not self._model:
            raise BadModel(f"{self.path}: {_refusal(lib, self.path, params)}")
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

    @property
    def reads_text(self) -> bool:
        """Whether the model has tokens of its own."""
        return bool(self._lib.llama_vocab_type(self._vocabulary))

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; with `special`, control tokens written in it are parsed as such. No BOS is added.

        Raises:
            BadModel: the model has no tokens of its own.
        """
        if not self.reads_text:  # llama.cpp would abort
            raise BadModel(f"{self.path} has no tokenizer, so it reads no text. {ANOTHER}")
        parts = _parts(text) if self._lib.llama_vocab_type(self._vocabulary) == _BPE else [text]
        tokens = [token for part in parts for token in self._tokenized(part.encode("utf-8", "replace"), special)]
        if tokens and not 0 <= min(tokens) <= max(tokens) < self.vocabulary_size:
            raise BadModel(f"{self.path}: its vocabulary has no token for some of this text. {ANOTHER}")
        return tokens

    def _tokenized(self, data: bytes, special: bool) -> list[int]:
        room = len(data) + 8
        while True:  # a vocabulary without a token for the space writes it as three bytes
            buffer = (ctypes.c_int32 * room)()
            count = self._lib.llama_tokenize(self._vocabulary, data, len(data), buffer, room, False, special)
            if count >= 0:
                return list(buffer[:count])
            if -count > MOST_TOKENS * (len(data) + 1):
                raise BadModel(f"{self.path}: its vocabulary makes {-count:,} tokens of {len(data):,} bytes. {ANOTHER}")
            room = -count

    def piece(self, token: int) -> bytes:
        """The bytes of one token; control tokens are empty."""
        room = 256
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = self._lib.llama_token_to_piece(self._vocabulary, token, buffer, room, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

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
        if not tokens:
            raise BadModel(f"{self.path}: chat template and vocabulary leave nothing of a message. Use another base.")
        if reply is not None:
            tokens += [*self.tokenize(reply), self.end_of_turn]
        return tokens

    @property
    def end_of_turn(self) -> int:
        """The token that ends an answer.

        Raises:
            BadModel: there is none.
        """
        ends = (self._lib.llama_vocab_eot(self._vocabulary), self._lib.llama_vocab_eos(self._vocabulary))
        token = next((int(end) for end in ends if end >= 0), -1)
        if token < 0:
            raise BadModel(f"{self.path}: its vocabulary has no token that ends an answer. {ANOTHER}")
        return token

    def _render(self, turns: list[dict[str, str]]) -> str:
        template = self.metadata("tokenizer.chat_template")
        bos, eos = (
            self._lib.llama_vocab_get_text(self._vocabulary, token).decode("utf-8", "replace") if token >= 0 else ""
            for token in (self._lib.llama_vocab_bos(self._vocabulary), self._lib.llama_vocab_eos(self._vocabulary))
        )
        if template is None:  # a base without a template continues plain text
            start = bos if self._lib.llama_vocab_get_add_bos(self._vocabulary) else ""
            return start + "\n\n".join(turn["content"] for turn in turns) + "\n\n"
        try:
            return render(template, turns, bos=bos, eos=eos)
        except BadModel as error:
            raise BadModel(f"{self.path}: {error}") from error

    def decoded(self, tokens: Iterable[int]) -> Iterator[str]:
        """Text of tokens as they come."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in tokens:
            if text := decoder.decode(self.piece(token)):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text
