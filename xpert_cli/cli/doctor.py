"""`xpert doctor`: what this machine can run, and what to install for the rest.

    doctor().works          # llama.cpp loads and there is a base model
    report().text           # the machine and its speed, to paste into an issue

Looks at what is installed and does not import the heavy packages, llama.cpp apart; uses no network. A report holds only
what is picked for it: numbers, versions, names of chips; no path, no name of a user, a machine or a file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform as python_platform
import re
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from xpert_cli import __version__, paths, platform, settings
from xpert_cli.counts import counted
from xpert_cli.errors import XpertError
from xpert_cli.hub import sources

MEMORY_NEEDED = 1_000_000_000  # bytes, for the packaged base model and fine-tuning it at the smallest settings
DISK_NEEDED = 1_000_000_000
BUSY = 0.3  # cores' worth of other programs' work from which on a report says so
PROMPT_TOKENS, ANSWER_TOKENS = 128, 32  # a few seconds on a phone
PREBUILT = "https://github.com/abetlen/llama-cpp-python/releases"
VERSIONS = ("llama-cpp-python", "gguf", "numpy", "huggingface-hub", "typer", "rich", "jinja2", "cryptography", "torch")


@dataclass(frozen=True)
class Check:
    """One thing looked at: `ok` is None where it is optional and missing; `fix` says what to do about it."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All checks; `works`: everything but the optional parts is there."""

    works: bool
    checks: tuple[Check, ...]


def doctor() -> Diagnosis:
    """Look at this machine."""
    checks = (
        _python(),
        _system(),
        Check("cores", True, f"{platform.cores()} in use of {os.cpu_count()}"),
        _memory(),
        _disk(),
        _llama_cpp(),
        _base(),
        _cache(),
        _extra("fine-tuning", ("torch",), "finetune", _FINETUNE_TERMUX),
        _extra("server", ("starlette", "uvicorn"), "serve", "sh scripts/termux.sh"),
        _extra("encoder", ("sentence-transformers",), "encoder", "sentence-transformers cannot be had on Android"),
        _converter(),
        _hub(),
    )
    return Diagnosis(all(check.ok is not False for check in checks), checks)


_FINETUNE_TERMUX = "pkg install python-torch python-numpy"


def _python() -> Check:
    version = python_platform.python_version()
    ok = sys.version_info >= (3, 10)
    return Check("Python", ok, version, "" if ok else "install Python 3.10 or newer")


def _system() -> Check:
    name = "Android (Termux)" if platform.is_android() else python_platform.system()
    return Check("system", True, f"{name}, {python_platform.machine()}")


def _memory() -> Check:
    total, free = platform.total_memory(), platform.available_memory()
    if total is None:
        return Check("memory", None, "this system does not say")
    detail = f"{_gigabytes(total)}" + ("" if free is None else f", {_gigabytes(free)} available")
    if (total if free is None else free) < MEMORY_NEEDED:
        return Check("memory", None, detail, "close other programs; fine-tuning may run out of memory")
    return Check("memory", True, detail)


def _disk() -> Check:
    folder = paths.data_dir()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    low = free < DISK_NEEDED
    fix = "free some space, or move the folder with XPERT_HOME" if low else ""
    return Check("disk", None if low else True, f"{_gigabytes(free)} free for {folder}", fix)


def _llama_cpp() -> Check:
    from xpert_cli.llama.model import library

    started = time.perf_counter()
    try:
        flags = library().llama_print_system_info().decode()
    except Exception as error:  # whatever a broken native library raises
        first = (str(error).splitlines() or [""])[0][:120]
        return Check("llama.cpp", False, f"{type(error).__name__}: {first}", _llama_fix())
    took = time.perf_counter() - started
    on = " ".join(_features(flags))
    return Check("llama.cpp", True, f"{_version('llama-cpp-python')}, loads in {took:.2f} s ({on})")


def _features(flags: str) -> list[str]:
    """What llama.cpp's own line says it was built with: "CPU : NEON = 1 | SVE = 0" -> ["NEON"]."""
    return [part.split("=")[0].split(":")[-1].strip() for part in flags.split("|") if part.strip().endswith("= 1")]


def _llama_fix() -> str:
    """How to get llama.cpp: a sentence or a command on each line."""
    if platform.is_android():
        return (
            "sh scripts/termux.sh\n"
            "or, by hand: pkg install clang cmake ninja python-numpy && ANDROID_API_LEVEL=24 "
            "CMAKE_ARGS='-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF' pip install llama-cpp-python"
        )
    return (
        "with a C++ compiler: pip install --force-reinstall --no-cache-dir llama-cpp-python\n"
        f"without one, get the wheel that its authors compiled from {PREBUILT}, then: pip install FILE.whl"
    )


def _base() -> Check:
    """The default base model, if it is on this machine: a check that downloads would be no check."""
    name = settings.default("base")
    try:
        path = sources.find_base(name, offline=True)
        size = path.stat().st_size
    except (XpertError, OSError) as error:
        return Check("base model", False, f"{name} is not here", str(error))
    return Check("base model", True, f"{path.name}, {size / 1e6:.0f} MB")


def _cache() -> Check:
    try:
        folder = paths.packaged("adapters")
    except XpertError as error:
        return Check("embedded cache", False, "missing", str(error))
    count = len(list(folder.glob("adapters/*.gguf")))
    if not count or not (folder / "catalogue.json").is_file():
        return Check("embedded cache", False, "incomplete", "reinstall xpert-cli, or name a cache with --cache")
    return Check("embedded cache", True, counted(count, "adapters"))


def _extra(name: str, packages: tuple[str, ...], extra: str, termux: str) -> Check:
    versions = {package: _version(package) for package in packages}
    missing = [package for package, version in versions.items() if not version]
    if not missing:
        return Check(name, True, ", ".join(f"{package} {version}" for package, version in versions.items()))
    fix = termux if platform.is_android() else f"pip install 'xpert-cli[{extra}]'"
    return Check(name, None, f"not installed: {', '.join(missing)}", fix)


def _version(package: str) -> str:
    """The installed version of a distribution, "" for none; "installed" where only the module can be found."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        with contextlib.suppress(ModuleNotFoundError):
            return "installed" if importlib.util.find_spec(package.replace("-", "_")) else ""
        return ""


def _converter() -> Check:
    from xpert_cli.gguf.architectures import ARCHITECTURES

    name = "convert_hf_to_gguf.py"
    if (converter := shutil.which(name)) is not None:
        return Check("other models", True, f"{name} at {Path(converter).parent}")
    return Check("other models", None, f"{name} is not on PATH; xpert converts {', '.join(ARCHITECTURES)} itself")


def _hub() -> Check:
    version = _version("huggingface-hub")
    if not version:
        fix = "sh scripts/termux.sh" if platform.is_android() else "pip install huggingface-hub"
        return Check("Hub", None, "huggingface-hub is not installed; local models and caches work", fix)
    offline = " (offline by HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return Check("Hub", True, f"huggingface-hub {version}{offline}")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


@dataclass(frozen=True)
class Speed:
    """What the base model does here: its architecture, bytes, and tokens a second of a prompt and of generation.

    `busy` is how many cores' worth of work other programs did meanwhile; None where the system does not say.
    """

    architecture: str
    bytes: int
    threads: int
    prompt: float
    generation: float
    busy: float | None = None

    @property
    def text(self) -> str:
        """The speed on a line; a machine that was busy with other things is said to be."""
        line = f"prompt {self.prompt:.1f}, generation {self.generation:.1f} tokens/s "
        line += f"({self.architecture}, {self.bytes / 1e6:.0f} MB, {counted(self.threads, 'threads')})"
        if self.busy is not None and self.busy >= BUSY:
            line += f"; other programs kept {self.busy:.1f} cores busy meanwhile, so this machine can do more"
        return line


@dataclass(frozen=True)
class Report:
    """A machine without its owner.

    Attributes:
        frequencies: top frequency of each core in MHz; empty where /sys is closed.
        chip: how the kernel names the processor, or its kinds of cores.
        memory, available: bytes.
        llama_cpp: what llama.cpp was built with, or the kind of error that its import ends with.
        lacking: names of the checks of `doctor` that are not passed.
        speed: None without a base model that can be run.
    """

    system: str
    machine: str
    chip: str
    cores: int
    threads: int
    frequencies: tuple[int, ...]
    memory: int | None
    available: int | None
    python: str
    versions: dict[str, str]
    llama_cpp: tuple[str, ...]
    lacking: tuple[str, ...]
    speed: Speed | None

    @property
    def text(self) -> str:
        """The report, a line for each thing."""
        counted = Counter(self.frequencies)
        kinds = ", ".join(f"{counted[mhz]} x {mhz} MHz" for mhz in sorted(counted, reverse=True))
        memory = [_gigabytes(size) if size else "unknown" for size in (self.memory, self.available)]
        speed = self.speed
        lines = {
            "system": f"{self.system}, {self.machine}, Python {self.python}",
            "chip": self.chip or "unknown",
            "cores": f"{self.cores}, of which {self.threads} used ({kinds or 'frequencies are not told'})",
            "memory": f"{memory[0]}, {memory[1]} available",
            "llama.cpp": " ".join(self.llama_cpp),
            "versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            "lacking": ", ".join(self.lacking) or "nothing",
            "speed": "not measured" if speed is None else speed.text,
        }
        return "".join(f"{name + ':':<11}{line}\n" for name, line in lines.items())


def report() -> Report:
    """Look at this machine, and measure the base model if it is here: a few seconds. Holds nothing personal."""
    system = "Android" if platform.is_android() else python_platform.system()
    kernel = re.match(r"[\d.]*", python_platform.release())  # what follows is anybody's to write
    versions = {name: _version(name) for name in VERSIONS}
    return Report(
        system=f"{system}, kernel {kernel[0] if kernel else ''}",
        machine=python_platform.machine(),
        chip=_chip(),
        cores=os.cpu_count() or 1,
        threads=platform.cores(),
        frequencies=tuple(round(khz / 1000) for khz in platform.frequencies()),
        memory=platform.total_memory(),
        available=platform.available_memory(),
        python=python_platform.python_version(),
        versions={"xpert": __version__} | {name: version for name, version in versions.items() if version},
        llama_cpp=_built_with(),
        lacking=tuple(check.name for check in doctor().checks if not check.ok),
        speed=_speed(),
    )


def _chip() -> str:
    """The processor as /proc/cpuinfo names it; of that file nothing else, as some phones tell their serial number."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    fields = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    names = {value for name, value in fields if name in ("model name", "Hardware")}
    parts = Counter(value for name, value in fields if name == "CPU part")
    return ", ".join([*sorted(names), *(f"{count} x part {part}" for part, count in sorted(parts.items()))])


def _built_with() -> tuple[str, ...]:
    """What llama.cpp was built with; where it cannot be loaded the kind of error, whose words would hold paths."""
    from xpert_cli.llama.model import library

    try:
        return tuple(_features(library().llama_print_system_info().decode()))
    except Exception as error:  # whatever a broken native library raises
        return (type(error).__name__,)


def _speed() -> Speed | None:
    """The default base model timed on a short prompt, after one pass that reads its file."""
    from xpert_cli import gguf
    from xpert_cli.llama.model import Model

    try:
        base = sources.find_base(settings.default("base"), offline=True)
        architecture = str(gguf.read_header(base).metadata["general.architecture"])
        with Model(base, context=2 * PROMPT_TOKENS) as model:
            prompt = model.tokenize("The old man and the sea, " * PROMPT_TOKENS)[:PROMPT_TOKENS]
            list(model.generate_tokens(prompt[:8], max_tokens=1))
            threads, busy = model.threads, [platform.busy_cores()]
            times = [time.perf_counter()]
            for _ in model.generate_tokens(prompt, max_tokens=1 + ANSWER_TOKENS):
                times.append(time.perf_counter())
    except Exception:  # whatever is wrong is for doctor() to tell
        return None
    busy.append(platform.busy_cores())
    if len(times) < 3:
        return None
    generation = (len(times) - 2) / (times[-1] - times[1])
    most = max((one for one in busy if one is not None), default=None)
    return Speed(architecture, base.stat().st_size, threads, len(prompt) / (times[1] - times[0]), generation, most)
