"""The paper's selection: the two-answer question about a person's own messages, and the nearest point on named words.

    compared = compare(corpus, cache, base)
    compared.ranking               # (Near("elementary-concise-playful", 3.1), ...), nearest first

The base answers the person's own prompts, so messages need prompts. Nothing leaves the process, and no adapter is
fetched. Not here: making words.npz (paper/name_adapters.py), the default selection (selection/select.py).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xpert_cli.cache.catalogue import Chosen, OpenCache
from xpert_cli.corpus import Corpus
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput
from xpert_cli.gguf import BaseModel
from xpert_cli.paper import two_answers, word_index


@dataclass(frozen=True)
class Near:
    """An adapter, and its Euclidean distance from the person on the words' axes."""

    adapter: str
    distance: float


@dataclass(frozen=True)
class WordValue:
    """A word, and how much of it the person's answers have over the base's."""

    word: str
    value: float


@dataclass(frozen=True)
class Compared:
    """A person on a cache's words, the largest coordinate first, and its adapters, the nearest first."""

    selected: tuple[Chosen, ...]
    samples: int
    words: tuple[WordValue, ...]
    ranking: tuple[Near, ...]
    notes: tuple[str, ...]
    seconds: float


def compare(
    corpus: Corpus,
    cache: OpenCache,
    base: BaseModel | Path,
    *,
    summarizer: BaseModel | Path | None = None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Compared:
    """Rank a cache's adapters by the paper's rule.

    Args:
        summarizer: the model that the cache's words were made with; by default the base.

    Raises:
        BadInput: no message has a prompt.
        CacheMismatch: the cache is for another base, has no words, or they were made with another summarizer.
    """
    began = time.monotonic()
    base = BaseModel.open(base)
    summarizer_model = BaseModel.open(summarizer) if summarizer else base
    cache.require(base)
    known = word_index.read(cache.source)
    known.require(summarizer_model.fingerprint, two_answers.digest(), cache.source.name)
    chosen = sorted(
        (hashlib.sha256(one.response.encode()).digest(), one.prompt, one.response)
        for one in corpus.messages
        if one.prompt
    )[: two_answers.PAIRS]
    if not chosen:
        raise BadInput("--compare needs messages with the prompts they answer. Give JSONL with prompt and response.")
    prompts, answers = [prompt for _, prompt, _ in chosen], [answer for _, _, answer in chosen]
    progress("answering your prompts", 0.0)
    plain = two_answers.answered(base, prompts)
    progress("comparing answers", 0.5)
    with two_answers.opened(summarizer_model) as model:
        z = known.basis.coordinates(two_answers.shift(model, prompts, answers, plain))
    present = {(entry.id, entry.sha256) for entry in cache.entries}
    distances = {
        name: float(np.linalg.norm(z - own))
        for name, digest, own in zip(known.ids, known.sha256, known.coordinates, strict=True)
        if (name, digest) in present
    }
    ranking = sorted(distances, key=lambda name: (distances[name], name))
    left = cache.size - len(distances)
    return Compared(
        tuple(Chosen(name, 1.0) for name in ranking[:1]),
        len(chosen),
        tuple(WordValue(known.basis.words[i], float(z[i])) for i in map(int, np.argsort(-abs(z), kind="stable"))),
        tuple(Near(name, distances[name]) for name in ranking),
        (f"{counted(left, 'adapters have no words yet and are')} not ranked",) if left else (),
        time.monotonic() - began,
    )
