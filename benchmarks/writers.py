"""Real people as users and as a cache: their turns, their adapters, communities, and what is merged or trained of many.

    among = population(run)
    among.cache.average(among.all())                          # the mean of all adapters, as a file
    among.cache.community([turn.response for turn in user.train[:40]])

Not here: shapes of merges (merging.py), what starts are compared and how well they do (people.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import merging
from benchmarks.run import STYLES, TOKENS, Run
from benchmarks.store import Missing, Record, short_key
from xpert_cli import gguf
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Message
from xpert_cli.errors import BadInput
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.hub.sources import open_source
from xpert_cli.paths import digest
from xpert_cli.selection.score import direction_scores
from xpert_cli.style import described
from xpert_cli.style.measured import readings_on
from xpert_cli.style.space import Floats, Readings, Space, measured, pooled
from xpert_cli.training.loop import Recipe

USERS, CACHED = 24, 40
CACHED_TURNS, HELD_OUT = 64, 8  # of a cached person: trained on, at most, and held out
POOLED_TURNS = 160  # of everybody, or of a community, that one adapter is trained on
SIZES, TEST = (20, 40, 100), 12  # turns of a user: to select by or train on, and those that losses are measured on
LEAST_TEST = 32  # test turns that a user must have
STYLE_FIRST, STYLE_TEST = 500, 2  # a style user's first training row, and test rows
RANK, BATCH, LEAST_STEPS, RATE = 8, 4, 16, 2e-3
COMMUNITIES = 5

Turns = tuple[Message, ...]


@dataclass(frozen=True)
class Writer:
    """Somebody who is in the cache, or a user."""

    name: str
    kind: str
    train: Turns
    test: Turns


def split(counts: Mapping[str, Mapping[str, int]], users: int, cached: int) -> tuple[list[str], list[str]]:
    """Users and cached people, disjoint: users are drawn by the digest of their id, cached are the longest of the rest.

    Args:
        counts: person -> split -> turns.
    """
    enough = [who for who, has in counts.items() if has["train"] >= max(SIZES) and has["test"] >= LEAST_TEST]
    drawn = sorted(enough, key=lambda who: hashlib.sha256(f"user {who}".encode()).hexdigest())[:USERS]
    rest = sorted(set(counts) - set(drawn), key=lambda who: (-counts[who]["train"], who))
    return drawn[:users], rest[:cached]


def turns(run: Run, who: str, part: str) -> Turns:
    """A person's turns of one split, in an order drawn once."""
    lines = (_folder(run) / who / f"{part}.jsonl").read_text("utf-8").splitlines()
    messages = [Message(str(row["prompt"]), str(row["response"]), "") for row in map(json.loads, lines)]
    random.Random(f"{who} {part}").shuffle(messages)
    return tuple(messages)


def _folder(run: Run) -> Path:
    if run.options.people is None:
        raise BadInput("this benchmark reads people's turns. Name their folder with --people.")
    return run.options.people


def recipe(turns: int) -> Recipe:
    """One pass, at least LEAST_STEPS steps; of the first and the last factors those with the lower held-out loss."""
    steps = max(LEAST_STEPS, -(-turns // BATCH))
    return Recipe(steps=steps, rank=RANK, learning_rate=RATE, batch=BATCH, evaluate_every=steps)


def trained(run: Run, name: str, messages: Sequence[Message], held_out: Sequence[Message]) -> Path:
    """The adapter of some turns, trained from the base; stored by its name.

    Raises:
        Missing: it is not there, and nothing is to be measured.
    """
    path = run.store.file(f"adapters/{name}.gguf")
    made_of = {
        "base": run.fingerprint,
        "tokens": TOKENS,
        "recipe": recipe(len(messages)).to_json(),
        "texts": short_key([[one.prompt, one.response] for one in (*messages, *held_out)]),
    }

    def measure() -> Record:
        return {**run.adapter(path, messages, held_out, recipe(len(messages))), "turns": len(messages)}

    run.store.record(f"adapters/{name}", made_of, measure)
    return path


@dataclass(frozen=True, eq=False)
class Cache:
    """Cached people and the styles' adapters, in one space, and what is made of them.

    Attributes:
        people: cached people, whose adapters this benchmark trains.
    """

    run: Run
    people: list[Writer]

    @cached_property
    def files(self) -> list[Path]:
        """The adapters: people's, then the packaged ones of the styles."""
        own = [trained(self.run, one.name, one.train, one.test) for one in self.people]
        packaged = open_cache(open_source("embedded"))
        return [*own, *(packaged.fetch(name) for name in STYLES.values())]

    @cached_property
    def adapters(self) -> list[Adapter]:
        """All of them, read."""
        return [gguf.read_adapter(path) for path in self.files]

    @cached_property
    def _placed(self) -> tuple[Space, Floats]:
        """Measured axes in the metric of the cached people's turns, and (adapters, axes) shifts from the base."""
        packaged = open_cache(open_source("embedded"))
        whole = packaged.space.only(measured(packaged.space.axes) & described.understood(packaged.space.axes))
        names = [axis.name for axis in whole.axes]
        readings = [Readings(readings_on(names, [turn.response for turn in one.train])) for one in self.people]
        spread, precision = pooled([one.scatter for one in readings])
        space = dataclasses.replace(whole, spread=spread, precision=precision)
        keep = [[axis.name for axis in packaged.space.axes].index(name) for name in names]
        styles = packaged.training_coordinates[:, keep] * whole.spread + whole.reference + whole.gap
        ids = [entry.id for entry in packaged.entries]
        rows = [space.shift(styles[ids.index(name)], writing=True) for name in STYLES.values()]
        return space, np.array([*(space.position(one) for one in readings), *rows])

    @property
    def space(self) -> Space:
        """Measured axes, in the metric of the cached people's turns."""
        return self._placed[0]

    def scores(self, texts: Sequence[str]) -> Floats:
        """(adapters,) similarity of each cached writer to somebody's texts."""
        space, shifts = self._placed
        return direction_scores(self.shift(texts), shifts, space.precision)

    def shift(self, texts: Sequence[str]) -> Floats:
        """(axes,) of somebody's texts."""
        return self.space.position(Readings(readings_on([axis.name for axis in self.space.axes], texts)))

    @cached_property
    def communities(self) -> tuple[Floats, npt.NDArray[np.int64]]:
        """(communities, axes) whitened centres, and (adapters,) the community of each cached writer."""
        space, shifts = self._placed
        return clusters(shifts @ np.linalg.cholesky(space.precision), COMMUNITIES)

    def community(self, texts: Sequence[str]) -> list[int]:
        """The cached writers of the community nearest to somebody's texts."""
        centres, members = self.communities
        own = self.shift(texts) @ np.linalg.cholesky(self.space.precision)
        return [int(one) for one in np.flatnonzero(members == np.linalg.norm(centres - own, axis=1).argmin())]

    def stored(self, name: str, parts: Sequence[int], make: Callable[[], Adapter], *made_of: object) -> Path:
        """An adapter made of some of the cache's, stored by what it was made of."""
        key = short_key([name, [digest(self.files[part]) for part in parts], *made_of])
        path = self.run.store.file(f"merges/{name}-{key}.gguf")
        if not path.exists():
            if self.run.options.stored:
                raise Missing(path.name)
            self.run.write_adapter(make(), path)
        return path

    def average(
        self, parts: Sequence[int], weights: Sequence[float] = (), scale: float = 1.0, rank: int = RANK
    ) -> Path:
        """The adapters' mean."""
        if len(parts) == 1 and scale == 1.0:
            return self.files[parts[0]]
        shares = [round(weight, 6) for weight in weights]
        some = [self.adapters[part] for part in parts]
        make = partial(merging.average, some, rank, shares, scale)
        return self.stored("average", parts, make, shares, scale, rank)

    def pooled(self, parts: Sequence[int]) -> Path:
        """One adapter trained on turns of some cached people, as many of each; styles' texts are left out."""
        people = [self.people[part] for part in parts if part < len(self.people)]
        if not people:
            raise Missing("a community with people")
        each = -(-POOLED_TURNS // len(people))
        messages = [turn for one in people for turn in one.train[:each]][:POOLED_TURNS]
        held_out = [turn for one in people for turn in turns(self.run, one.name, "tune")[:1]][:HELD_OUT]
        name = "pooled-" + short_key([one.name for one in people])
        return trained(self.run, name, messages, held_out)


def clusters(points: Floats, count: int, seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    """k-means (Lloyd 1982): (count, axes) centres, and the centre each point is nearest to; the best of ten draws."""
    best: tuple[float, Floats, npt.NDArray[np.int64]] | None = None
    for turn in range(10):
        draw = np.random.default_rng([seed, turn])
        centres = points[draw.choice(len(points), count, replace=False)]
        for _ in range(50):
            distances = np.linalg.norm(points[:, None] - centres[None], axis=-1)
            members = distances.argmin(axis=1)
            own = [points[members == one] for one in range(count)]
            centres = np.array([some.mean(axis=0) if len(some) else centres[at] for at, some in enumerate(own)])
        error = float((distances.min(axis=1) ** 2).sum())
        if best is None or error < best[0]:
            best = error, centres, members
    assert best
    return best[1], best[2]


@dataclass(frozen=True, eq=False)
class Population:
    """The cache, and the users of both kinds."""

    cache: Cache
    users: list[Writer]

    def all(self) -> range:
        """Everybody in the cache."""
        return range(len(self.cache.files))

    def everybody(self) -> range:
        """The cached people."""
        return range(len(self.cache.people))


def population(run: Run) -> Population:
    """Who is in the cache, and who are the users."""
    counts = json.loads((_folder(run) / "people.json").read_text("utf-8"))
    users, cached = split(counts, run.options.users or USERS, run.options.cached or CACHED)
    people = []
    for who in cached:
        all_turns, tune = turns(run, who, "train"), turns(run, who, "tune")
        held_out = (tune or all_turns[CACHED_TURNS:] or all_turns)[:HELD_OUT]
        people.append(Writer(who, "person", all_turns[:CACHED_TURNS], held_out))
    own = [Writer(who, "person", turns(run, who, "train"), turns(run, who, "test")[:TEST]) for who in users]
    styles = [
        Writer(name, "style", run.rows(f"{style}_train")[STYLE_FIRST:], run.rows(f"{style}_test")[:STYLE_TEST])
        for style, name in STYLES.items()
    ]
    return Population(Cache(run, people), [*own, *styles])
