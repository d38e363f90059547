"""Everything xpert prints: results to standard output, talk to standard error.

    with Output(json=False, quiet=False) as out:
        result = select(..., progress=out.progress)
        out.show(result, views.summary(result))
        out.hint("xpert select notes.txt")

With --json a result is exactly one JSON object, and so is an error. Progress is drawn on a terminal, and a line every
half minute elsewhere. All text is
made printable here, whoever wrote it: no name, quote, answer or error of a library is obeyed by the terminal or read
as rich's markup. What results look like for people: views.py.
"""

from __future__ import annotations

import json as json_module
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from xpert_cli import signals
from xpert_cli.counts import counted
from xpert_cli.errors import CannotWrite, TimeIsUp, XpertError
from xpert_cli.foreign.text import one_line, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_COMMAND = re.compile(r"((?:.*: )?)((?:xpert|pip|sh|pkg|apt|iconv|ollama|xcode-select) \S.*)")
EVERY = 30.0  # seconds between two lines of progress in a log


class Screen(Console):
    """rich's console, which takes no markup and shows what would move the cursor, set a title or make a link."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of a renderable, rich's own control codes aside as printable text."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(printable(piece.text), piece.style)


class Output:
    """One command's output.

    Args:
        json: print the result as one JSON object.
        quiet: print the result and errors, and nothing else.
        minutes: time that the command is given; the first step after it ends the command.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, minutes: float | None = None) -> None:
        self.json, self.quiet, self._minutes = json, quiet, minutes
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self._out, self._err = Screen(), Screen(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._message = ""
        self._noted: set[str] = set()
        self._last_progress_at = time.monotonic()  # when progress was last said where no terminal shows it
        self.extra_fields: dict[str, object] = {}  # fields that the result gets with --json: what was read
        self._streamed = self._shown = False

    @property
    def asks(self) -> bool:
        """Whether somebody is there to answer a question."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear_progress()
        if isinstance(error, KeyboardInterrupt):
            from xpert_cli import resume

            line = "stopped." if self._streamed or self._shown else f"stopped. {resume.outlook()}"
            if self.json and not self._shown:
                _print_json({"error": line})
            self._err.print(Text(line), soft_wrap=True)
            raise typer.Exit(signals.status(error)) from None
        if self.json and isinstance(error, Exception) and not isinstance(error, (typer.Exit, BrokenPipeError)):
            _print_json({"error": reason(error)})

    def show(self, result: object, view: RenderableType | None = None) -> None:
        """Print a result: its fields with --json, `view` otherwise (None: it was streamed by `write`)."""
        self._clear_progress()
        self._shown = True
        if self.json:
            fields = plain(result)
            _print_json({**plain(self.extra_fields), **fields} if isinstance(fields, dict) else fields)
        elif view is not None:
            with _standard_output():
                self._out.print(view, crop=False)  # commands, keys and addresses are longer than a phone's line

    def write(self, text: str) -> None:
        """A piece of a streamed text."""
        self._streamed = True
        if not self.json:
            self._clear_progress()
            with _standard_output():
                sys.stdout.write(printable(text))

    @contextmanager
    def answer(self, markdown: bool) -> Iterator[Callable[[str], None]]:
        """A function that writes a streamed answer piece by piece; the answer's last line is ended at the end.

        Args:
            markdown: show it as a page, where there is a terminal whose cursor can be moved.
        """
        if self.json or not markdown or not self._out.is_terminal or self._out.is_dumb_terminal:
            try:
                yield self.write
            finally:
                self.write("\n")
            return
        from xpert_cli.cli.markdown import Growing

        page = Growing(self._out)
        self._streamed = True
        self._clear_progress()
        try:
            with _standard_output():
                yield page.add
        finally:
            with _standard_output():
                page.close()

    def note(self, text: str) -> None:
        """Something worth knowing beside the result, said once; the result holds it with --json."""
        if not self.json and not self.quiet and text not in self._noted:
            self._noted.add(text)
            self._clear_progress()
            before, command = split_command(text)
            whole = not command or cell_len(text) <= self._err.width
            with suppress(OSError):  # a full disk behind standard error ends no work
                self._err.print(Text(text if whole else before, style="dim"))
                if not whole:
                    self._err.print(Text(command, style="dim"), soft_wrap=True)

    def say(self, text: str) -> None:
        """An answer to what the user just typed; said as often as it is asked for."""
        self._noted.discard(text)
        self.note(text)

    def notes(self, texts: Iterable[str]) -> None:
        """Show several notes."""
        for text in texts:
            self.note(text)

    def hint(self, command: str) -> None:
        """The next step: a command to type, on one line so that it can be copied."""
        if not self.json and not self.quiet:
            self._clear_progress()
            with suppress(OSError):
                self._err.print(Text(f"Next: {command}", style="dim"), soft_wrap=True)

    def confirm(self, what: str) -> bool:
        """Whether the user, told `what`, wants it; False where nobody can be asked."""
        if self.json or self.quiet or not (sys.stdin.isatty() and self._err.is_terminal):
            return False
        self._clear_progress()
        self._err.print(Text(what))
        return typer.confirm("Run it?", err=True)

    def progress(self, message: str, fraction: float) -> None:
        """What is being done and how much of it, 0 to 1; a new message starts a new estimate of the time left.

        Raises:
            TimeIsUp: the command's time is over.
        """
        if time.monotonic() > self._end:
            raise TimeIsUp(f"{counted(self._minutes or 0, 'minutes are')} over.")
        if self.quiet:
            return
        if not self._err.is_terminal:
            if not self.json:
                self._say_progress(message, fraction)
            return
        if self._progress is None:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), TimeRemainingColumn()
            self._progress = Progress(*columns, console=self._err, transient=True)
            self._progress.start()
        if self._task is None or message != self._message:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._message = self._progress.add_task(one_line(message), total=1.0), message
        self._progress.update(self._task, completed=min(max(fraction, 0.0), 1.0))

    def _say_progress(self, message: str, fraction: float) -> None:
        """A line now and then for a log: what takes no longer than EVERY seconds says nothing."""
        now = time.monotonic()
        if now - self._last_progress_at >= EVERY:
            self._last_progress_at = now
            with suppress(OSError):
                self._err.print(Text(f"{one_line(message)} ({fraction:.0%})", "dim"), soft_wrap=True)

    def _clear_progress(self) -> None:
        """Take the progress line away, so that it does not mix with what follows."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._task = None


def reason(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, TimeIsUp):
        from xpert_cli import resume

        return f"{error} {resume.outlook()}"
    if isinstance(error, XpertError):
        return " ".join(str(error).split())
    where = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": ")
    return f"internal error ({where}). Run again with XPERT_DEBUG=1 for the traceback, and report it."


def split_command(text: str) -> tuple[str, str]:
    """A sentence and the command that it ends with, as in "Make one with: xpert finetune TEXT"; "" where none does.

    A command is never broken into lines: it could not be copied.
    """
    match = _COMMAND.fullmatch(text)
    return (match[1].rstrip(), match[2]) if match else (text, "")


def complain(error: Exception) -> None:
    """The one line about an error, on standard error."""
    line = Text.assemble(("error: ", "bold red"), reason(error))
    with suppress(OSError):
        Screen(stderr=True).print(line, soft_wrap=True)


def print_error(line: str) -> None:
    """The object that --json prints in place of a result."""
    _print_json({"error": " ".join(line.split())})


def plain(value: Any) -> Any:
    """`value` as JSON knows it: what `to_json` gives where there is one, dataclasses are objects without the fields in
    their `json_omit`, paths are text, and numbers that are not finite are null."""
    if hasattr(value, "to_json"):
        return plain(value.to_json())
    if is_dataclass(value) and not isinstance(value, type):
        left_out = getattr(value, "json_omit", ())
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.name not in left_out}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_json(value: Any) -> None:
    text = json_module.dumps(value, allow_nan=False) + "\n"
    with _standard_output():
        sys.stdout.write(text)


@contextmanager
def _standard_output() -> Iterator[None]:
    """Write to standard output, and to the end; where that fails, as on a full disk, it is an error in one line."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError, ValueError):  # what is left in the buffer would fail again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CannotWrite(
            f"cannot write to standard output: {error.strerror}. Free some space, or send it to another place."
        ) from error
