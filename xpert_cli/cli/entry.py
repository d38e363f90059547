"""Where the command line begins: Ctrl-C is understood before anything heavy is imported.

    main()                             # what `xpert` and `python -m xpert_cli` call

Only Python's own library is imported above. Not here: the commands (cli/app.py), what an interrupted command says of
its work (cli/output.py).
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from contextlib import suppress

from xpert_cli import signals

LINE = "stopped. Nothing was kept: the same command starts from the beginning."


def main() -> None:
    """Run the command line."""
    signals.install()
    if not os.environ.get("XPERT_DEBUG"):  # what a library logs or warns of is none of the one line that an error is
        logging.getLogger().addHandler(logging.NullHandler())
        warnings.simplefilter("ignore")
    try:
        from xpert_cli.cli import app

        app.main()
    except KeyboardInterrupt as error:
        sys.exit(say_stopped(error))


def say_stopped(error: KeyboardInterrupt) -> int:
    """Say in one line, with --json as an object too, that a command was stopped before it began.

    Returns:
        The exit status.
    """
    with suppress(OSError, AttributeError):  # a stream is closed
        if "--json" in sys.argv:
            print(json.dumps({"error": LINE}), flush=True)
        print(LINE, file=sys.stderr, flush=True)
    return signals.status(error)
