"""Bytes to text: UTF-8, what a byte order mark says, or the encoding that chardet finds most likely, which is said.

    decode("notes.txt", b"caf\\xe9")        # Decoded("café", "notes.txt is not UTF-8; read as Windows-1252")

Not here: control sequences of terminals (`plain` drops them), and what the text means (corpus/formats/).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass

from xpert_cli.errors import BadInput

_BOMS = (
    *((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
    *((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
)
_SNIFFED = 1 << 18  # bytes that a guess is made from
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_CONTROL = re.compile(rb"[\0-\x06\x0e-\x1a\x1c-\x1f]")
_NOT_WINDOWS = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
# ECMA-48: control sequences, operating system commands, other escapes; and a letter struck out by backspace.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")
# Frequent words that tell encodings of Latin letters apart, where a short text leaves a detector unsure.
_ACCENTED = re.compile(
    r"\b(?:à|été|était|où|déjà|même|très|être|après|ça|für|über|können|wäre|möchte|schön|más|también|está|qué|sí|año|aquí|não|são"
    r"|você|também|è|perché|più|così|är|på|för|även|når|så|się|że|był|już|też|są|což|že|už|když|také|být|és|még"
    r"|için|değil|çok|şey)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Decoded:
    """A file's text with \\n line ends, and what was guessed, "" if nothing was."""

    text: str
    note: str = ""


def decode(name: str, data: bytes) -> Decoded:
    """The text of a file.

    Raises:
        BadInput: a binary file, or bytes that no likely encoding has; with the line.
    """
    bom, encoding = next((pair for pair in _BOMS if data.startswith(pair[0])), (b"", ""))
    body = data[len(bom) :]
    if encoding:
        try:
            return Decoded(plain(body.decode(encoding)))
        except UnicodeDecodeError as error:
            raise _not_text(name, data, len(bom) + error.start) from error
    if b"\0" in data[:_SNIFFED] or b"\0" in data:
        return _wide(name, data)
    try:
        return Decoded(plain(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        return _guessed(name, data, error.start)


def plain(text: str) -> str:
    """`text` with \\n line ends, and without what only a terminal understands."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\x08" not in text:
        return text
    characters: list[str] = []
    for one in text:  # a backspace strikes out what stands before it in its line
        if one != "\x08":
            characters.append(one)
        elif characters and characters[-1] != "\n":
            characters.pop()
    return "".join(characters)


def _wide(name: str, data: bytes) -> Decoded:
    """UTF-16 or UTF-32 without a mark: every second byte, or three of four, of common text is 0."""
    for encoding in _WIDE:
        width = 4 if "32" in encoding else 2
        if len(data) % width == 0:
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            if _looks_like_text(text):
                return Decoded(plain(text), f"{name} has no byte order mark; read as {encoding.upper()}")
    raise _not_text(name, data, data.find(b"\0"))


def _looks_like_text(text: str) -> bool:
    """Whether nearly all characters are letters, spaces and common marks of at most four scripts."""
    sample = text[:5000]
    odd = sum(unicodedata.category(one) in ("Cc", "Cn", "Co", "Cs") and one not in "\n\r\t" for one in sample)
    scripts = {unicodedata.name(one, "?").split()[0] for one in sample if one.isalpha()}
    return odd <= len(sample) / 100 and "\0" not in sample and len(scripts) <= 4


def _guessed(name: str, data: bytes, at: int) -> Decoded:
    line = data.count(b"\n", 0, at) + 1
    if len(_CONTROL.findall(data[:_SNIFFED])) > len(data[:_SNIFFED]) / 500:
        raise _not_text(name, data, at)
    good = data[max(0, at - _SNIFFED) : at].decode("utf-8", "ignore")
    rest = data[at:].decode("utf-8", "ignore")
    if not (good + rest).isascii() and (mended := _mostly_utf8(data)):
        text, lines = mended
        where = f"line {line}" if lines == 1 else f"{lines} lines (line {line} first)"
        return Decoded(plain(text), f"{name} is UTF-8, but for {where}, read as Windows-1252")
    encoding = _likely(data, at)
    if encoding:
        try:
            text = data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            encoding = ""
        else:
            return Decoded(plain(text), f"{name} is not UTF-8 (line {line}); read as {encoding}")
    raise _not_text(name, data, at)


def _mostly_utf8(data: bytes) -> tuple[str, int] | None:
    """The text where lines that are not UTF-8 are few, and how many; those are read as Windows-1252."""
    lines, bad = data.split(b"\n"), 0
    texts, several = [], 0
    for line in lines:
        try:
            texts.append(line.decode("utf-8"))
            several += not line.isascii()
        except UnicodeDecodeError:
            bad += 1
            if _NOT_WINDOWS.search(line):
                return None
            texts.append(line.decode("cp1252"))
    return ("\n".join(texts), bad) if 10 * bad <= several or (bad <= several and bad <= 2) else None


def _likely(data: bytes, at: int) -> str:
    """The encoding that chardet finds likeliest, where its text looks like writing; else Windows-1252 if that does."""
    import chardet

    start = max(0, at - 4096)
    start = data.rfind(b"\n", 0, start) + 1 if start else 0
    sample = data[start : start + _SNIFFED]
    if start + _SNIFFED < len(data):  # a character must not be cut in two
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    likely: dict[str, int] = {}
    for encoding in (chardet.detect(sample)["encoding"], "Windows-1252"):
        if encoding:
            try:
                text = sample.decode(encoding)
            except (UnicodeDecodeError, LookupError):
                continue
            latin = all(_script(one) == "LATIN" for one in text if one.isalpha())
            if _looks_written(text) and (latin or not likely):
                if not latin:
                    return str(encoding)
                likely.setdefault(str(encoding), len(_ACCENTED.findall(text)))
    return max(likely, key=lambda encoding: likely[encoding], default="")


def _looks_written(text: str) -> bool:
    """Whether words are of one script each, and what is not ASCII is mostly letters or punctuation."""
    odd = [one for one in text if not one.isascii()]
    words = {word for word in re.findall(r"[^\W\d_]+", text[:50_000]) if not word.isascii()}
    mixed = sum(len({_script(one) for one in word}) > 1 for word in words)
    strange = sum(unicodedata.category(one) in ("Cc", "Cn", "Co", "Sm", "So", "Lm") for one in odd)
    return 10 * mixed <= len(words) and 5 * strange <= len(odd)


def _script(letter: str) -> str:
    first = unicodedata.name(letter, "?").split()[0]
    return "CJK" if first in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "HANGUL") else first


def _not_text(name: str, data: bytes, at: int) -> BadInput:
    line = data.count(b"\n", 0, at) + 1
    kind = "a binary file" if data[at] == 0 else "another encoding, or a binary file"
    return BadInput(f"{name}:{line}: byte {at} (0x{data[at]:02x}) is not text: {kind}. Save it as UTF-8 text.")
