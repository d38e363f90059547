"""Conversations to messages: what each turn of the user answers, and what was said before it.

    paired(Conversation("f", [Turn("Bo", "Ready?", "f:1"), Turn("Anna", "Nearly!", "f:2")]), {"Anna"})
    # [Message(prompt="Ready?", response="Nearly!", source="f:2", speakers=("Bo",))]

What one author wrote in a row is one turn, its parts on lines of their own, whatever else was left out between them. A
silence of GAP ends a session: what comes after it answers nothing and continues nothing, unless it says itself what it
answers, as mail does. EARLIER turns before the
prompt, at most ROOM characters, go with a message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from xpert_cli.corpus.messages import Message
from xpert_cli.corpus.turns import Conversation, Turn, clean

GAP = 8 * 3600.0  # seconds
EARLIER = 8  # turns
ROOM = 4000  # characters
ROLES = ("user", "assistant")  # authors that are no people
LONGEST = 20_000  # characters of one turn: what is longer is no chat, and is not joined further


def paired(conversation: Conversation, mine: Collection[str], gap: float = GAP) -> list[Message]:
    """The user's messages, each with its prompt and the turns before it."""
    people = dict.fromkeys(turn.author for turn in conversation.turns)
    others = tuple(name for name in people if name and name not in mine and name not in ROLES)
    others += tuple(sorted(name for role in ROLES for name in conversation.others.get(role, ()) if role not in mine))
    crowd = len([name for name in people if name not in mine]) > 1
    messages: list[Message] = []
    exchanged: list[tuple[str, str]] = []
    before: Turn | None = None
    for turns in _runs(conversation.turns, mine, gap):
        if before and not conversation.linked and _apart(before, turns[0], gap):
            exchanged = []
        before = turns[-1]
        role = "assistant" if turns[0].author in mine else "user"
        text = _joined(turns, crowd and role == "user")
        if role == "assistant" and any(turn.written for turn in turns) and text:
            prompt = exchanged[-1][1] if exchanged and exchanged[-1][0] == "user" else ""
            earlier = _earlier(exchanged[:-1]) if prompt else ()
            messages.append(Message(prompt, text, turns[0].source, False, earlier, turns[0].time, others))
        if text and exchanged and exchanged[-1][0] == role:  # chat templates want the two to take turns
            exchanged[-1] = (role, f"{exchanged[-1][1]}\n{text}")
        elif text:
            exchanged = [*exchanged[-EARLIER - 1 :], (role, text)]
    return messages


def _runs(turns: Iterable[Turn], mine: Collection[str], gap: float) -> Iterable[list[Turn]]:
    """The turns, with what one side wrote in a row, and without a long silence, together."""
    run: list[Turn] = []
    size = 0
    for turn in turns:
        if run and not (_together(run[-1], turn, mine) and not _apart(run[-1], turn, gap) and size < LONGEST):
            yield run
            run, size = [], 0
        run.append(turn)
        size += len(turn.text)
    if run:
        yield run


def _together(one: Turn, other: Turn, mine: Collection[str]) -> bool:
    """Whether two turns in a row are of one side: the user's under any of their names, or the others'."""
    return (one.author in mine) == (other.author in mine) and one.written == other.written


def _apart(one: Turn, other: Turn, gap: float) -> bool:
    return one.time is not None and other.time is not None and abs(other.time - one.time) > gap


def _joined(turns: list[Turn], crowd: bool) -> str:
    """The turns on lines of their own; in a group each begins with its speaker."""
    lines: list[str] = []
    speaker = ""
    for turn in turns:
        if crowd and turn.author and (turn.author != speaker or not lines):
            lines.append(f"{turn.author}: {turn.text}")
        else:
            lines.append(turn.text)
        speaker = turn.author
    return clean("\n".join(lines))


def _earlier(before: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The last turns that fit, beginning with somebody else's: chat templates want it so."""
    turns: list[tuple[str, str]] = []
    room = ROOM
    for role, text in reversed(before[-EARLIER:]):
        room -= len(text)
        if room < 0:
            break
        turns.append((role, text))
    while turns and turns[-1][0] == "assistant":
        turns.pop()
    return tuple(reversed(turns))
