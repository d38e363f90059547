"""Interrupts: Ctrl-C, SIGTERM and SIGHUP end a command in order, wherever they arrive.

    install()                      # once, at the start of the command line
    with held():                   # llama.cpp calls back into Python here, where an exception would be lost
        lib.llama_decode(...)

Every one of them becomes an `Interrupted`, a KeyboardInterrupt that knows its signal, so that `with` blocks clean up.
Not here: signals that a training run waits for (training/stopping.py), what a command says (cli/output.py).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """The user, or the system, asked the program to stop.

    Attributes:
        status: what the process ends with, 128 and the signal's number, as shells have it: 130 after Ctrl-C.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.status = 128 + number


def status(error: KeyboardInterrupt) -> int:
    """The exit status after an interrupt."""
    return error.status if isinstance(error, Interrupted) else 128 + signal.SIGINT


def install() -> None:
    """Turn the signals into exceptions; one that whoever started the process has switched off (nohup) stays off."""
    if threading.current_thread() is threading.main_thread():
        for number in NUMBERS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back until the block ends, and deliver them then.

    Python runs a signal's handler at the next Python instruction of the main thread. Inside a ctypes callback that
    is the callback's, and what it raises there is printed and dropped. In other threads nothing arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)
