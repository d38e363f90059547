"""A vocabulary against its kind: what llama.cpp takes for granted of one and does not look at, before it sees it.

    check_vocabulary(read_header(path))        # raises BadModel, or the vocabulary can read any text

llama.cpp turns text into tokens in code that no caller can catch an error of: a byte without a token, a chart of
replacements that points past its end, or a token of a megabyte end the process or fill its memory, on one text in a
hundred. What it refuses itself, when it loads a file, is left to it. The rules follow its llama-vocab.cpp. Not here:
lengths and types of metadata (gguf/header.py), loading a model for trial (llama/trial_load.py).
"""

from __future__ import annotations

import re

import numpy as np

from xpert_cli import paths
from xpert_cli.errors import BadModel
from xpert_cli.gguf.header import Header

MAX_TOKEN = 1024  # bytes; the longest of known vocabularies have some 250
MAX_WORK = {  # a token of n bytes costs llama.cpp as much time or memory as n to a power; sums over the vocabulary
    "gpt2": (2, 1 << 27), "gemma4": (2, 1 << 27), "t5": (1, 1 << 22), "rwkv": (1, 1 << 22), "plamo2": (3, 1 << 30),
}  # fmt: skip
NO_TEXT = ("test", "hybriddna", "whitespace")  # kinds that no model which writes text has
NEEDS_UNKNOWN = {"bert": 100, "t5": 2}  # kinds that give what they cannot read this token, unless another is named
UNIGRAM_SCORES = ("llama", "t5", "plamo2")  # kinds whose scores decide
ANOTHER = "Use another file, or convert the original model and not this file: xpert convert FOLDER|OWNER/NAME"
_KEY = "tokenizer.ggml."
_BYTE = re.compile(rb"<0x[0-9A-Fa-f]{2}>")
_BYTE_TYPE = 6
_LETTERS = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}  # that RWKV's tokens have after a backslash


def check_vocabulary(header: Header) -> None:
    """Refuse a vocabulary that llama.cpp would abort on, hang on or drown in, when it loads it or for some text.

    Raises:
        BadModel: one line says what is wrong with it.
    """
    identity = paths.identity(header.path) if header.path.is_file() else (str(header.path), 0, 0)
    if reason := _wrong(header, identity):
        raise BadModel(f"{header.path}: {reason}. {ANOTHER}")


_checked: dict[tuple[str, int, int], str] = {}


def _wrong(header: Header, identity: tuple[str, int, int]) -> str:
    """What is wrong, "" for nothing; a file that did not change is looked at once."""
    if identity not in _checked:
        _checked.clear()
        _checked[identity] = _Checker(header).wrong()
    return _checked[identity]


class _Checker:
    """The vocabulary of one file."""

    def __init__(self, header: Header) -> None:
        self.header, self.metadata = header, header.metadata
        self.kind = self._word("model")
        self.tokens = self.metadata.texts(_KEY + "tokens") if self.metadata.kind(_KEY + "tokens") == "[string]" else []
        self.named = [text.partition(b"\0")[0] for text in self.tokens]  # as llama.cpp reads them

    def _word(self, name: str) -> str:
        value = self.metadata.encoded.get(_KEY + name, b"")
        short = self.metadata.kind(_KEY + name) == "string" and len(value) < 80
        return value[12:].decode("utf-8", "replace") if short else ""

    def wrong(self) -> str:
        """What is wrong, "" for nothing."""
        if self.kind in NO_TEXT or self._word("pre") == "whitespace":
            return f"a vocabulary of kind {self.kind} reads no text"
        if self.kind in ("", "none", "no_vocab"):
            return ""
        return self._sizes() or self._twice() or self._types() or self._scores() or self._unknown() or self._by_kind()

    def _sizes(self) -> str:
        lengths = np.array([len(text) for text in self.named], np.float64)
        if not len(lengths):
            return "the vocabulary has no tokens"
        if lengths.max() > MAX_TOKEN:
            return f"a token is {lengths.max():.0f} bytes long, over {MAX_TOKEN}"
        power, most = MAX_WORK.get(self.kind, (0, len(lengths)))
        if (lengths**power).sum() > most:
            return f"the tokens of its {self.kind} vocabulary are so long that it would take minutes or gigabytes"
        return ""

    def _twice(self) -> str:
        """llama.cpp gives an empty token a name of its own, and then asserts that all differ."""
        if _all_differ(self.metadata.encoded[_KEY + "tokens"], len(self.tokens)):
            return ""
        named = {text or b"[EMPTY_%d]" % at for at, text in enumerate(self.named)}
        return "the model names a token twice" if len(named) < len(self.tokens) else ""

    def _types(self) -> str:
        if self.metadata.kind(_KEY + "token_type") != "[int32]":
            return ""
        types = np.frombuffer(self.metadata.encoded[_KEY + "token_type"], "<i4", offset=16)[: len(self.named)]
        if odd := types[(types < 0) | (types > _BYTE_TYPE)].tolist():
            return f"a token is of type {odd[0]}, which does not exist"
        for at in np.flatnonzero(types == _BYTE_TYPE).tolist():
            if not _BYTE.fullmatch(self.named[at]):
                return f"token {at} stands for a byte and does not say for which"
        return ""

    def _scores(self) -> str:
        key = _KEY + "scores"
        if self.kind not in UNIGRAM_SCORES or self.metadata.kind(key) != "[float32]":
            return ""
        scores = np.frombuffer(self.metadata.encoded[key], "<f4", offset=16)
        if not np.isfinite(scores).all():
            return "a token's score is no finite number"
        return "a token's score is over 100,000" if self.kind == "plamo2" and (np.abs(scores) > 1e5).any() else ""

    def _unknown(self) -> str:
        if self.kind not in NEEDS_UNKNOWN:
            return ""
        named = self.metadata.largest(_KEY + "unknown_token_id", default=len(self.named))
        count = len(self.named)
        if count > named and self.metadata.kind(_KEY + "unknown_token_id") == "uint32":
            return ""
        return "" if NEEDS_UNKNOWN[self.kind] < count else "no token stands for what the vocabulary cannot read"

    def _by_kind(self) -> str:
        if self.kind == "llama":
            have = set(self.named)
            missing = [byte for byte in range(256) if not {b"<0x%02X>" % byte, bytes([byte])} & have]
            return f"no token stands for the byte 0x{missing[0]:02X}, so some texts cannot be read" if missing else ""
        if self.kind == "rwkv":
            have = {_unescaped(text) for text in self.named if len(text) <= 4}
            missing = [byte for byte in range(256) if bytes([byte]) not in have]
            return f"no token stands for the byte 0x{missing[0]:02X}, so some texts cannot be read" if missing else ""
        return self._charsmap() if self.kind == "t5" else ""

    def _charsmap(self) -> str:
        """Walk over all states of the chart of replacements: whatever byte comes, llama.cpp must stay inside it.

        A double array: the child of a state for a byte is at state ^ byte, and says so in its low bits; bit 8 tells
        that a match ends there, whose replacement is named at the child's own state.
        """
        key = _KEY + "precompiled_charsmap"
        if self.metadata.kind(key) not in ("[int8]", "[uint8]"):
            return ""
        data = self.metadata.encoded[key][16:]
        size = int.from_bytes(data[:4], "little")
        if len(data) < 4 or 4 + size >= len(data):
            return ""  # llama.cpp refuses it
        nodes, texts = np.frombuffer(data, "<u4", size // 4, 4).astype(np.int64), data[4 + size :]
        broken = "the chart of replacements points past its end"
        if not len(nodes):
            return ""
        base = (nodes >> 10) << ((nodes & 512) >> 6)
        last = texts.rfind(b"\0")  # what begins after it never ends
        seen = states = np.unique(base[:1])
        while len(states):
            children = (states[:, None] ^ np.arange(1, 256)).ravel()
            letters = np.tile(np.arange(1, 256), len(states))
            if children.max() >= len(nodes):
                return broken
            here = (nodes[children] & (1 << 31 | 0xFF)) == letters
            matched = children[here]
            following = matched ^ base[matched]
            leaves = following[(nodes[matched] >> 8 & 1) == 1]
            if len(leaves) and (leaves.max() >= len(nodes) or (nodes[leaves] & ~(1 << 31)).max() > last):
                return broken
            states = np.setdiff1d(following, seen)
            seen = np.union1d(seen, states)
        return ""


def _unescaped(text: bytes) -> bytes:
    """A short token of RWKV as the bytes it stands for."""
    if text.startswith(b"\\x"):
        digits = text[2:]
        return bytes([int(digits, 16)]) if re.fullmatch(rb"[0-9a-f]{2}", digits) else text
    if text.startswith(b"\\"):
        return _LETTERS.get(text[1:], text[1:])
    return text


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
