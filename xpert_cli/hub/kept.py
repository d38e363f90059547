"""GGUF files of the Hub that were fetched to this machine: which there are, and their removal.

    for one in kept_models(): print(one.repo, one.file, one.path)

Not here: how they are fetched and found again (hub/repo.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xpert_cli import paths


@dataclass(frozen=True)
class Kept:
    """A file of a repo at a commit.

    Attributes:
        pointers: the files that say which contents are the repo's.
    """

    repo: str
    file: str
    path: Path
    pointers: tuple[Path, ...]
    licence: str = ""

    @property
    def name(self) -> str:
        """The file's, without its suffix."""
        return self.file.lower().removesuffix(".gguf")

    @property
    def type(self) -> str:
        """The quantization type that the file's name ends in; "" where it names none."""
        match = re.search(r"[-.](i?q\d\w*|bf16|f16|f32)$", self.name)
        return match[1] if match else ""

    @property
    def address(self) -> str:
        """As --base takes it."""
        return f"{self.repo}:{self.file}"

    def remove(self) -> int:
        """Delete it; the bytes that are free again."""
        size = self.path.stat().st_size
        for pointer in self.pointers:
            pointer.unlink(missing_ok=True)
        self.path.unlink()
        return size


def kept_models() -> list[Kept]:
    """The GGUF files at the top of repos, as models have them; a cache's adapters lie in folders."""
    pointers_of: dict[Path, list[Path]] = {}
    for pointer in sorted((paths.data_dir() / "hub").glob("*/*/*.gguf")):
        path = paths.data_dir() / "files" / pointer.read_text("utf-8").strip() / pointer.name
        if path.is_file():
            pointers_of.setdefault(path, []).append(pointer)
    return [
        Kept(pointers[0].parents[1].name.replace("--", "/", 1), path.name, path, tuple(pointers))
        for path, pointers in pointers_of.items()
    ]
