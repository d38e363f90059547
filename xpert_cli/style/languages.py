"""The measured axes of languages other than English: the same families of function words in each, and which language.

    language(Sample("Ich weiß nicht, ob das heute noch geht.")) == "de"
    axis, rule = LANGUAGES[1]               # "first person, other languages": a rate in each of fifteen languages

Every family is one idea with a list of words a language (function_words.py). A text in English, in a language
that is not known, or too short to tell says nothing on these axes, nor does a language that lacks the family, as
Russian lacks articles. Not here: the axes for English (style/axes.py), habits of typing, which need no language
(style/chat.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from xpert_cli.style import lexicon
from xpert_cli.style.formula import Formula, MeasuredAxis, Rule
from xpert_cli.style.function_words import WORDS
from xpert_cli.style.sentences import Sample

FEWEST = 4  # words of a text whose language is told
SHARE = 0.2  # of its words that must be function words of the language; by script alone: of its letters
CEILING = 5.0
SOURCE = "function words a 100 words, square root (Burrows 2002), by language"
NAMES = {
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "pt": "Portuguese",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "ru": "Russian",
    "tr": "Turkish",
    "id": "Indonesian",
    "ar": "Arabic",
    "hi": "Hindi",
    "ja": "Japanese",
    "zh": "Chinese",
    "ko": "Korean",
}
FAMILIES = {
    "articles": "articles",
    "first person": "words for “I” and “we”",
    "second person": "words for “you”",
    "third person": "words for “she”, “it” and “they”",
    "demonstratives": "words for “this” and “there”",
    "prepositions": "prepositions or particles",
    "conjunctions": "words for “and” and “but”",
    "subordinators": "words for “because” and “which”",
    "auxiliaries": "words for “is” and “has”",
    "modals": "words for “can” and “should”",
    "negations": "words for “not” and “never”",
    "quantifiers": "words for “some” and “many”",
    "hedges": "words for “perhaps”",
    "intensifiers": "words for “very” and “really”",
    "question words": "words for “what” and “how”",
    "fillers": "fillers, as “well” and “um” are in English",
    "formal address": "polite forms of address",
    "thanks": "words of thanks",
    "slang": "short forms of chats",
}
_SPACELESS = ("ja", "zh")
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u3400-\u9fff\uf900-\ufaff]"),
    "ko": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"),
    "letters": re.compile(r"[^\W\d_]"),
}
_HEAD = re.compile(r"\[(\w+) ?(.*)\]")


@dataclass(frozen=True)
class _Family:
    """The words of one family in one language."""

    words: frozenset[str]
    endings: tuple[str, ...]
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, entries: list[str], spaceless: bool) -> _Family:
        longest_first = sorted(entries, key=lambda entry: (-len(entry), entry))
        pattern = re.compile("|".join(map(re.escape, longest_first))) if spaceless else None
        endings = tuple(entry[1:] for entry in entries if entry.startswith("-"))
        return cls(frozenset(entries), () if spaceless else endings, pattern)

    def count(self, sample: Sample) -> int:
        """How often its words are in a text."""
        if self.pattern:
            return len(self.pattern.findall(sample.prose.lower()))
        whole = sum(word in self.words for word in _words(sample))
        ends = self.endings
        return whole + (sum(word.endswith(ends) and word not in ends for word in sample.tokens) if ends else 0)


@dataclass(frozen=True)
class _Known:
    """All languages: their families, the letters that are not theirs, and the languages of each function word."""

    families: Mapping[str, Mapping[str, _Family]]
    foreign: Mapping[str, frozenset[str]]
    languages: Mapping[str, frozenset[str]]


def _known() -> _Known:
    families: dict[str, dict[str, _Family]] = defaultdict(dict)
    foreign: dict[str, frozenset[str]] = {}
    languages: dict[str, set[str]] = defaultdict(set)
    for word in lexicon.ONLY_ENGLISH:
        languages[word].add("en")
    code = ""
    for line in WORDS.replace("\n  ", " ").splitlines():
        if head := _HEAD.fullmatch(line):
            code = head[1]
            foreign[code] = frozenset(head[2])
        elif line:
            name, _, words = line.partition(": ")
            if code == "neighbours":
                where = name
            else:
                where = code
                families[code][name] = _Family.of(words.split(), code in _SPACELESS)
            if name != "slang":
                for word in words.split():
                    languages[word].add(where)
    return _Known(families, foreign, {word: frozenset(some) for word, some in languages.items()})


_KNOWN = _known()


def _words(sample: Sample) -> list[str]:
    """Words of a text; one with an apostrophe that is not known is its parts: "qu'il" is "qu" and "il"."""
    split = (word.split("'") if "'" in word and word not in _KNOWN.languages else [word] for word in sample.tokens)
    return [part for parts in split for part in parts if part]


@lru_cache(maxsize=4)
def language(sample: Sample) -> str:
    """The language of a text, of those of NAMES; "en" for English, "" where it is another or cannot be told."""
    if sample.english:
        return "en"
    letters = len(_SCRIPTS["letters"].findall(sample.prose))
    if len(sample.tokens) < FEWEST or not letters:
        return ""
    kana, han, hangul = (len(_SCRIPTS[code].findall(sample.prose)) for code in ("ja", "zh", "ko"))
    if 2 * (kana + han) > letters:
        return "ja" if kana > SHARE * (kana + han) else "zh" if not kana else ""
    if 2 * hangul > letters:
        return "ko"
    hits: Counter[str] = Counter()
    scores: Counter[str] = Counter()
    for word in _words(sample):
        spoken = _KNOWN.languages.get(word, ())
        for code in spoken:
            hits[code] += 1
            scores[code] += 2 if len(spoken) == 1 else 1
    ranked = scores.most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return ""
    code = ranked[0][0]
    enough = hits[code] >= 2 and hits[code] >= SHARE * len(sample.tokens)
    own = code in NAMES and not (_KNOWN.foreign[code] and _KNOWN.foreign[code] & set(sample.prose.lower()))
    return code if enough and own else ""


def _rate(family: str) -> Formula:
    def read(sample: Sample) -> float:
        own = _KNOWN.families.get(language(sample), {}).get(family)
        return math.sqrt(100 * own.count(sample) / max(len(sample.tokens), 20)) if own else math.nan

    # Which language a text is in depends on all words.
    return Formula(f"rate of {family} of {sha256(WORDS.encode()).hexdigest()[:16]}; {FEWEST} {SHARE}", read)


LANGUAGES: tuple[tuple[MeasuredAxis, Rule], ...] = tuple(
    (
        MeasuredAxis(f"{family}, other languages", f"with fewer {nouns}", f"with more {nouns}", False, SOURCE),
        Rule(_rate(family), 0, CEILING, False, "sentence"),
    )
    for family, nouns in FAMILIES.items()
)
