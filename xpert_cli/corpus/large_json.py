"""JSON that is larger than memory should hold: read in chunks, long arrays parsed anew each time they are gone through.

    values = Values("chat.json", opened)               # [("chat.json:1", {"name": "Tove", "messages": Items(...)})]
    for message in values.whole["messages"]: ...

Whatever fits a chunk is an ordinary value, parsed by the standard library. A larger object is a dictionary all the
same, and a larger array in it is `Items`. The whole file is parsed once at the start, so that what is broken is said
first.
Not here: JSON of ordinary size (corpus/jsons.py).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeGuard

from xpert_cli.errors import BadInput
from xpert_cli.foreign.data import require_shallow

CHUNK = 1 << 20  # bytes that are read at a time
_TAIL = 16  # characters at the end of what was read, where a fault may only be that the rest is not there yet
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class Bytes(Protocol):
    """A file that is open, or a part of one."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, all by default."""

    def seek(self, offset: int, /) -> int:
        """Go to an offset from the beginning."""

    def close(self) -> None:
        """Let go of it."""


Opened = Callable[[], Bytes]


class Strange(Exception):
    """No plain UTF-8 text: the encoding has to be guessed, or marks of terminals dropped, on the whole text."""


class Items:
    """A long array of a document: gone through like a list, from the file each time.

    Attributes:
        every: the keys that all its objects have.
        some: the keys that any of them has.
    """

    def __init__(self, name: str, opened: Opened, offset: int, line: int) -> None:
        self._name, self._opened, self._offset, self._line = name, opened, offset, line
        self.every: frozenset[str] = frozenset()
        self.some: frozenset[str] = frozenset()
        self._count = 0

    def __iter__(self) -> Iterator[Any]:
        with _Text(self._name, self._opened, self._offset, self._line) as text:
            yield from text.items()

    def __len__(self) -> int:
        return self._count

    def walked(self, items: Iterable[Any]) -> Items:
        """With what is known of it after it was gone through once."""
        keys: set[str] | None = None
        some: set[str] = set()
        for item in items:
            self._count += 1
            if isinstance(item, dict):
                keys = set(item) if keys is None else keys & item.keys()
                some |= item.keys()
        self.every, self.some = frozenset(keys or ()), frozenset(some)
        return self


def is_array(value: object) -> TypeGuard[list[Any] | Items]:
    """Whether a value is an array, of whatever size."""
    return isinstance(value, list | Items)


def objects(value: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The objects among the values of an array."""
    return (one for one in value if isinstance(one, dict))


def keys(value: Iterable[Any]) -> tuple[frozenset[str], frozenset[str]]:
    """The keys that all objects of an array have, and those that any has; empty where there is no object."""
    walked = value if isinstance(value, Items) else Items("", _nothing, 0, 1).walked(value)
    return walked.every, walked.some


class Values:
    """The values of a file one after the other: one document, JSON lines, or several objects.

    Raises:
        BadInput: broken JSON, with its line.
        Strange: this is no plain UTF-8 text.
    """

    def __init__(self, name: str, opened: Opened, offset: int = 0, closing: str = "") -> None:
        self._name, self._opened, self._offset, self._closing = name, opened, offset, closing
        self.whole: Any = None
        self.count = 0
        for _, value in self:  # what is broken is said before anything is made of the rest
            self.count += 1
            self.whole = value if self.count == 1 else None

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        with _Text(self._name, self._opened, self._offset, 1) as text:
            while (sign := text.sign()) and sign != self._closing:
                line = text.line()
                yield f"{self._name}:{line}", text.value()
                if text.sign() == ",":
                    text.step()


class _Text:
    """The part of a document's text that is being read, with where it stands in the file."""

    def __init__(self, name: str, opened: Opened, offset: int, line: int) -> None:
        self._name, self._opened = name, opened
        self._file = opened()
        self._file.seek(offset)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._offset, self._ended = "", 0, offset, False
        self._line, self._counted = line, 0

    def __enter__(self) -> _Text:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def sign(self) -> str:
        """The next character that is not blank, which stays; "" at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._more()

    def step(self, *wanted: str) -> str:
        """Go past the next character.

        Raises:
            BadInput: it is none of those wanted.
        """
        sign = self.sign()
        if wanted and sign not in wanted:
            raise self._broken(f"{' or '.join(wanted)} expected")
        self._at += 1
        return sign

    def line(self) -> int:
        """The line that is being read."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def value(self) -> Any:
        """The value that begins here.

        Raises:
            BadInput: broken, or nested too deeply.
        """
        self.sign()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    require_shallow(value)
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                open_end = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _TAIL
                if self._ended or not open_end:
                    self.line()
                    raise self._broken(error.msg, error.pos) from error
            except (ValueError, RecursionError) as error:
                raise self._broken("too long a number, or too deep a nesting") from error
            if len(self._text) - self._at >= CHUNK and self._text[self._at] in "[{":
                return self._object() if self._text[self._at] == "{" else self._array()
            self._more()

    def items(self) -> Iterator[Any]:
        """The values of the array that begins here."""
        self.step("[")
        if self.sign() == "]":
            self.step()
            return
        while True:
            yield self.value()
            if self.step(",", "]") == "]":
                return

    def _array(self) -> Items:
        offset = self._offset + len(self._text[: self._at].encode())
        return Items(self._name, self._opened, offset, self.line()).walked(self.items())

    def _object(self) -> dict[str, Any]:
        self.step()
        fields: dict[str, Any] = {}
        if self.sign() == "}":
            self.step()
            return fields
        while True:
            if self.sign() != '"':
                raise self._broken("a name in double quotes expected")
            name = str(self.value())
            self.step(":")
            fields[name] = self.value()
            if self.step(",", "}") == "}":
                return fields

    def _more(self) -> None:
        """Read on, twice as far each time; what is behind is let go."""
        self.line()
        data = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._offset += len(self._text[: self._at].encode())
        self._ended = not data
        if b"\x1b" in data or b"\x08" in data or b"\0" in data:
            raise Strange
        try:
            self._text = self._text[self._at :] + self._decoder.decode(data, not data)
        except UnicodeDecodeError as error:
            raise Strange from error
        self._at = self._counted = 0

    def _broken(self, why: str, at: int | None = None) -> BadInput:
        line = self.line() + (self._text.count("\n", self._at, at) if at else 0)
        return BadInput(
            f"{self._name}:{line}: not valid JSON ({why}). If the file was cut off, export or copy it again."
        )


def _nothing() -> Bytes:
    raise ValueError
