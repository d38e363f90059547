"""Processes of this machine that train writers side by side: each keeps the base open, and gets names and paths.

    for outcome in local(how, folder, tasks, jobs=2, tick=tick):
        ...

A process that dies leaves its writer to another. When this one dies, the others write their states and end. Not here:
what is done for a writer (training/writer.py), machines of a cluster (training/ray_workers.py).
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from xpert_cli import platform, signals
from xpert_cli.errors import XpertError
from xpert_cli.training.writer import How, Outcome, Task, Trainer

Tick = Callable[[], None]
TRIES = 3  # of a writer whose process died
LOOK = 0.5  # seconds between two looks at the clock while nothing arrives
END = 10.0  # seconds that a process is given to write its state


@dataclass
class _Worker:
    """A process, its end of a pipe, and what it is at."""

    process: SpawnProcess
    pipe: Connection
    task: Task | None = None


def local(how: How, folder: Path, tasks: Sequence[Task], jobs: int, tick: Tick) -> Generator[Outcome, None, None]:
    """What comes of each task, as it comes; with one job, in this process.

    Args:
        tick: called often; what it raises ends the work, and what is done is kept.

    Raises:
        XpertError: what is no fault of a writer's text, such as a full disk.
    """
    if jobs == 1 or len(tasks) < 2:
        with Trainer(how, folder) as trainer:
            for task in tasks:
                tick()
                yield trainer.run(task, tick)
        return
    waiting, tries = deque(tasks), dict.fromkeys([task.name for task in tasks], 0)
    workers = [_started(how, folder) for _ in range(min(jobs, len(tasks)))]
    try:
        left = len(tasks)
        while left:
            for worker in workers:
                if worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    with suppress(OSError):  # it is dead: noticed below
                        worker.pipe.send(worker.task)
            pipes = wait([worker.pipe for worker in workers if worker.task], timeout=LOOK)
            tick()
            for worker in [worker for worker in workers if worker.pipe in pipes]:
                task = cast(Task, worker.task)
                try:
                    outcome = worker.pipe.recv()
                except (EOFError, OSError):
                    workers[workers.index(worker)] = _started(how, folder)
                    tries[task.name] += 1
                    if tries[task.name] < TRIES:
                        waiting.append(task)
                        continue
                    outcome = Outcome(task.name, error=f"its process died {TRIES} times, perhaps for want of memory")
                if isinstance(outcome, BaseException):
                    raise outcome
                worker.task, left = None, left - 1
                yield outcome
    finally:
        for worker in workers:
            worker.pipe.close()
            if worker.task is not None:
                worker.process.terminate()
        for worker in workers:
            worker.process.join(END)
            if worker.process.is_alive():
                worker.process.kill()


def _started(how: How, folder: Path) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, how, folder), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _serve(pipe: Connection, how: How, folder: Path) -> None:
    """A worker's life: a task comes, an outcome goes, until the pipe is closed or the process it works for is gone."""
    signals.install()
    threading.Thread(target=_end_with, args=(cast(BaseProcess, parent_process()),), daemon=True).start()
    platform.prepare_libraries()
    platform.use_threads(how.threads)
    with suppress(KeyboardInterrupt, EOFError, OSError), Trainer(how, folder) as trainer:
        while True:
            task = pipe.recv()
            try:
                outcome: Outcome | XpertError = trainer.run(task)
            except XpertError as error:
                outcome = error
            pipe.send(outcome)


def _end_with(parent: BaseProcess) -> None:
    """Wait until a process is gone, and end this one in order: whatever it is at, as when it is told to."""
    parent.join()
    signal.pthread_kill(cast(int, threading.main_thread().ident), signal.SIGTERM)
