"""`xpert run` and `xpert chat`: one answer, and a conversation with commands that begin with a slash.

Not here: the conversation itself (llama/chat.py), how a line is read (cli/input.py).
"""

from __future__ import annotations

import json as json_module
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpert_cli import paths, settings
from xpert_cli.cli.input import all_input, edited_lines, next_message
from xpert_cli.cli.options import (
    AdapterOpt,
    BaseOpt,
    CacheOpt,
    ContextOpt,
    MaxTokensOpt,
    OfflineOpt,
    SeedOpt,
    SystemOpt,
    TemperatureOpt,
    TopPOpt,
    open_adapters,
    open_base,
    option,
    with_output,
)
from xpert_cli.cli.output import Output
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, XpertError

if TYPE_CHECKING:
    from xpert_cli.gguf import BaseModel, WeightedAdapter
    from xpert_cli.llama.chat import Chat, Sampling

HELP = """\
/help           this list
/base           answer with the base model alone
/me             answer with what this chat began with, or your newest run
/system TEXT    an instruction that comes before everything; without TEXT there is none
/multi          type several lines; a line with /send sends them
/reset          forget what was said
/save [FILE]    keep the conversation, for --continue or as JSON lines
/exit           end (Ctrl-D does too); Ctrl-C stops an answer"""


@with_output(threads=True)
def run(
    out: Output,
    prompt: Annotated[str, typer.Argument(help="What to answer; - reads it from standard input.")],
    base: BaseOpt = None,
    adapter: AdapterOpt = None,
    cache: CacheOpt = None,
    system: SystemOpt = None,
    max_tokens: MaxTokensOpt = 256,
    temperature: TemperatureOpt = 0.7,
    top_p: TopPOpt = 0.9,
    context: ContextOpt = None,
    seed: SeedOpt = 0,
    offline: OfflineOpt = False,
) -> None:
    """Answer PROMPT with a base model and adapters."""
    from xpert_cli.llama import chat

    prompt = all_input() if prompt == "-" else prompt
    sampling = _sampling(max_tokens, temperature, top_p, seed)
    model = open_base(base, offline, out)
    adapters = open_adapters(adapter, cache, offline, out, model)
    result = chat.run(prompt, model, adapters, sampling=sampling, system=system, context=context, on_text=out.write)
    out.write("\n")
    if not result.text.strip():
        out.note("the model ended its answer without a word. Use smaller weights, or another --seed.")
    out.show(result)
    limit = " (--max-tokens reached)" if result.stopped == "length" else ""
    out.notes(result.notes)
    out.note(f"{counted(result.generated_tokens, 'tokens')}, {result.tokens_per_second:.1f} a second{limit}")


@with_output(threads=True)
def chat(
    out: Output,
    base: BaseOpt = None,
    adapter: AdapterOpt = None,
    cache: CacheOpt = None,
    system: SystemOpt = None,
    resume: Annotated[
        bool, option("--continue", "Go on from the conversation that was kept last (/save, --keep).")
    ] = False,
    keep: Annotated[bool, option("--keep", "Keep the conversation and the lines you type, for you alone.")] = False,
    plain: Annotated[bool, option("--plain", "Show answers as they are, and not as Markdown.")] = False,
    max_tokens: MaxTokensOpt = 256,
    temperature: TemperatureOpt = 0.7,
    top_p: TopPOpt = 0.9,
    context: ContextOpt = None,
    seed: SeedOpt = 0,
    offline: OfflineOpt = False,
) -> None:
    """Talk with your newest run, or with a base model and adapters, line by line.

    Without --adapter, your newest run answers if it was trained on this base; --adapter base leaves it out.
    """
    from xpert_cli.llama.chat import Chat

    sampling, markdown = _sampling(max_tokens, temperature, top_p, seed), not plain and settings.is_on("markdown")
    model = open_base(base, offline, out)
    names = _default_names(adapter, model, out)
    adapters = open_adapters(names, cache, offline, out, model)
    with Chat(model, adapters, sampling=sampling, system=system, context=context) as talk:
        session = _Session(talk, model, adapters, names, out, keep, markdown)
        if resume:
            session.resume()
        out.notes(talk.notes)
        out.note(f"{session.who()}. /help lists the commands.")
        with edited_lines(_lines_file() if keep else None):
            session.run()
    out.show({"turns": session.turns, "model": session.model, "notes": talk.notes})


def _default_names(names: Sequence[str] | None, model: BaseModel, out: Output) -> list[str]:
    """The adapters of a chat: those named, else the newest run if it was trained on this base."""
    from xpert_cli import runs
    from xpert_cli.gguf import called

    if names:
        return [name for name in names if name != "base"]
    finished = runs.finished_runs()
    if not finished:
        return []
    if finished[0].fingerprint == model.fingerprint:
        return [str(finished[0].adapter)]
    named = called(finished[0].base)
    out.note(f"your newest run, {finished[0].name}, is for another base ({named}), so the base answers alone")
    return []


@dataclass
class _Session:
    """One conversation on the command line.

    Attributes:
        markdown: show answers in Markdown as a page, on a terminal.
        model: what answers: "base", or the names of adapters.
        turns: what was said, with the answers that were not stopped.
    """

    talk: Chat
    base: BaseModel
    adapters: Sequence[WeightedAdapter]
    names: Sequence[str]
    out: Output
    keep: bool
    markdown: bool
    turns: list[dict[str, str]] = field(default_factory=list)
    model: str = ""

    def __post_init__(self) -> None:
        self.model = " + ".join(map(_named, self.names)) or "base"

    def who(self) -> str:
        """What answers, in words."""
        from xpert_cli.gguf import called

        sentence = f"{called(self.base.info.name)} answers"
        return sentence if self.model == "base" else f"{sentence} with {self.model}"

    def run(self) -> None:
        """Answer until the input ends."""
        while (line := next_message()) is not None:
            if not line.strip():
                continue
            word, _, rest = line.strip().partition(" ")
            if word.startswith("/") and not word.startswith("//"):
                if word in ("/exit", "/quit", "/bye"):
                    return
                self._command(word, rest.strip())
                continue
            self._say(line.strip().removeprefix("/") if word.startswith("//") else line.strip())

    def _command(self, word: str, rest: str) -> None:
        commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: self.out.say(_helped()),
            "/base": lambda _: self._use((), "base"),
            "/me": self._me,
            "/system": self._system,
            "/multi": lambda _: self._multi(),
            "/reset": lambda _: self._reset(),
            "/save": self._save,
        }
        if word not in commands:
            self.out.say(f"there is no command {word}. /help lists them; a message that begins with / is written //.")
            return
        try:
            commands[word](rest)
        except XpertError as error:
            self.out.say(str(error))

    def _say(self, prompt: str) -> None:
        """One exchange; an answer that the user stops is forgotten."""
        try:
            with self.out.answer(self.markdown) as write:
                answer = self.talk.say(prompt, write)
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            return
        self.turns.append({"prompt": prompt, "text": answer.text})
        if self.keep:
            self._write(_kept_file())

    def _use(self, adapters: Sequence[WeightedAdapter], model: str) -> None:
        self.talk.use(adapters)
        self.model = model
        self.out.say(f"{self.who()}.")

    def _me(self, _: str) -> None:
        if not self.adapters:
            from xpert_cli import runs

            newest = runs.find("me")
            self.adapters = open_adapters([str(newest.adapter)], None, True, self.out, self.base)
            self.names = [str(newest.adapter)]
        self._use(self.adapters, " + ".join(map(_named, self.names)))

    def _system(self, text: str) -> None:
        self.talk.instruct(text or None)
        self.out.say("the instruction is set." if text else "there is no instruction now.")

    def _multi(self) -> None:
        lines = []
        while (line := next_message("| ")) is not None and line.strip() != "/send":
            lines.append(line)
        if lines:
            self._say("\n".join(lines))

    def _reset(self) -> None:
        self.talk.reset()
        self.turns = []
        self.out.say("what was said is forgotten.")

    def _save(self, name: str) -> None:
        path = Path(name).expanduser() if name else _kept_file()
        if name == "-":
            raise BadInput("/save writes a file, and '-' is no name of one. Name it, or leave it out.")
        if name and path.exists():
            raise BadInput(f"{path} is there already. Choose another name.")
        if name:
            paths.require_place(path, "/save")
        self._write(path)
        self.out.say(f"{counted(len(self.turns), 'exchanges are')} in {path}.")

    def _write(self, path: Path) -> None:
        """The conversation as JSON lines that every command reads, for its owner alone."""
        with paths.whole(path, "/save") as part:
            lines = [json_module.dumps({"prompt": t["prompt"], "response": t["text"]}) for t in self.turns]
            part.write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def resume(self) -> None:
        """Take up the conversation that was kept last.

        Raises:
            BadInput: none was, or it cannot be read.
        """
        path = _kept_file()
        if not path.is_file():
            raise BadInput("no conversation was kept. Keep one with /save, or with: xpert chat --keep")
        try:
            lines = [json_module.loads(line) for line in paths.text(path).splitlines()]
            self.turns = [{"prompt": str(line["prompt"]), "text": str(line["response"])} for line in lines]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path} is damaged ({error}). Delete it.") from error
        self.talk.remember([(turn["prompt"], turn["text"]) for turn in self.turns])
        count = counted(len(self.turns), "exchanges")
        self.out.note(
            f"going on after {count}; the last answer was: {self.turns[-1]['text'][:200]}" if self.turns else ""
        )


def _helped() -> str:
    """The commands, each with its words beside it however narrow the terminal is."""
    width = max(40, shutil.get_terminal_size().columns - 1)
    return "\n".join(textwrap.fill(line, width, subsequent_indent=" " * 16) for line in HELP.splitlines())


def _named(name: str) -> str:
    """An adapter's name for people: the run's, where a path is that of a run."""
    from xpert_cli import runs

    path = Path(name.rpartition("=")[0] if name.rpartition("=")[1] else name)
    matching = [run for run in runs.finished_runs() if path in (run.adapter, run.folder)]
    return f"the run {matching[0].name} of {matching[0].when}" if matching else name


def _kept_file() -> Path:
    return paths.data_dir() / "chat" / "last.jsonl"


def _lines_file() -> Path:
    return paths.data_dir() / "chat" / "lines"


def _sampling(max_tokens: int, temperature: float, top_p: float, seed: int) -> Sampling:
    from xpert_cli.llama.chat import Sampling

    return Sampling(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
