"""One file's text to the user's messages; the format is told by content, never by the file's name.

    parse("chat.txt", "31/12/2024, 22:15 - Bo: ready?\n31/12/2024, 22:16 - Anna: nearly!", author="Anna")
    # [Message(prompt="ready?", response="nearly!", source="chat.txt:2")]

JSONL, or a JSON array, of objects with a prompt and a response, with `messages`, or with `text`; WhatsApp text exports,
Telegram and Discord JSON exports; anything else is plain text or Markdown, one sample a paragraph. Does not cover:
mailboxes, and plain text with one message a line. No error repeats what was written: only names, lines and fields.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from xpert_cli.errors import BadInput

_ASKED = ("prompt", "question", "instruction", "context", "input")
_ANSWERED = ("response", "output", "answer", "completion")
_UNDERSTOOD = f"a response ({', '.join(_ANSWERED)}) with or without a prompt ({', '.join(_ASKED)}), messages, or text"
_EXAMPLE = '{"prompt": "...", "response": "..."}'
_ROLES = ("user", "assistant")
_SAID_TYPES = (None, "message", "Default", "Reply")

_JSON = re.compile(r'\s*(?:\{\s*"|\[\s*[{"])')
_RECORD = re.compile(r'^\{[ \t]*"', re.MULTILINE)

_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
_TIME = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?[AaPp]\.?\s?[Mm]\.?)?"
_MARKS = "\u200e\u200f\u202a\u202c\ufeff"
_STAMPED = re.compile(rf"[{_MARKS}]*(?:\[{_DATE},?\s{_TIME}\]|{_DATE},?\s{_TIME}\s-)\s(.*)")
_NAMED = re.compile(r'([^:"“”]{1,60}):(?: (.*)|$)')
_EDITED = "<This message was edited>"
_NOTICE = re.compile(
    r"\u200e|<[^<>]{3,60}>$|.*\(file attached\)$|null$|(?:This message was deleted|You deleted this message)\.?$"
)

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?=[\w-]+:)(?:.*\n)*?(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_UNDERLINED = re.compile(r"(?:\A|(?<=\n\n))[^\n]*[^\n.!?]\n(?:={3,}|-{3,})[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_QUOTE = r"\s*>|On (?=.*\d).{8,200} wrote:\s*$"
_HEADING_OR_RULE = r" {0,3}(?:#{1,6}(?:\s|$)|={3,}\s*$|(?:[-*_]\s*){3,}$)"
_NOT_PROSE = re.compile(f"{_QUOTE}|{_HEADING_OR_RULE}")
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")
# Thai, Japanese and Chinese do not put spaces between words: a character counts as one there.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W_][\w'’-]*")


@dataclass(frozen=True)
class Message:
    """Something the user wrote.

    `prompt` is what it answers, "" where nothing is known; `source` is where it was read: "file:line", "file#item" in a
    JSON array, and "file:line#item" or "file#item#item" for a message inside a conversation.
    """

    prompt: str
    response: str
    source: str
    prose: bool = False  # a paragraph of plain text, which need not be a message of its own

    def key(self, seed: int | None = None) -> str:
        """Hexadecimal sha256 of prompt and response (not of the source), salted with `seed` if there is one."""
        return hashlib.sha256(json.dumps([seed, self.prompt, self.response]).encode()).hexdigest()


class _Turn(NamedTuple):
    author: str
    text: str
    source: str


def parse(name: str, text: str, author: str | None = None) -> list[Message]:
    """The user's messages in one file's text with \\n line ends; none if nothing in it can be used.

    Args:
        author: whose messages count in a conversation; needed for chat exports, "assistant" where turns have roles.

    Raises:
        BadInput: broken JSON, fields that are not known, no author or none of that name in a conversation.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if _JSON.match(text) or 2 * len(_RECORD.findall(text)) > len(lines):
        return _from_records(name, text, author)
    if lines and _STAMPED.match(lines[0]) and (turns := _whatsapp(name, text)):
        return _answers(name, [turns], author)
    return _from_prose(name, text)


def _message(prompt: str, response: str, source: str) -> list[Message]:
    """One message, or none if nothing was written."""
    response = _clean(response)
    return [Message(_clean(prompt), response, source)] if response else []


def _clean(text: str) -> str:
    """NFC, \\n line ends, no outer blank space; what UTF-8 or a C string cannot hold becomes U+FFFD."""
    text = re.sub("[\0\ud800-\udfff]", "\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return unicodedata.normalize("NFC", text).strip()


# JSON: records with a prompt and a response, with text, or with a conversation.


def _from_records(name: str, text: str, author: str | None) -> list[Message]:
    messages: list[Message] = []
    conversations: list[list[_Turn]] = []
    for source, record in _records(name, text):
        if not isinstance(record, dict):
            raise BadInput(f"{source}: expected a JSON object such as {_EXAMPLE}, found {_kind(record)}.")
        if isinstance(record.get("messages"), list):
            conversations.append(_conversation(source, record["messages"]))
        else:
            messages += _pair(source, {key.lower(): value for key, value in record.items()})
    return messages + _answers(name, conversations, author)


def _records(name: str, text: str) -> Iterator[tuple[str, Any]]:
    """Each JSON value with its source: a line of JSONL, an item of an array, or the whole document."""
    # A pretty-printed document is indented, so several braces at the start of a line mean JSONL.
    if not text.lstrip().startswith("[") and len(_RECORD.findall(text)) > 1:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"{name}:{number}", _load(name, line, number, f"Each line must be one object such as {_EXAMPLE}.")
        return
    document = _load(name, text, 1, f"Expected objects such as {_EXAMPLE}, one a line or in one array.")
    if isinstance(document, list):
        yield from ((f"{name}#{number}", item) for number, item in enumerate(document, 1))
    else:
        yield f"{name}:1", document


def _load(name: str, text: str, first_line: int, fix: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise BadInput(f"{name}:{line}: not valid JSON (column {error.colno}: {error.msg}). {fix}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}:{first_line}: JSON with too long a number or too deep a nesting. {fix}") from error


def _pair(source: str, record: dict[str, Any]) -> list[Message]:
    answered = next((key for key in (*_ANSWERED, "text") if key in record), None)
    if answered is None:
        raise _unknown_fields(source, list(record))
    asked = [] if answered == "text" else [key for key in _ASKED if key in record]
    for key in (*asked, answered):
        if not isinstance(record[key], str | None):
            raise BadInput(f"{source}: field {key!r} must be text, found {_kind(record[key])}. Write it as a string.")
    parts = (_clean(record[key] or "") for key in asked)
    return _message("\n".join(part for part in parts if part not in ("", "<no input>")), record[answered] or "", source)


def _conversation(source: str, items: list[Any]) -> list[_Turn]:
    """The turns of OpenAI messages (role, content) or a Telegram (from, text) or Discord (author, content) export."""
    fields: set[str] = set().union(*(item for item in items if isinstance(item, dict)))
    if fields and not ({"role", "from", "author"} & fields and {"content", "text"} & fields):
        raise _unknown_fields(source, sorted(fields))
    turns = []
    for number, item in enumerate(items, 1):
        # A forwarded message is somebody else's words.
        if not isinstance(item, dict) or item.get("type") not in _SAID_TYPES or "forwarded_from" in item:
            continue
        who = item.get("role") or item.get("from") or item.get("author")
        who = who.get("name") if isinstance(who, dict) else who
        text = _clean(_flat(item.get("content", item.get("text"))))
        if isinstance(who, str) and text and ("role" not in item or who in _ROLES):
            turns.append(_Turn(_name(who), text, f"{source}#{number}"))
    return turns


def _flat(value: Any) -> str:
    """Text that may come in parts, each a string or an object with `text`."""
    if isinstance(value, list):
        return "".join(_flat(part.get("text") if isinstance(part, dict) else part) for part in value)
    return value if isinstance(value, str) else ""


def _unknown_fields(source: str, fields: list[str]) -> BadInput:
    seen = ", ".join(_name(field)[:30] for field in fields[:8]) or "none"
    return BadInput(f"{source}: no known fields. Seen: {seen}. Understood: {_UNDERSTOOD}.")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


# Conversations: which turns are the user's, and what they answer.


def _answers(name: str, conversations: list[list[_Turn]], author: str | None) -> list[Message]:
    """The author's turns; each prompt is the turn just before it."""
    authors = sorted({turn.author for turns in conversations for turn in turns})
    if not authors:
        return []
    found = ", ".join(authors[:12]) + (", ..." if len(authors) > 12 else "")
    me = _name(author) if author else "assistant" if set(authors) <= set(_ROLES) else None
    if me is None:
        raise BadInput(f"{name}: a conversation; which author are you? Found: {found}. Say it with --author NAME.")
    if me not in authors:
        raise BadInput(f"{name}: no messages by {me}. Found: {found}. Name one of them with --author NAME.")
    messages: list[Message] = []
    for turns in conversations:
        before = ""
        for turn in _joined(turns):
            if turn.author == me:
                messages += _message(before, turn.text, turn.source)
            before = turn.text
    return messages


def _joined(turns: list[_Turn]) -> list[_Turn]:
    """`turns` with what one author wrote in a row made one turn."""
    joined: list[_Turn] = []
    for turn in turns:
        if joined and joined[-1].author == turn.author:
            joined[-1] = joined[-1]._replace(text=f"{joined[-1].text}\n{turn.text}")
        else:
            joined.append(turn)
    return joined


def _name(text: str) -> str:
    """An author's name on one line, without direction marks and the ~ that WhatsApp puts before unsaved contacts."""
    plain = text.translate(dict.fromkeys(map(ord, _MARKS)))
    return " ".join(_clean(plain).split()).removeprefix("~").lstrip()


def _whatsapp(name: str, text: str) -> list[_Turn]:
    """The turns of a text export.

    Lines without a stamp continue the message before; stamped lines without an author, and those that begin with
    U+200E, are the system's.
    """
    heard: list[tuple[str, list[str], str]] = []
    listening = False
    for number, line in enumerate(text.split("\n"), 1):
        if stamped := _STAMPED.match(line):
            named = _NAMED.match(stamped[1])
            listening = named is not None
            if named:
                heard.append((_name(named[1]), [named[2] or ""], f"{name}:{number}"))
        elif listening:
            heard[-1][1].append(line)
    turns = (_Turn(who, _clean("\n".join(map(_without_notices, lines))), source) for who, lines, source in heard)
    return [turn for turn in turns if turn.text]


def _without_notices(line: str) -> str:
    line = line.rstrip().removesuffix(_EDITED)
    return "" if _NOTICE.match(line) else line.rstrip(f" {_MARKS}")


# Plain text and Markdown.


def _from_prose(name: str, text: str) -> list[Message]:
    for dropped in (_FRONT_MATTER, _COMMENT, _UNDERLINED):
        text = dropped.sub(lambda match: "\n" * match[0].count("\n"), text)  # keeps the line numbers
    found = [(number, _clean("\n".join(lines))) for number, lines in _paragraphs(text)]
    return [Message("", words, f"{name}:{number}", True) for number, words in found if len(_WORD.findall(words)) >= 3]


def _paragraphs(text: str) -> list[tuple[int, list[str]]]:
    """First line's number and lines of each paragraph. A list stays with the paragraph before it; without one, each of
    its blocks is a paragraph."""
    found: list[tuple[int, list[str]]] = []
    inside = after = False
    for number, line in enumerate(_prose(text), 1):
        if line is None:
            inside = after = False
        elif not line.strip():
            inside = False
        elif inside:
            found[-1][1].append(line)
        elif after and _BULLET.match(line) and not _BULLET.match(found[-1][1][0]):
            found[-1][1].extend(["", line])
            inside = True
        else:
            found.append((number, [line]))
            inside = after = True
    return found


def _prose(text: str) -> Iterator[str | None]:
    """Each line, or None where it is not the author's prose: code, somebody's quoted words, a heading, a rule."""
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            bare = line.strip()
            fence = "" if bare.startswith(fence) and not bare.strip(fence[0]) else fence
            yield None
        elif mark:
            fence = mark[1]
            yield None
        else:
            yield None if _NOT_PROSE.match(line) else line
