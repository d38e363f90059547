"""What a format reader hands over: turns with an author and a time, and text that answers nothing.

    Conversation("chat.txt", [Turn("Tove", "Ready?", "chat.txt:1"), Turn("Ilse", "Nearly!", "chat.txt:2")])

Not here: whose turns count (corpus/authors.py), and what answers what (corpus/pairing.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from xpert_cli.corpus.messages import Message

MARKS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"  # text direction, byte order
_NO_MARKS = dict.fromkeys(map(ord, MARKS))
_BROKEN = re.compile("[\0\ud800-\udfff]")
_UNSEEN = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u00ad\u200b\u2060\ufeff"
_ENDS = re.compile("\r\n?|\u2028|\u2029|\x85")
# A paste of hundreds of combining marks on one letter is drawn as one blot; normalising it takes time with the square.
_STACKED = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1dc0-\u1dff\u20d0-\u20ff]{8})[\u0300-\u036f\u0483-\u0489\u1dc0-\u1dff\u20d0-\u20ff]+"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one person said at one time.

    `author` is "" for a speaker that the export does not name. `time` is in seconds since 1970, None if unknown.
    `written` is False for what stands under the author's name but is not to be learnt, such as an answer of weight 0.
    """

    author: str
    text: str
    source: str
    time: float | None = None
    written: bool = True


@dataclass(frozen=True)
class Conversation:
    """Turns in their order.

    `owner` is the author who made the export, where it says so; `others` are further names that an author goes by;
    `hint` is what helps whoever does not know which author to name. `linked`: each turn answers the one before, however
    long that took.
    """

    source: str
    turns: Sequence[Turn]
    owner: str = ""
    others: Mapping[str, frozenset[str]] = field(default_factory=dict)
    hint: str = ""
    linked: bool = False


@dataclass
class Parsed:
    """What one file holds: its kind in words, conversations, texts that answer nothing, and what was left out.

    `doubt` says how its dates were read where they can be read in two ways: it matters where dates are asked for.
    """

    kind: str
    conversations: list[Conversation] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    doubt: str = ""


def clean(text: str) -> str:
    """NFC, \\n line ends, no outer blank space; U+FFFD for what UTF-8 cannot hold."""
    if text.isascii() and "\r" not in text and "\0" not in text:
        return text.strip()
    text = _ENDS.sub("\n", _BROKEN.sub("\ufffd", text))
    return unicodedata.normalize("NFC", _STACKED.sub(r"\1", text)).strip(_UNSEEN)


@lru_cache(maxsize=4096)  # a chat has few people and many turns, which share their names
def person(text: str) -> str:
    """An author's name on one line, without direction marks and the ~ that WhatsApp puts before unsaved contacts."""
    return " ".join(clean(text.translate(_NO_MARKS)).split()).removeprefix("~").lstrip()


def message(prompt: str, response: str, source: str, time: float | None = None) -> list[Message]:
    """One message, or none if nothing was written."""
    response = clean(response)
    return [Message(clean(prompt), response, source, time=time)] if response else []
