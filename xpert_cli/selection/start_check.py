"""Which start predicts a person's own messages best: the base, what was selected, or a part of it. Nothing is trained.

    check = check_starts(corpus, base, selection.files, rank=8)
    check.chosen.loss, check.base.loss            # nats a response token; the chosen one's is the smallest

A style that is near says nothing of how well an adapter predicts what a person writes about: an adapter may be near and
still start worse than the base. Each start is measured as training would begin with it: merged, at one rank for all.
Losses are llama.cpp's, so that torch is not needed. Not here: choosing by style (selection/select.py), training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from xpert_cli import gguf, paths
from xpert_cli.cache.catalogue import Chosen
from xpert_cli.corpus import Corpus
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model, Sample
from xpert_cli.llama.samples import tokenized

MESSAGES, MOST = 4, 32  # that are measured, at least and at most
SCORED = 512  # tokens that are enough, whatever the number of messages
TOKENS = 256  # of a message, its prompt included
RANK = 8  # at which starts are compared, unless one of them has a larger one


@dataclass(frozen=True)
class Arm:
    """A start: the adapters that it begins with (none: the base alone), and its loss in nats a response token."""

    parts: tuple[Chosen, ...]
    loss: float

    @property
    def name(self) -> str:
        """The adapters in words."""
        if len(self.parts) == 1:
            return self.parts[0].adapter
        return " + ".join(f"{part.weight:.2f} {part.adapter}" for part in self.parts) or "the base model"


@dataclass(frozen=True)
class StartCheck:
    """Starts measured on the same messages, the base first.

    Attributes:
        start: the number of the one to begin with.
        why: that choice, for people.
        rank: of the adapter that training begins with, whichever it is.
        parts: the adapters of `start`, open.
    """

    arms: tuple[Arm, ...]
    start: int
    why: str
    messages: int
    tokens: int
    rank: int
    seconds: float
    parts: tuple[WeightedAdapter, ...] = ()

    json_omit: ClassVar[tuple[str, ...]] = ("parts",)

    @property
    def base(self) -> Arm:
        """The base model alone."""
        return self.arms[0]

    @property
    def chosen(self) -> Arm:
        """The start to begin with."""
        return self.arms[self.start]

    @property
    def lines(self) -> tuple[str, ...]:
        """Each start with its loss, and the choice."""
        arms = (f"{arm.loss:.3f} nats a token  {arm.name}" for arm in self.arms)
        return (f"starts, measured on {self.messages} of your messages in {self.seconds:.1f} s:", *arms, self.why)


def common_rank(parts: Sequence[WeightedAdapter], wanted: int | None = None) -> int:
    """The rank that all starts are compared and trained at: what is wanted, else RANK, or an adapter's larger one."""
    return wanted or max([RANK, *(part.file.adapter.rank for part in parts)])


def check_starts(
    corpus: Corpus,
    base: BaseModel | Path,
    parts: Sequence[WeightedAdapter],
    *,
    others: Sequence[Sequence[WeightedAdapter]] = (),
    rank: int | None = None,
    named: bool = False,
    messages: int = MOST,
    seed: int = 0,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> StartCheck:
    """Measure the base, the adapters together, each alone, and other starts, on a few messages.

    Args:
        corpus: the messages to take a few from, drawn by their hashes and `seed`.
        others: starts to be measured as well.
        messages: at most so many.
        rank: see `common_rank`.
        named: the user named this start, so that it is the choice whatever is measured; `why` then says so.

    Raises:
        BadInput: every message's prompt is too long.
        BadModel, CacheMismatch: the base or an adapter cannot be used.
    """
    began, base = time.monotonic(), BaseModel.open(base)
    starts = [(), tuple(parts), *((WeightedAdapter(part.file),) for part in parts if len(parts) > 1)]
    starts = [*(starts if parts else starts[:1]), *map(tuple, others)]
    size = common_rank([*parts, *(part for start in others for part in start)], rank)
    few = sorted(corpus.messages, key=lambda message: message.key(seed))[:messages]
    losses = []
    with Model(base, context=TOKENS, outputs=64, lean=True) as model, paths.scratch() as scratch:
        samples = _enough(tokenized(model, Corpus((message,)), TOKENS)[0] for message in few)
        for done, start in enumerate(starts):
            progress("measuring where to start", done / len(starts))
            model.apply(_as_trained(start, size, scratch / f"{done}.gguf"))
            scored = [model.nats(sample) for sample in samples]
            losses.append(sum(nats for nats, _ in scored) / max(1, sum(count for _, count in scored)))
    arms = tuple(
        Arm(tuple(Chosen(part.file.name, part.weight) for part in start), loss)
        for start, loss in zip(starts, losses, strict=True)
    )
    best = min(range(len(arms)), key=lambda index: (losses[index], index))
    chosen = min(1, len(arms) - 1) if named else best
    return StartCheck(
        arms=arms,
        start=chosen,
        why=_reason(arms, best, chosen),
        messages=len(samples),
        tokens=sum(count for _, count in scored),
        rank=size,
        seconds=time.monotonic() - began,
        parts=starts[chosen],
    )


def _enough(samples: Iterable[Sample]) -> list[Sample]:
    """The first samples: MESSAGES of them, and more until they have SCORED scored tokens."""
    few: list[Sample] = []
    scored = 0
    for tokens, first in samples:
        if len(few) >= MESSAGES and scored >= SCORED:
            break
        few.append((tokens, first))
        scored += len(tokens) - first
    return few


def _as_trained(start: Sequence[WeightedAdapter], rank: int, path: Path) -> list[WeightedAdapter]:
    """The adapters as training would begin with them: as they are where the rank allows, else recompressed."""
    if sum(part.file.adapter.rank for part in start) <= rank:
        return list(start)
    gguf.write_adapter(gguf.combined(start, rank)[0], path, "F32")
    return [WeightedAdapter.open(path)]


def _reason(arms: Sequence[Arm], best: int, chosen: int) -> str:
    start, base = arms[chosen], arms[0]
    if chosen != best and start.loss > base.loss:
        return f"{start.name} was named, and starts worse than the base model. Leave --from out, or say --from base."
    if chosen == 0:
        others = "it predicts your messages better than what was selected" if len(arms) > 1 else "nothing was selected"
        return f"Starting from the base model: {others}."
    gain = f"{base.loss - start.loss:.3f} nats a token less than the base model"
    return f"Starting from {start.name}: {gain}{'' if chosen == best else ', as you named it'}."
