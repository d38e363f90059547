"""Caches of schema 2: what their files hold, byte by byte, what is refused, and that selection finds the same."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from command import MARA, called

from xpert_cli import corpus, paths
from xpert_cli.cache import index, merkle
from xpert_cli.cache.catalogue import OpenCache, open_cache
from xpert_cli.cache.clusters import clusters
from xpert_cli.cache.codes import Coding, coding_for, directions_of
from xpert_cli.cache.indexed import IndexedCache
from xpert_cli.cache.metric import metric_arrays, metric_of
from xpert_cli.cache.verify import verify
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.gguf import BaseModel
from xpert_cli.hub.sources import open_source
from xpert_cli.selection.project import Projection, project
from xpert_cli.selection.score import scores
from xpert_cli.selection.search import _Plane, nearest
from xpert_cli.selection.select import select
from xpert_cli.style.described import measured_axes
from xpert_cli.style.space import Axis, Readings, Space, measured, rounded
from xpert_cli.training.starts import find_start

EMBEDDED = paths.packaged("adapters")
MADE_WITH = {
    "base": {"name": "Tiny", "architecture": "llama", "fingerprint": "0" * 64, "files": []},
    "summarizer": {"fingerprint": "0" * 64, "questions": "q", "words": 60},
    "probes": "p",
}


def digest(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def space(axes: int) -> Space:
    names = tuple(Axis(str(i), "measured", "less", "more") for i in range(axes))
    zero = np.zeros(axes)
    return Space(names, np.zeros((0, 4), np.float32), zero, zero, np.ones(axes), np.eye(axes))


def retell(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a catalogue."""
    told = json.loads((folder / "catalogue.json").read_bytes())
    change(told)
    (folder / "catalogue.json").write_text(json.dumps(told), "utf-8")


def entry(row: int) -> dict[str, Any]:
    return {
        "id": f"p{row:06d}",
        "file": "adapters/0.bin",
        "sha256": f"{row:064x}",
        "bytes": 10,
        "rank": 4,
        "alpha": 8.0,
        "explanation": "",
        "provenance": {},
        "explained_by": ["source"],
        "offset": 10 * row,
    }


def people(count: int, axes: int = 12, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Coordinates that vary less and less from axis to axis, about a mean that is not the base."""
    draw = np.random.default_rng(seed)
    return np.asarray(1 + draw.standard_normal((count, axes)) / np.sqrt(1 + np.arange(axes)))


def written(folder: Path, count: int, axes: int = 12) -> Path:
    places = people(count, axes).astype(np.float16)
    members = index.Members(places, places, entry)
    index.write_indexed(folder, MADE_WITH, members, space(axes))
    return folder


def opened(folder: Path) -> IndexedCache:
    cache = open_cache(open_source(str(folder)))
    assert isinstance(cache, IndexedCache)
    return cache


def user(cache: OpenCache, place: np.ndarray[Any, Any], texts: int = 20) -> Projection:
    readings = Readings(np.tile(place, (texts, 1)))
    return Projection(("",) * texts, cache.bare, np.ones(len(place), np.bool_), readings, ())


# -- the form


def test_a_hash_tree_is_that_of_rfc_6962_with_zeros_behind():
    one, two, three = (digest(b"\0", name) for name in (b"one", b"two", b"three"))
    first, second = digest(b"\1", one, two), digest(b"\1", three, bytes(32))
    levels = merkle.tree([b"one", b"two", b"three"])
    assert levels == [[one, two, three, bytes(32)], [first, second], [digest(b"\1", first, second)]]
    assert merkle.proof(levels, 1) == one + second
    assert merkle.proof(levels, 2) == bytes(32) + first
    assert [merkle.depth(count) for count in (1, 2, 3, 4, 5, 1024)] == [0, 1, 2, 2, 3, 10]


def test_a_record_is_proved_by_its_place_and_contents_alone():
    levels = merkle.tree([b"one", b"two", b"three"])
    root, proof = levels[-1][0], merkle.proof(levels, 1)
    assert merkle.root_of(b"two", 1, proof) == root
    assert merkle.root_of(b"two", 0, proof) != root
    assert merkle.root_of(b"twp", 1, proof) != root
    assert merkle.root_of(b"two", 1, proof[:32]) != root
    assert merkle.root_of(levels[1][0] + levels[1][1], 0, b"") != root  # an inner node is no record
    assert merkle.root_of(b"alone", 0, b"") == merkle.tree([b"alone"])[-1][0] == digest(b"\0alone")


def test_codes_are_bits_of_each_direction_in_turn():
    coding = Coding(np.eye(3, dtype=np.float32), np.array([1, 0, 0.5], np.float32), np.array([3, 0, 2], np.uint8))
    assert coding.width == 1
    codes = coding.encode(np.array([[-0.2, 9.0, 0.6], [99.0, 0.0, -99.0]]))
    assert codes.tolist() == [[0b01111000], [0b11100000]]  # levels 3 of 0..7 and 3 of 0..3; the ends are not passed
    assert coding.values(codes).tolist() == [[-0.5, 0.0, 0.75], [3.5, 0.0, -0.75]]


def test_bits_go_to_the_directions_that_vary_most():
    draw = np.random.default_rng(0)
    residuals = draw.standard_normal((4000, 3)) * [4.0, 1.0, 0.01]
    coding = coding_for(np.eye(3, dtype=np.float32), residuals, np.ones(3), 1)
    assert coding.bits.tolist() == [5, 3, 0]
    near = coding.values(coding.encode(residuals))
    assert ((near - residuals) ** 2).mean(axis=0) == pytest.approx([16 * 0.0035, 0.0375, 0.0001], rel=0.15)


def test_bits_go_where_writings_reach():
    residuals = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    coding = coding_for(np.eye(3, dtype=np.float32), residuals, np.array([17.0, 4.0, 0.01]), 1)
    assert coding.bits.tolist() == [5, 3, 0]
    assert coding.steps == pytest.approx([0.1881, 0.5860, 0.0])  # Max's, for a deviation of 1
    assert coding.spreads == pytest.approx([1.0, 1.0, 0.0])


def test_middles_are_told_no_finer_than_matters_beside_the_residuals():
    middles = np.array([[12.7, 1.27], [-1.0, -0.3]])
    residuals = np.array([[0.1, 1.0], [-0.1, -1.0]])
    assert index._scales(middles, residuals) == pytest.approx([0.1, 0.5])


def test_directions_are_those_of_the_metric_and_leave_out_axes_that_do_not_count():
    metric = np.diag([4.0, 1.0, 0.0])
    offsets = np.array([[1.0, 0.0, 9.0], [-1.0, 0.0, -9.0], [0.0, 1.0, 9.0], [0.0, -1.0, 9.0]])
    found = directions_of(offsets, metric, 8)
    assert np.abs(found).tolist() == [[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]
    coding = Coding(found, np.ones(2, np.float32), np.ones(2, np.uint8))
    np.testing.assert_allclose(coding.along(offsets, metric) @ found, offsets * [1, 1, 0], atol=1e-6)


def test_cells_hold_what_points_the_same_way():
    draw = np.random.default_rng(0)
    centres = np.eye(5, 8)
    own = draw.integers(5, size=600)
    points = centres[own] + 0.1 * draw.standard_normal((600, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = clusters(points.astype(np.float32), 12)
    pairs = {(int(a), int(b)) for a, b in zip(own, found, strict=True)}
    assert len(pairs) == 12  # no cell holds two of the five directions
    np.testing.assert_array_equal(clusters(points.astype(np.float32), 12), found)


def test_a_small_index_byte_by_byte(tmp_path):
    answers = np.array([[1.0, 2.0], [0.5, -1.0]])
    training = np.array([[1.5, 2.5], [np.nan, np.nan]])
    members = index.Members(answers.astype(np.float16), training.astype(np.float16), entry)
    index.write_indexed(tmp_path, MADE_WITH, members, space(2))
    texts = [json.dumps(entry(row), separators=(",", ":")).encode() for row in (0, 1)]
    texts = [text.ljust(max(map(len, texts))) for text in texts]
    one = bytes.fromhex("003c 0040 003e 0041") + texts[0]  # 1, 2 and 1.5, 2.5 as float16
    two = bytes.fromhex("0038 00bc 007e 007e") + texts[1]  # 0.5, -1 and NaN
    leaves = [digest(b"\0", one), digest(b"\0", two)]
    root = digest(b"\1", *leaves)
    assert (tmp_path / "index/cells.bin").read_bytes() == root + one + leaves[1] + two + leaves[0]
    told = json.loads((tmp_path / "catalogue.json").read_bytes())
    assert told.keys() == {"schema", "base", "summarizer", "probes", "axes", "index"}
    assert (told["schema"], told["index"]["adapters"], told["index"]["cells"]) == (2, 2, 1)
    assert (told["index"]["by_source"], told["index"]["directions"]) == (True, 0)
    for key, name in {"space": "space.npz", "basis": "basis.npz", "root": "index/root.npz"}.items():
        data = (tmp_path / name).read_bytes()
        assert told["index"][key] == {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    arrays = np.load(tmp_path / "index/root.npz")
    assert arrays["digests"].tobytes() == digest(root)
    assert {name: arrays[name].tolist() for name in ("files", "begins", "counts", "slots")} == {
        "files": [0],
        "begins": [0],
        "counts": [2],
        "slots": [len(one) + 32],
    }
    assert np.load(tmp_path / "space.npz")["mean"].tolist() == [1.0, 0.75]  # of training text, else of answers
    triangle = np.load(tmp_path / "space.npz")["high"] * 256.0 + np.load(tmp_path / "space.npz")["low"] - 32768
    assert triangle.tolist() == [4095, 0, 4095]  # the correlation's lower triangle
    cache = opened(tmp_path)
    assert [one.id for one in cache.entries] == ["p000000", "p000001"]
    assert cache.entries[1].offset == 10
    np.testing.assert_array_equal(cache.coordinates, [[1.5, 2.5], [0.5, -1.0]])


def test_a_metric_takes_two_bytes_a_number_where_that_is_exact_and_else_four():
    correlation = np.round(np.array([[1.0, 0.3, -0.2], [0.3, 1.0, 0.1], [-0.2, 0.1, 1.0]]) * 4095) / 4095
    precision = rounded(np.linalg.inv(correlation))
    told = metric_arrays(precision.astype(np.float32).astype(np.float64))  # as schema 1 held it
    assert (told["high"].astype(int) * 256 + told["low"] - 32768).tolist() == [4095, 1228, 4095, -819, 410, 4095]
    np.testing.assert_allclose(metric_of(told, 3), precision, atol=1e-12)
    older = np.array([[1.5, 0.25], [0.25, 1.0625]])
    assert metric_arrays(older)["precision"].tolist() == [1.5, 0.25, 1.0625]
    np.testing.assert_array_equal(metric_of(metric_arrays(older), 2), older)
    with pytest.raises(ValueError, match="no metric"):
        metric_of({"precision": np.array([1.0, 2.0, 1.0])}, 2)
    with pytest.raises(ValueError, match="low does not fit 2 axes"):
        metric_of({"high": np.zeros(3, np.uint8), "low": np.zeros(4, np.uint8)}, 2)


def test_axes_that_this_version_knows_are_told_by_their_digests(tmp_path):
    known, other = measured_axes()[:2], Axis("vowels", "measured", "fewer vowels", "more vowels", digest="0" * 16)
    both = replace(space(3), axes=(*known, other))
    places = people(3, 3).astype(np.float16)
    index.write_indexed(tmp_path, MADE_WITH, index.Members(places, places, entry), both)
    told = json.loads((tmp_path / "catalogue.json").read_bytes())["axes"]
    assert told[:2] == ["e3abd735b4a46d96 text length", "c27e3352226c1cb3 line count"]
    assert told[2]["low"] == "fewer vowels"
    assert opened(tmp_path).bare.axes == (*known, other)
    retell(tmp_path, lambda told: told["axes"].__setitem__(1, "0000000000000000 line count"))
    counted = opened(tmp_path).bare.axes[1]  # otherwise than here, so that this version has no words for it
    assert counted == Axis("line count", "measured", "line count", "line count", digest="0" * 16)
    retell(tmp_path, lambda told: told["axes"].__setitem__(1, "c27e3352226c1cb3"))
    with pytest.raises(CacheMismatch, match="the axis '' has a name or words that are no short text"):
        opened(tmp_path)


def test_axes_that_an_earlier_version_wrote_without_words_are_read(tmp_path):
    known = measured_axes()[:2]
    places = people(3, 2).astype(np.float16)
    index.write_indexed(tmp_path, MADE_WITH, index.Members(places, places, entry), replace(space(2), axes=known))
    short = [{"name": axis.name, "kind": "measured", "digest": axis.digest} for axis in known]
    retell(tmp_path, lambda told: told.update(axes=short))
    assert opened(tmp_path).bare.axes == known


def test_at_most_60_kb_are_read_of_eight_adapters(tmp_path):
    cache = open_cache(open_source("embedded"))
    own = measured(cache.space.axes)
    plain = cache.space.only(own)
    answers, training = (one[:, own] for one in (cache.answer_coordinates, cache.training_coordinates))
    index.write_in_schema(
        tmp_path,
        index.made_with(cache),
        cache.entries,
        replace(plain, precision=rounded(plain.precision)),
        answers,
        training,
        indexed=True,
    )
    sizes = [
        (tmp_path / name).stat().st_size
        for name in ("catalogue.json", "space.npz", "index/root.npz", "index/cells.bin")
    ]
    assert len(cache.entries) == 8
    assert sum(sizes) <= 60_000, sizes


def test_an_index_is_the_same_every_time(tmp_path):
    names = ("catalogue.json", "index/root.npz", "index/cells.bin", "space.npz")
    one, two = (written(tmp_path / name, 1500) for name in "ab")
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()


# -- who is near


@pytest.mark.parametrize(("count", "read"), [(80, 64), (3000, 128)])
def test_the_nearest_of_a_large_cache_is_found_and_scored_as_in_a_full_scan(tmp_path, count, read):
    cache = opened(written(tmp_path, count))
    everything = people(count).astype(np.float16).astype(np.float64)
    assert cache.size == count
    same = 0
    for place in people(20, seed=1):
        projection = user(cache, place)
        view, rest = nearest(cache, projection)
        assert rest is not None
        assert (view.size, rest.counts.sum()) == (read, count - read)
        full = scores(place, everything, space(12))
        found = scores(place, view.coordinates, space(12), rest)
        rows = [int(one.id[1:]) for one in view.entries]
        assert found == pytest.approx(full[rows], abs=1e-6)  # the same metric, about the same mean
        same += int(np.argmax(full)) in rows
    assert same >= 19


def test_few_adapters_are_all_read(tmp_path):
    cache = opened(written(tmp_path, 64))
    view, rest = nearest(cache, user(cache, people(1)[0]))
    assert rest is None
    assert view.size == 64


def test_few_bytes_are_read_of_many_cells(tmp_path, monkeypatch):
    cache = opened(written(tmp_path, 3000))
    read: list[int] = []
    parts = cache.source.parts
    monkeypatch.setattr(cache.source, "parts", lambda wanted: (read.extend(p.size for p in wanted), parts(wanted))[1])
    monkeypatch.setattr("xpert_cli.selection.search.BYTES", 19_100)
    nearest(cache, user(cache, people(1)[0]))
    heads = [size for size in read if size in set(cache.cells.heads.tolist())]
    assert sum(heads) <= 20_000
    assert len(read) - len(heads) == 128


def test_cells_are_ranked_by_what_their_members_may_score():
    coding = Coding(np.eye(2, dtype=np.float32), np.full(2, 0.798, np.float32), np.ones(2, np.uint8))
    cells = SimpleNamespace(coding=coding, counts=np.array([1, 1, 1]))
    flat = SimpleNamespace(precision=np.eye(2))
    placed = SimpleNamespace(space=flat, used=np.ones(2, np.bool_), shift=np.array([1.0, 0.0]))
    plane = _Plane(cast("Any", SimpleNamespace(cells=cells, mean=np.zeros(2))), cast("Any", placed))
    # Residuals are 0.5 along each axis. Two middles have one direction; about the nearer one, members' differ more.
    middles = np.array([[4.0, 3.0], [8.0, 6.0], [1.0, 0.0]], np.float32)
    assert plane.promise(middles, cast("Any", cells)) == pytest.approx([-0.4 / 0.12, -0.4 / 0.06, 0.0], abs=1e-3)
    # Members of the third are longer than their middle, sqrt(1 + 3/4 * 0.5), and score 2 / 1.1726 +- 0.2326; the best
    # of four is taken for 1.7056 + 0.2326 sqrt(2 log 4) = 2.0929.
    cells.counts = np.array([1, 1, 4])
    assert plane.promise(middles, cast("Any", cells))[0] == pytest.approx((1.6 - 2.0929) / 0.12, abs=1e-2)


# -- what is refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "cache", 1200, 4)


def rooted(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change arrays of the root file, and tell its digest anew: what a publisher could do."""
    path = folder / "index" / "root.npz"
    arrays = dict(np.load(path))
    change(arrays)
    np.savez(path, **arrays)
    told = json.loads((folder / "catalogue.json").read_bytes())
    told["index"]["root"] = {"sha256": paths.digest(path), "bytes": path.stat().st_size}
    (folder / "catalogue.json").write_text(json.dumps(told), "utf-8")


def setting(name: str, value: Any, at: int = 0) -> Callable[[dict[str, Any]], object]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][at] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (setting("counts", 1), "its cells hold .* adapters, and the catalogue says 1200"),
        (setting("begins", 2**32 - 1), "larger than allowed"),
        (setting("slots", 70_000), "larger than allowed"),
        (setting("slots", 40), "larger than allowed, or holds nothing"),
        (lambda arrays: arrays.update(begins=np.zeros_like(arrays["begins"])), "two of its cells overlap"),
        (lambda arrays: arrays.pop("digests"), "digests missing"),
        (lambda arrays: arrays.update(digests=arrays["digests"][:1]), r"digests does not fit: \(1, 32\)"),
        (lambda arrays: arrays.update(middles=arrays["middles"].astype(np.float32)), "middles is of the wrong type"),
        (lambda arrays: arrays.update(bits=arrays["bits"] + np.uint8(9)), "codes or digests are of the wrong type"),
        (setting("steps", np.nan), "steps holds numbers that are not finite"),
    ],
)
def test_a_root_that_cannot_be_is_refused(folder, change, reason):
    rooted(folder, change)
    with pytest.raises(CacheMismatch, match=rf"index/root\.npz is damaged \(.*{reason}") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda told: told["index"].update(adapters=7), "the catalogue says 7"),
        (lambda told: told["index"].update(adapters="many"), "index.adapters, index.cells or index.directions"),
        (lambda told: told["index"].update(cells=True), "index.adapters, index.cells or index.directions"),
        (lambda told: told["index"].update(cells=10**30), "index.adapters, index.cells or index.directions"),
        (lambda told: told["index"].update(directions=97), "97 directions"),
        (lambda told: told["index"].update(by_source=1), "neither true nor false"),
        (lambda told: told["index"].update(colour="red"), "unknown or missing keys: colour"),
        (lambda told: told["index"].pop("root"), "unknown or missing keys: root"),
        (lambda told: told["index"]["root"].update(sha256="0" * 64), "index/root.npz is not the file its catalogue"),
        (lambda told: told["index"]["space"].update(bytes=1), "space.npz has not 1 bytes"),
        (lambda told: told["axes"].pop(), "space.npz is damaged"),
        (lambda told: told.update(adapters=[]), r"unknown or missing keys \(adapters\)"),
    ],
)
def test_a_catalogue_that_does_not_fit_its_index_is_refused(folder, change, reason):
    retell(folder, change)
    with pytest.raises(CacheMismatch, match=reason) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def spoil(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_changed_code_and_a_changed_record_are_refused(folder):
    path, whole = folder / "index" / "cells.bin", (folder / "index" / "cells.bin").read_bytes()
    cache = opened(folder)
    begin, head = int(cache.cells.begins[0]), int(cache.cells.heads[0])
    spoil(path, begin + head - 1)
    with pytest.raises(CacheMismatch, match=r"bytes \d+ to \d+ of index/cells\.bin are not what the cache's index"):
        cache.heads([0])
    path.write_bytes(whole)
    ((root, _),) = cache.heads([0])
    spoil(path, begin + head + 5)
    with pytest.raises(CacheMismatch, match=r"bytes \d+ to \d+ of index/cells\.bin are not what the cache's index"):
        cache.some([(0, 0)], {0: root})
    cache.some([(0, 1)], {0: root})  # the others are as they were


def test_a_file_of_cells_that_ends_too_early_or_is_gone_is_refused(folder):
    path = folder / "index" / "cells.bin"
    cache = opened(folder)
    last = int(np.argmax(cache.cells.begins))
    path.write_bytes(path.read_bytes()[: int(cache.cells.begins[last]) + 4])
    with pytest.raises(CacheMismatch, match="are not what the cache's index describes"):
        cache.heads([last])
    path.unlink()
    with pytest.raises(CacheMismatch, match=r"has no file index/cells\.bin"):
        cache.heads([0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one.update(file="../secret"), "no file name inside a cache"),
        (lambda one: one.update(offset=-1), "begins at no byte of a file"),
        (lambda one: one.update(offset=True), "begins at no byte of a file"),
        (lambda one: one.update(sha256="0"), "tells id, size or digest wrongly"),
        (lambda one: one.update(colour="red"), r"unknown or missing keys \(colour\)"),
        (lambda one: one.update(id="p000001"), "two adapters have one id"),
        (lambda one: one.update(rank="four"), "a value of the wrong kind"),
    ],
)
def test_a_record_that_cannot_be_is_refused(tmp_path, change, reason):
    def told(row: int) -> dict[str, Any]:
        one = entry(row)
        if row == 0:
            change(one)
        return one

    places = people(3, 4).astype(np.float16)
    index.write_indexed(tmp_path, MADE_WITH, index.Members(places, places, told), space(4))
    cache = opened(tmp_path)
    with pytest.raises(CacheMismatch, match=reason) as caught:
        cache.fetch(cache.entries[0].id)
    assert "\n" not in str(caught.value)


def test_an_entry_that_is_too_large_is_not_written(tmp_path):
    places = people(2, 4).astype(np.float16)
    long = index.Members(places, places, lambda row: {**entry(row), "explanation": "x" * 70_000})
    with pytest.raises(BadInput, match=r"brings along takes 70\d+ bytes, and 65536 are allowed"):
        index.write_indexed(tmp_path, MADE_WITH, long, space(4))


# -- more adapters


def test_added_adapters_come_behind_and_nothing_else_is_written_anew(tmp_path):
    folder = written(tmp_path, 1500)
    before = {path: path.read_bytes() for path in (folder / "index").glob("cells*")}
    cache = opened(folder)
    places = people(1, seed=5).astype(np.float16)
    index.add_to_index(folder, cache, MADE_WITH, index.Members(places, places, lambda row: entry(1500)))
    assert all(path.read_bytes() == data for path, data in before.items())
    assert {path.name for path in (folder / "index").glob("cells*")} - {path.name for path in before} == {
        "cells-0001.bin"
    }
    more = opened(folder)
    assert (more.size, len(more.cells)) == (1501, len(cache.cells) + 1)
    everything = np.vstack([people(1500), people(1, seed=5)]).astype(np.float16).astype(np.float64)
    assert more.mean == pytest.approx(everything.mean(axis=0), abs=1e-5)
    view, _ = nearest(more, user(more, people(1, seed=5)[0]))
    assert "p001500" in {one.id for one in view.entries}
    assert more.entries[-1].id == "p001500"


# -- the embedded cache in schema 2


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(EMBEDDED, tmp_path_factory.mktemp("schema2") / "cache")
    (folder / "coordinates.npz").unlink()
    cache = open_cache(open_source("embedded"))
    made_with = {"base": dict(cache.base), "summarizer": dict(cache.summarizer), "probes": cache.probes}
    members = index.members_of(cache.entries, cache.answer_coordinates, cache.training_coordinates)
    index.write_indexed(folder, made_with, members, cache.space)
    return folder


def test_the_embedded_cache_is_the_same_in_schema_2(converted):
    one, two = open_cache(open_source("embedded")), opened(converted)
    order = sorted(range(8), key=lambda row: one.entries[row].id)
    assert two.entries == tuple(one.entries[row] for row in order)
    np.testing.assert_array_equal(two.coordinates, one.coordinates[order])
    np.testing.assert_array_equal(two.space.basis, one.space.basis)
    np.testing.assert_allclose(two.space.precision, one.space.precision, atol=1e-6)
    read = ("catalogue.json", "space.npz", "index/root.npz", "index/cells.bin")
    assert sum((converted / name).stat().st_size for name in read) < 110_000


def without_paths(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key != "seconds"}


@pytest.mark.model
def test_select_says_the_same_of_a_cache_in_schema_2(converted, monkeypatch, capsys, base):
    status, one, _ = called(monkeypatch, capsys, "select", MARA, "--json")
    assert status == 0
    status, two, _ = called(monkeypatch, capsys, "select", MARA, "--json", "--cache", str(converted))
    assert status == 0
    # An index has the metric in two bytes, the other form in single precision: they differ in the eighth digit.
    first = json.loads(one, parse_float=lambda number: pytest.approx(float(number), abs=1e-6))
    second = json.loads(two)
    for ranked in (*first["ranking"], *second["ranking"]):
        ranked["reasons"].sort(key=lambda reason: reason["axis"])
    assert without_paths(second) == without_paths(first)


@pytest.mark.model
def test_nothing_of_described_axes_is_read_unless_a_model_is_asked(converted, tmp_path, base):
    folder = shutil.copytree(converted, tmp_path / "cache")
    (folder / "basis.npz").unlink()
    few = corpus.Corpus(corpus.read([MARA]).messages[:8])
    assert select(few, opened(folder), base).verdict in ("best", "mixture")
    with pytest.raises(CacheMismatch, match=r"has no file basis\.npz"):
        project(few, opened(folder), base)


@pytest.mark.model
def test_a_damaged_table_of_names_does_not_pass_verification(converted, tmp_path, base):
    folder = shutil.copytree(converted, tmp_path / "cache")
    names = folder / "index" / "names.bin"
    names.write_bytes(bytes(byte ^ 255 for byte in names.read_bytes()))
    with pytest.raises(CacheMismatch, match=r"names\.bin"):
        verify(opened(folder), base)


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (None, r": the cache has no file basis\.npz\. Check --cache\.$"),
        (b"no directions", r": basis\.npz is not the file its catalogue describes \(sha256\)"),
    ],
)
def test_missing_or_damaged_directions_do_not_pass_verification(spoiled, said, converted, tmp_path):
    folder = shutil.copytree(converted, tmp_path / "cache")
    opened(folder).verify_files()
    (folder / "basis.npz").unlink() if spoiled is None else (folder / "basis.npz").write_bytes(spoiled)
    with pytest.raises(CacheMismatch, match=said):
        opened(folder).verify_files()


@pytest.mark.model
def test_run_answers_the_same_with_an_adapter_of_a_cache_in_schema_2(converted, monkeypatch, capsys, base):
    words = (
        "run",
        "Why do cats purr?",
        "--adapter",
        "elementary-concise-plain",
        "--max-tokens",
        "8",
        "--seed",
        "1",
        "--json",
    )
    one, two = (called(monkeypatch, capsys, *words, *more) for more in ((), ("--cache", str(converted))))
    assert (one[0], two[0]) == (0, 0)
    first, second = (json.loads(printed[1]) for printed in (one, two))
    assert (second["text"], second["notes"]) == (first["text"], first["notes"])


@pytest.mark.model
def test_finetune_starts_from_the_same(converted, base):
    few = corpus.Corpus(corpus.read([MARA]).messages[:12])
    model = BaseModel.open(base)
    one, two = (
        find_start("selection", few, model, cache) for cache in (open_cache(open_source("embedded")), opened(converted))
    )
    assert two.why == one.why
    assert [(part.file.name, part.file.digest, part.weight) for part in two.parts] == [
        (part.file.name, part.file.digest, part.weight) for part in one.parts
    ]


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [("adapters/expert-concise-plain.gguf", b"GGUF"), ("base_answers.jsonl", b"{}\n"), ("adapters/x", None)],
)
def test_an_index_does_not_vouch_for_a_damaged_file(name, spoiled, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(EMBEDDED, tmp_path / "cache")
    if spoiled is None:
        name = "adapters/expert-concise-plain.gguf"
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(spoiled)
    before = (folder / "catalogue.json").read_bytes()
    status, out, err = called(monkeypatch, capsys, "cache", "index", str(folder))
    why = f"the cache has no file {name}" if spoiled is None else f"{name} is not the file its catalogue describes"
    assert (status, out, why in err, err.count("\n")) == (1, "", True, 1)
    assert (folder / "catalogue.json").read_bytes() == before
    assert not (folder / "index").exists()


@pytest.mark.parametrize("name", ["names.bin", "names.npz"])
@pytest.mark.parametrize("spoiled", [b"no table", None])
def test_a_damaged_table_of_names_is_mended_by_a_new_index(name, spoiled, converted, tmp_path):
    folder = shutil.copytree(converted, tmp_path / "cache")
    assert index.to_index(opened(folder), folder) == 8
    path = folder / "index" / name
    sound = path.read_bytes()
    path.unlink() if spoiled is None else path.write_bytes(spoiled)
    with pytest.raises(CacheMismatch, match=rf"{re.escape(name)}.* mend it with: xpert cache index DIR$"):
        opened(folder).verify_files()
    assert index.to_index(opened(folder), folder) == 8
    assert path.read_bytes() == sound
    opened(folder).verify_files()


def test_an_index_does_not_vouch_for_a_damaged_part_of_a_file_of_many(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "PACKED_CACHE", 4)
    folder = shutil.copytree(EMBEDDED, tmp_path / "cache")
    assert index.to_index(open_cache(open_source(str(folder))), folder) == 8
    assert [path.name for path in (folder / "adapters").iterdir()] == ["0000.bin"]
    assert index.to_index(opened(folder), folder) == 8
    spoil(folder / "adapters" / "0000.bin", 5_000_000)
    with pytest.raises(CacheMismatch, match=r"bytes \d+ to \d+ of adapters/0000\.bin are not what"):
        index.to_index(opened(folder), folder)


def test_a_cache_that_is_packed_is_whole_until_its_new_catalogue_is(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "PACKED_CACHE", 4)
    folder = shutil.copytree(EMBEDDED, tmp_path / "cache")
    cache = open_cache(open_source(str(folder)))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as at_the_end:
        at_the_end.setattr(index, "write_indexed", killed)
        with pytest.raises(KeyboardInterrupt):
            index.to_index(cache, folder)
    before = open_cache(open_source(str(folder)))
    assert [before.fetch(entry.id).is_file() for entry in before.entries] == [True] * 8
    assert index.to_index(before, folder) == 8
    assert [path.name for path in (folder / "adapters").iterdir()] == ["0000.bin"]


def test_a_cache_that_loses_its_index_loses_the_files_too(tmp_path, converted):
    folder = shutil.copytree(converted, tmp_path / "cache")
    cache = opened(folder)
    (folder / "adapters" / "0007.bin").write_bytes(b"of an older index")
    index.write_in_schema(
        folder,
        index.made_with(cache),
        cache.entries,
        cache.space,
        cache.answer_coordinates,
        cache.training_coordinates,
        indexed=False,
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "adapters", "base_answers.jsonl", "catalogue.json"),
        *("communities", "communities.json", "coordinates.npz"),
    ]
    assert not (folder / "adapters" / "0007.bin").exists()
    assert open_cache(open_source(str(folder))).entries == cache.entries


def test_what_was_checked_of_adapters_stays_when_others_are_added(tmp_path):
    folder = written(tmp_path, 1500)
    told = json.loads((folder / "catalogue.json").read_bytes())
    told["checked"] = {"p000003": {"findings": 0}}
    (folder / "catalogue.json").write_text(json.dumps(told), "utf-8")
    places = people(1, seed=5).astype(np.float16)
    index.add_to_index(folder, opened(folder), MADE_WITH, index.Members(places, places, lambda row: entry(1500)))
    assert opened(folder).checked == {"p000003": {"findings": 0}}


def test_a_cache_gets_an_index_by_one_command_and_lists_the_same(tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(EMBEDDED, tmp_path / "cache")
    before = called(monkeypatch, capsys, "cache", "list", "--json", "--cache", str(folder))[1]
    assert called(monkeypatch, capsys, "cache", "index", str(folder))[0] == 0
    assert not (folder / "coordinates.npz").exists()
    assert opened(folder).size == 8
    after = called(monkeypatch, capsys, "cache", "list", "--json", "--cache", str(folder))[1]
    key = "adapters"
    assert sorted(json.loads(after)[key], key=lambda one: one["id"]) == sorted(
        json.loads(before)[key], key=lambda one: one["id"]
    )
