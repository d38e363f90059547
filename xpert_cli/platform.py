"""What this machine is: cores worth using, memory at hand, Android or not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def is_android() -> bool:
    """True under Termux or any other Android Python."""
    return sys.platform == "android" or "ANDROID_ROOT" in os.environ


def cores() -> int:
    """Cores worth a thread each: the ones this process may use, and of those only the fast ones where /sys tells.

    On big.LITTLE phones one thread on a slow core holds all others back, so cores whose top frequency is under 80 % of
    the best are not counted.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    try:
        top = [int(Path(f"/sys/devices/system/cpu/cpu{n}/cpufreq/cpuinfo_max_freq").read_text()) for n in allowed]
    except (OSError, ValueError):
        return max(1, len(allowed))
    return max(1, sum(frequency >= 0.8 * max(top) for frequency in top))


def prepare_libraries() -> None:
    """Settings that libraries read from the environment when they are loaded or first used; called before that.

    OpenMP's threads sleep when they have waited a tenth of a millisecond: threads that spin for milliseconds take the
    cores from each other when another program runs, 100 times slower was seen; a spin ten times shorter costs training
    5 % on an idle machine. oneDNN keeps 64 compiled kernels of some 0.6 MB and not 1,024: to compile one again takes a
    millisecond.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def total_memory() -> int | None:
    """Physical memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def available_memory() -> int | None:
    """Memory in bytes that can be used without swapping, or None where the system does not say."""
    return _told("/proc/meminfo", "MemAvailable:")


def succeeds(command: str) -> Callable[[], bool]:
    """A function that runs a shell command and tells whether it succeeded."""
    return lambda: subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def resident_memory() -> int:
    """Resident set of this process now, in bytes (its peak where the system does not say)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE")


def release_memory() -> None:
    """Hand freed memory back to the system where the C library can (glibc)."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def peak_memory() -> int:
    """Largest resident set of this process so far, in bytes (0 where the system does not say).

    What getrusage tells begins, on Linux, with the size of the process that started this one.
    """
    if (peak := _told("/proc/self/status", "VmHWM:")) is not None:
        return peak
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _told(path: str, name: str) -> int | None:
    """Bytes that a line of Linux's own tables gives in kB; None where there is no such line."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)
