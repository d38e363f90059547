"""The user's own writing, read from files, folders, archives or standard input.

    corpus = read(["notes/", "chat.txt"], author="Anna")
    corpus.reading.line         # "read 212 texts by Anna (WhatsApp chat, 3 × text, 530 as sent); left out: 12 notices"

What a file may hold: corpus/formats/. Whose turns count: corpus/authors.py. What answers what: corpus/pairing.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from xpert_cli.corpus import authors, pairing
from xpert_cli.corpus.copies import without_copies
from xpert_cli.corpus.formats import EMPTY, parse
from xpert_cli.corpus.messages import PASSAGE, Corpus, Message, Reading
from xpert_cli.corpus.sources import File, Place, Source, place_of
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, BadUsage

__all__ = ["PASSAGE", "Corpus", "Message", "Reading", "Wanted", "read"]

Progress = Callable[[str, float], None]
NAMED = 3  # files that a note names
COPIES = "copies of longer texts"
_PAIRED = Conversation("", ())


@dataclass(frozen=True)
class Wanted:
    """Which messages count: from `since` to before `until` (seconds since 1970), matching none of `exclude`.

    `gap` is the silence, in seconds, that ends a session. `copies`: longer texts that were sent several times stay.
    """

    since: float | None = None
    until: float | None = None
    exclude: tuple[re.Pattern[str], ...] = ()
    gap: float = pairing.GAP
    copies: bool = False

    @property
    def dated(self) -> bool:
        """Whether it matters when a message was written."""
        return self.since is not None or self.until is not None

    @classmethod
    def of(cls, since: str | None, until: str | None, exclude: Sequence[str], hours: float | None) -> Wanted:
        """From what was typed.

        Raises:
            BadUsage: no date, dates the wrong way round, or no pattern.
        """
        patterns = []
        for pattern in exclude:
            try:
                patterns.append(re.compile(pattern, re.IGNORECASE))
            except re.error as error:
                raise BadUsage(
                    f"--exclude {pattern!a} is no regular expression: {error}. Write plain words."
                ) from error
        gap = pairing.GAP if hours is None else 3600 * hours
        first, last = _date("--since", since), _date("--until", until)
        if first is not None and last is not None and first > last:
            raise BadUsage(f"--since {since} is after --until {until}: no message is between them. Turn them round.")
        return cls(first, last, tuple(patterns), gap)


@dataclass
class _Read:
    """What the files held, before it is known whose words count."""

    kinds: Counter[str] = field(default_factory=Counter)
    conversations: list[Conversation] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    texts: int = 0
    places: set[Place] = field(default_factory=set)  # of files that were read
    met: set[Path] = field(default_factory=set)  # paths that were left out


def read(
    sources: Sequence[str],
    *,
    author: str | Sequence[str] | None = None,
    stdin: IO[bytes] | None = None,
    wanted: Wanted | None = None,
    progress: Progress = lambda message, fraction: None,
) -> Corpus:
    """Everything the user wrote in `sources`: files, folders, archives and "-", standard input.

    Args:
        author: the user's names in conversations; needed where an export does not say who made it.
        stdin: what "-" stands for, instead of the process's own standard input.
        wanted: which messages count, and when a session ends.

    Raises:
        BadInput: a file is missing, empty, binary, broken, of a kind that is not known, or without anything usable; a
            conversation has no messages by `author`, or needs one; `author` is given and nothing is a conversation.
            Inside a folder or an archive such a file is left out, with a note.
    """
    names = [author] if isinstance(author, str) else list(author or ())
    names = [name for name in names if name.strip()]
    wanted = wanted or Wanted()
    files = _Read()
    unique: dict[Place, str] = {}
    for name in filter(None, sources):  # a file is read once, however it is named
        unique.setdefault(name if name == "-" else place_of(name), name)
    named = list(unique.values())
    for number, name in enumerate(named):
        progress("reading your text", number / len(named))
        _read_source(Source(name, stdin, unique, files.met), files, progress)
    if not named:
        raise BadInput("no text was given. Name files or folders with text you wrote, or - for standard input.")
    shown = Source(named[0]).shown if len(named) == 1 else "your files"
    messages, who, turn_count = _users(files, names, shown, wanted, progress)
    usable = _within([*files.messages, *messages], wanted, files.left_out)
    if not wanted.copies:
        usable, files.left_out[COPIES] = without_copies(usable)
    if not usable:
        why = "; ".join(counted(count, reason) for reason, count in files.left_out.items() if count)
        why = why or "fragments under three words, code, quotes and media notices are left out"
        if files.doubts and wanted.dated:
            why += f"; {files.doubts[0]}"
        raise BadInput(f"{shown} holds no usable text ({why}). Give a file with text you wrote.")
    left_out = {reason: count for reason, count in sorted(files.left_out.items()) if count}
    if wanted.dated:
        files.notes += dict.fromkeys(files.doubts)
    reading = Reading(
        dict(files.kinds), who, len(usable), len(files.messages) + turn_count, left_out, tuple(files.notes)
    )
    return Corpus(tuple(usable), reading)


def _read_source(source: Source, files: _Read, progress: Progress) -> None:
    before, refused, empty, count, again = files.texts, list[str](), 0, 0, False
    for file in source.files():
        if file.place in files.places:
            again = True
            continue
        files.places |= {file.place} - {""}
        count += 1
        progress("reading your text", 0.5)
        try:
            parsed = parse(file)
        except BadInput as error:
            if not source.many:
                raise
            if file.place in source.named:  # an archive, as a rule: it is read by itself
                files.places.discard(file.place)
                again = True
                continue
            refused.append(str(error))
            continue
        empty += not _holds(file, parsed)
        files.texts += _holds(file, parsed)
        if parsed.kind == EMPTY and source.many:
            files.left_out["empty files"] += 1
        else:
            files.kinds[parsed.kind] += bool(parsed.conversations or parsed.messages)
        files.conversations += parsed.conversations
        files.messages += parsed.messages
        files.left_out.update(parsed.left_out)
        files.doubts += filter(None, [parsed.doubt])
        files.notes += [*([file.decoded.note] if "decoded" in vars(file) and file.decoded.note else []), *parsed.notes]
    files.left_out.update(source.left_out)
    files.notes += source.notes[:NAMED]
    if refused:
        files.left_out["files of other kinds"] += len(refused)
        files.notes += refused[:NAMED]
    if files.texts == before and not again and not source.again:
        if source.many and not refused and count == empty:
            reasons = f" ({', '.join(f'{n} {why}' for why, n in source.left_out.items())})" if source.left_out else ""
            raise BadInput(f"{source.shown} holds no file with text{reasons}. Name the files with text you wrote.")
        if refused:
            raise BadInput(f"nothing in {source.shown} could be read. {refused[0]}")
        raise BadInput(f"{source.shown} is empty. Give a file with text you wrote.")


def _holds(file: File, parsed: Parsed) -> bool:
    """Whether a file holds anything at all."""
    return bool(parsed.conversations or parsed.messages or parsed.left_out) or bool(
        {"decoded", "json"} & vars(file).keys()
    )


def _users(
    files: _Read, user_names: Sequence[str], shown: str, wanted: Wanted, progress: Progress
) -> tuple[list[Message], tuple[str, ...], int]:
    """The user's messages in conversations, under which names, and how many turns they were."""
    talks = [one for one in files.conversations if one.turns]
    if user_names and not talks:
        if files.messages:
            unread = f" {files.notes[0]}" if files.left_out["files of other kinds"] else ""
            raise BadInput(
                f"{shown} is no conversation, so nobody in it is {' or '.join(user_names)}. Leave --author out.{unread}"
            )
        return [], (), 0
    mine: frozenset[str] = frozenset()
    if user_names:
        mine = authors.named(talks, user_names, shown)
    elif unknown := [one for one in talks if not one.owner]:
        name = unknown[0].source if len({one.source for one in unknown}) == 1 else shown
        raise authors.question(unknown, name)
    messages: list[Message] = []
    names: Counter[str] = Counter()
    turn_count = pair_count = 0
    files.conversations = []
    for number, one in enumerate(talks):
        if number % 100 == 0:
            progress("pairing questions and answers", number / len(talks))
        here = {turn.author for turn in one.turns}
        whose = (mine & here) or frozenset({one.owner} - {""})
        if not whose & here:
            files.left_out["conversations in which you say nothing"] += 1
            continue
        own = pairing.paired(one, whose, wanted.gap)
        names.update(turn.author for turn in one.turns if turn.author in whose)
        pair_count += len(whose) > 1 and len(whose & here) > 1 and not {author for author in here if author} - whose
        turn_count += sum(turn.author in whose and turn.written for turn in one.turns)
        messages += own
        if own:
            talks[number] = _PAIRED  # its turns are let go
    if pair_count:
        both = " and ".join(sorted(name for name, _ in names.most_common(2)))
        files.notes.append(
            f"{counted(pair_count, 'conversations are')} between the authors that you named alone: "
            f"{both} are read as one person, and answer nobody. Name one of them if they are two."
        )
    if talks and not messages and not files.messages:
        authors.named(talks, list(user_names) or sorted({one.owner for one in talks}), shown)
    return messages, tuple(name for name, _ in names.most_common()), turn_count


def _within(messages: Sequence[Message], wanted: Wanted, left_out: Counter[str]) -> list[Message]:
    """The messages of the asked time that match no excluded pattern."""
    inside = []
    for message in messages:
        if wanted.dated:
            if message.time is None:
                left_out["without a date"] += 1
                continue
            if message.time < (wanted.since or message.time) or message.time >= (wanted.until or message.time + 1):
                left_out["outside the dates"] += 1
                continue
        if any(pattern.search(message.response) for pattern in wanted.exclude):
            left_out["matching --exclude"] += 1
            continue
        inside.append(message)
    return inside


def _date(option: str, value: str | None) -> float | None:
    time = moment(value) if value else None
    if value and time is None:
        raise BadUsage(f"{option} {value!a} is no date. Write it as 2024-05-31.")
    return time
