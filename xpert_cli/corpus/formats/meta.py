"""Messenger and Instagram: message_1.json of a download of your information; its text is UTF-8 read as Latin-1."""

from __future__ import annotations

import re
from typing import Any

from xpert_cli.corpus.large_json import is_array, keys, objects
from xpert_cli.corpus.notices import only_links, taken_away
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person

KIND = "Messenger or Instagram chat"

# "Ana reacted ❤ to your message", "Ana sent an attachment.", and the like, in the languages of the app.
_NOTICE = re.compile(
    r".{0,60}\b(?:reacted .{1,12} to (?:your|a) message|liked (?:a|your) message|sent an? (?:attachment|photo"
    r"|video|voice message|GIF|sticker|link|location|live location|reel|post|story|file|audio)\.?"
    r"|shared a (?:story|post|reel|link|location|photo|video)\.?|unsent a message|missed (?:your|a) (?:video "
    r"|voice |audio )?(?:call|chat).*|started (?:a|an) (?:video |voice |audio )?(?:call|chat).*"
    r"|(?:video|audio|voice) (?:call|chat) ended.*|called you|hat .{1,20} auf deine nachricht reagiert"
    r"|hat .{1,40} gesendet\.?|a réagi .{1,40}|a envoyé .{1,40}|reaccionó con .{1,40}"
    r"|reaccionó .{1,30} a tu mensaje|envió .{1,40}|ha enviado .{1,40}|ha reagito .{1,40}|ha inviato .{1,40}"
    r"|reagiu .{1,40}|enviou .{1,40}|reagerade .{1,40}|skickade .{1,40}|heeft .{1,40} (?:verzonden|gestuurd)\.?"
    r"|zareagował.{1,60}|wysłał.{1,40}|named the group .*|(?:created|left|joined) the (?:group|call)\.?"
    r"|added .{1,60} to the group\.?|changed the (?:theme|group photo|chat theme|quick reaction) .*|set (?:the"
    r"|your|his|her|their) (?:nickname|quick reaction|emoji).*|pinned a message\.?)"
    r"|(?:you (?:sent|reacted|missed|called|unsent|named|set|changed|liked|shared an?|created|left|added) .{0,80}"
    r"|you are now connected on messenger.*|say hi to your new .*|the video call ended.*"
    r"|reacted .{1,12} to your message|liked a message)",
    re.IGNORECASE,
)


def read(file: File) -> Parsed | None:
    """A thread's messages, oldest first."""
    whole = file.json.whole if file.json else None
    items = whole.get("messages") if isinstance(whole, dict) else None
    if not is_array(items):
        return None
    named = [key for key in ("sender_name", "senderName") if key in keys(items)[0]]
    if not named:
        return None
    key = named[0]
    parsed = Parsed(KIND)
    turns: list[tuple[float, Turn]] = []
    for number, item in enumerate(objects(items), 1):
        who = person(mended(str(item[key] or "")))
        content = item.get("content", item.get("text"))
        text = clean(mended(content)) if isinstance(content, str) else ""
        if reason := _dropped(item, who, text):
            parsed.left_out[reason] += 1
            continue
        when = moment(item.get("timestamp_ms", item.get("timestamp")))
        turns.append((when or 0.0, Turn(who, text, f"{file.name}#{number}", when)))
    turns.reverse()  # newest first in the file; the sort below is stable
    ordered = sorted(turns, key=lambda pair: pair[0])
    parsed.conversations.append(Conversation(file.name, [turn for _, turn in ordered]))
    return parsed


def _dropped(item: dict[str, Any], who: str, text: str) -> str:
    if not text:
        return "media notices"
    if item.get("is_unsent") or taken_away(text):
        return "deleted messages"
    if only_links(text):
        return "messages of links alone"
    first = who.split(" ")[0] if who else ""
    about = (
        "share" in item or item.get("call_duration") is not None or item.get("type") in ("Call", "Share", "Subscribe")
    )
    begins = text.startswith((who, first)) if first else False
    shaped = _NOTICE.fullmatch(text) is not None
    if shaped and (begins or about or text.lower().startswith(("you ", "reacted", "liked a", "the video"))):
        return "notices of the app"
    return "notices of the app" if item.get("call_duration") is not None or _reaction(text) else ""


def _reaction(text: str) -> bool:
    return (
        re.fullmatch(
            r"(?:\S+ ){0,3}(?:reacted|liked) .{0,20}(?:your|a) (?:message|photo|story|reel)\.?", text, re.IGNORECASE
        )
        is not None
    )


def mended(text: str) -> str:
    """Text whose UTF-8 bytes were read as Latin-1, as it was meant; other text as it is."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
