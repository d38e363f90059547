"""What a Python program uses: `read`, `summarize`, `select`, `finetune` and `Model`, with the command line's defaults.

    import xpert_cli as xpert
    mine = xpert.read("messages.jsonl")
    print(xpert.summarize(mine).explanation)
    run = xpert.finetune(mine)
    with xpert.Model(adapters=[run.adapter]) as model:
        print(model.ask("Write to my landlord about the heating."))

Bases, caches and adapters are named as on the command line, and left out they are the settings'. docs/python.md shows
more. Not here: what is done (selection/, training/, llama/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xpert_cli import corpus
from xpert_cli.corpus import Corpus

if TYPE_CHECKING:
    from xpert_cli.cache.catalogue import OpenCache
    from xpert_cli.gguf import BaseModel
    from xpert_cli.llama.chat import Run
    from xpert_cli.selection.select import Selection
    from xpert_cli.selection.summarize import Summary
    from xpert_cli.training.finetune import Finetuned

Progress = Callable[[str, float], None]
__all__ = ["Model", "finetune", "read", "select", "summarize"]


def read(*paths: str | Path, author: str | Sequence[str] | None = None) -> Corpus:
    """Read a person's own writing from files and folders, whatever format they have.

    Args:
        author: the person's names in chats and mail, where several people write.

    Raises:
        BadInput: a file cannot be read, or it does not say who the person is.
    """
    names = [author] if isinstance(author, str) else author
    return corpus.read([str(path) for path in paths], author=names)


def summarize(
    written: Corpus,
    *,
    base: str | None = None,
    cache: str | None = None,
    measured_only: bool = False,
    offline: bool = False,
    progress: Progress = lambda message, fraction: None,
) -> Summary:
    """Explain how a person writes.

    Args:
        base, cache: as --base and --cache.
        measured_only: count only, which asks no model.

    Raises:
        XpertError: in one line, what is wrong and how to mend it.
    """
    from xpert_cli.selection import summarize as explained

    opened, model = _cache_and_base(cache, base, offline, progress)
    return explained.summarize(written, opened, model, measured_only=measured_only, progress=progress)


def select(
    written: Corpus,
    *,
    base: str | None = None,
    cache: str | None = None,
    measured_only: bool = False,
    offline: bool = False,
    progress: Progress = lambda message, fraction: None,
) -> Selection:
    """Choose the cached adapter, or the mixture, nearest to a person's writing, with reasons.

    Args:
        base, cache: as --base and --cache.
        measured_only: count only, which asks no model.

    Raises:
        XpertError: in one line, what is wrong and how to mend it.
    """
    from xpert_cli.selection import select as chosen

    opened, model = _cache_and_base(cache, base, offline, progress)
    return chosen.select(written, opened, model, measured_only=measured_only, progress=progress)


def _cache_and_base(
    cache: str | None, base: str | None, offline: bool, progress: Progress
) -> tuple[OpenCache, BaseModel]:
    from xpert_cli.cache.opening import find_cache
    from xpert_cli.models.bases import open_base

    opened = find_cache(cache, offline=offline, progress=progress)
    return opened, open_base(base, offline=offline, progress=progress)


def finetune(
    written: Corpus,
    *,
    start: str = "selection",
    base: str | None = None,
    cache: str | None = None,
    out: str | Path | None = None,
    steps: int | None = None,
    seed: int = 0,
    offline: bool = False,
    progress: Progress = lambda message, fraction: None,
    note: Callable[[str], None] = lambda text: None,
) -> Finetuned:
    """Train an adapter on a person's messages, as `xpert finetune` does.

    Args:
        start: where to begin: "selection", "base", "last", a run's name, a file, or an id of the cache.
        out: the run's folder; one under the user's data unless given.
        steps: optimizer steps; derived from the number of messages unless given.
        note: gets what a person should know, one sentence a call.

    Raises:
        XpertError: in one line, what is wrong and how to mend it.
    """
    from xpert_cli.cache.opening import cache_at_hand, find_cache
    from xpert_cli.models.bases import open_base
    from xpert_cli.training import finetune as trained
    from xpert_cli.training import starts

    model = open_base(base, offline=offline, progress=progress)
    chosen = starts.needs_cache(start)
    needed_cache = find_cache(cache, offline=offline, progress=progress) if chosen else None
    opened = needed_cache or cache_at_hand(cache, model, note, progress)
    begin = starts.find_start(start, written, model, opened, progress)
    settings = trained.Settings(steps=steps, seed=seed, out=Path(out) if out is not None else None)
    return trained.finetune(written, model, opened, begin, settings, progress=progress, note=note)


class Model:
    """A base model with adapters, kept open; `ask` answers, `chat` remembers what was said.

    Args:
        base: as --base.
        adapters: as --adapter, each a name or file with =WEIGHT behind it if it is not 1: "last", "mara=0.6".
        system: an instruction that comes first.
        cache: where ids of adapters are looked up.
        max_tokens, temperature, top_p, seed: how an answer is drawn; as `xpert run` has them.

    Raises:
        XpertError: in one line, what is wrong and how to mend it.
    """

    def __init__(
        self,
        base: str | None = None,
        adapters: Sequence[str | Path] = (),
        *,
        system: str | None = None,
        cache: str | None = None,
        max_tokens: int = 256,
        temperature: float = 0.7,
        top_p: float = 0.9,
        seed: int = 0,
        offline: bool = False,
    ) -> None:
        from xpert_cli.cache.opening import find_cache, open_adapters
        from xpert_cli.llama.chat import Chat, Sampling
        from xpert_cli.models.bases import open_base

        model = open_base(base, offline=offline)
        specs = [str(one) for one in adapters]
        opened = open_adapters(specs, model, lambda: find_cache(cache, offline=offline))
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
        self._chat = Chat(model, opened, sampling=sampling, system=system)

    def ask(self, prompt: str) -> str:
        """The answer to one prompt; what was asked before has no part in it."""
        self._chat.reset()
        return self.chat(prompt)

    def chat(self, prompt: str, on_text: Callable[[str], None] = lambda text: None) -> str:
        """The answer in the light of what was said since the last `ask`; each piece goes to `on_text` as it comes."""
        return self.run(prompt, on_text).text

    def run(self, prompt: str, on_text: Callable[[str], None] = lambda text: None) -> Run:
        """As `chat`, with the counts of tokens and the speed."""
        return self._chat.say(prompt, on_text)

    def close(self) -> None:
        """Free the model's memory."""
        self._chat.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
