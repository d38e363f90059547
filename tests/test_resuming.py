"""Checkpoints of a run, and that one that was stopped or killed carries on from them and ends the same bit for bit."""

from __future__ import annotations

import dataclasses
import errno
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf
from tiny_run import HELD_OUT, PACK, QUICK, SAMPLES, assert_same, one_thread, opened, texts, trained

from xpert_cli.errors import CannotWrite
from xpert_cli.signals import Interrupted
from xpert_cli.training.checkpoints import Checkpoints, State
from xpert_cli.training.loop import Progress, Trained, train
from xpert_cli.training.stopping import Stopped, Stopping, cut_short

pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
single = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_base(tmp_path_factory.mktemp("base") / "base.gguf")


# -- checkpoints


def state(step: int) -> State:
    arrays = (np.random.default_rng(step + i).normal(size=50).astype(np.float32) for i in range(4))
    return State(*arrays, step=step, best_step=step - 1, best_loss=1.25, curve=[(0, 2.0), (step, 1.25)])


def is_same(found: State | None, wanted: State) -> bool:
    if found is None:
        return False
    pairs = ((getattr(found, name), getattr(wanted, name)) for name in ("parameters", "first", "second", "best"))
    return all(np.array_equal(*pair) for pair in pairs) and json.dumps(found.numbers()) == json.dumps(wanted.numbers())


@pytest.fixture
def keep(tmp_path: Path) -> Checkpoints:
    """Checkpoints of steps 20 and 40."""
    keep = Checkpoints(tmp_path / "run", {"base": "abc", "seed": 1}, every=20)
    keep.write(state(20))
    keep.write(state(40))
    return keep


def names(keep: Checkpoints) -> list[str]:
    return sorted(path.name for path in keep.folder.iterdir())


def test_the_newest_state_comes_back_as_it_was(keep):
    assert is_same(keep.newest(), state(40))
    assert is_same(Checkpoints(keep.folder, {"seed": 1, "base": "abc"}).newest(), state(40))
    assert [step for step in range(61) if keep.due(state(step))] == [20, 40, 60]


def test_the_two_newest_are_kept(keep):
    keep.write(state(60))
    assert names(keep) == ["step-000040.npz", "step-000060.npz"]


def test_another_runs_states_are_not_taken(keep, tmp_path):
    assert Checkpoints(keep.folder, {"base": "abc", "seed": 2}).newest() is None
    assert Checkpoints(tmp_path / "none", {}).newest() is None


def test_another_runs_later_states_do_not_push_out_this_runs(keep):
    other = Checkpoints(keep.folder, {"base": "xyz"})
    other.write(state(30))
    assert names(keep) == ["step-000020.npz", "step-000030.npz"]
    assert is_same(other.newest(), state(30))


def test_a_damaged_file_gives_way_to_the_one_before(keep):
    """Whichever byte is wrong or the last: what is found is one of the two states, and never less or other."""
    path = keep.folder / "step-000040.npz"
    sound = path.read_bytes()
    flipped = (sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :] for at in range(0, len(sound), 7))
    cut = [sound[:size] for size in range(0, len(sound), 99)]
    before, after = 0, 0
    for damaged in [*flipped, *cut, b"no archive", b"PK\3\4" * 99]:
        path.write_bytes(damaged)
        found = keep.newest()
        before, after = before + is_same(found, state(20)), after + is_same(found, state(40))
    assert before + after == -(-len(sound) // 7) + len(cut) + 2
    assert before > 2 * after  # some of an archive's bytes mean nothing


def test_a_disk_that_fills_leaves_the_checkpoints_that_were_there(keep, monkeypatch):
    def full(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = names(keep)
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(CannotWrite, match=r"step-000060\.npz: No space left on device\. Free some space"):
            keep.write(state(60))
    assert names(keep) == before
    assert is_same(keep.newest(), state(40))


def test_what_a_killed_writer_left_goes_with_the_next_write(keep):
    (keep.folder / ".step-000060.npz.abcd.part").write_bytes(b"half")
    keep.write(state(60))
    assert names(keep) == ["step-000040.npz", "step-000060.npz"]


def test_clearing_leaves_nothing_of_the_run(keep, tmp_path):
    (keep.folder / ".step-000060.npz.abcd.part").write_bytes(b"half")
    (keep.folder / "notes.txt").write_text("mine")
    keep.clear()
    assert names(keep) == ["notes.txt"]
    (keep.folder / "notes.txt").unlink()
    keep.clear()
    keep.clear()
    assert not keep.folder.exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotWrite, match=r"^cannot write ") as caught:
        Checkpoints(tmp_path / "file", {}).write(state(20))
    assert "\n" not in str(caught.value)


# -- stopped, and carried on


def stopped_at(decoder: Any, call: int) -> Any:
    """A decoder whose computation of the `call`-th loss is where SIGTERM comes."""
    calls = []

    def counted(compute: Any) -> Any:
        def computed(*given: Any) -> Any:
            calls.append(1)
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGTERM)
            return compute(*given)

        return computed

    decoder.loss, decoder.learn = counted(decoder.loss), counted(decoder.learn)
    return decoder


@pytest.mark.parametrize(
    "calls",
    [(1, 1), (2,), (3, 2), (4, 3), (5, 4), (6,), (9, 3), (14, 1, 2, 3), (18, 5), (19, 6), (20,), (21, 9), (32,)],
)
@pytest.mark.parametrize(
    ("start", "layers"),
    [(None, None), (tiny_gguf.adapter(), None), (tiny_gguf.adapter(), 1)],
    ids=["fresh", "started", "upper layers"],
)
def test_stopped_anywhere_a_run_carries_on_bit_for_bit(base, tmp_path, calls, start, layers):
    """Once or more often: in the first evaluations, within a step, between steps, in later and the last evaluations."""
    keep = Checkpoints(tmp_path / "run", {}, every=5)
    recipe = dataclasses.replace(QUICK, layers=layers)
    for call in calls:
        decoder = stopped_at(opened(base), call)
        with pytest.raises(Stopped):
            train(decoder, SAMPLES, HELD_OUT, recipe, start=start, pack=PACK, keep=keep)
    step = keep.newest().step
    result = trained(base, recipe, start=start, keep=keep)
    assert result.resumed == step
    assert_same(result, trained(base, recipe, start=start))


def test_the_best_so_far_is_carried_on(base, tmp_path):
    """Random words learnt by heart make other random words less likely: an early state stays the best."""
    recipe, keep = dataclasses.replace(QUICK, evaluate_every=2), Checkpoints(tmp_path / "run", {})
    with pytest.raises(Stopped):
        train(stopped_at(opened(base), 25), SAMPLES, texts(1, 4), recipe, pack=PACK, keep=keep)
    assert 0 < keep.newest().best_step < keep.newest().step
    expected = train(opened(base), SAMPLES, texts(1, 4), recipe, pack=PACK)
    assert_same(train(opened(base), SAMPLES, texts(1, 4), recipe, pack=PACK, keep=keep), expected)


def test_a_second_signal_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with Stopping() as stopping:
        stopping.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.type is Interrupted
        with pytest.raises(Stopped):
            stopping.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_cut_short_ends_at_once_and_while_it_ends_in_order_no_signal_counts():
    def work(number: int) -> int:
        os.kill(os.getpid(), number)
        return number

    with Stopping():
        with pytest.raises(Stopped) as caught:
            cut_short(work)(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.status == 130
    with Stopping() as stopping:
        assert work(signal.SIGTERM) == signal.SIGTERM
        with pytest.raises(Stopped):
            stopping.check()


def test_a_run_in_another_thread_leaves_signals_alone(base):
    results: list[Trained] = []
    thread = threading.Thread(target=lambda: results.append(trained(base)))
    thread.start()
    thread.join()
    assert_same(results[0], trained(base))


def process(call: str) -> subprocess.Popen[str]:
    """A call of a function of this file, in a process of its own with one thread."""
    code = f"import torch; torch.set_num_threads(1); import test_resuming; test_resuming.{call}"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def dawdling(base: str, folder: str) -> None:
    """A run that tells each step, and takes its time."""

    def tell(told: Progress) -> None:
        print(told.step, flush=True)
        time.sleep(0.05)

    try:
        trained(Path(base), keep=Checkpoints(Path(folder), {}), progress=tell)
    except Stopped:
        print("stopped", flush=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_told_to_stop_does_and_another_carries_on(base, tmp_path, number):
    keep = Checkpoints(tmp_path / "run", {})
    with process(f"dawdling({str(base)!r}, {str(keep.folder)!r})") as running:
        for line in running.stdout:
            if line == "5\n":
                running.send_signal(number)
                break
        rest = running.stdout.read().split()
    assert (running.returncode, rest[-1]) == (0, "stopped")
    found = keep.newest().step
    assert 5 <= found < 12
    result = trained(base, keep=keep)
    assert result.resumed == found
    assert_same(result, trained(base))


# -- killed

KILLED = dataclasses.replace(QUICK, steps=60)
EVERY = 2


def outcome(base: Path, folder: Path, out: Path, tell: Callable[[Progress], None]) -> None:
    """A run to its end, and what came of it in a file."""
    result = trained(base, KILLED, keep=Checkpoints(folder, {}, EVERY), progress=tell)
    factors = {name: np.concatenate([half.ravel() for half in pair]) for name, pair in result.adapter.factors.items()}
    np.savez(out, curve=np.array(result.curve), best=result.best_step, **factors)


def child(work: Callable[[], None]) -> int:
    """A forked process at work; its number."""
    if number := os.fork():
        return number
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def killed(base: str, root: str, kills: int) -> None:
    """Runs in children that are killed with SIGKILL at random moments and carried on by the next; tells what it saw.

    A run that is done is compared and the next begins, until all the kills were made.
    """
    model, folder, out = Path(base), Path(root) / "run", Path(root) / "out.npz"
    shared, numbers = mmap.mmap(-1, 16), random.Random(0)

    def tell(told: Progress) -> None:
        first = struct.unpack_from("q", shared)[0]
        struct.pack_into("qq", shared, 0, told.step if first < 0 else first, told.step)

    began = time.monotonic()
    _, status = os.waitpid(child(lambda: outcome(model, Path(root) / "plain", out, lambda _: None)), 0)
    took = time.monotonic() - began
    expected = contents(out)
    seen: dict[str, Any] = {"kills": 0, "runs": 0, "wrong": int(status != 0), "lost": 0, "halves": 0, "resumed": []}
    last = 0
    while seen["kills"] < kills or last:
        struct.pack_into("qq", shared, 0, -1, -1)
        running = child(lambda: outcome(model, folder, out, tell))
        if seen["kills"] < kills:
            time.sleep(numbers.uniform(0, took / 5))
            os.kill(running, signal.SIGKILL)
        _, status = os.waitpid(running, 0)
        first, reached = struct.unpack("qq", shared[:])
        due = min(last, KILLED.steps - 1) // EVERY * EVERY  # the last step needs no checkpoint: it ends the run
        seen["lost"] += 0 <= first < due
        seen["resumed"] += [first] if first > 0 else []
        last = max(last, reached)
        if os.WIFSIGNALED(status):
            seen["kills"] += os.WTERMSIG(status) == signal.SIGKILL
            seen["halves"] += any(folder.glob(".step-*.part"))
            continue
        found = contents(out)
        same = found.keys() == expected.keys() and all(np.array_equal(found[n], expected[n]) for n in found)
        seen["wrong"] += status != 0 or not same
        seen["runs"] += 1
        Checkpoints(folder, {}).clear()
        out.unlink()
        last = 0
    print(json.dumps({**seen, "left": [path.name for path in folder.glob("*")]}))


def contents(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked, to be many")
def test_killed_at_200_random_moments_nothing_but_the_last_steps_is_lost(base, tmp_path):
    with process(f"killed({str(base)!r}, {str(tmp_path)!r}, 200)") as running:
        seen = json.loads(running.stdout.read())
    assert running.returncode == 0
    assert seen["kills"] == 200
    assert (seen["wrong"], seen["lost"], seen["left"]) == (0, 0, [])
    assert seen["runs"] >= 2
    assert len(set(seen["resumed"])) >= 10  # checkpoints of this many different steps were carried on from
    assert seen["halves"] > 0  # and at times the file was being written
