"""Placing one person's writing in a cache's style space: the step that summarize and select share.

    projection = project(corpus, catalogue, base)
    projection.shift                       # (axes,) in pooled standard deviations from the base

Texts are put in one order first, so that neither files nor messages need to come in any. Paragraphs of plain text are
joined, and do not show how long messages are: axes of length are left out. Not here: what follows from it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xpert_cli.cache.catalogue import OpenCache, base_answers
from xpert_cli.cache.indexed import IndexedCache
from xpert_cli.corpus import Corpus
from xpert_cli.counts import counted
from xpert_cli.gguf import BaseModel
from xpert_cli.style import described
from xpert_cli.style.languages import LANGUAGES, NAMES, language
from xpert_cli.style.measured import ENGLISH
from xpert_cli.style.sentences import Sample
from xpert_cli.style.space import FARTHEST, Axis, Floats, Readings, Space, pooled

MOST = 20_000  # texts that are counted: the mean of more has a standard error of less than 0.007
OTHER = frozenset(axis.name for axis, _ in LANGUAGES)
ENOUGH = 1000  # texts that tell the language
MANY = 0.2  # share of the texts from which on it is said that they are in a language other than English


@dataclass(frozen=True, eq=False)
class Projection:
    """A person's texts on the axes of a space.

    Attributes:
        space: the cache's, less the described axes where the cache's summarizer is not at hand or not wanted, and less
            those of length where the texts do not show it.
        used: (axes of the cache,) which of them `space` has.
        readings: of `texts`, one row each.
        foreign: the languages other than English that at least MANY of the texts are in, and how many are; most first.
    """

    texts: tuple[str, ...]
    space: Space
    used: npt.NDArray[np.bool_]
    readings: Readings
    notes: tuple[str, ...]
    foreign: Mapping[str, int] = field(default_factory=dict)

    @property
    def shift(self) -> Floats:
        """(axes,) shift of the writing from the base, in pooled standard deviations."""
        return self.space.position(self.readings)

    @property
    def error(self) -> Floats:
        """(axes,) standard error of the shift, infinite where no text says anything.

        sqrt((S + 1) / n / n), S the sum of squares of n texts about their mean: one more text, as far off as texts of
        one writer are, keeps it from being 0 for one text or for texts that are alike.
        """
        values = self.readings.values
        known = (~np.isnan(values)).sum(axis=0)
        squares = np.nansum(((values - self.readings.mean) / self.space.spread) ** 2, axis=0)
        return np.asarray(np.where(known > 0, np.sqrt(squares + 1) / np.maximum(known, 1), np.inf))

    def telling(self) -> Projection:
        """On the axes that any of the texts shows: what nothing is known of is no reason for anything."""
        known = np.asarray((~np.isnan(self.readings.values)).sum(axis=0) > 0, np.bool_)
        used = self.used.copy()
        used[used] = known
        return replace(self, space=self.space.only(known), used=used, readings=Readings(self.readings.values[:, known]))


@dataclass(frozen=True)
class AxisPosition:
    """Where a person lies on one axis, and beside them some adapters, in pooled standard deviations from the base.

    `low` and `high` are the ends of the axis in words, `error` is the standard error of `value`.
    """

    low: str
    high: str
    value: float
    error: float
    adapters: tuple[float, ...] = ()


def project(
    corpus: Corpus,
    cache: OpenCache,
    base: BaseModel | Path | None,
    *,
    measured_only: bool = False,
    summarizer: BaseModel | Path | None = None,
    retell: bool = False,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Projection:
    """Read a person's texts on the axes of a cache.

    Args:
        base: None where no model is asked; whether the cache is for the base is then not known.
        measured_only: count only; no model is loaded.
        summarizer: the model that is asked; by default the base, if the cache was made with it.
        retell: where the summarizer is another than the cache's, let it read the base's stored answers and use axes of
            its own; adapters have no coordinates there. Otherwise only measured axes are used, and a note says so.

    Raises:
        CacheMismatch: the cache is for another base.
    """
    if base is not None:
        base = BaseModel.open(base)
        cache.require(base)
    texts = _drawn(passages := corpus.passages)
    either = summarizer or base
    model = None if measured_only or either is None else BaseModel.open(either)
    space, notes = cache.space if model else cache.bare, list(cache.notes)
    if len(texts) < len(passages):
        notes.append(f"{len(texts):,} of your {len(passages):,} texts, drawn by their digests, stand for all")
    if model and not _answers_alike(model, cache):
        if retell:
            space = _space_of(cache, model, progress)
        else:
            notes.append(
                f"{model.path.name} is not the model this cache was explained with: only measured axes are used"
            )
            model = None
    whole = Sample("\n".join(texts[:: len(texts) // ENOUGH + 1]))
    english = whole.english
    if model and not english:
        notes.append(
            "adjectives are asked about in English, and your texts were not recognised as English: "
            "only measured axes are used"
        )
        model = None
    if model and (note := described.memory_note(model)):
        notes.append(note)
    if not (shows_length := corpus.shows_length):
        notes.append("plain text does not show how long your messages are, so length is left out")

    known = described.understood(space.axes)
    if other := [axis.name for axis, same in zip(space.axes, known, strict=True) if not same]:
        several = f"{len(other)} axes, " if len(other) > 1 else ""
        notes.append(f"this version of xpert counts {several}{', '.join(other[:3])} otherwise than the cache: left out")

    def wanted(axes: Sequence[Axis]) -> npt.NDArray[np.bool_]:
        flags = [(model or axis.kind == "measured") and (shows_length or not axis.length) for axis in axes]
        return np.array(flags, np.bool_) & described.understood(axes)

    values = described.read(texts, space.axes, space.basis, model, progress).values
    used, at_cache = wanted(space.axes), wanted(cache.bare.axes)
    absurd = _absurd(space, Readings(values), cache)
    if names := [axis.name for axis, far in zip(space.axes, absurd & used, strict=True) if far and axis.named]:
        several = f"{len(names)} axes, " if len(names) > 1 else ""
        notes.append(f"hardly anything varies in this cache on {several}{', '.join(names[:3])}: left out")
    used &= ~absurd
    at_cache &= ~np.isin([axis.name for axis in cache.bare.axes], [space.axes[i].name for i in np.flatnonzero(absurd)])
    foreign = _foreign(texts)
    needed = used & np.array([axis.name in ENGLISH for axis in space.axes], np.bool_)
    if needed.any() and (foreign or not english):
        speaking = int((~np.isnan(values).all(axis=0) & used & [axis.name in OTHER for axis in space.axes]).sum())
        notes += _of_languages(values[:, needed], foreign, speaking)
    return Projection(texts, space.only(used), at_cache, Readings(values[:, used]), tuple(notes), foreign)


def _foreign(texts: Sequence[str]) -> dict[str, int]:
    """The languages other than English that MANY of the texts are in, with their numbers; most first."""
    spoken = Counter(language(Sample(text)) for text in texts)
    return {code: count for code, count in spoken.most_common() if code in NAMES and count >= MANY * len(texts)}


def _of_languages(read: Floats, foreign: Mapping[str, int], speaking: int) -> list[str]:
    """What is said of texts in other languages than English, or in none that is recognised.

    Args:
        read: (texts, axes) readings on the axes that need English words.
        speaking: axes of other languages that say something of the texts.
    """
    total, unread = len(read), int(np.isnan(read).all(axis=0).sum())
    in_english = int((~np.isnan(read)).any(axis=1).sum())
    left_out = f"{counted(unread, 'axes that need English words are')} left out"
    if not foreign:
        if in_english:
            recognised = f"only {in_english} of your {total} texts {_are(in_english)} recognised as English"
            return [f"{recognised}: axes that need English words say nothing of the others"]
        return [f"your texts are not English, or too short: {left_out}"] if unread else []
    (first, most), *others = foreign.items()
    start = f"{most} of your {total} texts {_are(most)} in {NAMES[first]}"
    if 2 * most > total:
        start = f"most of your texts are in {NAMES[first]} ({most} of {total})"
    if most == total:
        start = f"your text{'s are' if total > 1 else ' is'} in {NAMES[first]}"
    counts = "".join(f", {count} in {NAMES[code]}" for code, count in others)
    silent = "axes that need English words say nothing of these" if in_english else left_out
    names = " and ".join(NAMES[code] for code in foreign)
    stead = f"; {counted(speaking, 'axes count')} words of {names} in their stead" if speaking else ""
    return [f"{start}{counts}: {silent}{stead}"]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _drawn(texts: Sequence[str]) -> tuple[str, ...]:
    """At most MOST of the texts, in one order whatever theirs is; the same ones of the same texts."""
    if len(texts) > MOST:
        texts = nsmallest(MOST, texts, lambda text: hashlib.sha256(text.encode("utf-8", "replace")).digest())
    return tuple(sorted(texts))


def _absurd(space: Space, readings: Readings, cache: OpenCache) -> npt.NDArray[np.bool_]:
    """(axes,) on which the writing, or an adapter of a cache that is read whole, lies further than FARTHEST."""
    own = np.asarray(np.abs(space.shift(readings.mean, writing=True)) > FARTHEST, np.bool_)
    if isinstance(cache, IndexedCache):
        return own
    furthest = np.abs(cache.coordinates).max(axis=0, initial=0.0)
    far = {axis.name for axis, value in zip(cache.bare.axes, furthest, strict=True) if value > FARTHEST}
    return own | np.array([axis.name in far for axis in space.axes], np.bool_)


def _space_of(cache: OpenCache, summarizer: BaseModel, progress: Callable[[str, float], None]) -> Space:
    """The cache's space with the described axes of another summarizer, from the base's own answers."""
    own, basis = described.described_axes(summarizer)
    axes = (*(axis for axis in cache.space.axes if axis.kind == "measured"), *own)
    plain = [response for _, response in base_answers(cache.source)]
    answers = described.read(plain, axes, basis, summarizer, progress, most=len(plain))
    spread, precision = pooled([answers.scatter])
    gap = np.zeros(len(axes))
    at = {axis.name: index for index, axis in enumerate(cache.space.axes) if axis.kind == "measured"}
    for index, axis in enumerate(axes):
        if axis.kind == "measured":  # what the cache knows better, from all its adapters' answers
            spread[index], gap[index] = cache.space.spread[at[axis.name]], cache.space.gap[at[axis.name]]
    return Space(axes, basis, np.nan_to_num(answers.mean), gap, spread, precision)


def _answers_alike(summarizer: BaseModel, cache: OpenCache) -> bool:
    """Whether a model's answers mean in this cache's space what they meant when it was built."""
    same_question = described.questions_digest(cache.space.basis) == cache.summarizer["questions"]
    return bool(same_question and summarizer.fingerprint == cache.summarizer["fingerprint"])
