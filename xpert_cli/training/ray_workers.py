"""Workers on a Ray cluster: one actor a worker, which keeps the base open; names and paths travel, no weights.

    for outcome in on_ray(how, folder, tasks, jobs=None, tick=tick, address="ray://head:10001"):
        ...

All nodes see the same files: the base, the texts and the working folder lie on a disk that they share. A writer whose
actor or node is lost goes to another. What is wrong with a text is an outcome, not an exception. Not here: what is done
for a writer (training/writer.py), processes of one machine (training/workers.py).
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from xpert_cli import platform
from xpert_cli.errors import BadInput, MissingExtra, XpertError
from xpert_cli.training.workers import LOOK, TRIES
from xpert_cli.training.writer import How, Outcome, Task, Trainer

Tick = Callable[[], None]


class Worker:
    """What an actor is: a trainer that lives as long as the actor does."""

    def __init__(self, how: How, folder: str) -> None:
        platform.prepare_libraries()
        platform.use_threads(how.threads)
        self._trainer = Trainer(how, Path(folder))

    def run(self, task: Task) -> Outcome | XpertError:
        """What comes of a writer; what is no fault of the text comes back as the error that it is."""
        try:
            return self._trainer.run(task)
        except XpertError as error:
            return error


def on_ray(
    how: How, folder: Path, tasks: Sequence[Task], jobs: int | None, tick: Tick, address: str = ""
) -> Generator[Outcome, None, None]:
    """What comes of each task, as it comes.

    Args:
        jobs: actors; one for each core of the cluster, shared by a worker's threads, unless given.
        address: of a cluster that runs, as in "auto" or "ray://head:10001"; without one, this machine is one.

    Raises:
        BadInput: the cluster cannot be reached.
        MissingExtra: Ray is not installed.
        XpertError: what is no fault of a writer's text, such as a full disk.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("training on Ray", "cluster") from error
    began = not ray.is_initialized()
    if began:
        _join(ray, address)
    actors: dict[Any, Any] = {}  # the answer that is awaited -> the actor that gives it
    try:
        yield from _shared(ray, how, folder, tasks, jobs, tick, actors)
    finally:
        for actor in actors.values():
            ray.kill(actor)
        if began:
            ray.shutdown()


def _join(ray: Any, address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has many, from sockets and from its own
        raise BadInput(
            f"no Ray cluster at {address or 'this machine'}: {' '.join(str(error).split())[:160]}. "
            "Start one with: ray start --head"
        ) from error


def _shared(
    ray: Any,
    how: How,
    folder: Path,
    tasks: Sequence[Task],
    jobs: int | None,
    tick: Tick,
    actors: dict[Any, Any],
) -> Generator[Outcome, None, None]:
    """Hand tasks to actors, and those of a lost actor to others."""
    kind = ray.remote(num_cpus=how.threads, max_restarts=0)(Worker)
    cores = int(ray.cluster_resources().get("CPU", 1))
    waiting, tries = deque(tasks), dict.fromkeys([task.name for task in tasks], 0)
    doing: dict[Any, Task] = {}

    def give(actor: Any) -> None:
        task = waiting.popleft()
        answer = actor.run.remote(task)
        actors[answer], doing[answer] = actor, task

    for _ in range(min(len(tasks), jobs or max(1, cores // how.threads))):
        give(kind.remote(how, str(folder)))
    while doing:
        answers, _ = ray.wait(list(doing), num_returns=1, timeout=LOOK)
        tick()
        for answer in answers:
            actor, task = actors.pop(answer), doing.pop(answer)
            try:
                outcome = ray.get(answer)
            except ray.exceptions.RayError as error:
                tries[task.name] += 1
                if tries[task.name] < TRIES:
                    waiting.append(task)
                else:
                    yield Outcome(task.name, error=f"its worker was lost {TRIES} times ({type(error).__name__})")
                if waiting and not doing:  # the last one is gone: another, as soon as there is room for it
                    give(kind.remote(how, str(folder)))
                continue
            if isinstance(outcome, XpertError):
                raise outcome
            yield outcome
            if waiting:
                give(actor)
