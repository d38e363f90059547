"""What this machine is: cores worth using, memory at hand, Android or not. The one module that knows Android.

    threads = cores()                                  # 4 on a phone of four fast and four slow cores
    with wake_lock(note):                              # the phone computes on while its screen is off
        ...

Not here: what is installed on it (cli/doctor.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK = 0.25  # seconds that a look at what other programs do covers at least
LATELY, GLANCE = 1.25, 0.05  # seconds: an older look says nothing of now, and is replaced by one of so short a time
MIXED = 4  # a phone of more cores than this has slow ones among them


def is_android() -> bool:
    """True under Termux or any other Android Python."""
    return sys.platform == "android" or "ANDROID_ROOT" in os.environ


@contextmanager
def as_linux() -> Iterator[None]:
    """For imports of packages that know Android by its kernel's name only; Python 3.13 and later say "android"."""
    name = sys.platform
    if name == "android":
        sys.platform = "linux"
    try:
        yield
    finally:
        sys.platform = name


def cores() -> int:
    """Cores worth a thread each: the ones this process may use, and of those only the fast ones.

    On big.LITTLE phones one thread on a slow core holds all others back, so cores whose top frequency is under 80 % of
    the best are not counted. Where /sys is closed, half of an Android phone's cores are taken if it has more than four:
    a thread too few costs its share, a thread on a slow core can cost everything. A number chosen by `use_threads` is
    what comes out.
    """
    if _chosen:
        return _chosen
    if speeds := frequencies():
        return sum(speed >= 0.8 * max(speeds) for speed in speeds)
    count = len(_allowed())
    return count // 2 if is_android() and count > MIXED else count


def use_threads(count: int | None) -> int | None:
    """Compute with so many threads from now on, whatever else the machine does; None gives the choice back."""
    global _chosen
    _chosen = count
    return count


def free_cores(lately: bool = False) -> int:
    """How many threads to compute with at this moment: the cores that other programs leave, at least one.

    Threads that share cores with others wait for each other at every step, and are slower together than one alone. A
    number chosen by `use_threads` is what comes out; where the system does not say what others do, all cores.
    """
    if _chosen:
        return _chosen
    busy = busy_cores(lately)
    return cores() if busy is None else max(1, min(cores(), round(len(_allowed()) - busy)))


def busy_cores(lately: bool = False) -> float | None:
    """How many cores' worth of work other programs did; None where the system does not say (Android).

    Counted from the last look that was at least LOOK seconds ago, on the cores that this process may use.

    Args:
        lately: where that look is older than LATELY, count anew for GLANCE seconds. A server that was idle while
            another program computed would else leave it cores that are free again.
    """
    global _look, _busy
    now = _cpu_seconds()
    if now is None or _look is None:
        return None
    least = LOOK
    if lately and now[0] - _look[0] > LATELY:
        _look, least = now, 0.0
        time.sleep(GLANCE)
        now = _cpu_seconds() or now
    at, total, own = (new - old for new, old in zip(now, _look, strict=True))
    if at >= least and at > 0:
        _look, _busy = now, max(0.0, (total - own) / at)
    return _busy


def _cpu_seconds() -> tuple[float, float, float] | None:
    """The time, and seconds of work so far: of all programs on the cores that this process may use, and of this one."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        tick = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    allowed = {f"cpu{core}" for core in _allowed()}
    rows = [line.split() for line in lines if line.split(" ", 1)[0] in allowed]
    busy = sum(int(row[at]) for row in rows for at in (1, 2, 3, 6, 7, 8) if at < len(row))  # not idle, not waiting
    own = os.times()
    return time.monotonic(), busy / tick, own.user + own.system + own.children_user + own.children_system


def frequencies() -> list[int]:
    """Top frequency in kHz of each core that this process may use; empty where the system does not tell all of them."""
    files = [Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq") for core in _allowed()]
    try:
        return [int(file.read_text()) for file in files]
    except (OSError, ValueError):
        return []


def _allowed() -> list[int]:
    """Numbers of the cores that this process may use, at least one."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@contextmanager
def wake_lock(note: Callable[[str], None]) -> Iterator[None]:
    """Keep a phone computing while its screen is off, by Termux's wake lock; where there is none, a note says so.

    Termux has one lock for all its sessions: what took it before is without it afterwards. A process that is killed
    leaves it on; Termux's notification takes it back.
    """
    locked = is_android() and _ran("termux-wake-lock")
    if not is_android():
        note("--wake-lock is for phones: nothing keeps this machine awake")
    elif not locked:
        note("no wake lock: termux-wake-lock did not work. Install it with: pkg install termux-tools")
    try:
        yield
    finally:
        if locked:
            _ran("termux-wake-unlock")


def _ran(command: str) -> bool:
    """Whether a command is there, and succeeded within ten seconds."""
    try:
        return subprocess.run([command], stdin=subprocess.DEVNULL, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


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
    return _bytes_in("/proc/meminfo", "MemAvailable:")


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
    if (peak := _bytes_in("/proc/self/status", "VmHWM:")) is not None:
        return peak
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _bytes_in(path: str, name: str) -> int | None:
    """Bytes that a line of Linux's own tables gives in kB; None where there is no such line."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


_chosen: int | None = None
_look = _cpu_seconds()
_busy: float | None = None
