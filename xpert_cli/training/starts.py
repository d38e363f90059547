"""Where a run starts: what `xpert finetune --from` means.

    start = find_start("selection", corpus, base, cache)
    start.parts                         # the adapters to begin with, weighted; none for the base
    start.earlier                       # messages of the run that it goes on from

Not here: choosing from a cache (selection/select.py), training (training/finetune.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xpert_cli import aliases, corpus, paths, runs
from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.opening import adapter_path, expanded, is_file_name
from xpert_cli.cache.screening import admitted
from xpert_cli.corpus import Corpus, Message
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.selection.select import select

LONG = 5  # words from which on a message is known again without its prompt
BASE, LAST, SELECTION = "base", "last", "selection"


@dataclass(frozen=True)
class Start:
    """What training begins with.

    Attributes:
        parts: adapters at weights; none for the base alone.
        why: how they came to be chosen, for people; empty where the user named them.
        earlier: messages of the run that is gone on from.
        named: the user named it; it is then measured beside the base, and taken whatever comes of that.
        check: measure it, and each of its parts, beside the base before training.
        others: starts that are measured beside it.
    """

    parts: tuple[WeightedAdapter, ...] = ()
    why: str = ""
    earlier: Corpus | None = None
    named: bool = False
    check: bool = True
    others: tuple[tuple[WeightedAdapter, ...], ...] = ()

    @property
    def files(self) -> tuple[WeightedAdapter, ...]:
        """All adapters that training may begin with."""
        return (*self.parts, *(part for start in self.others for part in start))


def needs_cache(name: str) -> bool:
    """Whether a start is looked up in a cache: what is selected, and an adapter that is named by its id."""
    return name == SELECTION or (name != BASE and any(_is_id(part) for part, _ in _parts(name)))


def _parts(name: str) -> list[tuple[str, float]]:
    """What a start's name stands for: itself, or the adapters of an alias at their weights."""
    return expanded(name) if aliases.target(name) else [(name, 1.0)]


def _is_id(name: str) -> bool:
    return name not in runs.NEWEST and not is_file_name(name) and runs.named(name.removeprefix("run:")) is None


def find_start(
    name: str,
    written: Corpus,
    base: BaseModel,
    cache: OpenCache | None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Start:
    """The start that "base", "last", "selection", a file, a run, an id of the cache or an alias stands for.

    Args:
        cache: not None where the name needs one (`needs_cache`).

    Raises:
        BadInput: there is no earlier run, or no such adapter.
    """
    if name == BASE:
        return Start()
    if name != SELECTION:
        parts = _parts(name)
        opened = tuple(WeightedAdapter(_opened(part, cache), weight) for part, weight in parts)
        run = _run(parts[0][0]) if len(parts) == 1 else None
        return Start(opened, earlier=earlier_messages(run.folder) if run else None, named=True)
    assert cache is not None
    chosen = select(written, cache, base, progress=progress)
    others = tuple(
        tuple(WeightedAdapter(admitted(cache.open_adapter(one.adapter), base), one.weight) for one in start)
        for start in chosen.others
    )
    why = "" if chosen.selected or others else " Starting from the base model."
    return Start(chosen.files, f"{chosen.explanation}{why}", others=others)


def _run(name: str) -> runs.Run | None:
    """The run of a name, None where it is the name of something else."""
    if name in runs.NEWEST:
        return runs.find(name)
    return None if is_file_name(name) else runs.named(name.removeprefix("run:"))


def _opened(name: str, cache: OpenCache | None) -> AdapterFile:
    if (run := _run(name)) is not None:
        return AdapterFile.open(run.adapter)
    if is_file_name(name):
        return AdapterFile.open(adapter_path(name), name)
    assert cache is not None
    return cache.open_adapter(name.removeprefix("cache:"))


def earlier_messages(folder: Path) -> Corpus | None:
    """The messages that a run learnt from; None where it kept none."""
    messages = folder / runs.MESSAGES
    return corpus.read([str(messages)]) if messages.exists() else None


def trained_on(written: Corpus, files: Sequence[Path]) -> int | None:
    """How many of the messages the runs that made these files learnt from; None where no such run is on this machine.

    A message counts where the same was said in answer to the same, and one of LONG words or more wherever it was said:
    an export, a table and plain text of one writing show different prompts for it.
    """
    folders = {folder for file in files if (folder := _run_of(file)) is not None}
    learnt = [message for folder in folders for message in learnt_from(folder)]
    keys, texts = {message.key() for message in learnt}, {text for one in learnt if (text := _words(one))}
    count = sum(message.key() in keys or _words(message) in texts for message in written.messages)
    return count if folders else None


def learnt_from(folder: Path) -> list[Message]:
    """The messages that a run was trained on: all that it kept but those that its record says were held out."""
    messages = earlier_messages(folder)
    data = runs.record(folder).get("data")
    lines = data.get("held_out_lines") if isinstance(data, dict) else None
    held_out_lines = set(lines) if isinstance(lines, list) else set()
    return [one for one in (messages.messages if messages else ()) if _line(one.source) not in held_out_lines]


def _words(message: Message) -> str:
    """A long message's words, "" of a short one: many people say the same in few words."""
    words = message.response.split()
    return " ".join(words) if len(words) >= LONG else ""


def _run_of(file: Path) -> Path | None:
    """The folder of the run that made an adapter or a merged model: the file's own, or that of a run with its like."""
    if (file.parent / runs.MESSAGES).exists():
        return file.parent
    size = file.stat().st_size
    files = [(run.folder, one) for run in runs.finished_runs() for one in (run.adapter, run.folder / runs.MERGED)]
    alike = [(folder, one) for folder, one in files if one.is_file() and one.stat().st_size == size]
    return next((folder for folder, one in alike if paths.digest(one) == paths.digest(file)), None)


def _line(source: str) -> int:
    """The line that a message was read from, 0 if that is not said."""
    match = re.search(r":(\d+)(#|$)", source)
    return int(match[1]) if match else 0
