"""A cache on a Hub that nobody here wrote: found, fetched in part, trained from, kept for offline use, and renewed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import EXTRAS, FEW_ANSWERS, MARA, xpert
from olah_hub import NAME, Hub, files_of, olah_hub

from xpert_cli import paths

pytestmark = [pytest.mark.model, pytest.mark.slow]

QUICK = ("--steps", "2", "--max-tokens", "64", "--held-out", "0.25")
INDEX = {"catalogue.json", "coordinates.npz", "communities.json"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The embedded cache on olah, which the commands take for the Hub; nothing has been downloaded yet."""
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    (tmp_path / "olah").mkdir()
    with olah_hub(tmp_path / "olah") as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def notes(tmp_path: Path) -> str:
    """The first eight messages of a sample writer."""
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(Path(MARA).read_text("utf-8").splitlines(keepends=True)[:8]), "utf-8")
    return str(path)


def told(*arguments: str) -> dict[str, Any]:
    """What a command that ends well prints as JSON."""
    done = xpert(*arguments, "--json", fault=FEW_ANSWERS)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def choice(chosen: dict[str, Any]) -> dict[str, Any]:
    """What a selection found, wherever the cache lies."""
    return {name: chosen[name] for name in ("selected", "ranking", "verdict", "confidence", "explanation")}


def files(adapters: list[dict[str, Any]]) -> set[str]:
    return {f"adapters/{one['adapter']}.gguf" for one in adapters}


def size(names: set[str]) -> int:
    return sum((paths.packaged("adapters") / name).stat().st_size for name in names)


def test_what_the_embedded_cache_gives_this_hub_gives_and_only_that_is_fetched(hub, base, notes):
    here = told("select", notes)
    there = told("select", notes, "--cache", NAME)
    assert choice(there) == choice(here)
    assert 0 < len(files(there["selected"])) < 8
    assert hub.fetched() == INDEX | files(there["selected"])
    assert there["downloaded_bytes"] == size(hub.fetched())
    hub.stop()
    again = told("select", notes, "--cache", NAME, "--offline")
    assert (choice(again), again["downloaded_bytes"]) == (choice(there), 0)


def test_a_run_starts_from_what_was_fetched_and_goes_on_without_the_hub(hub, base, notes, tmp_path):
    for package in EXTRAS:
        pytest.importorskip(package)
    first = told("finetune", notes, "--cache", NAME, *QUICK, "--out", str(tmp_path / "first"))
    assert first["started_from"]
    fetched = hub.fetched()  # all that was selected: the run starts from what predicts the messages best of it
    assert INDEX | files(first["started_from"]) <= fetched
    assert len(fetched - INDEX) <= 3
    hub.stop()
    started = [part for one in first["started_from"] for part in ("--adapter", f"{one['adapter']}={one['weight']}")]
    again = told("run", "Hello!", "--cache", NAME, *started, "--max-tokens", "8", "--offline")
    assert again["generated_tokens"] > 0
    refused = xpert("run", "Hello!", "--cache", NAME, "--adapter", missing(fetched), "--offline")
    assert refused.returncode == 1
    assert "not downloaded yet" in refused.stderr


def missing(fetched: set[str]) -> str:
    """An adapter of the cache that is not among these files."""
    return min(path.stem for path in files_of(paths.packaged("adapters") / "adapters") if path.name not in str(fetched))


def test_a_new_commit_is_seen_and_the_old_one_can_still_be_named(hub, base, notes):
    quick = ("select", notes, "--measured-only", "--cache")
    first, old = told(*quick, NAME), hub.commit
    catalogue = json.loads((hub.folder / "catalogue.json").read_bytes())
    entry, other = (
        next(one for one in catalogue["adapters"] if (one["id"] == first["selected"][0]["adapter"]) is is_winner)
        for is_winner in (True, False)
    )
    entry |= {**other, "id": "renewed", "file": "adapters/renewed.gguf"}
    data = (paths.packaged("adapters") / other["file"]).read_bytes()
    new = hub.publish({"catalogue.json": json.dumps(catalogue).encode(), "adapters/renewed.gguf": data})
    assert new != old

    renewed = told(*quick, NAME)
    assert renewed["selected"][0]["adapter"] == "renewed"
    assert [one["score"] for one in renewed["ranking"]] == [one["score"] for one in first["ranking"]]
    assert "adapters/renewed.gguf" in hub.fetched()
    assert choice(told(*quick, f"{NAME}@{old}")) == choice(first)
    assert choice(told(*quick, f"{NAME}@{new}")) == choice(renewed)


@pytest.mark.parametrize("name", ["anna/nothing", f"{NAME}@v9", f"{NAME}@{'a' * 40}"])
def test_what_this_hub_does_not_have_is_one_line(hub, base, notes, name):
    done = xpert("select", notes, "--cache", name, "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {name.split('@')[0]}")
    assert done.stderr.count("\n") == 1
