"""What somebody posted: the archive of X (Twitter), Reddit's tables, Mastodon's outbox."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from xpert_cli.corpus.jsons import mapping
from xpert_cli.corpus.large_json import is_array, objects
from xpert_cli.corpus.markup import prose
from xpert_cli.corpus.notices import only_links, taken_away
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, message, person

X = "X archive"
REDDIT = "Reddit data"
MASTODON = "Mastodon archive"

_MEDIA_LINK = re.compile(r"\s*https://t\.co/\w+\s*$")


def read(file: File) -> Parsed | None:
    """Posts of one archive file."""
    if file.json is None:
        if file.table is not None and {"body", "permalink"} <= set(file.table.columns):
            return _reddit(file)
        return None
    whole = file.json.whole
    if file.json.assigned:
        return _x(file, file.json.assigned, whole if is_array(whole) else [])
    if is_array(whole) and len(whole) and all(isinstance(mapping(one).get("tweet"), dict) for one in whole):
        return _tweets(file.name, whole)
    if isinstance(whole, dict) and "orderedItems" in whole and "@context" in whole:
        return _mastodon(file.name, whole)
    return None


def _x(file: File, part: str, items: Iterable[Any]) -> Parsed:
    if part in ("tweets", "tweet", "note_tweet", "community_tweet"):
        return _tweets(file.name, items)
    if part in ("direct_messages", "direct_messages_group"):
        return _direct(file, items)
    return Parsed(f"X archive ({part}, not writing)")


def _tweets(name: str, items: Iterable[Any]) -> Parsed:
    parsed = Parsed(X)
    for number, item in enumerate(objects(items), 1):
        tweet = item.get("tweet") or item.get("noteTweet") or item
        core = mapping(tweet.get("core"))
        text = clean(html.unescape(str(tweet.get("full_text") or tweet.get("text") or core.get("text") or "")))
        if media := (tweet.get("entities") or {}).get("media") if isinstance(tweet.get("entities"), dict) else None:
            text = _MEDIA_LINK.sub("", text) if media else text
        if re.match(r"RT @\w+:", text) or tweet.get("retweeted_status"):
            parsed.left_out["reposts"] += 1
        elif not text or only_links(re.sub(r"@\w+", "", text).strip() or "x"):
            parsed.left_out["posts of links alone"] += 1
        else:
            made = message("", text, f"{name}#{number}", moment(tweet.get("created_at")))
            parsed.messages += made
    return parsed


def _direct(file: File, items: Iterable[Any]) -> Parsed:
    """Direct messages: senders are numbers; account.js beside them says which is the user's."""
    parsed = Parsed(X)
    account = file.beside("account.js") or b""
    match = re.search(rb'"accountId"\s*:\s*"(\d+)"', account)
    me = match[1].decode() if match else ""
    for number, item in enumerate(objects(items), 1):
        talk = item.get("dmConversation")
        chat = talk.get("messages") if isinstance(talk, dict) else None
        turns = []
        for one in reversed(list(chat) if is_array(chat) else []):  # newest first
            message = one.get("messageCreate") if isinstance(one, dict) else None
            if not isinstance(message, dict):
                parsed.left_out["notices of the app"] += 1
                continue
            text = clean(html.unescape(str(message.get("text") or "")))
            if text and not only_links(text):
                turns.append(
                    Turn(
                        str(message.get("senderId") or ""),
                        text,
                        f"{file.name}#{number}",
                        moment(message.get("createdAt")),
                    )
                )
            else:
                parsed.left_out["messages of links alone"] += 1
        if turns:
            parsed.conversations.append(Conversation(file.name, turns, me))
    return parsed


def _reddit(file: File) -> Parsed:
    assert file.table is not None
    parsed = Parsed(REDDIT)
    rows = file.table.rows
    if {"from", "to"} <= set(file.table.columns):
        threads: dict[str, list[Turn]] = {}
        for source, row in rows:
            text = clean(row.get("body", ""))
            if text and not taken_away(text):
                turn = Turn(person(row.get("from", "")), text, source, moment(row.get("date")))
                threads.setdefault(row.get("thread_id", "") or row.get("id", ""), []).append(turn)
        parsed.conversations += [Conversation(file.name, turns) for turns in threads.values()]
        return parsed
    for source, row in rows:
        text = _without_quotes(row.get("body") or "", parsed.left_out)
        if not text or taken_away(text):
            parsed.left_out["empty or deleted posts"] += 1
        elif only_links(text):
            parsed.left_out["posts of links alone"] += 1
        else:
            parsed.messages += message("", text, source, moment(row.get("date")))
    return parsed


def _without_quotes(text: str, left_out: Counter[str]) -> str:
    """A Markdown comment without the lines it quotes."""
    lines = clean(html.unescape(text)).split("\n")
    own = [line for line in lines if not re.match(r"\s*(?:>|&gt;)", line)]
    left_out["quoted lines"] += len(lines) - len(own)
    return clean("\n".join(own))


def _mastodon(name: str, whole: dict[str, Any]) -> Parsed:
    parsed = Parsed(MASTODON)
    items = whole["orderedItems"]
    for number, item in enumerate(items if is_array(items) else [], 1):
        post = item.get("object") if isinstance(item, dict) else None
        if not isinstance(post, dict) or item.get("type") != "Create":
            parsed.left_out["reposts"] += 1
            continue
        parsed.messages += message(
            "", prose(str(post.get("content") or "")), f"{name}#{number}", moment(post.get("published"))
        )
    return parsed
