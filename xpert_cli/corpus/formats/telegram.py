"""Telegram: result.json of one chat or of everything, messages.html, and messages copied from the desktop's window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from xpert_cli.corpus.jsons import flat
from xpert_cli.corpus.large_json import is_array, keys
from xpert_cli.corpus.markup import Element, elements, shown
from xpert_cli.corpus.notices import only_links
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person

KIND = "Telegram chat"

_HTML = re.compile(r'<div class="message (?:default|service)')
_HTML_TIME = re.compile(r"(\d{2})\.(\d{2})\.(\d{4}) (\d{2}:\d{2}:\d{2})(?: UTC([+-]\d{2}:\d{2}))?")
_COPIED = re.compile(
    r"^(.{1,60}), \[(\d{1,2}[./]\d{1,2}[./]\d{2,4},? \d{1,2}:\d{2}(?::\d{2})?(?: [AP]M)?)\]:?[ \t]*$", re.MULTILINE
)
_FOREIGN = ("forwarded_from", "via_bot", "saved_from", "forwarded_from_id")


def read(file: File) -> Parsed | None:
    """Telegram's own exports."""
    whole = file.json.whole if file.json else None
    if isinstance(whole, dict):
        return _from_json(file.name, whole)
    if file.json is None and _HTML.search(file.text):
        return _from_html(file)
    if file.json is None and len(list(_COPIED.finditer(file.text))) > 1:
        return _copied(file)
    return None


def _from_json(name: str, whole: dict[str, Any]) -> Parsed | None:
    chats = iter([whole]) if _is_chat(whole) else _chats(whole)
    first, second = next(chats, None), next(chats, None)
    if first is None:
        return None
    parsed = Parsed(KIND)
    me = whole.get("personal_information")
    own = person(" ".join(str(me.get(k) or "") for k in ("first_name", "last_name"))) if isinstance(me, dict) else ""
    for number, chat in enumerate(chain([first], [second] if second else [], chats), 1):
        source = f"{name}#{number}" if second else name
        turns, others = _turns(source, chat, parsed)
        if turns:
            owner = own if any(turn.author == own for turn in turns) else ""
            speakers = {turn.author for turn in turns}
            if chat.get("type") == "saved_messages" and len(speakers) == 1:
                owner = speakers.pop()
            parsed.conversations.append(Conversation(source, turns, owner, others))
    if own and not all(one.owner for one in parsed.conversations):
        # Whoever made the export is known, so that chats in which they are silent need no question.
        parsed.conversations = [
            one if one.owner else Conversation(one.source, one.turns, own, one.others) for one in parsed.conversations
        ]
    return parsed


def _chats(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The chats of a full export, one at a time."""
    for key in ("chats", "left_chats"):
        part = whole.get(key)
        listed = part.get("list") if isinstance(part, dict) else None
        yield from (one for one in listed if _is_chat(one)) if is_array(listed) else ()


def _is_chat(value: Any) -> bool:
    items = value.get("messages") if isinstance(value, dict) else None
    if not is_array(items):
        return False
    every, some = keys(items)
    return "text" in every and bool(some & {"from", "from_id", "actor", "actor_id"})


def _turns(source: str, chat: dict[str, Any], parsed: Parsed) -> tuple[list[Turn], dict[str, frozenset[str]]]:
    turns: list[Turn] = []
    names: dict[str, set[str]] = {}
    for number, item in enumerate(chat["messages"], 1):
        if not isinstance(item, dict):
            continue
        if item.get("type", "message") != "message":
            parsed.left_out["notices of the app"] += 1
            continue
        if any(item.get(key) for key in _FOREIGN):
            parsed.left_out["forwarded messages"] += 1
            continue
        parts = item.get("text")
        text = clean(flat(parts if parts or "text_entities" not in item else item["text_entities"]))
        if not text:
            parsed.left_out["media notices"] += 1
            continue
        if only_links(text):
            parsed.left_out["messages of links alone"] += 1
            continue
        if text.startswith("/") and re.fullmatch(r"/\w+(?:@\w+)?", text):
            parsed.left_out["commands to bots"] += 1
            continue
        sender, key = item.get("from"), item.get("from_id")
        who = person(sender) if isinstance(sender, str) and sender.strip() else f"{key}" if key else ""
        if isinstance(key, str | int):
            names.setdefault(who, set()).add(str(key))
        when = moment(item.get("date_unixtime")) or moment(item.get("date"))
        turns.append(Turn(who, text, f"{source}#{number}", when))
    return turns, {name: frozenset(others) for name, others in names.items()}


def _from_html(file: File) -> Parsed:
    parsed = Parsed(KIND)
    turns: list[Turn] = []
    sender = ""
    for number, item in enumerate(elements(file.text, lambda one: "message" in one.classes), 1):
        if "service" in item.classes:
            parsed.left_out["notices of the app"] += 1
            continue
        if item.first("forwarded"):
            parsed.left_out["forwarded messages"] += 1
            name = item.first("from_name")
            sender = person(shown(name)) if name and not _inside(item, name, "forwarded") else sender
            continue
        if name := item.first("from_name"):
            sender = re.sub(r"\s+via @\w+.*$", "", person(shown(name)))
        body = item.first("text")
        text = clean(shown(body)) if body else ""
        if not text or only_links(text):
            parsed.left_out["media notices" if not text else "messages of links alone"] += 1
            continue
        turns.append(Turn(sender, text, f"{file.name}#{number}", _html_time(item)))
    parsed.conversations.append(Conversation(file.name, turns))
    return parsed


def _inside(item: Element, wanted: Element, name: str) -> bool:
    outer = item.first(name)
    return outer is not None and wanted in outer.descendants()


def _html_time(item: Element) -> float | None:
    date = item.first("date")
    match = _HTML_TIME.search(date.attributes.get("title", "")) if date else None
    return moment(f"{match[3]}-{match[2]}-{match[1]} {match[4]}{match[5] or ''}") if match else None


def _copied(file: File) -> Parsed | None:
    """ "Tove, [06.05.2024 10:01]" on a line, the message under it."""
    heads = list(_COPIED.finditer(file.text))
    if file.text[: heads[0].start()].strip():
        return None
    turns = []
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        text = clean(file.text[head.end() : after.start() if after else len(file.text)])
        source = f"{file.name}:{file.text.count(chr(10), 0, head.start()) + 1}"
        if text and not text.startswith(("[Forwarded", "[In reply")) and not only_links(text):
            turns.append(Turn(person(head[1]), text, source))
    return Parsed(KIND, [Conversation(file.name, turns)])
