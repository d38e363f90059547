"""Files behind what the user named: a file, a folder, a zip or tar archive, standard input.

    for file in Source("chats.zip").files(): file.name, file.text

Hidden files, dependencies, licences, media and program text in folders and archives are left out, and counted. Archives
are never unpacked, and read only as far as LARGEST. Files are opened when they are read; JSON of more than STREAMED
bytes is never in memory as a whole. Links to folders inside a folder are not followed.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar, cast

from xpert_cli.corpus.encodings import Decoded, decode
from xpert_cli.corpus.jsons import Json
from xpert_cli.corpus.large_json import Opened
from xpert_cli.corpus.tables import Table
from xpert_cli.errors import BadInput

LARGEST = 1 << 30  # bytes of one file inside an archive
MEMBERS = 200_000  # files of an archive
STREAMED = 8 << 20  # bytes from which on JSON is gone through in the file
HEAD = 1 << 16  # bytes that tell what a file is
TEXTS = ("", ".txt", ".text", ".md", ".markdown", ".mdx", ".rst", ".org", ".log")  # that may be plain text in a folder
_MEDIA = re.compile(
    r"\.(?:jpe?g|png|gif|webp|heic|bmp|tiff?|svg|ico|mp3|m4a|og[ga]|opus|wav|aac|flac|amr|mp4|mov|avi|mkv|webm|3gp"
    r"|vcf|ics"
    r"|thumb|tgs|ttf|otf|woff2?)"
)
_PROGRAM = re.compile(
    r"\.(?:pyc?|[jt]sx|ts|[mc]js|css|scss|less|[cho]|cc|[ch]pp|rs|go|java|kt|swift|rb|php|pl|lua|(?:ba|z)?sh|ps1"
    r"|bat|sql|toml"
    r"|ini|cfg|conf|ya?ml|lock|map|gguf|bin|safetensors|so|dll|exe|a|db|sqlite3?|wasm|env|xsd|xsl|plist)"
)
_DEPENDENCIES = {"node_modules", "__pycache__", "site-packages", "venv", "bower_components", "vendor", "__MACOSX"}
T = TypeVar("T")
Place = str | tuple[int, int, int, int]
_LEGAL = ("license", "licence", "copying", "notice", "unlicense", "copyright")


def place_of(path: str | Path) -> Place:
    """What tells a file or folder from all others, by whichever path or link it is named: two hard links are one."""
    try:
        stat = Path(path).stat()
        if stat.st_ino:
            return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
        return os.path.realpath(path)
    except (OSError, ValueError):  # not there: said when it is to be read
        return str(path)


class File:
    """One file: `name` as it is shown, `path` inside what was named, its `size` in bytes, and the source it is of.

    `place` is `place_of` it; "" for a member of an archive, and for what comes by a pipe.
    """

    def __init__(self, name: str, path: str, source: Source, opened: Opened, size: int, place: Place = "") -> None:
        self.name, self.path, self.source, self.opened, self.size = name, path, source, opened, size
        self.place = place

    @cached_property
    def head(self) -> bytes:
        """The first HEAD bytes."""
        with closing(self.opened()) as file:
            return file.read(HEAD)

    @property
    def data(self) -> bytes:
        """All bytes, read anew each time: a large file is in memory once."""
        with closing(self.opened()) as file:
            return file.read()

    @cached_property
    def decoded(self) -> Decoded:
        """Its text.

        Raises:
            BadInput: it is not text.
        """
        return decode(self.name, self.data)

    @property
    def text(self) -> str:
        """Its text, with \\n line ends."""
        return self.decoded.text

    @cached_property
    def json(self) -> Json | None:
        """Its JSON; None if it is none."""
        large = Json.large(self.name, self.opened, self.head) if self.size > STREAMED else None
        return large or Json.of(self.name, self.text)

    @cached_property
    def table(self) -> Table | None:
        """Its rows and columns; None if it is no table."""
        return None if self.json else Table.of(self.name, self.text, self.suffix in (".csv", ".tsv"))

    @property
    def suffix(self) -> str:
        """The end of its name, in small letters, from the last dot on."""
        return PurePosixPath(self.path).suffix.lower()

    def beside(self, *path: str) -> bytes | None:
        """Another file of the same source, its path told from this file's folder; None if there is none."""
        parts = list(PurePosixPath(self.path).parent.parts)
        for step in path:
            if step == "..":
                if not parts:
                    return None
                parts.pop()
            else:
                parts.append(step)
        return self.source.read("/".join(parts))


class _Member:
    """One file of an archive, read no further than LARGEST whatever it says of itself; damage is said in one line."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self._name = source, name
        self._file = self._safely(lambda: source.member(name))

    def read(self, size: int = -1) -> bytes:
        data = self._safely(lambda: self._file.read(LARGEST + 1 if size < 0 else size))
        if len(data) > LARGEST:
            raise BadInput(f"{self._shown} is larger than {LARGEST >> 20} MB. Unpack it, and name the file.")
        return data

    def seek(self, offset: int) -> int:
        return self._safely(lambda: self._file.seek(offset))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _shown(self) -> str:
        return f"{self._source.shown}/{self._name}"

    def _safely(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            why = "it has a password" if "password" in str(error) else "the archive is damaged"
            raise BadInput(f"{self._shown} cannot be read: {why}. Unpack it, and name the folder.") from error
        except Exception as error:  # zlib.error and the like are of no common kind
            raise BadInput(f"{self._shown} cannot be read: the archive is damaged. Unpack it again.") from error


class Source:
    """What the user named. `left_out` counts the files that are never opened, by reason; `notes` say what to do.

    Args:
        named: places that the user named by themselves; inside a folder they are not left out, and `again` is True.
        met: paths that were left out of another source that holds them too, to which this one adds its own.
    """

    def __init__(
        self,
        name: str,
        stdin: IO[bytes] | None = None,
        named: Collection[Place] = (),
        met: set[Path] | None = None,
    ) -> None:
        self.name, self.stdin, self.named = name, stdin, named
        self._met = set() if met is None else met
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self.again = False
        self.many = False
        self._members: dict[str, object] = {}
        self._archive: zipfile.ZipFile | tarfile.TarFile | None = None

    @property
    def shown(self) -> str:
        """Its name on one line, and short should it be text in the place of a path."""
        return "standard input" if self.name == "-" else " ".join(self.name[:200].split())

    def files(self) -> Iterator[File]:
        """Each file, in sorted order.

        Raises:
            BadInput: something cannot be read, or an archive is broken or holds too much.
        """
        path = Path(self.name)
        try:
            if self.name != "-" and path.is_dir():
                yield from self._in_folder(path)
                return
            file = (
                self._piped(path)
                if self.name == "-" or not path.is_file()
                else _in_place(path, self.shown, path.name, self)
            )
            head = file.head
        except OSError as error:
            name = " ".join(str(error.filename or self.name)[:200].split())
            raise BadInput(f"{name} cannot be read: {error.strerror}. Check the path and its permissions.") from error
        except ValueError as error:  # a path with a zero byte
            raise BadInput(f"{self.shown} cannot be read: no such file. Check the path.") from error
        with closing(file.opened()) as handle:
            if archive := _archive(self.shown, cast(IO[bytes], handle), head):
                self._archive = archive
                yield from self._in_archive()
                return
        yield file

    def paths(self) -> list[str]:
        """The paths of all files inside a folder or an archive."""
        return list(self._members)

    def read(self, path: str) -> bytes | None:
        """One file by its path inside; None if there is none."""
        member = self._members.get(path)
        if isinstance(member, Path):
            try:
                return member.read_bytes()
            except OSError:
                return None
        return self._expanded(path) if member is not None else None

    def _in_folder(self, folder: Path) -> Iterator[File]:
        self.many = True
        everything = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
        inside = [path for path in everything if path.is_file()]
        for path in everything:
            if not path.is_file():
                self._leave_out(path, folder)
        self._members = {path.relative_to(folder).as_posix(): path for path in inside}
        for name in self._wanted():
            yield _in_place(folder / name, str(folder / name), name, self)

    def _leave_out(self, path: Path, folder: Path) -> None:
        """Count what is no file inside a folder: a linked folder, a link to nothing, a pipe."""
        reason = _reason(PurePosixPath(path.relative_to(folder).as_posix()), vault=False)
        if place_of(path) in self.named or self._again(path):
            self.again = True
        elif reason in ("hidden files", "files of dependencies"):
            self.left_out[reason] += 1
        elif not path.is_dir():
            self.left_out["files that cannot be opened" if path.exists() else "links to nothing"] += 1
        elif Path(os.path.realpath(folder)) not in Path(os.path.realpath(path)).parents:
            self.left_out["linked folders (not followed)"] += 1
            self.notes.append(f"{path} is a link to a folder, and is not followed. Name it beside to read it.")

    def _again(self, path: Path) -> bool:
        """Whether a path was left out of another source already, which is counted once."""
        place = path.parent.resolve() / path.name
        before = place in self._met
        self._met.add(place)
        return before

    def _in_archive(self) -> Iterator[File]:
        self.many = True
        archive, members = self._archive, list[tuple[str, object]]()
        if isinstance(archive, zipfile.ZipFile):
            members = [(one.filename, one) for one in archive.infolist() if not one.is_dir()]
        elif archive is not None:
            members = [(one.name.removeprefix("./"), one) for one in archive if one.isfile()]
        if len(members) > MEMBERS:
            raise BadInput(f"{self.shown} holds more than {MEMBERS:,} files. Unpack it, and name what you wrote.")
        self._members = dict(members)
        counts = Counter(name for name, _ in members)
        for name in self._wanted():
            member = self._members[name]
            if counts[name] > 1:  # an edited archive, or two that were joined: which is meant, only its maker knows
                raise BadInput(
                    f"{self.shown} holds {counts[name]} files called {name}. Unpack the one that you mean, and name it."
                )
            size = int(getattr(member, "file_size", getattr(member, "size", 0)))
            if size > LARGEST:
                raise BadInput(f"{self.shown}/{name} is larger than {LARGEST >> 20} MB. Unpack it, and name the file.")
            opened = partial(_Member, self, name) if size > STREAMED else partial(io.BytesIO, self._expanded(name))
            yield File(f"{self.shown}/{name}", name, self, opened, size)

    def _expanded(self, name: str) -> bytes:
        """One member's bytes."""
        with _Member(self, name) as file:
            return file.read()

    def member(self, name: str) -> IO[bytes]:
        """One member of the archive, open."""
        archive, member = self._archive, self._members[name]
        if isinstance(archive, zipfile.ZipFile):
            return archive.open(name)
        opened = archive.extractfile(member) if archive and isinstance(member, tarfile.TarInfo) else None
        return opened or io.BytesIO()

    def _piped(self, path: Path) -> File:
        """Standard input, or a path that can be read only once."""
        data = (self.stdin or sys.stdin.buffer).read() if self.name == "-" else path.read_bytes()
        return File(self.shown, path.name, self, partial(io.BytesIO, data), len(data))

    def _wanted(self) -> list[str]:
        """The paths inside that are to be read."""
        vault = any(name.split("/")[0] == ".obsidian" for name in self._members)
        names = []
        for name in sorted(self._members):
            reason, member = _reason(PurePosixPath(name), vault), self._members[name]
            if not reason:
                names.append(name)
            elif isinstance(member, Path) and (place_of(member) in self.named or self._again(member)):
                self.again = True
            else:
                self.left_out[reason] += 1
        return names


def _reason(path: PurePosixPath, vault: bool) -> str:
    """Why a file inside a folder is left out; "" if it is to be read."""
    folders = {part.lower() for part in path.parts[:-1]}
    if any(part.startswith(".") for part in path.parts):
        return "hidden files"
    if folders & {name.lower() for name in _DEPENDENCIES}:
        return "files of dependencies"
    if path.stem.lower().split(".")[0].split("-")[0] in _LEGAL and path.suffix.lower() in (*TEXTS, ".html"):
        return "licence files"
    if vault and folders & {"templates", "_templates"}:
        return "templates"
    suffix = path.suffix.lower()
    if _MEDIA.fullmatch(suffix):
        return "media files"
    return "program and data files" if _PROGRAM.fullmatch(suffix) else ""


def _in_place(path: Path, name: str, inside: str, source: Source) -> File:
    """A file on the disk, its bytes in memory unless they are many; `inside` is its path in the source."""
    size = path.stat().st_size
    path.open("rb").close()  # what may not be read is said here
    opened: Opened = partial(io.FileIO, path) if size > STREAMED else partial(io.BytesIO, path.read_bytes())
    return File(name, inside, source, opened, size, place_of(path))


def _archive(name: str, file: IO[bytes], head: bytes) -> zipfile.ZipFile | tarfile.TarFile | None:
    """An archive of several files; None for anything else, and for documents that are zip files inside."""
    if head[:4] == b"PK\x03\x04":
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BadInput(f"{name} is a damaged zip archive ({error}). Export or copy it again.") from error
        names = set(archive.namelist())
        return None if names & {"[Content_Types].xml", "mimetype", "Index/Document.iwa"} else archive
    if head[:3] in (b"\x1f\x8b\x08", b"BZh") or head[257:262] == b"ustar":
        try:
            return tarfile.open(fileobj=file)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise BadInput(f"{name} is compressed, and no tar archive. Unpack it first.") from error
    return None
