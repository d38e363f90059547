"""An answer in Markdown, shown as a page on a terminal while it comes.

    page = Growing(screen)
    page.add("Some **wor"); page.add("ds**.")
    page.close()

The whole answer is laid out again for each piece, and written again from the first line that changed on: a line that
stays as it is is never touched, so nothing flickers. What has scrolled off the screen stays as it was. HTML and links
are shown as text. Not here: whether a terminal is there (cli/output.py).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from markdown_it import MarkdownIt
from rich.control import Control
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.segment import ControlType, Segment, Segments

from xpert_cli.foreign.text import printable

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod

EVERY = 0.05  # seconds between two looks at most
_RETURN, _ERASE = Control(ControlType.CARRIAGE_RETURN).segment, Control((ControlType.ERASE_IN_LINE, 0)).segment
SHARE = 10  # at least so many times what laying out took passes before it is done again


class _Heading(Heading):
    """A heading at the left, where it does not move while it grows."""

    LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = {}


class _Page(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "heading_open": _Heading}


def laid_out(text: str) -> Markdown:
    """Text as rich draws Markdown, with the line breaks that the model wrote, and nothing that is obeyed or hidden."""
    page = _Page("", hyperlinks=False)
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("image")
    page.parsed = parser.parse(printable(text))
    for token in page.parsed:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return page


def _trimmed(line: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end, which would be copied with it; those of a coloured block stay."""
    while line and not line[-1].text.rstrip() and not (line[-1].style and line[-1].style.bgcolor):
        line = line[:-1]
    if line and not (line[-1].style and line[-1].style.bgcolor):
        line = [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)]
    return line


class Growing:
    """A page at the cursor that grows with its text. The cursor stays at the end of its last line."""

    def __init__(self, screen: Console) -> None:
        self._screen, self._text = screen, ""
        self._lines: list[list[Segment]] = []
        self._next = 0.0

    def add(self, piece: str) -> None:
        """More of the answer."""
        self._text += piece
        began = time.monotonic()
        if began >= self._next:
            self._draw()
            ended = time.monotonic()
            self._next = ended + max(EVERY, SHARE * (ended - began))

    def close(self) -> None:
        """The end of the answer, and of its last line."""
        self._draw()
        self._screen.print()

    def _draw(self) -> None:
        width, height = self._screen.size
        options = self._screen.options.update(width=max(1, width - 1))  # a full line would leave the cursor in between
        drawn = self._screen.render_lines(laid_out(self._text), options, pad=False)
        old, new = self._lines, list(map(_trimmed, drawn))
        same = next((at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None)
        first = min(len(old), len(new)) if same is None else same
        if first >= len(new) == len(old):
            return
        if len(new) < len(old):
            first = max(0, min(first, len(new) - 1))
        first = max(first, len(old) - height)  # the cursor does not go further up than the screen
        parts: list[Segment] = []
        if first < len(old):
            parts += [Control.move(0, first + 1 - len(old)).segment, _RETURN]
        elif old:
            parts.append(Segment.line())
        for number, line in enumerate(new[first:]):
            parts += [*([Segment.line()] if number else []), _ERASE, *line]
        if (surplus := len(old) - max(len(new), first + 1)) > 0:
            parts += [*[Segment.line(), _ERASE] * surplus, Control.move(0, -surplus).segment]
        self._screen.print(Segments(parts), end="", soft_wrap=True)
        self._lines = new
