"""Copies among a person's longer messages: chain letters that were passed on, replies that were pasted again and again.

    without_copies(messages)        # ([...], 3): the first of each, and how many were left out

Short messages are no copies of each other: who writes "on my way" every day has a habit. Two messages of LONG words or
more are the same if nearly all runs of RUN words are, whatever the case, marks, figures and emoji. How nearly is
estimated from the smallest digests of the runs (A. Broder, "On the resemblance and containment of documents", 1997), so
that the time goes with the length of the text and not with its square.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from heapq import nsmallest
from zlib import crc32

from xpert_cli.corpus.messages import Message

LONG = 12  # words, or characters of languages without spaces
RUN = 2  # words
SAME = 0.6  # of the runs of two messages that have to be in both
DIGESTS = 24  # smallest ones of a message that are compared
LOOKED_UP = 4  # of these, by which earlier messages are looked for
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

    first: dict[int, int] = {}  # a digest, and the earliest message that has it
    copies: set[int] = set()
    for number in sorted(sketches, key=place):
        sketch = sketches[number]
        smallest = sketch[:LOOKED_UP]
        if any(digest in first and _resemblance(sketch, sketches[first[digest]]) >= SAME for digest in smallest):
            copies.add(number)
            continue
        for digest in smallest:
            first.setdefault(digest, number)
    return [one for number, one in enumerate(messages) if number not in copies], len(copies)


def _sketch(text: str) -> array[int]:
    """The smallest digests of a text's runs of words, in order; none for a short one."""
    words = _WORD.findall(text.casefold())
    if len(words) < LONG:
        return array("I")
    runs = zip(*(words[start:] for start in range(RUN)), strict=False)
    digests = {crc32(" ".join(run).encode("utf-8", "replace")) for run in runs}
    return array("I", nsmallest(DIGESTS, digests))


def _resemblance(one: array[int], other: array[int]) -> float:
    """Share of runs in both among those in either, as far as the smallest digests tell."""
    both = len(set(one).intersection(other))
    return both / (len(one) + len(other) - both)
