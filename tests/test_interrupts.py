"""Every long command is interrupted: it ends with the signal's status and one true line, and leaves no half file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_gguf
from command import ROOT, xpert
from tiny_chat import write_chat_base

from xpert_cli import leftovers, paths, resume, signals
from xpert_cli.errors import TimeIsUp
from xpert_cli.gguf import write_adapter
from xpert_cli.llama.layers import group_bytes, layered_states
from xpert_cli.resume import PartialResults

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What is kept of unfinished work, without what other tests left there."""
    fresh: set[str] = set()
    monkeypatch.setattr(resume, "_kept", fresh)
    return fresh


@pytest.fixture
def installed() -> object:
    """The command line's own handlers, in this process for the moment."""
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    for number in signals.NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    signals.install()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# -- signals


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_an_exception_that_knows_its_status(installed, number, status):
    with pytest.raises(signals.Interrupted) as caught:
        os.kill(os.getpid(), number)
    assert signals.status(caught.value) == status
    assert signals.status(KeyboardInterrupt()) == 130


def test_what_nohup_switched_off_stays_off():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals.install()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_in_a_callback_arrives_after_it(installed):
    """Python prints and drops what a ctypes callback raises: llama.cpp's call would go on as if nothing had been."""
    import ctypes

    seen: list[int] = []

    def compare(a: object, b: object) -> int:
        if not seen:
            os.kill(os.getpid(), signal.SIGTERM)
        seen.append(1)
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(compare)
    numbers = (ctypes.c_int * 4)(3, 2, 1, 0)
    with pytest.raises(signals.Interrupted) as caught, signals.held():
        ctypes.CDLL(None).qsort(numbers, 4, ctypes.sizeof(ctypes.c_int), callback)
    assert (caught.value.status, len(seen) > 1) == (143, True)
    with pytest.raises(signals.Interrupted):  # and they are no longer held
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupt_while_layers_are_read_is_none_of_llama_cpp(installed, tmp_path, monkeypatch):
    """Ctrl-C in `summarize` was lost in the callback, and the version of llama.cpp was blamed."""
    from xpert_cli.llama import layers

    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    real = layers._ggml()

    class Interrupting:
        def __getattr__(self, name: str) -> object:
            if name == "ggml_get_name":
                os.kill(os.getpid(), signal.SIGINT)
            return getattr(real, name)

    monkeypatch.setattr(layers, "_ggml", Interrupting)
    header_bytes = group_bytes(layers.gguf.read_header(base), range(0, 1))
    with pytest.raises(signals.Interrupted) as caught:
        layered_states(base, [[1, 2, 3], [1, 2, 4]], memory=header_bytes)
    assert caught.value.status == 130


def test_llama_cpp_logs_into_no_python():
    """A Python log callback would swallow Ctrl-C in every call that logs, such as loading a model."""
    import ctypes

    from xpert_cli.llama.vocabulary import library

    library()
    address = ctypes.cast(library.silencer, ctypes.c_void_p).value
    assert address == ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p).value


# -- what is said of what is kept


def test_it_is_promised_only_while_it_is_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path))
    monkeypatch.setattr(resume, "EVERY", 0.0)
    nothing = "Nothing was kept: the same command starts from the beginning."
    something = "What is done is kept: the same command goes on from there."
    assert resume.outlook() == nothing
    kept = PartialResults("a")
    kept.keep(1, np.zeros(1))
    assert resume.outlook() == something
    kept.drop()
    assert resume.outlook() == nothing
    PartialResults("b").keep(1, np.zeros(1))
    resume._kept.clear()
    assert PartialResults("b").load() is not None  # by an earlier process
    assert resume.outlook() == something


def test_a_file_is_kept_when_time_is_up_and_not_after_an_interrupt(tmp_path, monkeypatch):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))

    def ended(error: BaseException) -> None:
        with resume.middle(tmp_path / "out.gguf", "made of this") as middle:
            middle.write_bytes(b"half")
            raise error

    for error, promise in ((KeyboardInterrupt(), "Nothing was kept"), (TimeIsUp("over"), "What is done is kept")):
        with pytest.raises(type(error)):
            ended(error)
        assert resume.outlook().startswith(promise)


def test_a_run_is_not_carried_on_with_another_model_of_the_same_size_and_fingerprint(tmp_path):
    from xpert_cli import gguf
    from xpert_cli.corpus import Corpus, Message
    from xpert_cli.training.loop import Recipe
    from xpert_cli.training.prepare import Settings, _identity

    one = tiny_gguf.write_base(tmp_path / "one.gguf")
    other = tmp_path / "other.gguf"
    content = bytearray(one.read_bytes())
    place = gguf.read_header(one).tensors["blk.1.attn_v.weight"].offset
    content[place : place + 4] = np.float32(0.5).tobytes()  # as if another adapter had been merged
    other.write_bytes(content)
    bases = [gguf.BaseModel.open(path) for path in (one, other)]
    assert bases[0].fingerprint == bases[1].fingerprint
    identities = [_identity(base, Corpus((Message(None, "Hi.", ""),)), [], Recipe(), Settings()) for base in bases]
    assert identities[0]["base"] != identities[1]["base"]
    identities[1]["base"] = identities[0]["base"]
    assert identities[0] == identities[1]


# -- leftovers


def test_what_a_killed_process_left_is_deleted_at_the_next_start(tmp_path):
    notes, copy = tmp_path / "home" / "writing", tmp_path / "home" / ".copy.x"
    part, mine = tmp_path / ".model.gguf.x.part", tmp_path / "my own file"
    code = f"""
import os, signal
from pathlib import Path
from xpert_cli import leftovers
folder = Path({str(notes)!r})
with (leftovers.noted(Path({str(part)!r}), folder), leftovers.noted(Path({str(copy)!r}), folder),
      leftovers.noted(Path({str(mine)!r}), folder)):
    Path({str(part)!r}).write_bytes(b"half")
    Path({str(mine)!r}).write_bytes(b"mine")
    Path({str(copy)!r}).mkdir()
    Path({str(copy)!r}, "copy.gguf").write_bytes(b"144 MB")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert (done.returncode, part.exists(), (copy / "copy.gguf").exists()) == (-9, True, True)
    assert sorted(leftovers.clear(notes)) == sorted([part, copy])
    assert (part.exists(), copy.exists(), mine.read_bytes()) == (False, False, b"mine")
    assert not notes.exists()


def test_a_folder_for_the_moment_goes_at_the_next_start_after_a_kill(tmp_path):
    code = """
import os, signal
from xpert_cli import paths
with paths.scratch() as folder:
    (folder / "1.gguf").write_bytes(b"10 MB")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    home = {"PYTHONPATH": str(ROOT), "XPERT_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **home}, stdout=subprocess.PIPE, check=False)
    folder = Path(os.fsdecode(done.stdout.strip()))
    assert (done.returncode, folder.parent, (folder / "1.gguf").exists()) == (-9, tmp_path / "home", True)
    assert leftovers.clear(tmp_path / "home" / "writing") == [folder]
    assert not (tmp_path / "home").exists()


def test_what_nobody_noted_goes_when_it_is_old(tmp_path):
    home = tmp_path / "home"
    notes = home / "writing"
    for name in (".copy.old", ".scratch.new", ".mine", "runs", ".scratch.noted"):
        (home / name).mkdir(parents=True)
        (home / name / "model.gguf").write_bytes(b"144 MB")
    two_days_ago = time.time() - 2 * 24 * 3600
    for name in (".copy.old", ".mine", "runs", ".scratch.noted"):
        os.utime(home / name, (two_days_ago, two_days_ago))
    with leftovers.noted(home / ".scratch.noted", notes):
        assert leftovers.clear(notes) == [home / ".copy.old"]
    assert sorted(path.name for path in home.iterdir()) == [".mine", ".scratch.new", ".scratch.noted", "runs"]


def test_no_other_folder_is_made_for_the_moment():
    """The system's own temporary folder keeps what a kill leaves, which may be an adapter of somebody's text."""
    makers = re.compile(r"\b(?:TemporaryDirectory|mkdtemp)\(")
    files = [path.name for path in sorted((ROOT / "xpert_cli").rglob("*.py")) if makers.search(path.read_text("utf-8"))]
    assert files == ["paths.py"]


def test_what_a_living_process_writes_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    code = f"""
import sys
from pathlib import Path
from xpert_cli import paths
with paths.whole(Path({str(tmp_path / "out")!r})) as part:
    part.write_bytes(b"half")
    print(flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert leftovers.clear(paths.notes_dir()) == []
        writer.communicate()
    assert (writer.returncode, (tmp_path / "out").read_bytes()) == (0, b"half")
    assert not paths.notes_dir().exists()


def test_a_file_written_in_order_leaves_no_note(tmp_path, monkeypatch):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    with paths.whole(tmp_path / "out") as part:
        part.write_bytes(b"all")
        (note,) = paths.notes_dir().iterdir()
        assert json.loads(note.read_text()) == [str(part)]
        assert note.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# -- commands


def interrupted(
    arguments: Sequence[str], after: str, number: int, home: Path, seconds: float = 60
) -> tuple[int, str, str]:
    """Status, output and talk of a command that gets a signal when it says `after` of its progress."""
    code = f"""
import sys, time
from xpert_cli.cli.output import Output
progress = Output.progress
def told(self, message, fraction):
    progress(self, message, fraction)
    if {after!r} in message:
        print("READY", file=sys.stderr, flush=True)
        time.sleep(0.3)
Output.progress = told
from xpert_cli import resume
resume.EVERY = 0.0
from xpert_cli.cli.entry import main
sys.argv = ["xpert", *{list(arguments)!r}]
main()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XPERT_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        assert running.stderr is not None
        talk, end = "", time.monotonic() + seconds
        while "READY" not in talk and time.monotonic() < end:
            line = running.stderr.readline()
            talk += line
            if not line:
                break
        running.send_signal(number)
        out, err = running.communicate(timeout=seconds)
    said = "".join(line for line in (talk + err).splitlines(keepends=True) if line != "READY\n")
    return running.returncode, out, said


NOTHING = "stopped. Nothing was kept: the same command starts from the beginning.\n"
KEPT = "stopped. What is done is kept: the same command goes on from there.\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_convert_is_stopped_in_one_line(tmp_path, number, status):
    pytest.importorskip("transformers")
    import tiny

    folder, out = tiny.llama(tmp_path / "model"), tmp_path / "out"
    out.mkdir()
    arguments = ["convert", str(folder), "--out", str(out / "model.gguf"), "--type", "Q8_0"]
    assert interrupted(arguments, "", number, tmp_path / "home") == (status, "", NOTHING)
    assert [path for path in out.rglob("*") if path.suffix != ".lock"] == []


def test_with_json_an_interrupt_is_an_object(tmp_path):
    base = tiny_gguf.write_base(tmp_path / "base.gguf")
    adapter = tmp_path / "adapter.gguf"
    write_adapter(tiny_gguf.adapter(), adapter)
    arguments = ["merge", "--base", str(base), "--adapter", str(adapter), "--out", str(tmp_path / "m.gguf"), "--json"]
    status, out, said = interrupted(arguments, "", signal.SIGINT, tmp_path / "home")
    assert (status, json.loads(out), said) == (130, {"error": NOTHING.strip()}, NOTHING)


CTRL_C = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it off
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_server_that_is_ended_prints_no_second_object(tmp_path):
    pytest.importorskip("uvicorn")
    fault = f"""{CTRL_C}
from xpert_cli.cli.output import Output
show = Output.show
def shown(self, *result):
    show(self, *result)
    interrupt()
Output.show = shown
"""
    base = write_chat_base(tmp_path / "base.gguf")
    arguments = ("serve", "--base", str(base), "--port", "0", "--offline", "--json")
    done = xpert(*arguments, fault=fault, XPERT_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stderr) == (130, "stopped.\n")
    assert json.loads(done.stdout)["models"] == ["base"]


@pytest.mark.parametrize("package", ["typer", "rich.text", "xpert_cli.paths", "xpert_cli.selection", "numpy"])
def test_ctrl_c_while_the_command_line_is_imported_is_one_line(package, tmp_path):
    fault = f"""{CTRL_C}
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            interrupt()
sys.meta_path.insert(0, Interrupting())
"""
    (tmp_path / "notes.md").write_text("Hello there.", "utf-8")
    for option, shown in (("--quiet", ""), ("--json", json.dumps({"error": NOTHING.strip()}) + "\n")):
        done = xpert("summarize", str(tmp_path / "notes.md"), option, fault=fault, XPERT_HOME=str(tmp_path / "home"))
        assert (done.returncode, done.stdout, done.stderr) == (130, shown, NOTHING)
