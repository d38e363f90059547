"""The folders of `xpert cache train`: what has to lie apart, and where texts are kept in the working folder.

    require_folders(Path("writers"), Path("my-cache"), Path("my-cache.work"))
    parted = texts_folder(Path("my-cache.work"), "texts")

Not here: what is done in them (training/many.py), the folders of runs (training/places.py).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from xpert_cli import paths
from xpert_cli.corpus.writers import PARTED
from xpert_cli.errors import BadUsage, CannotWrite


def require_folders(writers: Path, out: Path, work: Path) -> None:
    """Refuse folders that cannot be written, and those in which one would take another's files for its own.

    Args:
        writers: the folder of which each entry is a writer, or the table of all.

    Raises:
        BadUsage: `out` or `work` lies among the writers, or one of them in the other.
        CannotWrite: one of them cannot be written.
    """
    if not writers.is_file():
        if out.resolve() == writers.resolve():
            raise BadUsage(f"{out} holds the writers' texts. Choose another folder for the cache with -o.")
        among = {option: folder for option, folder in (("-o", out), ("--work", work)) if _lies_in(folder, writers)}
        made = [str(one) for one in among.values() if one.exists() and one.resolve() != writers.resolve()]
        move = f", and move {' and '.join(made)} out of it" if made else ""  # else the next call takes them for writers
        if among:
            option, folder = next(iter(among.items()))
            raise BadUsage(
                f"{option} {folder} is among the writers: every entry of {writers} is taken for one. "
                f"Choose a folder outside of it with {option}{move}."
            )
    if _lies_in(out, work):
        raise BadUsage(
            f"-o {out} is in the folder of --work, {work}, which holds texts of people and is not to be published. "
            "Choose another folder with -o or --work."
        )
    if _lies_in(work, out):
        raise BadUsage(
            f"--work {work} is in the folder of -o, {out}, which is to be published, and it holds texts of people. "
            "Choose another folder with -o or --work."
        )
    for folder in (out, out / "adapters", out / "communities"):
        paths.require_folder(folder, "-o")
    paths.require_folder(work, "--work")


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or lies below it, by its name or by where links lead."""
    named, above = Path(os.path.normpath(path.absolute())), folder.resolve()
    places = (named.resolve(), named.parent.resolve() / named.name)
    return any(above in (place, *place.parents) for place in places)


def texts_folder(work: Path, kind: str) -> Path:
    """Where texts of people are kept in `work`, under a name that no writer can have; the folder need not exist.

    Earlier versions kept them in the folder of a writer who is called so: what is there is moved, or deleted where the
    folder of now is there too.

    Args:
        kind: "texts" of a table's writers, or "pooled" of communities.

    Raises:
        CannotWrite: what is there cannot be moved.
    """
    folder, before = work / f"_{kind}", work / kind
    texts = [*sorted(before.glob("*.jsonl")), before / PARTED]  # last what says that the others are whole
    both = folder.exists()
    try:
        for path in filter(Path.is_file, texts):
            if both:
                path.unlink()
            else:
                path.replace(paths.writable(folder, "--work") / path.name)
    except OSError as error:
        raise CannotWrite(f"cannot write to {before}: {error.strerror}. Choose another folder with --work.") from error
    with suppress(OSError):  # it is not there, or a writer's
        before.rmdir()
    return folder
