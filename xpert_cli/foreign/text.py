"""Text from elsewhere, made such that a terminal or a page shows it and never obeys it.

    printable("\\x1b]0;owned\\x07")          # '\\\\x1b]0;owned\\\\x07'
    markdown("[click](http://x)")          # '\\\\[click\\\\](http\\\\://x)'

Not here: HTML and SVG (plot/svg.py), where things are printed (cli/output.py).
"""

from __future__ import annotations

import re

# What a terminal acts upon: control characters but for tab and line feed, what reorders text, line ends of Unicode's
# own, and halves of pairs, which cannot be written as UTF-8.
_ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202d\u202e\ud800-\udfff]")
_MARKS = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u2066\u2067\u2068\u2069"))  # which messengers put around names
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~$&:@]|(?<=www)\.)", re.IGNORECASE)


def printable(text: str) -> str:
    """`text` with everything a terminal would act upon written out, as in \\x1b; lines and tabs stay.

    Marks that only say which way a name runs, as messengers write them, are left out.
    """
    text = text.replace("\r\n", "\n").translate(_MARKS)
    return _ACTIVE.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str) -> str:
    """`printable`, with every run of white space as one blank."""
    return printable(" ".join(text.split()))


def markdown(text: str) -> str:
    """`text` on one line of a Markdown page, without links, pictures, HTML, cells or emphasis of its own."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))
