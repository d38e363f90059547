"""Records of the training world, one JSON object or table row each: prompt and response, messages, text, or a sender's.

    {"prompt": "How was the ferry?", "response": "Late and lovely."}
    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}

OpenAI, ShareGPT, Alpaca, TRL (conversational too), DPO and KTO (what was chosen), Gemini, WeClone, xpert's own normal
form, and rendered chat templates. Records with a sender are a conversation. Not here: exports of apps.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from xpert_cli.corpus.formats.fields import (
    ANSWERED,
    ASKED,
    GROUPS,
    LISTS,
    MINE,
    ROLES,
    SENDERS,
    TEXTS,
    TIMES,
    UNDERSTOOD,
    WRAPPERS,
)
from xpert_cli.corpus.jsons import EXAMPLE, flat, kind, mapping
from xpert_cli.corpus.large_json import Items, is_array, keys, objects
from xpert_cli.corpus.markup import is_markup, prose
from xpert_cli.corpus.messages import Message
from xpert_cli.corpus.notices import notice, only_links, taken_away
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.templates import rendered, untemplated
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, message, person
from xpert_cli.errors import BadInput

NORMAL = {"messages", "time", "source", "speakers", "prose"}
REMEMBERED = 64  # texts
_MEDIA_TYPES = (
    "图片",
    "语音",
    "视频",
    "动画表情",
    "系统通知",
    "image",
    "photo",
    "video",
    "audio",
    "voice",
    "sticker",
    "file",
    "system",
    "notification",
    "call",
)


def read(file: File) -> Parsed | None:
    """Records, if the file is JSON.

    Raises:
        BadInput: fields that are not known, or of another kind.
    """
    if file.json is None:
        return None
    return of_records(file.name, file.json.records, "JSON records")


def of_records(name: str, records: Iterable[tuple[str, Any]], what: str) -> Parsed:
    """What records say, whatever they were read from."""
    parsed = Parsed(what)
    recent: dict[str, str] = {}
    talks = _Talks(parsed.left_out)
    for source, record in records:
        if is_array(record) and len(record) and all(isinstance(one, dict) for one in record):
            record = {"messages": record}
        if not isinstance(record, dict):
            raise BadInput(f"{source}: expected a JSON object such as {EXAMPLE}, found {kind(record)}.")
        if normal := _normal(record, recent):
            parsed.messages.append(normal)
            continue
        if isinstance(record.get("row"), dict):
            record = record["row"]
        fields = {str(key).strip().lower(): value for key, value in record.items()}
        listed = next((key for key in LISTS if is_array(fields.get(key))), None)
        answered = next((key for key in ANSWERED if key in fields), None)
        if listed and not isinstance(answered and fields[answered], str):
            _conversation(source, fields, fields[listed], parsed)
        elif _sent(fields):
            talks.add(source, fields)
        elif answered or any(key in fields for key in ("text", "content")):
            _pair(source, fields, answered, parsed)
        elif inner := _wrapped(fields):
            deeper = of_records(name, ((f"{source}#{n}", one) for n, one in enumerate(inner, 1)), what)
            parsed.conversations += deeper.conversations
            parsed.messages += deeper.messages
            parsed.left_out.update(deeper.left_out)
        else:
            raise unknown_fields(source, list(fields))
    parsed.conversations += talks.conversations(name)
    return parsed


def _normal(record: dict[str, Any], recent: dict[str, str]) -> Message | None:
    """A record in xpert's own normal form: where it was read, and one answer that counts, the last; None for others.

    Args:
        recent: texts of the records before, which share their turns with this one.
    """
    chat, source = record.get("messages"), record.get("source")
    if not isinstance(source, str) or not isinstance(chat, list) or not chat or record.keys() - NORMAL:
        return None
    turns: list[tuple[str, str]] = []
    for number, one in enumerate(chat, 1):
        role, text = mapping(one).get("role"), mapping(one).get("content")
        counts = role == "assistant" and mapping(one).get("weight") != 0
        if not isinstance(text, str) or role not in ("user", "assistant") or counts != (number == len(chat)):
            return None
        turns.append((role, recent.setdefault(text, text)))
    if len(recent) > REMEMBERED:
        recent.clear()
    response = clean(turns[-1][1])
    prompt = turns[-2][1] if len(turns) > 1 and turns[-2][0] == "user" else ""
    if not response or (len(turns) > 1 and not prompt):
        return None
    listed = record.get("speakers")
    names = tuple(str(one) for one in listed) if isinstance(listed, list) else ()
    prose, when = record.get("prose") is True, moment(record.get("time"))
    return Message(clean(prompt), response, source, prose, tuple(turns[:-2]), when, names)


def _sent(fields: dict[str, Any]) -> bool:
    """Whether a record is one person's message: a sender and a text."""
    who = next((key for key in SENDERS if isinstance(fields.get(key), str | dict)), None)
    role = isinstance(fields.get("role"), str) and fields["role"].lower() in ROLES
    text = any(isinstance(fields.get(key), str | list) for key in TEXTS)
    answered = any(key in fields for key in ANSWERED)
    if answered and (who == "user" or (who == "name" and not any(key in fields for key in TIMES))):
        who = None
    mine = any(key in fields for key in MINE)
    return text and bool(who or role or mine)


class _Talks:
    """The conversations that single messages make."""

    def __init__(self, left_out: Counter[str]) -> None:
        self._left_out = left_out
        self._groups: dict[str, list[Turn]] = {}
        self._owner, self._roles = "", True

    def add(self, source: str, fields: dict[str, Any]) -> None:
        """One message more."""
        group = next((str(fields[key]) for key in GROUPS if isinstance(fields.get(key), str | int)), "")
        who = _who(fields)
        if who is None:
            self._left_out["system messages"] += 1
            return
        mine = next((fields[key] for key in MINE if key in fields), None)
        if str(mine).lower() in ("1", "true", "yes"):
            self._owner = self._owner or who or "you"
            who = self._owner
        self._roles = self._roles and "role" in fields
        sort = str(fields.get("type_name", fields.get("type", ""))).strip().lower()
        text = clean(untemplated(flat(next(fields[key] for key in TEXTS if isinstance(fields.get(key), str | list)))))
        if reason := _not_said(text, sort):
            self._left_out[reason] += 1
            return
        when = next((moment(fields[key]) for key in TIMES if fields.get(key) is not None), None)
        written = fields.get("weight") not in (0, 0.0, "0")
        self._groups.setdefault(group, []).append(Turn(who, text, source, when, written))

    def conversations(self, name: str) -> list[Conversation]:
        """What all messages make."""
        authors = {turn.author for turns in self._groups.values() for turn in turns}
        owner = "assistant" if self._roles and authors <= {"user", "assistant"} else self._owner
        return [Conversation(name, _in_time(turns), owner) for turns in self._groups.values()]


def _not_said(text: str, sort: str) -> str:
    if sort in _MEDIA_TYPES or not text:
        return "media notices"
    if taken_away(text):
        return "deleted messages"
    return "messages of links alone" if only_links(text) else notice(text) if "\n" not in text else ""


def _in_time(turns: list[Turn]) -> list[Turn]:
    """Turns in their order, turned round where the newest come first."""
    times = [turn.time for turn in turns if turn.time is not None]
    falling = sum(a > b for a, b in itertools.pairwise(times))
    rising = sum(a < b for a, b in itertools.pairwise(times))
    return turns[::-1] if falling > rising else turns


def _who(fields: dict[str, Any]) -> str | None:
    """The speaker, "" if unnamed, None for what nobody says."""
    role = fields.get("role")
    if isinstance(role, str) and role.lower() in ROLES:
        return ROLES[role.lower()] or None
    for key in SENDERS:
        value = fields.get(key)
        if isinstance(value, dict):
            value = next(
                (value[k] for k in ("name", "display_name", "username", "nickname") if isinstance(value.get(k), str)),
                "",
            )
        if isinstance(value, str) and value.strip():
            return person(value)
    return ""


def _conversation(source: str, fields: dict[str, Any], items: list[Any] | Items, parsed: Parsed) -> None:
    """Messages with roles, or with names."""
    known = keys(items)[1]
    if len(items) and next(objects(items), None) is None:
        other = next(iter(items))
        raise BadInput(
            f'{source}: expected messages such as {{"role": "user", "content": "..."}}, found {kind(other)}.'
        )
    speakers = {"role", "from", "author", "sender", "speaker", "name", "user", "from_id", "sender_name"} & known
    if len(items) and not (speakers and {"content", "text", "value", "parts", "message"} & known):
        raise unknown_fields(source, sorted(map(str, known)))
    turns, roles = [], True
    for number, item in enumerate(objects(items), 1):
        who, is_role = _speaker(item)
        roles = roles and is_role
        content = next(
            (item[key] for key in ("content", "value", "text", "parts", "message") if item.get(key) is not None), None
        )
        text = clean(untemplated(flat(content)))
        if (
            item.get("type") not in (None, "message", "text", "Default", "Reply")
            or who is None
            or item.get("forwarded_from")
        ):
            parsed.left_out[
                "system messages"
                if who is None
                else "forwarded messages"
                if item.get("forwarded_from")
                else "notices of the app"
            ] += 1
        elif text and not taken_away(text):
            when = next((moment(item[key]) for key in TIMES if item.get(key) is not None), None)
            turns.append(Turn(who, text, f"{source}#{number}", when, item.get("weight") not in (0, 0.0)))
    if not turns:
        parsed.left_out["empty conversations"] += 1
        return
    owner = "assistant" if roles and {turn.author for turn in turns} <= {"user", "assistant"} else ""
    if owner and fields.get("label") is False:
        parsed.left_out["rejected answers"] += 1
        return
    file = source.partition("#")[0].rpartition(":")[0] or source
    parsed.conversations.append(Conversation(file, turns, owner))


def _speaker(item: dict[str, Any]) -> tuple[str | None, bool]:
    """Who speaks, and whether that is a role."""
    for key in ("role", "from", "author", "sender", "sender_name", "speaker", "user", "name"):
        value = item.get(key)
        if isinstance(value, dict):
            value = next(
                (value[k] for k in ("role", "nickname", "name", "username") if isinstance(value.get(k), str)), None
            )
        if isinstance(value, str) and value.strip():
            role = ROLES.get(value.strip().lower())
            if role is not None and key in ("role", "from", "author", "speaker", "sender"):
                return role or None, True
            return person(value), False
    return "", False


def _pair(source: str, fields: dict[str, Any], answered: str | None, parsed: Parsed) -> None:
    key = answered or ("text" if "text" in fields else "content")
    label = fields.get("label", fields.get("kto_tag"))
    if answered and (label is False or str(label).lower() == "false"):
        parsed.left_out["rejected answers"] += 1
        return
    prompts = [name for name in ASKED if name in fields] if answered else []
    if isinstance(fields[key], list) or any(isinstance(fields[name], list) for name in prompts):
        _conversational(source, [fields[name] for name in prompts], fields[key], parsed)
        return
    for name in (*prompts, key):
        if not isinstance(fields[name], str | None):
            raise BadInput(f"{source}: field {name!r} must be text, found {kind(fields[name])}. Write it as a string.")
    answer = fields[key] or ""
    if turns := rendered(answer):
        written = [Turn(role, clean(text), source) for role, text in turns if role and clean(text)]
        if answered == "chosen":  # the whole talk stands there, and only its end was chosen
            written = [*(Turn(t.author, t.text, t.source, None, False) for t in written[:-1]), written[-1]]
        parsed.conversations.append(Conversation(source.rpartition(":")[0] or source, written, "assistant"))
        return
    answer = untemplated(answer)
    answer = prose(answer) if is_markup(answer) and "```" not in answer else answer
    if taken_away(answer) or not answer.strip():
        parsed.left_out["empty or deleted answers"] += 1
        return
    parts = (clean(untemplated(fields[name] or "")) for name in prompts)
    messages = message("\n".join(part for part in parts if part not in ("", "<no input>")), answer, source)
    when = next((moment(fields[name]) for name in TIMES if fields.get(name) is not None), None)
    before = _history(fields.get("history"))
    parsed.messages += [replace(one, earlier=before, time=when) for one in messages]


def _history(value: Any) -> tuple[tuple[str, str], ...]:
    """Alpaca's earlier pairs."""
    pairs = [one for one in value if isinstance(one, list) and len(one) == 2] if isinstance(value, list) else []
    turns = [
        (role, clean(text))
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
        if isinstance(text, str)
    ]
    return tuple(turns) if all(text for _, text in turns) else ()


def _conversational(source: str, prompts: list[Any], answer: Any, parsed: Parsed) -> None:
    """TRL's prompts and completions that are lists of messages."""
    before = [
        one
        for part in prompts
        for one in (part if isinstance(part, list) else [{"role": "user", "content": part}] if part else [])
    ]
    after = answer if isinstance(answer, list) else [{"role": "assistant", "content": answer}]
    earlier = [one for one in before if isinstance(one, dict)]
    context = [
        {**one, "weight": 0} if ROLES.get(str(one.get("role", "")).lower()) == "assistant" else one for one in earlier
    ]
    last = [one for one in after if isinstance(one, dict)]
    if last[: len(earlier)] == earlier and len(last) > len(earlier):  # chosen may hold the prompt once more
        last = last[len(earlier) :]
    _conversation(source, {}, [*context, *last], parsed)


def _wrapped(fields: dict[str, Any]) -> list[Any] | Items:
    """The records under a key of a whole document."""
    lists = [value for key, value in fields.items() if key in WRAPPERS and is_array(value)]
    inner = lists[0] if len(lists) == 1 else []
    return inner if all(isinstance(one, dict) for one in inner) else []


def unknown_fields(source: str, fields: list[str]) -> BadInput:
    """Says which fields were seen, and which are understood."""
    listed = ", ".join(person(field)[:30] for field in fields[:8]) or "none"
    return BadInput(f"{source}: no known fields. Seen: {listed}. Understood: {UNDERSTOOD}.")
