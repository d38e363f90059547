"""`xpert demo`: the whole way on a sample writer, with the packaged base model and the embedded cache.

    with Output() as out:
        demo(out)

Only what other commands call, one after the other, in a temporary folder. Not here: the user's own base, cache and
text.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from xpert_cli import paths
from xpert_cli.cli import views
from xpert_cli.cli.output import Output
from xpert_cli.errors import MissingExtra

if TYPE_CHECKING:
    from xpert_cli.cache.catalogue import OpenCache
    from xpert_cli.corpus import Corpus
    from xpert_cli.gguf import BaseModel
    from xpert_cli.selection.select import Selection
    from xpert_cli.training.finetune import Finetuned

WRITER = "mara.jsonl"
OTHERS = {  # name of the step: the writer's file, and who they are
    "other_writer": ("okoro.md", "another writer, an engineer"),
    "chat_writer": ("dani.jsonl", "a third one, who chats"),
}
PROMPT = "Why do cats purr?"
STEPS = 8
TRAINED_TOKENS = 96  # of a message
HELD_OUT = 0.3
ANSWER_TOKENS = 120


class _Story:
    """Steps told in order, each with a line that says how long it took; `found` is what --json prints."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.results: dict[str, Any] = {}
        self._count = 0
        self._began = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.monotonic() - self._began

    def tell(self, name: str, line: str, result: object, view: RenderableType) -> None:
        """A step that is done: its name and result for --json, its line and view for people."""
        took, self._last = time.monotonic() - self._last, time.monotonic()
        self._count += 1
        self.results[name] = result
        if not self.out.json:
            head = Text.assemble((f"{self._count}. {line}", "bold"), (f" ({took:.1f} s)", "dim"))
            self.out.show(result, Group(head, Padding(view, (0, 0, 1, 3))))


def demo(out: Output) -> None:
    """Explain a sample writer, select an adapter, fine-tune from it and from the base, and let the result speak.

    Raises:
        BadInput: the packaged base model is not installed.
    """
    from xpert_cli import corpus
    from xpert_cli.cache.catalogue import open_cache
    from xpert_cli.gguf import BaseModel
    from xpert_cli.hub import sources
    from xpert_cli.selection.summarize import summarize

    story = _Story(out)
    base = BaseModel.open(sources.find_base(sources.PACKAGED_BASE))
    cache = open_cache(sources.open_source(sources.EMBEDDED))
    written = _writer(corpus, WRITER)
    first = written.messages[0]
    line = f"Somebody wrote {len(written)} messages like this one"
    story.tell("writer", line, {"samples": len(written), "quote": first.response}, Text(f"“{first.response}”"))
    summary = summarize(written, cache, base, progress=out.progress)
    story.tell("summarize", "Explained against the base model's own answers", summary, views.summary(summary, 6))
    selection = _selected(story, written, cache, base)
    for step, (name, who) in OTHERS.items():
        _counted(story, step, who, _writer(corpus, name), cache, base)
    with paths.scratch() as folder:
        runs = _finetuned(story, written, cache, base, selection, folder)
        _spoken(story, base, selection, runs)
    if not out.json:
        out.note(f"{story.seconds:.0f} s in all. What was made lay in a temporary folder, which is gone.")
        for command in ("summarize my-notes.txt", "select my-notes.txt", "finetune my-notes.txt", "chat"):
            out.hint(f"xpert {command}")
    else:
        out.show({**story.results, "seconds": story.seconds})


def _writer(corpus: Any, name: str) -> Corpus:
    read: Corpus = corpus.read([str(paths.packaged("prompts") / "writers" / name)])
    return read


def _selected(story: _Story, written: Corpus, cache: OpenCache, base: BaseModel) -> Selection:
    """Select for the writer."""
    from xpert_cli.selection.select import select

    selection = select(written, cache, base, progress=story.out.progress)
    line = f"Selected among {cache.size} cached adapters"
    story.tell("select", line, selection, views.selection(selection, 3))
    return selection


def _counted(story: _Story, step: str, who: str, written: Corpus, cache: OpenCache, base: BaseModel) -> None:
    """Select for somebody else by counting alone."""
    from xpert_cli.selection.select import select

    selection = select(written, cache, base, measured_only=True)
    story.tell(step, f"For {who}, the same by counting alone", selection, views.selection(selection, 1))


def _finetuned(
    story: _Story, written: Corpus, cache: OpenCache, base: BaseModel, selection: Selection, folder: Path
) -> list[Finetuned]:
    """Runs of the same few steps from what was selected and from the base; none without torch."""
    from xpert_cli.training.finetune import Settings, Start, finetune

    chosen = selection.files
    runs: list[Finetuned] = []
    try:
        for start in (chosen, ()) if chosen else ((),):
            settings = Settings(out=folder / str(len(runs)), steps=STEPS, max_tokens=TRAINED_TOKENS, held_out=HELD_OUT)
            begin = Start(tuple(start), check=False)  # both are trained, side by side
            run = finetune(written, base, cache, begin, settings, progress=story.out.progress)
            runs.append(run)
    except MissingExtra as error:
        story.tell("finetune", "Fine-tuning was left out", [], Text(str(error)))
        return []
    line = f"Fine-tuned for {STEPS} steps from what was selected, and from the base"
    story.tell("finetune", line, runs, views.races(runs))
    return runs


def _spoken(story: _Story, base: BaseModel, selection: Selection, runs: list[Finetuned]) -> None:
    """The same prompt before and after: merged where there was training, else the base with the selected adapters."""
    from xpert_cli.llama.chat import Sampling, run

    sampling = Sampling(max_tokens=ANSWER_TOKENS)
    before = run(PROMPT, base, [], sampling=sampling)
    after = run(PROMPT, Path(runs[0].files.merged), [], sampling=sampling) if runs else None
    after = after or run(PROMPT, base, selection.files, sampling=sampling)
    result = {"prompt": PROMPT, "before": before, "after": after}
    how = "the merged model" if runs else "the base with the selected adapter"
    line = f"“{PROMPT}” to the base, then to {how}, in llama.cpp"
    story.tell("run", line, result, views.before_and_after(before, after))
