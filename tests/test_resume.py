"""Long computations that are killed carry on where they were, and give what they would have given."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import MARA, called, xpert
from filelock import FileLock
from tiny_gguf import adapter, write_base

from xpert_cli import paths, resume
from xpert_cli.cache import build
from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import CannotWrite, TimeIsUp
from xpert_cli.gguf import read_header, write_adapter
from xpert_cli.gguf.open_files import BaseModel
from xpert_cli.llama import layers as llama_layers
from xpert_cli.llama.layers import group_bytes, layered_states
from xpert_cli.llama.model import Model
from xpert_cli.resume import PartialResults, Piece, middle, write_pieces
from xpert_cli.style import described
from xpert_cli.style.space import Readings
from xpert_cli.training.evaluate import evaluate

PROMPTS = [[7, 7, token % 32] for token in range(40)]


class Killed(Exception):
    """The process is ended here."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, in which all is kept however short it took."""
    monkeypatch.setenv("XPERT_HOME", str(tmp_path))
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setattr(resume, "_kept", set())
    return tmp_path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("small") / "small.gguf")


def test_what_is_kept_is_found_until_it_is_dropped(home):
    assert PartialResults("a", 1).load() is None
    PartialResults("a", 1).keep(3, np.array([1.5, 2.5]))
    done, values = PartialResults("a", 1).load()
    assert (done, values.tolist()) == (3, [1.5, 2.5])
    assert PartialResults("a", 2).load() is None
    assert (home / "unfinished").stat().st_mode & 0o077 == 0
    PartialResults("a", 1).drop()
    assert list((home / "unfinished").iterdir()) == []


def test_short_computations_leave_no_file(home, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 10.0)
    PartialResults("a").keep(1, np.zeros(1))
    assert not (home / "unfinished").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\3\4 cut off", b"no archive at all"])
def test_a_damaged_file_is_no_file(home, damage):
    kept = PartialResults("a")
    kept.keep(1, np.zeros(1))
    kept.path.write_bytes(damage)
    assert kept.load() is None


def test_a_folder_that_takes_no_files_stops_nothing(home):
    (home / "unfinished").write_text("a file is in its place")
    kept = PartialResults("a")
    kept.keep(1, np.zeros(1))
    assert kept.load() is None


def test_what_nobody_came_back_for_is_deleted(home):
    old, young = PartialResults("old"), PartialResults("young")
    old.keep(1, np.zeros(1))
    past = time.time() - resume.STALE - 60
    os.utime(old.path, (past, past))
    young.keep(1, np.zeros(1))
    assert [path.name for path in (home / "unfinished").iterdir()] == [young.path.name]


def test_states_go_on_with_the_prompts_that_are_left(small):
    with Model(small, context=2048, sequences=16, shared=True) as model:
        expected = model.states(PROMPTS)

        def killed(part: float) -> None:
            if part > 0.5:
                raise Killed

        with pytest.raises(Killed):
            model.states(PROMPTS, killed, PartialResults("states"))
        parts: list[float] = []
        found = model.states(PROMPTS, parts.append, PartialResults("states"))
    assert parts == [1.0]  # 16 and 32 of 40 were done
    np.testing.assert_array_equal(found, expected)


def test_layers_that_were_done_are_not_read_again(small, monkeypatch):
    memory = group_bytes(read_header(small), range(0, 1))
    expected = layered_states(small, PROMPTS, memory=memory)
    read: list[range] = []
    load = llama_layers._load

    def watched(header, layers, *rest, **options):
        read.append(layers)
        if len(read) == 2:
            raise Killed
        return load(header, layers, *rest, **options)

    monkeypatch.setattr(llama_layers, "_load", watched)
    with pytest.raises(Killed):
        layered_states(small, PROMPTS, memory=memory, partial=PartialResults("layers"))
    found = layered_states(small, PROMPTS, memory=memory, partial=PartialResults("layers"))
    assert read == [range(0, 1), range(1, 2), range(1, 2)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.model
def test_a_build_does_not_explain_the_same_answers_twice(base, monkeypatch, home):
    asked: list[str] = []

    def read(texts, axes, basis, model, *, asked_=asked, most=0):
        asked_.append(texts[0])
        if len(asked_) == 2:
            raise Killed
        return Readings(np.full((len(texts), 3), float(len(texts[0]))))

    monkeypatch.setattr(described, "read", read)
    answers, silent = {"": ["a"], "terse": ["bb"], "wordy": ["cccc"]}, lambda message, part: None
    basis = np.zeros((1, 4), np.float32)
    with pytest.raises(Killed):
        build._read(answers, (), basis, BaseModel.open(base), silent)
    told = build._read(answers, (), basis, BaseModel.open(base), silent)
    assert asked == ["a", "bb", "bb", "cccc"]
    assert [one.values[0, 0] for one in told] == [1.0, 2.0, 4.0]
    assert list((home / "unfinished").iterdir()) == []


@pytest.mark.model
def test_an_evaluation_goes_on_with_the_messages_that_are_left(base, monkeypatch, home, few_answers):
    corpus = Corpus(tuple(Message(None, text, "") for text in ("The sky is blue.", "Cats purr.", "It rains again.")))
    expected = evaluate(corpus, base)
    read: list[Sequence[int]] = []
    nats = Model.nats

    def watched(self, sample):
        read.append(sample[0])
        if len(read) == 3:
            raise Killed
        return nats(self, sample)

    monkeypatch.setattr(Model, "nats", watched)
    with pytest.raises(Killed):
        evaluate(corpus, base)
    found = evaluate(corpus, base)
    assert len(read) == 4  # the third was begun twice
    assert (found.loss_base, found.tokens) == (expected.loss_base, expected.tokens)
    assert list((home / "unfinished").iterdir()) == []


@pytest.mark.model
def test_a_command_ends_when_its_minutes_are_over_and_says_how_to_go_on(monkeypatch, capsys):
    status, out, err = called(monkeypatch, capsys, "summarize", MARA, "--minutes", "0", "--json")
    line = "0 minutes are over. Nothing was kept: the same command starts from the beginning."
    assert (status, json.loads(out), err) == (1, {"error": line}, f"error: {line}\n")


# -- files


def killed(work: Callable[[], None]) -> int:
    """How a process that does this ends."""
    if not (process := os.fork()):
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def numbered(made: list[int], until: int | None = None) -> list[Piece]:
    """Five pieces of eight bytes, six of them given; the process is killed where `until` would be made."""

    def data(number: int) -> bytes:
        if number == until:
            os.kill(os.getpid(), signal.SIGKILL)
        made.append(number)
        return bytes([number]) * 6

    return [Piece(8, partial(data, number)) for number in range(5)]


WHOLE = b"".join(bytes([number]) * 6 + b"\0\0" for number in range(5))


@pytest.mark.parametrize("at", range(5))
def test_a_file_that_was_being_written_is_carried_on(tmp_path, at):
    target, made = tmp_path / "out" / "file.bin", list[int]()
    assert killed(lambda: write_pieces(target, numbered([], at), "all")) == -signal.SIGKILL
    assert not target.exists()
    write_pieces(target, numbered(made), "all")
    assert (target.read_bytes(), made) == (WHOLE, list(range(at, 5)))
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_file_that_is_cut_is_begun_anew(tmp_path):
    target, made = tmp_path / "file.bin", list[int]()
    killed(lambda: write_pieces(target, numbered([], 3), "all"))
    next(tmp_path.glob(".file.bin.*.part")).write_bytes(b"short")
    write_pieces(target, numbered(made), "all")
    assert (target.read_bytes(), made) == (WHOLE, [0, 1, 2, 3, 4])


def test_what_was_to_be_made_of_something_else_is_deleted(tmp_path):
    target = tmp_path / "file.bin"
    killed(lambda: write_pieces(target, numbered([], 3), "something else"))
    mine = [tmp_path / ".file.bin.part", tmp_path / ".file.bin.0123456789ab.txt", tmp_path / ".other.0123456789ab.part"]
    for path in mine:
        path.touch()
    made: list[int] = []
    write_pieces(target, numbered(made), "all")
    assert made == [0, 1, 2, 3, 4]
    assert {path for path in tmp_path.iterdir() if path.is_file()} == {target, *mine}


def test_time_that_is_up_leaves_the_file_and_an_error_does_not(tmp_path):
    target, made = tmp_path / "out" / "file.bin", list[int]()

    def ended(by: Exception, part: float) -> None:
        if part > 0.5:
            raise by

    with pytest.raises(TimeIsUp):
        write_pieces(target, numbered(made), "all", partial(ended, TimeIsUp("over")))
    assert made == [0, 1, 2]
    with pytest.raises(Killed):
        write_pieces(target, numbered(made), "all", partial(ended, Killed()))
    assert made == [0, 1, 2, 3]
    assert list(target.parent.iterdir()) == []


def test_a_file_whose_time_is_up_soon_is_kept_too(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 1000.0)
    monkeypatch.setattr(resume, "_kept", set())
    target, made = tmp_path / "file.bin", list[int]()

    def ended(part: float) -> None:
        if part > 0.5:
            raise TimeIsUp("over")

    with pytest.raises(TimeIsUp):
        write_pieces(target, numbered(made), "all", ended)
    assert resume.outlook() == "What is done is kept: the same command goes on from there."
    write_pieces(target, numbered(made), "all")
    assert made == [0, 1, 2, 3, 4]
    assert target.read_bytes() == b"".join(bytes([number]) * 6 + bytes(2) for number in range(5))


def test_what_nobody_came_back_for_takes_its_file_with_it(tmp_path):
    killed(lambda: write_pieces(tmp_path / "file.bin", numbered([], 3), "all"))
    (left,) = tmp_path.glob(".file.bin.*.part")
    past = time.time() - resume.STALE - 60
    for kept in (tmp_path / "unfinished").iterdir():
        os.utime(kept, (past, past))
    PartialResults("young").keep(1, np.zeros(1))
    assert not left.exists()


def test_two_processes_do_not_write_one_file(tmp_path):
    with (
        FileLock(tmp_path / ".file.bin.lock"),
        pytest.raises(CannotWrite, match="another process is writing"),
    ):
        write_pieces(tmp_path / "file.bin", numbered([]), "all")


def test_a_middle_stays_until_all_is_done(tmp_path):
    def once(work: Callable[[Path], object]) -> None:
        with middle(tmp_path / "out", "all") as path:
            work(path)

    def time_is_up(path: Path) -> None:
        path.write_bytes(b"middle")
        raise TimeIsUp("over")

    with pytest.raises(TimeIsUp):
        once(time_is_up)
    found: list[bytes] = []
    killed(lambda: once(lambda path: os.kill(os.getpid(), signal.SIGKILL)))
    once(lambda path: found.append(path.read_bytes()))
    assert found == [b"middle"]
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


DIES_QUANTIZING = """
import os, signal
from xpert_cli.models import convert
from xpert_cli.models import merging
def killed(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
convert.quantize = merging.quantize = killed
"""
WRITES_NOTHING = """
from xpert_cli.gguf import files
from xpert_cli.models import hf_model
def refused(*arguments, **options):
    raise AssertionError("written again")
files.write_pieces = hf_model.write_pieces = refused
"""


@pytest.mark.parametrize("command", ["convert", "merge"])
def test_a_conversion_killed_while_quantizing_is_not_converted_again(tmp_path, small, command):
    pytest.importorskip("transformers")
    folder, out = tmp_path / "out", tmp_path / "out" / "model.gguf"
    folder.mkdir()
    if command == "convert":
        arguments = [str(tiny.llama(tmp_path / "model")), "--type", "Q8_0"]
    else:
        write_adapter(adapter(), tmp_path / "adapter.gguf")
        arguments = ["--base", str(small), "--adapter", str(tmp_path / "adapter.gguf"), "--type", "Q4_0"]
    arguments = [command, *arguments, "--out", str(out)]
    assert xpert(*arguments, fault=DIES_QUANTIZING).returncode == -signal.SIGKILL
    assert [path.suffix for path in sorted(folder.iterdir())] == [".middle", ".lock"]
    done = xpert(*arguments, fault=WRITES_NOTHING)
    assert (done.returncode, [path.name for path in folder.iterdir()]) == (0, ["model.gguf"])
    again = folder / "again.gguf"
    assert xpert(*arguments[:-1], str(again)).returncode == 0
    assert again.read_bytes() == out.read_bytes()


def test_a_conversion_takes_minutes(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "out").mkdir()
    arguments = ["convert", str(tiny.llama(tmp_path / "model")), "--out", str(tmp_path / "out" / "model.gguf")]
    done = xpert(*arguments, "--minutes", "0")
    assert (done.returncode, done.stderr.count("minutes are over")) == (1, 1)
    assert xpert(*arguments).returncode == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.gguf"]


def test_what_a_kill_left_behind_is_cleared_away_the_next_time(tmp_path: Path) -> None:
    old, live, other = (
        tmp_path / name for name in (".out [1].gguf.a.part", ".out [1].gguf.b.part", ".out.gguf.a.part")
    )
    for path in (old, live, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    with paths.whole(tmp_path / "out [1].gguf") as part:
        part.write_bytes(b"all")
    assert sorted(path.name for path in tmp_path.iterdir()) == [live.name, other.name, "out [1].gguf"]
