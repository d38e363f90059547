"""What deciding costs: bytes fetched, tokens that a model reads, and seconds, as the cache grows.

    grown(cache, 1000, folder)                 # a cache of so many synthetic adapters, catalogue and coordinates only
    read_by_default, read_by_all = tokens(bench, samples=20)

Not here: whether the decision is right.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile

import numpy as np
from _candidates import STYLES
from _common import Bench

from xpert_cli.cache.catalogue import COORDINATES, Catalogue, open_cache, write_cache
from xpert_cli.corpus import Corpus
from xpert_cli.hub.sources import CATALOGUE, open_source
from xpert_cli.llama.model import Vocabulary
from xpert_cli.selection.project import project
from xpert_cli.selection.score import direction_scores
from xpert_cli.selection.select import select
from xpert_cli.style import described
from xpert_cli.style.measured import cut

SIZES = (8, 1_000, 100_000)
JITTER = 0.5  # standard deviations that a synthetic adapter lies from the one it copies


@dataclass(frozen=True)
class Cost:
    """Of deciding among so many adapters by counted axes alone.

    Attributes:
        fetched, all: bytes of catalogue and coordinates, and of all adapters.
        open_seconds, rank_seconds: to read the catalogue, and to score and sort the adapters.
        select_seconds: of the whole of `xpert select` after opening: reading the user's texts, ranking, confidence,
            mixtures, reasons.
    """

    adapters: int
    fetched: int
    all: int
    open_seconds: float
    rank_seconds: float
    select_seconds: float


def grown(cache: Catalogue, count: int, folder: Path) -> Catalogue:
    """A cache of `count` adapters: jittered copies of a cache's coordinates, which share its adapter files."""
    draw = np.random.default_rng(0)
    told = json.loads(cache.source.file(CATALOGUE).read_bytes())
    kept = {key: told[key] for key in ("base", "summarizer", "probes")}
    entries = []
    for index in range(count):
        entry = cache.entries[index % len(cache.entries)]
        entries.append(replace(entry, id=f"{entry.id}-{index:06}"))
    rows = np.arange(count) % len(cache.entries)
    shifts = [
        some[rows] + JITTER * draw.normal(size=(count, some.shape[1]))
        for some in (cache.answer_coordinates, cache.training_coordinates)
    ]
    (folder / "adapters").mkdir(parents=True, exist_ok=True)
    for entry in cache.entries:
        copyfile(cache.fetch(entry.id), folder / entry.file)
    write_cache(folder, kept, entries, cache.space, *shifts)
    return open_cache(open_source(str(folder)))


def cost(bench: Bench, count: int, folder: Path) -> Cost:
    """Bytes and seconds to decide among `count` adapters; seconds are the least of a few repetitions."""
    cache = open_cache(open_source("embedded"))
    if count != len(cache.entries):
        cache = grown(cache, count, folder)
    corpus = Corpus(bench.rows("1_test")[:20])
    projection = project(corpus, cache, bench.base, measured_only=True)
    opened = _least(lambda: open_cache(cache.source), 2)
    adapters = cache.coordinates[:, projection.used]
    ranked = _least(lambda: direction_scores(projection.shift, adapters, projection.space.precision).argsort(), 5)
    selected = _least(lambda: select(corpus, cache, bench.base, measured_only=True), 1)
    fetched = sum(cache.source.file(name).stat().st_size for name in (CATALOGUE, COORDINATES))
    return Cost(count, fetched, sum(entry.bytes for entry in cache.entries), opened, ranked, selected)


def _least(run: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of some repetitions."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return min(found)


def tokens(bench: Bench, samples: int) -> tuple[float, float]:
    """Mean tokens that the base reads to place a user of so many texts, and that all eight adapters read to score them.

    Scoring reads a prompt and the response, cut as the losses are; placing reads the question with the text's first
    words, what all questions share once a group.
    """
    question, tail = described.prompts()
    placing, scoring = 0, 0
    with Vocabulary(bench.base) as vocabulary:
        for style in STYLES:
            messages = bench.rows(f"{style}_test")[:samples]
            asked = [
                vocabulary.chat(question.replace("{text}", cut(message.response, described.WORDS)))
                + vocabulary.tokenize(tail)
                for message in messages
            ]
            shared = next(i for i, column in enumerate(zip(*asked, strict=False)) if len(set(column)) > 1)
            groups = -(-samples // described.SEQUENCES)
            placing += sum(len(one) - shared for one in asked) + groups * shared
            scoring += len(STYLES) * sum(len(one) for one, _ in bench.samples(messages))
    return placing / len(STYLES), scoring / len(STYLES)
