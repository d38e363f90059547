"""Names of others, numbers, addresses, links and secrets replaced in a corpus, before anything is learnt from it.

    scrubbed = scrub(corpus)
    scrubbed.corpus.messages[0].response       # "ask [name 1], [phone 1]"
    scrubbed.counts                            # {"names": 12, "phone numbers": 1}

One thing has one placeholder throughout. What is private is found by corpus/private_data.py, as before publishing;
names are those of the people of the conversations, with each part of them. Does not cover: names of people who are only
talked about, and what is said in words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from xpert_cli.corpus.messages import Corpus, Message
from xpert_cli.corpus.private_data import spans

_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"'“”)\]]+[^\s<>\"'“”)\].,;:!?…]", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w.@/])@[^\W\d]\w{2,29}(?:\.\w+)?\b")
_DATE = re.compile(r"\d{4}[-./]\d\d?[-./]\d\d?|\d\d?[-./]\d\d?[-./]\d{4}")
_NUMBER = re.compile(r"(?<![\w.,])\+?\d(?:[ .\-/]?\d){6,}(?![\w])")
_LABELS = {"e-mail address": "mail", "telephone number": "phone", "street address": "address", "IP address": "number"}
_NUMBERED = re.compile(r"number|IBAN|PIN|code$|CPF|PESEL", re.IGNORECASE)
_COUNTED = {
    **{"name": "names", "handle": "handles", "link": "links", "mail": "e-mail addresses", "phone": "telephone numbers"},
    **{"address": "street addresses", "number": "other numbers", "secret": "secrets"},
}
# Parts of names that are common words: replaced inside the whole name only.
_WORDS = re.compile(
    r"will|may|mark|april|june|august|grace|hope|faith|joy|rose|lily|bill|art|pat|rob|sue|jack|frank|dawn|chase|drew|gene"
    r"|jean|ray|rich|sky|summer|autumn|star|angel|christian|miles|lane|page|mason|cook|baker|smith|young|king|white|black"
    r"|green|brown|long|day|love|best|early|mom|mum|dad|mama|papa|mother|father|aunt|uncle|the|and|old|new|work|home|team"
    r"|group|chat|family|friends?|boss|doctor|dr|mrs?|ms|vo[nm]|van|de[rnls]?|las?|los|die|das|und|les|user|assistant|you|me"
    r"|unknown"
)
REMEMBERED = 5000  # texts
SMALLEST = 3  # letters of a part of a name that is looked for alone; 2 where words are not spaced


@dataclass(frozen=True)
class Scrubbed:
    """The corpus without what is private, and how often each kind was replaced."""

    corpus: Corpus
    counts: dict[str, int]

    @property
    def line(self) -> str:
        """The counts in one sentence."""
        counts = ", ".join(f"{kind} {count:,}" for kind, count in self.counts.items())
        return (
            f"replaced before training: {counts}" if counts else "nothing private was found to replace before training"
        )


def scrub(corpus: Corpus, progress: Callable[[str, float], None] = lambda message, fraction: None) -> Scrubbed:
    """A corpus with placeholders such as [name 1] in place of what is private; files are named by number.

    Raises:
        MissingExtra: what finds personal data is not installed.
    """
    scrubber = _Scrubber(_people(corpus.messages))
    messages = []
    for number, message in enumerate(corpus.messages):
        if number % 100 == 0:
            progress("replacing names and numbers", number / len(corpus))
        messages.append(scrubber.message(message))
    kinds = sorted(scrubber.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    counts = {_COUNTED[kind]: count for kind, count in kinds}
    return Scrubbed(Corpus(tuple(messages), replace(corpus.reading, authors=(), notes=())), counts)


def _people(messages: Iterable[Message]) -> dict[str, str]:
    """What to look for, in small letters, and the person it stands for; the longest first."""
    people: dict[str, str] = {}
    for name in dict.fromkeys(name for one in messages for name in one.speakers):
        parts = re.findall(r"[^\W\d_][\w'’-]*", name)
        for part in [name, " ".join(parts), *parts]:
            spaceless = re.match(r"[\u3040-\u9fff\uac00-\ud7af]", part)
            if len(part) >= (2 if spaceless else SMALLEST) and not _WORDS.fullmatch(part.lower()):
                people.setdefault(part.lower(), name)
    return dict(sorted(people.items(), key=lambda pair: -len(pair[0])))


class _Scrubber:
    """Replaces, counts, and remembers which placeholder stands for what."""

    def __init__(self, people: dict[str, str]) -> None:
        self.counts: Counter[str] = Counter()
        self._people, self._known = people, dict[tuple[str, str], int]()
        self._last: Counter[str] = Counter()
        self._files: dict[str, int] = {}
        self._done: dict[str, str] = {}
        each = "|".join(map(re.escape, people))
        ends = "(?![^\\W_\u3040-\u9fff\uac00-\ud7af])"  # a script without spaces may follow
        self._names = re.compile(f"(?<![^\\W_])@?(?:{each}){ends}|{_spaceless(people)}", re.IGNORECASE)

    def message(self, message: Message) -> Message:
        """The message with placeholders, in what it answers too, and without names of people and files."""
        return replace(
            message,
            prompt=self.text(message.prompt),
            response=self.text(message.response),
            earlier=tuple((role, self.text(text)) for role, text in message.earlier),
            source=self._source(message.source),
            speakers=(),
        )

    def text(self, text: str) -> str:
        """One text; those seen before, such as the turns of a conversation, are looked through once."""
        if text not in self._done:
            if len(self._done) > REMEMBERED:
                self._done.clear()
            self._done[text] = self._replaced(text)
        return self._done[text]

    def _replaced(self, text: str) -> str:
        links = [("link", *match.span()) for match in _LINK.finditer(text)]
        private = [(_label(kind), start, end) for kind, start, end in spans(text)]
        names = [("name", *match.span()) for match in self._names.finditer(text)] if self._people else []
        handles = [("handle", *match.span()) for match in _HANDLE.finditer(text)]
        numbers = [("number", *one.span()) for one in _NUMBER.finditer(text) if not _DATE.fullmatch(one[0])]
        pieces, at = [], 0
        for kind, start, end in _apart([*links, *private, *names, *handles, *numbers]):
            pieces += [text[at:start], self._placeholder(kind, text[start:end])]
            at = end
        return "".join([*pieces, text[at:]])

    def _placeholder(self, kind: str, text: str) -> str:
        self.counts[kind] += 1
        key = self._people.get(text.lower().lstrip("@"), text) if kind == "name" else text
        if (kind, key) not in self._known:
            self._known[kind, key] = self._last[kind] = self._last[kind] + 1
        number = self._known[kind, key]
        return f"[{kind} {number}]"

    def _source(self, source: str) -> str:
        file, mark, place = source.partition("#") if "#" in source else source.rpartition(":")
        return f"file {self._files.setdefault(file, len(self._files) + 1)}{mark}{place}"


def _spaceless(people: dict[str, str]) -> str:
    """An expression for names in scripts that do not space words, wherever they stand."""
    names = [re.escape(name) for name in people if re.match(r"[\u3040-\u9fff]", name)]
    return "|".join(names) or r"(?!)"


def _label(kind: str) -> str:
    return _LABELS.get(kind) or ("number" if _NUMBERED.search(kind) else "secret")


def _apart(candidates: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """From left to right; of those that overlap the one listed first."""
    chosen: list[tuple[str, int, int]] = []
    for kind, start, end in candidates:
        if all(end <= first or last <= start for _, first, last in chosen):
            chosen.append((kind, start, end))
    return sorted(chosen, key=lambda one: one[1])
