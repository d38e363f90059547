"""A person's messages: what the rest of xpert reads, counts, splits and trains on.

    train, held = corpus.split(0.2, seed=0)
    record(message)     # {"messages": [{"role": "user", ...}, {"role": "assistant", ...}], "time": ..., "source": ...}

Not here: reading files (corpus/reading.py), which reads the normal form back as well.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from xpert_cli.counts import counted
from xpert_cli.errors import BadInput

LEAST_MESSAGES = 4  # to learn from and to check against
PASSAGE = 100  # words; counts in shorter pieces read low, as of what is rare, more than most hold none


@dataclass(frozen=True, slots=True)
class Message:
    """Something the user wrote.

    `prompt` is what it answers, "" where nothing is known; `source` is where it was read: "file:line", "file#item" in a
    JSON array, and "file:line#item" or "file#item#item" for a message inside a conversation. `earlier` are the turns
    of the conversation before the prompt, (role, text), oldest first: a user's, then an assistant's, and so on.
    `time` is in seconds since 1970. `speakers` are the other people of the conversation.
    """

    prompt: str
    response: str
    source: str
    prose: bool = False  # a paragraph of plain text, which need not be a message of its own
    earlier: tuple[tuple[str, str], ...] = ()
    time: float | None = None
    speakers: tuple[str, ...] = ()

    def key(self, seed: int | None = None) -> str:
        """Hexadecimal sha256 of what is said (not of source and time), salted with `seed` if there is one."""
        content = [seed, self.prompt, self.response, *([self.earlier] if self.earlier else [])]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def record(message: Message) -> dict[str, Any]:
    """A message in the normal form, one JSON object a line: OpenAI's chat messages, the last one the user's.

    Earlier turns of the user have weight 0: they are said, and no sample of their own.
    """
    turns = [{"role": role, "content": text} for role, text in message.earlier]
    chat: list[dict[str, Any]] = [turn | ({"weight": 0} if turn["role"] == "assistant" else {}) for turn in turns]
    if message.prompt:
        chat.append({"role": "user", "content": message.prompt})
    fields: dict[str, Any] = {"messages": [*chat, {"role": "assistant", "content": message.response}]}
    if message.time is not None:
        fields["time"] = datetime.fromtimestamp(message.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    fields["source"] = message.source
    if message.speakers:
        fields["speakers"] = list(message.speakers)
    if message.prose:
        fields["prose"] = True
    return fields


@dataclass(frozen=True)
class Reading:
    """What was read and what was left out, in counts.

    `files` are files by kind, `authors` the people whose words were read as the user's. `said` is the number of
    messages as the user sent them, before those sent in a row were joined. `left_out` counts what was dropped, by
    reason. `notes` are what a person should check.
    """

    files: dict[str, int] = field(default_factory=dict)
    authors: tuple[str, ...] = ()
    messages: int = 0
    said: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The counts in one sentence."""
        kinds = ", ".join(f"{count} × {kind}" if count > 1 else kind for kind, count in self.files.items())
        who = f" by {', '.join(self.authors)}" if self.authors else ""
        joined = f", {self.said} as sent" if self.said > self.messages else ""
        dropped = ", ".join(counted(count, reason) for reason, count in self.left_out.items())
        return f"read {counted(self.messages, 'texts')}{who} ({kinds}{joined})" + (
            f"; left out: {dropped}" if dropped else ""
        )


@dataclass(frozen=True)
class Corpus:
    """A person's messages, in the order they were read."""

    messages: tuple[Message, ...]
    reading: Reading = field(default_factory=Reading, compare=False)

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def texts(self) -> tuple[str, ...]:
        """What the user wrote, without the prompts."""
        return tuple(message.response for message in self.messages)

    @property
    def passages(self) -> tuple[str, ...]:
        """The pieces that style is read from: messages, and paragraphs of plain text joined to PASSAGE words."""
        pieces: list[str] = []
        open_file, words = "", 0  # the file whose next paragraph may join the last piece, and the words of that piece
        for message in self.messages:
            file = message.source.rpartition(":")[0] if message.prose else ""
            size = len(message.response.split()) if file else 0
            if file and open_file == file and words < PASSAGE:
                pieces[-1] += f"\n\n{message.response}"
                words += size
            else:
                pieces.append(message.response)
                open_file, words = file, size
        return tuple(pieces)

    @property
    def shows_length(self) -> bool:
        """Whether every text is a message, so that its length is the writer's choice."""
        return not any(message.prose for message in self.messages)

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 that depends neither on the order of messages nor on where they were read."""
        return hashlib.sha256("\n".join(sorted(message.key() for message in self.messages)).encode()).hexdigest()

    def split(self, held_out: float, seed: int) -> tuple[Corpus, Corpus]:
        """Training and held-out messages, each in an order that does not depend on the order of reading.

        A message's own hash decides its side, so it stays there when others come and go, and equal messages stay
        together; the share held out is therefore only about `held_out`. Two different messages give at least one on
        each side; copies of a single one are all for training.

        Raises:
            BadInput: `held_out` is not between 0 and 1.
        """
        if not 0 < held_out < 1:
            raise BadInput(f"the share held out must lie between 0 and 1, not {held_out}. Try 0.2.")
        keyed = sorted(((message.key(seed), message) for message in self.messages), key=lambda pair: pair[0])
        keys = sorted({key for key, _ in keyed})
        below = sum(int(key, 16) < held_out * 2.0**256 for key in keys)
        held_keys = set(keys[: min(max(below, 1), len(keys) - 1)])
        return (
            Corpus(tuple(message for key, message in keyed if key not in held_keys)),
            Corpus(tuple(message for key, message in keyed if key in held_keys)),
        )
