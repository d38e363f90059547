"""Mails put in lines, each answer behind what it says that it answers.

    for turns, linked in lines(mails): ...

A mail names the one that it answers (In-Reply-To, RFC 5322). Where several answer one, each line but the first begins
with what was said before, which is not learnt twice. Mails that name none go by their subject and their time. Not here:
how a mail is read (mail.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xpert_cli.corpus.turns import Turn

BEFORE = 8  # mails that a second line begins with


@dataclass(frozen=True)
class Mail:
    """A mail: what was said, its subject without Re:, its own id, and the id of what it answers; "" where not said."""

    turn: Turn
    subject: str
    id: str = ""
    answers: str = ""


def lines(mails: Sequence[Mail]) -> list[tuple[list[Turn], bool]]:
    """Turns in lines, and whether each turn of a line answers the one before."""
    ordered = sorted(mails, key=lambda mail: mail.turn.time or 0)
    known = {mail.id: at for at, mail in enumerate(ordered) if mail.id}
    parents = [known.get(mail.answers, -1) for mail in ordered]
    subjects: dict[str, list[int]] = {}
    waiting: dict[int, list[int]] = {}
    for at, mail in enumerate(ordered):
        if parents[at] >= 0:
            waiting.setdefault(parents[at], []).append(at)
        else:  # what answers a mail that is not here begins anew, unless it may be the one before, which has no id
            thread = f" {mail.subject}"
            nameless = thread in subjects and not ordered[subjects[thread][-1]].id
            subjects.setdefault(thread if nameless or not mail.answers else mail.answers, []).append(at)
    made = [([ordered[at].turn for at in group], len(group) == 1) for group in subjects.values()]
    last = {group[0]: line for group, (line, _) in zip(subjects.values(), made, strict=True) if len(group) == 1}
    placed: set[int] = set()
    roots = [at for group in subjects.values() for at in group]
    for root in [*roots, *range(len(ordered))]:  # mails that answer each other in a circle have no root
        if root in placed:
            continue
        if root not in last and parents[root] >= 0:
            made.append(([ordered[root].turn], True))
            last[root] = made[-1][0]
        stack = [root]
        while stack:
            at = stack.pop()
            placed.add(at)
            for child in waiting.get(at, ()):
                if child in placed:
                    continue
                line = last.pop(at, None)
                if line is None:
                    line = _before(at, ordered, parents)
                    made.append((line, True))
                line.append(ordered[child].turn)
                last[child] = line
                stack.append(child)
                placed.add(child)
    return made


def _before(at: int, mails: Sequence[Mail], parents: Sequence[int]) -> list[Turn]:
    """A mail and those that it goes back to, oldest first, to begin another line with."""
    path: list[int] = []
    while at >= 0 and at not in path and len(path) < BEFORE:
        path.append(at)
        at = parents[at]
    return [replace(mails[one].turn, written=False) for one in reversed(path)]
