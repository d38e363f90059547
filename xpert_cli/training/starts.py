"""Where a run starts: what `xpert finetune --from` means.

    start = find_start("selection", corpus, base, cache)
    start.parts                         # the adapters to begin with, weighted; none for the base
    start.earlier                       # messages of the run that it goes on from

Not here: choosing from a cache (selection/select.py), training (training/finetune.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xpert_cli import corpus, runs
from xpert_cli.cache.catalogue import Catalogue
from xpert_cli.cache.opening import adapter_path, is_file_name
from xpert_cli.corpus import Corpus
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.selection.select import select

BASE, LAST, SELECTION = "base", "last", "selection"


@dataclass(frozen=True)
class Start:
    """What training begins with.

    Attributes:
        parts: adapters at weights; none for the base alone.
        why: how they came to be chosen, for people; empty where the user named them.
        earlier: messages of the run that is gone on from.
    """

    parts: tuple[WeightedAdapter, ...] = ()
    why: str = ""
    earlier: Corpus | None = None


def needs_cache(name: str) -> bool:
    """Whether a start is looked up in a cache: what is selected, and an adapter that is named by its id."""
    return name != BASE and name not in runs.NEWEST and not is_file_name(name) and runs.named(name) is None


def find_start(
    name: str,
    written: Corpus,
    base: BaseModel,
    cache: Catalogue | None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Start:
    """The start that "base", "last", "selection", a file, a run or an id of the cache stands for.

    Args:
        cache: not None where the name needs one (`needs_cache`).

    Raises:
        BadInput: there is no earlier run, or no such adapter.
    """
    if name == BASE:
        return Start()
    if name in runs.NEWEST or (not is_file_name(name) and runs.named(name)):
        run = runs.find(name)
        return Start((WeightedAdapter.open(run.adapter),), earlier=earlier_messages(run))
    if not needs_cache(name):
        return Start((WeightedAdapter(AdapterFile.open(adapter_path(name), name)),))
    assert cache is not None
    if name != SELECTION:
        return Start((WeightedAdapter(cache.open_adapter(name)),))
    chosen = select(written, cache, base, progress=progress)
    return Start(
        chosen.files, chosen.explanation if chosen.selected else f"{chosen.explanation} Starting from the base model."
    )


def earlier_messages(run: runs.Run) -> Corpus | None:
    """The messages that a run learnt from; None where it kept none."""
    messages = run.folder / runs.MESSAGES
    return corpus.read([str(messages)]) if messages.exists() else None
