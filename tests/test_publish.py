"""Publishing a cache to a Hub that a loopback server plays: what is sent, signed, asked, and told in the card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import MARA, called
from hub_server import HubServer, point_at
from test_cache import adapters, edit, opened

from xpert_cli import corpus, paths
from xpert_cli.cache import answers, build, signing
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub import sources
from xpert_cli.paper import word_index
from xpert_cli.sharing import memorization, publish, upload
from xpert_cli.style import described

EMBEDDED = paths.packaged("adapters")
REPO = "anna/styles"
INDEX = {"README.md", "base_answers.jsonl", "catalogue.json", "coordinates.npz"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    running = HubServer(REPO, {}, head="")
    point_at(running.url, monkeypatch)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield running
    running.close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(EMBEDDED, tmp_path / "cache")


def put(folder: Path, **options: Any) -> upload.Sent:
    return publish.send(publish.prepare(open_cache(sources.open_source(str(folder)), trusted=False), REPO, **options))


def there(server: HubServer) -> dict[str, bytes]:
    return server.commits[server.head]


def posts(server: HubServer) -> list[str]:
    return [request for request in server.requests if not request.startswith(("GET", "HEAD"))]


def test_a_cache_is_put_into_a_private_repo_and_is_one_there(server, copy):
    sent = put(copy)
    assert server.private
    cache = opened(copy)
    adapters = {one.file for one in (*cache.entries, *(group.entry for group in cache.communities))}
    assert set(there(server)) == INDEX | {"communities.json"} | adapters
    assert sent.commit == server.head
    assert set(sent.files) == set(there(server))
    cache = open_cache(sources.open_source(REPO))
    assert [entry.sha256 for entry in cache.entries] == [entry.sha256 for entry in opened(copy).entries]
    assert (cache.published.version, cache.published.key) == (1, "")
    assert cache.notes == (f"{REPO} is not signed: whoever may write there decides what you get",)
    assert np.array_equal(cache.coordinates, opened(copy).coordinates)
    assert "published" not in json.loads((copy / "catalogue.json").read_text("utf-8"))  # the folder is as it was


def test_adapters_come_first_in_commits_of_a_size_that_the_hub_takes(server, copy, monkeypatch):
    monkeypatch.setattr(upload, "MOST", 3)
    put(copy)
    grown = [len(files) for files in server.commits.values()]
    assert grown == [0, 3, 6, 9, 14]
    assert ["catalogue.json" in files for files in server.commits.values()] == [False] * 4 + [True]


def test_one_adapter_more_is_one_adapter_sent_and_the_catalogue(server, copy):
    whole, last = json.loads((copy / "catalogue.json").read_text("utf-8")), opened(copy).entries[-1]
    cache = opened(copy)
    parts = {name: np.load(copy / "coordinates.npz")[name] for name in np.load(copy / "coordinates.npz").files}
    fewer = {name: array[:-1] if name in ("answers", "source") else array for name, array in parts.items()}
    np.savez(copy / "coordinates.npz", **fewer)
    path = copy / "coordinates.npz"
    edit(copy, lambda told: told["adapters"].pop())
    edit(copy, lambda told: told["coordinates"].update(sha256=paths.digest(path), bytes=path.stat().st_size))
    put(copy)
    assert last.file not in there(server)
    np.savez(path, **parts)
    whole["coordinates"] = {"sha256": paths.digest(path), "bytes": path.stat().st_size}
    (copy / "catalogue.json").write_text(json.dumps(whole), encoding="utf-8")
    sent = put(copy)
    assert set(sent.files) == {last.file, "catalogue.json", "coordinates.npz", "README.md"}
    assert open_cache(sources.open_source(REPO)).published.version == 2
    assert len(open_cache(sources.open_source(REPO)).entries) == len(cache.entries)


def test_a_public_repo_has_to_be_asked_for(server, copy):
    put(copy, public=True)
    assert not server.private
    with pytest.raises(BadInput, match="anna/styles is public: everybody could see the adapters"):
        put(copy)
    assert put(copy, public=True).files


def test_a_signed_cache_is_pinned_cannot_lose_its_signature_and_tells_when_it_ends(server, copy, tmp_path):
    key = signing.make_key(tmp_path / "key")
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    put(copy, key=key, days=30, now=today)
    cache = open_cache(sources.open_source(REPO))
    assert cache.notes == (f"{REPO} is signed with the key {key.public}, and from now on has to be",)
    assert cache.published.expires == (today + timedelta(days=30)).isoformat()
    with pytest.raises(BadInput, match="anna/styles is signed, and devices refuse it without"):
        put(copy)
    first = server.head
    put(copy, key=key)
    assert open_cache(sources.open_source(REPO)).published.version == 2
    server.head = first
    with pytest.raises(CacheMismatch, match="is at version 1, and was at 2 before"):
        open_cache(sources.open_source(REPO))
    forged = there(server)["catalogue.json"].replace(b"playful", b"painful")
    server.commits["d" * 40] = {**there(server), "catalogue.json": forged}
    server.head = "d" * 40
    with pytest.raises(CacheMismatch, match="the signature is not of these contents"):
        open_cache(sources.open_source(REPO))


def test_a_commit_that_somebody_made_meanwhile_is_not_overwritten(server, copy):
    put(copy)
    ready = publish.prepare(opened(copy), REPO)
    server.commits["e" * 40] = there(server)
    server.head = "e" * 40
    with pytest.raises(BadInput, match="somebody else changed anna/styles meanwhile"):
        publish.send(ready)
    assert server.head == "e" * 40


def test_a_cache_too_large_for_a_folder_of_the_hub_is_not_sent(server, copy, monkeypatch):
    monkeypatch.setattr(publish, "MOST", 7)
    with pytest.raises(BadInput, match="a folder on the Hub holds 7 files"):
        put(copy)
    assert posts(server) == []


def test_no_login_is_one_line(server, copy):
    server.faults.status, server.faults.busy = 401, -1
    with pytest.raises(BadInput, match="hf auth login"):
        put(copy)


# -- asking, and what is looked through before


def test_nothing_is_sent_without_a_yes(server, copy, monkeypatch, capsys):
    status, out, err = called(monkeypatch, capsys, "cache", "publish", str(copy), REPO)
    assert (status, out) == (1, "")
    assert "14 files" in err
    assert "private anna/styles, version 1, not signed" in err
    assert "was not looked through (--text FILE)" in " ".join(err.split())
    assert f"nothing was sent to {REPO}. Say yes, or --yes" in err
    assert posts(server) == []
    status, out, err = called(monkeypatch, capsys, "cache", "publish", str(copy), REPO, "--yes", "--json")
    assert status == 0
    assert set(json.loads(out)["files"]) == set(there(server))


def test_the_card_has_what_the_hub_reads_and_what_was_not_checked(server, copy, monkeypatch, capsys):
    options = ("--yes", "--license", "apache-2.0", "--base-model", "HuggingFaceTB/SmolLM2-135M-Instruct")
    assert called(monkeypatch, capsys, "cache", "publish", str(copy), REPO, *options)[0] == 0
    text = there(server)["README.md"].decode()
    front = text.split("---\n")[1].splitlines()
    assert 'license: "apache-2.0"' in front
    assert 'base_model: "HuggingFaceTB/SmolLM2-135M-Instruct"' in front
    assert sum(line.startswith("base_model:") for line in front) == 1
    assert {"base_model_relation: adapter", "library_name: gguf", "tags: [xpert, lora, gguf]"} <= set(front)
    assert "Eight language styles" in text  # the owner's own words are kept
    assert text.count("## Adapters") == 1
    assert text.count("| not checked |") == 9


def test_a_text_that_no_adapter_was_trained_on_is_refused(server, copy, monkeypatch, capsys, base):
    status, _, err = called(monkeypatch, capsys, "cache", "publish", str(copy), REPO, "--text", MARA, "--yes")
    assert status == 1
    assert "no adapter here was trained on this text" in err
    assert posts(server) == []


@pytest.mark.model
def test_findings_are_shown_without_repeating_them_and_told_in_the_card(
    server, copy, tmp_path, monkeypatch, capsys, base
):
    text, secret = tmp_path / "mine.jsonl", "marabella.okonkwo@example.com"
    told = {
        "prompt": "Where can I write to you?",
        "response": f"Do write to me at {secret} whenever you have a minute.",
    }
    text.write_text(json.dumps(told) + "\n", encoding="utf-8")
    digest = corpus.read([str(text)]).digest
    edit(copy, lambda told: told["adapters"][2]["provenance"]["data"].update(digest=digest))
    words = ("cache", "publish", str(copy), REPO, "--text", str(text), "--yes", "--no-canaries")
    status, out, err = called(monkeypatch, capsys, *words)
    assert status == 0
    assert "message 1, line 2: e-mail address" in err
    assert secret not in out + err
    assert "marabella" not in out + err
    card = there(server)["README.md"].decode()
    assert "| 1 secrets or personal data found; at most" in card
    assert card.count("canaries not tried") == 1
    assert card.count("| not checked |") == 8
    checked = open_cache(sources.open_source(REPO)).entries[2].checked
    assert (checked["findings"], checked["data"]) == (1, digest)
    assert secret not in json.dumps(dict(checked))


@pytest.mark.model
def test_canaries_are_tried_unless_told_otherwise(server, copy, tmp_path, monkeypatch, capsys, base):
    pytest.importorskip("torch")
    text = tmp_path / "mine.jsonl"
    lines = [
        {"prompt": f"What did you cook on day {day}?", "response": f"Lentils, {day} cups of them."} for day in "1234567"
    ]
    text.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    digest = corpus.read([str(text)]).digest

    def trained_shortly(told: dict[str, Any]) -> None:
        told["adapters"][2]["provenance"]["data"]["digest"] = digest
        told["adapters"][2]["provenance"]["recipe"]["steps"] = 2

    edit(copy, trained_shortly)
    monkeypatch.setattr(publish.memorization, "exposure", partial(memorization.exposure, candidates=16))
    words = ("cache", "publish", str(copy), REPO, "--text", str(text), "--yes")
    assert called(monkeypatch, capsys, *words)[0] == 0
    told = open_cache(sources.open_source(REPO)).entries[2].checked
    assert told["canaries"] == 8
    assert 0 < told["exposure"] <= 4  # log2 of 16 candidates
    assert "canaries exposed by" in there(server)["README.md"].decode()
    monkeypatch.setattr(publish, "find_spec", lambda name: None)
    assert called(monkeypatch, capsys, *words)[0] == 0
    assert "canaries not tried" in there(server)["README.md"].decode()


def test_quiet_publishing_has_to_be_agreed_to_beforehand(server, copy, monkeypatch, capsys):
    status, _, err = called(monkeypatch, capsys, "cache", "publish", str(copy), REPO, "--quiet")
    assert (status, posts(server)) == (2, [])
    assert "Say --yes with it" in err


# -- adding


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short answers."""
    monkeypatch.setattr(answers, "ANSWER_TOKENS", 8)


@pytest.mark.model
def test_an_adapter_is_added_and_nothing_else_moves(copy, tmp_path, small, base):
    before, (one, _) = opened(copy), adapters(base, tmp_path)
    added = build.add([one], before, copy, base)
    after = opened(copy)
    assert [entry.id for entry in after.entries] == [*(entry.id for entry in before.entries), "one"]
    assert np.array_equal(after.answer_coordinates[:-1], before.answer_coordinates)
    assert np.array_equal(after.training_coordinates[:-1], before.training_coordinates, equal_nan=True)
    assert np.array_equal(after.space.precision, before.space.precision)
    assert np.isnan(after.training_coordinates[-1]).all()
    assert np.isfinite(after.answer_coordinates[-1]).all()
    assert after.fetch("one").read_bytes() == one.read_bytes()
    assert [entry.id for entry in added.adapters] == ["one"]
    assert "| one |" in (copy / "README.md").read_text("utf-8")
    with pytest.raises(BadInput, match="has one already"):
        build.add([one], after, copy, base)


@pytest.mark.model
def test_an_adapter_that_tells_of_its_text_is_added_without_a_model(copy, tmp_path, base, monkeypatch):
    axes = tuple(axis for axis in opened(copy).space.axes if axis.kind == "measured")
    writing = described.read(corpus.read([MARA]).texts, axes, described.NO_BASIS, None)
    _, two = adapters(base, tmp_path, **described.source_metadata(writing, axes, described.NO_BASIS))
    monkeypatch.setattr(build, "answer_probes", None)
    added = build.add([two], opened(copy), copy, base)
    after = opened(copy)
    assert [(one.id, one.agreement) for one in added.adapters] == [("two", None)]
    assert added.notes == ()
    assert after.entries[-1].explained_by == ("source",)
    known = [axis.kind == "measured" for axis in after.space.axes]
    placed = after.space.only(np.array(known)).position(writing)
    assert after.coordinates[-1, known] == pytest.approx(placed, abs=0.02)  # float16
    assert not after.answer_coordinates[-1].any()


@pytest.mark.model
def test_what_was_explained_otherwise_cannot_be_added_to(copy, tmp_path, base):
    edit(copy, lambda told: told.update(probes="0" * 64))
    with pytest.raises(CacheMismatch, match="was explained with another summarizer or other probes"):
        build.add(adapters(base, tmp_path)[:1], opened(copy), copy, base)


@pytest.mark.model
def test_an_adapter_is_proposed_to_a_repo_of_somebody_else(server, copy, tmp_path, small, monkeypatch, capsys, base):
    put(copy, public=True)
    head, (one, _) = server.head, adapters(base, tmp_path)
    status, out, err = called(monkeypatch, capsys, "cache", "add", str(one), "--cache", REPO, "--yes", "--json")
    assert (status, err) == (0, "")
    sent = json.loads(out)
    assert set(sent["files"]) == {"adapters/one.gguf", "catalogue.json", "coordinates.npz", "README.md"}
    assert sent["pull_request"].endswith("/discussions/1")
    assert server.head == head
    proposed = open_cache(sources.open_source(f"{REPO}@{server.requested[0]}"))
    assert proposed.entries[-1].id == "one"
    # What the maintainer does: look at it, sign it, and publish it.
    monkeypatch.setattr(described, "probes", lambda: pytest.fail("nothing is explained again"))
    key = signing.make_key(tmp_path / "key")
    source = sources.open_source(f"{REPO}@{server.requested[0]}")
    publish.send(publish.prepare(open_cache(source, trusted=False), REPO, public=True, key=key))
    assert open_cache(sources.open_source(REPO)).entries[-1].id == "one"


# -- what a folder, or a proposal, brings along


@pytest.mark.parametrize("name", ["README.md", "words.npz", "base_answers.jsonl"])
@pytest.mark.usefixtures("links")
def test_what_a_link_points_to_is_not_sent(server, copy, tmp_path, name):
    (tmp_path / "private.txt").write_text("my diary")
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(tmp_path / "private.txt")
    with pytest.raises(CacheMismatch, match=f"{name} is a link out of the cache"):
        put(copy)
    assert posts(server) == []


@pytest.mark.usefixtures("links")
def test_an_adapter_behind_a_link_is_not_sent(server, copy, tmp_path):
    entry = opened(copy).entries[0]
    (copy / entry.file).rename(tmp_path / "elsewhere.gguf")
    (copy / entry.file).symlink_to(tmp_path / "elsewhere.gguf")
    assert opened(copy).fetch(entry.id).is_file()  # what its digest says may be read
    with pytest.raises(CacheMismatch, match=r"\.gguf is a link out of the cache"):
        put(copy)


def test_only_what_is_a_caches_own_is_sent(server, copy):
    for name in ("notes.txt", ".ssh", "adapters/mine.jsonl"):
        (copy / name).write_text("private")
    put(copy)
    assert not any(data == b"private" for data in there(server).values())


def test_words_that_a_signed_catalogue_does_not_list_do_not_count(server, copy, tmp_path):
    key = signing.make_key(tmp_path / "key")
    put(copy, key=key)
    server.commits[server.head] = {**there(server), "words.npz": b"planted"}
    cache = open_cache(sources.open_source(REPO))
    assert cache.source.optional("words.npz") is None
    with pytest.raises(CacheMismatch, match=r"words\.npz"):
        word_index.read(cache.source)
    again = open_cache(sources.open_source(REPO), trusted=False)  # its publisher takes it over, as from a proposal
    put_again = publish.prepare(again, REPO, key=key)
    assert "words.npz" not in put_again.contents
