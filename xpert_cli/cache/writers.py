"""A cache made of many writers' folders: placed by their texts, grouped into communities; no model is asked a thing.

    tree = plan(places, persons, base, work, "people", 10, progress)
    build_cache(out, work, base, tree, adapters)

What a writer's text says is in place.npz: sums over its texts, no text. The base's own answers, from which everybody is
counted, are those of the embedded cache where the base is the same, and asked for once elsewhere. Not here: training
(training/writer.py), a cache of adapters whose texts are not at hand (cache/build.py).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from xpert_cli import paths, runs
from xpert_cli.cache import card
from xpert_cli.cache.answers import answer_probes, drop
from xpert_cli.cache.build import LARGE, MOST_TEXTS, PRIOR
from xpert_cli.cache.catalogue import ANSWERS, base_answers, open_cache
from xpert_cli.cache.communities import Community, write_communities
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.groups import Group, grouped
from xpert_cli.cache.index import write_in_schema
from xpert_cli.cache.outliers import traits
from xpert_cli.cache.write import has_index
from xpert_cli.errors import BadModel, XpertError
from xpert_cli.foreign.data import read_arrays
from xpert_cli.gguf import AdapterFile, BaseModel
from xpert_cli.hub.sources import open_source
from xpert_cli.style import described
from xpert_cli.style.measured import least_spreads
from xpert_cli.style.space import Axis, Floats, Readings, Scatter, Space, pooled, rounded

Progress = Callable[[str, float], None]
PLACE = "place.npz"  # in a writer's folder
_NOTHING: described.Basis = np.empty((0, 0), np.float32)


def write_place(path: Path, scatter: Scatter, axes: Sequence[Axis]) -> None:
    """Keep what a writer's texts add up to on the measured axes."""
    with paths.whole(path) as part, part.open("wb") as file:
        np.savez(
            file,
            axes=_counted(axes),
            samples=np.array(scatter.samples, np.float64),
            known=scatter.known,
            mean=scatter.mean,
            squares=scatter.squares,
        )


def read_place(path: Path, axes: Sequence[Axis]) -> Scatter | None:
    """What was kept; None where it is not there, damaged, or counted otherwise than the axes are."""
    try:
        fields = read_arrays(path, most_bytes=64 << 20)
        if not np.array_equal(fields["axes"], _counted(axes)):
            return None
        return Scatter(float(fields["samples"]), fields["known"], fields["mean"], fields["squares"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _counted(axes: Sequence[Axis]) -> Any:
    """A digest of what axes count, as an array."""
    fields = json.dumps([(axis.name, axis.digest) for axis in axes])
    return np.frombuffer(hashlib.sha256(fields.encode()).digest(), np.uint8)


@dataclass(frozen=True, eq=False)
class Tree:
    """Writers in a space, and their communities.

    Attributes:
        names: the writers, in the order of their names.
        coordinates: (writers, axes) shifts from the base.
        persons: (writers,) the row that each is counted as: its own, unless the same person has another name.
        groups: rows of people, each of whom is there once; everybody first. `ids` are their names.
        answers: the base's, to the probes.
    """

    names: tuple[str, ...]
    space: Space
    coordinates: Floats
    persons: tuple[int, ...]
    groups: tuple[Group, ...]
    ids: tuple[str, ...]
    answers: tuple[str, ...]

    def members(self, group: Group) -> tuple[str, ...]:
        """The names of a group's people, one of each."""
        return tuple(self.names[row] for row in group.members)

    def all_names(self, group: Group) -> tuple[str, ...]:
        """All names of a group's people."""
        rows = set(group.members)
        return tuple(name for name, row in zip(self.names, self.persons, strict=True) if row in rows)

    def smallest(self, index: int) -> bool:
        """Whether a group has no smaller ones."""
        return all(one.parent != index for one in self.groups)


def plan(
    places: Mapping[str, Scatter],
    persons: Mapping[str, str],
    base: BaseModel,
    work: Path,
    prefix: str,
    least: int,
    progress: Progress,
    *,
    lean: bool | None = None,
) -> Tree:
    """The space of writers, where each lies in it, and which of them belong together.

    Args:
        persons: by name, the name that its person is counted under (corpus/persons.py).
        least: people of a community, at least; 0 for no communities.
        lean: the base makes no copies of its weights to answer the probes; by default, where memory is short.
    """
    axes = described.measured_axes()
    names = tuple(sorted(places))
    answers = tuple(_base_answers(base, work, progress, lean))
    rows = {name: row for row, name in enumerate(names)}
    own = tuple(rows[persons[name]] for name in names)
    people = sorted(set(own))
    space = _space(axes, described.read(answers, axes, _NOTHING, None), [places[names[row]] for row in people])
    coordinates = np.array([space.position(places[name]) for name in names])
    points = coordinates[people] @ np.linalg.cholesky(space.precision)
    tree = grouped(points, least) if 0 < least <= len(people) else []
    groups = tuple(Group(one.parent, tuple(people[at] for at in one.members)) for one in tree)
    ids = tuple(prefix if not at else f"{prefix}-{at}" for at in range(len(groups)))
    return Tree(names, space, coordinates, own, groups, ids, answers)


def _base_answers(base: BaseModel, work: Path, progress: Progress, lean: bool | None) -> list[str]:
    """The base's answers to the probes: the embedded cache's where it is of this base, else asked for, one by one."""
    with suppress(XpertError):
        known = open_cache(open_source("embedded"))
        if known.base["fingerprint"] == base.fingerprint and known.probes == described.probes_digest():
            return [answer for _, answer in base_answers(known.source)]
    path = work / ANSWERS
    with suppress(OSError, ValueError, KeyError):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if [one["prompt"] for one in lines] == list(described.probes()) and lines[0].get("base") == base.fingerprint:
            return [str(one["response"]) for one in lines]
    answered = answer_probes(base, {}, work, 0, progress, lean=lean)[""]
    with paths.whole(path) as part:
        rows = [{"prompt": p, "response": r} for p, r in zip(described.probes(), answered, strict=True)]
        rows[0]["base"] = base.fingerprint
        part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    drop(work)
    return answered


def _space(axes: tuple[Axis, ...], base: Readings, writers: Sequence[Scatter]) -> Space:
    """Axes in the metric of the writers' texts, the base's answers standing in for PRIOR of them."""
    prior = base.scatter.weighing(1 + PRIOR)
    spread, precision = pooled([prior, *(one.weighing(min(one.samples, MOST_TEXTS)) for one in writers)])
    spread = np.maximum(spread, least_spreads([axis.name for axis in axes]))
    return Space(axes, _NOTHING, np.nan_to_num(base.mean), np.zeros(len(axes)), spread, rounded(precision))


def build_cache(
    out: Path, work: Path, base: BaseModel, tree: Tree, made: str, *, adapters: bool = True, about: str = ""
) -> tuple[tuple[Entry, ...], tuple[Community, ...]]:
    """Write a cache of the writers' adapters and their communities'; the same from the same files.

    Args:
        work: holds a folder of each writer, and in `communities` one of each community.
        made: how the communities' adapters were made.
        adapters: False leaves the writers' own adapters out.
    """
    out = paths.writable(out)
    entries = [
        _entry(name, work / name, f"adapters/{name}.gguf", out, tree.space, tree.coordinates[row])
        for row, name in enumerate(tree.names if adapters else ())
    ]
    communities = []
    for index, (group, name) in enumerate(zip(tree.groups, tree.ids, strict=True)):
        own = tree.coordinates[list(group.members)]
        file = f"communities/{name}.gguf"
        communities.append(
            Community(
                entry=_entry(name, work / "communities" / name, file, out, tree.space, own.mean(axis=0)),
                parent=tree.ids[group.parent] if group.parent >= 0 else "",
                count=len(group.members),
                members=tree.all_names(group) if adapters and tree.smallest(index) else (),
                made=made,
                mean=own.mean(axis=0),
                spread=own.std(axis=0),
            )
        )
    _drop_others(out, [entry.file for entry in (*entries, *(one.entry for one in communities))])
    _write(out, base, tree, entries, communities, about)
    return tuple(entries), tuple(communities)


def _write(
    out: Path, base: BaseModel, tree: Tree, entries: list[Entry], communities: list[Community], about: str
) -> None:
    rows = zip(described.probes(), tree.answers, strict=True)
    with paths.whole(out / ANSWERS) as part:
        lines = (json.dumps({"prompt": p, "response": r}, ensure_ascii=False) + "\n" for p, r in rows)
        part.write_text("".join(lines), "utf-8")
    (out / "communities.json").unlink(missing_ok=True)
    if communities:
        write_communities(out, communities, tree.space.axes)
    with paths.whole(out / card.FILE) as part:
        part.write_text(card.write_card(base.info.name, about, entries, communities), "utf-8")
    fields = {
        "base": {
            "name": base.info.name,
            "architecture": base.info.architecture,
            "fingerprint": base.fingerprint,
            "files": [base.digest],
        },
        "summarizer": {
            "fingerprint": base.fingerprint,
            "questions": described.questions_digest(_NOTHING),
            "words": described.WORDS,
        },
        "probes": described.probes_digest(),
    }
    placed = tree.coordinates if entries else np.empty((0, len(tree.space.axes)))
    indexed = len(entries) >= LARGE or has_index(out)
    write_in_schema(out, fields, entries, tree.space, np.zeros_like(placed), placed, indexed=indexed)


def _entry(name: str, run: Path, file: str, out: Path, space: Space, shift: Floats) -> Entry:
    """Put one adapter into the cache, and describe it."""
    path, target = run / runs.ADAPTER, out / file
    digest = paths.digest(path)
    if not target.is_file() or paths.digest(target) != digest:
        with paths.whole(target) as part:
            part.unlink()
            try:
                os.link(path, part)
            except (OSError, AttributeError):  # another disk, or a system without links, as Android
                part.write_bytes(path.read_bytes())
    fields = _told(run)
    recipe, result = fields.get("recipe", {}), fields["result"]
    keys = ("steps", "messages", "held_out", "tokens", "loss_before", "loss_after")
    provenance = {"data": fields["data"], "recipe": recipe} if recipe else {}
    return Entry(
        id=name,
        file=file,
        sha256=digest,
        bytes=target.stat().st_size,
        rank=fields["rank"],
        alpha=fields["alpha"],
        explanation=described.sentence(space, np.nan_to_num(shift), subject="writes"),
        provenance=provenance | {key: result[key] for key in keys if key in result} if provenance else {},
        explained_by=("source",),
        traits=fields["traits"],
    )


def weights_told(path: Path) -> dict[str, Any]:
    """What a record tells of an adapter's weights: it takes time, so whoever trains it does it."""
    adapter = AdapterFile.open(path).adapter
    own = {name: round(value, 6) for name, value in traits(adapter).items()}
    return {"rank": adapter.rank, "alpha": adapter.alpha, "traits": own}


def _told(run: Path) -> dict[str, Any]:
    """What a writer's, or a community's, record tells.

    Raises:
        BadModel: there is none.
    """
    record = run / runs.RECORD
    try:
        return dict(json.loads(record.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise BadModel(f"{record} is no record of a writer ({error}). Remove its folder, and run again.") from error


def _drop_others(out: Path, files: Sequence[str]) -> None:
    """Delete adapters of an earlier call that the cache does not have any more."""
    wanted = set(files)
    for folder in ("adapters", "communities"):
        for path in (out / folder).glob("*.gguf"):
            if f"{folder}/{path.name}" not in wanted:
                path.unlink()
