"""Counts in sentences: noun and verb agree with the number.

    counted(3, "different messages are")      # "3 different messages are"
    counted(1, "different messages are")      # "1 different message is"

Not here: sizes in bytes (cli/views.py).
"""

from __future__ import annotations

import re

_ONE = {"axes": "axis", "people": "person", "are": "is", "were": "was", "do": "does", "have": "has", "need": "needs"}
_ONE |= {"leave": "leaves", "hold": "holds", "take": "takes", "count": "counts"}
_WORDS = re.compile(rf"\b(?:{'|'.join(_ONE)})\b")
_REASONS = ("matching", "outside", "without")  # what begins so names no things: "1 outside the dates"


def counted(number: float, many: str) -> str:
    """A number with what is counted, as it is said of many: "2 quoted lines", "1 quoted line"; the first noun decides.

    Args:
        many: the noun in the plural, with words before it and a verb after it where there is one.
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    if number == 1 and not many.startswith(_REASONS):
        noun = re.search(r"\b(?:axes|people)\b", many)
        if not noun:
            many = re.sub(r"(ie)?s(?= |$)", lambda end: "y" if end[1] else "", many, count=1)
        many = _WORDS.sub(lambda word: _ONE[word[0]], many)
    return f"{shown} {many}"
