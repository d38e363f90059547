"""Numbers that people type: digits, a point, an exponent, and nothing that Python alone takes for a number.

    number("0.5", 0, 1)        # 0.5
    whole("12", 1, 64)         # 12

"nan", "inf", "1_000", "0x10", digits of other scripts, and what is out of range are a ValueError that says what is
wanted. Not here: options (cli/options.py), numbers in files (foreign/data.py).
"""

from __future__ import annotations

import re
from typing import TypeVar

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")


_Number = TypeVar("_Number", int, float)


def number(text: str, least: float, most: float) -> float:
    """The number that a text says.

    Raises:
        ValueError: it says none, or one that is not from `least` to `most`.
    """
    return _between(text, _NUMBER, float, least, most, f"number from {least:g} to {most:g}")


def whole(text: str, least: int, most: int) -> int:
    """The whole number that a text says.

    Raises:
        ValueError: it says none, or one that is not from `least` to `most`.
    """
    return _between(text, _WHOLE, int, least, most, f"whole number from {least} to {most}")


def _between(
    text: str, pattern: re.Pattern[str], kind: type[_Number], least: _Number, most: _Number, wanted: str
) -> _Number:
    value = kind(text) if pattern.fullmatch(text) else None
    if value is None or not least <= value <= most:
        raise ValueError(f"{text!a:.60} is no {wanted}.")
    return value
