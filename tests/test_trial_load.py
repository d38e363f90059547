"""A stranger's adapter is loaded in a process of its own first; what ends that process is told in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gguf_drafts
import numpy as np
import pytest
import tiny_gguf
from gguf_drafts import key
from tiny import packaged_base

from xpert_cli import gguf, paths
from xpert_cli.errors import BadModel, CacheMismatch
from xpert_cli.llama import trial_load


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_gguf.write_base(tmp_path / "base.gguf")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    gguf.write_adapter(tiny_gguf.adapter(), tmp_path / "a.gguf")
    return tmp_path / "a.gguf"


def instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have other code run in the trial's place."""
    monkeypatch.setattr(trial_load, "_command", lambda *_: [sys.executable, "-c", code])


def remembered() -> int:
    return len(list((paths.data_dir() / "trials").glob("*")))


def test_a_sound_adapter_passes_and_is_not_tried_twice(monkeypatch, base, adapter):
    trial_load.try_adapter(base, adapter)
    assert remembered() == 1
    instead(monkeypatch, "raise SystemExit(12)")
    trial_load.try_adapter(base, adapter)
    gguf.write_adapter(tiny_gguf.adapter(seed=1), adapter)
    with pytest.raises(BadModel, match="was refused"):
        trial_load.try_adapter(base, adapter)
    assert remembered() == 1


def test_an_adapter_that_passed_is_tried_again_with_another_llama_cpp(monkeypatch, base, adapter):
    instead(monkeypatch, "")
    trial_load.try_adapter(base, adapter)
    monkeypatch.setattr(trial_load, "version", lambda package: "0.0.1")
    trial_load.try_adapter(base, adapter)
    assert remembered() == 2


def test_a_home_that_cannot_be_written_only_costs_the_memory_of_it(monkeypatch, tmp_path, base, adapter):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "file"))
    instead(monkeypatch, "")
    trial_load.try_adapter(base, adapter)


def test_numbers_that_are_not_finite_are_told(base, adapter):
    huge = tiny_gguf.adapter()
    for pair in huge.factors.values():
        for factor in pair:
            factor[:] = 1e30  # finite; their product is not
    gguf.write_adapter(huge, adapter, "F32")
    with pytest.raises(BadModel, match=r"a\.gguf: a trial run with base\.gguf gave no finite numbers\. Use another"):
        trial_load.try_adapter(base, adapter)
    assert remembered() == 0


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.abort()", "was aborted by signal 6. Use another adapter."),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by the system: over 60 seconds"),
        ("import os; os.write(2, b'std::bad_alloc'); os.abort()", "used over 2048 MB of memory. Close other programs"),
        ("raise OSError('odd')", "ended with status 1 (OSError: odd). Use another adapter."),
        ("raise SystemExit(14)", "used over 2048 MB of memory. Close other programs"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_what_ended_the_process_is_told_in_one_line(monkeypatch, base, adapter, code, told):
    instead(monkeypatch, code)
    with pytest.raises(BadModel) as caught:
        trial_load.try_adapter(base, adapter)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{adapter}: a trial run with base.gguf ")
    assert "\n" not in str(caught.value)
    assert remembered() == 0


def test_a_trial_that_does_not_end_is_ended(monkeypatch, base, adapter):
    monkeypatch.setattr(trial_load, "SECONDS", 1)
    instead(monkeypatch, "while True: pass")
    with pytest.raises(BadModel, match=r"ran over 1 seconds\. Use another adapter"):
        trial_load.try_adapter(base, adapter)


def test_a_trial_that_needs_too_much_memory_is_ended(monkeypatch, base, adapter):
    pytest.importorskip("resource")
    instead(monkeypatch, "from xpert_cli.llama import trial_load; trial_load._limit(1 << 20, 60); bytes(1 << 30)")
    with pytest.raises(BadModel, match="used over 2048 MB of memory"):
        trial_load.try_adapter(base, adapter)


def test_llama_cpp_aborts_there_and_not_here(monkeypatch, tmp_path, base):
    draft = gguf_drafts.adapter()
    draft.keys = [*draft.keys[:3], key("adapter.lora.alpha", 4, bytes(4))]  # no float: an assertion fails
    (tmp_path / "hostile.gguf").write_bytes(draft.content())
    with pytest.raises(BadModel, match="of type uint32 instead of float32"):
        trial_load.try_adapter(base, tmp_path / "hostile.gguf")
    monkeypatch.setattr(gguf, "check_adapter", lambda adapter, base: None)  # as if our reader had missed it
    start = "import pathlib, sys; from xpert_cli import gguf; from xpert_cli.llama import trial_load"
    start = f"{start}; gguf.check_adapter = lambda *_: None; "
    instead(
        monkeypatch, f"{start} trial_load._attempt(*map(pathlib.Path, {[str(base), str(tmp_path / 'hostile.gguf')]}))"
    )
    with pytest.raises(BadModel, match="was aborted by signal 6"):
        trial_load.try_adapter(base, tmp_path / "hostile.gguf")


def test_a_base_that_llama_cpp_refuses_or_aborts_on_is_refused(monkeypatch, tmp_path, base):
    trial_load.try_base(base)
    assert remembered() == 1
    instead(monkeypatch, "import os; os.abort()")
    trial_load.try_base(base)
    os.utime(base, (1, 1))
    with pytest.raises(BadModel, match=r"base\.gguf: a trial run was aborted by signal 6\. Use another base"):
        trial_load.try_base(base)
    monkeypatch.undo()
    hollow = tmp_path / "hollow.gguf"
    gguf.write_model(hollow, {"general.architecture": gguf.encode("string", "llama")}, {})
    with pytest.raises(
        BadModel, match=r"hollow\.gguf: llama\.cpp refuses this model: .*Use another file, or convert the"
    ):
        trial_load.try_base(hollow)


def test_a_base_larger_than_the_free_memory_is_not_tried(monkeypatch, base):
    instead(monkeypatch, "import os; os.write(2, b'why it was not loaded'); raise SystemExit(11)")
    monkeypatch.setattr(trial_load.platform, "available_memory", lambda: base.stat().st_size)
    trial_load.try_base(base)
    monkeypatch.setattr(trial_load.platform, "available_memory", lambda: 1 << 40)
    with pytest.raises(BadModel, match=r"^why it was not loaded$"):
        trial_load.try_base(base)


def test_another_base_and_broken_numbers_need_no_process(monkeypatch, tmp_path, base, adapter):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    gguf.write_adapter(tiny_gguf.adapter(base_fingerprint="0" * 64), adapter)
    with pytest.raises(CacheMismatch, match="fingerprint"):
        trial_load.try_adapter(base, adapter)
    broken = tiny_gguf.adapter()
    next(iter(broken.factors.values()))[0][0, 0] = 7.0
    gguf.write_adapter(broken, adapter, "F32")
    content = adapter.read_bytes()
    adapter.write_bytes(content.replace(np.float32(7).tobytes(), np.float32("nan").tobytes()))
    with pytest.raises(BadModel, match="not finite"):
        trial_load.try_adapter(base, adapter)


def test_the_process_has_its_limits():
    pytest.importorskip("resource")
    code = (
        "import resource as r; from xpert_cli.llama import trial_load; trial_load._limit(3 << 30, 5); "
        "assert r.getrlimit(r.RLIMIT_DATA) == (3 << 30, 3 << 30); assert r.getrlimit(r.RLIMIT_CORE) == (0, 0); "
        "assert r.getrlimit(r.RLIMIT_CPU)[0] == 5 * trial_load.platform.cores()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=paths.PACKAGE.parent)


def test_it_runs_where_there_are_no_limits(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    trial_load._limit(1, 1)  # does nothing: this process lives on


@pytest.mark.model
def test_a_packaged_adapter_passes() -> None:
    files = sorted((paths.packaged("adapters") / "adapters").glob("*.gguf"))
    trial_load.try_adapter(packaged_base(), files[0])
    assert remembered() == 1
