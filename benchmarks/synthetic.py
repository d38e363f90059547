"""A cache of synthetic people, drawn from where real people lie on the axes; of any size, in schema 2.

    python -m benchmarks.synthetic OUT --people DIR --count 100000

DIR is what a tool wrote of a public chat corpus: PERSON/{train,tune,test}.jsonl of turns. One person in three is a
user; the others are drawn from with replacement, and each draw is moved by noise of their own covariance, so that
mean and covariance stay (a smoothed bootstrap: Silverman and Young, Biometrika 74, 1987). Nobody has an adapter of
their own: all share the eight of the embedded cache.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import numpy.typing as npt

from xpert_cli import paths
from xpert_cli.cache.catalogue import base_answers, open_cache
from xpert_cli.cache.entries import fields_of
from xpert_cli.cache.index import Members, made_with, write_indexed
from xpert_cli.hub.sources import open_source
from xpert_cli.style import described
from xpert_cli.style.measured import least_spreads, readings_on
from xpert_cli.style.space import Floats, Readings, Space, pooled, rounded

TURNS, LEAST = 100, 24  # of a person, at most and at least
PLACES = "places.npy"  # beside a cache: the coordinates of all, for a full scan
USER = 3  # one person in so many is a user
NOISE = 0.5  # standard deviations of the people that a draw is moved by
AWAY = 0.5  # of the way from the base's answers to people's texts that adapters' answers are taken to have gone


@dataclass(frozen=True, eq=False)
class People:
    """Real people on the measured axes.

    Attributes:
        shifts: (people, axes) by half of their turns.
    """

    space: Space
    shifts: Floats


def turns(folder: Path) -> Iterator[list[str]]:
    """The turns of every person, in an order drawn once."""
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [person / f"{part}.jsonl" for part in ("train", "tune", "test")]
        own = [json.loads(line)["response"] for file in files for line in file.read_text("utf-8").splitlines()]
        random.Random(person.name).shuffle(own)
        if len(own) >= LEAST:
            yield own[:TURNS]


def people(folder: Path) -> People:
    """The people that are drawn from, and the space of their turns."""
    axes = described.measured_axes()
    names = [axis.name for axis in axes]
    known = [Readings(readings_on(names, own[::2])) for at, own in enumerate(turns(folder)) if at % USER]
    spread, precision = pooled([one.scatter for one in known])
    spread, precision = np.maximum(spread, least_spreads(names)), rounded(precision)
    plain = [response for _, response in base_answers(open_source("embedded"))]
    reference = np.nan_to_num(Readings(readings_on(names, plain)).mean)
    means = np.array([np.nan_to_num(one.mean) for one in known])
    gap = (means.mean(axis=0) - reference) * (1 - AWAY)
    space = Space(axes, np.zeros((0, 0), np.float32), reference, gap, spread, precision)
    return People(space, np.array([space.position(one) for one in known]))


def users(folder: Path) -> list[list[str]]:
    """The turns of the people that nobody is drawn from."""
    return list(turns(folder))[::USER]


def drawn(real: Floats, count: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """(count, axes) float16 coordinates of synthetic people."""
    draw = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(np.cov(real.T))
    root, mean = vectors * np.sqrt(np.maximum(values, 0)), real.mean(axis=0)
    places = np.empty((count, real.shape[1]), np.float16)
    for at in range(0, count, 1 << 15):
        rows = min(1 << 15, count - at)
        off = real[draw.integers(len(real), size=rows)] - mean
        off = off + NOISE * draw.standard_normal((rows, len(values))) @ root.T
        places[at : at + rows] = mean + off / np.sqrt(1 + NOISE**2)
    return places


def write(folder: Path, real: People, count: int) -> Path:
    """A cache of so many synthetic people."""
    embedded = open_cache(open_source("embedded"))
    copytree(paths.packaged("adapters") / "adapters", folder / "adapters", dirs_exist_ok=True)
    entries = [fields_of(entry) for entry in embedded.entries]

    def entry(row: int) -> Mapping[str, Any]:
        return {**entries[row % len(entries)], "id": f"person-{row:07d}"}

    places = drawn(real.shifts, count)
    np.save(folder / PLACES, places)
    contents = {name: value for name, value in made_with(embedded).items() if name != "files"}  # these are not here
    write_indexed(folder, contents, Members(places, places, entry), real.space)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    write(options.out, people(options.people), options.count)
