"""ChatGPT's and Claude's exports: what the user said to them.

ChatGPT keeps a tree of regenerated answers; the branch that was shown last counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from xpert_cli.corpus.jsons import flat, mapping
from xpert_cli.corpus.large_json import is_array, objects
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean

CHATGPT = "ChatGPT export"
CLAUDE = "Claude export"


def read(file: File) -> Parsed | None:
    """conversations.json of either."""
    if file.json is None:
        return None
    if not {"mapping", "chat_messages"} & file.json.first.keys():
        return None
    records = file.json.records
    if all(isinstance(one.get("mapping"), dict) for one in _items(records)):
        return _chatgpt(file.name, _items(records))
    if all(is_array(one.get("chat_messages")) for one in _items(records)):
        return _claude(file.name, _items(records))
    return None


def _items(records: Iterable[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    return objects(one for _, one in records)


def _chatgpt(name: str, items: Iterable[dict[str, Any]]) -> Parsed:
    parsed = Parsed(CHATGPT)
    for number, item in enumerate(items, 1):
        turns: list[Turn] = []
        for node in _branch(item["mapping"], item.get("current_node")):
            message = node.get("message")
            if not isinstance(message, dict):
                continue
            author = message.get("author")
            role = mapping(author).get("role")
            content = mapping(message.get("content"))
            hidden = isinstance(message.get("metadata"), dict) and message["metadata"].get(
                "is_visually_hidden_from_conversation"
            )
            shown = content.get("content_type") in ("text", "multimodal_text") and not hidden
            parts = content.get("parts")
            text = clean("\n".join(filter(None, map(flat, parts)))) if shown and isinstance(parts, list) else ""
            if role in ("user", "assistant") and text and message.get("recipient", "all") == "all":
                turns.append(Turn(role, text, f"{name}#{number}#{len(turns) + 1}", moment(message.get("create_time"))))
        if turns:
            parsed.conversations.append(Conversation(name, turns, "user"))
    return parsed


def _branch(mapping: dict[str, Any], last: Any) -> list[dict[str, Any]]:
    """The nodes from the root to the last one; without a last one, along the newest children."""
    nodes = {key: node for key, node in mapping.items() if isinstance(node, dict)}
    if not isinstance(last, str) or last not in nodes:
        last = next((key for key, node in nodes.items() if node.get("parent") not in nodes), None)
        seen: set[Any] = set()
        while last is not None and last not in seen:
            seen.add(last)
            children = [one for one in nodes[last].get("children") or () if one in nodes]
            if not children:
                break
            last = children[-1]
    path: list[dict[str, Any]] = []
    known: set[Any] = set()
    while isinstance(last, str) and last in nodes and last not in known:
        known.add(last)
        path.append(nodes[last])
        last = nodes[last].get("parent")
    return path[::-1]


def _claude(name: str, items: Iterable[dict[str, Any]]) -> Parsed:
    parsed = Parsed(CLAUDE)
    for number, item in enumerate(items, 1):
        turns: list[Turn] = []
        for message in item["chat_messages"]:
            if not isinstance(message, dict):
                continue
            role = {"human": "user", "user": "user", "assistant": "assistant"}.get(str(message.get("sender")))
            text = clean(str(message.get("text") or "") or flat(message.get("content")))
            if role and text:
                turns.append(Turn(role, text, f"{name}#{number}#{len(turns) + 1}", moment(message.get("created_at"))))
        if turns:
            parsed.conversations.append(Conversation(name, turns, "user"))
    return parsed
