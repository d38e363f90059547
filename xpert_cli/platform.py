"""What this machine is: cores worth using, memory at hand, Android or not."""

from __future__ import annotations

import os
import sys
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


def spin_shortly() -> None:
    """Have OpenMP's threads sleep soon when they wait; called before a library that uses it is loaded.

    Threads that wait by spinning for milliseconds take the cores from each other when another program runs: 100 times
    slower was seen. A short spin is as fast on an idle machine.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def total_memory() -> int | None:
    """Physical memory in bytes, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def available_memory() -> int | None:
    """Memory in bytes that can be used without swapping, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def peak_memory() -> int:
    """Largest resident set of this process so far, in bytes (0 where the system does not say)."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
