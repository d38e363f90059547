"""Secrets and personal data in a text, looked for before it is trained on and before an adapter is published.

    scan(["hello\\nwrite to anna.m@posteo.de"])
    # (Finding(kind="e-mail address", message=0, line=2, hint="e-mail address, 16 characters, a…e"),)

A text is made plain first: wide and invisible characters, digits of other scripts, long runs of blanks; what a line
break parts is looked at joined, too. Long lines are read in pieces, so that the time is in proportion to the length.
Keys of services are found by the expressions of detect-secrets, telephone numbers by phonenumbers, numbers with check
digits by python-stdnum, the rest by patterns (corpus/private_patterns.py). Nothing is sent anywhere: detect-secrets'
plugins can ask a service whether a key works, and here only their expressions are used. Does not cover: names, dates of
birth, health, what is said in words, and many countries' identity numbers. That nothing is found proves nothing.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from xpert_cli.corpus import private_needs as needs
from xpert_cli.corpus.private_patterns import ADDRESSES, MORE
from xpert_cli.errors import MissingExtra

Span = tuple[int, int]
Rule = tuple[str, Callable[[str], Iterable[Span]], int]  # kind, where a line holds it, and what the line needs for it

# Whose numbers are known without a country code; more countries take longer and find more that is none.
REGIONS = (
    *("US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "CH", "AT", "IN", "BR", "MX", "AU", "ZA", "NG", "JP", "KR", "CN"),
    "TR",
)
RANDOM_BITS = 3.8  # entropy a character above which 20 characters or more look drawn at random; of hexadecimal digits 3

# Of detect-secrets: entropy and keywords want quotes and code around them, an address may be of a private network.
_LEFT_OUT = {"Base64 High Entropy String", "Hex High Entropy String", "Secret Keyword", "Public IP (ipv4)"}
# What a line needs for the others. Keys have fifteen characters and more; of a kind that is not here nothing is known.
_NEEDED = {
    **dict.fromkeys(
        (
            *("AWS Access Key", "Azure Storage Account access key", "Cloudant Credentials", "Discord Bot Token"),
            *("GitHub Token", "GitLab Token", "IBM COS HMAC Credentials", "IBM Cloud IAM Key", "Mailchimp Access Key"),
            *("OpenAI Token", "PyPI Token", "SendGrid API Key", "SoftLayer Credentials", "Square OAuth Secret"),
            *("Stripe Access Key", "Telegram Bot Token", "Twilio API Key"),
        ),
        needs.LONG,
    ),
    "Artifactory Credentials": needs.MARK,
    "Basic Auth Credentials": needs.ADDRESS | needs.AT,
    "JSON Web Token": needs.MARK,
    "NPM tokens": needs.MARK,
    "Private Key": needs.MARK,
    "Slack Token": needs.MARK,
}
_ALIKE = dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-") | dict.fromkeys(
    "\u00a0\u2009\u202f\u3000\t\r", " "
)
_HIDDEN = frozenset(  # not drawn: soft hyphens, joiners, marks of direction, a byte order mark
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
    "\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
)
_PIECE, _OVERLAP = 1200, 240  # characters of a long line that are read at a time, and that two of them share
_REACH = 90  # characters on either side of a line break that are read together

_EMAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]+@(?:[\w-]+\.)+[^\W\d_]{2,}")
_PASSWORD = re.compile(
    r"\b(?:pass(?:word|code|phrase|wd)|pwd|passwort|kennwort|contraseña|senha|mot de passe|api[ _-]?key|token)"
    r"(?: is| ist| es| est)?\s*[:=]?\s*[\"'`“]?((?=[^\s\"'`”]*\d)[^\s\"'`”]{6,})",
    re.IGNORECASE,
)
_PIN = re.compile(r"\bPIN(?: code)?(?: is| ist| es| est)?\s*[:=]?\s*(\d{4,8})\b", re.IGNORECASE)
_RANDOM = re.compile(r"(?<![\w/+=.-])[\w/+=-]{20,}(?!\w)", re.ASCII)
_CARD = re.compile(r"(?<![\d.,])\d(?:[ -]?\d){12,18}(?!\d)")
_ISSUER = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|(?:6011|65\d\d|64[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])")
_NINO = re.compile(r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]\b")
# Numbers that name a person, written as people write them; the module of python-stdnum knows their check digits.
_NUMBERED = (
    ("US social security number", r"\b\d{3}[- ]\d{2}[- ]\d{4}\b", "us.ssn"),
    ("Indian Aadhaar number", r"\b\d{4}[ -]\d{4}[ -]\d{4}\b", "in_.aadhaar"),
    ("German tax number", r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", "de.idnr"),
    ("French social security number", r"\b[12] ?\d\d ?\d\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d\b", "fr.nir"),
    ("Spanish identity number", r"\b\d{8}-?[A-Z]\b", "es.dni"),
    ("Italian tax code", r"\b[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]\b", "it.codicefiscale"),
    ("Brazilian CPF number", r"\b\d{3}\.\d{3}\.\d{3}-\d\d\b", "br.cpf"),
    ("Polish PESEL number", r"\b\d{11}\b", "pl.pesel"),
    ("Chinese identity number", r"\b\d{17}[\dX]\b", "cn.ric"),
    ("UK NHS number", r"\b\d{3} \d{3} \d{4}\b", "gb.nhs"),
)
_SHORT = {"Spanish identity number", "Italian tax code"}  # of fewer than nine digits
_STREETS = (
    r"\b\d{1,5}[a-zA-Z]? (?:[NSEW]\.? )?(?:[A-Z][\w'’-]+ ){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr"
    r"|Boulevard|Blvd|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Crescent|Close|Parkway|Pkwy|Highway|Hwy)\b",
    r"(?<![\w-])[A-ZÄÖÜ][\w-]*(?:straße|strasse|str\.|weg|platz|gasse|allee|straat|laan|gatan|vej) \d{1,4} ?[a-z]?\b",
    r"\b\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|bd|place|chemin|impasse|allée|quai|cours) "
    r"(?:de |du |des |d['’]|la |le |les |l['’])*[A-ZÀ-Ý]\w+",
)
_DIGITS = re.compile(r"[+(]{0,2}(?:\d\W{0,3}){8,}\d")  # what may be telephone numbers, one after the other
_AROUND = 12  # characters on either side that are looked at too: a word that it is part of, an extension
_TRIES, _TRIES_ABROAD = 4, 400  # candidates that are none, after which a country's, or +49 and so on, is given up
_GROUP = re.compile(r"\d+")
_NO_PHONE = re.compile(r"\d+\.\d+|\d{1,2}\.\d{1,2}\.\d{4}.*")  # a decimal number, a date


@dataclass(frozen=True)
class Finding:
    """Something that may be private.

    `message` is the text's place among those given, from 0; `line` counts from 1. `hint` is for whoever knows the text:
    kind, length, first and last character, never the thing itself.
    """

    kind: str
    message: int
    line: int
    hint: str


def scan(texts: Sequence[str]) -> tuple[Finding, ...]:
    """What may be private in each line of each text, in their order.

    Raises:
        MissingExtra: detect-secrets, phonenumbers or python-stdnum is not installed.
    """
    findings = []
    for message, text in enumerate(texts):
        line, at = 1, 0
        for kind, start, end in spans(text):
            line, at = line + text.count("\n", at, start), start
            findings.append(Finding(kind, message, line, _hint(kind, text[start:end])))
    return tuple(findings)


def spans(text: str) -> list[tuple[str, int, int]]:
    """(kind, start, end) of what may be private in a text, from left to right and without overlaps.

    Raises:
        MissingExtra: detect-secrets, phonenumbers or python-stdnum is not installed.
    """
    rules, plain, places = _rules(), *_plain(text)
    candidates: list[tuple[str, int, int]] = []
    begin = 0
    for line in plain.split("\n"):
        candidates += [(kind, begin + start, begin + end) for kind, start, end in _in_pieces(line, rules)]
        begin += len(line) + 1
    spans = _apart(candidates)
    if "\n" in plain:
        spaced, wrapped = _rules_across()
        numbers = _apart(list(_across_lines(plain, spaced, " ")))  # with check digits: surer than a part of them
        spans = _apart([*numbers, *_beside(numbers, spans)])
        spans = _apart([*spans, *_beside(spans, _across_lines(plain, wrapped, ""))])
    return [(kind, places[start], places[end - 1] + 1) for kind, start, end in spans]


def _beside(
    fixed: Sequence[tuple[str, int, int]], more: Iterable[tuple[str, int, int]]
) -> Iterator[tuple[str, int, int]]:
    """Those of `more` that overlap none of `fixed`, which are apart and in order."""
    starts = [start for _, start, _ in fixed]
    for kind, start, end in more:
        at = bisect_left(starts, end)
        if not at or fixed[at - 1][2] <= start:
            yield kind, start, end


def _plain(text: str) -> tuple[str, list[int] | range]:
    """The text with one way to write each character, and where each of the remaining ones stood."""
    if text.isascii() and "   " not in text and "\t" not in text and "\r" not in text:
        return text, range(len(text))
    characters, places, blanks = [], [], 0
    for place, character in enumerate(text):
        if character in _HIDDEN:
            continue
        alike = _ALIKE.get(character, character)
        if not alike.isascii() and ("\uff01" <= alike <= "\uff5e" or alike.isdecimal()):
            alike = unicodedata.normalize("NFKC", alike)
            alike = str(unicodedata.decimal(alike)) if alike.isdecimal() else alike
        blanks = blanks + 1 if alike == " " else 0
        if blanks <= 2:
            characters.append(alike)
            places.append(place)
    return "".join(characters), places


def _in_pieces(line: str, rules: Sequence[Rule]) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) in a line; a long one is read in pieces that overlap."""
    if len(line) <= _PIECE:
        yield from _spans_in(line, rules)
        return
    for begin in range(0, len(line) - _OVERLAP, _PIECE - _OVERLAP):
        for kind, start, end in _spans_in(line[begin : begin + _PIECE], rules):
            yield kind, begin + start, begin + end


def _across_lines(text: str, rules: Sequence[Rule], separator: str) -> Iterator[tuple[str, int, int]]:
    """What a line break stands in, of the ends of the two lines; `between` is read in its place."""
    for at in (match.start() for match in re.finditer("\n", text)):
        before = text[max(0, at - _REACH) : at].rpartition("\n")[2].rstrip("\\ ")
        line = text[at + 1 : at + 1 + _REACH].partition("\n")[0]
        after = line.lstrip(" ")
        if not before or not after:
            continue
        left = max(text.rfind("\n", 0, at) + 1, at - _REACH)
        right = at + 1 + len(line) - len(after)
        joint = len(before) + len(separator)
        for kind, start, end in _spans_in(before + separator + after, rules):
            if start < len(before) and end > joint:
                yield kind, left + start, right + end - joint


def _apart(candidates: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """From left to right, what overlaps an earlier one left out; of one start the longest."""
    spans: list[tuple[str, int, int]] = []
    for one in sorted(candidates, key=lambda one: (one[1], -one[2])):
        if not spans or one[1] >= spans[-1][2]:
            spans.append(one)
    return spans


def _spans_in(line: str, rules: Sequence[Rule]) -> list[tuple[str, int, int]]:
    """(kind, start, end) in a line, from left to right; what overlaps an earlier rule's finding is left out."""
    chosen: list[tuple[str, int, int]] = []
    lacks = ~needs.facts(line)
    for kind, find, need in rules:
        if need & lacks:
            continue
        for start, end in find(line):
            if all(end <= first or last <= start for _, first, last in chosen):
                chosen.append((kind, start, end))
    return sorted(chosen, key=lambda span: span[1])


def _hint(kind: str, text: str) -> str:
    text = text.strip()
    ends = f", {text[0]}…{text[-1]}" if len(text) >= 8 else ""
    return f"{kind}, {len(text)} characters{ends}"


@lru_cache(maxsize=1)
def _rules() -> tuple[Rule, ...]:
    """All rules, those that are right most surely first."""
    try:
        plugins = import_module("detect_secrets.core.plugins.util").get_mapping_from_secret_type_to_class()
        by_expression = import_module("detect_secrets.plugins.base").RegexBasedDetector
        iban, luhn = (import_module(f"stdnum.{module}").is_valid for module in ("iban", "luhn"))
        checks = {module: import_module(f"stdnum.{module}").is_valid for _, _, module in _NUMBERED}
        import_module("phonenumbers")
    except ImportError as error:
        raise MissingExtra("looking for personal data", "publish") from error
    return (
        *(
            (kind, _matches(expression), _NEEDED.get(kind, 0))
            for kind, plugin in sorted(plugins.items())
            if issubclass(plugin, by_expression) and kind not in _LEFT_OUT
            for expression in plugin.denylist
        ),
        *((kind, _matches(form, valid, group), need) for kind, form, group, valid, need in MORE),
        ("password", _matches(_PASSWORD, group=1), needs.DIGIT),
        ("PIN", _matches(_PIN, group=1), needs.DIGIT),
        ("long random string", _matches(_RANDOM, _looks_random), needs.LONG | needs.DIGIT),
        ("e-mail address", _matches(_EMAIL), needs.AT),
        ("IBAN", lambda line: _ibans(line, iban), needs.DIGIT),
        ("credit card number", _matches(_CARD, lambda number: _is_card(number, luhn)), needs.NINE),
        *(
            (kind, _matches(re.compile(form), _checked(checks[module])), needs.SIX if kind in _SHORT else needs.NINE)
            for kind, form, module in _NUMBERED
        ),
        ("UK national insurance number", _matches(_NINO), needs.SIX),
        ("IP address", _matches(_IPV4, _is_public), needs.DIGIT | needs.DOTS),
        ("IP address", _matches(_IPV6, _is_public), needs.COLONS),
        ("telephone number", _phones, needs.NINE),
        *(("street address", _matches(re.compile(form)), needs.DIGIT) for form in _STREETS),
        *(("street address", _matches(form), needs.DIGIT) for form in ADDRESSES),
    )


_WRAPPED = {"key of a service", "wallet", "long random string", "e-mail address", "link with a token"}
_SPACED = {"IBAN", "credit card number", *(kind for kind, _, _ in _NUMBERED)} - {"Polish PESEL number", "UK NHS number"}


@lru_cache(maxsize=1)
def _rules_across() -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The rules for what a line break parts: with a blank in its place, and with nothing."""
    spaced = [rule for rule in _rules() if rule[0] in _SPACED]
    spaced.append(("telephone number", lambda line: _phones(line, regions=(None,)), needs.NINE))
    return tuple(spaced), tuple(rule for rule in _rules() if rule[0] in _WRAPPED)


def _matches(
    pattern: re.Pattern[str], valid: Callable[[str], bool] = bool, group: int = 0
) -> Callable[[str], Sequence[Span]]:
    def find(line: str) -> Sequence[Span]:
        if pattern.search(line) is None:  # as on nearly every line, and quicker to see
            return ()
        return [match.span(group) for match in pattern.finditer(line) if valid(match[group])]

    return find


def _checked(valid: Callable[[str], Any]) -> Callable[[str], bool]:
    """python-stdnum wants the US number with hyphens and takes all others with them."""
    return lambda number: bool(valid(number.replace(" ", "-")) or valid(re.sub(r"\W", "", number)))


def _is_card(number: str, luhn: Callable[[str], bool]) -> bool:
    """Whether an issuer has numbers of this beginning and length, and the last digit is right (ISO/IEC 7812-1)."""
    digits = re.sub(r"\D", "", number)
    return bool(_ISSUER.fullmatch(digits)) and luhn(digits)


def _ibans(line: str, valid: Callable[[str], bool]) -> Iterator[Span]:
    """The number may run on into the next word, and only one length has the right check digits."""
    for match in _IBAN.finditer(line):
        whole = (end for end in range(match.end(), match.start() + 14, -1) if line[end - 1] != " ")
        ends = (end for end in whole if valid(line[match.start() : end]))
        yield from ((match.start(), end) for end in list(ends)[:1])


def _phones(line: str, regions: Sequence[str | None] = (None, *REGIONS)) -> Iterator[Span]:
    for digits in _DIGITS.finditer(line):
        begin = max(0, digits.start() - _AROUND)
        for start, end in _numbers(line[begin : digits.end() + _AROUND], tuple(regions)):
            yield begin + start, begin + end


@lru_cache(maxsize=1024)
def _numbers(stretch: str, regions: tuple[str | None, ...]) -> tuple[Span, ...]:
    """Where a short text holds a telephone number of any of the regions, those with a country code first."""
    from phonenumbers import PhoneNumberMatcher

    tries = {one: _TRIES_ABROAD if one is None else _TRIES for one in regions}
    matchers = (PhoneNumberMatcher(stretch, one, max_tries=most) for one, most in tries.items())
    return tuple((m.start, m.end) for matcher in matchers for m in matcher if _is_phone(m.raw_string))


def _is_phone(written: str) -> bool:
    """Whether digits that some country would take look like a telephone number, and not like a sum, a date, a row."""
    groups = _GROUP.findall(written)
    shaped = re.match(r"[+(]|0\d", written) or max(map(len, groups)) >= 3
    return bool(len("".join(groups)) >= 9 and shaped and not _NO_PHONE.fullmatch(written))


def _is_public(address: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _looks_random(token: str) -> bool:
    """Whether a long token has digits, small and capital letters, or is hexadecimal, in an order without a pattern."""
    import math

    shares = [token.count(character) / len(token) for character in set(token)]
    bits = -sum(share * math.log2(share) for share in shares)
    if re.fullmatch(r"[0-9a-f]{32,}|[0-9A-F]{32,}", token):
        return bits > 3
    return bits > RANDOM_BITS and all(re.search(kind, token) for kind in ("[a-z]", "[A-Z]", r"\d"))
