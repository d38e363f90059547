"""What is left of somebody's writing when all named habits are counted: which words and marks they use, as numbers.

    axis, rule = WORDING[0]
    rule.read(Sample("ok, see you!"))       # a component of the text's words and marks, about -4 to 4

A text's words and marks, each at the square root of its share, are projected to SIZE numbers. A word's row of signs is
drawn from a digest of the word, so that no vocabulary is stored, every language has one, and two texts lie near where
their words do (D. Achlioptas, J. Comput. Syst. Sci. 66, 2003). One number alone means nothing: they only rank, and are
shown as one share. Not here: habits that have a name (style/axes.py, style/chat.py).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from xpert_cli.style.formula import Formula, MeasuredAxis, Rule
from xpert_cli.style.space import WORDING as NAME

SIZE = 96
LEAST = 8  # words and marks that a shorter text counts as
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_")
_LONGEST = 24  # letters of a word that count: a line of one letter is one word


@lru_cache(maxsize=1 << 14)
def _signs(word: str) -> npt.NDArray[np.float32]:
    """(SIZE,) +1 or -1, drawn by the word."""
    bits = np.frombuffer(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=SIZE // 8).digest(), np.uint8)
    return np.unpackbits(bits).astype(np.float32) * 2 - 1


@lru_cache(maxsize=2)
def _components(text: str) -> list[float]:
    counts = Counter(word[:_LONGEST] for word in _TOKEN.findall(text.lower().replace("’", "'")))
    if not counts:
        return [0.0] * SIZE
    shares = np.array(list(counts.values()), np.float32) / max(sum(counts.values()), LEAST)
    return [float(one) for one in np.sqrt(shares) @ np.array([_signs(word) for word in counts])]


def _component(index: int) -> Formula:
    return Formula(
        f"component {index} of {_TOKEN.pattern} {_LONGEST} {LEAST}", lambda sample: _components(sample.typed)[index]
    )


WORDING: tuple[tuple[MeasuredAxis, Rule], ...] = tuple(
    (
        MeasuredAxis(
            f"{NAME} {index + 1}", f"{NAME} {index + 1}, low", f"{NAME} {index + 1}, high", False, "projection"
        ),
        Rule(_component(index), -4, 4, False, "text"),
    )
    for index in range(SIZE)
)
