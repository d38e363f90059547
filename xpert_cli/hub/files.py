"""The files of one cache by name, from a local folder; from a Hub repo: hub/repo.py.

    source = Source("mine", Path("my-cache"))
    path = source.file("adapters/terse.gguf", sha256)     # verified

Not here: finding a cache by its name (hub/sources.py), what files mean (cache/catalogue.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xpert_cli import paths
from xpert_cli.errors import CacheMismatch
from xpert_cli.hub.client import NotHere, NotThere

CATALOGUE = "catalogue.json"  # of a cache: asked for first
UNLISTED = (CATALOGUE, "catalogue.json.minisig", "README.md")  # what a catalogue cannot list, and the card for people


@dataclass(frozen=True, eq=False)
class Part:
    """Bytes of a file that are read without the rest of it.

    Attributes:
        name: what they are kept under on this machine; parts of one name have the same contents.
        sound: whether some bytes are these.
    """

    file: str
    begin: int
    size: int
    name: str
    sound: Callable[[bytes], bool]


class Source:
    """The files of one cache in a local folder.

    Attributes:
        name: as the user wrote it.
        revision: the commit all files are taken from; None for a folder.
        followed: the branch or tag whose commit was looked up; "" for a folder, or a commit named by the user.
        notes: what is worth knowing of where the files come from.
        known: digest and size of files, by name, once a catalogue has told them.
        sealed: a signed catalogue names every file that counts: others are as good as not there.
        downloaded_bytes: what `file` has fetched so far; files that were here already do not count.
    """

    revision: str | None = None
    followed = ""
    sealed = False
    notes: tuple[str, ...] = ()

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.name = name
        self.downloaded_bytes = 0
        self.known: Mapping[str, tuple[str, int]] = {}
        self._folder = folder

    def file(self, relative: str, sha256: str | None = None, size: int | None = None) -> Path:
        """The local path of one file, fetched if necessary and verified if its digest is given.

        Args:
            size: bytes of the file, where they are known with its digest.

        Raises:
            CacheMismatch: no such file, a name outside the cache, or contents that differ from `sha256`.
            BadInput: it cannot be fetched.
        """
        self._require_inside(relative)
        if sha256 is None and relative in self.known:
            sha256, size = self.known[relative]
        if sha256 is None and self.sealed and relative not in UNLISTED:
            raise NotThere(f"{self.name}: {relative} is not in its signed catalogue. Ask its publisher to publish it.")
        return self._fetch(relative, sha256, size)

    def parts(self, wanted: Sequence[Part]) -> list[bytes]:
        """Parts of files, each verified; what is not on this machine is fetched without the rest of its file.

        Raises:
            CacheMismatch: a file is not there, is too short, or holds other bytes there.
            BadInput: they cannot be fetched.
        """
        for name in {part.file for part in wanted}:
            self._require_inside(name)
        return self._parts(wanted)

    def cut(self, relative: str, begin: int, size: int, sha256: str, name: str) -> Path:
        """A file of its own, called `name`, that holds a verified part of a file of the cache.

        Raises:
            CacheMismatch, BadInput: as `parts`.
        """
        self._require_inside(relative)
        self._require_inside(name)
        return self._cut(relative, begin, size, sha256, name)

    def _require_inside(self, relative: str) -> None:
        parts = PurePosixPath(relative).parts
        if not parts or relative.startswith("/") or ".." in parts or "\\" in relative or ":" in relative:
            raise CacheMismatch(f"{self.name}: {relative!a} is no file name inside a cache. Use another cache.")

    def optional(self, relative: str) -> Path | None:
        """The local path of a file that a cache need not have; None if it has not, or it is not here."""
        try:
            return self.file(relative)
        except (NotThere, NotHere):
            return None

    def here(self, relative: str, sha256: str) -> Path | None:
        """Where a file lies on this machine, None where it would have to be fetched; its contents are not looked at."""
        path = (self._folder or Path()) / relative
        return path if path.is_file() else None

    def _parts(self, wanted: Sequence[Part]) -> list[bytes]:
        return [self._sound(part, self._bytes(part.file, part.begin, part.size)) for part in wanted]

    def _sound(self, part: Part, data: bytes) -> bytes:
        if len(data) != part.size or not part.sound(data):
            raise CacheMismatch(
                f"{self.name}: bytes {part.begin} to {part.begin + part.size} of {part.file} are not what the cache's "
                "index describes. The file may be damaged: get the cache anew, or use another."
            )
        return data

    def _bytes(self, relative: str, begin: int, size: int) -> bytes:
        path = (self._folder or Path()) / relative
        if not path.is_file():
            raise NotThere(f"{self.name}: the cache has no file {relative}. Check --cache.")
        return bytes_of(path, begin, size)

    def _cut(self, relative: str, begin: int, size: int, sha256: str, name: str) -> Path:
        if not (local := kept(sha256, name)).is_file() or paths.digest(local) != sha256:
            part = Part(relative, begin, size, sha256, lambda data: hashlib.sha256(data).hexdigest() == sha256)
            data = self._sound(part, self._bytes(relative, begin, size))
            with paths.whole(local, "XPERT_HOME") as file:
                file.write_bytes(data)
        return local

    def _fetch(self, relative: str, sha256: str | None, size: int | None) -> Path:
        path = (self._folder or Path()) / relative
        if not path.is_file():
            raise NotThere(f"{self.name}: the cache has no file {relative}. Check --cache.")
        if sha256 is None and self.leads_outside(relative):
            raise CacheMismatch(f"{self.name}: {relative} is a link out of the cache. Put the file itself there.")
        if sha256 is not None and paths.digest(path) != sha256:
            raise CacheMismatch(
                f"{self.name}: {relative} is not the file its catalogue describes (sha256). "
                "It may be damaged: get the cache anew, or use another."
            )
        return path

    def leads_outside(self, relative: str) -> bool:
        """Whether a folder's file is, or lies behind, a link to somewhere else; the Hub's own cache links to blobs."""
        if self._folder is None:
            return False
        root, file = self._folder.resolve(), (self._folder / relative).resolve()
        blobs = root.parent.parent / "blobs"
        return root not in file.parents and not (root.parent.name == "snapshots" and file.parent == blobs)


def bytes_of(path: Path, begin: int, size: int) -> bytes:
    """A part of a file, shorter where the file ends before."""
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(size)


def kept(digest: str, relative: str) -> Path:
    """Where contents of a digest are kept on this machine, under the last part of their name."""
    return paths.data_dir() / "files" / digest / PurePosixPath(relative).name
