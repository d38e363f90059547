"""WhatsApp's text exports, of both kinds of phones and of any place, and other chats with a stamp before every message.

    12/24/19, 11:23 - Tove: Is the ferry running?
    [2024/12/10 14:30:05] 蓮: 半分だけ抜いたよ。

What a stamp looks like is taken from most lines of the file. Lines without one continue the message before; stamped
lines without an author are the app's own. Not here: the app's words in a person's place (corpus/notices.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from xpert_cli.corpus.notices import MARK, notice, only_links, without_edited
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import day_first, stamp
from xpert_cli.corpus.turns import MARKS, Conversation, Parsed, Turn, clean, person

KIND = "WhatsApp chat"

_DIGITS = str.maketrans(
    {chr(zero + digit): str(digit) for zero in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10) for digit in range(10)}
    | dict.fromkeys("\u00a0\u202f\u2009\u2007", " ")
)
_NO_MARKS = dict.fromkeys(map(ord, MARKS))
_MONTH = r"[^\W\d_]{3,12}\.?"
_DATE = (
    rf"(?:\d{{1,4}} ?[./\-年] ?\d{{1,2}} ?[./\-月] ?\d{{1,4}}(?:日|\.)?|\d{{1,2}}\.? (?:de )?{_MONTH},? (?:de )?\d{{4}}"
    rf"|{_MONTH} \d{{1,2}},? \d{{4}}|\d{{4}}년 \d{{1,2}}월 \d{{1,2}}일)"
)
_TIME = r"\d{1,2}(?:[:.h時点]| h )\d{2}(?:[:.]\d{2})?"
_WORDS = r"[^\d\[\]<>:\n]{0,16}?"
_STYLES = (
    (
        "bracket",
        re.compile(rf"\[(?P<stamp>{_DATE}[, ،]*{_WORDS}{_TIME}{_WORDS}|{_TIME}{_WORDS}[, ]+{_DATE})\] ?(?:[-–] )?"),
    ),
    ("dash", re.compile(rf"(?P<stamp>{_DATE}[, ،]*{_WORDS}{_TIME}{_WORDS}) ?[-–—] ")),
    ("comma", re.compile(rf"(?P<stamp>{_DATE}[, ،]*{_WORDS}{_TIME}), (?=[^:\n]{{1,60}}: )")),
    ("colon", re.compile(rf"(?P<stamp>{_DATE}[, ،]*{_WORDS}{_TIME}(?: ?[AaPp]\.? ?[Mm]\.?)?): ")),
)
_STARTS = re.compile(rf"[{MARKS}\s]*\[?[{MARKS}]*[\d٠-٩۰-۹०-९০-৯๐-๙０-９A-Za-z]")
_CLOCK_FIRST = re.compile(r"\s*\d{1,2}:")
_NUMBERS = re.compile(r"\d+")
_ONE_WAY = re.compile(r"\D*(?:\d{4}\D|\d{1,2}\. ?\d{1,2}\.)")  # a date with its year first, or with dots
_AFTERNOON = re.compile(
    r"p\.? ?m|下午|午後|晚上|中午|오후|م|μμ|μ\.μ|nachm|\bCH\b|ÖS|du\.|odp|PTG|petang|malam|অপরাহ্ণ|अपराह्न"
    r"|หลังเที่ยง|ب\.?ظ|pop",
    re.IGNORECASE,
)
_MORNING = re.compile(
    r"a\.? ?m|上午|午前|凌晨|오전|ص|πμ|π\.μ|vorm|\bSA\b|ÖÖ|de\.|dop|पूर्वाह्न|ก่อนเที่ยง|ق\.?ظ", re.IGNORECASE
)
# A chat that somebody copied into a message: [10:15, 5/6/2024] Bo: hi
_PASTED = re.compile(
    rf"\[?(?:{_DATE}[, ]+)?{_TIME}(?: ?[APap]\.?[Mm]\.?)?(?:[, ]+{_DATE})?\]? ?[-–]? ?[^:\n]{{1,40}}: "
)
_NAME = re.compile(r'([^:"“”«»„\n]{1,60}):(?: |$|(?=\S))')
_DOCUMENT = re.compile(rf"[^\n]*\.\w{{2,5}} • {MARK}.*{MARK}.*")


@dataclass(slots=True)
class _Line:
    """A stamped line: the numbers and the words of its stamp, and what follows it."""

    number: int
    style: str
    stamp: str
    rest: str


def read(file: File) -> Parsed | None:
    """A chat, if lines with a stamp and an author are what the file is made of."""
    lines = file.text.split("\n")
    stamped = {one.number: one for one in _stamped(lines)}
    if not stamped:
        return None
    shapes = Counter((one.style, _shape(one.stamp)) for one in stamped.values())
    style = Counter(one.style for one in stamped.values()).most_common(1)[0][0]
    best = max((shape for shape in shapes if shape[0] == style), key=lambda shape: shapes[shape])
    own = {n: one for n, one in stamped.items() if one.style == style and _like(_shape(one.stamp), best[1])}
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if (len(own) < 2 and filled[0] not in own) or 12 * len(own) < len(filled):
        return None
    names = _names([one.rest for one in own.values()])
    if not names:
        return None
    parsed = Parsed(KIND)
    times, parsed.doubt = _times([one.stamp for one in own.values()])
    turns = []
    for (number, one), time in zip(own.items(), times, strict=True):
        who = _author(one.rest, names)
        if who is None:
            parsed.left_out["notices of the app"] += 1
            continue
        following = (lines[at] for at in range(number + 1, len(lines)))
        body = [one.rest[len(who) + 1 :].removeprefix(" "), *_until(following, number + 1, own)]
        if text := _body(body, parsed.left_out):
            turns.append(Turn(person(who), text, f"{file.name}:{number + 1}", time))
    before = sum(bool(line.strip()) for line in lines[: next(iter(own))])
    if before:
        parsed.left_out["lines before the first message"] += before
    parsed.conversations.append(Conversation(file.name, turns))
    return parsed


def _stamped(lines: list[str]) -> Iterator[_Line]:
    """Every line that begins with a date and a time."""
    for number, line in enumerate(lines):
        if not _STARTS.match(line):
            continue
        normal = line[:120].translate(_DIGITS)
        marked = any(mark in normal for mark in MARKS)
        plain = normal.translate(_NO_MARKS).lstrip() if marked else normal.lstrip()
        for style, pattern in _STYLES:
            if match := pattern.match(plain):
                yield _Line(number, style, match["stamp"], _after(line, match.end()))
                break


def _after(line: str, end: int) -> str:
    """What follows the stamp, which is `end` characters without marks and outer blanks; with its own marks."""
    if line.isascii():
        return line[len(line) - len(line.lstrip()) + end :]
    at = seen = 0
    while at < len(line) and (line[at] in MARKS or line[at].isspace()):
        at += 1
    while at < len(line) and seen < end:
        seen += line[at] not in MARKS
        at += 1
    return line[at:]


def _shape(text: str) -> str:
    """The separators of a stamp: digits and words in it do not matter."""
    return re.sub(r"[^\W\d_]+\.?", "a", re.sub(r"\d+", "0", text)).replace(" ", "")


def _like(one: str, other: str) -> bool:
    """Whether two stamps may be of one export: the same marks between the numbers of the date."""
    return one.replace("a", "")[:4] == other.replace("a", "")[:4]


def _names(rests: list[str]) -> dict[str, int]:
    """The authors as written before their colon, with the number of their lines; those that hold colons too."""
    heads: dict[str, list[str]] = {}
    for rest in rests:
        if match := _NAME.match(rest):
            heads.setdefault(match[1], []).append(rest)
    names: dict[str, int] = {}
    for head, several in heads.items():
        count = len(several)
        if count == 1 and len(head.split()) > 5:
            continue  # a sentence of the app that holds a colon
        longer = [_NAME.match(rest[len(head) + 1 :]) for rest in several]
        seconds = {match[1] if match else "" for match in longer}
        if count > 2 and len(seconds) == 1 and (second := seconds.pop()) and len(second) < 30:
            names[f"{head}:{second}"] = count
        else:
            names[head] = count
    return names


def _author(rest: str, names: dict[str, int]) -> str | None:
    match = _NAME.match(rest)
    if match is None:
        return None
    if match[1] in names:
        return match[1]
    longer = _NAME.match(rest[match.end(1) + 1 :])
    whole = f"{match[1]}:{longer[1]}" if longer else ""
    return whole if whole in names else None


def _until(following: Iterator[str], number: int, own: dict[int, _Line]) -> Iterator[str]:
    """The lines up to the next stamped one."""
    for at, line in enumerate(following, number):
        if at in own:
            return
        yield line


def _body(lines: list[str], left_out: Counter[str]) -> str:
    """What a person wrote of one message."""
    written: list[str] = []
    pasted = False
    for line in lines:
        if _DOCUMENT.fullmatch(line):
            left_out["media notices"] += 1
            continue
        line = without_edited(line.rstrip())
        if reason := notice(line):
            left_out[reason] += 1
            continue
        plain = line.translate(_NO_MARKS) if MARK in line or "\u2068" in line else line
        if pasted := (pasted and bool(plain.strip())) or (_PASTED.match(plain) is not None):
            left_out["lines of pasted chats"] += 1
            continue
        written.append(plain.rstrip(f" {MARKS}"))
    text = clean("\n".join(written))
    if text and only_links(text):
        left_out["messages of links alone"] += 1
        return ""
    return text


def _times(stamps: list[str]) -> tuple[list[float | None], str]:
    """Seconds since 1970 of each stamp, which of its numbers is the day being what fits all of them; and any doubt."""
    dates = [_date([int(one) for one in _NUMBERS.findall(text)], text) for text in stamps]
    days = list(dict.fromkeys(one[:3] for one in dates if one is not None))
    (first, sure), doubt = day_first(days), ""
    if any(_ONE_WAY.match(text) for text in stamps[:50]) and all(one[1] <= 12 for one in days):
        first, sure = True, True
    if first is None:  # whose clock has twelve hours mostly writes the month first
        first = not any(_AFTERNOON.search(text) or _MORNING.search(text) for text in stamps[:50])
    if not sure and (both := next((one for one in days if one[0] != one[1]), None)):
        which = "day" if first else "month"
        doubt = f"dates such as {both[0]}/{both[1]}/{both[2]} are read with the {which} first, which may be wrong"
    times: list[float | None] = []
    for date, text in zip(dates, stamps, strict=True):
        if date is None:
            times.append(None)
            continue
        a, b, year, (hour, minute, second) = date
        day, month = (a, b) if first else (b, a)
        hour = (
            hour % 12 + 12
            if _AFTERNOON.search(text) and hour <= 12
            else 0
            if hour == 12 and _MORNING.search(text)
            else hour
        )
        times.append(stamp(year, month, day, hour, minute, second))
    return times, doubt


def _date(numbers: list[int], text: str) -> tuple[int, int, int, tuple[int, int, int]] | None:
    """(first, second, year, time) of a stamp's numbers; a date with the year first is turned round."""
    if len(numbers) < 5 or _CLOCK_FIRST.match(text):
        return None
    a, b, c, hour, minute, *rest = numbers
    if a > 31:
        a, b, c = c, b, a
        if b > 12:
            a, b = b, a
        return a, b, _year(c), (hour, minute, rest[0] if rest else 0)
    return a, b, _year(c), (hour, minute, rest[0] if rest else 0)


def _year(year: int) -> int:
    return year - 543 if year > 2400 else year + 2000 if year < 100 else year
