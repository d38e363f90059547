"""`xpert cache words`: name directions of style by a summarizer's words, adapter by adapter (XPerT's Algorithm 1).

    named = name_words(catalogue, Path("cache"), base)
    named.words                    # ("formal", "poetic", ...), shared by all adapters

Adapters that words.npz holds already are not answered, asked about or changed again. It is written after every adapter,
so that an interrupted call goes on. Not here: choosing by these words (paper/compare.py).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from xpert_cli.cache.catalogue import OpenCache, base_answers
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.write import relist
from xpert_cli.counts import counted
from xpert_cli.gguf import BaseModel
from xpert_cli.llama.model import Model
from xpert_cli.paper import two_answers, word_index
from xpert_cli.paper.basis import MOST, ORTHOGONALITY, RESIDUAL, Basis, Grown, grow
from xpert_cli.paper.spelling import Speller
from xpert_cli.paper.word_index import Words
from xpert_cli.style.space import Floats

Progress = Callable[[str, float], None]
SHOWN = 3  # words told of an adapter


@dataclass(frozen=True)
class Approximated:
    """An adapter on the words; `left` is the share of it that no word tells, by the paper's formula."""

    id: str
    words: tuple[str, ...]
    looked: int
    left: float
    left_least_squares: float


@dataclass(frozen=True)
class Named:
    """The words of a cache; `added` are the adapters that were new."""

    cache: str
    words: tuple[str, ...]
    looked: int
    added: tuple[Approximated, ...]
    notes: tuple[str, ...]
    seconds: float


def name_words(
    cache: OpenCache,
    folder: Path,
    base: BaseModel | Path,
    *,
    summarizer: BaseModel | Path | None = None,
    orthogonality: float = ORTHOGONALITY,
    residual: float = RESIDUAL,
    candidates: int = MOST,
    progress: Progress = lambda message, fraction: None,
) -> Named:
    """Grow a shared basis over a cache's adapters in the catalogue's order, and write words.npz beside its catalogue.

    Args:
        summarizer: the model that is asked; by default the base.
        orthogonality, residual: a word is kept if its cosine to every kept one is under the first; an adapter needs no
            more words once a share under the second is left of it.
        candidates: words of an adapter that are looked at, at most.

    Raises:
        CacheMismatch: the cache is for another base, or its words were made otherwise.
    """
    began = time.monotonic()
    base = BaseModel.open(base)
    cache.require(base)
    with two_answers.opened(summarizer or base) as model:
        current = _begun(cache, folder, model)
        have = set(zip(current.ids, current.sha256, strict=True))
        new = [entry for entry in cache.entries if (entry.id, entry.sha256) not in have]
        prompts, plain = _probe_pairs(cache)
        neutral = two_answers.states(model, prompts, plain, plain, "bb").mean(axis=0) if new else np.zeros(0)
        speller, added = (Speller(model) if new else None), []
        if new:
            relist(folder, without=(word_index.FILE,))
        for done, entry in enumerate(new):
            progress(f"naming {entry.id}", done / len(new))
            answers = two_answers.answered(base, prompts, cache.open_adapter(entry.id))
            raw = two_answers.states(model, prompts, answers, plain, "ab").mean(axis=0)
            assert speller is not None
            likeliest = islice(speller.ranked(raw), candidates)
            fresh = _vectors(model, [word for word in likeliest if word not in current.seen], current.centre)
            step = grow(current.basis, raw - neutral, fresh, orthogonality=orthogonality, residual=residual)
            current = _with(current, entry, raw - neutral, step)
            word_index.write(folder, current)
            added.append((entry.id, step))
    relist(folder)
    units = current.basis
    approximated = tuple(
        Approximated(
            name,
            _strongest(units, current.states[current.ids.index(name)]),
            step.looked,
            step.formula,
            step.least_squares,
        )
        for name, step in added
    )
    missed = [one.id for one in approximated if one.left >= residual]
    note = (
        f"{counted(candidates, 'words leave')} more than {residual:g} of {len(missed)} of "
        f"{counted(len(approximated), 'adapters')} unexplained"
    )
    return Named(
        cache.source.name,
        units.words,
        len(current.seen),
        approximated,
        (note,) if missed else (),
        time.monotonic() - began,
    )


def _begun(cache: OpenCache, folder: Path, model: Model) -> Words:
    """The words that are there, less adapters that the cache no longer holds; an empty basis where there are none."""
    made_by = model.base.fingerprint, two_answers.digest()
    if not (folder / word_index.FILE).exists():
        anchors = two_answers.worded(model, two_answers.anchors(), "ab")
        nothing = np.zeros((0, model.hidden_size))
        return Words(*made_by, Basis.empty(model.hidden_size), (), (), (), nothing, anchors.mean(axis=0))
    current = word_index.read(cache.source)
    current.require(*made_by, cache.source.name)
    present = {(entry.id, entry.sha256) for entry in cache.entries}
    stay = [i for i, one in enumerate(zip(current.ids, current.sha256, strict=True)) if one in present]
    return dataclasses.replace(
        current,
        ids=tuple(current.ids[i] for i in stay),
        sha256=tuple(current.sha256[i] for i in stay),
        states=current.states[stay],
    )


def _with(current: Words, entry: Entry, v: Floats, step: Grown) -> Words:
    return dataclasses.replace(
        current,
        basis=step.basis,
        seen=(*current.seen, *step.words),
        ids=(*current.ids, entry.id),
        sha256=(*current.sha256, entry.sha256),
        states=np.concatenate([current.states, v[None]]),
    )


def _probe_pairs(cache: OpenCache) -> tuple[list[str], list[str]]:
    """Probes, and what the base answered."""
    pairs = base_answers(cache.source)[: two_answers.PAIRS]
    return [prompt for prompt, _ in pairs], [response for _, response in pairs]


def _vectors(model: Model, names: list[str], centre: Floats) -> Iterator[tuple[str, Floats]]:
    """Words with their vectors, as many asked about at a time as the model takes."""
    for start in range(0, len(names), two_answers.SEQUENCES):
        some = names[start : start + two_answers.SEQUENCES]
        yield from zip(some, two_answers.worded(model, some, "ab") - centre, strict=True)


def _strongest(basis: Basis, v: Floats) -> tuple[str, ...]:
    z = basis.coordinates(v)
    order = np.argsort(-abs(z), kind="stable")[:SHOWN]
    return tuple(f"{'more' if z[i] > 0 else 'less'} {basis.words[i]} ({z[i]:+.1f})" for i in order)
