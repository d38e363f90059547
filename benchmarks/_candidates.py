"""The adapters to choose from and the users who choose: placed in one style space, a level of similarity at a time.

    level = levels(bench, adapters)[0]
    placement = placed_at(bench, level, Reader(bench, out), cut_to=None)

What a language model reads or scores is kept under `out` by a digest of what it was made of; counted axes are counted
anew each time. Not here: who is ranked first (_choosing.py).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from _common import Bench

from adapters import LEVELS, diluted
from xpert_cli import gguf
from xpert_cli.cache.build import answer_probes, build_space
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Message
from xpert_cli.hub.sources import open_source
from xpert_cli.llama.model import Sample
from xpert_cli.paths import digest, whole
from xpert_cli.style import described as explain
from xpert_cli.style.measured import cut, measure_all
from xpert_cli.style.space import Axis, Floats, Readings, Space, measured
from xpert_cli.training.loop import evaluate

STYLES = {
    1: "elementary-concise-playful",
    2: "elementary-concise-plain",
    3: "elementary-informative-playful",
    4: "elementary-informative-plain",
    5: "expert-concise-playful",
    6: "expert-concise-plain",
    7: "expert-informative-playful",
    8: "expert-informative-plain",
}
POOL = 60  # test rows of a style that users are drawn from
DESCRIBED = 40  # training rows of an adapter that the question is asked about; all are counted
STEP = 6  # from one of them to the next
REFERENCES = 12  # probes whose answers every adapter scores
SCORED = 64  # tokens of an answer that are scored
CUT = 50  # words of a text where length is removed
Row = TypeVar("Row")


def say(message: str, fraction: float = 0.0) -> None:
    """One line of progress, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r{message} {fraction:4.0%}\x1b[K", end="", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Level:
    """Eight adapters, one a style, whose training rows are styled in `similarity` of a hundred."""

    similarity: int
    rows: int
    files: dict[int, Path]


def levels(bench: Bench, adapters: Path | None, rows: int = 240) -> tuple[list[Level], list[str]]:
    """The levels whose adapters are all there, the packaged cache as level 100 last; and a line for each left out."""
    found, missing = [], []
    for similarity in LEVELS if adapters else ():
        files = {style: Path(adapters or "") / str(rows) / f"{style}-{similarity}.gguf" for style in STYLES}
        if absent := [path.name for path in files.values() if not path.exists()]:
            missing.append(f"{similarity} % is left out: {', '.join(absent)} not made yet.")
        else:
            found.append(Level(similarity, rows, files))
    cache = open_cache(open_source("embedded"))
    cache.require(bench.base)
    return [*found, Level(100, 500, {style: cache.fetch(name) for style, name in STYLES.items()})], missing


@dataclass(frozen=True, eq=False)
class Reader:
    """Readings, answers and losses of the base model and its adapters, each made once.

    The base is asked about texts unless another summarizer is given.
    """

    bench: Bench
    out: Path
    summarizer: Path | None = None
    worn: list[Path | None] = field(default_factory=list)  # the adapter on the bench's decoder, if any was put there

    @cached_property
    def axes(self) -> tuple[tuple[Axis, ...], explain.Basis]:
        """All axes, and the basis of the described ones."""
        return explain.axes_of(self.summarizer or self.bench.base)

    def readings(self, name: str, texts: Sequence[str]) -> Floats:
        """(texts, axes) readings; described ones are kept in a file, counted ones are not."""
        made_of = [name, list(texts), explain.questions_digest(self.axes[1])]
        path = self.out / f"{name}-{short_key(made_of)}.npy"
        if not path.exists():
            read = explain.read(texts, *self.axes, self.summarizer or self.bench.base, say, asked=len(texts))
            with whole(path) as part, part.open("wb") as file:
                np.save(file, read.values)
        described = np.load(path)[:, -len(self.axes[1]) :]
        return np.concatenate([measure_all(texts), described], axis=1).astype(np.float64)

    def answers(self, level: Level) -> list[list[str]]:
        """Answers to all probes, of the base first, then of the adapters by style."""
        files = {str(style): path for style, path in level.files.items()}
        return list(answer_probes(self.bench.base, files, self.out, 0, say).values())

    def losses(self, adapter: Path | None, samples: Sequence[Sample]) -> Floats:
        """(samples,) mean nats a scored token under the base and one adapter."""
        made_of = [digest(adapter) if adapter else self.bench.fingerprint, [[*map(int, t), at] for t, at in samples]]
        path = self.out / f"losses-{short_key(made_of)}.npy"
        if not path.exists():
            self._wear(adapter)
            with whole(path) as part, part.open("wb") as file:
                np.save(file, [evaluate(self.bench.decoder, [sample]) for sample in samples])
        return np.asarray(np.load(path), np.float64)

    def _wear(self, path: Path | None) -> None:
        if self.worn != [path]:
            adapter = gguf.read_adapter(path) if path else None
            self.bench.decoder.begin(adapter, 8, 2.0, 0)  # without an adapter B is zero: the base
            self.worn[:] = [path]


def short_key(made_of: object) -> str:
    """A name for what was made of something that JSON can hold."""
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Placement:
    """Adapters and users of one level on the same axes.

    Attributes:
        origins: (axes,) readings that users' shifts may be counted from instead of the space's own: "unstyled", of the
            unstyled training rows, and "none", of the base's answers.
        answers, sources: (8, axes) shifts of the adapters' answers, and of their training texts.
        references: (texts, axes) shifts of the answers that all adapters scored; prompts: (texts,) what they answer.
        gains: (texts, 8) nats a token by which an adapter predicts a reference better than the base does.
        users: by style, (POOL, axes) readings of test rows.
    """

    space: Space
    origins: dict[str, Floats]
    answers: Floats
    sources: Floats
    references: Floats
    prompts: Floats
    gains: Floats
    users: tuple[Floats, ...]

    def only(self, keep: np.ndarray) -> Placement:
        """The same on a subset of the axes."""
        origins = {name: origin[keep] for name, origin in self.origins.items()}
        answers, sources, references = (part[:, keep] for part in (self.answers, self.sources, self.references))
        users = tuple(user[:, keep] for user in self.users)
        return Placement(self.space.only(keep), origins, answers, sources, references, self.prompts, self.gains, users)


def placed_at(reader: Reader, level: Level, *, short: bool, told: bool = True) -> Placement:
    """Place one level's adapters and all users.

    Args:
        short: with length removed: every text cut to its first words, and no length axes.
        told: whether adapters tell of their training text; else the metric is that of answers, there is no gap, and
            sources lie nowhere.
    """
    bench, (axes, basis) = reader.bench, reader.axes
    clip: Callable[[str], str] = partial(cut, count=CUT) if short else str
    said = reader.answers(level)
    shown = [Readings(reader.readings("answers", [clip(text) for text in texts])) for texts in said]
    trained = [
        _source(reader, diluted(bench, style, level.similarity, level.rows)[0], style, [style % STEP], clip)
        for style in STYLES
    ]
    plain = _source(reader, bench.rows("0_train")[: level.rows], 0, range(STEP), clip).mean
    writings = [source.scatter.on(measured(axes)) for source in trained]
    claims = [source.mean if told else None for source in trained]
    space, answers, sources = build_space(axes, basis, shown, claims, writings if told else ())
    picked = range(0, len(said[0]), len(said[0]) // REFERENCES)[:REFERENCES]
    references = np.concatenate([one.values[list(picked)] for one in shown])
    users = tuple(reader.readings("test", [clip(m.response) for m in bench.rows(f"{s}_test")[:POOL]]) for s in STYLES)
    placement = Placement(
        space,
        {"unstyled": np.where(np.isnan(plain), space.reference, plain), "none": space.reference},
        answers,
        np.nan_to_num(sources),
        np.asarray(space.shift(references, writing=False)),
        np.tile(np.arange(len(picked)), len(said)),
        _gains(reader, level, [[texts[i] for i in picked] for texts in said], list(picked)),
        users,
    )
    return placement.only(np.array([not axis.length for axis in axes])) if short else placement


def _source(
    reader: Reader, messages: Sequence[Message], own: int, starts: Sequence[int], clip: Callable[[str], str]
) -> Readings:
    """Readings of an adapter's training text: all rows counted, those of some starts asked about."""
    texts = [clip(message.response) for message in messages]
    described = np.full((len(texts), len(reader.axes[1])), np.nan)
    for start in starts:
        told: dict[str, Floats] = {}
        for pool in {0, own}:
            some = [clip(message.response) for message in _asked(reader.bench.rows(f"{pool}_train"), start)]
            told |= dict(zip(some, reader.readings("train", some)[:, -len(reader.axes[1]) :], strict=True))
        described[start : STEP * DESCRIBED : STEP] = [told[text] for text in _asked(texts, start)]
    return Readings(np.concatenate([measure_all(texts), described], axis=1))


def _asked(rows: Sequence[Row], start: int) -> Sequence[Row]:
    """The DESCRIBED training rows from `start` on that the question is asked about.

    Styles start at different rows, so that the gap over all of them rests on many prompts; styled and unstyled rows are
    read once and serve the adapters of every level.
    """
    return rows[start : STEP * DESCRIBED : STEP]


def _gains(reader: Reader, level: Level, said: list[list[str]], picked: list[int]) -> Floats:
    """(texts, 8) gains on the first tokens of the answers to some probes, author by author."""
    probes = explain.probes()
    asked = [Message(probes[i], text, "") for texts in said for i, text in zip(picked, texts, strict=True)]
    samples = [(tokens[: start + SCORED], start) for tokens, start in reader.bench.samples(asked)]
    base = reader.losses(None, samples)
    return np.asarray(np.array([base - reader.losses(path, samples) for path in level.files.values()]).T)
