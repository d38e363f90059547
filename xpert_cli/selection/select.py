"""`xpert select`: the cached adapter, or mixture, nearest to a person's writing, with reasons that sum to the score.

    selection = select(corpus, cache, base)
    selection.selected         # (Chosen("elementary-concise-playful", 1.0),)

Only the catalogue and the coordinates are read before the decision; then what was chosen is fetched. No model is asked
where adapters brought the place of their training text. Not here: the maths (selection/score.py), training
(training/finetune.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from xpert_cli.cache.catalogue import Chosen, OpenCache
from xpert_cli.cache.communities import people
from xpert_cli.cache.screening import admitted, oddities
from xpert_cli.corpus import Corpus
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.selection import community
from xpert_cli.selection.project import OTHER, AxisPosition, Projection, project
from xpert_cli.selection.score import (
    ENOUGH,
    Rest,
    choose,
    confidence,
    direction_scores,
    mean_of,
    nearness,
    scores,
    shares,
    whole_texts,
)
from xpert_cli.selection.search import nearest
from xpert_cli.style import described
from xpert_cli.style.languages import NAMES
from xpert_cli.style.sentences import words
from xpert_cli.style.space import WORDING, Floats, Space

DRAWN = 60  # adapters that a picture has room for
ROWS = 10  # axes in a picture
EXPLAINED = 60  # adapters whose scores are given reasons
WHY = 4  # reasons that are said of an adapter, at most
LENGTH = "text length"  # the axis that tells how many words a text has
SAME_WORDS = "in the same words and spellings"
FEW_WORDS = 50  # in all texts together: fewer are fewer than five a text
STRAY = 0.25  # of a standard deviation on an axis of other languages: a few words among English ones are no language


@dataclass(frozen=True)
class Reason:
    """What one axis adds to a score, and which end of it the writing is at."""

    axis: str
    share: float
    words: str


@dataclass(frozen=True)
class Ranked:
    """An adapter's score, a cosine in [-1, 1]; the shares of `reasons` sum to it. The EXPLAINED first have reasons.

    `people` is the size of a community, 0 for an adapter that is none. Communities that the writer is of come first,
    the smallest before the larger ones that it is part of; the others follow by their scores. `why` is what counts
    most in its favour, in words, each habit once.
    """

    adapter: str
    score: float
    reasons: tuple[Reason, ...]
    people: int = 0
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """A ranked cache, or the adapters of a large one that are nearest. `verdict` is best, mixture, community or none.

    `nearness` says how near the first is, whichever is right; `confidence` how likely the first is the nearest, if one
    of them is near at all. Neither is to be relied on where `few` says how few texts they are of.

    `others` are starts that are worth measuring beside what was selected.

    `places` are the axes on which the writer and what was chosen stand out; their adapters are the first of `ranking`.
    """

    selected: tuple[Chosen, ...]
    ranking: tuple[Ranked, ...]
    verdict: str
    confidence: float
    samples: int
    explanation: str
    notes: tuple[str, ...]
    downloaded_bytes: int
    seconds: float
    files: tuple[WeightedAdapter, ...] = ()
    places: tuple[AxisPosition, ...] = ()
    nearness: float = 0.0
    others: tuple[tuple[Chosen, ...], ...] = ()

    json_omit: ClassVar[tuple[str, ...]] = ("files", "places", "others")

    @property
    def few(self) -> str:
        """Behind the confidence, for people: " from 1 text"; "" where there are enough."""
        return f" from {self.samples} text{'s' * (self.samples != 1)}" if self.samples < ENOUGH else ""


def select(
    corpus: Corpus,
    cache: OpenCache,
    base: BaseModel | Path | None,
    *,
    measured_only: bool = False,
    summarizer: BaseModel | Path | None = None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Selection:
    """Rank a cache's adapters against a person's writing, and fetch the best, or a mixture where that does not fit.

    Args:
        base: None where counting is enough (`needs_model`); what is chosen is then not tried on it yet.
        measured_only, summarizer: as for `project`, where adapters are compared by their answers; a summarizer that is
            named is asked in any case.

    Raises:
        BadInput: the cache is empty.
        CacheMismatch: the cache is for another base, or a fetched adapter is not what the catalogue says.
    """
    began = time.monotonic()
    base = BaseModel.open(base) if base is not None else None
    if not cache.size and not cache.communities:
        raise BadInput(f"{cache.source.name} holds no adapters. Choose another with --cache.")
    counted = not needs_model(cache, measured_only, summarizer is not None)
    projection = project(corpus, cache, base, measured_only=counted, summarizer=summarizer, progress=progress)
    projection = projection.telling()
    near, rest = nearest(cache, projection)
    rows = sorted(range(near.size), key=lambda row: near.entries[row].id)  # the cache's order decides nothing
    adapters, ids = near.coordinates[rows][:, projection.used], [near.entries[row].id for row in rows]
    ranking = _ranking(projection, adapters, ids, rest) if ids else ()
    group = community.nearest(projection, cache)
    own = people(cache) if group else frozenset()
    outsiders = [row for row, name in enumerate(ids) if name not in own]  # adapters that are of no community
    verdict, chosen = (
        _verdict(projection, adapters[outsiders], [ids[row] for row in outsiders], rest) if outsiders else ("none", ())
    )
    others: tuple[tuple[Chosen, ...], ...] = ()
    if group and not chosen:
        others = tuple((Chosen(one.id, 1.0),) for one in reversed(group.path[-2:]))
    if group and community.near(projection, group) and group.score > _nearest_of(projection, adapters[outsiders]):
        others = (*((Chosen(one.id, 1.0),) for one in group.path[-2:-1]), *([chosen] if chosen else []))
        verdict, chosen = "community", (Chosen(group.community.id, 1.0),)
        upwards = group.path[::-1]
        means = np.array([community.place(projection, one) for one in upwards])
        ranking = (*_as_ranked(projection, group), *ranking)
        rivals = np.concatenate([means[:1], adapters[outsiders]])
        texts = _amount(projection, cache, group.community.mean)
        sure = group.sure * confidence(projection.readings, rivals, projection.space, texts=texts)
        adapters, ids = np.concatenate([means, adapters]), [*(one.id for one in upwards), *ids]
        nearby = group.nearness
        why = community.in_words(projection, group)
    else:
        texts = _amount(projection, cache, near.coordinates[rows[ids.index(ranking[0].adapter)]])
        sure = confidence(projection.readings, adapters, projection.space, rest=rest, texts=texts)
        nearby = nearness(projection.readings, adapters, projection.space, rest)
        why = _in_words(verdict, chosen, ranking, cache.size)
    if any(near.here(near.entry(one.adapter)) is None for one in chosen):
        progress("fetching", 1.0)
    opened = [(near.open_adapter(one.adapter), one.weight) for one in chosen]
    files = tuple(WeightedAdapter(admitted(file, base) if base else file, weight) for file, weight in opened)
    odd = [note for one in files for note in oddities(near, one.file)]
    return Selection(
        selected=chosen,
        ranking=ranking,
        verdict=verdict,
        confidence=sure,
        samples=len(corpus),
        explanation=why,
        notes=(*projection.notes, *_few(projection.texts), *_foreign(projection, adapters), *odd),
        downloaded_bytes=cache.source.downloaded_bytes,
        seconds=time.monotonic() - began,
        files=files,
        places=_places(projection, adapters, ids, ranking, chosen),
        nearness=nearby,
        others=others,
    )


def _amount(projection: Projection, cache: OpenCache, place: Floats) -> float | None:
    """How many texts as long as those at a place of the cache the texts amount to; None where length is not shown."""
    at = [index for index, axis in enumerate(cache.bare.axes) if axis.name == LENGTH]
    if not any(axis.name == LENGTH for axis in projection.space.axes) or not np.isfinite(place[at]).all():
        return None
    space = cache.bare
    usual = float(np.exp((space.reference + space.gap)[at[0]] + place[at[0]] * space.spread[at[0]]))
    return whole_texts([len(words(text)) for text in projection.texts], usual)


def needs_model(cache: OpenCache, measured_only: bool, summarizer: bool) -> bool:
    """Whether a selection asks a model: not where it only counts, as with adapters that brought their texts' places."""
    return not measured_only and (summarizer or not cache.by_source)


def _nearest_of(projection: Projection, adapters: Floats) -> float:
    """The largest cosine, from the base, of the writing and adapters; below all that are where there are none."""
    if not len(adapters):
        return -np.inf
    return float(direction_scores(projection.shift, adapters, projection.space.precision).max())


def _as_ranked(projection: Projection, group: community.Nearest) -> tuple[Ranked, ...]:
    """The communities that a person is of, the smallest first, with reasons."""
    space, shift = projection.space, projection.shift
    ranked = []
    for one in reversed(group.path):
        mean = community.place(projection, one)[None]
        score = float(direction_scores(shift, mean, space.precision)[0])
        reasons = _reasons(space, shift, mean, 0, None)
        ranked.append(Ranked(one.id, score, reasons, one.count, _why(space, reasons)))
    return tuple(ranked)


def _few(texts: Sequence[str]) -> tuple[str, ...]:
    """A warning where there is too little writing to go by."""
    count, number = len(texts), sum(len(words(text)) for text in texts[:FEW_WORDS])
    short = f" of {counted(number, 'words')}" if number < FEW_WORDS else ""
    if count < ENOUGH:
        on = f"from {ENOUGH} on the choice is to be relied on, from 20 it is good"
        return (f"only {counted(count, 'texts')}{short}: {on}",)
    return (
        (f"{counted(count, 'texts')}{short} together: too few words for the choice to be relied on",) if short else ()
    )


def _foreign(projection: Projection, adapters: Floats) -> tuple[str, ...]:
    """A warning where many texts are in a language that no adapter at hand has learnt from.

    Adapters of English say next to nothing on the axes of other languages. A cache without these cannot be judged.
    """
    axes = np.array([axis.name in OTHER for axis in projection.space.axes], np.bool_)
    if not projection.foreign or not axes.any() or (np.abs(adapters[:, axes]) > STRAY).any():
        return ()
    names = " or ".join(NAMES[code] for code in projection.foreign)
    return (f"no adapter here has learnt from texts in {names}: what is alike there is marks, spelling and form",)


def _places(
    projection: Projection, adapters: Floats, ids: list[str], ranking: tuple[Ranked, ...], chosen: tuple[Chosen, ...]
) -> tuple[AxisPosition, ...]:
    """Where the writer and the adapters nearest to them lie, on the axes on which they and the chosen stand out."""
    row = {adapter: index for index, adapter in enumerate(ids)}
    nearest = adapters[[row[one.adapter] for one in ranking[:DRAWN]]]
    parts = chosen or (Chosen(ranking[0].adapter, 1.0),)
    aim = sum((one.weight * adapters[row[one.adapter]] for one in parts), np.zeros(adapters.shape[1]))
    shift, error = projection.shift, projection.error
    strength = np.where(np.isfinite(error), np.hypot(shift, aim), 0.0)
    for one in ranking[:1]:  # the first reason is always among the rows
        names = [axis.name for axis in projection.space.axes]
        for reason in [reason for reason in one.reasons if reason.share > 0 and reason.axis != WORDING][:1]:
            strength[names.index(reason.axis)] = np.inf
    return tuple(
        AxisPosition(axis.low, axis.high, float(shift[i]), float(error[i]), tuple(map(float, nearest[:, i])))
        for i in described.strongest(projection.space, strength, ROWS)
        for axis in (projection.space.axes[i],)
    )


def _ranking(projection: Projection, adapters: Floats, ids: list[str], rest: Rest | None) -> tuple[Ranked, ...]:
    shift, space = projection.shift, projection.space
    values = scores(shift, adapters, space, rest)
    order = sorted(range(len(ids)), key=lambda i: (-values[i], ids[i]))
    reasons = {i: _reasons(space, shift, adapters, i, rest) for i in order[:EXPLAINED]}
    return tuple(Ranked(ids[i], float(values[i]), own := reasons.get(i, ()), why=_why(space, own)) for i in order)


def _reasons(space: Space, user: Floats, adapters: Floats, row: int, rest: Rest | None) -> tuple[Reason, ...]:
    """What each axis adds, most first; the axes that only rank are one reason.

    The words say at which end the writer is, seen from half way between the base and the cache's mean, from which the
    score is counted: what the writer and all adapters share is no reason for one of them.
    """
    mean = mean_of(adapters, rest)
    seen = user - (0.0 if mean is None else mean / 2)
    parts = shares(user, adapters, row, space, rest)
    named = [Reason(axis.name, float(parts[i]), axis.words(seen[i])) for i, axis in enumerate(space.axes) if axis.named]
    others = [float(parts[i]) for i, axis in enumerate(space.axes) if not axis.named]
    both = [*named, Reason(WORDING, sum(others), SAME_WORDS)] if others else named
    return tuple(sorted(both, key=lambda reason: -abs(reason.share)))


def _why(space: Space, reasons: tuple[Reason, ...]) -> tuple[str, ...]:
    """The WHY strongest reasons in favour, in words; none that says what a stronger one says."""
    at = {axis.name: index for index, axis in enumerate(space.axes)}
    chosen: list[Reason] = []
    for reason in (one for one in reasons if one.share > 0):
        rows = [(at[reason.axis], at[one.axis]) for one in chosen if WORDING not in (reason.axis, one.axis)]
        if not any(described.repeats(space, *pair) for pair in rows):
            chosen.append(reason)
        if len(chosen) == WHY:
            break
    return tuple(reason.words for reason in chosen)


def _verdict(
    projection: Projection, adapters: Floats, ids: list[str], rest: Rest | None
) -> tuple[str, tuple[Chosen, ...]]:
    parts = choose(projection.readings, adapters, projection.space, rest)
    weights = sorted(parts.items(), key=lambda item: -item[1])
    chosen = tuple(Chosen(ids[i], round(weight, 3)) for i, weight in weights)
    return ("none", "best", "mixture")[min(len(chosen), 2)], chosen


def _in_words(verdict: str, chosen: tuple[Chosen, ...], ranking: tuple[Ranked, ...], size: int) -> str:
    best = ranking[0]
    why = ", ".join([words for words in best.why if words != SAME_WORDS][:3])
    if verdict == "none":
        return f"None of the {counted(size, 'adapters')} is near: {best.adapter}, the best, scores {best.score:+.2f}."
    if verdict == "mixture":
        parts = " and ".join(f"{one.weight:.2f} of {one.adapter}" for one in chosen)
        return f"No single adapter fits your writing; this mixture is nearer: {parts}."
    return f"Like {best.adapter}, you write {why}."
