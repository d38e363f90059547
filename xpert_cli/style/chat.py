"""The measured axes of chats: how somebody types, whatever they write about and mostly whatever the language.

    axis, rule = CHAT[0]
    rule.read(Sample("ok\nsee you"))          # 1.0: both lines begin in lower case

Shares are of the lines, words or occurrences that could show the habit, NaN where none could, so that prose says
nothing about a habit that it has no place for. Rates are square roots of counts a 100 words, as elsewhere, and bounded,
so that a single text cannot carry a mean. Not here: prose (style/axes.py), what has no name (style/wording.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from xpert_cli.style import lexicon, marks
from xpert_cli.style.formula import RATE, Formula, MeasuredAxis, Rule, listed, rate
from xpert_cli.style.sentences import CODE_AND_ADDRESSES, PICTURE, Sample

LINES, PLACES = "share of lines", "share of the places where it could stand"
FEWEST_LETTERS = 5  # of a text whose capital letters are counted


def _some(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _share_of(pattern: str, of: str, clean: bool = False) -> Formula:
    """Share of the matches of `of` that `pattern` matches whole, in the text as typed; NaN without any."""
    places, counted = re.compile(of, re.MULTILINE | re.IGNORECASE), re.compile(pattern)

    def read(sample: Sample) -> float:
        matches = places.findall(sample.clean if clean else sample.typed)
        return sum(bool(counted.fullmatch(one)) for one in matches) / len(matches) if matches else math.nan

    return Formula(f"share of {of} that are {pattern}{f' without {CODE_AND_ADDRESSES}' * clean}", read)


def _lines(pattern: str) -> Formula:
    """Share of the lines with a letter or digit that `pattern` is found in; NaN where no line has any."""
    compiled, counted = re.compile(pattern), re.compile(r"\w")

    def read(sample: Sample) -> float:
        lines = [line for line in sample.typed_lines if counted.search(line)]
        return sum(bool(compiled.search(line)) for line in lines) / len(lines) if lines else math.nan

    return Formula(f"share of lines with {pattern}", read)


def _typed(pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> Formula:
    compiled = re.compile(pattern, flags)
    return Formula(f"rate of {pattern} {int(flags)}", lambda sample: rate(len(compiled.findall(sample.typed)), sample))


def _words(group: Collection[str]) -> Formula:
    return Formula(f"rate of the words {listed(group)}", lambda sample: rate(sample.count(group), sample))


def _rather(group: Collection[str], than: Collection[str]) -> Formula:
    """Share of one way to say something among both; NaN where neither is there."""

    def read(sample: Sample) -> float:
        one, two = sample.count(group), sample.count(than)
        return one / (one + two) if one + two else math.nan

    return Formula(f"share of {listed(group)} among them and {listed(than)}", read)


def _capitals(sample: Sample) -> float:
    upper, lower = sum(map(str.isupper, sample.typed)), sum(map(str.islower, sample.typed))
    return math.sqrt(upper / (upper + lower)) if upper + lower >= FEWEST_LETTERS else math.nan


def _one_word(sample: Sample) -> float:
    return float(len(sample.tokens) <= 1)


def _words_a_line(sample: Sample) -> float:
    return math.log(max(len(sample.tokens), 1) / len(sample.typed_lines)) if sample.typed_lines else math.nan


def _letters(sample: Sample) -> float:
    return sum(map(len, sample.tokens)) / len(sample.tokens) if sample.tokens else math.nan


def _small_starts(sample: Sample) -> float:
    """Share of small letters among the first letters of lines; lines that begin otherwise do not count."""
    starts = [line.lstrip("\"'“‘([¿¡ ")[:1] for line in sample.typed_lines]
    small, capital = sum(map(str.islower, starts)), sum(map(str.isupper, starts))
    return small / (small + capital) if small + capital else math.nan


def _left_out(sample: Sample) -> float:
    bare, whole = len(_BARE_FOUND.findall(sample.typed)), len(_WHOLE_FOUND.findall(sample.typed))
    return bare / (bare + whole) if bare + whole else math.nan


def _short_forms(sample: Sample) -> float:
    return rate(sample.count(_SHORTENED) + len(_LETTERS.findall(sample.clean)), sample)


BARE = (
    r"\b(?:im|ive|dont|cant|wont|didnt|doesnt|isnt|wasnt|arent|werent|havent|hasnt|hadnt|couldnt|wouldnt|shouldnt|aint"
    r"|thats|whats|theres|heres|youre|youve|theyre|theyve|weve|hes|shes|wheres|whos|hows|yall|youll|theyll|itll)\b"
)
_WHOLE = r"\b\w+(?:n['’´`]t|['’´`](?:re|ve|ll|m))\b|\b(?:it|that|what|there|here|s?he|who|where|how)['’´`]s\b"
_BARE_FOUND, _WHOLE_FOUND = re.compile(BARE, re.IGNORECASE), re.compile(_WHOLE, re.IGNORECASE)
_END = r"[\"'”’)\]»]*\s*$"
_HAHA = r"\b(?:a?(?:ha){2,}h?|ha ha(?: ha)*)\b"
_LOL = r"\b(?:lo+l+|lmf?ao+|rofl|lul|lel)\b"
_TAGS = r"(?:\bright|\bhuh|\beh|\bno|\byeah|n['’]?t (?:it|you|they|he|she|we))\s*\?"
_NUMBER = rf"{marks.FIGURE}|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b"
_TWO_DOTS = r"(?<![.\w/])\.\.(?![.\w/])|(?<=\w)\.\.(?![.\w/])"
_GREETED = _some("hi hey hello hiya howdy heya yo hii heyy heyyy sup hola hallo salut ciao oi привет")
_BYE = _some("bye goodbye cya later ciao ttyl gn goodnight night cheers regards xoxo tschüss tchau adios пока")
_SWEARS = _some(
    "fuck fucking fucked fuckin shit shitty bullshit damn dammit ass asshole bitch crap hell wtf af mf bastard piss "
    "pissed dick goddamn"
)
_SHORTENED = _some(
    "ur kk pls plz thx ty tysm np idk idc btw tbh imo imho ngl rn brb gtg g2g afk irl ikr omg omfg wtf "
    "smh fyi bc cuz cus coz tho thru tmrw tmr msg ppl bday b4 gr8 l8r 2day 2moro abt jk dm hbu wbu hmu ily nvm "
    "fr ig istg lmk ofc obv prob probs def sry srry yr yrs prolly bf gf fb"
)
_LETTERS = re.compile(marks.LETTERS, re.MULTILINE)
_REDUCED = _some("gonna wanna gotta kinda sorta dunno lemme gimme outta lotta coulda woulda shoulda hafta tryna")
_FILLERS = _some(
    "um umm ummm uh uhh uhm er hm hmm hmmm mm mmm well like so anyway anyways basically actually literally"
)
_EVEN = _some("just really too also even still pretty quite actually")
_ASKING = _some("what how why where when who which what's how's where's who's whats hows")
_YEAH, _THANKS = _some("yeah yea yeh ya yah yep yup"), _some("thanks thank thx ty tysm thankyou cheers")


def _axis(
    name: str, low: str, high: str, read: Formula, ceiling: float, source: str = RATE, english: bool = False
) -> tuple[MeasuredAxis, Rule]:
    return MeasuredAxis(name, low, high, False, source), Rule(read, 0, ceiling, english, "line")


CHAT: tuple[tuple[MeasuredAxis, Rule], ...] = (
    _axis(
        "small letters at the start",
        "beginning lines with a capital letter",
        "beginning lines in lower case",
        Formula("share of small letters among the first of lines", _small_starts),
        1,
        LINES,
    ),
    _axis(
        "capital letters",
        "in fewer capital letters",
        "in more capital letters",
        Formula("square root of the share of capital letters", _capitals),
        0.6,
        "share of letters, square root",
    ),
    _axis(
        "small i",
        "with “I” as a capital",
        "with “i” in lower case",
        _share_of(r"i(?:['’´`]\w*)?", marks.FIRST_PERSON, clean=True),
        1,
        PLACES,
        english=True,
    ),
    _axis(
        "shouting",
        "with fewer words in capitals",
        "with more words in capitals",
        _typed(r"\b[A-ZÀ-ÖØ-ÞА-Я]{3,}\b", re.UNICODE),
        3.5,
    ),
    _axis(
        "bare line ends",
        "with a mark at the end of lines",
        "leaving lines without a mark at the end",
        _lines(r"[\w’']\s*$"),
        1,
        LINES,
    ),
    _axis(
        "full stops at line ends",
        "leaving out the full stop at the end of lines",
        "with a full stop at the end of lines",
        _lines(rf"(?<![.…])[.。।؟]{_END}"),
        1,
        LINES,
    ),
    _axis(
        "exclamations at line ends",
        "ending fewer lines with “!”",
        "ending more lines with “!”",
        _lines(rf"[!！]{_END}"),
        1,
        LINES,
    ),
    _axis(
        "questions at line ends",
        "ending fewer lines with “?”",
        "ending more lines with “?”",
        _lines(rf"[?？؟]{_END}"),
        1,
        LINES,
    ),
    _axis(
        "runs of marks",
        "with fewer runs like “!!” and “??”",
        "with more runs like “!!” and “??”",
        _typed(r"[!?！？]{2,}"),
        4,
    ),
    _axis("ellipses", "with fewer ellipses", "with more ellipses", marks.mark(marks.ELLIPSES), 4.5),
    _axis("two dots", "with fewer double dots “..”", "with double dots “..”", _typed(_TWO_DOTS), 4),
    _axis(
        "stretched words",
        "with fewer stretched words",
        "with stretched words like “sooo”",
        marks.mark(marks.STRETCHED),
        4,
    ),
    _axis("haha", "with less “haha”", "with “haha”", _typed(_HAHA), 5),
    _axis("lol", "with less “lol”", "with “lol”", _typed(_LOL), 5),
    _axis("other laughter", "with less laughter like “hehe”", "with laughter like “hehe” or “jaja”", marks.LAUGHTER, 5),
    _axis(
        "abbreviations",
        "with fewer abbreviations",
        "with abbreviations like “u” and “idk”",
        Formula(f"rate of {listed(_SHORTENED)} {marks.LETTERS} without {CODE_AND_ADDRESSES}", _short_forms),
        5,
        english=True,
    ),
    _axis(
        "reduced words", "with fewer words like “gonna”", "with words like “gonna”", _words(_REDUCED), 3.5, english=True
    ),
    _axis(
        "apostrophes left out",
        "with the apostrophe in “don't”",
        "leaving out apostrophes, as in “dont”",
        Formula(f"share of {BARE} among them and {_WHOLE}", _left_out),
        1,
        PLACES,
        english=True,
    ),
    _axis(
        "curly apostrophes",
        "with straight apostrophes",
        "with curly apostrophes",
        _share_of("[’‘”“]", "['’‘”“\"]"),
        1,
        PLACES,
    ),
    _axis("emoticons", "with fewer emoticons like “:)”", "with emoticons like “:)”", marks.EMOTICONS, 5),
    _axis(
        "emoji at line ends",
        "ending fewer lines with emoji",
        "ending lines with emoji",
        _lines(rf"{PICTURE}\s*$"),
        1,
        LINES,
    ),
    _axis("kaomoji", "with fewer faces like “(^_^)”", "with faces like “(^_^)”", marks.mark(marks.KAOMOJI), 3),
    _axis(
        "numerals",
        "with small numbers in words",
        "with small numbers in figures",
        _share_of(marks.FIGURE, _NUMBER, clean=True),
        1,
        PLACES,
        english=True,
    ),
    _axis(
        "corrections with *",
        "with fewer corrections like “*their”",
        "with corrections like “*their”",
        _lines(r"^\s*\*{1,2}\w+\s*$|^\s*\w+\*\s*$"),
        1,
        LINES,
    ),
    _axis(
        "one word",
        "in turns of more than a word",
        "in turns of one word",
        Formula("1 for a word or none", _one_word),
        1,
        "share of texts",
    ),
    _axis(
        "words a line",
        "in few words a line",
        "in many words a line",
        Formula("ln of words a line", _words_a_line),
        4.1,
        "ln of words a line",
    ),
    _axis(
        "letters a word",
        "in words of fewer letters",
        "in words of more letters",
        Formula("mean letters a word", _letters),
        8,
        "mean letters a word",
    ),
    _axis(
        "two spaces",
        "with one space after a stop",
        "with two spaces after a stop",
        _share_of(r"[.!?]  +", r"[.!?] +(?=\S)"),
        1,
        PLACES,
    ),
    _axis(
        "no space",
        "with a space after every mark",
        "with no space after some marks",
        _share_of(r"[,!?]", r"[,!?](?=[^\W\d])|[,!?] "),
        1,
        PLACES,
    ),
    _axis(
        "space before marks",
        "with no space before marks",
        "with a space before marks",
        _share_of(r" +[,!?]", r"(?<=\w) *[,!?]"),
        1,
        PLACES,
    ),
    _axis("greetings", "with fewer greetings", "with more greetings", _words(_GREETED), 4.5),
    _axis("farewells", "with fewer farewells", "with more farewells", _words(_BYE), 4),
    _axis(
        "tag questions",
        "with fewer questions like “right?”",
        "with questions like “right?”",
        _typed(_TAGS),
        3,
        english=True,
    ),
    _axis(
        "fillers",
        "with fewer fillers like “um” and “well”",
        "with fillers like “um” and “well”",
        _words(_FILLERS),
        4.5,
        english=True,
    ),
    _axis("swearing", "with less swearing", "with more swearing", _words(_SWEARS), 3.5, english=True),
    _axis(
        "yeah",
        "with “yes” rather than “yeah”",
        "with “yeah” rather than “yes”",
        _rather(_YEAH, _some("yes")),
        1,
        PLACES,
        english=True,
    ),
    _axis(
        "ok",
        "with “okay” rather than “ok”",
        "with “ok” rather than “okay”",
        _rather(_some("ok k kk"), _some("okay")),
        1,
        PLACES,
        english=True,
    ),
    _axis(
        "and as a sign", "with fewer signs “&” and “+”", "with “&” or “+” for “and”", marks.mark(marks.AND_SIGNS), 2.5
    ),
    _axis("digits", "with fewer figures", "with more figures", _typed(r"\d+"), 4),
    _axis(
        "conjunctions",
        "with fewer words like “and” and “but”",
        "with more words like “and” and “but”",
        _words(lexicon.COORDINATORS),
        4.5,
        english=True,
    ),
    _axis("thanks", "with fewer thanks", "with more thanks", _words(_THANKS), 3.5, english=True),
    _axis(
        "just and really",
        "with fewer words like “just” and “even”",
        "with more words like “just” and “even”",
        _words(_EVEN),
        4,
        english=True,
    ),
    _axis(
        "question words",
        "with fewer words like “what” and “how”",
        "with more words like “what” and “how”",
        _words(_ASKING),
        4,
        english=True,
    ),
)
