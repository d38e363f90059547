"""Moments as exports write them, to seconds since 1970; a time without a zone is taken as UTC, as only gaps matter.

moment("2024-05-20T16:09:44.209+00:00") == moment(1716221384209) == 1716221384.209
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

_ISO = re.compile(
    r"\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?\s*"
)
_FORMS = ("%a %b %d %H:%M:%S %z %Y", "%b %d, %Y %I:%M:%S %p", "%b %d, %Y, %I:%M %p", "%A, %B %d, %Y at %I:%M:%S %p UTC")
_FIRST, _LAST = 5e8, 5e9  # seconds since 1970 that a chat can have: 1985 to 2128


def moment(value: Any) -> float | None:
    """Seconds since 1970 of a number (seconds, or finer) or of a date as text; None if it is neither."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _scaled(float(value))
    if not isinstance(value, str) or not 4 < len(value) < 60:
        return None
    if re.fullmatch(r"\d{9,19}(?:\.\d+)?", value.strip()):
        return _scaled(float(value))
    if match := _ISO.fullmatch(value):
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        seconds = stamp(year, month, day, hour, minute, second)
        fraction = float(f"0.{match[7] or 0}")
        return None if seconds is None else seconds + fraction - _offset(match[8])
    for form in _FORMS:
        try:
            return _seconds(datetime.strptime(value.strip(), form))
        except ValueError:
            continue
    try:
        return _seconds(parsedate_to_datetime(value))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def stamp(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float | None:
    """Seconds since 1970 of a date and a time; None if there is no such day."""
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None


def day_first(dates: Iterable[tuple[int, int, int]]) -> tuple[bool | None, bool]:
    """Whether of (first, second, year) the first number is the day, None where both are as good; and if that is sure.

    By what is possible, then by what goes forward, then by what takes less time in all: days in a row read the wrong
    way are months apart. That alone is not sure for fewer than three days, nor where one of the numbers stays the same,
    as in a chat on the first of each month.
    """
    several = list(dates)
    if any(one[0] > 12 for one in several):
        return True, True
    if any(one[1] > 12 for one in several):
        return False, True
    both = [[372 * year + 31 * month + day for day, month, year in several]]
    both += [[372 * year + 31 * month + day for month, day, year in several]]
    forward = [sum(b > a for a, b in itertools.pairwise(days)) for days in both]
    if forward[0] != forward[1]:
        return forward[0] > forward[1], True
    spans = [max(days) - min(days) for days in both] if several else [0, 0]
    if len(set(several)) < 3 or spans[0] == spans[1]:
        return None, False
    return spans[0] < spans[1], all(len({one[at] for one in several}) > 1 for at in (0, 1))


def _scaled(value: float) -> float | None:
    for unit in (1.0, 1e3, 1e6, 1e9):
        if _FIRST <= value / unit <= _LAST:
            return value / unit
    return None


def _offset(zone: str | None) -> float:
    if not zone or zone in ("Z", "UTC", "GMT"):
        return 0.0
    sign = -1 if zone[0] == "-" else 1
    return sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)


def _seconds(value: datetime) -> float:
    aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return (aware - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(seconds=1)
