"""Fetching from a server that misbehaves: what the user sees, and what is on disk afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from command import ROOT
from hub_server import HubServer, point_at

from xpert_cli.errors import BadInput, CacheMismatch, CannotWrite
from xpert_cli.hub import download
from xpert_cli.hub.sources import open_source

COMMIT, REPO, NAME = "c" * 40, "anna/styles", "adapters/terse.gguf"
DATA = random.Random(0).randbytes(1 << 20)
DIGEST = sha256(DATA).hexdigest()
FETCH = f"""
from xpert_cli.hub.sources import open_source
source = open_source({REPO!r})
source.file({NAME!r}, {DIGEST!r}, {len(DATA)})
print(source.downloaded_bytes)
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    running = HubServer(REPO, {COMMIT: {"catalogue.json": b"{}", NAME: DATA}}, head=COMMIT)
    point_at(running.url, monkeypatch)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path))
    monkeypatch.setattr(download, "PAUSE", 0.001)
    yield running
    running.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited between tries; none of them is."""
    waited: list[float] = []
    monkeypatch.setattr(download, "sleep", waited.append)
    return waited


def fetched() -> tuple[bytes, int]:
    source = open_source(REPO)
    path = source.file(NAME, DIGEST, len(DATA))
    return path.read_bytes(), source.downloaded_bytes


def kept(home: Path) -> dict[str, int]:
    """The files in the store and their sizes, without the locks."""
    files = [path for path in (home / "files").rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path.name: path.stat().st_size for path in files}


def gets(server: HubServer) -> int:
    return server.requests.count(f"GET /{REPO}/resolve/{COMMIT}/{NAME}")


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_dropped_connection_is_carried_on_from_where_it_was(server, tmp_path, tenth):
    server.faults.cut[NAME] = [tenth * len(DATA) // 10]
    assert fetched() == (DATA, len(DATA))
    assert gets(server) == 2
    assert kept(tmp_path) == {"terse.gguf": len(DATA)}


def test_a_connection_dropped_at_every_tenth_brings_the_file_all_the_same(server):
    server.faults.cut[NAME] = [tenth * len(DATA) // 10 for tenth in range(1, 10)]
    assert fetched() == (DATA, len(DATA))
    assert gets(server) == 10


def test_a_server_that_sends_no_parts_is_asked_for_the_whole_again(server):
    server.faults.cut[NAME], server.faults.ranges = [len(DATA) // 2], False
    assert fetched() == (DATA, len(DATA) * 3 // 2)


def test_a_server_that_drops_at_the_same_place_for_good_is_given_up_and_the_part_is_kept(server, tmp_path, waits):
    server.faults.cut[NAME] = [1000] * 20
    with pytest.raises(BadInput, match=f"{REPO}/{NAME} cannot be fetched: .* Try again") as caught:
        fetched()
    assert "\n" not in str(caught.value)
    assert waits == [0.001, 0.002, 0.004, 0.008]
    assert kept(tmp_path) == {".terse.gguf.part": 1000}
    server.faults.cut[NAME] = []
    assert fetched() == (DATA, len(DATA) - 1000)
    assert kept(tmp_path) == {"terse.gguf": len(DATA)}


def test_a_part_that_was_spoiled_earlier_is_noticed_and_thrown_away(server, tmp_path):
    part = tmp_path / "files" / DIGEST / ".terse.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"rubbish" * 100)
    assert fetched() == (DATA, len(DATA) - 700 + len(DATA))
    part.write_bytes(b"x" * (len(DATA) + 1))  # longer than the file is
    (part.parent / "terse.gguf").unlink()
    assert fetched() == (DATA, len(DATA))


def test_a_file_of_another_digest_than_the_catalogue_says_is_not_kept(server, tmp_path):
    with pytest.raises(CacheMismatch, match="is not the file its catalogue describes"):
        open_source(REPO).file(NAME, "0" * 64, len(DATA))
    assert kept(tmp_path) == {}


def test_a_kept_file_that_the_disk_spoiled_is_fetched_again(server, tmp_path):
    fetched()
    (tmp_path / "files" / DIGEST / "terse.gguf").write_bytes(b"x" * len(DATA))
    assert fetched() == (DATA, len(DATA))


def test_a_file_longer_than_it_should_be_is_not_taken(server, tmp_path):
    server.commits[COMMIT][NAME] = DATA + DATA
    with pytest.raises(CacheMismatch, match="is not the file"):
        open_source(REPO).file(NAME, sha256(b"x").hexdigest(), 1000)
    assert kept(tmp_path) == {}


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_as_long_as_it_asks(server, waits, status):
    server.faults.status, server.faults.after, server.faults.busy = status, "7", 2
    assert fetched()[0] == DATA
    assert waits == [7.0, 7.0]


def test_a_server_that_asks_for_an_hour_is_left_alone(server, waits):
    server.faults.status, server.faults.after, server.faults.busy = 429, "3600", -1
    with pytest.raises(BadInput, match=r"is not downloaded yet and the Hub cannot be reached .*429"):
        fetched()
    assert waits == []


def test_a_server_that_accepts_and_hangs_is_given_up(server, monkeypatch, waits):
    monkeypatch.setattr(download, "STALLED", 0.05)
    server.faults.hang = 0.5
    with pytest.raises(BadInput, match="is not downloaded yet and the Hub cannot be reached"):
        fetched()
    assert len(waits) == download.TRIES - 1


def test_a_full_disk_is_told_before_anything_is_fetched(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(CannotWrite, match=r"0 MB free, and 1 MB are needed.* choose another folder with XPERT_HOME"):
        fetched()
    assert gets(server) == 0


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
IGNORED = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"


def process(server: HubServer, home: Path, code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XPERT_HOME": str(home), "HF_ENDPOINT": server.url}
    environment["HF_HUB_OFFLINE"] = "0"
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="there are no limits on files here")
def test_a_disk_that_fills_up_in_between_keeps_what_arrived(server, tmp_path):
    code = LIMITED + IGNORED + FETCH.replace("source.file", "print(1); source.file")
    code = (
        f"from xpert_cli.errors import CannotWrite\ntry:\n    exec({code!r})\nexcept CannotWrite as error: print(error)"
    )
    out = process(server, tmp_path, code).communicate(timeout=60)[0]
    assert "cannot write" in out
    assert "Free some space, or move the folder with XPERT_HOME." in out
    assert 0 < kept(tmp_path)[".terse.gguf.part"] <= 300_000
    assert fetched()[1] < len(DATA)


def test_a_process_killed_in_mid_download_loses_nothing_that_arrived(server, tmp_path):
    server.faults.drip = 0.02
    first = process(server, tmp_path, FETCH)
    part = tmp_path / "files" / DIGEST / ".terse.gguf.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 100_000) and time.monotonic() < deadline:
        time.sleep(0.005)
    first.kill()
    first.wait()
    arrived = part.stat().st_size
    assert 100_000 < arrived < len(DATA)
    server.faults.drip = 0.0
    assert fetched() == (DATA, len(DATA) - arrived)


def test_two_processes_at_once_fetch_it_once(server, tmp_path):
    server.faults.drip = 0.01
    both = [process(server, tmp_path, FETCH) for _ in range(2)]
    received = sorted(int(one.communicate(timeout=60)[0]) for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert received == [0, len(DATA)]
    assert gets(server) == 1
    assert kept(tmp_path) == {"terse.gguf": len(DATA)}
