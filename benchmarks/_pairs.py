"""States of the two-answer question, collected for the benchmark of Algorithm 1 and kept in files.

    found = collect(summarizer, name, asked, out, say)      # {"ab": (pairs, styles, hidden), "ba": ..., "bb": ...}
    ranked, vectors = words(summarizer, name, found["ab"].mean(0), 300, out, say)

Not here: what follows from them (algorithm1.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli.llama.model import Model
from xpert_cli.paper import two_answers
from xpert_cli.paper.spelling import Speller
from xpert_cli.paths import whole
from xpert_cli.style.space import Floats

TEN = ("formal", "casual", "playful", "technical", "simple", "poetic", "friendly", "academic", "brief", "emotional")
TEXTS = 2  # of the base's answers, rewritten in each style


@dataclass(frozen=True)
class Asked:
    """One prompt, what the base answers, and what each style's adapter or writer answers."""

    prompt: str
    plain: str
    answers: tuple[str, ...]

    def file(self, summarizer: str) -> str:
        """Names the file of its states by all that they are made of."""
        told = json.dumps([summarizer, two_answers.digest(), self.prompt, self.plain, self.answers])
        return f"pair-{hashlib.sha256(told.encode()).hexdigest()[:20]}.npz"


def kept(path: Path, make: Callable[[], dict[str, Floats]]) -> dict[str, Floats]:
    """Arrays made once."""
    if not path.exists():
        with whole(path) as part, part.open("wb") as file:
            arrays: dict[str, Any] = {name: array.astype(np.float32) for name, array in make().items()}
            np.savez(file, **arrays)
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name].astype(np.float64) for name in found.files}


def ask(model: Model, one: Asked) -> dict[str, Floats]:
    """States of one prompt in all three orders; those of one order share what they begin with."""
    count = len(one.answers)
    prompts, plain = [one.prompt] * count, [one.plain] * count
    found = {order: two_answers.states(model, prompts, one.answers, plain, order) for order in ("ab", "ba")}
    return found | {"bb": two_answers.states(model, prompts[:1], plain[:1], plain[:1], "bb")[0]}


def collect(
    summarizer: Path, name: str, asked: Sequence[Asked], out: Path, say: Callable[[str], None]
) -> dict[str, Floats]:
    """States of all prompts, one file each, so that a stopped run goes on."""
    missing = [one for one in asked if not (out / one.file(name)).exists()]
    if missing:
        with two_answers.opened(summarizer) as model:
            for done, one in enumerate(missing):
                say(f"asking {done + 1} of {len(missing)}")
                kept(out / one.file(name), lambda one=one: ask(model, one))  # type: ignore[misc]
    found = [kept(out / one.file(name), dict) for one in asked]
    together = {order: np.stack([one[order] for one in found]) for order in ("ab", "ba", "bb")}
    return together | {"bb": together["bb"][:, None]}


def words(
    summarizer: Path, name: str, means: Floats, count: int, out: Path, say: Callable[[str], None]
) -> tuple[list[list[str]], dict[str, dict[str, Floats]]]:
    """The likeliest words of each adapter, and the states of all of them and of the words that they are centred by.

    Args:
        means: (adapters, hidden) mean raw states.
    Returns:
        words of each adapter in descending probability; "ab" and "ba" to word to (hidden,) state.
    """
    told = hashlib.sha256(f"{name} {two_answers.digest()} {count}".encode() + means.astype("<f4").tobytes()).hexdigest()
    lists = out / f"words-{told[:20]}.json"
    store = out / f"worded-{hashlib.sha256(f'{name} {two_answers.digest()}'.encode()).hexdigest()[:20]}"
    store.mkdir(exist_ok=True)
    if not lists.exists():
        say("spelling words")
        with two_answers.opened(summarizer) as model:
            speller = Speller(model)
            found = [list(islice(speller.ranked(mean), count)) for mean in means]
        with whole(lists) as part:
            part.write_text(json.dumps(found), "utf-8")
    ranked: list[list[str]] = json.loads(lists.read_text("utf-8"))
    wanted = list(
        dict.fromkeys([*two_answers.anchors(), *TEN, *(word for rank in zip(*ranked, strict=True) for word in rank)])
    )
    missing = [word for word in wanted if not (store / f"{word}.npz").exists()]
    if missing:
        with two_answers.opened(summarizer) as model:
            for start in range(0, len(missing), two_answers.SEQUENCES):
                say(f"placing words {start} of {len(missing)}")
                some = missing[start : start + two_answers.SEQUENCES]
                both = {order: two_answers.worded(model, some, order) for order in ("ab", "ba")}
                for i, word in enumerate(some):
                    kept(store / f"{word}.npz", lambda i=i, both=both: {o: s[i] for o, s in both.items()})  # type: ignore[misc]
    states = {word: kept(store / f"{word}.npz", dict) for word in wanted}
    return ranked, {order: {word: state[order] for word, state in states.items()} for order in ("ab", "ba")}


def reference(
    summarizer: Path,
    name: str,
    about: Sequence[Asked],
    worded: Mapping[str, Floats],
    out: Path,
    say: Callable[[str], None],
) -> list[tuple[str, float, float, int]]:
    """Word vectors by prompt against the slow way: the summarizer rewrites answers in that style, and compares.

    Args:
        worded: word -> (hidden,) raw state by prompt.
    Returns:
        word; its cosine to the styled texts' vector; the same with the ten words' means taken out of both; and the
        place of its own styled texts among the ten then, 1 being the nearest.
    """

    def rewrite(word: str) -> dict[str, Floats]:
        say(f"rewriting: {word}")
        some = about[:TEXTS]
        prompts, plain = [one.prompt for one in some], [one.plain for one in some]
        with Model(summarizer, context=TEXTS * 512, sequences=TEXTS) as model:
            styled = two_answers.rewritten(model, plain, word)
        with two_answers.opened(summarizer) as model:
            return {order: two_answers.states(model, prompts, styled, plain, order) for order in ("ab", "bb")}

    made_of = json.dumps([name, two_answers.digest(), [(one.prompt, one.plain) for one in about[:TEXTS]]])
    key = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    found = [kept(out / f"styled-{word}-{key}.npz", lambda word=word: rewrite(word)) for word in TEN]  # type: ignore[misc]
    texts = np.stack([two_answers.combined(one, "neutral").mean(axis=0) for one in found])
    prompts = np.stack([worded[word] - worded[two_answers.ORDINARY] for word in TEN])
    as_they_are, centred = cosines(prompts, texts), cosines(prompts - prompts.mean(axis=0), texts - texts.mean(axis=0))
    places = (centred > np.diag(centred)[:, None]).sum(axis=1) + 1
    return [(word, float(as_they_are[i, i]), float(centred[i, i]), int(places[i])) for i, word in enumerate(TEN)]


def cosines(one: Floats, other: Floats) -> Floats:
    """(n, m) cosines of the rows of two arrays."""
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other)]
    return np.asarray(units[0] @ units[1].T)
