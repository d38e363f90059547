"""Slack exports (day files of a channel, with users.json beside them), and Google Chat from Takeout."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from xpert_cli.corpus.jsons import mapping
from xpert_cli.corpus.large_json import Items, is_array, keys, objects
from xpert_cli.corpus.notices import only_links
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person

KIND = "Slack channel"
GOOGLE = "Google Chat"

_IDS = " In a Slack export's day file users are ids: give the whole export, with users.json, to use names."
_INDEX = {
    "users.json",
    "channels.json",
    "groups.json",
    "dms.json",
    "mpims.json",
    "integration_logs.json",
    "user_info.json",
    "group_info.json",
    "canvases.json",
}
_MENTION = re.compile(r"<@([UW]\w+)(?:\|([^>]*))?>")
_CHANNEL = re.compile(r"<#\w+(?:\|([^>]*))?>")
_SPECIAL = re.compile(r"<!(?:subteam\^\w+\|)?([^|>]*)(?:\|[^>]*)?>")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^|>]+)(?:\|([^>]*))?>")
_SAID = (None, "", "thread_broadcast", "me_message", "file_share", "file_comment")


def read(file: File) -> Parsed | None:
    """A day of a channel, or a Google Chat group."""
    if file.json is None:
        return None
    whole = file.json.whole
    if isinstance(whole, dict) and is_array(whole.get("messages")):
        return _google(file, whole["messages"])
    if not {"ts", "id"} & file.json.first.keys():
        return None
    if is_array(whole) and file.path.rpartition("/")[2] in _INDEX and "id" in file.json.first:
        return Parsed("Slack index")
    if isinstance(whole, dict) and file.path.rpartition("/")[2] in ("user_info.json", "group_info.json"):
        return Parsed("Google Chat index")
    records = file.json.records
    if not all("ts" in one and ("text" in one or "subtype" in one) for one in objects(one for _, one in records)):
        return None
    return _day(file, list(objects(one for _, one in records)))


def _day(file: File, items: list[dict[str, Any]]) -> Parsed:
    parsed = Parsed(KIND)
    names = _users(file, items)
    turns = []
    for number, item in enumerate(sorted(items, key=lambda one: float(moment(one["ts"]) or 0)), 1):
        key = str(item.get("user") or "")
        text = _plain(str(item.get("text") or ""), names)
        if item.get("subtype") not in _SAID or item.get("type", "message") != "message":
            parsed.left_out["messages of bots" if item.get("bot_id") else "notices of the app"] += 1
        elif item.get("bot_id") and item.get("subtype") is None and "client_msg_id" not in item:
            parsed.left_out["messages of bots"] += 1
        elif not text or only_links(text):
            parsed.left_out["messages of links alone" if text else "media notices"] += 1
        else:
            who = names.get(key, [key])[0]
            turns.append(Turn(who, text, f"{file.name}#{number}", moment(item["ts"])))
    others = {known[0]: frozenset({*known, key}) for key, known in names.items()}
    hint = "" if set(names) - {name[0] for name in names.values()} else _IDS
    parsed.conversations.append(Conversation(file.name, turns, "", others, hint=hint))
    return parsed


def _users(file: File, items: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Names of each user, the one that is shown first: from users.json, and from what the messages say."""
    users: dict[str, list[str]] = {}
    listed: Any = []
    for data in (file.beside("..", "users.json"), file.beside("users.json")):
        if data and not listed:
            try:
                listed = json.loads(data)
            except (ValueError, RecursionError):
                listed = []
    people = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    people += [{"id": one.get("user"), "profile": one.get("user_profile")} for one in items if one.get("user_profile")]
    for one in people:
        profile = mapping(one.get("profile"))
        order = (
            profile.get("display_name"),
            one.get("name"),
            profile.get("name"),
            profile.get("real_name"),
            one.get("real_name"),
        )
        names = [person(name) for name in order if isinstance(name, str) and name.strip()]
        if names and isinstance(one.get("id"), str):
            users.setdefault(one["id"], list(dict.fromkeys(names)))
    if not users:  # one day's file alone: notices and replies may say who is who
        for key in {str(one["user"]) for one in items if one.get("user")}:
            users[key] = [key]
    return users


def _plain(text: str, names: dict[str, list[str]]) -> str:
    """Slack's own marks as people see them."""
    text = _MENTION.sub(lambda m: "@" + (m[2] or names.get(m[1], [m[1]])[0]), text)
    text = _CHANNEL.sub(lambda m: f"#{m[1]}" if m[1] else "", text)
    text = _LINK.sub(lambda m: m[2] or m[1], text)
    return clean(html.unescape(_SPECIAL.sub(r"@\1", text)))


def _google(file: File, items: list[Any] | Items) -> Parsed | None:
    if "creator" not in keys(items)[0] or not all(isinstance(one["creator"], dict) for one in objects(items)):
        return None
    parsed = Parsed(GOOGLE)
    turns: list[Turn] = []
    others: dict[str, frozenset[str]] = {}
    for number, item in enumerate(objects(items), 1):
        creator = item["creator"]
        text = clean(str(item.get("text") or ""))
        if creator.get("user_type") == "Bot":
            parsed.left_out["messages of bots"] += 1
        elif not text or only_links(text) or item.get("message_state") == "DELETED":
            parsed.left_out["media notices"] += 1
        else:
            who = person(str(creator.get("name") or creator.get("email") or ""))
            others[who] = frozenset({who, str(creator.get("email") or who)})
            turns.append(Turn(who, text, f"{file.name}#{number}", _google_time(item.get("created_date"))))
    parsed.conversations.append(Conversation(file.name, turns, _google_user(file, others), others))
    return parsed


def _google_user(file: File, others: dict[str, frozenset[str]]) -> str:
    """Whose Takeout this is: Users/User .../user_info.json, beside the folder of groups."""
    for name in file.source.paths():
        if name.endswith("user_info.json"):
            try:
                user = json.loads(file.source.read(name) or b"{}").get("user", {})
            except (ValueError, AttributeError, RecursionError):
                continue
            known = {str(user.get("name")), str(user.get("email"))} if isinstance(user, dict) else set()
            return next(
                (who for who, names in others.items() if names & known),
                person(str(user.get("name") or "")) if known else "",
            )
    return ""


def _google_time(value: Any) -> float | None:
    return moment(re.sub(r"\s+", " ", value)) if isinstance(value, str) else None
