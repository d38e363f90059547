"""The adapters to choose from and the users who choose, in one style space, a level of similarity at a time.

    levels, missing = complete_levels(run)
    placement = placed_at(Reader(run), levels[0], short=False)

What a language model reads or scores is stored by a digest of what it was made of; counted axes are counted anew each
time. Not here: who is ranked first (selection.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.adapters import adapter_file, diluted
from benchmarks.run import STYLES, Run, say
from xpert_cli import gguf
from xpert_cli.cache.answers import answer_probes
from xpert_cli.cache.build import build_space
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Message
from xpert_cli.hub.sources import open_source
from xpert_cli.llama.model import Sample
from xpert_cli.paths import digest
from xpert_cli.style import described
from xpert_cli.style.measured import cut, measure_all
from xpert_cli.style.space import Axis, Floats, Readings, Space, measured
from xpert_cli.training.loop import evaluate

POOL = 60  # test rows of a style that users are drawn from
DESCRIBED, STEP = 40, 6  # training rows of an adapter that the question is asked about, and from one to the next
REFERENCES, SCORED = 12, 64  # probes whose answers every adapter scores, and tokens of an answer that are scored
CUT = 50  # words of a text where length is removed
Row = TypeVar("Row")


@dataclass(frozen=True)
class Level:
    """Eight adapters, one a style, whose training rows are styled in `similarity` of a hundred."""

    similarity: int
    rows: int
    files: dict[int, Path]


def complete_levels(run: Run) -> list[Level]:
    """The levels asked for whose adapters are all there, the packaged cache as level 100 last."""
    levels, rows = [], (run.options.rows or (240,))[0]
    for similarity in run.options.levels:
        files = {style: adapter_file(run, style, similarity, rows) for style in STYLES}
        if absent := [path.name for path in files.values() if not path.exists()]:
            say(f"{similarity} % is left out: {', '.join(absent)} are not there (python -m benchmarks adapters).")
        else:
            levels.append(Level(similarity, rows, files))
    cache = open_cache(open_source("embedded"))
    cache.require(run.base)
    return [*levels, Level(100, 500, {style: cache.fetch(name) for style, name in STYLES.items()})]


@dataclass(frozen=True, eq=False)
class Reader:
    """Readings, answers and losses of the base model and its adapters, each made once.

    The base is asked about texts unless another summarizer is given. `active` is the adapter on the run's decoder.
    """

    run: Run
    summarizer: Path | None = None
    active: list[Path | None] = field(default_factory=list)

    @cached_property
    def axes(self) -> tuple[tuple[Axis, ...], described.Basis]:
        """All axes, and the basis of the described ones."""
        return described.axes_of(self.summarizer or self.run.base)

    def readings(self, name: str, texts: Sequence[str]) -> Floats:
        """(texts, axes) readings; described ones are stored, counted ones are not."""
        axes, basis = self.axes
        made_of = [name, list(texts), described.questions_digest(basis)]

        def ask() -> Floats:
            model = self.summarizer or self.run.base
            return described.read(texts, axes, basis, model, say, most=len(texts)).values[:, -len(basis) :]

        return np.concatenate([measure_all(texts), self.run.store.array(name, made_of, ask)], axis=1)

    def answers(self, level: Level) -> list[list[str]]:
        """Answers to all probes, of the base first, then of the adapters by style."""
        files = {str(style): gguf.AdapterFile.open(path, str(style)) for style, path in level.files.items()}
        base = gguf.BaseModel.open(self.run.base)
        return list(answer_probes(base, files, self.run.store.file("answers").parent, 0, say).values())

    def losses(self, adapter: Path | None, samples: Sequence[Sample]) -> Floats:
        """(samples,) mean nats a scored token under the base and one adapter."""
        key = digest(adapter) if adapter else self.run.fingerprint

        def score() -> list[float]:
            if self.active != [adapter]:
                self.run.decoder.begin(gguf.read_adapter(adapter) if adapter else None, 8, 2.0, 0)  # B is 0: the base
                self.active[:] = [adapter]
            return [evaluate(self.run.decoder, [sample]) for sample in samples]

        return self.run.store.array("losses", [key, [[*map(int, tokens), at] for tokens, at in samples]], score)


@dataclass(frozen=True, eq=False)
class Placement:
    """Adapters and users of one level on the same axes.

    Attributes:
        answers, sources: (8, axes) shifts of the adapters' answers, and of their training texts.
        references: (texts, axes) shifts of the answers that all adapters scored; prompts: (texts,) what they answer.
        gains: (texts, 8) nats a token by which an adapter predicts a reference better than the base does.
        users: by style, (POOL, axes) readings of test rows.
    """

    space: Space
    answers: Floats
    sources: Floats
    references: Floats
    prompts: npt.NDArray[np.int64]
    gains: Floats
    users: tuple[Floats, ...]

    def only(self, keep: npt.NDArray[np.bool_]) -> Placement:
        """The same on a subset of the axes."""
        answers, sources, references = (part[:, keep] for part in (self.answers, self.sources, self.references))
        users = tuple(user[:, keep] for user in self.users)
        return Placement(self.space.only(keep), answers, sources, references, self.prompts, self.gains, users)


def placed_at(reader: Reader, level: Level, *, short: bool, with_training_text: bool = True) -> Placement:
    """Place one level's adapters and all users.

    Args:
        short: with length removed: every text cut to its first words, and no length axes.
        with_training_text: whether adapters bring the coordinates of their training text; else the metric is that of
            answers, there is no gap, and `sources` are zero.
    """
    run, (axes, basis) = reader.run, reader.axes
    clip: Callable[[str], str] = partial(cut, count=CUT) if short else str
    answers_of = reader.answers(level)
    answered = [Readings(reader.readings("answers", [clip(text) for text in texts])) for texts in answers_of]
    trained = [_source(reader, diluted(run, style, level.similarity, level.rows)[0], style, clip) for style in STYLES]
    writings = [source.scatter.on(measured(axes)) for source in trained] if with_training_text else []
    claims = [source.mean if with_training_text else None for source in trained]
    space, answers, sources = build_space(axes, basis, answered, claims, writings)
    picked = list(range(0, len(answers_of[0]), len(answers_of[0]) // REFERENCES)[:REFERENCES])
    references = np.concatenate([one.values[picked] for one in answered])
    pools = [[clip(row.response) for row in run.rows(f"{style}_test")[:POOL]] for style in STYLES]
    placement = Placement(
        space,
        answers,
        np.nan_to_num(sources),
        np.asarray(space.shift(references, writing=False)),
        np.tile(np.arange(len(picked)), len(answers_of)),
        _gains(reader, level, [[texts[i] for i in picked] for texts in answers_of], picked),
        tuple(reader.readings("test", pool) for pool in pools),
    )
    return placement.only(np.array([not axis.length for axis in axes])) if short else placement


def _source(reader: Reader, messages: Sequence[Message], style: int, clip: Callable[[str], str]) -> Readings:
    """Readings of an adapter's training text: all rows counted, some of them asked about.

    Styles start at different rows, so that the gap over all of them rests on many prompts; styled and unstyled rows are
    read once and serve the adapters of every level.
    """
    texts, start = [clip(message.response) for message in messages], style % STEP
    described_values = np.full((len(texts), len(reader.axes[1])), np.nan)
    known: dict[str, Floats] = {}
    for pool in (0, style):
        some = [clip(row.response) for row in _every(reader.run.rows(f"{pool}_train"), start)]
        known |= dict(zip(some, reader.readings("train", some)[:, -len(reader.axes[1]) :], strict=True))
    described_values[start : STEP * DESCRIBED : STEP] = [known[text] for text in _every(texts, start)]
    return Readings(np.concatenate([measure_all(texts), described_values], axis=1))


def _every(rows: Sequence[Row], start: int) -> Sequence[Row]:
    return rows[start : STEP * DESCRIBED : STEP]


def _gains(reader: Reader, level: Level, answers_of: list[list[str]], picked: list[int]) -> Floats:
    """(texts, 8) gains on the first tokens of the answers to some probes, author by author."""
    probes = described.probes()
    messages = [Message(probes[i], text, "") for texts in answers_of for i, text in zip(picked, texts, strict=True)]
    samples = [(tokens[: start + SCORED], start) for tokens, start in reader.run.samples(messages)]
    base = reader.losses(None, samples)
    return np.asarray(np.array([base - reader.losses(path, samples) for path in level.files.values()]).T)
