"""Text into sentences and words, once, for everything that counts them.

    sentences("Hi! See Dr. Lee at 3.5?") == ["Hi!", "See Dr. Lee at 3.5?"]
    words("Don't go — 3 people") == ["Don't", "go", "3", "people"]
    cut("one, two; three", 2) == "one, two;"

Markdown marks, links, code blocks and LaTeX commands are no prose and are dropped before sentences are split.
Chinese, Japanese and Thai, which leave no spaces, count by characters. Does not cover: parsing, lemmas, spelling.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

from xpert_cli.style.lexicon import COMMON, ONLY_ENGLISH, OTHER_LANGUAGES

# Where a line may or may not break, which nobody sees: "zu\u00adsammen" is the word "zusammen". Between letters of
# scripts that leave no spaces, U+200B parts words.
_HINTS = re.compile("[\u00ad\u2060\ufeff]|(?<![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b")
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff"  # accents and vowel signs are parts of words but not \w
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_RUN = rf"(?:[^\W_{_SPACELESS}]|[{_MARKS}])+"
_WORD = re.compile(rf"[{_SPACELESS}]|{_RUN}(?:(?:['’-]|(?<=\d)[.,](?=\d)){_RUN})*")

PICTURE = "[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55\ufe0f]"  # emoji and the selector that follows some
_CODE = re.compile(r"```.*?(?:```|\Z)|https?://\S+|\\[A-Za-z]+", re.DOTALL)
# Code, links, addresses, formulas and entities of HTML: signs there are no marks that somebody typed. Bounded, so that
# what is not closed costs no more than its length.
CODE_AND_ADDRESSES = (
    r"```.*?(?:```|\Z)|`[^`\n]{1,200}`|(?:https?://|\bwww\.)\S+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w.-])[\w-]{1,60}(?:\.[\w-]{1,60}){0,4}\.(?:com|org|net|edu|gov|io|co|de|fr|uk)\b(?:/\S*)?"
    r"|\\\([^\n]{1,300}?\\\)|\\\[.{1,500}?\\\]|\$(?=\S)[^$\n]{1,200}(?<=\S)\$(?!\d)|\\[A-Za-z]+|&#?\w{1,8};"
)
_NOT_TYPED = re.compile(CODE_AND_ADDRESSES, re.DOTALL)
_MARKER = re.compile(
    r"^[ \t]*(?:>[ \t]*)*((?:[-*+•◦‣–]|\(?\d{1,3}[.)])[ \t]+|#{1,6}[ \t]+)?(?:\[[ xX]\][ \t]+)?", re.MULTILINE
)
_EMPHASIS = re.compile(r"\*+|`+|~~|(?<!\w)_+|(?<!_)_+(?!\w)|^[-=|: \t]{3,}$", re.MULTILINE)
_SHORT = "".join(rf"(?<!\b{short}\.)" for short in ("Mr", "Mrs", "Ms", "Dr", "Prof", "St", "vs", "e.g", "i.e", "etc"))
_BREAK = re.compile(
    rf"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]])){_SHORT}(?<!\b[A-Z]\.)\s+(?![a-z][a-z]|{PICTURE})"
    rf"|(?<={PICTURE})\s+(?=[A-Z])|(?<=[。！？।؟])\s*|\n\s*"
)
_CLOSED = re.compile(rf"(?:[.!?…。！？।؟:;]|{PICTURE})[\"'”’)\]]*$")
_VOWELS = re.compile(r"[aeiouy]+")
ENGLISH_SHARE = 0.1  # of words in ONLY_ENGLISH: English prose has 0.2-0.4, its neighbours stay below 0.06
ENOUGH_WORDS = 5
COUNTING = 1  # goes up with any change here that changes what is counted: in the digest of every axis


def prose(text: str) -> str:
    """`text` without code, links, LaTeX commands and Markdown marks; lines stay lines."""
    return _EMPHASIS.sub("", _MARKER.sub("", _CODE.sub(" ", text)))


def sentences(text: str) -> list[str]:
    """The sentences of `text`, Markdown marks removed; a line break always ends one (headings, items, chat lines)."""
    return _split(prose(text))


def words(text: str) -> list[str]:
    """The words and numbers of `text` as written; a contraction, a hyphenated word and 3.5 are one word each."""
    return _WORD.findall(text)


def cut(text: str, count: int) -> str:
    """The first `count` words of `text` with the original spacing, and the punctuation that clings to the last one."""
    spans = [match.end() for match in islice(_WORD.finditer(text), count + 1)]
    if len(spans) <= count:
        return text
    clinging = re.compile(r"[^\w\s]*").match(text, spans[count - 1]) if count else None
    return text[: clinging.end()] if clinging else ""


@lru_cache(maxsize=1 << 15)
def syllables(word: str) -> int:
    """Syllables of a lower-case English word by its vowel groups; a final silent e does not count."""
    groups = len(_VOWELS.findall(word))
    if word.endswith(("e", "es", "ed")) and not word.endswith(("le", "ee", "ted", "ded", "ses", "zes", "ches", "shes")):
        groups -= 1
    return max(groups, 1)


@lru_cache(maxsize=1 << 15)
def is_common(word: str) -> bool:
    """Whether a lower-case word, or what is left when its inflection is undone, is in COMMON."""
    word = word.split("'")[0]
    if word in COMMON:
        return True
    for ending in ("s", "es", "ed", "d", "ing", "ly", "er", "est", "r", "st", "y"):
        if word.endswith(ending):
            stem = word[: -len(ending)]
            doubled = stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
            if (
                stem in COMMON
                or f"{stem}e" in COMMON
                or doubled in COMMON
                or (stem.endswith("i") and f"{stem[:-1]}y" in COMMON)
            ):
                return True
    return False


@dataclass(frozen=True)
class Sample:
    """One text and what the axes count in it, each worked out once."""

    text: str

    @cached_property
    def raw(self) -> str:
        """The text without hints where a line may break."""
        return self.text if self.text.isascii() else _HINTS.sub("", self.text)

    @cached_property
    def prose(self) -> str:
        """The text without what is no prose."""
        return prose(self.raw)

    @cached_property
    def lines(self) -> list[str]:
        """Lines that are not blank, Markdown marks and all."""
        return [line for line in self.raw.splitlines() if line.strip()]

    @cached_property
    def typed(self) -> str:
        """The text as typed, without code and links."""
        return _CODE.sub(" ", self.raw) if "`" in self.raw or "/" in self.raw or "\\" in self.raw else self.raw

    @cached_property
    def typed_lines(self) -> list[str]:
        """Lines of what is typed that are not blank, without Markdown's markers."""
        return [line for line in _MARKER.sub("", self.typed).splitlines() if line.strip()]

    @cached_property
    def clean(self) -> str:
        """The text as typed, without code, formulas and addresses (`CODE_AND_ADDRESSES`)."""
        return _NOT_TYPED.sub(" ", self.raw)

    @cached_property
    def clean_prose(self) -> str:
        """The same without Markdown's marks."""
        return _EMPHASIS.sub("", _MARKER.sub("", self.clean))

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences of the prose."""
        return _split(self.prose)

    @cached_property
    def tokens(self) -> list[str]:
        """Words of the prose in lower case, with straight apostrophes."""
        return words(self.prose.lower().replace("’", "'"))

    @cached_property
    def english(self) -> bool:
        """Whether there is enough English here for English word lists to say something about it."""
        english_words, size = self.count(ONLY_ENGLISH), len(self.tokens)
        return (
            size >= ENOUGH_WORDS
            and english_words >= ENGLISH_SHARE * size
            and english_words > self.count(OTHER_LANGUAGES)
        )

    @cached_property
    def finished(self) -> int:
        """Sentences that end, at least 1: the last one does not count if it is cut off where others are closed."""
        closed = [bool(_CLOSED.search(sentence)) for sentence in self.sentences]
        cut_off = len(closed) > 1 and not closed[-1] and 2 * sum(closed) >= len(closed) - 1
        return max(len(closed) - cut_off, 1)

    def count(self, group: Container[str]) -> int:
        """How many tokens are in a group."""
        return sum(token in group for token in self.tokens)


def _split(text: str) -> list[str]:
    return [sentence for piece in _BREAK.split(text) if _WORD.search(sentence := piece.strip())]
