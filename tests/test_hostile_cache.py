"""A catalogue in which any one value is of the wrong kind: refused in one line, or used without a crash."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xpert_cli import paths
from xpert_cli.cache import card
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.cache.verify import listing
from xpert_cli.cli import views
from xpert_cli.errors import CacheMismatch, XpertError
from xpert_cli.hub.sources import open_source

WRONG: list[Any] = [None, True, -1, 0, 1e300, 2**80, "", "x", "\x1b[2J\n", [], {}, [[1]], {"a": {"b": 1}}, "y" * 20_001]
EMBEDDED = json.loads((paths.packaged("adapters") / "catalogue.json").read_text("utf-8"))


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a catalogue, of lists the first item."""
    if way:
        yield way
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*way, key))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(paths.packaged("adapters"), tmp_path_factory.mktemp("hostile") / "cache")


def refusal(folder: Path) -> str:
    """Why a catalogue is refused; "" where all that shows one without a model works."""
    try:
        cache = open_cache(open_source(str(folder)))
        Console(file=StringIO(), markup=False).print(views.listing(listing(cache)))
        card.write_card(str(cache.base["name"]), "", cache.entries)
        json.dumps([vars(entry) for entry in cache.entries], default=dict, allow_nan=False)
    except XpertError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("way", list(places(EMBEDDED)), ids=lambda way: ".".join(map(str, way)))
def test_a_value_of_the_wrong_kind_crashes_nothing(folder, way):
    for wrong in WRONG:
        told = copy.deepcopy(EMBEDDED)
        inner = told
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = wrong
        (folder / "catalogue.json").write_text(json.dumps(told), encoding="utf-8")
        assert len(refusal(folder)) < 2000


@pytest.mark.parametrize("way", [way for way in places(EMBEDDED) if way[0] != "adapters" or way[1:2] == (0,)], ids=str)
def test_a_missing_part_is_named(folder, way):
    told = copy.deepcopy(EMBEDDED)
    inner = told
    for key in way[:-1]:
        inner = inner[key]
    del inner[way[-1]]
    (folder / "catalogue.json").write_text(json.dumps(told), encoding="utf-8")
    if reason := refusal(folder):
        assert str(folder) in reason
        assert "et the cache anew" in reason or "--cache" in reason


def test_a_catalogue_of_many_values_is_refused_before_it_takes_memory(folder):
    (folder / "catalogue.json").write_bytes(b'{"schema": 1, "adapters": [' + b"[]," * 2_100_000 + b"[]]}")
    with pytest.raises(CacheMismatch, match="holds more than 2000000 values"):
        open_cache(open_source(str(folder)))
