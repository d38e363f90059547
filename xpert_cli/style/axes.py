"""The table of measured axes: for every one its name, its two ends in words, its source, and how it is read.

    axis, rule = TABLE[2]                           # ("sentence length", ...)
    rule.read(Sample("Short. Also short."))         # ln 1.5

Counts become sqrt(count per 100 words) and shares sqrt(share): the forms that steady the variance of counts. The
bounds of a rule lie about four standard deviations from the mean of ordinary English answers, so that a single text
cannot carry a mean. `digest` names what an axis counts, so that a changed formula is another axis. Does not cover:
what a text means; languages other than English for the axes that need words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Container, Sequence
from statistics import pstdev

from xpert_cli.style import lexicon, marks
from xpert_cli.style.chat import BARE, CHAT
from xpert_cli.style.formula import RATE, Formula, MeasuredAxis, Rule, listed, rate
from xpert_cli.style.languages import LANGUAGES
from xpert_cli.style.sentences import CODE_AND_ADDRESSES, PICTURE, Sample, is_common, syllables, words
from xpert_cli.style.wording import WORDING

WINDOW = 25  # words of a MATTR window; half the usual, so that short messages can be read
BURROWS = "function words a 100 words, square root (Burrows 2002)"
BIBER = "occurrences a 100 words, square root (feature of Biber 1988)"
SHARE = "share of sentences, square root"


def _group(group: Collection[str]) -> Formula:
    return Formula(f"rate of the words {listed(group)}", lambda sample: rate(sample.count(group), sample))


def _ending(*endings: str) -> Formula:
    def read(sample: Sample) -> float:
        return rate(sum(len(token) > 5 and token.endswith(endings) for token in sample.tokens), sample)

    return Formula(f"rate of words of six letters or more in {' '.join(endings)}", read)


def _pattern(pattern: str) -> Formula:
    compiled = re.compile(pattern, re.IGNORECASE)
    return Formula(f"rate of {pattern}", lambda sample: rate(len(compiled.findall(sample.prose)), sample))


def _share(has: Callable[[str], bool], of: str) -> Formula:
    """sqrt of the share of sentences that have the property; NaN without any."""

    def read(sample: Sample) -> float:
        sentences = sample.sentences
        return math.sqrt(sum(map(has, sentences)) / len(sentences)) if sentences else math.nan

    return Formula(f"square root of the share of sentences with {of}", read)


def _mean(value: Callable[[str], float], of: str) -> Formula:
    """Mean over the words made of letters; NaN without any."""

    def read(sample: Sample) -> float:
        tokens = [token for token in sample.tokens if token[0].isalpha()]
        return sum(map(value, tokens)) / len(tokens) if tokens else math.nan

    return Formula(f"mean over words of {of}", read)


def _begins(sentence: str, group: Container[str]) -> bool:
    return words(sentence.lower().replace("’", "'"))[0] in group


def _log_words(sample: Sample) -> float:
    return math.log(len(sample.tokens)) if sample.tokens else math.nan


def _log_lines(sample: Sample) -> float:
    return math.log(len(sample.lines))


def _sentence_length(sample: Sample) -> float:
    return math.log(len(sample.tokens) / sample.finished) if sample.tokens else math.nan


def _sentence_variety(sample: Sample) -> float:
    lengths = [math.log(len(words(sentence))) for sentence in sample.sentences]
    return pstdev(lengths) if len(lengths) > 1 else math.nan


_SYLLABLES = _mean(syllables, "syllables")


def _grade(sample: Sample) -> float:
    return 0.39 * len(sample.tokens) / sample.finished + 11.8 * _SYLLABLES(sample) - 15.59


def _diversity(sample: Sample) -> float:
    starts = range(len(sample.tokens) - WINDOW + 1)
    distinct = [len(set(sample.tokens[start : start + WINDOW])) for start in starts]
    return sum(distinct) / (WINDOW * len(distinct)) if distinct else math.nan


def _opening(sample: Sample) -> float:
    return float(_begins(sample.sentences[0], lexicon.OPENERS))


# With or without the apostrophe. Not the possessive: 's only where it stands for "is", "has" or "us".
_CONTRACTION = (
    r"\w(?:n['’]t|['’](?:re|ve|ll|d|m))\b|\b(?:it|s?he|that|there|here|wh\w+|how|let|\w+(?:one|body|thing))['’]s\b"
    rf"|{BARE}"
)
_ITEM = re.compile(marks.ITEM)
_EMOJI = rf"[\U0001f1e6-\U0001f1ff]{{2}}|{PICTURE}(?:[\ufe0f\U0001f3fb-\U0001f3ff]|\u200d{PICTURE})*"


def _listing(sample: Sample) -> float:
    lines = [line for line in sample.clean.splitlines() if line.strip()]
    return math.sqrt(sum(bool(_ITEM.match(line)) for line in lines) / len(lines)) if lines else math.nan


_LENGTH: Sequence[tuple[MeasuredAxis, Rule]] = (
    (
        MeasuredAxis("text length", "in shorter messages", "in longer messages", True, "ln of words"),
        Rule(Formula("ln of words", _log_words), math.log(3), math.log(1000), False, "text"),
    ),
    (
        MeasuredAxis("line count", "in fewer lines", "in more lines", True, "ln of lines that are not blank"),
        Rule(Formula("ln of lines", _log_lines), 0, math.log(60), False, "text"),
    ),
)
_SHAPE: Sequence[tuple[MeasuredAxis, Rule]] = (
    (
        MeasuredAxis("sentence length", "in shorter sentences", "in longer sentences", False, "ln of words a sentence"),
        Rule(Formula("ln of words a sentence", _sentence_length), math.log(2), math.log(60), False, "sentence"),
    ),
    (
        MeasuredAxis(
            "sentence variety",
            "in sentences of more even length",
            "in sentences of more varied length",
            False,
            "standard deviation of ln sentence length",
        ),
        Rule(Formula("deviation of ln words a sentence", _sentence_variety), 0, 1.5, False, "text"),
    ),
    (
        MeasuredAxis("word length", "in shorter words", "in longer words", False, "mean syllables, by vowel groups"),
        Rule(_SYLLABLES, 1, 2.6, True, "sentence"),
    ),
    (
        MeasuredAxis(
            "reading grade",
            "in words and sentences that read more easily",
            "in words and sentences that take more schooling to read",
            False,
            "0.39 words a sentence + 11.8 syllables a word - 15.59 (Flesch-Kincaid 1975)",
        ),
        Rule(Formula("0.39 words a sentence + 11.8 syllables a word - 15.59", _grade), -2, 25, True, "sentence"),
    ),
    (
        MeasuredAxis(
            "rare words",
            "in more everyday words",
            "in rarer words",
            False,
            "share of words whose base form is not among the 1,300 commonest",
        ),
        Rule(
            _mean(lambda word: not is_common(word), f"not being of {listed(lexicon.COMMON)}"), 0, 0.8, True, "sentence"
        ),
    ),
    (
        MeasuredAxis(
            "vocabulary diversity",
            "with more repeated words",
            "with a more varied vocabulary",
            False,
            "MATTR, windows of 25 words (Covington & McFall 2010)",
        ),
        Rule(Formula(f"distinct words in windows of {WINDOW}", _diversity), 0.65, 1, True, "text"),
    ),
    (
        MeasuredAxis(
            "interjection openings",
            "with fewer greetings and interjections to open",
            "with more greetings and interjections to open",
            False,
            "1 if the first word greets or exclaims, else 0",
        ),
        Rule(Formula(f"1 if it begins with {listed(lexicon.OPENERS)}", _opening), 0, 1, True, "text"),
    ),
    (
        MeasuredAxis("lists", "with fewer lists", "with more lists", False, "share of lines, square root"),
        Rule(
            Formula(f"square root of the share of lines like {marks.ITEM} without {CODE_AND_ADDRESSES}", _listing),
            0,
            1,
            False,
            "line",
        ),
    ),
    (
        MeasuredAxis(
            "bold and headings", "with less bold and fewer headings", "with more bold and headings", False, RATE
        ),
        Rule(marks.mark(marks.BOLD), 0, 4, False, "line"),
    ),
)
# name, what "with fewer ..." and "with more ..." speak of, statistic, ceiling, source, English only
_COUNTS: Sequence[tuple[str, str, Formula, float, str, bool]] = (
    ("second person", "words like “you”", _group(lexicon.SECOND_PERSON), 4.5, BURROWS, True),
    ("first person", "words like “I” and “we”", _group(lexicon.FIRST_PERSON), 4, BURROWS, True),
    ("third person", "words like “they” and “it”", _group(lexicon.THIRD_PERSON), 4.5, BURROWS, True),
    ("articles", "words like “a” and “the”", _group(lexicon.ARTICLES), 4.5, BURROWS, True),
    ("demonstratives", "words like “this” and “those”", _group(lexicon.DEMONSTRATIVES), 3.5, BURROWS, True),
    ("prepositions", "words like “of” and “between”", _group(lexicon.PREPOSITIONS), 5, BURROWS, True),
    ("subordinators", "words like “because” and “which”", _group(lexicon.SUBORDINATORS), 4, BURROWS, True),
    ("auxiliaries", "words like “is” and “have”", _group(lexicon.AUXILIARIES), 4.5, BURROWS, True),
    ("modals", "words like “can” and “should”", _group(lexicon.MODALS), 3.5, BIBER, True),
    ("negations", "negations", _group(lexicon.NEGATIONS), 3, BIBER, True),
    ("quantifiers", "words like “some” and “many”", _group(lexicon.QUANTIFIERS), 3.5, BIBER, True),
    (
        "hedges",
        "hedges like “perhaps”",
        _group(lexicon.HEDGES),
        3.5,
        "hedges a 100 words, square root (Hyland 2005)",
        True,
    ),
    (
        "intensifiers",
        "boosters like “really”",
        _group(lexicon.INTENSIFIERS),
        4,
        "boosters a 100 words, square root (Hyland 2005)",
        True,
    ),
    ("casual words", "casual words", _group(lexicon.CASUAL), 3.5, RATE, True),
    ("feeling words", "words of feeling", _group(lexicon.FEELINGS), 4.5, RATE, True),
    ("connectives", "connectives like “however”", _group(lexicon.CONNECTIVES), 2.5, RATE, True),
    ("contractions", "contractions", _pattern(_CONTRACTION), 4.5, BIBER, True),
    ("abstract nouns", "abstract nouns in “-tion” or “-ity”", _ending(*lexicon.ABSTRACT), 5, BIBER, True),
    ("descriptive endings", "adjectives in “-ous” or “-al”", _ending(*lexicon.DESCRIPTIVE), 5, BIBER, True),
    ("-ing words", "words in “-ing”", _ending("ing"), 5, BIBER, True),
    ("-ly words", "words in “-ly”", _ending("ly"), 3.5, BIBER, True),
    ("-ed words", "words in “-ed”", _ending("ed"), 4, BIBER, True),
    (
        "passives",
        "passives",
        _pattern(r"\b(?:is|are|was|were|been|being|be)\s(?:\w+ly\s)?\w{3,}(?:ed|wn|en)\b"),
        2.2,
        BIBER,
        True,
    ),
    (
        "similes",
        "comparisons with “like a” or “as if”",
        _pattern(r"(?<!would )(?<!['’]d )\blike (?:an?|when)\b|\bas \w+ as\b|\bas (?:if|though)\b"),
        2.5,
        RATE,
        True,
    ),
    ("hyphens", "hyphenated words", marks.mark(marks.HYPHENS, prose=True), 3, RATE, False),
    ("emoji", "emoji", _pattern(_EMOJI), 3, RATE, False),
    ("commas", "commas", marks.mark(marks.COMMAS, prose=True), 5, RATE, False),
    ("semicolons", "semicolons", marks.mark(marks.SEMICOLONS, prose=True), 1.5, RATE, False),
    ("dashes", "dashes and ellipses", marks.mark(marks.DASHES, prose=True), 3, RATE, False),
    ("brackets", "words in brackets", marks.mark(marks.BRACKETS, prose=True), 3, RATE, False),
    ("quotation marks", "quotation marks", marks.mark(marks.QUOTES, prose=True), 3.5, RATE, False),
    (
        "exclamations",
        "exclamation marks",
        _share(lambda sentence: "!" in sentence or "！" in sentence, "! or ！"),
        1,
        SHARE,
        False,
    ),
    (
        "questions",
        "questions",
        _share(lambda sentence: "?" in sentence or "？" in sentence, "? or ？"),
        1,
        SHARE,
        False,
    ),
    (
        "instructions",
        "instructions",
        _share(lambda sentence: _begins(sentence, lexicon.VERBS), f"one of {listed(lexicon.VERBS)} first"),
        1,
        SHARE,
        True,
    ),
)
TABLE: tuple[tuple[MeasuredAxis, Rule], ...] = (
    *_LENGTH,
    *_SHAPE,
    *(
        (
            MeasuredAxis(name, f"with fewer {nouns}", f"with more {nouns}", False, source),
            Rule(read, 0, ceiling, english, "sentence"),
        )
        for name, nouns, read, ceiling, source, english in _COUNTS
    ),
    *CHAT,
    *LANGUAGES,
    *WORDING,
)
