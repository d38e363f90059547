"""Count the embedded cache's training texts and the base's answers on the measured axes of this version.

    python scripts/recount_demo_cache.py --styles DIR [--people DIR] [--cache adapters]

Adapters are not trained again: each tells anew where the rows that it was trained on lie, its weights stay as they are.
Described axes keep what a model read. Of axes that are new, only the base's answers are known: what people's texts and
answers differ in there whatever the style counts as nothing, and so do the adapters' answers. With --people, the folder
that scripts/build_demo_cache.py takes, the community of chats is counted anew from the texts of the people that it was
made of; without, it keeps its places on the axes that count as before, and those that it loses are named. Not here:
training (scripts/build_demo_cache.py).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from build_demo_cache import CHATTERS, ROWS, STYLES, chatters

from xpert_cli import corpus, gguf, paths
from xpert_cli.cache import card
from xpert_cli.cache.build import MOST_TEXTS, PRIOR, claimed
from xpert_cli.cache.catalogue import ANSWERS, OpenCache, open_cache
from xpert_cli.cache.communities import Community, placed_in, write_communities
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.write import write_cache
from xpert_cli.cache.writers import PLACE, plan, read_place
from xpert_cli.corpus import Corpus
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.hub.sources import open_source
from xpert_cli.models.bases import open_base
from xpert_cli.style import described
from xpert_cli.style.measured import least_spreads
from xpert_cli.style.space import Axis, Floats, Readings, Space, joined, measured, pooled, rounded
from xpert_cli.training.writer import How, Task, Trainer

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
    least = least_spreads([axis.name for axis in axes])
    spread = np.maximum(metric[0], least)
    # A habit that no text here shows any more, counted better, is still one that people can have and these have not.
    silent = known & np.isinf(spread) & np.isfinite(old.spread[rows]) & (least > 0)
    spread[silent] = least[silent]
    reference = np.where(counted, np.nan_to_num(base.mean), old.reference[rows])
    gap = np.where(known, old.gap[rows], 0.0)
    usable = known & np.isfinite(old.spread[rows])
    raw = cache.answer_coordinates[:, rows] * np.where(usable, old.spread[rows], 0.0) + old.reference[rows]
    answers = np.where(usable, (raw - reference) / spread, 0.0)
    return Space(axes, old.basis, reference, gap, spread, rounded(metric[1])), answers


def counted_anew(one: Community, people: Path, work: Path, space: Space) -> Community:
    """A community of CHATTERS with the place of its people's texts, counted as `xpert cache train` does.

    As when it was added to the cache (`placed_in`), and also on axes on which none of these texts differs from another.
    """
    if one.count != CHATTERS:
        raise SystemExit(f"{one.id} has {one.count} people, and is not the community of {CHATTERS} that chats made.")
    base, axes, places = open_base(), described.measured_axes(), {}
    with Trainer(How(str(base.path), adapters=False), work) as trainer:
        for text in sorted(chatters(people, work / "chatters").glob("*.jsonl")):
            trainer.run(Task(text.stem, str(text), trained=False))
            if (place := read_place(work / text.stem / PLACE, axes)) is not None:
                places[text.stem] = place
    tree = plan(places, {name: name for name in places}, base, work, one.id, 0, lambda message, fraction: None)
    explanation = described.sentence(tree.space, tree.coordinates.mean(axis=0), subject="writes")
    counted = [places[name] for name in tree.names]
    off = np.array([writer.believed * np.nan_to_num(writer.mean - tree.space.reference) for writer in counted])
    origin = (space.reference + space.gap)[: len(axes)]
    known = np.isfinite(space.spread[: len(axes)]) & np.any([writer.known > 0 for writer in counted], axis=0)
    mean, spread = np.full(len(space.axes), np.nan), np.full(len(space.axes), np.nan)
    at = np.flatnonzero(known)
    mean[at] = (off.mean(axis=0) + tree.space.reference - origin)[at] / space.spread[at]
    spread[at] = off.std(axis=0)[at] / space.spread[at]
    return replace(one, entry=replace(one.entry, explanation=explanation), mean=mean, spread=spread)


def losses(before: Community, old: Space, after: Community, new: Space) -> list[str]:
    """The axes on which a community had a place and has none."""
    had = {axis.name for axis, value in zip(old.axes, before.mean, strict=True) if np.isfinite(value)}
    has = {axis.name for axis, value in zip(new.axes, after.mean, strict=True) if np.isfinite(value)}
    return sorted(had - has)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True, help="folder of the style sets")
    parser.add_argument("--people", type=Path, help="folder of people's chats, for the community")
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
    groups = []
    for one in cache.communities:
        anew = options.people and counted_anew(one, options.people, options.work / "people", space)
        groups.append(anew or placed_in(one, cache.space, space))
        for name in losses(one, cache.space, groups[-1], space):
            print(f"{one.id} has lost its place on the axis {name}", flush=True)
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
