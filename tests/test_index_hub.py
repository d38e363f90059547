"""Caches of schema 2 on a Hub that a loopback server plays: parts of files by Range, faults, offline, publishing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer, point_at
from test_index import MADE_WITH, entry, opened, people, space, user, written

from xpert_cli.cache import index
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.indexed import IndexedCache
from xpert_cli.cache.shards import pack
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub import download, ranges
from xpert_cli.hub.sources import open_source
from xpert_cli.selection.search import nearest
from xpert_cli.sharing import publish

REPO = "anna/people"
OLD, NEW = "a" * 40, "b" * 40
CELLS = "index/cells.bin"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 1,500 people in three cells; its adapters are ten bytes each, in one file."""
    folder = tmp_path_factory.mktemp("people") / "cache"
    places = people(1500).astype(np.float16)
    data = b"".join(contents(row) for row in range(1500))
    (folder / "adapters").mkdir(parents=True)
    (folder / "adapters" / "0.bin").write_bytes(data)
    index.write_indexed(folder, MADE_WITH, index.Members(places, places, entry_of), space(12))
    return folder


def contents(row: int) -> bytes:
    return b"GGUF%06d" % row


def entry_of(row: int) -> dict[str, Any]:
    return {**entry(row), "sha256": sha256(contents(row)).hexdigest()}


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    running = HubServer(REPO, {OLD: files(folder)}, head=OLD)
    point_at(running.url, monkeypatch)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "PAUSE", 0.001)
    yield running
    running.close()


def of_hub(**options: Any) -> IndexedCache:
    cache = open_cache(open_source(REPO, **options))
    assert isinstance(cache, IndexedCache)
    return cache


def near(cache: IndexedCache) -> list[str]:
    return [one.id for one in nearest(cache, user(cache, people(1, seed=3)[0]))[0].entries]


def test_what_is_near_is_read_by_range_and_nothing_else(server, folder):
    cache = of_hub()
    assert near(cache) == near(opened(folder))
    small = ("catalogue.json", "space.npz", "index/root.npz")
    read = sum(len(server.commits[OLD][name]) for name in small) + sum(end - begin for _, begin, end in server.ranges)
    assert cache.source.downloaded_bytes == read
    assert {name for name, _, _ in server.ranges} == {CELLS}
    assert read < sum(len(data) for name, data in server.commits[OLD].items() if name != "adapters/0.bin") / 3


def test_one_adapter_of_many_in_a_file_is_fetched_alone_and_kept(server, tmp_path):
    cache = of_hub()
    path = cache.fetch("p000123")
    assert path.read_bytes() == b"GGUF000123"
    assert ("adapters/0.bin", 1230, 1240) in server.ranges
    assert path == tmp_path / "home" / "files" / cache.entry("p000123").sha256 / "p000123.gguf"
    asked = len(server.ranges)
    assert cache.fetch("p000123") == path
    assert len(server.ranges) == asked
    assert [one.id for one in of_hub().at_hand()] == ["p000123"]


def test_an_adapter_is_found_by_its_id_in_a_few_kilobytes(server):
    cache = of_hub()
    before = cache.source.downloaded_bytes
    assert cache.entry("p001499").offset == 14990
    assert cache.source.downloaded_bytes - before < 60_000
    with pytest.raises(BadInput, match="anna/people has no adapter 'nobody' among its 1500"):
        cache.entry("nobody")
    assert (cache.has("p000000"), cache.has("nobody")) == (True, False)


def test_what_was_read_is_there_offline(server):
    first = near(of_hub())
    asked = len(server.requests)
    cache = of_hub(offline=True)
    assert near(cache) == first
    assert (len(server.requests), cache.source.downloaded_bytes) == (asked, 0)
    with pytest.raises(BadInput, match=r"index/cells\.bin is not downloaded yet.*--offline"):
        nearest(cache, user(cache, -people(1, seed=9)[0]))
    with pytest.raises(BadInput, match=r"adapters/0\.bin is not downloaded yet.*--offline"):
        cache.source.cut("adapters/0.bin", 0, 10, "0" * 64, "x.gguf")


def test_what_was_damaged_on_this_machine_is_read_again(server, tmp_path):
    first = near(of_hub())
    for path in (tmp_path / "home" / "files").glob("*/cells.bin"):
        path.write_bytes(b"damaged")
    cache = of_hub()
    assert near(cache) == first
    assert cache.source.downloaded_bytes > 0


def test_a_server_that_sends_whole_files_will_do_if_they_are_small(server, monkeypatch):
    server.faults.ranges = False
    cache = of_hub()
    assert near(cache) == found_by_range(server)
    monkeypatch.setattr(ranges, "MOST_SKIPPED", 10)
    with pytest.raises(CacheMismatch, match="anna/people: the server sends whole files, and no parts of them"):
        nearest(cache, user(cache, -people(1, seed=9)[0]))


def found_by_range(server: HubServer) -> list[str]:
    server.faults.ranges = True
    try:
        return near(of_hub())
    finally:
        server.faults.ranges = False


def test_wrong_bytes_are_fetched_once_more_and_then_refused(server):
    server.faults.spoiled[CELLS] = 1
    first = near(of_hub())
    assert first
    server.faults.spoiled[CELLS] = -1
    cache = of_hub()
    with pytest.raises(CacheMismatch, match=r"bytes \d+ to \d+ of index/cells\.bin are not what") as caught:
        nearest(cache, user(cache, -people(1, seed=9)[0]))
    assert "\n" not in str(caught.value)


def test_a_connection_that_drops_is_carried_on(server, folder):
    begin = int(opened(folder).cells.begins[0])
    server.faults.cut[CELLS] = [begin + 100, begin + 150, begin + 151]
    assert near(of_hub()) == near(opened(folder))
    assert any(name == CELLS and first not in set(opened(folder).cells.begins) for name, first, _ in server.ranges)


def test_a_file_that_is_shorter_than_its_index_says_is_refused(server):
    server.commits[OLD][CELLS] = server.commits[OLD][CELLS][:100]
    cache = of_hub()
    with pytest.raises(CacheMismatch, match="a file of its index is shorter than the index says"):
        near(cache)


def test_files_that_lie_elsewhere_are_followed(server, folder):
    server.faults.moved = True
    cache = of_hub()
    assert near(cache) == near(opened(folder))
    assert cache.fetch("p000007").read_bytes() == b"GGUF000007"


def test_what_another_program_downloaded_is_used(server, folder, tmp_path, monkeypatch):
    theirs = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(theirs))
    snapshot = shutil.copytree(folder, theirs / "models--anna--people" / "snapshots" / OLD)
    (theirs / "models--anna--people" / "refs").mkdir()
    (theirs / "models--anna--people" / "refs" / "main").write_text(OLD)
    cache = of_hub(offline=True)
    assert near(cache) == near(opened(folder))
    assert cache.fetch("p000007").read_bytes() == b"GGUF000007"
    (snapshot / CELLS).write_bytes(b"damaged")
    with pytest.raises(BadInput, match=r"index/cells\.bin is not downloaded yet"):
        nearest(of_hub(offline=True), user(cache, -people(1, seed=9)[0]))


def test_a_revision_that_comes_between_changes_nothing(server, folder, tmp_path):
    cache = of_hub()
    server.commits[NEW] = files(written(tmp_path / "other", 1200))
    server.head = NEW
    assert near(cache) == near(opened(folder))
    assert (cache.source.revision, of_hub().size) == (OLD, 1200)


def test_a_busy_server_is_waited_for(server, folder):
    cache = of_hub()
    server.faults.busy = 2
    assert near(cache) == near(opened(folder))


# -- sending what changed


def put(folder: Path, **options: Any) -> Any:
    cache = open_cache(open_source(str(folder)), trusted=False)
    return publish.send(publish.prepare(cache, REPO, **options))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    running = HubServer(REPO, {}, head="")
    point_at(running.url, monkeypatch)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    yield running
    running.close()


def test_a_published_cache_is_the_same_and_one_more_adapter_is_little(empty, folder, tmp_path):
    own = shutil.copytree(folder, tmp_path / "own")
    (own / "README.md").write_text("---\ntags: [xpert]\n---\n\n# People\n", "utf-8")
    sent = put(own)
    assert set(sent.files) == set(files(own))
    assert near(of_hub()) == near(opened(own))
    assert json.loads(empty.commits[empty.head]["catalogue.json"])["published"]["version"] == 1
    place = people(1, seed=5).astype(np.float16)
    (own / "adapters" / "new.gguf").write_bytes(b"GGUF new")
    more = {**entry_of(1500), "id": "zoe", "file": "adapters/new.gguf", "bytes": 8}
    del more["offset"]
    more["sha256"] = sha256(b"GGUF new").hexdigest()
    cache = opened(own)
    index.add_to_index(own, cache, MADE_WITH, index.Members(place, place, lambda row: more))
    sent = put(own)
    assert set(sent.files) == {
        *("adapters/new.gguf", "index/cells-0001.bin", "index/root.npz", "space.npz", "catalogue.json", "README.md")
    }
    again = of_hub()
    assert (again.size, again.fetch("zoe").read_bytes()) == (1501, b"GGUF new")
    assert again.published is not None
    assert again.published.version == 2


def test_what_was_checked_of_an_adapter_is_told_in_the_catalogue(empty, folder, tmp_path):
    looked = {"findings": 0, "verbatim": 3, "verbatim_base": 2}
    put(shutil.copytree(folder, tmp_path / "own"), checked={"p000002": looked})
    assert of_hub().entry("p000002").checked == looked
    assert of_hub().entry("p000003").checked is None


def test_many_adapters_are_put_into_few_files(tmp_path):
    (tmp_path / "adapters").mkdir()
    entries = []
    for row in range(5):
        one = {**entry_of(row), "file": f"adapters/p{row}.gguf"}
        del one["offset"]
        (tmp_path / one["file"]).write_bytes(contents(row))
        entries.append(Entry(**{**one, "explained_by": ()}))
    packed = pack(tmp_path, entries, file_bytes=25)
    assert [(one.file, one.offset) for one in packed] == [
        ("adapters/0000.bin", 0),
        ("adapters/0000.bin", 10),
        ("adapters/0001.bin", 0),
        ("adapters/0001.bin", 10),
        ("adapters/0002.bin", 0),
    ]
    assert sorted(path.name for path in (tmp_path / "adapters").glob("*.bin")) == ["0000.bin", "0001.bin", "0002.bin"]
    assert (tmp_path / "adapters/0001.bin").read_bytes() == b"GGUF000002GGUF000003"
    assert pack(tmp_path, packed, file_bytes=25) == packed
