"""Novels of many writers in many languages, cut into passages: what the table `writers` of languages.py measures.

    writers(Path("TEXTS"), COLLECTIONS["German"], 20)[0].parts[0]    # ["Ein Klopfen an der Tür ...", ...]

TEXTS holds public repositories as they are cloned (docs/benchmarks/languages.md), and nothing of them is stored. Not
here: what is measured (languages.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from xpert_cli.style.sentences import sentences, words

SHORTEST = 80  # words of a passage, which ends with a sentence; of Japanese, 160 characters
TRAIN, TEST = 60, 60  # passages of a writer, evenly spread
LEAST = 150_000  # characters of a book; of Japanese, a third
TEI = "{http://www.tei-c.org/ns/1.0}"
# Quotation marks, dashes, ellipses and spaces are the publisher's, and are written alike.
_ALIKE = tuple(
    (re.compile(pattern), mark)
    for pattern, mark in (
        *((r"[«»„“”‟‹›]|''|``|<<|>>", '"'), ("[‘’‚`]", "'"), (r"\.\.\.+|(?: \.){3}", "…"), (r"\s*_\s*|\s+", " ")),
        *((r" *(?:[—–―]|--)[—–―-]* *", " — "), (r" +([,.;:!?])", r"\1")),
    )
)
_NOT_JAPANESE_TEXT = re.compile(r"《[^》]*》|［＃[^］]*］|[｜※〔〕]")

Book = tuple[str, str, list[str]]  # writer, title, paragraphs


def passages(paragraphs: Sequence[str], shortest: int = SHORTEST, gap: str = " ") -> list[str]:
    """Running prose of whole sentences, with at least `shortest` words each, and marks written alike."""
    made, size, cut = [], 0, list[str]()
    for paragraph in paragraphs:
        for pattern, mark in _ALIKE:
            paragraph = pattern.sub(mark, paragraph)
        for sentence in sentences(paragraph.strip()):
            cut.append(sentence)
            size += len(words(sentence))
            if size >= shortest:
                made.append(gap.join(cut))
                size, cut = 0, []
    return made


def spread(texts: Sequence[str], count: int) -> list[str]:
    """`count` texts, evenly spread over all of them; all where there are fewer."""
    return [texts[int(at)] for at in np.unique(np.linspace(0, len(texts) - 1, count).round())]


def eltec(folder: Path) -> Iterator[Book]:
    """Books of a collection of ELTeC: TEI, a file a book."""
    for path in sorted(folder.glob("level1/*.xml")):
        root = ElementTree.parse(path).getroot()
        name = "".join(next(root.iter(f"{TEI}author")).itertext())
        paragraphs = ["".join(one.itertext()) for one in next(root.iter(f"{TEI}body")).iter(f"{TEI}p")]
        yield re.split(r"[(\[\d]", name)[0].strip(" .,\n\t"), path.stem, paragraphs


def russian(folder: Path) -> Iterator[Book]:
    """Books of RussianNovels: plain text, a file a volume."""
    for path in sorted(folder.glob("corpus/*.txt")):
        name, title = path.stem.split("_", 1)
        if name not in ("Nabokov", "Sholokhov"):  # not in the public domain
            title = re.sub(r"[\W\d_]", "", title).casefold()
            yield re.sub("skiy?$", "sky", name), title, path.read_text("utf-8-sig").splitlines()


def japanese(folder: Path) -> Iterator[Book]:
    """Books of Aozora Bunko: plain text with readings and notes between marks, in today's spelling, no translations."""
    for path in sorted(folder.glob("cards/*/files/*/*.txt")):
        text = path.read_bytes().decode("cp932", "replace")
        head = text.split("\r\n\r\n", 1)[0].splitlines()
        parts = re.split(r"-{30,}", text)
        if len(head) == 2 and len(parts) == 3:  # others have an editor or a translator
            body = _NOT_JAPANESE_TEXT.sub("", parts[2].rpartition("底本：")[0])
            yield head[1], head[0], body.splitlines()


def arabic(folder: Path) -> Iterator[Book]:
    """Novels of the Hindawi library, as OpenITI converted them, of writers who died before 1374 AH (1954)."""
    for path in sorted(folder.glob("converted_mARkdownSimple/1[23]*-ara1")):
        if path.name[:4] < "1374":
            head, _, text = path.read_text("utf-8").partition("#META#Header#End#")
            about = json.loads(head[head.index("{") :])
            if "novels" in about["BookCats"] and about["TranslNam"] == about["EditorNam"] == "None":
                yield path.name[4:].split(".")[0], about["BookTitle"], text.splitlines()


@dataclass(frozen=True)
class Collection:
    """Where the books of a language are, what reads them, and how passages are cut."""

    folder: str
    books: Callable[[Path], Iterator[Book]] = eltec
    shortest: int = SHORTEST
    least: int = LEAST
    gap: str = " "

    def cut(self, book: Sequence[str]) -> list[str]:
        """The passages of a book."""
        return passages(book, self.shortest, self.gap)


@dataclass(frozen=True)
class Writer:
    """A writer, with passages of the first half of a book, of its last quarter, and of another book's or none."""

    name: str
    parts: tuple[list[str], list[str], list[str]]


COLLECTIONS = {
    "English": Collection("ELTeC-eng"),
    "German": Collection("ELTeC-deu"),
    "French": Collection("ELTeC-fra"),
    "Spanish": Collection("ELTeC-spa"),
    "Portuguese": Collection("ELTeC-por"),
    "Italian": Collection("ELTeC-ita"),
    "Polish": Collection("ELTeC-pol"),
    "Russian": Collection("RussianNovels", russian),
    "Arabic": Collection("RAW_Hindawi", arabic),
    "Japanese": Collection("aozorabunko_text", japanese, 160, LEAST // 3, ""),
    "Hungarian, not known": Collection("ELTeC-hun"),
    "Slovenian, not known": Collection("ELTeC-slv"),
}


def writers(texts: Path, collection: Collection, most: int) -> list[Writer]:
    """As many writers (0: all) with a book that is long enough: first those with two, ordered by digests of names."""
    books: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, title, paragraphs in collection.books(texts / collection.folder):
        books[name][title] += paragraphs  # volumes are one book
    long = {
        name: [one for one in map(list, map(dict.fromkeys, own.values())) if sum(map(len, one)) >= collection.least]
        for name, own in books.items()
    }
    order = sorted(long, key=lambda name: (len(long[name]) < 2, hashlib.sha256(name.encode()).hexdigest()))
    chosen = []
    for name in [name for name in order if long[name]][: most or None]:
        first, *others = [collection.cut(book) for book in long[name][:2]]
        quarters = [spread(book[-(len(book) // 4) :], TEST) for book in (first, *others)]
        chosen.append(Writer(name, (spread(first[: len(first) // 2], TRAIN), quarters[0], [*quarters, []][1])))
    return chosen
