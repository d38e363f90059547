"""What training changed: the style of a model's answers before and after it, beside the person's, axis by axis.

    asked = prompts(held_out)
    before, after = answers(base, asked, start), answers(merged, asked)
    style_shifts(before, after, held_out.texts, space)[0].sentence  # "with more emoji: answers +0.1 before, ..."

Measured axes only, which need no model to read, and not those of length, for answers are cut off. Eight answers leave
a mean uncertain by about a third of a standard deviation. Not here: losses (training/evaluate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xpert_cli.corpus import Corpus
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model, Vocabulary
from xpert_cli.llama.samples import PROMPT
from xpert_cli.style import described
from xpert_cli.style.space import FARTHEST, Axis, Floats, Readings, Space, pooled

ANSWERS = 8
ANSWER_TOKENS = 64  # some 50 words, enough for a rate a hundred words
PROMPT_TOKENS = 416  # longer prompts are not asked: all answers share the memory of one context
TEMPERATURE = 0.7
SHOWN = 6
UNIT = "0 is where the base's answers lie, 1 is a standard deviation between texts of one person"


@dataclass(frozen=True)
class StyleShift:
    """One axis: a model's answers before and after, and the person's writing, with the gap between the two taken out.

    Values are shifts from the base in pooled within-writer standard deviations; `name` is the end of the axis that
    the person is at, in words.
    """

    axis: str
    name: str
    was: float
    is_: float
    you: float

    @property
    def sentence(self) -> str:
        """The axis on one line."""
        was, now, you = map(signed, (self.was, self.is_, self.you))
        return f"{self.name}: answers {was} before, {now} after; your texts {you}"


def signed(value: float) -> str:
    """A shift to one decimal; there is no -0.0."""
    return f"{round(value, 1) + 0:+.1f}"


def prompts(corpus: Corpus) -> tuple[str, ...]:
    """The first few different prompts of a person's messages."""
    return tuple(dict.fromkeys(message.prompt or PROMPT for message in corpus.messages))[:ANSWERS]


def answers(
    model: BaseModel | Path,
    prompts: Sequence[str],
    adapters: Sequence[WeightedAdapter] = (),
    *,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> list[str]:
    """What a model with adapters says to prompts: ANSWERS texts, so that fewer prompts are asked several times.

    Answer i is sampled with seed + i, in one batch. Two models of one vocabulary are asked the same.

    Raises:
        BadModel, CacheMismatch: the model or an adapter cannot be used.
    """
    model = BaseModel.open(model)
    with Vocabulary(model) as vocabulary:
        fitting = [tokens for tokens in map(vocabulary.chat, prompts) if len(tokens) <= PROMPT_TOKENS]
        fitting = fitting or [vocabulary.chat(PROMPT)]
    room = ANSWERS * (max(map(len, fitting)) + ANSWER_TOKENS)
    with Model(model, context=room, sequences=ANSWERS, lean=True) as opened:
        opened.apply(adapters)
        turns = [fitting[i % len(fitting)] for i in range(ANSWERS)]
        sampled = opened.answers(turns, max_tokens=ANSWER_TOKENS, temperature=TEMPERATURE, seed=seed, progress=progress)
        return [opened.detokenize(tokens) for tokens in sampled]


def style_shifts(
    before: Sequence[str], after: Sequence[str], written: Sequence[str], space: Space
) -> tuple[StyleShift, ...]:
    """How the style of answers moved, on the axes where the person lies furthest from the base.

    Args:
        before, after: answers of two models to the same prompts.
        written: the person's texts.
        space: of the cache; where there is none, `own_space`.
    """
    return tuple(
        StyleShift(axis.name, axis.words(you), was, now, you)
        for axis, (was, now), you in compared([before, after], written, space)
    )


def compared(
    models: Sequence[Sequence[str]], written: Sequence[str], space: Space
) -> list[tuple[Axis, list[float], float]]:
    """(axis, shift of each model's answers, shift of the person), strongest shift of the person first, SHOWN at most.

    An axis that some of the texts say nothing about, or that repeats a stronger one, is left out.
    """
    shown = np.array([axis.kind == "measured" and not axis.length for axis in space.axes])
    space = space.only(shown)
    means = [_measured(texts, space.axes).mean for texts in models]
    person = _measured(written, space.axes).mean
    known = ~np.isnan([*means, person]).any(axis=0)
    you = np.where(known, space.shift(person, writing=True), 0.0)
    shifts = [space.shift(mean, writing=False) for mean in means]
    you = np.where((np.abs([you, *shifts]) > FARTHEST).any(axis=0), 0.0, you)  # divided by next to nothing
    strongest = described.strongest(space, you, SHOWN)
    return [(space.axes[i], [float(shift[i]) for shift in shifts], float(you[i])) for i in strongest]


def own_space(answers: Sequence[str], written: Sequence[str]) -> Space:
    """A space for want of a cache: a model's answers are its origin, and its scales are pooled over both writers.

    What sets any writing apart from answers to prompts is unknown here, so a person's shift holds that too.
    """
    axes = described.measured_axes()
    readings = [_measured(texts, axes) for texts in (answers, written)]
    spread, precision = pooled([one.scatter for one in readings])
    origin: Floats = np.nan_to_num(readings[0].mean)
    return Space(axes, described.NO_BASIS, origin, np.zeros_like(origin), spread, precision)


def _measured(texts: Sequence[str], axes: Sequence[Axis]) -> Readings:
    return described.read(texts, axes, described.NO_BASIS, None)
