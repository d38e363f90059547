"""Numbers that people type: digits, a point, an exponent, and nothing that Python alone takes for a number.

    number("0.5", 0, 1)        # 0.5
    whole("12", 1, 64)         # 12

"nan", "inf", "1_000", "0x10", digits of other scripts, and what is out of range are a ValueError that says what is
wanted. Not here: options (cli/options.py), numbers in files (foreign/data.py).
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")


def number(text: str, least: float, most: float) -> float:
    """The number that a text says.

    Raises:
        ValueError: it says none, or one that is not from `least` to `most`.
    """
    value = float(text) if _NUMBER.fullmatch(text) else None
    if value is None or not least <= value <= most:
        raise ValueError(f"{text!a:.60} is no number from {least:g} to {most:g}.")
    return value


def whole(text: str, least: int, most: int) -> int:
    """The whole number that a text says.

    Raises:
        ValueError: it says none, or one that is not from `least` to `most`.
    """
    value = int(text) if _WHOLE.fullmatch(text) else None
    if value is None or not least <= value <= most:
        raise ValueError(f"{text!a:.60} is no whole number from {least} to {most}.")
    return value
