"""Portraits in files: what --plot can write, told before the work and done after it.

    check(path)                                # BadInput, MissingExtra or CannotWrite where it could not be written
    write(of_selection(selection), path)

PNG is drawn by resvg, an extra of its own; SVG and HTML need nothing. Not here: what is drawn (portrait.py, page.py).
"""

from __future__ import annotations

from pathlib import Path

from xpert_cli import paths
from xpert_cli.errors import BadInput, BadUsage, MissingExtra
from xpert_cli.plot.page import page
from xpert_cli.plot.portrait import Portrait, drawn, for_any_screen
from xpert_cli.plot.svg import STYLE

SUFFIXES = (".svg", ".html", ".png")
ZOOM = 2.0  # pixels of a PNG to one of the SVG's


def check(path: Path) -> None:
    """Refuse a file that a portrait could not be written to.

    Raises:
        BadUsage: its suffix is none of SUFFIXES.
        BadInput: it is PNG and this machine has no font.
        MissingExtra: it is PNG, and resvg is not installed.
        CannotWrite: it is a folder, or its folder is not there or takes no files.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        kind_in_words = kind or "a file without a suffix"
        raise BadUsage(f"--plot draws SVG, HTML or PNG, not {kind_in_words}. Name it FILE.svg, FILE.html or FILE.png.")
    paths.require_place(path, "--plot")
    if kind == ".png":
        text = f'<style>{STYLE}</style><text y="20">Aa</text>'
        if _png(_frame(text)) == _png(_frame("")):  # resvg leaves out what it has no font for, and says nothing
            raise BadInput("no font was found to write a PNG with. Install one, or use --plot FILE.html.")


def write(portrait: Portrait, path: Path) -> None:
    """Write a portrait in the form that the file's suffix names.

    Raises:
        CannotWrite: the disk is full, or the folder no longer takes files.
    """
    kind = path.suffix.lower()
    if kind == ".png":
        content = _png(drawn(portrait), ZOOM)
    else:
        content = (page(portrait) if kind == ".html" else for_any_screen(portrait)).encode()
    with paths.whole(path, "--plot") as part:
        part.write_bytes(content)
    paths.share(path)  # it is made to be shown: axis names and numbers only


def _png(svg: str, zoom: float = 1.0) -> bytes:
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise MissingExtra("a PNG picture", "png") from None
    return bytes(svg_to_bytes(svg_string=svg, zoom=zoom))


def _frame(content: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="24">{content}</svg>'
