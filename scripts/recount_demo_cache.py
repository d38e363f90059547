"""Count the embedded cache's training texts and the base's answers on the measured axes of this version.

    python scripts/recount_demo_cache.py --styles DIR [--cache adapters]

Adapters are not trained again: each tells anew where the rows that it was trained on lie, its weights stay as they are.
Described axes keep what a model read. Of axes that are new, only the base's answers are known: what people's texts and
answers differ in there whatever the style counts as nothing, and so do the adapters' answers. Communities keep the
places that they have on the axes that count as before. Not here: training
(scripts/build_demo_cache.py).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from build_demo_cache import ROWS, STYLES

from xpert_cli import corpus, gguf, paths
from xpert_cli.cache import card
from xpert_cli.cache.build import MOST_TEXTS, PRIOR, claimed
from xpert_cli.cache.catalogue import ANSWERS, OpenCache, open_cache
from xpert_cli.cache.communities import placed_in, write_communities
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.write import write_cache
from xpert_cli.corpus import Corpus
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.hub.sources import open_source
from xpert_cli.style import described
from xpert_cli.style.measured import least_spreads
from xpert_cli.style.space import Axis, Floats, Readings, Space, joined, measured, pooled, rounded

HELD_OUT, SEED = 0.08, 0  # of the recipe that the adapters were trained with
_NOTHING: described.Basis = np.empty((0, 0), np.float32)


def trained_on(styles: Path, number: int, folder: Path) -> Corpus:
    """The rows of a style that its adapter was trained on."""
    text = folder / f"{number}.jsonl"
    with (styles / f"{number}_train.jsonl").open(encoding="utf-8") as source:
        text.write_text("".join(islice(source, ROWS)), "utf-8")
    return corpus.read([str(text)], wanted=corpus.Wanted(copies=True)).split(HELD_OUT, SEED)[0]


def retold(adapter: Adapter, readings: Readings, axes: tuple[Axis, ...], basis: described.Basis) -> Adapter:
    """The adapter with what it tells of its training text on these axes; described means as it told them before."""
    before = described.source_mean(adapter, axes, basis)
    metadata = described.source_metadata(readings, axes, basis)
    mean = np.where(measured(axes), readings.mean, np.nan if before is None else before)
    placed = metadata | {"xpert.source.mean": [float(value) for value in mean]}
    return replace(adapter, metadata={**adapter.metadata, **placed})


def recounted(
    cache: OpenCache, writings: list[Readings], base: Readings, axes: tuple[Axis, ...]
) -> tuple[Space, Floats]:
    """The space on the axes of this version, and the adapters' answers in it; described axes as before."""
    old, counted = cache.space, measured(axes)
    at = {axis.name: index for index, axis in enumerate(old.axes)}
    known = np.array([axis.name in at for axis in axes])
    rows = [at.get(axis.name, 0) for axis in axes]
    own = [one.scatter.on(counted) for one in writings]
    prior = base.scatter.on(counted).weighing(1 + PRIOR)
    people = pooled([prior, *(one.weighing(min(one.samples, MOST_TEXTS)) for one in own)])
    is_described = ~measured(old.axes)
    metric = joined(people, (old.spread[is_described], old.precision[np.ix_(is_described, is_described)]), counted)
    spread = np.maximum(metric[0], least_spreads([axis.name for axis in axes]))
    reference = np.where(counted, np.nan_to_num(base.mean), old.reference[rows])
    gap = np.where(known, old.gap[rows], 0.0)
    raw = cache.answer_coordinates[:, rows] * old.spread[rows] + old.reference[rows]
    answers = np.where(known, (raw - reference) / spread, 0.0)
    return Space(axes, old.basis, reference, gap, spread, rounded(metric[1])), answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True, help="folder of the style sets")
    parser.add_argument("--cache", type=Path, default=Path("adapters"), help="the cache to count anew")
    parser.add_argument("--work", type=Path, default=Path("runs/recount"), help="for the rows that are read")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    cache = open_cache(open_source(str(options.cache)))
    axes = (*described.measured_axes(), *(axis for axis in cache.space.axes if axis.kind != "measured"))
    replies = [json.loads(line)["response"] for line in (options.cache / ANSWERS).read_text("utf-8").splitlines()]
    base = described.read(replies, axes, _NOTHING, None)
    writings, adapters = [], []
    for entry in cache.entries:
        texts = trained_on(options.styles, STYLES[entry.id], options.work).passages
        writings.append(described.read(texts, axes, _NOTHING, None))
        adapter = gguf.read_adapter(options.cache / entry.file)
        adapters.append(retold(adapter, writings[-1], axes, cache.space.basis))
        print(f"{entry.id}: {len(texts)} texts", flush=True)
    space, answers = recounted(cache, writings, base, axes)
    training = claimed(space, [described.read_source(one, axes, space.basis) for one in adapters])
    entries = [written(space, *one, options.cache) for one in zip(cache.entries, adapters, training, strict=True)]
    made_with = {"base": dict(cache.base), "summarizer": dict(cache.summarizer), "probes": cache.probes}
    groups = [placed_in(one, cache.space, space) for one in cache.communities]
    if groups:
        write_communities(options.cache, groups, space.axes)
    write_cache(options.cache, made_with, entries, space, answers, training)
    readme = options.cache / card.FILE
    readme.write_text(card.update_card(readme.read_text("utf-8"), entries, {}, 0, groups), "utf-8")


def written(space: Space, entry: Entry, adapter: Adapter, shift: Floats, folder: Path) -> Entry:
    """Write one adapter, and tell of it."""
    path = folder / entry.file
    gguf.write_adapter(adapter, path, "F16")
    explanation = described.sentence(space, np.nan_to_num(shift), subject="writes")
    return replace(entry, sha256=paths.digest(path), bytes=path.stat().st_size, explanation=explanation)


if __name__ == "__main__":
    main()
