"""`xpert doctor`: what this machine can run, and what to install for the rest.

    doctor().works          # llama.cpp loads and there is a base model

Looks at what is installed and does not import the heavy packages, llama.cpp apart; uses no network.
"""

from __future__ import annotations

import importlib.util
import os
import platform as python_platform
import shutil
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from xpert_cli import paths, platform
from xpert_cli.doors import hub
from xpert_cli.errors import XpertError

MEMORY_NEEDED = 1_000_000_000  # bytes, for the packaged base model and fine-tuning it at the smallest settings
DISK_NEEDED = 1_000_000_000


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
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    low = free < DISK_NEEDED
    fix = "free some space, or move the folder with XPERT_HOME" if low else ""
    return Check("disk", None if low else True, f"{_gigabytes(free)} free for {folder}", fix)


def _llama_cpp() -> Check:
    from xpert_cli.doors.llama import library

    started = time.perf_counter()
    try:
        flags = library().llama_print_system_info().decode()
    except Exception as error:  # whatever a broken native library raises
        first = (str(error).splitlines() or [""])[0][:120]
        return Check("llama.cpp", False, f"{type(error).__name__}: {first}", _llama_fix())
    on = [
        part.split("=")[0].strip().split(":")[-1].strip() for part in flags.split("|") if part.strip().endswith("= 1")
    ]
    took = time.perf_counter() - started
    return Check("llama.cpp", True, f"{_version('llama-cpp-python')}, loads in {took:.2f} s ({' '.join(on)})")


def _llama_fix() -> str:
    if platform.is_android():
        return (
            "pkg install clang cmake ninja python-numpy && ANDROID_API_LEVEL=24 CMAKE_ARGS='-DGGML_NATIVE=OFF "
            "-DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF' pip install llama-cpp-python"
        )
    return "install a C++ compiler, then: pip install --force-reinstall --no-cache-dir llama-cpp-python"


def _base() -> Check:
    """The default base model, if it is on this machine: a check that downloads would be no check."""
    name = paths.default("base")
    try:
        path = hub.find_base(name, offline=True)
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
    return Check("embedded cache", True, f"{count} adapters")


def _extra(name: str, packages: tuple[str, ...], extra: str, termux: str) -> Check:
    found = {package: _version(package) for package in packages}
    missing = [package for package, version in found.items() if not version]
    if not missing:
        return Check(name, True, ", ".join(f"{package} {version}" for package, version in found.items()))
    fix = termux if platform.is_android() else f"pip install 'xpert-cli[{extra}]'"
    return Check(name, None, f"not installed: {', '.join(missing)}", fix)


def _version(package: str) -> str:
    """The installed version of a distribution, "" for none; "installed" where only the module can be found."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "installed" if importlib.util.find_spec(package.replace("-", "_")) else ""


def _converter() -> Check:
    name = "convert_hf_to_gguf.py"
    if (found := shutil.which(name)) is not None:
        return Check("other models", True, f"{name} at {Path(found).parent}")
    return Check("other models", None, f"{name} is not on PATH; xpert converts Llama, Qwen and Gemma itself")


def _hub() -> Check:
    version = _version("huggingface-hub")
    if not version:
        fix = "pip install --no-deps huggingface-hub" if platform.is_android() else "pip install huggingface-hub"
        return Check("Hub", None, "huggingface-hub is not installed; local models and caches work", fix)
    offline = " (offline by HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return Check("Hub", True, f"huggingface-hub {version}{offline}")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
