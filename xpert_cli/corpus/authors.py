"""Whose turns are the user's: the names given with --author, or the owner that an export names.

    chosen(conversations, ["ilse brandt"], "chat.txt")      # {"Ilse Brandt 🐈"}

A name is found as it is written, else without regard to case, spaces, emoji and punctuation, else by its words ("sam"
for "Sam Lee") where they fit one person alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from xpert_cli.corpus.turns import Conversation, person
from xpert_cli.errors import BadInput

LISTED = 12


def named(conversations: Iterable[Conversation], names: Sequence[str], source: str) -> frozenset[str]:
    """The authors that the given names stand for, over all conversations; names of nobody are left out.

    Raises:
        BadInput: a name fits several people, or none of the names fits anybody.
    """
    several = list(conversations)
    known: dict[str, set[str]] = {}
    for one in several:
        for author in {turn.author for turn in one.turns if turn.author}:
            known.setdefault(author, {author}).update(one.others.get(author, ()))
    matched: set[str] = set()
    for name in names:
        matched |= _matches(person(name), known, source, several)
    if not matched:
        listed_names = " or ".join(map(person, names))
        known_people, hints = listed(several), _hints(several)
        raise BadInput(
            f"{source}: no messages by {listed_names}. Found: {known_people}. Name one with --author NAME.{hints}"
        )
    return frozenset(matched)


def question(conversations: Sequence[Conversation], source: str) -> BadInput:
    """Asks who the user is."""
    people, hints = listed(conversations), _hints(conversations)
    return BadInput(
        f"{source}: a conversation; which author are you? Found: {people}. Say it with --author NAME.{hints}"
    )


def _hints(conversations: Iterable[Conversation]) -> str:
    return "".join(dict.fromkeys(one.hint for one in conversations))


def listed(conversations: Iterable[Conversation]) -> str:
    """The authors with the number of their messages, most first."""
    counts = Counter(turn.author for one in conversations for turn in one.turns if turn.author)
    if not counts:
        return "nobody with a name"
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = ", ".join(f"{name[:60]} ({count})" for name, count in ranked[:LISTED])
    return shown + (", ..." if len(ranked) > LISTED else "")


def _matches(name: str, known: dict[str, set[str]], source: str, several: Sequence[Conversation]) -> set[str]:
    if name in known:
        return {name}
    exact = {author for author, names in known.items() if name in names}
    if exact:  # one address may stand under several names
        return exact
    alike = {author for author, names in known.items() if folded(name) and folded(name) in map(folded, names)}
    words = set(_words(name))
    partly = alike or {
        author for author, names in known.items() if words and any(words <= set(_words(one)) for one in names)
    }
    if len(partly) > 1 and len({folded(author) for author in partly}) > 1:
        raise BadInput(
            f"{source}: {name} may be any of {', '.join(sorted(partly)[:LISTED])}. Found: {listed(several)}."
            " Give the whole name with --author NAME."
        )
    return partly


def folded(name: str) -> str:
    """A name without what people leave out when they type it: case, marks, spaces, punctuation, emoji."""
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).casefold())
