"""Placing one person's writing in a cache's style space: the step that summarize and select share.

    placed = place(corpus, catalogue, base)
    placed.shift                       # (axes,) in pooled standard deviations from the base

Texts are put in one order first, so that neither files nor messages need to come in any. Not here: what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xpert_cli.doors import gguf
from xpert_cli.doors.corpus import Corpus
from xpert_cli.maths.space import Floats, Readings, Space
from xpert_cli.steps import explain
from xpert_cli.steps.catalogue import Catalogue


@dataclass(frozen=True, eq=False)
class Placed:
    """A person's texts on the axes of a space.

    Attributes:
        space: the cache's, or its measured part where the cache's summarizer is not at hand or not wanted.
        used: (axes of the cache,) which of them `space` has.
        readings: of `texts`, one row each.
    """

    texts: tuple[str, ...]
    space: Space
    used: Floats
    readings: Readings
    notes: tuple[str, ...]

    @property
    def shift(self) -> Floats:
        """(axes,) shift of the writing from the base, in pooled standard deviations."""
        return self.space.shift(self.readings.mean, writing=True)


def place(
    corpus: Corpus,
    cache: Catalogue,
    base: Path,
    *,
    measured_only: bool = False,
    summarizer: Path | None = None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Placed:
    """Read a person's texts on the axes of a cache.

    Args:
        measured_only: count only; no model is loaded.
        summarizer: the model that is asked; by default the base, if the cache was made with it.

    Raises:
        CacheMismatch: the cache is for another base.
    """
    cache.require(base)
    texts = tuple(sorted(corpus.texts))
    asked = None if measured_only else (summarizer or base)
    notes: tuple[str, ...] = ()
    if asked and not _answers_alike(asked, cache):
        notes = (f"{asked.name} is not the model this cache was explained with, so only measured axes are used",)
        asked = None
    described = np.array([axis.kind == "described" for axis in cache.space.axes])
    used = np.ones_like(described) if asked else ~described
    space = cache.space if asked else cache.space.only(used)
    readings = explain.read(texts, space.basis, asked, progress)
    return Placed(texts, space, used, readings, notes)


def _answers_alike(summarizer: Path, cache: Catalogue) -> bool:
    """Whether a model's answers mean in this cache's space what they meant when it was built."""
    same_question = explain.questions_digest(cache.space.basis) == cache.summarizer["questions"]
    return same_question and gguf.fingerprint(summarizer) == cache.summarizer["fingerprint"]
