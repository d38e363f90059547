"""Plain text and Markdown, a sample a paragraph; HTML pages; text with one message a line.

Left out: code, headings, quotes, mail that is answered, signatures, front matter, comments, tables, embeds. A list
stays with the paragraph before it. What looks like a log, a program or data is refused, and so is a chat of no known
form.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator

from xpert_cli.corpus.markup import prose as page
from xpert_cli.corpus.messages import Message
from xpert_cli.corpus.quoted import theirs
from xpert_cli.corpus.sources import TEXTS, File
from xpert_cli.corpus.turns import Parsed, clean
from xpert_cli.errors import BadInput

PAGE, TEXT, LINES = "web page", "text", "text, one message a line"

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?=[\w-]+:)(?:.*\n)*?(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_TOML_MATTER = re.compile(r"\A\+\+\+[ \t]*\n(?:.*\n)*?\+\+\+[ \t]*$", re.MULTILINE)
_UNDERLINED = re.compile(r"(?:\A|(?<=\n\n))[^\n]*[^\n.!?]\n(?:={3,}|-{3,})[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_NOT_PROSE = re.compile(
    r" {0,3}(?:#{1,6}(?:\s|$)|={3,}\s*$|(?:[-*_]\s*){3,}$)|\s*\|.*\|\s*$|\s*[-*+] \[[ xX/-]\] "
    r"|\s*!\[\[[^\]\n]*\]\]\s*$|\s*!\[[^\]\n]*\]\([^)\n]*\)\s*$"
    r"|\s*\[[^\]\n]+\]: \S+|\s*</?[a-zA-Z][^<>\n]*>\s*$|\s*#[^\s#][\w/-]*(?:\s+#[\w/-]+)*\s*$|\s*https?://\S+\s*$|\$\$"
)
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")
# Thai, Japanese and Chinese do not put spaces between words: a character counts as one there.
WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W_][\w'’-]*")
_EMBED = re.compile(r"!\[\[[^\[\]\n]*\]\]|!\[[^\[\]\n]*\]\([^)\n]{0,2000}\)")
_WIKI = re.compile(r"\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]*)\]\]")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\((?:https?:|/|\.|#|mailto:)[^)\n]{0,2000}\)")
_BLOCK_ID = re.compile(r"(?<![ \t])[ \t]+\^[\w-]+[ \t]*$", re.MULTILINE)
_CLOSED = re.compile(r"[.!?…。！？؟।)\"”’»\U0001f300-\U0001faff☀-➿]\s*$")
_CLOCKED = re.compile(r"\s*\W?(?:\d{1,4}[-./]\d{1,2}[-./]\d{1,4}[T ,]+)?\d{1,2}:\d{2}(?::\d{2})?\b")
_CODE_END = re.compile(
    r"[;{}]\s*$|^\s*(?:import |from \S+ import |def |class |#include|function |const |let |var |public |private "
    r"|return\b)"
)
_DATA = (
    ("BEGIN:VCARD", "contacts (vCard)"),
    ("BEGIN:VCALENDAR", "a calendar"),
    ("<?xml", "XML of no known kind"),
    ("%!PS", "PostScript"),
    ("diff --git", "a patch"),
)


def read(file: File) -> Parsed | None:
    """The file as text.

    Raises:
        BadInput: it is no prose.
    """
    text = file.text
    head = text[:4000].lstrip().lower()
    if (
        head.startswith(("<!doctype html", "<html"))
        or ("<body" in head and head[:1] == "<")
        or (file.suffix in (".html", ".htm", ".xhtml") and "</" in text)
    ):
        parsed = Parsed(PAGE)
        parsed.messages = paragraphs(file.name, page(text), parsed.left_out)
        return parsed
    if file.source.many and file.suffix not in TEXTS:
        raise BadInput(f"{file.name}: {file.suffix} files are not read. Export or save what you wrote as text or JSON.")
    _refuse(file.name, text)
    if lines := _one_a_line(text):
        parsed = Parsed(LINES)
        parsed.messages = [
            Message("", clean(line), f"{file.name}:{number}", True)
            for number, line in lines
            if len(WORD.findall(line)) >= 3
        ]
        parsed.left_out["fragments under three words"] += len(lines) - len(parsed.messages)
        parsed.notes.append(f"{file.name} has no blank line: each of its {len(lines)} lines was read as a message")
        return parsed
    parsed = Parsed(TEXT)
    parsed.messages = paragraphs(file.name, text, parsed.left_out)
    return parsed


def _refuse(name: str, text: str) -> None:
    begin = text[:200].lstrip("\ufeff \n")
    for mark, what in _DATA:
        if begin.startswith(mark):
            raise BadInput(f"{name} holds {what}, and no writing. Give a file with text you wrote.")
    lines = [line for line in text[:200_000].split("\n") if line.strip()]
    if len(lines) < 4:
        return
    if sum(_CLOCKED.match(line) is not None for line in lines) * 2 > len(lines):
        raise BadInput(
            f"{name} looks like a chat or a log of a form that is not known: most lines begin with a time."
            " Export it as JSON, or write CSV with the columns sender, time and text."
        )
    if sum(_CODE_END.search(line) is not None for line in lines) * 2 > len(lines):
        raise BadInput(f"{name} looks like a program, not like writing. Give a file with text you wrote.")
    shown = "".join(lines)[:20_000]
    if sum(one.isalpha() or one.isspace() for one in shown) * 2 < len(shown):
        raise BadInput(f"{name} looks like data, not like writing: under half of it are letters. Give text you wrote.")


def _one_a_line(text: str) -> list[tuple[int, str]]:
    """Number and text of each line where a file is lines and not paragraphs; none if it is paragraphs.

    Lines of one paragraph that an editor broke are full: the next line's first word would not have fitted.
    """
    lines = text.strip("\n").split("\n")
    if len(lines) < 4 or not all(line.strip() for line in lines) or any(map(_structured, lines)):
        return []
    widest = max(map(len, lines))
    full = sum(len(a) + 1 + len(b.split()[0]) > widest for a, b in itertools.pairwise(lines))
    closed = sum(_CLOSED.search(line) is not None for line in lines)
    if closed < 0.8 * len(lines) and widest <= 140 and full >= 0.8 * (len(lines) - 1):
        return []
    before = text[: len(text) - len(text.lstrip("\n"))].count("\n")
    return list(enumerate(lines, before + 1))


def _structured(line: str) -> bool:
    return bool(
        _NOT_PROSE.match(line) or _BULLET.match(line) or _FENCE.match(line) or line.startswith((">", "    ", "\t"))
    )


def paragraphs(name: str, text: str, left_out: Counter[str]) -> list[Message]:
    """The paragraphs of text or Markdown with three words or more; sources name the line."""
    text = _without_comments(text)
    for dropped in (_FRONT_MATTER, _TOML_MATTER, _UNDERLINED):
        text = dropped.sub(lambda match: "\n" * match[0].count("\n"), text)  # keeps the line numbers
    numbered = [(number, _linked(clean("\n".join(lines)))) for number, lines in _blocks(text, left_out)]
    messages = [
        Message("", words, f"{name}:{number}", True) for number, words in numbered if len(WORD.findall(words)) >= 3
    ]
    left_out["fragments under three words"] += len(numbered) - len(messages)
    return messages


def _without_comments(text: str) -> str:
    """Without <!-- --> and %% %% comments, in linear time; unclosed ones stay."""
    for begin, end in (("<!--", "-->"), ("%%", "%%")):
        parts, at = [], 0
        while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start + len(begin))) >= 0:
            inner = text[start : stop + len(end)]
            if begin == "%%" and "\n\n" in inner:
                parts.append(text[at : start + 2])
                at = start + 2
                continue
            parts += [text[at:start], "\n" * inner.count("\n")]
            at = stop + len(end)
        text = "".join([*parts, text[at:]])
    return text


def _linked(text: str) -> str:
    """Links as they are shown, without embeds and block ids."""
    if "[" in text:
        text = _LINK.sub(r"\1", _WIKI.sub(lambda m: m[1].rpartition("/")[2] or m[1], _EMBED.sub("", text)))
    return _BLOCK_ID.sub("", text).strip()


def _blocks(text: str, left_out: Counter[str]) -> list[tuple[int, list[str]]]:
    """First line's number and lines of each paragraph. A list stays with the paragraph before it; without one, each of
    its blocks is a paragraph."""
    blocks: list[tuple[int, list[str]]] = []
    inside = after = False
    for number, line in enumerate(_prose(text, left_out), 1):
        if line is None:
            inside = after = False
        elif not line.strip():
            inside = False
        elif inside:
            blocks[-1][1].append(line)
        elif after and _BULLET.match(line) and not _BULLET.match(blocks[-1][1][0]):
            blocks[-1][1].extend(["", line])
            inside = True
        else:
            blocks.append((number, [line]))
            inside = after = True
    return blocks


def _prose(text: str, left_out: Counter[str]) -> Iterator[str | None]:
    """Each line, or None where it is not the author's prose: code, somebody's quoted words, a heading, a rule."""
    lines = text.split("\n")
    others = theirs(lines, left_out)
    fence = ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:
            bare = line.strip()
            fence = "" if bare.startswith(fence) and not bare.strip(fence[0]) else fence
            left_out["lines of code"] += 1
            yield None
        elif mark:
            fence = mark[1]
            yield None
        else:
            yield None if number in others or _NOT_PROSE.match(line) else line
