"""A command opens each file once: headers parsed, fingerprints hashed, adapters read and hashed, counted by file."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from command import EXTRAS, MARA, called

from xpert_cli import gguf, paths
from xpert_cli.gguf import files as gguf_files
from xpert_cli.gguf import header as gguf_header

ID = "elementary-concise-playful"
WATCHED: dict[CodeType, tuple[str, Callable[[FrameType], Path]]] = {
    gguf_header._Parser.header.__code__: ("parsed", lambda frame: frame.f_locals["self"].path),
    gguf_files.fingerprint.__code__: ("fingerprint", lambda frame: gguf.opened(frame.f_locals["source"]).path),
    gguf_files.read_adapter.__code__: ("factors", lambda frame: gguf.opened(frame.f_locals["source"]).path),
    paths.digest.__code__: ("digest", lambda frame: frame.f_locals["path"]),
}


@contextmanager
def counting() -> Iterator[Counter[tuple[str, str]]]:
    """Counts (what is done, file's name) while the block runs, however the functions were imported."""
    seen: Counter[tuple[str, str]] = Counter()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (what := WATCHED.get(frame.f_code)):
            seen[what[0], Path(what[1](frame)).name] += 1

    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def of(seen: Counter[tuple[str, str]], name: str) -> dict[str, int]:
    """What was done with one file."""
    return {what: count for (what, file), count in sorted(seen.items()) if file == name}


def test_the_counter_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with counting() as seen:
        paths.digest(tmp_path / "a")
        paths.digest(tmp_path / "a")
    assert of(seen, "a") == {"digest": 2}


@pytest.mark.model
def test_select_opens_the_base_and_each_chosen_adapter_once(monkeypatch, capsys, base):
    with counting() as seen:
        status, out, _ = called(monkeypatch, capsys, "select", MARA, "--json")
    assert status == 0
    chosen = [one["adapter"] for one in json.loads(out)["selected"]]
    assert chosen
    assert of(seen, base.name) == {"fingerprint": 1, "parsed": 1}
    for adapter in chosen:
        assert of(seen, f"{adapter}.gguf") == {"digest": 1, "factors": 1, "parsed": 1}


@pytest.mark.model
def test_run_opens_the_base_and_the_adapter_once(monkeypatch, capsys, base):
    with counting() as seen:
        status, _, _ = called(monkeypatch, capsys, "run", "Hello!", "--adapter", ID, "--max-tokens", "2", "--json")
    assert status == 0
    assert of(seen, base.name) == {"fingerprint": 1, "parsed": 1}
    assert of(seen, f"{ID}.gguf") == {"digest": 1, "factors": 1, "parsed": 1}


@pytest.mark.model
def test_run_of_a_base_alone_hashes_nothing(monkeypatch, capsys, base):
    with counting() as seen:
        status, _, _ = called(monkeypatch, capsys, "run", "Hello!", "--max-tokens", "2", "--json")
    assert status == 0
    assert of(seen, base.name) == {"parsed": 1}


@pytest.mark.model
@pytest.mark.slow
def test_finetune_opens_the_base_and_each_adapter_of_its_start_once(monkeypatch, capsys, tmp_path, base, few_answers):
    for package in EXTRAS:
        pytest.importorskip(package)
    quick = ("--steps", "1", "--max-tokens", "48", "--held-out", "0.2", "--out", str(tmp_path / "run"), "--json")
    with counting() as seen:
        status, out, _ = called(monkeypatch, capsys, "finetune", MARA, *quick)
    assert status == 0
    measured = json.loads(out)["start_check"]["arms"]
    chosen = {part["adapter"] for arm in measured for part in arm["parts"]}
    assert chosen
    assert of(seen, base.name) == {"digest": 1, "fingerprint": 1, "parsed": 1}
    for adapter in chosen:
        assert of(seen, f"{adapter}.gguf") == {"digest": 1, "factors": 1, "parsed": 1}
