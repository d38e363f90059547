"""Does a start from other people help a person who is not in the cache? Which start helps most?

    python -m benchmarks people --people DIR --styles DIR --threads 1

DIR is what a tool wrote of a public chat corpus: PERSON/{train,tune,test}.jsonl of turns, split by conversation. Cached
people and users are disjoint. The eight styles of the packaged cache are a second population of the same cache, so that
the kind of a writer matters. Every adapter and every loss is stored, so that a stopped run goes on. Reads --people,
--styles, --users (of the 24), --out, --threads.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.run import TOKENS, Run, say
from benchmarks.store import Record, short_key
from xpert_cli import gguf
from xpert_cli.corpus import Message
from xpert_cli.errors import BadInput
from xpert_cli.gguf.adapter import FINGERPRINT
from xpert_cli.paths import digest
from xpert_cli.training.loop import Recipe, train

USERS, CACHED = 24, 40
CACHED_TURNS, HELD_OUT = 64, 8  # of a cached person: trained on, at most, and held out
SIZES, TEST = (20, 40, 100), 32  # turns of a user: to select by or train on, and those that losses are measured on
RANK, BATCH, LEAST_STEPS, RATE = 8, 4, 16, 2e-3

Turns = tuple[Message, ...]


def split(counts: Mapping[str, Mapping[str, int]], users: int, cached: int) -> tuple[list[str], list[str]]:
    """Users and cached people, disjoint: users are drawn by the digest of their id, cached are the longest of the rest.

    Args:
        counts: person -> split -> turns.
    """
    enough = [who for who, has in counts.items() if has["train"] >= max(SIZES) and has["test"] >= TEST]
    drawn = sorted(enough, key=lambda who: hashlib.sha256(f"user {who}".encode()).hexdigest())[:users]
    rest = sorted(set(counts) - set(drawn), key=lambda who: (-counts[who]["train"], who))
    return drawn, rest[:cached]


def turns(run: Run, who: str, part: str) -> Turns:
    """A person's turns of one split, in an order drawn once."""
    if run.options.people is None:
        raise BadInput("this benchmark reads people's turns. Name their folder with --people.")
    lines = (run.options.people / who / f"{part}.jsonl").read_text("utf-8").splitlines()
    messages = [Message(str(row["prompt"]), str(row["response"]), "") for row in map(json.loads, lines)]
    random.Random(f"{who} {part}").shuffle(messages)
    return tuple(messages)


def recipe(turns: int) -> Recipe:
    """One pass, at least LEAST_STEPS steps; of the first and the last factors those with the lower held-out loss."""
    steps = max(LEAST_STEPS, -(-turns // BATCH))
    return Recipe(steps=steps, rank=RANK, learning_rate=RATE, batch=BATCH, evaluate_every=steps)


def trained(run: Run, name: str, messages: Sequence[Message], held_out: Sequence[Message]) -> Path:
    """The adapter of some turns, trained from the base; stored by its name."""
    path = run.store.file(f"adapters/{name}.gguf")
    made_of = {
        "base": run.fingerprint,
        "tokens": TOKENS,
        "recipe": dataclasses.asdict(recipe(len(messages))),
        "texts": short_key([[one.prompt, one.response] for one in (*messages, *held_out)]),
    }

    def measure() -> Record:
        learnt = train(run.decoder, run.samples(messages), run.samples(held_out), recipe(len(messages)))
        gguf.write_adapter(dataclasses.replace(learnt.adapter, metadata={FINGERPRINT: run.fingerprint}), path, "F16")
        say(f"{name}: {learnt.loss_before:.3f} -> {learnt.loss_after:.3f} in {learnt.seconds:.0f} s")
        return {
            "sha256": digest(path),
            "turns": len(messages),
            "before": learnt.loss_before,
            "after": learnt.loss_after,
            "best_step": learnt.best_step,
            "tokens": learnt.tokens,
            "seconds": learnt.seconds,
        }

    run.store.record(f"adapters/{name}", made_of, measure)
    return path


def person(run: Run, who: str) -> Path:
    """The adapter of one cached person."""
    own, tune = turns(run, who, "train"), turns(run, who, "tune")
    return trained(run, who, own[:CACHED_TURNS], (tune or own[CACHED_TURNS:] or own)[:HELD_OUT])


def people(run: Run) -> tuple[list[str], list[str]]:
    """Users and cached people of the corpus."""
    if run.options.people is None:
        raise BadInput("this benchmark reads people's turns. Name their folder with --people.")
    counts = json.loads((run.options.people / "people.json").read_text("utf-8"))
    return split(counts, run.options.users or USERS, CACHED)


PARTS: dict[str, Callable[[Run], str]] = {}
