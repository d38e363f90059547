"""Copies among a person's longer messages: chain letters that were passed on, replies that were pasted again and again.

    without_copies(messages)        # ([...], 3): the first of each, and how many were left out

Short messages are no copies of each other: who writes "on my way" every day has a habit. Two messages of LONG words or
more are the same if nearly all runs of RUN words are, whatever the case, marks, figures and emoji. How nearly is
estimated from the smallest digests of the runs (A. Broder, "On the resemblance and containment of documents", 1997), so
that the time goes with the length of the text and not with its square.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from heapq import nsmallest
from zlib import crc32

from xpert_cli.corpus.messages import Message

LONG = 12  # words, or characters of languages without spaces
RUN = 2  # words
SAME = 0.6  # of the runs of two messages that have to be in both
DIGESTS = 24  # smallest ones of a message that are compared
LOOKED_UP = 4  # of these, by which earlier messages are looked for
MOST = 8  # earlier messages that are compared for one of these: what many have tells nothing, and takes time
_WORD = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\\W\\d_]+")


def without_copies(messages: Sequence[Message]) -> tuple[list[Message], int]:
    """The messages in their order without later copies, and how many these were.

    Of several copies the earliest by time stays, else the one whose digest is smallest: the order of files does not
    matter.
    """
    sketches = {number: sketch for number, one in enumerate(messages) if (sketch := _sketch(one.response))}

    def place(number: int) -> tuple[float, str]:
        message = messages[number]
        return (float("inf") if message.time is None else message.time, message.key())

    earlier: dict[int, list[frozenset[int]]] = {}
    copies: set[int] = set()
    for number in sorted(sketches, key=place):
        sketch = sketches[number]
        smallest = sorted(sketch)[:LOOKED_UP]
        if any(_resemblance(sketch, other) >= SAME for digest in smallest for other in earlier.get(digest, ())):
            copies.add(number)
            continue
        for digest in smallest:
            others = earlier.setdefault(digest, [])
            if len(others) < MOST:
                others.append(sketch)
    return [one for number, one in enumerate(messages) if number not in copies], len(copies)


def _sketch(text: str) -> frozenset[int]:
    """The smallest digests of a text's runs of words; none for a short one."""
    words = _WORD.findall(text.casefold())
    if len(words) < LONG:
        return frozenset()
    runs = zip(*(words[start:] for start in range(RUN)), strict=False)
    digests = {crc32(" ".join(run).encode("utf-8", "replace")) for run in runs}
    return frozenset(nsmallest(DIGESTS, digests))


def _resemblance(one: frozenset[int], other: frozenset[int]) -> float:
    """Share of runs in both among those in either, as far as the smallest digests tell."""
    return len(one & other) / len(one | other)
