"""`xpert summarize`: a person's writing explained in words and numbers, against the base model's own answers.

    summary = summarize(corpus, cache, base)
    summary.explanation        # "Compared with the base model you write in shorter sentences (-1.8), ..."

Not here: choosing an adapter (selection/select.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.corpus import Corpus
from xpert_cli.errors import BadInput
from xpert_cli.gguf import BaseModel
from xpert_cli.selection.apart import apart
from xpert_cli.selection.project import project
from xpert_cli.style import described


@dataclass(frozen=True)
class AxisReading:
    """One axis of an explanation; `value` is the shift from the base in pooled within-writer standard deviations.

    `error` is its standard error, infinite where no text says anything; `low` and `high` are the axis's ends in words.
    """

    name: str
    kind: str
    value: float
    error: float
    low: str
    high: str
    words: str
    evidence: str
    shown: bool


@dataclass(frozen=True)
class Summary:
    """An explained corpus, strongest axis first; `shown` marks the axes that say different things to a reader.

    `apart` is what the writing shares with the adapters of the cache and what not (selection/apart.py).
    """

    samples: int
    axes: tuple[AxisReading, ...]
    explanation: str
    notes: tuple[str, ...]
    seconds: float
    apart: str = ""


SHOWN = 8
CLEAR = 0.5  # standard deviations from which on an axis is worth an instruction


def as_prompt(summary: Summary) -> str:
    """The explanation as an instruction for any assistant; no line of the person's is in it.

    Raises:
        BadInput: nothing in the writing stands out clearly enough.
    """
    clear = [axis for axis in summary.axes if axis.shown and abs(axis.value) >= CLEAR]
    if not clear:
        raise BadInput("nothing in these texts stands out clearly enough for an instruction. Give more of them.")
    lines = [f"- {axis.words}{', much more than usual' if abs(axis.value) >= 2 else ''}" for axis in clear]
    head = "Write in the style of one particular person. Compared with a language model's usual answers, they write:"
    tail = "Keep to this style whatever the subject is, and do not mention it."
    return "\n".join([head, *lines, tail])


def summarize(
    corpus: Corpus,
    cache: OpenCache,
    base: BaseModel | Path | None,
    *,
    measured_only: bool = False,
    summarizer: BaseModel | Path | None = None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Summary:
    """Explain a person's writing on the axes of a cache; nothing leaves the process.

    Args:
        base: None where no model is asked.
        measured_only: count only; no model is loaded.
        summarizer: the model behind the described axes; by default the base.

    Raises:
        CacheMismatch: the cache is for another base.
    """
    began = time.monotonic()
    projection = project(
        corpus, cache, base, measured_only=measured_only, summarizer=summarizer, retell=True, progress=progress
    )
    space, shift, error = projection.space, projection.shift, projection.error
    shown = described.strongest(space, shift, SHOWN)
    quotes: dict[int, str] = {}
    for i in shown:  # the strongest first: a line is quoted for what it shows most
        column = projection.readings.values[:, i]
        quotes[i] = described.quote(projection.texts, space.axes[i], shift[i], column, quotes.values())
    axes = tuple(
        AxisReading(
            name=space.axes[i].name,
            kind=space.axes[i].kind,
            value=float(shift[i]),
            error=float(error[i]),
            low=space.axes[i].low,
            high=space.axes[i].high,
            words=space.axes[i].words(shift[i]),
            evidence=quotes.get(i, ""),
            shown=i in shown,
        )
        for i in map(int, np.argsort(-np.abs(shift), kind="stable"))
        if space.axes[i].named
    )
    explanation = f"Compared with the base model {described.sentence(space, shift)}."
    among = apart(projection, cache)
    return Summary(len(corpus), axes, explanation, projection.notes, time.monotonic() - began, among)
