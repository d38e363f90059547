"""Reads bad GGUF files by the thousand, then has llama.cpp load those that were accepted; prints what it found as JSON.

    python tests/gguf_examined.py "generated adapter" --inputs 1000 --seed 0
    python tests/gguf_examined.py                      # 1000 of every kind; --list tells their names

Reading happens in this process, under hard limits of processor seconds and address space, so that a hang or a blow-up
ends it. Accepted bases then stand xpert's trial, as they do before a command uses them. Loading happens in processes of
its own: one that dies is an abort, and the next goes on with the rest. Not here: what the files are
(gguf_mutations.py).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import tiny_gguf
from gguf_mutations import KINDS, Sound

from xpert_cli import gguf, platform
from xpert_cli.errors import BadInput, BadModel, CacheMismatch, XpertError
from xpert_cli.gguf.vocabulary import check_vocabulary


@dataclass
class Findings:
    """What became of the inputs of one kind.

    Attributes:
        other: exceptions that are none of ours, or of more than one line, with the first input of each in hex.
        sample: accepted inputs that went on: a base to its trial, then all to llama.cpp.
        tried: bases that the trial of xpert_cli/llama/trial_load.py refused.
        trouble: how llama.cpp refused or died, with one file's name each.
    """

    kind: str
    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    other: dict[str, str] = field(default_factory=dict)
    others: int = 0
    sample: int = 0
    tried: int = 0
    loaded: int = 0
    rejected: int = 0
    aborted: int = 0
    trouble: dict[str, str] = field(default_factory=dict)
    slowest_ms: float = 0.0
    slowest_bytes: int = 0
    peak_mb: float = 0.0
    seconds: float = 0.0


def examine(target: str, path: Path, base: gguf.Header) -> None:
    """Read a file as far as xpert does before llama.cpp sees it.

    Raises:
        XpertError: the file is refused.
    """
    header = gguf.read_header(path)
    if target == "adapter":
        gguf.check_adapter(header, base)
    elif target == "header":
        for key in header.metadata:
            header.metadata.kind(key), header.metadata.length(key), header.metadata[key]
    else:
        check_vocabulary(header)
        try:
            gguf.base_info(header)
        except XpertError as error:  # commands that only run a model do not ask; what matters is what is raised
            one_line(error)


def one_line(error: XpertError) -> None:
    """Complain unless a refusal is of the errors meant for it, and of one line."""
    if not isinstance(error, BadModel | BadInput | CacheMismatch) or "\n" in str(error):
        raise AssertionError(f"not a refusal of one line: {error!r:.200}") from error


class Examiner:
    """Reads inputs one after another from one file, and keeps a random few of the accepted ones."""

    def __init__(self, kind: str, sound: Path, folder: Path, most: int, dice: random.Random) -> None:
        self.found, self.target = Findings(kind), KINDS[kind].target
        self.base, self.folder, self.most, self.dice = gguf.read_header(sound), folder, most, dice
        self.path, self.start = folder / "input", platform.resident_memory()

    def take(self, inputs: Iterable[bytes]) -> Findings:
        """Examine all of them."""
        found, started = self.found, time.perf_counter()
        file = os.open(self.path, os.O_RDWR | os.O_CREAT)
        for content in inputs:
            os.pwrite(file, content, 0)
            os.ftruncate(file, len(content))
            resident = _reset_peak() if len(content) > 1 << 20 else 0
            before = time.perf_counter()
            self.one(content)
            spent = 1e3 * (time.perf_counter() - before)
            if spent > found.slowest_ms:
                found.slowest_ms, found.slowest_bytes = spent, len(content)
            if resident:  # making the input took memory too, which is not the reader's
                used = self.start + platform.peak_memory() - resident
                found.peak_mb = max(found.peak_mb, used / 1e6)
            found.inputs += 1
        os.close(file)
        found.seconds = time.perf_counter() - started
        found.peak_mb = found.peak_mb or platform.peak_memory() / 1e6
        return found

    def one(self, content: bytes) -> None:
        found = self.found
        try:
            examine(self.target, self.path, self.base)
        except XpertError as error:
            try:
                one_line(error)
                found.refused += 1
            except AssertionError as odd:
                self.strange(odd, content)
        except Exception as error:  # whatever it is, it is a finding
            self.strange(error, content)
        else:
            self.keep(content)
            found.accepted += 1

    def strange(self, error: BaseException, content: bytes) -> None:
        self.found.others += 1
        self.found.other.setdefault(f"{type(error).__name__}: {error!s:.120}", content[:4096].hex())

    def keep(self, content: bytes) -> None:
        """Into one of `most` places, so that every accepted input is as likely to be kept."""
        place = self.found.accepted if self.found.accepted < self.most else self.dice.randrange(self.found.accepted + 1)
        if place < self.most:
            (self.folder / f"{place:06}.gguf").write_bytes(content)


def _reset_peak() -> int:
    """Forget the largest resident set so far (Linux); bytes resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return platform.resident_memory()


# -- llama.cpp, in a process of its own


def load(target: str, base: Path, paths: list[Path], unchecked: bool) -> None:
    """Load each file and say so on stdout before and after: a process that dies says only the first."""
    from xpert_cli.llama import model as llama
    from xpert_cli.llama import trial_load as trial

    if unchecked:  # a test of this program: llama.cpp is to see files that xpert refuses
        gguf.check_adapter = lambda adapter, base: None
    model = llama.Model(base, context=32, outputs=4, threads=1) if target == "adapter" else None
    for path in paths:
        print(f"> {path.name}", flush=True)
        try:
            if model:
                model.apply([gguf.WeightedAdapter.open(path)])
                model.logits([1, 2, 3])
            elif target == "header":
                _parse(path)
            elif passed(trial.try_base, path):
                with llama.Model(path, context=32, outputs=4, threads=1) as other:
                    other.logits([1, 2, 3])
            else:
                print("tried", flush=True)
                continue
        except BadModel as error:
            print(f"no {str(error).replace(str(path), path.name)}", flush=True)
        else:
            print("ok", flush=True)


def passed(trial: Callable[[Path], None], base: Path) -> bool:
    """Whether a base stood its trial."""
    try:
        trial(base)
    except BadModel as error:
        one_line(error)
        return False
    return True


def _parse(path: Path) -> None:
    """What llama.cpp's own parser makes of a header."""
    from xpert_cli.llama.model import library

    class Params(ctypes.Structure):
        _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))

    lib = library()._lib  # the parser is not among what llama-cpp-python names
    lib.gguf_init_from_file.restype, lib.gguf_init_from_file.argtypes = ctypes.c_void_p, [ctypes.c_char_p, Params]
    lib.gguf_free.argtypes = [ctypes.c_void_p]
    handle = lib.gguf_init_from_file(str(path).encode(), Params(True, None))
    if not handle:
        raise BadModel(f"{path}: llama.cpp cannot read this header.")
    lib.gguf_free(handle)


def load_apart(found: Findings, base: Path, folder: Path, unchecked: bool = False) -> Findings:
    """Have every kept file loaded, by as many processes as it takes."""
    waiting = sorted(folder.glob("*.gguf"))
    found.sample = len(waiting)
    while waiting:
        command = [sys.executable, __file__, found.kind, "--load", str(folder), "--after", waiting[0].name]
        done = subprocess.run(
            [*command, *["--unchecked"] * unchecked, "--base", str(base)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GGML_NO_BACKTRACE": "1", "XPERT_HOME": str(folder / "home")},
        )
        lines = done.stdout.splitlines()
        for begun, ended in zip(lines[::2], lines[1::2], strict=False):
            _count(found, begun, ended)
        if len(lines) % 2:
            _count(found, lines[-1], f"died with {done.returncode}: {_last(done.stderr)}")
        elif done.returncode:  # it died between files: nothing of ours to blame, and nothing to go on with
            raise RuntimeError(done.stderr[-2000:])
        waiting = waiting[(len(lines) + 1) // 2 :]
    return found


def _last(stderr: str) -> str:
    """The line that says why llama.cpp aborted, without its place on this disk."""
    lines = [line for line in stderr.splitlines() if "GGML_ASSERT" in line or "terminate" in line or "what()" in line]
    return " ".join(line.rpartition("/")[2] for line in lines[:2])


def _count(found: Findings, begun: str, ended: str) -> None:
    found.loaded += ended == "ok"
    found.tried += ended == "tried"
    found.rejected += ended.startswith("no ")
    found.aborted += ended.startswith("died ")
    if ended not in ("ok", "tried"):
        name = begun.removeprefix("> ")
        found.trouble.setdefault(ended.replace(name, "FILE"), name)


# -- the command


def limit(seconds: int, megabytes: int) -> None:
    """End this process and those it starts past so much processor time (each) or address space."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def sound_files(folder: Path) -> tuple[Sound, Path]:
    """The adapter and base that all bad files come from; the base's path."""
    base = tiny_gguf.write_base(folder / "base")
    extra = {"note": "x", "coordinates": [1.0, 2.0], "base_fingerprint": gguf.fingerprint(base)}
    gguf.write_adapter(tiny_gguf.adapter(rank=1, only=("attn_k",), **extra), folder / "adapter")
    return Sound((folder / "adapter").read_bytes(), base.read_bytes()), base


def fuzz(kind: str, options: argparse.Namespace) -> Findings:
    """Examine inputs of a kind, and have llama.cpp load up to `most` of the accepted ones."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        sound, base = sound_files(Path(folder))
        generated = islice(KINDS[kind].inputs(sound, random.Random(f"{kind} {options.seed}")), options.inputs)
        examiner = Examiner(kind, base, Path(folder), options.most, random.Random(options.seed))
        return load_apart(examiner.take(generated), base, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="all by default")
    parser.add_argument("--list", action="store_true", help="print the kinds of bad files")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=500, help="accepted files that llama.cpp loads")
    parser.add_argument("--seconds", type=int, default=60, help="processor time after which this is ended")
    parser.add_argument("--megabytes", type=int, default=4096, help="address space")
    for hidden in ("--load", "--after", "--base"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--unchecked", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print("\n".join(KINDS))
    elif options.load:
        paths = [path for path in sorted(Path(options.load).glob("*.gguf")) if path.name >= options.after]
        load(KINDS[options.kinds[0]].target, Path(options.base), paths, options.unchecked)
    else:
        limit(options.seconds, options.megabytes)
        print(json.dumps([asdict(fuzz(kind, options)) for kind in options.kinds or KINDS]))


if __name__ == "__main__":
    main()
