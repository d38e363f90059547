"""Does a start from other people help a person who is not in the cache, and which start helps most?

    python -m benchmarks people --people DIR --styles DIR --threads 1 [--only start] [--cached 40] [--users 24]

DIR is what a tool wrote of a public chat corpus: PERSON/{train,tune,test}.jsonl of turns, split by conversation. Cached
people and users are disjoint. The eight styles of the packaged cache are a second kind of writer in the same cache, and
have users of their own. Every adapter and every loss is stored, so that a stopped run goes on; --stored shows what is
there. Reads --people, --styles, --cached, --users, --seeds, --threads. Not here: who is in the cache (writers.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks import merging
from benchmarks.figures import paired
from benchmarks.report import table
from benchmarks.run import Run, say
from benchmarks.store import Missing, Record, short_key
from benchmarks.writers import BATCH, RANK, RATE, SIZES, Population, Writer, population
from xpert_cli import gguf
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.hub.sources import open_source
from xpert_cli.paths import digest
from xpert_cli.training.loop import Progress, Recipe, evaluate, train

MIDDLE = 40  # turns of a user that starts are chosen by, unless a table says otherwise
SHARPNESS = 4.0  # of weights by similarity: exp(SHARPNESS * score)

Start = Callable[[Population, Writer, int], Path | None]  # what a user of so many turns begins with; None is the base


def _texts(user: Writer, size: int) -> list[str]:
    return [turn.response for turn in user.train[:size]]


def _ranked(among: Population, user: Writer, size: int) -> list[int]:
    return [int(one) for one in np.argsort(-among.cache.scores(_texts(user, size)), kind="stable")]


def _random(seed: int, among: Population, user: Writer, size: int) -> Path:
    return among.cache.files[random.Random(f"{user.name} {seed}").randrange(len(among.cache.files))]


def _noise(seed: int, among: Population, user: Writer, size: int) -> Path:
    like = _ranked(among, user, size)[0]
    return among.cache.stored("noise", [like], lambda: merging.noise(among.cache.adapters[like], seed), seed)


def _weighted(among: Population, user: Writer, size: int) -> Path:
    weights = np.exp(SHARPNESS * among.cache.scores(_texts(user, size)))
    return among.cache.average(among.all(), list(map(float, weights / weights.sum())))


def _packaged(among: Population, user: Writer, size: int) -> Path:
    return open_cache(open_source("embedded")).fetch("chat")


STARTS: dict[str, Start] = {
    "base": lambda among, user, size: None,
    "average of people": lambda among, user, size: among.cache.average(among.everybody()),
    "nearest": lambda among, user, size: among.cache.files[_ranked(among, user, size)[0]],
    "random": partial(_random, 0),
    "community, average": lambda among, user, size: among.cache.average(among.cache.community(_texts(user, size))),
    "everybody, pooled text": lambda among, user, size: among.cache.pooled(among.everybody()),
    "average of all": lambda among, user, size: among.cache.average(among.all()),
    "weighted by similarity": _weighted,
    "average of the nearest 5": lambda among, user, size: among.cache.average(sorted(_ranked(among, user, size)[:5])),
    "least similar": lambda among, user, size: among.cache.files[_ranked(among, user, size)[-1]],
    "noise as large as the nearest": partial(_noise, 0),
    "community, pooled text": lambda among, user, size: among.cache.pooled(among.cache.community(_texts(user, size))),
    "packaged community": _packaged,
}


def loss(run: Run, user: Writer, start: Path | None, steps: int = 0, size: int = 0, seed: int = 0) -> float:
    """Nats a token on a user's test turns, from a start, after so many steps on the first turns.

    Raises:
        Missing: it is not stored, and nothing is to be measured.
    """
    key = digest(start) if start else "base"
    made_of = {
        "base": run.fingerprint,
        "start": key,
        "steps": steps,
        "size": size,
        "seed": seed,
        "rate": RATE,
        "texts": short_key([[one.prompt, one.response] for one in (*user.train[:size], *user.test)]),
    }

    def measure() -> Record:
        test, begin = run.samples(user.test), gguf.read_adapter(start) if start else None
        if not steps:
            run.decoder.begin(begin, RANK, 2.0, 0)
            return {"loss": evaluate(run.decoder, test)}
        ends: list[float] = []

        def last(at: Progress) -> None:
            if at.step == steps:
                ends.append(evaluate(run.decoder, test))

        own = run.samples(user.train[:size])
        plan = Recipe(steps=steps, rank=RANK, learning_rate=RATE, batch=BATCH, evaluate_every=steps, seed=seed)
        train(run.decoder, own, own[:1], plan, start=begin, progress=last)
        return {"loss": ends[-1]}

    name = f"losses/{user.name}-{short_key(made_of)}"
    return float(run.store.record(name, made_of, measure)["loss"])


Measure = Callable[[Writer, Start], float]


def compared(among: Population, starts: Mapping[str, Start], measure: Measure, against: Sequence[str]) -> str:
    """A line for each start and kind of user: mean loss, and paired differences to some starts with intervals.

    A start that is not stored for a user, with --stored, leaves that user out of its line; "" where nothing is there.
    """
    measured: dict[str, dict[str, float]] = {name: {} for name in starts}
    for number, user in enumerate(among.users):  # user by user, so that what a stopped run leaves is paired
        for name, start in starts.items():
            try:
                measured[name][user.name] = measure(user, start)
            except Missing:
                continue
        say(f"{number + 1} of {len(among.users)} users")
    rows = []
    for kind in ("person", "style"):
        names = [user.name for user in among.users if user.kind == kind]
        for name, losses in measured.items():
            if not (some := [losses[user] for user in names if user in losses]):
                continue
            cells: list[str] = []
            for other in against:
                both = [user for user in names if user in losses and user in measured[other]]
                pair = [losses[user] for user in both], [measured[other][user] for user in both]
                better = sum(own < their for own, their in zip(*pair, strict=True))
                cells.append("" if name == other or not both else f"{paired(*pair)}; {better} of {len(both)} better")
            rows.append((kind, name, len(some), f"{mean(some):.3f}", *cells))
    head = ("users", "start", "count", "nats a token", *(f"less {other}" for other in against))
    return table(head, rows) if rows else ""


def _untrained(run: Run, among: Population, size: int) -> Measure:
    return lambda user, start: loss(run, user, start(among, user, size))


def step_0(run: Run) -> str:
    """Losses before any training; starts are chosen by MIDDLE turns."""
    among = population(run)
    return compared(among, STARTS, _untrained(run, among, MIDDLE), ("base", "average of people"))


def by_size(run: Run) -> str:
    """Losses before any training of starts that are chosen by more or fewer turns."""
    among, parts = population(run), []
    chosen = {
        name: STARTS[name] for name in ("average of all", "nearest", "community, average", "weighted by similarity")
    }
    for size in SIZES:
        lines = compared(among, chosen, _untrained(run, among, size), ("average of all",))
        parts.append(f"Chosen by {size} turns:\n\n{lines}" if lines else "")
    return "\n\n".join(filter(None, parts))


def after(run: Run) -> str:
    """Losses after one pass over a user's turns, from each start, over all seeds."""
    among, parts = population(run), []
    names = ("base", "average of people", "nearest", "everybody, pooled text", "packaged community")
    chosen = {name: STARTS[name] for name in names}
    for size in (MIDDLE, *(one for one in SIZES if one != MIDDLE)):

        def measure(user: Writer, start: Start, size: int = size) -> float:
            begin, steps = start(among, user, size), -(-size // BATCH)
            return mean(loss(run, user, begin, steps, size, seed) for seed in run.options.seeds)

        lines = compared(among, chosen, measure, ("base", "average of people"))
        parts.append(f"{size} turns:\n\n{lines}" if lines else "")
    return "\n\n".join(filter(None, parts))


PARTS = {"start": step_0, "after": after, "size": by_size}
