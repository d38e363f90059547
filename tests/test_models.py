"""`xpert models`: bases worth using, with what they take; fetching, listing and deleting them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import called, xpert
from hub_server import HubServer, point_at
from tiny_chat import write_chat_base

from xpert_cli import gguf, paths
from xpert_cli.hub import download
from xpert_cli.hub.kept import kept_models
from xpert_cli.hub.known import KNOWN, Known, known

HEAD = "a" * 40
QWEN = known("Qwen3-0.6B")


@pytest.fixture
def qwen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """A tiny model in the place of a known one, on a Hub of its own."""
    assert QWEN is not None
    data = write_chat_base(tmp_path / "base.gguf").read_bytes()
    server = HubServer(QWEN.repo, {HEAD: {"Qwen3-0.6B-Q8_0.gguf": data, "Qwen3-0.6B-Q4_K_M.gguf": b"GGUF"}}, head=HEAD)
    point_at(server.url, monkeypatch)
    monkeypatch.setattr(download, "PAUSE", 0.001)
    yield data
    server.close()


def test_a_known_base_is_pulled_listed_and_deleted(qwen, monkeypatch, capsys):
    status, out, err = called(monkeypatch, capsys, "models", "pull", "qwen3-0.6b", "--json")
    told = json.loads(out)
    assert (status, err, told["bytes"], told["base"]["name"]) == (0, "", len(qwen), "Tiny")
    path = Path(told["file"])
    assert path.read_bytes() == qwen
    assert [(one.repo, one.file, one.path) for one in kept_models()] == [
        ("Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf", path)
    ]
    status, out, _ = called(monkeypatch, capsys, "models", "list", "--json")
    (mine,) = [one for one in json.loads(out)["models"] if one["name"] != "smollm2-135m-instruct"]
    assert (status, mine["name"], mine["here"], mine["bytes"]) == (0, "qwen3-0.6b", str(path), len(qwen))
    assert mine["run_bytes"] > mine["bytes"]
    assert called(monkeypatch, capsys, "models", "rm", "qwen3-0.6b")[::2] == (
        1,
        "error: this asks before it deletes, and nobody is there to answer. Say yes beforehand with --yes.\n",
    )
    assert path.exists()
    status, out, _ = called(monkeypatch, capsys, "models", "rm", "Qwen3-0.6B", "--yes", "--json")
    assert (status, json.loads(out)["freed_bytes"]) == (0, len(qwen))
    assert kept_models() == []
    assert not path.exists()
    assert called(monkeypatch, capsys, "models", "rm", "qwen3-0.6b", "--yes")[2] == (
        "error: qwen3-0.6b was not fetched by xpert. List what is here with: xpert models list\n"
    )


def test_a_deleted_base_can_be_pulled_again(qwen, monkeypatch, capsys):
    for _ in range(2):
        assert called(monkeypatch, capsys, "models", "pull", "qwen3-0.6b", "--json")[0] == 0
        assert called(monkeypatch, capsys, "models", "rm", "qwen3-0.6b", "--yes")[0] == 0


def test_without_the_hub_pulling_is_refused_in_one_line(monkeypatch, capsys):
    status, out, err = called(monkeypatch, capsys, "models", "pull", "qwen3-0.6b", "--offline")
    assert (status, out) == (1, "")
    assert err == (
        "error: Qwen/Qwen3-0.6B-GGUF is not downloaded yet and --offline is on. "
        "Connect and run again, or name a local folder or file.\n"
    )
    status, _, err = called(monkeypatch, capsys, "models", "pull", "qwen9")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("error: there is no model file qwen9. Give a GGUF file, a name that `xpert models` lists")


def test_names_and_places_are_each_one_models():
    assert len({one.name for one in KNOWN}) == len({one.address for one in KNOWN}) == len(KNOWN)
    assert all(one.name == one.name.lower() for one in KNOWN)
    assert known("QWEN3-0.6B") is QWEN
    assert known("qwen") is None


def test_without_torch_memory_for_fine_tuning_is_not_known_and_a_note_says_so():
    done = xpert("models", "--json", hide=("torch",))
    told = json.loads(done.stdout)
    assert (done.returncode, len(told["models"]) >= len(KNOWN) - 1) == (0, True)
    assert {one["finetune_bytes"] for one in told["models"]} == {None}
    assert told["notes"][0].startswith("memory for fine-tuning is not known: ")


def test_a_header_made_of_sizes_is_that_of_the_file(base):
    pytest.importorskip("torch")
    from xpert_cli.training.bases import header_of

    packaged = known("smollm2-135m-instruct")
    assert packaged is not None
    made, real = header_of(packaged), gguf.read_header(base)
    assert {name: info.shape for name, info in made.tensors.items() if "output_norm" not in name} == {
        name: info.shape for name, info in real.tensors.items() if "output_norm" not in name
    }


def test_bases_have_the_memory_that_the_planner_says(base):
    pytest.importorskip("torch")
    from xpert_cli.training.bases import worth_using

    found = {one.name: one for one in worth_using().models}
    packaged = found["smollm2-135m-instruct"]
    assert (packaged.bytes, packaged.here, packaged.caches) == (base.stat().st_size, str(base), ("embedded",))
    for one in found.values():
        assert 0 < (one.finetune_bytes or 0) < (one.fastest_bytes or 0)
        assert one.run_bytes > one.bytes
    assert found["qwen2.5-0.5b-instruct"].bytes == pytest.approx(491_400_032, rel=0.01)
    assert found["qwen2.5-1.5b-instruct"].bytes == pytest.approx(1_117_320_736, rel=0.01)
    assert found["qwen2.5-1.5b-instruct"].caches == ()


def test_a_known_one_has_sizes_that_fit_together():
    for one in KNOWN:
        assert isinstance(one, Known)
        assert one.heads % one.groups == 0
        assert (one.hidden % 32, one.wide % 32) == (0, 0)


def test_adapters_of_a_cache_are_no_models():
    place = paths.data_dir() / "hub" / "anna--styles" / HEAD / "adapters"
    place.mkdir(parents=True)
    (place / "terse.gguf").write_text("0" * 64)
    assert kept_models() == []
