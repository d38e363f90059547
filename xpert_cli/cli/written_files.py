"""Files that a command writes for its user: never those that it reads, and pictures said where.

    require_picture(plot, text)                   # before the work
    draw(of_selection(result), plot, out)         # after it

Not here: what a picture shows (plot/portrait.py), reading TEXT (cli/options.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xpert_cli.cli.output import Output
from xpert_cli.errors import BadInput

if TYPE_CHECKING:
    from xpert_cli.plot.portrait import Portrait


def require_unread(out: Path, sources: Sequence[str], option: str) -> None:
    """Refuse to write to a file that is to be read, or that lies in a folder that is.

    Raises:
        BadInput: it is among them.
    """
    if out.exists() and any(_holds(Path(name), out) for name in sources):
        raise BadInput(
            f"{option} {out} is among the files to read, and would be lost. Name another file with {option}."
        )


def _holds(source: Path, file: Path) -> bool:
    try:
        return source.samefile(file) or (source.is_dir() and source.resolve() in file.resolve().parents)
    except OSError:  # given is standard input, or is not there
        return False


def require_picture(plot: Path, sources: Sequence[str]) -> None:
    """Refuse a place where no picture can be drawn, or whose file is to be read: before the work."""
    from xpert_cli.plot import files

    files.check(plot)
    require_unread(plot, sources, "--plot")


def draw(picture: Portrait, plot: Path, out: Output) -> None:
    """Write a picture, and say where."""
    from xpert_cli.plot import files

    files.write(picture, plot)
    out.note(f"the picture is in {plot}")
