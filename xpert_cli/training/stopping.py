"""SIGINT and SIGTERM as an exception at a moment of the program's choosing.

    with Stopping() as stopping:
        while True:
            stopping.check()      # raises Stopped once a signal came

A second signal stops at once, with KeyboardInterrupt.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The user, or the system, asked the program to stop, and it stopped in order."""


class Stopping:
    """Holds the two signals back until `check` is called. Outside the main thread, where none arrive, does nothing."""

    def __init__(self) -> None:
        self._came = False
        self._before: list[tuple[signal.Signals, Any]] = []

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self._before = [(number, signal.signal(number, self._note)) for number in SIGNALS]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises Stopped if a signal came."""
        if self._came:
            raise Stopped

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True
