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


def require_apart(folder: Path, sources: Sequence[str], option: str = "--out") -> None:
    """Refuse a folder to write to whose files are read, or will be by the next call.

    Raises:
        BadInput: it is a folder that is read, or lies in one, or a file to read is one that a run writes there.
    """
    from xpert_cli.training.places import WRITTEN

    if any(_holds(Path(source), folder / name) for source in sources for name in WRITTEN):
        raise BadInput(f"{option} {folder} is among what is read. Name another folder with {option}.")


def _holds(source: Path, place: Path) -> bool:
    """Whether something to read is a place, or a folder around it, which need not be there."""
    try:
        if source.is_dir():
            return source.resolve() in (place.resolve(), *place.resolve().parents)
        return source.samefile(place)
    except OSError:  # one is standard input, is not there, or cannot be looked at
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
