"""HTML as people see it: a small tree, the text of an element, and the prose of a page or a mail.

prose("<p>Late &amp; lovely.</p><script>x()</script>") == "Late & lovely."
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_BLOCKS = {
    "address",
    "article",
    "aside",
    "body",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "li",
    "main",
    "ol",
    "p",
    "section",
    "table",
    "tr",
    "ul",
    "title",
    "center",
}
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "article", "section", "ul", "ol", "table", "blockquote", "pre"}
_UNSEEN = {
    "script",
    "style",
    "head",
    "template",
    "noscript",
    "svg",
    "math",
    "iframe",
    "object",
    "select",
    "button",
    "textarea",
}
_NOT_PROSE = _UNSEEN | {
    "nav",
    "header",
    "footer",
    "aside",
    "form",
    "pre",
    "code",
    "figure",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "cite",
}
_QUOTES = re.compile(
    r"gmail_quote|yahoo_quoted|moz-cite-prefix|OutlookMessageHeader|gmail_signature|moz-signature|protonmail_quote"
    r"|divRplyFwdMsg|appendonsend|zmail_extra|tutanota_quote|gmail_attr"
)
_TAG = re.compile(
    r"</?(?:p|div|br|span|a|b|i|u|strong|em|ul|ol|li|h[1-6]|blockquote|table|tr|td|img|html|body|font|pre"
    r"|code)\b[^<>]*>",
    re.IGNORECASE,
)
DEEPEST = 400  # elements inside each other; what lies deeper is taken as lying there


@dataclass
class Element:
    """A tag with its attributes and what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    inside: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The names in its class attribute."""
        return self.attributes.get("class", "").split()

    def descendants(self) -> Iterator[Element]:
        """Every element in it, in the order of the text."""
        for child in self.inside:
            if isinstance(child, Element):
                yield child
                yield from child.descendants()

    def first(self, name: str) -> Element | None:
        """The first element in it of this class."""
        return next((one for one in self.descendants() if name in one.classes), None)


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "li", "td", "tr") and self.open[-1].tag == tag:
            self.open.pop()
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in _VOID and len(self.open) < DEEPEST:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self.open) - 1, max(0, len(self.open) - 40), -1):
            if self.open[depth].tag == tag:
                del self.open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def tree(text: str) -> Element:
    """The elements of a page; broken ones as far as they go."""
    parser = _Tree()
    # Unclosed comments and declarations make the standard parser look for their end from every one of them.
    parser.feed(re.sub(r"<!--(?:(?!-->)[\s\S])*\Z", "", text) if text.count("<!--") > text.count("-->") else text)
    parser.close()
    return parser.root


def elements(text: str, wanted: Callable[[Element], bool]) -> list[Element]:
    """The elements of a page that `wanted` takes."""
    return [one for one in tree(text).descendants() if wanted(one)]


def shown(element: Element) -> str:
    """An element's text with its line breaks, without what is not seen."""
    return _tidy("".join(_pieces(element, _UNSEEN, quotes=True)))


def prose(text: str) -> str:
    """The paragraphs of a page or a mail's HTML part, blank lines between them, without menus, code and quotes."""
    root = tree(text)
    main = next((one for one in root.descendants() if one.tag in ("article", "main")), root)
    return _tidy("".join(_pieces(main, _NOT_PROSE, quotes=False)))


def is_markup(text: str) -> bool:
    """Whether a text is HTML: has tags, of which some are closed."""
    return "</" in text and len(_TAG.findall(text)) >= 2


def _pieces(element: Element, left_out: set[str], quotes: bool) -> Iterator[str]:
    for child in element.inside:
        if isinstance(child, str):
            yield re.sub(r"\s+", " ", child)
        elif child.tag == "br":
            yield "\n"
        elif (
            child.tag in left_out
            or "hidden" in child.attributes
            or (not quotes and (_QUOTES.search(child.attributes.get("class", "") + child.attributes.get("id", ""))))
        ):
            yield "\n\n"
        else:
            separator = (
                "\n\n" if child.tag in _PARAGRAPHS else "\n" if child.tag in _BLOCKS or child.tag == "hr" else ""
            )
            yield separator
            yield from _pieces(child, left_out, quotes)
            yield separator


def _tidy(text: str) -> str:
    lines = [re.sub(r"[ \t\u00a0]+", " ", line).strip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
