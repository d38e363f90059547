"""JSON, JSON lines, and Python literals one a line, each value with where it stands.

    Json.of("f", '{"text": "a"}\\n{"text": "b"}').records      # [("f:1", {"text": "a"}), ("f:2", {"text": "b"})]

No error repeats what was written: only names, lines and fields.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from xpert_cli.corpus.large_json import Items, Opened, Strange, Values
from xpert_cli.errors import BadInput
from xpert_cli.foreign.data import require_shallow

EXAMPLE = '{"prompt": "...", "response": "..."}'

_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*(?:[{"\]]|\[\s*\{))')
_RECORD = re.compile(r'^\{[ \t]*"', re.MULTILINE)
_PYTHON = re.compile(r"^\{[ \t]*'", re.MULTILINE)
_LONG = 1 << 20  # characters of a line that is read as Python
_ASSIGNED = re.compile(r"\s*window\.YTD\.(\w+)\.part\d+\s*=\s*")  # X's archives are programs that hold one array


class _Lines:
    """The records of JSON lines, parsed anew each time they are gone through: many are never in memory together."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        fix = f"Each line must be one object such as {EXAMPLE}."
        at = number = 0
        while at < len(self._text):
            end = self._text.find("\n", at)
            line = self._text[at : end if end >= 0 else len(self._text)]
            at, number = at + len(line) + 1, number + 1
            if line.strip():
                yield f"{self._name}:{number}", _load(self._name, line, number, fix)


@dataclass(frozen=True)
class _Numbered:
    """The items of an array, each with its number; gone through anew each time."""

    name: str
    items: Iterable[Any]

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((f"{self.name}#{number}", item) for number, item in enumerate(self.items, 1))


@dataclass(frozen=True)
class Json:
    """Parsed JSON: every record with its source, and the whole document where it is one (None for JSON lines).

    `assigned` is what an array of X's archive holds, such as "tweets"; "" for everything else.
    """

    records: Iterable[tuple[str, Any]]
    whole: Any = None
    assigned: str = ""

    @property
    def first(self) -> dict[str, Any]:
        """The first record, if it is an object; empty if it is not."""
        return next((mapping(one) for _, one in self.records), {})

    @classmethod
    def of(cls, name: str, text: str) -> Json | None:
        """What a text holds as JSON; None if it does not look like it.

        Raises:
            BadInput: it looks like JSON and is broken.
        """
        if match := _ASSIGNED.match(text):
            try:
                items = json.loads(text[match.end() :].rstrip().rstrip(";"))
                require_shallow(items)
            except (ValueError, RecursionError) as error:
                raise _cut_off(name) from error
            return cls(_Numbered(name, items if isinstance(items, list) else ()), items, match[1])
        lines = text.count("\n") + 1
        starts = len(_RECORD.findall(text))
        if not _JSON.match(text) and not (starts > 1 and 2 * starts > sum(map(bool, map(str.strip, text.split("\n"))))):
            python = len(_PYTHON.findall(text))
            return cls(_python(name, text)) if python and 2 * python > lines else None
        # A pretty-printed document is indented, so several braces at the start of a line mean JSONL.
        if not text.lstrip().startswith("[") and starts > 1:
            return cls(_lines(name, text))
        fix = f"Expected objects such as {EXAMPLE}, one a line or in one array."
        document = _load(name, text, 1, fix)
        if isinstance(document, list):
            return cls(_Numbered(name, document), document)
        return cls([(f"{name}:1", document)], document)

    @classmethod
    def large(cls, name: str, opened: Opened, head: bytes) -> Json | None:
        """What a large file holds as JSON, without its text in memory; None if that cannot be told from its beginning.

        Args:
            opened: opens the file anew.
            head: its first bytes.

        Raises:
            BadInput: it looks like JSON and is broken.
        """
        offset = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        start = head[offset:].decode("utf-8", "ignore")
        assigned = _ASSIGNED.match(start)
        if not assigned and not _JSON.match(start):
            return None
        try:
            if assigned:
                values = Values(name, opened, offset + len(assigned[0].encode()), ";")
                records = _Numbered(name, values.whole) if isinstance(values.whole, Items) else ()
                return cls(records, values.whole, assigned[1])
            values = Values(name, opened, offset)
        except Strange:
            return None
        except BadInput as error:
            raise (_cut_off(name) if assigned else error) from error
        if isinstance(values.whole, list | Items):
            return cls(_Numbered(name, values.whole), values.whole)
        return cls(values, values.whole)


def _cut_off(name: str) -> BadInput:
    return BadInput(f"{name}: a file of an X archive that is cut off or damaged. Unpack the archive again.")


def _lines(name: str, text: str) -> Iterable[tuple[str, Any]]:
    try:
        for _ in _Lines(name, text):  # broken lines are said before anything is made of the others
            pass
    except BadInput:
        if objects := _several(name, text):  # pretty-printed objects, one after the other
            return objects
        raise
    return _Lines(name, text)


def _several(name: str, text: str) -> list[tuple[str, Any]]:
    decoder, at, line, records = json.JSONDecoder(), 0, 1, []
    try:
        while at < len(text):
            value, end = decoder.raw_decode(text, at)
            require_shallow(value)
            records.append((f"{name}:{line}", value))
            space = re.compile(r"[\s,]*").match(text, end)
            at, before = space.end() if space else end, at
            line += text.count("\n", before, at)
    except (ValueError, RecursionError):
        return []
    return records


def _load(name: str, text: str, first_line: int, fix: str) -> Any:
    try:
        value = json.loads(text)
        require_shallow(value)
        return value
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise BadInput(f"{name}:{line}: not valid JSON (column {error.colno}: {error.msg}). {fix}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}:{first_line}: JSON with too long a number or too deep a nesting. {fix}") from error


def _python(name: str, text: str) -> list[tuple[str, Any]]:
    """Python dictionaries one a line, as `print` leaves them; literals only, nothing is run."""
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                if len(line) > _LONG:
                    raise ValueError
                records.append((f"{name}:{number}", ast.literal_eval(line.strip())))
            except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
                raise BadInput(
                    f"{name}:{number}: neither JSON nor a Python dictionary. Write one JSON object a line: {EXAMPLE}."
                ) from error
    return records


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {
        dict: "an object",
        list: "an array",
        Items: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def flat(value: Any) -> str:
    """Text that may come in parts, each a string or an object with `text`; parts of other types are left out."""
    if isinstance(value, list):
        return "".join(map(flat, value))
    if isinstance(value, dict):
        no_text = value.get("type") in ("thinking", "reasoning", "tool_use", "tool_result", "image", "image_url")
        return "" if no_text or value.get("thought") is True else flat(value.get("text"))
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    """An object as it is; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
