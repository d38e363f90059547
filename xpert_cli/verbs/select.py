"""`xpert select`: the cached adapter, or mixture, nearest to a person's writing, with reasons that sum to the score.

    selection = select(corpus, catalogue, base)
    selection.selected         # (Chosen("elementary-concise-playful", 1.0),)

Only the catalogue and the coordinates are read before the decision; then what was chosen is fetched. Not here: the
maths (maths/selection.py), training (verbs/finetune.py).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from xpert_cli.doors import gguf
from xpert_cli.doors.corpus import Corpus
from xpert_cli.errors import BadInput
from xpert_cli.maths.selection import NEAR, confidence, direction_scores, mixture
from xpert_cli.maths.space import Floats, Readings, Space
from xpert_cli.steps.catalogue import Catalogue
from xpert_cli.steps.placing import Placed, place


@dataclass(frozen=True)
class Chosen:
    """An adapter to start from, and its mixing coefficient."""

    adapter: str
    weight: float


@dataclass(frozen=True)
class Reason:
    """What one axis adds to a score, and which end of it the writing is at."""

    axis: str
    share: float
    words: str


@dataclass(frozen=True)
class Ranked:
    """An adapter's score, a cosine in [-1, 1]; the shares of `reasons` sum to it."""

    adapter: str
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Selection:
    """A ranked cache. `verdict` is best, mixture or none; `confidence` the share of resamplings with the same first."""

    selected: tuple[Chosen, ...]
    ranking: tuple[Ranked, ...]
    verdict: str
    confidence: float
    samples: int
    explanation: str
    notes: tuple[str, ...]
    downloaded_bytes: int
    seconds: float
    files: tuple[tuple[Path, float], ...] = ()

    json_omit: ClassVar[tuple[str, ...]] = ("files",)


def select(
    corpus: Corpus,
    cache: Catalogue,
    base: Path,
    *,
    measured_only: bool = False,
    summarizer: Path | None = None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Selection:
    """Rank a cache's adapters against a person's writing, and fetch the best, or the mixture that is clearly better.

    Raises:
        BadInput: the cache is empty.
        CacheMismatch: the cache is for another base, or a fetched adapter is not what the catalogue says.
    """
    began = time.monotonic()
    if not cache.entries:
        raise BadInput(f"{cache.source.name} holds no adapters. Choose another with --cache.")
    placed = place(corpus, cache, base, measured_only=measured_only, summarizer=summarizer, progress=progress)
    adapters = cache.coordinates[:, placed.used]
    ranking = _ranking(placed, adapters, [entry.id for entry in cache.entries])
    verdict, chosen = _verdict(placed, adapters, cache, ranking)
    progress("fetching", 1.0)
    files = tuple((_checked(cache, one.adapter, base), one.weight) for one in chosen)
    return Selection(
        selected=chosen,
        ranking=ranking,
        verdict=verdict,
        confidence=confidence(placed.readings, adapters, placed.space),
        samples=len(corpus),
        explanation=_in_words(verdict, chosen, ranking),
        notes=placed.notes,
        downloaded_bytes=cache.source.downloaded_bytes,
        seconds=time.monotonic() - began,
        files=files,
    )


def _ranking(placed: Placed, adapters: Floats, ids: list[str]) -> tuple[Ranked, ...]:
    shift, space = placed.shift, placed.space
    scores = direction_scores(shift, adapters, space.precision)
    order = sorted(range(len(ids)), key=lambda i: (-scores[i], ids[i]))
    return tuple(Ranked(ids[i], float(scores[i]), _reasons(space, shift, adapters[i])) for i in order)


def _reasons(space: Space, user: Floats, adapter: Floats) -> tuple[Reason, ...]:
    shares = space.shares(user, adapter)
    order = np.argsort(-np.abs(shares), kind="stable")
    return tuple(Reason(space.axes[i].name, float(shares[i]), space.axes[i].words(user[i])) for i in map(int, order))


def _verdict(
    placed: Placed, adapters: Floats, cache: Catalogue, ranking: tuple[Ranked, ...]
) -> tuple[str, tuple[Chosen, ...]]:
    """The best adapter; a mixture if it explains held-back texts clearly better; nothing if none is near."""
    mixed = None
    if len(placed.texts) >= 4 and len(cache.entries) > 1:
        mixed = mixture(_halves(placed), adapters, placed.space)
    if mixed:
        weights = sorted(mixed.items(), key=lambda item: -item[1])
        return "mixture", tuple(Chosen(cache.entries[i].id, round(weight, 3)) for i, weight in weights)
    if ranking[0].score < NEAR:
        return "none", ()
    return "best", (Chosen(ranking[0].adapter, 1.0),)


def _halves(placed: Placed) -> tuple[Readings, Readings]:
    """The texts in two halves, by their hash."""
    order = sorted(range(len(placed.texts)), key=lambda i: hashlib.sha256(placed.texts[i].encode()).digest())
    first, second = order[::2], order[1::2]
    return Readings(placed.readings.values[first]), Readings(placed.readings.values[second])


def _checked(cache: Catalogue, adapter: str, base: Path) -> Path:
    path = cache.fetch(adapter)
    gguf.check_adapter(gguf.read_header(path), gguf.read_header(base))
    return path


def _in_words(verdict: str, chosen: tuple[Chosen, ...], ranking: tuple[Ranked, ...]) -> str:
    best = ranking[0]
    why = ", ".join([reason.words for reason in best.reasons if reason.share > 0][:3])
    if verdict == "none":
        return f"None of the {len(ranking)} adapters is near: {best.adapter}, the best, scores {best.score:+.2f}."
    if verdict == "mixture":
        parts = " and ".join(f"{one.weight:.2f} of {one.adapter}" for one in chosen)
        return f"A mixture explains your writing better than any one adapter: {parts}."
    return f"Like {best.adapter}, you write {why}."
