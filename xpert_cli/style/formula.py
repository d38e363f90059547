"""What a measured axis is: its name, its two ends in words, the formula that reads it, and the digest of that formula.

    axis, rule = MeasuredAxis("commas", "with fewer commas", "with more commas", False, RATE), Rule(...)
    digest(axis, rule)                        # "3f0c...": another formula, word, pattern or bound is another digest

Not here: the axes themselves (style/axes.py, style/chat.py).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from xpert_cli.style import lexicon
from xpert_cli.style.sentences import COUNTING, Sample

Read = Callable[[Sample], float]
RATE = "occurrences a 100 words, square root"


@dataclass(frozen=True)
class MeasuredAxis:
    """A named statistic of a text; `low` and `high` complete "you write ...".

    `length` marks the axes that measure the length of the text itself, `source` gives formula and citation.
    """

    name: str
    low: str
    high: str
    length: bool
    source: str

    @property
    def absence(self) -> bool:
        """Whether the low end says that something is not there, which no line can show."""
        return self.low.startswith(("with fewer", "with less", "without", "ending fewer"))


@dataclass(frozen=True)
class Formula:
    """A statistic of a text, called on a sample; `text` states it with every word and pattern that it counts."""

    text: str
    statistic: Read

    def __call__(self, sample: Sample) -> float:
        """The value on one text; NaN: no evidence."""
        return self.statistic(sample)


@dataclass(frozen=True)
class Rule:
    """How an axis is read: NaN from `read` means no evidence; values are clipped to [floor, ceiling].

    `english`: the reading needs English words. `unit`: the smallest piece of text that shows the axis.
    """

    read: Formula
    floor: float
    ceiling: float
    english: bool
    unit: Literal["text", "sentence", "line"]


def rate(count: float, sample: Sample) -> float:
    """sqrt(count per 100 words); a text under 20 words counts as 20, or one word would be five in a hundred."""
    return math.sqrt(100 * count / max(len(sample.tokens), 20))


def digest(axis: MeasuredAxis, rule: Rule) -> str:
    """16 hexadecimal digits that change with whatever changes an axis's readings; its wording is not among that.

    The formula with its words and patterns, the bounds, how words and sentences are told apart (`COUNTING`), and what
    English is, where only English is read.
    """
    parts = [axis.name, rule.read.text, repr((rule.floor, rule.ceiling, rule.english, COUNTING))]
    if rule.english:
        parts += [listed(lexicon.ONLY_ENGLISH), listed(lexicon.OTHER_LANGUAGES)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def listed(group: Collection[str]) -> str:
    """The words of a group in one order, as a formula states them."""
    return " ".join(sorted(group))
