"""Other conversations as text: IRC logs, meeting chats, and lines that begin with one of a few names.

10:02 < ilse> the lower one, as ever
Tove: Is the kettle mended?
"""

from __future__ import annotations

import itertools
import re
from collections import Counter

from xpert_cli.corpus.notices import notice, only_links
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person

IRC, MEETING, TRANSCRIPT = "IRC log", "meeting chat", "transcript"

_STAMP = (
    r"(?:\[?(?:\d{4}-\d{2}-\d{2}[T ]|[A-Z][a-z]{2} \d{1,2} )?\d{1,2}:\d{2}(?::\d{2})?(?: ?[APap][Mm])?\]?"
    r"|\[\d{4}-\d{2}-\d{2}[^\]\n]{0,20}\])"
)
_IRC = re.compile(rf"^(?:({_STAMP})[ \t]+)?<[ @+%&~!.]?([^<>\s]{{1,40}})>[ \t]+(.*)$")
_IRC_OTHER = re.compile(rf"^(?:{_STAMP}[ \t]+)?(?:-!-|\*{{1,3}}[ \t]|---|-->|<--|--[ \t]|={{3}}|-[^\s-]\S*-[ \t]|!)")
_WEECHAT = re.compile(r"^(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2})\t([^\t\n]*)\t(.*)$")
_ZOOM = re.compile(r"^(?:(\d{1,2}:\d{2}:\d{2})\s+)From\s+(.{1,60}?)(?:\s+to\s+(.{1,60}?))?\s*:\s?(.*)$", re.IGNORECASE)
_NAMED = re.compile(r"^(?:\*\*)?([^\W\d_][\w .'’-]{0,39}?)(?:\*\*)?:(?:\*\*)?[ \t]+(\S.*)$")
_TIMED = re.compile(rf"^({_STAMP})[ \t]+(?:[-–|] ?)?([^\W\d_][\w .'’@#-]{{0,39}}?)[:>][ \t]+(.*)$")


def read(file: File) -> Parsed | None:
    """A conversation, where most lines are of one of the forms."""
    if file.json is not None:
        return None
    lines = file.text.split("\n")
    filled = [line for line in lines if line.strip()]
    for kind, pattern, share in (
        (IRC, _IRC, 0.3),
        (IRC, _WEECHAT, 0.6),
        (MEETING, _ZOOM, 0.3),
        (TRANSCRIPT, _TIMED, 0.5),
    ):
        matched = sum(pattern.match(line) is not None for line in filled)
        if matched and matched >= share * len(filled) and (matched > 1 or len(filled) == 1):
            return _logged(file, lines, kind, pattern)
    return _named(file, lines, filled)


def _logged(file: File, lines: list[str], kind: str, pattern: re.Pattern[str]) -> Parsed:
    parsed = Parsed(kind)
    entries: list[tuple[int, str, list[str], float | None]] = []
    inside = False
    for number, line in enumerate(lines, 1):
        if (match := pattern.match(line)) and not (pattern is _WEECHAT and not re.search(r"\w", match[2])):
            groups = match.groups()
            entries.append((number, groups[1].lstrip("@+%&~"), [groups[-1]], moment((groups[0] or "").strip("[]"))))
            inside = kind != IRC
        elif not line.strip():
            continue
        elif inside and not _IRC_OTHER.match(line):
            entries[-1][2].append(line.strip())
        else:
            parsed.left_out["notices of the app"] += 1
    turns = []
    for number, who, body, when in entries:
        text = clean("\n".join(body))
        if not text or notice(text) or only_links(text):
            parsed.left_out["media notices"] += 1
        else:
            turns.append(Turn(person(who), text, f"{file.name}:{number}", when))
    parsed.conversations.append(Conversation(file.name, turns))
    return parsed


def _named(file: File, lines: list[str], filled: list[str]) -> Parsed | None:
    """Lines that begin with one of a few names, each of which speaks more than once."""
    names = Counter(match[1] for line in filled if (match := _NAMED.match(line)))
    speakers = {name for name, count in names.items() if count > 1 and len(name.split()) <= 4}
    if not 2 <= len(speakers) <= 12:
        return None
    covered = sum(names[name] for name in speakers)
    first = _NAMED.match(filled[0])
    changes = [match[1] for line in filled if (match := _NAMED.match(line)) and match[1] in speakers]
    turned = sum(a != b for a, b in itertools.pairwise(changes))
    if covered < 4 or covered < 0.7 * len(filled) or first is None or 3 * turned < len(changes):
        return None
    parsed = Parsed(TRANSCRIPT)
    turns: list[Turn] = []
    for number, line in enumerate(lines, 1):
        match = _NAMED.match(line)
        if match and (match[1] in speakers or (names[match[1]] == 1 and len(match[1].split()) <= 3)):
            turns.append(Turn(person(match[1]), clean(match[2]), f"{file.name}:{number}"))
        elif line.strip() and turns:
            last = turns[-1]
            turns[-1] = Turn(last.author, f"{last.text}\n{line.strip()}", last.source)
    parsed.conversations.append(Conversation(file.name, turns))
    return parsed
