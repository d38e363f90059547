"""Discord: DiscordChatExporter's JSON, CSV and text, and the data package that Discord sends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from xpert_cli.corpus.large_json import is_array, keys, objects
from xpert_cli.corpus.notices import only_links
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.tables import Table
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person

KIND = "Discord chat"
PACKAGE = "Discord data package"

_SAID = (None, "Default", "Reply", 0, 19, "0", "19")
_HEAD = re.compile(r"^\[(\d{1,4}[^\]\n]{6,30})\] (.{1,80}?)(?: \(pinned\))?$", re.MULTILINE)
_TITLE = re.compile(r"={20,}\n(?:Guild|Channel|Server): .*\n", re.MULTILINE)
_EXTRAS = re.compile(r"^\{(?:Attachments|Reactions|Embed|Embeds|Stickers|Forwarded Message|Forwarded)\}$", re.MULTILINE)
_MENTION = re.compile(r"<(?:@[!&]?|#)\d+>")
_EMOJI = re.compile(r"<a?(:\w+:)\d+>")


def read(file: File) -> Parsed | None:
    """One of Discord's exports."""
    if file.json is not None:
        whole = file.json.whole
        if isinstance(whole, dict):
            return _exporter(file, whole)
        known = "contents" in map(str.lower, file.json.first)
        return _package(file, file.json.records) if known else None
    if (table := file.table) is not None:
        columns = set(table.columns)
        if {"authorid", "author", "content"} <= columns:
            return _csv(file, table)
        if {"id", "timestamp", "contents"} <= columns:
            return _package(file, table.rows)
        return None
    title = _TITLE.search(file.text)
    return _text(file) if title and file.text[: title.start()].strip() == "" and _HEAD.search(file.text) else None


def _exporter(file: File, whole: dict[str, Any]) -> Parsed | None:
    items = whole.get("messages")
    if not is_array(items) or not {"author", "content"} <= keys(items)[0]:
        return None
    if not all(isinstance(one["author"], dict) for one in objects(items)):
        return None
    parsed = Parsed(KIND)
    turns: list[Turn] = []
    others: dict[str, frozenset[str]] = {}
    for number, item in enumerate(objects(items), 1):
        author = item["author"]
        reference = item.get("reference")
        forward = isinstance(reference, dict) and str(reference.get("type")).lower() in ("forward", "1")
        text = _plain(str(item["content"] or ""))
        if reason := _dropped(item, author, forward, text):
            parsed.left_out[reason] += 1
            continue
        names = [author.get(key) for key in ("nickname", "global_name", "globalName", "name", "username")]
        known = [person(name) for name in names if isinstance(name, str) and name.strip()]
        tag = author.get("discriminator")
        aliases = {*known, *(f"{name}#{tag}" for name in known if tag)}
        who = known[0] if known else str(author.get("id") or "")
        others[who] = others.get(who, frozenset()) | aliases
        turns.append(Turn(who, text, f"{file.name}#{number}", moment(item.get("timestamp"))))
    parsed.conversations.append(Conversation(file.name, turns, "", others))
    return parsed


def _dropped(item: dict[str, Any], author: dict[str, Any], forward: bool, text: str) -> str:
    if item.get("type") not in _SAID:
        return "notices of the app"
    if author.get("isBot") or author.get("bot"):
        return "messages of bots"
    if forward or item.get("forwardedMessage"):
        return "forwarded messages"
    if not text:
        return "media notices"
    return "messages of links alone" if only_links(text) else ""


def _package(file: File, records: Iterable[tuple[str, Any]]) -> Parsed | None:
    """messages.json or messages.csv of one channel: all of it is what the user wrote."""

    def rows() -> Iterator[dict[str, Any]]:
        return ({key.lower(): value for key, value in one.items()} for one in objects(value for _, value in records))

    if not all({"id", "timestamp", "contents"} <= row.keys() for row in rows()):
        return None
    parsed = Parsed(PACKAGE)
    turns = []
    for number, row in enumerate(rows(), 1):
        text = _plain(str(row["contents"] or ""))
        if text and not only_links(text):
            turns.append(Turn("you", text, f"{file.name}#{number}", moment(row["timestamp"])))
        else:
            parsed.left_out["messages of links alone" if text else "media notices"] += 1
    # Each stands alone: what it answered is not in the package.
    for turn in sorted(turns, key=lambda one: one.time or 0):
        parsed.conversations.append(Conversation(file.name, [turn], "you"))
    return parsed


def _csv(file: File, table: Table) -> Parsed:
    parsed = Parsed(KIND)
    turns: list[Turn] = []
    others: dict[str, frozenset[str]] = {}
    for source, row in table.rows:
        text = _plain(row["content"])
        if not text or only_links(text):
            parsed.left_out["messages of links alone" if text else "media notices"] += 1
            continue
        who = person(row["author"]).removesuffix("#0000").removesuffix("#0")
        others[who] = frozenset({person(row["author"]), re.sub(r"#\d{4}$", "", who)})
        turns.append(Turn(who, text, source, moment(row.get("date"))))
    parsed.conversations.append(Conversation(file.name, turns, "", others))
    return parsed


def _text(file: File) -> Parsed:
    parsed = Parsed(KIND)
    heads = list(_HEAD.finditer(file.text))
    turns = []
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        body = file.text[head.end() : after.start() if after else len(file.text)]
        body = re.split(r"^={20,}$", body, flags=re.MULTILINE)[0]
        extras = _EXTRAS.search(body)
        forward = extras is not None and "Forwarded" in extras[0]
        text = _plain(body[: extras.start()] if extras else body)
        source = f"{file.name}:{file.text.count(chr(10), 0, head.start()) + 1}"
        if not text or only_links(text):
            parsed.left_out["forwarded messages" if forward else "media notices"] += 1
            continue
        turns.append(Turn(re.sub(r"#0{1,4}$", "", person(head[2])), text, source, moment(head[1])))
    parsed.conversations.append(Conversation(file.name, turns))
    return parsed


def _plain(text: str) -> str:
    """Custom emoji as :name:, without mentions that are numbers."""
    return clean(_MENTION.sub("", _EMOJI.sub(r"\1", text))) if "<" in text else clean(text)
