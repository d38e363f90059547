"""Are the silence that ends a session, the turns before a question, and the joining of fragments well chosen?

    python -m benchmarks sessions --people DIR [--only silences,earlier,joined]

Turns are those of benchmarks persons (--people), with their times. What was said before helps if the base model
predicts a turn better with it: nats a scored token, paired over turns. Reads --people.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks import persons, writers
from benchmarks.figures import estimate, paired
from benchmarks.report import table
from benchmarks.run import TOKENS, Run
from benchmarks.store import Record, short_key
from xpert_cli.corpus import Corpus, Message
from xpert_cli.corpus.times import moment
from xpert_cli.llama.model import Model
from xpert_cli.llama.samples import tokenized
from xpert_cli.style.measured import measure_all, words
from xpert_cli.style.space import Floats, Readings

SPLITS = ("tune", "test")
TURNS = 48  # of a split and a kind that losses are measured on
COUNTS = (0, 2, 8)  # turns before the question
FRAGMENT = 3  # words under which a turn is a fragment
SILENCES = {"under 1 minute": 60.0, "1 to 10 minutes": 600.0, "10 minutes to 1 hour": 3600.0, "1 to 8 hours": 28800.0}
LONGER = "over 8 hours"


@dataclass(frozen=True)
class Turn:
    """A person's turn: what it answers, where it stands in which conversation, and when it was sent."""

    who: str
    prompt: str
    response: str
    conversation: str
    number: int
    time: float


@lru_cache(maxsize=4)
def turns(run: Run, split: str) -> Mapping[tuple[str, int], Turn]:
    """The turns of all people, by conversation and number."""
    known: dict[tuple[str, int], Turn] = {}
    for file in sorted((run.options.people or run.store.folder).glob(f"*/{split}.jsonl")):
        for row in map(json.loads, file.read_text("utf-8").splitlines()):
            turn = Turn(
                *(file.parent.name, str(row["prompt"]), str(row["response"]), str(row["conversation"])),
                *(int(row["turn"]), moment(row["time"]) or 0.0),
            )
            known[turn.conversation, turn.number] = turn
    return known


def _silence(seconds: float) -> str:
    return next((name for name, most in SILENCES.items() if seconds < most), LONGER)


def by_silence(run: Run, split: str) -> Mapping[str, list[Turn]]:
    """Turns by the silence between what they answer and them, where both people are known."""
    known, kinds = turns(run, split), defaultdict[str, list[Turn]](list)
    for turn in known.values():
        if before := known.get((turn.conversation, turn.number - 1)):
            kinds[_silence(turn.time - before.time)].append(turn)
    return kinds


def message(run: Run, split: str, turn: Turn, count: int) -> Message:
    """A turn with its question and at most `count` turns before it."""
    known, earlier = turns(run, split), list[tuple[str, str]]()
    number = turn.number - 2
    while len(earlier) + 2 <= count and (own := known.get((turn.conversation, number))) and own.who == turn.who:
        if not own.prompt:
            break
        earlier = [("user", own.prompt), ("assistant", own.response), *earlier]
        number -= 2
    return Message(turn.prompt, turn.response, "", earlier=tuple(earlier))


def _drawn(some: Sequence[Turn]) -> list[Turn]:
    """TURNS of them that answer something, by their digest."""
    usable = [turn for turn in some if turn.prompt and turn.response]
    return sorted(usable, key=lambda turn: hashlib.sha256(f"{turn.conversation} {turn.number}".encode()).digest())[
        :TURNS
    ]


def losses(run: Run, messages: Sequence[Message], name: str) -> list[float]:
    """Nats a token of each message under the base model."""

    def measure() -> Record:
        with Model(run.base, context=TOKENS, outputs=64, lean=True) as model:
            samples = [tokenized(model, Corpus((one,)), TOKENS)[0] for one in messages]
            nats = [model.nats(sample) for sample in samples]
            return {"losses": [total / max(1, count) for total, count in nats]}

    made_of = {"base": run.fingerprint, "texts": short_key([[one.key() for one in messages], TOKENS])}
    return [float(one) for one in run.store.record(name, made_of, measure)["losses"]]


def silences(run: Run) -> str:
    """How long people are silent before they answer."""
    rows = []
    for split in SPLITS:
        kinds = by_silence(run, split)
        rows.append((split, *(len(kinds[name]) for name in (*SILENCES, LONGER))))
    return table(("turns", *SILENCES, LONGER), rows)


def earlier(run: Run) -> str:
    """What the question, and turns before it, take off the loss."""
    rows = []
    for split in SPLITS:
        drawn = _drawn([one for some in by_silence(run, split).values() for one in some])
        without = losses(run, [Message("", one.response, "") for one in drawn], f"{split}-nothing")
        with_question = losses(run, [message(run, split, one, 0) for one in drawn], f"{split}-0")
        cells = [str(paired(with_question, without))]
        for count in COUNTS[1:]:
            more = losses(run, [message(run, split, one, count) for one in drawn], f"{split}-{count}")
            cells.append(str(paired(more, with_question)))
        rows.append((split, len(drawn), f"{estimate(without).middle:.3f}", *cells))
    head = ("turns", "count", "loss without a question", "the question")
    return table((*head, *(f"and {count} turns before" for count in COUNTS[1:])), rows)


def _is_fragment(text: str) -> bool:
    return len(words(text)) < FRAGMENT


@dataclass(frozen=True, eq=False)
class Parted(persons.Cached):
    """People whose turns are read in parts.

    Attributes:
        parts: of every person's every turn, (texts, axes) readings; a turn may have several, or none.
    """

    parts: tuple[tuple[Floats, ...], ...]

    def user(self, person: int, count: int, draw: int) -> Floats:
        """(axes,) where the parts of `count` turns of a person lie."""
        own = self.parts[person]
        rows = np.random.default_rng([person, count, draw]).permutation(len(own))[:count]
        return self.space.position(Readings(np.concatenate([own[row] for row in rows])))


Way = Callable[[str], list[str]]
WAYS: Mapping[str, Way] = {
    "turns, their lines joined": lambda text: [text],
    "lines one by one": lambda text: [line for line in text.split("\n") if line.strip()],
    "without turns of one or two words": lambda text: [] if _is_fragment(text) else [text],
}


def _parted(run: Run, who: str, split: str, way: Way) -> tuple[Floats, ...]:
    own = writers.turns(run, who, split)[: persons.MOST[split]]
    return tuple(measure_all(way(turn.response)) for turn in own)


def joined(run: Run) -> str:
    """The right person by turns as they are, by their lines one by one, and without fragments."""
    rows = []
    for split in SPLITS:
        names = persons.people_of(run, split)
        for name, way in WAYS.items():
            parts = tuple(_parted(run, who, split, way) for who in names)
            own = tuple(np.concatenate(_parted(run, who, "train", way)) for who in names)
            plain = persons.placed(own, tuple(np.zeros((len(some), 1)) for some in parts))
            parted = Parted(plain.space, plain.places, plain.pools, parts)
            rows.append((split, name, *persons.shares(parted, persons.both)))
    sizes = [f"{size or 'all'} people, {count} turns" for size in persons.CACHES for count in persons.COUNTS]
    return table(("turns", "read as", *sizes), rows)


PARTS = {"silences": silences, "earlier": earlier, "joined": joined}
