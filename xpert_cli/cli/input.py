"""What a person types or pipes in, and the streams and names that a shell hands over, however odd they are.

    prompt = all_input()          # standard input as UTF-8 text
    while (said := next_message()) is not None: ...

Not here: texts to learn from (corpus/reading.py), what is printed (cli/output.py).
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from xpert_cli import paths
from xpert_cli.errors import BadInput

PASTE_WAIT = 0.05  # seconds: what comes sooner after a line was pasted with it
KEPT_LINES = 1000
_NO_TEXT = "standard input is no UTF-8 text. Convert it first: iconv -t UTF-8"


def prepare_streams() -> None:
    """Make every standard stream usable: a closed one is empty, and what a terminal cannot show is replaced.

    COLUMNS that is no width, as cron and some editors set it, counts as unset.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
    width = os.environ.get("COLUMNS", "")
    if width.isdigit() and int(width) < 1:
        del os.environ["COLUMNS"]


def require_unicode(arguments: Sequence[str]) -> None:
    """Refuse names that are no UTF-8 before any work: models, records and catalogues cannot hold them.

    Raises:
        BadInput: an argument, this folder, or the data folder has such a name.
    """
    where = ""
    with suppress(OSError):
        where = os.getcwd()  # noqa: PTH109
    for name in (*arguments, where, str(paths.data_dir())):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise BadInput(f"{name} is no UTF-8. Rename it, or give another name.") from error


def all_input() -> str:
    """Standard input to its end.

    Raises:
        BadInput: it is no UTF-8 text.
    """
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise BadInput(_NO_TEXT) from error


def next_message(prompt: str = "> ") -> str | None:
    """The next line of standard input, None at the end; lines that are pasted into a terminal at once are one message.

    Raises:
        BadInput: it is no UTF-8 text.
    """
    typed = sys.stdin.isatty()
    try:
        lines = [input(prompt if typed and sys.stdout.isatty() else "")]
        with suppress(EOFError):  # the end, right after a line, does not take the line with it
            while typed and _more_is_there():
                lines.append(input())
        return "\n".join(lines)
    except EOFError:
        return None
    except UnicodeDecodeError as error:
        raise BadInput(_NO_TEXT) from error


def _more_is_there() -> bool:
    """Whether a terminal holds more than the line that was read: faster than anybody types."""
    try:
        return bool(select.select([sys.stdin], [], [], PASTE_WAIT)[0])
    except (OSError, ValueError):  # Windows, or a stream that is no file
        return False


@contextmanager
def edited_lines(history: Path | None = None) -> Iterator[None]:
    """Arrow keys, and earlier lines on them, for `input`; earlier sessions' lines come from `history` and go there.

    Args:
        history: a file for its owner alone; None keeps nothing.
    """
    try:
        import readline
    except ImportError:  # some Pythons have none: lines are then typed plainly
        yield
        return
    if history is not None and history.is_file():
        with suppress(OSError):
            readline.read_history_file(history)
    try:
        yield
    finally:
        if history is not None:
            readline.set_history_length(KEPT_LINES)
            with suppress(OSError):
                paths.make_private(history.parent)
                paths.private_file(history)
                readline.write_history_file(history)
