"""What a line must hold for an expression to match in it: few lines of a chat hold a digit, an @ or a long word at all.

    here = facts(line)
    if need & ~here == 0: ...                 # only then is the expression worth trying

A need is a union of facts, all of which hold wherever its expression finds something. Not here: the expressions
(corpus/private_patterns.py, corpus/private_data.py).
"""

from __future__ import annotations

import re

DIGIT = 1 << 0  # one at least
SIX = 1 << 1  # digits at least
NINE = 1 << 2
LONG = 1 << 3  # fifteen characters or more without a blank between them
LONGER = 1 << 4  # twenty-three
AT = 1 << 5  # @
SLASH = 1 << 6  # /
ADDRESS = 1 << 7  # ://
COLONS = 1 << 8  # three at least
DOTS = 1 << 9  # three at least
MARK = 1 << 10  # how keys and blocks of keys begin that are short
SEED = 1 << 11  # a word for the words that a wallet is restored from

_DIGIT = re.compile("[0-9]")
_LONG, _LONGER = re.compile(r"\S{15}"), re.compile(r"\S{23}")
_MARKS = ("BEGIN ", "PuTTY", "untrusted comment", "Private-", "<RSAKeyValue>", "AKC", "AP", "_authToken=", "eyJ")
_SEEDS = ("seed", "recovery", "backup", "mnemonic", "secret")


def facts(line: str) -> int:
    """The facts of a line whose digits are ASCII where they are decimal, as private_data makes them."""
    count = len(_DIGIT.findall(line))
    here = DIGIT if count or not (line.isascii() or not any(map(str.isdigit, line))) else 0
    if count >= 6:
        here |= SIX | (NINE if count >= 9 else 0)
    if _LONG.search(line):
        here |= LONG | (LONGER if _LONGER.search(line) else 0)
    here |= AT if "@" in line else 0
    if "/" in line:
        here |= SLASH | (ADDRESS if "://" in line else 0)
    here |= COLONS if line.count(":") >= 3 else 0
    here |= DOTS if line.count(".") >= 3 else 0
    here |= MARK if any(mark in line for mark in _MARKS) or _slack(line.lower()) else 0
    here |= SEED if any(word in line for word in _SEEDS) else 0
    return here


def _slack(line: str) -> bool:
    """How its tokens and addresses begin, in whatever letters."""
    return "xox" in line or "slac" in line
