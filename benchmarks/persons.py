"""Is the right one of many real people found from 20 or 5 turns, and do explanations tell people apart?

    python -m benchmarks persons --people DIR [--only right,turns,families,habits,comparison,tune,explained,three]

DIR is what a tool wrote of a public chat corpus: PERSON/{train,tune,test}.jsonl of turns, split by conversation. A
person's train turns stand for the adapter that would be trained on them; users are drawn from the same people's test
turns, for the part `tune` from their tune turns. No adapter is trained: what adapters answer is not known, and shifts
are counted from the base's own answers, with no gap between people's texts and answers. Reads --people. Not here:
whether a near start helps (people.py).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
import numpy.typing as npt

from benchmarks.figures import percent_text
from benchmarks.report import table
from benchmarks.run import Run
from benchmarks.statements import SHOWN, Statements, nearest, shared, strongest_of
from benchmarks.writers import turns
from xpert_cli.cache.build import build_space
from xpert_cli.cache.catalogue import base_answers
from xpert_cli.hub.sources import open_source
from xpert_cli.style import described
from xpert_cli.style.axes import TABLE
from xpert_cli.style.chat import CHAT
from xpert_cli.style.measured import ENGLISH, measure_all
from xpert_cli.style.space import Floats, Readings, Space

LEAST, MOST = 20, {"train": 150, "tune": 60, "test": 60}  # turns of a person in a split
COUNTS, CACHES = (20, 5), (8, 50, 0)  # turns of a user, and people in a cache; 0 is for all
DRAWS = 3  # users drawn of one person
TURNS = (20, 40, 80, 150)  # train turns of a person, at least, for a line of their own
READ, READ_TURNS = 3, 30  # people whose turns a person read, and how many of each

Keep = npt.NDArray[np.bool_]
Score = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, eq=False)
class Cached:
    """People in a space: where their train turns lie, and the readings that users are drawn from."""

    space: Space
    places: Floats
    pools: tuple[Floats, ...]

    @cached_property
    def root(self) -> Floats:
        """(axes, axes) to coordinates in which the metric is the identity: rows times this."""
        return np.asarray(np.linalg.cholesky(self.space.precision))

    @cached_property
    def whitened(self) -> Floats:
        """(people, axes) the places in these coordinates."""
        return np.asarray(self.places @ self.root)

    def user(self, person: int, count: int, draw: int) -> Floats:
        """(axes,) where `count` turns of a person lie."""
        pool = self.pools[person]
        rows = np.random.default_rng([person, count, draw]).permutation(len(pool))[:count]
        return self.space.position(Readings(pool[rows]))

    def others(self, person: int, size: int, draw: int) -> list[int]:
        """The person, and others up to `size` people."""
        order = np.random.default_rng([person, size, draw, 1]).permutation(len(self.pools))
        return [person, *[int(one) for one in order if one != person][: size - 1]]


def readings(run: Run, who: str, part: str) -> Floats:
    """(turns, axes) readings of a person's turns of one split."""
    return measure_all(turn.response for turn in turns(run, who, part)[: MOST[part]])


@lru_cache(maxsize=4)
def texts_of(run: Run, split: str) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Readings of train turns, and of those of a split, of all people who have enough of both."""
    names = people_of(run, split)
    return tuple(readings(run, who, "train") for who in names), tuple(readings(run, who, split) for who in names)


@lru_cache(maxsize=4)
def people_of(run: Run, split: str) -> tuple[str, ...]:
    """All people who have enough train turns, and enough of a split."""
    names = sorted(path.name for path in (run.options.people or run.store.folder).iterdir() if path.is_dir())
    return tuple(who for who in names if min(len(turns(run, who, part)) for part in ("train", split)) >= LEAST)


def cached(run: Run, split: str, keep: Keep | None = None) -> Cached:
    """People as a cache, on some of the axes."""
    return placed(*texts_of(run, split), keep)


def placed(trained: Sequence[Floats], pools: Sequence[Floats], keep: Keep | None = None) -> Cached:
    """People as a cache, from (turns, axes) readings of their train turns and of those that users are drawn from."""
    axes = described.measured_axes()
    wanted_axes = np.ones(len(axes), np.bool_) if keep is None else keep
    chosen = [axis for axis, wanted in zip(axes, wanted_axes, strict=True) if wanted]
    answers = measure_all([answer for _, answer in base_answers(open_source("embedded"))])[:, wanted_axes]
    own, base = [Readings(one[:, wanted_axes]) for one in trained], Readings(answers)
    scatters, nothing = [one.scatter for one in own], np.empty((0, 0), np.float32)
    space, _ = build_space(chosen, nothing, [base, base], [base.mean], scatters)
    places = np.array([space.position(one) for one in own])
    return Cached(space, places, tuple(pool if keep is None else pool[:, keep] for pool in pools))


def from_base(user: Floats, places: Floats) -> Floats:
    """(people,) cosines of a user's and people's shifts, in coordinates in which the metric is the identity."""
    lengths = np.linalg.norm(places, axis=1) * np.linalg.norm(user)
    return np.where(lengths > 0, places @ user / np.where(lengths > 0, lengths, 1.0), 0.0)


def about_mean(user: Floats, places: Floats) -> Floats:
    """The same, counted from the mean of the people."""
    mean = places.mean(axis=0)
    return from_base(user - mean, places - mean)


def both(user: Floats, places: Floats) -> Floats:
    """The mean of both: `selection.score.scores`, without going through the metric for every user."""
    return (from_base(user, places) + about_mean(user, places)) / 2


def firsts(
    people: Cached, score: Score, size: int, count: int, draws: int = DRAWS, who: Sequence[int] | None = None
) -> list[float]:
    """Per person, how often they are first among `size` people (0: all) for `count` texts of theirs, in per cent."""
    percent = []
    for person in range(len(people.places)) if who is None else who:
        right = []
        for draw in range(draws):
            them = people.others(person, size or len(people.places), draw)
            likeness = score(people.user(person, count, draw) @ people.root, people.whitened[them])
            right.append(int(np.argmax(likeness)) == 0)
        percent.append(100 * float(np.mean(right)))
    return percent


def shares(people: Cached, score: Score) -> tuple[str, ...]:
    """For each size of cache and number of turns: users whose own person is first, with an interval over people."""
    return tuple(percent_text(firsts(people, score, size, count)) for size in CACHES for count in COUNTS)


def _head(run: Run, split: str, first: str) -> tuple[str, ...]:
    most = len(texts_of(run, split)[0])
    return (first, *(f"{size or most} people, {count} turns" for size in CACHES for count in COUNTS))


def right(run: Run, split: str = "test") -> str:
    """On the turns of a split, as `xpert select` scores; constants may be set on tune turns."""
    return table(_head(run, split, ""), [("all axes", *shares(cached(run, split), both))])


def by_turns(run: Run) -> str:
    """The same for people of whom the cache has little text, and much."""
    counts, people, rows = [len(one) for one in texts_of(run, "test")[0]], cached(run, "test"), []
    for least, below in itertools.pairwise((*TURNS, MOST["train"] + 1)):
        who = [person for person, count in enumerate(counts) if least <= count < below]
        cells = [firsts(people, both, size, count, DRAWS, who) for size in CACHES for count in COUNTS]
        name = f"{least} to {below - 1}" if below <= MOST["train"] else f"{least}"
        rows.append((name, len(who), *map(percent_text, cells)))
    return table((*_head(run, "test", "train turns")[:1], "people", *_head(run, "test", "")[1:]), rows)


def families() -> Mapping[str, Keep]:
    """Which axes belong to which family."""
    axes, chats = described.measured_axes(), {axis.name for axis, _ in CHAT}
    chat = np.array([axis.name in chats for axis in axes])
    wording = np.array([not axis.named for axis in axes])
    return {"prose": ~chat & ~wording, "chats": chat, "wording": wording}


# Kinds of habits, by the names of axes of chats.
HABITS = {
    "capitals": ("small letters at the start", "capital letters", "small i", "shouting"),
    "ends of lines": (
        *("bare line ends", "full stops at line ends", "exclamations at line ends", "questions at line ends"),
        *("runs of marks", "ellipses", "two dots"),
    ),
    "laughter and faces": (
        *("haha", "lol", "other laughter", "emoticons", "emoji at line ends", "kaomoji", "stretched words"),
    ),
    "short forms": (
        *("abbreviations", "reduced words", "apostrophes left out", "curly apostrophes", "numerals", "digits"),
        *("and as a sign", "corrections with *", "yeah", "ok"),
    ),
    "spaces and lines": (
        *("one word", "words a line", "letters a word", "two spaces", "no space", "space before marks"),
    ),
    "words of chats": (
        *("greetings", "farewells", "tag questions", "fillers", "swearing", "conjunctions", "thanks"),
        *("just and really", "question words"),
    ),
}


def habits() -> Mapping[str, Keep]:
    """Which axes belong to which kind of habit; all axes of prose and of chats are of one."""
    names, marks = [axis.name for axis in described.measured_axes()], {axis.name for axis, _ in TABLE} - ENGLISH
    prose = families()["prose"]
    words = prose & [name in ENGLISH for name in names]
    made = {"words and grammar of prose": words, "marks and form of prose": prose & [name in marks for name in names]}
    return made | {name: np.array([one in some for one in names]) for name, some in HABITS.items()}


def by_family(run: Run) -> str:
    """Each family of axes alone, and all others without it."""
    return _by(run, families())


def by_habit(run: Run) -> str:
    """Each kind of habit alone, and all others without it."""
    return _by(run, habits())


def _by(run: Run, parts: Mapping[str, Keep]) -> str:
    rows = []
    for name, keep in parts.items():
        rows.append((f"{name} alone", *shares(cached(run, "test", keep), both)))
        rows.append((f"without {name}", *shares(cached(run, "test", ~keep), both)))
    return table(_head(run, "test", "axes"), rows)


def comparison(run: Run) -> str:
    """Cosines from the base, about the cache's mean, and the mean of both, which the product uses."""
    ways: Mapping[str, Score] = {"from the base": from_base, "about the mean": about_mean, "both, as used": both}
    people = cached(run, "test")
    return table(_head(run, "test", "compared"), [(name, *shares(people, way)) for name, way in ways.items()])


def blind(people: Cached, explanations: list[Statements], mean: Floats) -> list[float]:
    """Per person, how often their explanation of 8 is nearest to 20 turns of theirs, in per cent."""
    percent = []
    for person in range(len(explanations)):
        drawn = [
            (people.others(person, CACHES[0], draw), people.user(person, COUNTS[0], draw)) for draw in range(DRAWS)
        ]
        hits = [nearest([explanations[one] for one in them], user - mean) == 0 for them, user in drawn]
        percent.append(100 * float(np.mean(hits)))
    return percent


def explained(run: Run) -> str:
    """Explanations from the base and about the cache's mean: statements that two people share, and the blind test."""
    people, rows = cached(run, "test"), []
    for name, mean in (("from the base", 0 * people.places[0]), ("about the mean", people.places.mean(axis=0))):
        explanations = [strongest_of(people.space, place - mean) for place in people.places]
        rows.append((name, f"{shared(explanations):.2f}", percent_text(blind(people, explanations, mean))))
    return table(("explained", f"of {SHOWN} statements, two people share", "right explanation of 8, 20 turns, %"), rows)


def three(run: Run) -> str:
    """What xpert says of READ people from READ_TURNS of their test turns, for a person who reads the same turns."""
    people = cached(run, "test")
    mean, rows = people.places.mean(axis=0), []
    enough = [who for who in people_of(run, "test") if len(turns(run, who, "train")) >= 60]
    enough = [who for who in enough if len(turns(run, who, "test")) >= READ_TURNS]
    for number, who in enumerate(sorted(enough, key=lambda who: _digest(f"read {who}"))[:READ], 1):
        texts = sorted((turn.response for turn in turns(run, who, "test")), key=_digest)[:READ_TURNS]
        shift = people.space.position(Readings(measure_all(texts)))
        rows.append((number, _words(people.space, shift), _words(people.space, shift - mean)))
    return table(("person", "compared with the base's answers", "compared with the mean of the people"), rows)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _words(space: Space, shift: Floats) -> str:
    strongest = described.strongest(space, shift, SHOWN)
    return "; ".join(f"{space.axes[axis].words(shift[axis])} ({shift[axis]:+.1f})" for axis in strongest)


PARTS = {
    "right": right,
    "turns": by_turns,
    "families": by_family,
    "habits": by_habit,
    "comparison": comparison,
    "tune": partial(right, split="tune"),
    "explained": explained,
    "three": three,
}
