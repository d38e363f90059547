"""The marks that people type, told from the same signs in maths, times, ranges, tables and references.

    emoticons("ok :) (see page 8), f(x)") == 1
    axis_read = mark(DASHES)                 # a Formula: "2010–2015" has none

All of them are looked for in `Sample.clean`, the text without code, formulas and addresses. Every shape was counted in
90,000 turns of real chats and in 11,200 written answers, which hold hardly any emoticon: "8)" and "x)" stood in no chat
and 84 times in the answers, so they are none. Not here: which axes there are (style/axes.py, style/chat.py).
"""

from __future__ import annotations

import re

from xpert_cli.style.formula import Formula, rate
from xpert_cli.style.sentences import CODE_AND_ADDRESSES

# Behind a letter only ":)" and ";)", which people type so; elsewhere an emoticon stands alone.
_FREE = r"(?<![\w/|:;=<>&%$#@^+\\\[\]{}\"'-])"
_EYED = (
    r"(?:[:;]['’^-]?(?:\)+|\(+|D+(?!\()|[Pp]+(?!\()|/+|\\(?!\S))|(?<!\d\s):['-]?3|:['-]?[Oo]+(?!\()|:-[|*]"
    r"|=(?:\)+|D+(?!\()|\(+(?![^\n]{0,200}\))))(?![\w/:|])"
)
# "<3", but neither after a number or the name of a variable, nor before a number or a unit: "p <3", "<3 years".
_HEART = (
    r"(?<![\w/|:;=<>&%$#@^+\\(\[])(?<!\d\s)(?<!\b[a-hj-tv-zA-HJ-TV-Z]\s)(?<!\w\)\s)<3+"
    r"(?![\w/%]|[.,]\d|\s*(?:[=≤≥+*^\d]|(?:years?|months?|weeks?|days?|hours?|min|minutes?|seconds?|times|points?"
    r"|percent|mm|cm|km|kg|mg|ml|ms)\b))"
)
EMOTICON = rf"{_FREE}>?{_EYED}|(?<=[^\W\d_])[:;]-?\)+(?![\w/:])|{_HEART}|(?<![\w^])\^[_.]?\^(?![\w^])|\b[xX][dD]+\b"
_WITH_BRACKETS = re.compile(rf"({EMOTICON})|[()\n]")
KAOMOJI = (
    r"[(（](?=[^()（）\s]{0,9}[_^ω´｀・•▽□∀◕‿ಠ╥Д])(?!_+[)）])[^()（）\w\s]{0,3}[^\s\da-np-su-zA-NP-SU-Z]{3,8}[)）]"
    r"|¯\\_|[Tt]_[Tt]|\b[oO][._][oO]\b|>_+<|(?<![\w-])-_+-|;_;|\b[uo]w[uo]\b"
)
# Not "xD", which is an emoticon; "www" and "555" are laughter in Japanese and Thai, and parts of addresses elsewhere.
LAUGHS = (
    r"\b(?:(?:he){2,}h?|(?:hi){2,}h?|(?:ho){3,}|(?:ja){2,}j?|(?:je){2,}|k{3,}|(?:rs){2,}|(?:wk){2,}\w*|mdr+|ptdr"
    r"|(?:ах|ха){2,}х?|(?:hue){2,})\b|ه{3,}|哈{2,}|呵{2,}|ㅋ{2,}|ㅎ{2,}|笑|(?<![A-Za-z./])w{3,}(?![\w.])"
    r"|(?<=[\u0e00-\u0eff])\s?5{3,}"
)
STRETCHED = r"\b(?!w{3}\b|[ivx]+\b)\w*?([^\W\d_])\1\1\w*"  # not "www" and "III"
ELLIPSES = r"(?<![.\[(])(?<!, )\.{3,}|(?<=, )\.{3,}(?![.,])|(?<=[\[(])\.{3,}(?![.)\]])|(?<![\[(])…"
AND_SIGNS = r"(?<=\w{2}\s)&(?=\s\w)|(?<=\w\s)&(?=\s\w{2})|^&(?=\s\w)|(?<=[^\W\d_]{2}\s)\+(?=\s[^\W\d_]{2})"
LETTERS = (
    r"(?<![^\s(“\"])(?<!\d\s)(?:u(?=[\s?!,.]|$)|[rn](?=\s)|k(?=[\s,.!]|$))(?!\s*[=<>+*/^×≤≥-])"
    r"|\bb/c\b|(?<!\w)w/o?(?=\s)"
)  # short forms that are no words: "u", "b/c"
# The place of "I": neither an index nor the number of an item, as in "a[i]", "i = 2" and "(i)".
FIRST_PERSON = r"\bi(?:['’´`](?:m|ve|ll|d))?\b(?![.…]\w|[)\]]|\s*(?:[=>+*^]|<(?!3)))"
FIGURE = r"(?<![\w.,:/$€£#%-])(?:[2-9]|1[0-2])(?![\w.,:/%)\]-]|\s*(?:am|pm|%)\b)"
HYPHENS = r"[^\W\d_]-\w|\d-[^\W\d_]"
COMMAS = r"[،、，]|,(?!\d)|(?<!\d),"
SEMICOLONS = r"[;；](?!['^-]?[)(DPp/](?!\w))"
DASHES = (
    r"—|(?<!\d)(?<!\d )–|–(?! ?\d)|(?<!\d)\s--?\s|\s--?\s(?!\d)"
    r"|(?<![.\[(])(?:\.\.\.|…)|(?<=[\[(])(?:\.\.\.|…)(?![.)\]])"
)
# Not of a call, a plural in brackets, a reference or a link: "f(x)", "one(s)", "[12]", "(2018)", "[here](...)".
BRACKETS = (
    r"(?<![A-Za-z0-9_])(?:[(（]|\[(?![^\]\n]{0,200}\]\())(?!\d[\d\s,;–-]{0,30}[)）\]])\w"
    r"|(?<=[a-z])\((?=[A-Za-z'’]+\s[a-z])"
)
# An apostrophe opens a quotation only where another closes it: not in "'cause" and "'90s".
QUOTES = r"(?<!\w)[\"“«„「](?=\w)|(?<!\w)['‘](?=\w(?:[^'’\n]|(?<=\w)['’](?=\w)){0,200}['’](?!\w))"
BOLD = r"(?<![\w*])\*\*(?=[^\s*.,;:!?)\]])|(?<!\w)__(?=[^\s_])|^[ \t]*#{1,6}[ \t]"
ITEM = r"\s*(?:[-*+•◦‣]|\(?\d{1,3}[.)])\s+\S"


def emoticons(text: str) -> int:
    """How many emoticons a text holds; ")" that closes a bracket behind a word is part of none, as in "(as follows:)".

    Brackets are followed within a line.
    """
    count = opened = 0
    for match in _WITH_BRACKETS.finditer(text):
        mark, start = match[0], match.start()
        glued = start > 0 and (text[start - 1].isalpha() or mark[0] == "=")
        if match[1] and not (opened and mark[-1] == ")" and glued):
            count += 1
        elif mark == "\n":
            opened = 0
        else:
            opened = max(0, opened + (1 if mark[-1] == "(" else -1))
    return count


EMOTICONS = Formula(
    f"rate of {EMOTICON} that close no bracket, without {CODE_AND_ADDRESSES}",
    lambda sample: rate(emoticons(sample.clean), sample),
)


def mark(pattern: str, flags: re.RegexFlag = re.IGNORECASE | re.MULTILINE, *, prose: bool = False) -> Formula:
    """Matches a 100 words in the clean text; `prose`: and without Markdown's marks."""
    compiled = re.compile(pattern, flags)
    return Formula(
        f"rate of {pattern} {int(flags)} in {'prose' if prose else 'text'} without {CODE_AND_ADDRESSES}",
        lambda sample: rate(len(compiled.findall(sample.clean_prose if prose else sample.clean)), sample),
    )


LAUGHTER = mark(LAUGHS)
