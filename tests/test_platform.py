"""What is known of the machine: its cores, Android, the wake lock; and that nothing makes links, which it may lack."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest
import tiny_gguf
from test_architecture import MODULES

from xpert_cli import platform
from xpert_cli.llama import vocabulary

GHZ = 1_000_000  # kHz


@pytest.fixture
def phone(monkeypatch):
    """A function that gives this process cores with these top frequencies in GHz; None: /sys is closed."""

    def has(*speeds: float | None, android: bool = True) -> None:
        def read(path: Path, *_: object) -> str:
            found = re.fullmatch(r"/sys/devices/system/cpu/cpu(\d+)/cpufreq/cpuinfo_max_freq", str(path))
            assert found, f"{path} is read, too"
            if (speed := speeds[int(found[1])]) is None:
                raise PermissionError(13, "Permission denied", str(path))
            return f"{int(speed * GHZ)}\n"

        monkeypatch.setattr(Path, "read_text", read)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(speeds))), raising=False)
        monkeypatch.setattr(platform, "is_android", lambda: android)

    return has


@pytest.mark.parametrize(
    ("speeds", "count"),
    [
        ((1.8, 1.8, 1.8, 1.8, 2.4, 2.4, 2.4, 2.8), 4),  # 2.4 is 86 % of 2.8
        ((1.8, 1.8, 1.8, 1.8, 1.8, 1.8, 2.4, 2.4), 2),
        ((2.0, 2.0, 2.0, 2.0), 4),
        ((1.5,), 1),
    ],
)
def test_cores_nearly_as_fast_as_the_best_are_counted(phone, speeds, count):
    phone(*speeds)
    assert platform.cores() == count


def test_half_of_many_cores_is_taken_where_android_does_not_tell_them_apart(phone):
    phone(*[None] * 8)
    assert platform.frequencies() == []
    assert platform.cores() == 4
    phone(*[None] * 4)
    assert platform.cores() == 4
    phone(*[None] * 8, android=False)
    assert platform.cores() == 8
    phone(1.8, 1.8, None, None, 2.4, 2.4)  # some are not told
    assert platform.cores() == 3


def test_cores_of_another_process_are_not_counted(phone, monkeypatch):
    phone(1.8, 1.8, 2.4, 2.4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)  # Android does so in the background
    assert platform.cores() == 2


def test_android_is_told_by_python_or_by_the_environment(monkeypatch):
    monkeypatch.delenv("ANDROID_ROOT", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not platform.is_android()
    monkeypatch.setattr(sys, "platform", "android")
    assert platform.is_android()
    monkeypatch.setattr(sys, "platform", "linux")  # Python before 3.13
    monkeypatch.setenv("ANDROID_ROOT", "/system")
    assert platform.is_android()


def test_an_import_sees_linux_on_android_and_nothing_else_does(monkeypatch):
    monkeypatch.setattr(sys, "platform", "android")
    seen = []

    def broken() -> None:
        with platform.as_linux():
            seen.append(sys.platform)
            raise ImportError

    with pytest.raises(ImportError):
        broken()
    assert (seen, sys.platform) == (["linux"], "android")
    monkeypatch.setattr(sys, "platform", "darwin")
    with platform.as_linux():
        assert sys.platform == "darwin"


def test_llama_cpp_loads_where_python_says_android(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "llama_cpp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "platform", "android")
    with pytest.raises(RuntimeError, match="Unsupported platform"):
        import llama_cpp.llama_cpp  # noqa: F401
    for name in [name for name in sys.modules if name.split(".")[0] == "llama_cpp"]:
        monkeypatch.delitem(sys.modules, name)
    assert vocabulary.library.__wrapped__().llama_print_system_info()
    assert sys.platform == "android"


@pytest.mark.model
def test_both_thread_settings_of_llama_cpp_follow_the_cores(monkeypatch, base):
    from xpert_cli.llama.model import Model

    monkeypatch.setattr(platform, "free_cores", lambda lately=False: 3)
    with Model(base, context=64) as model:
        settings = (model._lib.llama_n_threads(model._context), model._lib.llama_n_threads_batch(model._context))
    assert settings == (3, 3)


# -- the wake lock


@pytest.fixture
def termux(monkeypatch, tmp_path):
    """A phone whose commands note their names in the file that this is."""
    log = tmp_path / "log"
    log.write_text("")
    for name in ("termux-wake-lock", "termux-wake-unlock"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} >>"{log}"\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANDROID_ROOT", "/system")
    return log


def test_the_wake_lock_is_held_inside_and_given_back_whatever_happens(termux):
    notes: list[str] = []
    held = []

    def stopped() -> None:
        with platform.wake_lock(notes.append):
            held.append(termux.read_text())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert held == ["termux-wake-lock\n"]
    assert termux.read_text() == "termux-wake-lock\ntermux-wake-unlock\n"
    assert notes == []


def test_a_wake_lock_that_cannot_be_had_is_said_and_not_given_back(termux):
    notes: list[str] = []
    (termux.parent / "termux-wake-lock").write_text("#!/bin/sh\nexit 1\n")
    with platform.wake_lock(notes.append):
        pass
    (termux.parent / "termux-wake-lock").unlink()
    with platform.wake_lock(notes.append):
        pass
    assert notes == ["no wake lock: termux-wake-lock did not work. Install it with: pkg install termux-tools"] * 2
    assert termux.read_text() == ""


def test_elsewhere_the_wake_lock_is_a_note(termux, monkeypatch):
    monkeypatch.delenv("ANDROID_ROOT")
    monkeypatch.setattr(sys, "platform", "linux")
    notes: list[str] = []
    with platform.wake_lock(notes.append):
        pass
    assert (notes, termux.read_text()) == (["--wake-lock is for phones: nothing keeps this machine awake"], "")


# -- links and processes


def test_nothing_makes_links_or_worker_processes():
    lacking = re.compile(r"(?<!is_)symlink|os\.link\b|hardlink|link_to|multiprocessing|ProcessPool|os\.fork")
    uses = {name: set(lacking.findall(source)) for name, source in MODULES.items() if lacking.search(source)}
    assert uses == {
        "xpert_cli.hub.repo": {"symlink"},  # which copies where no link can be made: test_hub.py
        "xpert_cli.cache.writers": {"os.link"},  # so does this
        "xpert_cli.training.workers": {"multiprocessing"},  # with --jobs 2 only, and by pipes, without semaphores
    }
    pipes = MODULES["xpert_cli.training.workers"]
    assert 'get_context("spawn")' in pipes
    assert not re.search(r"Queue|Lock|Semaphore|Pool|Manager", pipes)
    assert lacking.search("path.symlink_to(other)")
    assert lacking.search("os.link(a, b)")


# -- cores that other programs leave


def looks(monkeypatch, *moments: tuple[float, float, float] | None, cores: int = 4) -> None:
    """A machine on which, at each look, so much time has passed and so much was worked by all and by this program."""
    waiting = list(moments)
    monkeypatch.setattr(platform, "_chosen", None)
    monkeypatch.setattr(platform, "_busy", None)
    monkeypatch.setattr(platform, "_look", waiting.pop(0))
    monkeypatch.setattr(platform, "_cpu_seconds", lambda: waiting.pop(0))
    monkeypatch.setattr(platform, "_allowed", lambda: list(range(cores)))
    monkeypatch.setattr(platform, "frequencies", lambda: [])
    monkeypatch.setattr(platform, "is_android", lambda: False)


@pytest.mark.parametrize(
    ("work", "own", "threads"),
    [(0.0, 0.0, 4), (4.0, 4.0, 4), (1.2, 1.0, 4), (2.0, 0.0, 2), (4.0, 2.0, 2), (3.4, 0.0, 1), (4.0, 0.0, 1)],
)
def test_threads_are_the_cores_that_other_programs_leave(monkeypatch, work, own, threads):
    looks(monkeypatch, (10.0, 100.0, 7.0), (11.0, 100.0 + work, 7.0 + own))
    assert platform.free_cores() == threads


def test_two_looks_in_short_succession_are_one(monkeypatch):
    looks(monkeypatch, (10.0, 0.0, 0.0), (12.0, 4.0, 0.0), (12.1, 4.4, 0.0), (14.0, 4.4, 0.0))
    assert [platform.busy_cores() for _ in range(3)] == pytest.approx([2.0, 2.0, 0.2])


def test_what_others_did_long_ago_is_looked_at_anew(monkeypatch):
    monkeypatch.setattr(platform.time, "sleep", lambda seconds: None)
    old, ended = (10.0, 0.0, 0.0), (15.0, 16.0, 0.0)  # another program on four cores for five seconds
    looks(monkeypatch, old, ended)
    assert platform.free_cores() == 1
    looks(monkeypatch, old, ended, (15.05, 16.0, 0.0))
    assert platform.free_cores(lately=True) == 4  # it has ended
    looks(monkeypatch, old, ended, (15.05, 16.15, 0.0))
    assert platform.free_cores(lately=True) == 1  # it has not
    looks(monkeypatch, old, (11.0, 4.0, 0.0))
    assert platform.free_cores(lately=True) == 1  # that is lately enough


def test_a_context_that_was_idle_looks_at_what_others_do_now(monkeypatch, tmp_path):
    from xpert_cli.llama import context
    from xpert_cli.llama.model import Model

    asked = []
    monkeypatch.setattr(platform, "free_cores", lambda lately=False: asked.append(lately) or 1)
    with Model(tiny_gguf.write_base(tmp_path / "base.gguf"), context=64, outputs=4) as model:
        monkeypatch.setattr(context, "EVERY", 0.0)
        model._ended = float("inf")
        model.logits([1, 2])  # in the midst of work
        model._ended = 0.0
        model.logits([1, 2])  # after a pause
    assert asked == [True, False, True]


def test_where_nothing_is_said_of_other_programs_all_cores_are_used(monkeypatch):
    looks(monkeypatch, None, None, None)
    assert (platform.busy_cores(), platform.free_cores()) == (None, 4)


def test_a_number_of_threads_that_was_asked_for_is_what_is_used(monkeypatch):
    looks(monkeypatch, (10.0, 0.0, 0.0), (11.0, 4.0, 0.0))
    platform.use_threads(3)
    assert (platform.cores(), platform.free_cores()) == (3, 3)
    platform.use_threads(None)
    assert (platform.cores(), platform.free_cores()) == (4, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_systems_own_numbers_are_read():
    before = platform._cpu_seconds()
    end = time.process_time() + 0.15
    while time.process_time() < end:
        pass
    after = platform._cpu_seconds()
    assert before is not None
    assert after is not None
    assert after[2] - before[2] >= 0.12  # this process's own work, in hundredths
    assert after[1] - before[1] >= 0.08  # is among that of all


def test_a_context_goes_on_with_as_many_threads_as_there_are_free_cores(monkeypatch, tmp_path):
    from xpert_cli.llama import context
    from xpert_cli.llama.model import Model

    free = [2, 1, 1]
    monkeypatch.setattr(platform, "free_cores", lambda lately=False: free.pop(0))
    monkeypatch.setattr(context, "EVERY", 0.0)
    with Model(tiny_gguf.write_base(tmp_path / "base.gguf"), context=64, outputs=4) as model:
        assert model.threads == 2
        model.logits([1, 2])
        assert (model.threads, free) == (1, [1])
    with Model(tmp_path / "base.gguf", context=64, outputs=4, threads=2) as model:
        model.logits([1, 2])
        assert (model.threads, free) == (2, [1])
