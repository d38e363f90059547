"""What a person types or pipes in, and the streams and names that a shell hands over, however odd they are.

    prompt = all_input()          # standard input as UTF-8 text
    while (line := next_line()) is not None: ...

Not here: texts to learn from (corpus/reading.py), what is printed (cli/output.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from xpert_cli import paths
from xpert_cli.errors import BadInput

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


def next_line() -> str | None:
    """The next line of standard input, None at the end.

    Raises:
        BadInput: it is no UTF-8 text.
    """
    try:
        return input("> " if sys.stdin.isatty() and sys.stdout.isatty() else "").strip()
    except EOFError:
        return None
    except UnicodeDecodeError as error:
        raise BadInput(_NO_TEXT) from error
