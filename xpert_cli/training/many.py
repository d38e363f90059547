"""`xpert cache train`: from many writers' texts to a cache, in one call that can be killed and made again.

    trained = train_cache(find_writers(folder, parted), Path("my-cache"), base, Settings(jobs=2))

Writers are trained by workers (training/workers.py, training/ray_workers.py), one at a time each; what is done is
found again. Then everybody is placed, communities are made, and the cache is written, anew each time: the same writers
give the same bytes. Not here: one writer (training/writer.py), the cache's files (cache/writers.py),
which folders are refused (training/folders.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from xpert_cli import __version__, corpus, gguf, paths, platform, resume, runs
from xpert_cli.cache.entries import is_id
from xpert_cli.cache.verify import Grouped
from xpert_cli.cache.writers import PLACE, Tree, build_cache, plan, read_place, weights_told
from xpert_cli.corpus.persons import persons
from xpert_cli.corpus.writers import Writer
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.gguf import BaseModel
from xpert_cli.gguf.averaging import average
from xpert_cli.llama.samples import require_room
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.style import described
from xpert_cli.training.folders import require_folders, texts_folder
from xpert_cli.training.loop import require_rate
from xpert_cli.training.plan import require, require_limit
from xpert_cli.training.workers import local
from xpert_cli.training.writer import LOCK, How, Outcome, Task, Trainer, number_type, plan_of, read_writer

Progress = Callable[[str, float], None]
ENGINES = ("local", "ray")
MADE = ("average", "text", "none")
POOLED = 640  # messages that a community's adapter is trained on, as many of each of its people
LEAST = 10  # people of a community
ROOM = 16  # characters that the id of a community may have after the prefix
NAMED = 5  # writers without a cache entry who are named


@dataclass(frozen=True)
class Settings:
    """What a person may decide of a cache's training.

    Attributes:
        how: of each writer; its base, number type and threads are filled in.
        communities: how their adapters are made: "average" of their people's, or trained on their "text"; or "none".
        least: people of a community.
        prefix: the id of everybody; smaller communities add a number.
        address: of a Ray cluster; "" for one on this machine.
    """

    how: How
    engine: str = "local"
    jobs: int | None = None
    communities: str = "average"
    least: int = LEAST
    prefix: str = "people"
    about: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        for option, value, known in (("--engine", self.engine, ENGINES), ("--communities", self.communities, MADE)):
            if value not in known:
                raise BadUsage(f"{option} is {' or '.join(known)}, not {value!a}.")
        require_rate(self.how.learning_rate)
        require_limit(self.how.memory)
        if not is_id(self.prefix, room=ROOM):
            raise BadUsage(f"--prefix {self.prefix!a} cannot be an adapter's id. Use letters, digits, dots and dashes.")
        if not self.how.adapters and self.communities != "text":
            raise BadUsage("without people's adapters there is nothing to average. Say --communities text.")


@dataclass(frozen=True)
class TrainedCache:
    """A cache that was made of writers.

    Attributes:
        people: how many different ones the writers are; names with the same text are one person.
        trained: writers of this call; the others of `writers` were done before.
        left_out: writers whose text cannot be used, with the reason.
        tokens_per_second: of all workers together, in this call.
    """

    out: str
    writers: int
    trained: int
    left_out: dict[str, str]
    communities: tuple[Grouped, ...]
    tokens: int
    tokens_per_second: float
    seconds: float
    work: str
    people: int
    notes: tuple[str, ...] = field(default=())


def train_cache(
    writers: Sequence[Writer],
    out: Path,
    work: Path,
    base: BaseModel,
    settings: Settings,
    progress: Progress = lambda message, fraction: None,
) -> TrainedCache:
    """Train what is missing of each writer, then write the cache.

    Args:
        work: where writers' adapters are kept, and found again by the next call; holds texts of pooled communities.

    Raises:
        BadInput: nobody's text can be used, or `out` is another cache.
        BadUsage: communities cannot be called so, or a folder lies in another that it has to be apart from.
        CannotWrite: a folder cannot be written.
        MissingExtra: torch, or Ray, is not installed.
    """
    began = time.monotonic()
    for folder in {one.path.parent for one in writers}:
        require_folders(folder, out, work)
    check(out, work, base, settings)
    how = _completed(settings.how, base)
    settings = replace(settings, how=how)
    if clashes := [one.name for one in writers if _is_community(one.name, settings.prefix)]:
        raise BadInput(f"a writer is called {clashes[0]}, as a community would be. Choose another --prefix.")
    tasks = [Task(one.name, str(one.path.resolve()), author=one.own_name) for one in writers]
    _require_memory(settings, base, tasks, work, progress)
    work = paths.writable(work, "--work")
    try:
        done = _run(tasks, work, settings, progress, "writers")
    except BaseException:
        _drop_empty(work, tasks)
        raise
    failed = {one.name: one.error for one in done if one.error}
    usable = {one.name: one for one in done if not one.error}
    if not usable:
        _drop_empty(work, tasks)
        raise BadInput(
            f"none of {counted(len(failed), 'writers')} has a text that can be used. {' '.join(_named(failed))}"
        )
    axes = described.measured_axes()
    places = {name: place for name in usable if (place := read_place(work / name / PLACE, axes)) is not None}
    least = 0 if settings.communities == "none" else settings.least
    who = persons({name: usable[name].keys for name in places})
    tree = plan(places, who, base, work, settings.prefix, least, progress, lean=True if how.memory else None)
    if settings.communities == "average":
        _average(tree, work, how, base, progress)
    else:
        sources = {task.name: task for task in tasks}
        pooled = [_pooled(tree, at, sources, work, how) for at in range(len(tree.groups))]
        all_of_them = replace(settings, how=replace(how, adapters=True, most=None, steps=how.community_steps))
        _require_memory(all_of_them, base, pooled, work / "communities", progress)
        done += _run(pooled, work / "communities", all_of_them, progress, "communities")
    _, communities = build_cache(
        out, work, base, tree, settings.communities, adapters=how.adapters, about=settings.about
    )
    seconds = time.monotonic() - began
    tokens = sum(one.tokens for one in done)
    return TrainedCache(
        out=str(out),
        writers=len(usable),
        trained=sum(one.tokens > 0 for one in usable.values()),
        left_out=dict(sorted(failed.items())),
        communities=tuple(Grouped(c.id, c.parent, c.count, c.entry.explanation) for c in communities),
        tokens=tokens,
        tokens_per_second=tokens / seconds,
        seconds=seconds,
        work=str(work),
        people=len(set(who.values())),
        notes=_notes(failed, least, tree, who),
    )


def check(out: Path, work: Path, base: BaseModel, settings: Settings) -> None:
    """Refuse what needs no text to be refused.

    Raises:
        BadInput: `out` is another cache, or the leanest layout of a worker takes more than --memory.
        BadUsage: messages may have too few tokens for anything.
        MissingExtra: torch is not installed.
    """
    require()
    if (out / "catalogue.json").exists() and not work.is_dir():
        raise BadInput(f"{out} holds a cache that was not trained here. Choose another folder with -o.")
    with Vocabulary(base) as vocabulary:
        require_room(vocabulary, settings.how.max_tokens)
    plan_of(_completed(settings.how, base), base.header)


def _completed(how: How, base: BaseModel) -> How:
    return replace(how, base=str(base.path.resolve()), dtype=number_type())


def _drop_empty(work: Path, tasks: Sequence[Task]) -> None:
    """Delete the folders of writers in which nothing but a lock is, and `work` if nothing is left in it."""
    for folder in (work / task.name for task in tasks):
        with suppress(OSError):
            if {one.name for one in folder.iterdir()} <= {LOCK}:
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
    with suppress(OSError):
        work.rmdir()


def _require_memory(
    settings: Settings, base: BaseModel, tasks: Sequence[Task], folder: Path, progress: Progress
) -> None:
    """Refuse to train so many at a time where there is no memory for it.

    Only where it would be too little for all workers are the texts read first, to tell how many of them will train.

    Raises:
        BadInput: this machine's workers together take more memory than is free.
    """
    each, free = plan_of(settings.how, base.header).memory, platform.available_memory()
    jobs = min(_jobs(settings), len(tasks))
    if settings.engine != "local" or not free or each * jobs <= free:
        return
    missing = 0
    with Trainer(settings.how, folder) as trainer:
        for number, task in enumerate(tasks):
            if missing == jobs:
                break
            progress("looking for what is to be trained", number / len(tasks))
            missing += trainer.would_train(task)
    jobs = missing
    if each * jobs > free:
        workers = (
            f"{jobs} workers at a time take {jobs * each >> 20} MB" if jobs > 1 else f"a worker takes {each >> 20} MB"
        )
        fewer = ", or fewer --jobs" if jobs > 1 else ""
        raise BadInput(f"{workers}, and {free >> 20} MB are free. Give each less memory, as with --memory 700M{fewer}.")


def _jobs(settings: Settings) -> int:
    return settings.jobs or max(1, platform.cores() // settings.how.threads)


def _is_community(name: str, prefix: str) -> bool:
    name, prefix = paths.folded(name), paths.folded(prefix)
    return name in (prefix, "communities") or (name.startswith(f"{prefix}-") and name[len(prefix) + 1 :].isdigit())


def _notes(failed: dict[str, str], least: int, tree: Tree, who: dict[str, str]) -> tuple[str, ...]:
    notes = [f"left out: {line}" for line in _named(failed)]
    if len(failed) > NAMED:
        notes.append(f"left out: {counted(len(failed) - NAMED, 'more writers')}; --json names all")
    if least and not tree.groups:
        few = counted(len(set(tree.persons)), "people are")
        notes.append(f"{few} too few for a community of {least}: there is none")
    return (*notes, *_repeated(who))


def _repeated(who: dict[str, str]) -> list[str]:
    """A note on names that are not counted, because the same person has another.

    Args:
        who: by name, the name that its person is counted under.
    """
    others = [f"{name} (as {own})" for name, own in sorted(who.items()) if name != own]
    if not others:
        return []
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return [
        f"taken for one person, as at least half of the messages are the same: {', '.join(others[:NAMED])}{more}. "
        "A person counts once in communities"
    ]


def _named(failed: dict[str, str]) -> list[str]:
    """The first writers who are left out, each with the reason."""
    return [f"{name}: {why}" for name, why in sorted(failed.items())[:NAMED]]


def _run(tasks: Sequence[Task], folder: Path, settings: Settings, progress: Progress, what: str) -> list[Outcome]:
    """The outcome of each task, whichever engine does it."""
    began, outcomes = time.monotonic(), list[Outcome]()

    def tick() -> None:
        progress(_told(outcomes, len(tasks), time.monotonic() - began, what), len(outcomes) / max(1, len(tasks)))

    outcomes_of: Generator[Outcome, None, None]
    if settings.engine == "ray":
        from xpert_cli.training.ray_workers import on_ray

        outcomes_of = on_ray(settings.how, folder, tasks, settings.jobs, tick, settings.address)
    else:
        outcomes_of = local(settings.how, folder, tasks, _jobs(settings), tick)
    try:
        with closing(outcomes_of):  # workers that are stopped have written their states then
            for outcome in outcomes_of:
                outcomes.append(outcome)
                tick()
    finally:
        if any((folder / task.name / name).exists() for task in tasks for name in (runs.RECORD, runs.CHECKPOINTS)):
            resume.remember(folder)
    return sorted(outcomes, key=lambda one: one.name)


def _told(outcomes: Sequence[Outcome], count: int, seconds: float, what: str) -> str:
    """How far it is: done, left out, tokens a second, and the time left, by what those trained in this call took."""
    failed, fresh = sum(bool(one.error) for one in outcomes), [one for one in outcomes if one.fresh]
    parts = [f"{len(outcomes)} of {count} {what}"]
    if failed:
        parts.append(f"{failed} left out")
    if tokens := sum(one.tokens for one in fresh):
        parts.append(f"{tokens / max(seconds, 1e-9):.0f} tokens/s")
    if fresh:
        left = seconds / len(fresh) * (count - len(outcomes))
        parts.append(f"{math.ceil(left / 60)} min left" if left > 90 else f"{left:.0f} s left")
    return ", ".join(parts)


def _average(tree: Tree, work: Path, how: How, base: BaseModel, progress: Progress) -> None:
    """The average of each community's people, unless it is there: of these adapters, at this rank."""
    for done, (group, name) in enumerate(zip(tree.groups, tree.ids, strict=True)):
        files = [work / member / runs.ADAPTER for member in tree.members(group)]
        folder = paths.writable(work / "communities" / name, "--work")
        made_of = json.dumps([[paths.digest(path) for path in files], how.rank, how.type_name])
        identity = hashlib.sha256(made_of.encode()).hexdigest()
        try:
            if json.loads((folder / runs.RECORD).read_text("utf-8"))["identity"] == identity:
                continue
        except (OSError, ValueError, KeyError):
            pass
        (folder / runs.RECORD).unlink(missing_ok=True)
        progress(f"averaging {name}, {counted(len(files), 'people')}", done / len(tree.groups))
        adapter = average(files, how.rank, lambda part, name=name: progress(f"averaging {name}", part))  # type: ignore[misc]
        gguf.check_adapter(adapter, base)
        gguf.write_adapter(adapter, folder / runs.ADAPTER, how.type_name)
        record = {
            "xpert": __version__,
            "identity": identity,
            "data": {},
            "recipe": {},
            "result": {},
            **weights_told(folder / runs.ADAPTER),
        }
        with paths.whole(folder / runs.RECORD) as part:
            part.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _pooled(tree: Tree, index: int, sources: dict[str, Task], work: Path, how: How) -> Task:
    """The messages of a community: as many of each of its people, drawn by their hashes; written once."""
    members = tree.members(tree.groups[index])
    each = max(1, math.ceil(POOLED / len(members)))
    seed = how.seed_of(tree.ids[index])
    lines = []
    for member in members:
        messages = read_writer(sources[member]).messages
        some = sorted({one.key(): one for one in messages}.values(), key=lambda one: one.key(seed))[:each]
        lines += [json.dumps(corpus.record(one), ensure_ascii=False) + "\n" for one in some]
    path = texts_folder(work, "pooled") / f"{tree.ids[index]}.jsonl"
    text = "".join(lines)
    if not path.is_file() or path.read_text("utf-8") != text:
        with paths.whole(path) as part:
            part.write_text(text, "utf-8")
    return Task(tree.ids[index], str(path))
