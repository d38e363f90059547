"""Files that a command writes for its user: never those that it reads, and pictures said where.

    require_picture(plot, text)                   # before the work
    draw(of_selection(result), plot, out)         # after it

Not here: what a picture shows (plot/portrait.py), reading TEXT (cli/options.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xpert_cli import paths
from xpert_cli.cli.output import Output
from xpert_cli.errors import BadInput, BadUsage

if TYPE_CHECKING:
    from xpert_cli.plot.portrait import Portrait

STANDARD_OUTPUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def written_place(name: str) -> Callable[[str | Path], Path]:
    """What reads a file or folder that a command writes: the parser of every option that names one.

    An empty name and standard output are wrong usage.

    Args:
        name: of the option.
    """

    def parse(value: str | Path) -> Path:
        wrong = ""
        if value == "":
            wrong = f"{name} names nothing: it is empty. Name a file or a folder"
        elif value == "-":
            wrong = f"{name} - would be a file that is called so: nothing is written to standard output. Name a file"
        elif str(value) in STANDARD_OUTPUT:
            wrong = f"{name} {value} is standard output, and a result is written as a whole file. Name a file"
        if wrong:
            with Output(json="--json" in sys.argv, quiet=False):  # the command's own is not made yet
                raise BadUsage(f"{wrong}.")
        return Path(value)

    parse.__name__ = "PATH"  # what help calls the kind of value
    return parse


def require_apart(folder: Path, sources: Sequence[str], option: str = "--out") -> None:
    """Refuse a folder to write to whose files are read, or will be by the next call.

    Raises:
        BadInput: it is a folder that is read, or lies in one, or a file to read is one that a run writes there.
    """
    from xpert_cli.training.places import WRITTEN

    if any(paths.is_in(folder / name, Path(source)) for source in sources for name in WRITTEN):
        raise BadInput(f"{option} {folder} is among what is read. Name another folder with {option}.")


def require_picture(plot: Path, sources: Sequence[str]) -> None:
    """Refuse a place where no picture can be drawn, or whose file is to be read: before the work."""
    from xpert_cli.plot import files

    files.check(plot)
    paths.require_unread(plot, map(Path, sources), "--plot")


def draw(picture: Portrait, plot: Path, out: Output) -> None:
    """Write a picture, and say where."""
    from xpert_cli.plot import files

    files.write(picture, plot)
    out.note(f"the picture is in {plot}")
