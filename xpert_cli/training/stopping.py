"""Ctrl-C, SIGTERM and SIGHUP as an exception at a moment of the program's choosing.

    with Stopping() as stopping:
        while True:
            stopping.check()      # raises Stopped once a signal came

A second signal stops at once.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from xpert_cli.signals import NUMBERS, Interrupted


class Stopped(Interrupted):
    """The user, or the system, asked the program to stop, and it stopped in order."""


class Stopping:
    """Holds the signals back until `check` is called. Outside the main thread, where none arrive, does nothing."""

    def __init__(self) -> None:
        self._came = 0
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            numbers = [n for n in NUMBERS if signal.getsignal(n) is not signal.SIG_IGN or n == signal.SIGINT]
            self._before = [(number, signal.signal(number, self._note)) for number in numbers]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises Stopped if a signal came."""
        if self._came:
            raise Stopped(self._came)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            raise Interrupted(number)
        self._came = number
