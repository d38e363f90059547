"""Ctrl-C, SIGTERM and SIGHUP as an exception at a moment of the program's choosing.

    learn = cut_short(decoder.learn)
    with Stopping() as stopping:
        while True:
            learn(parts)          # raises Stopped in the middle of it
            stopping.check()      # raises Stopped once a signal came

A second signal stops at once, unless the first did: then the state is being written. Ctrl-C at a terminal reaches a
worker, and SIGTERM of the process that it works for comes right after it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import wraps
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from xpert_cli.signals import NUMBERS, Interrupted

if TYPE_CHECKING:
    from xpert_cli.training.decoder import Decoder

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_cuttable = 0  # calls at this moment of functions that `cut_short` made


class Stopped(Interrupted):
    """The user, or the system, asked the program to stop, and it stopped in order."""


class Stopping:
    """Holds the signals back until `check` is called. Outside the main thread, where none arrive, does nothing."""

    def __init__(self) -> None:
        self._came, self._stopped = 0, False
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
            self._stopped = True
            raise Stopped(self._came)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._stopped:
            return
        if self._came:
            raise Interrupted(number)
        self._came = number
        if _cuttable:
            self.check()


def cut_short(work: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A function that a signal ends where it is, not at the next `check`: what it has done by then is thrown away."""

    @wraps(work)
    def short(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        global _cuttable
        _cuttable += 1
        try:
            return work(*arguments, **options)
        finally:
            _cuttable -= 1

    return short


def cuttable(decoder: Decoder) -> Decoder:
    """The decoder, with passes that a signal ends where they are: one may take seconds, and the state is kept."""
    for name in ("learn", "loss"):
        setattr(decoder, name, cut_short(getattr(decoder, name)))
    return decoder
