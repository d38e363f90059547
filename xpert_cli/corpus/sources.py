"""Files behind what the user named: a file, a folder, a zip or tar archive, standard input.

    for file in Source("chats.zip").files(): file.name, file.data

Hidden files, dependencies, licences, media and program text in folders and archives are left out, and counted. Archives
are read in memory, never unpacked, and only as far as LARGEST.
"""

from __future__ import annotations

import io
import re
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from xpert_cli.corpus.encodings import Decoded, decode
from xpert_cli.corpus.jsons import Json
from xpert_cli.corpus.tables import Table
from xpert_cli.errors import BadInput

LARGEST = 1 << 30  # bytes of one file inside an archive
MEMBERS = 200_000  # files of an archive
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
_LEGAL = ("license", "licence", "copying", "notice", "unlicense", "copyright")


@dataclass
class File:
    """One file: `name` as it is shown, `path` inside what was named, and the source it is of.

    `data` is empty once the file was decoded.
    """

    name: str
    path: str
    data: bytes
    source: Source

    @cached_property
    def decoded(self) -> Decoded:
        """Its text.

        Raises:
            BadInput: it is not text.
        """
        decoded = decode(self.name, self.data)
        self.data = b""  # a large file is in memory once
        return decoded

    @property
    def text(self) -> str:
        """Its text, with \\n line ends."""
        return self.decoded.text

    @cached_property
    def json(self) -> Json | None:
        """Its JSON; None if it is none."""
        return Json.of(self.name, self.text)

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


class Source:
    """What the user named. `left_out` counts the files that are never opened, by reason."""

    def __init__(self, name: str, stdin: IO[bytes] | None = None) -> None:
        self.name, self.stdin = name, stdin
        self.left_out: Counter[str] = Counter()
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
            data = (self.stdin or sys.stdin.buffer).read() if self.name == "-" else path.read_bytes()
        except OSError as error:
            name = " ".join(str(error.filename or self.name)[:200].split())
            raise BadInput(f"{name} cannot be read: {error.strerror}. Check the path and its permissions.") from error
        except ValueError as error:  # a path with a zero byte
            raise BadInput(f"{self.shown} cannot be read: no such file. Check the path.") from error
        if archive := _opened(self.shown, data):
            self._archive = archive
            yield from self._in_archive()
        else:
            yield File(self.shown, path.name, data, self)

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
        inside = sorted(path for path in folder.rglob("*") if path.is_file())
        self._members = {path.relative_to(folder).as_posix(): path for path in inside}
        for name in self._wanted():
            path = folder / name
            yield File(str(path), name, path.read_bytes(), self)

    def _in_archive(self) -> Iterator[File]:
        self.many = True
        archive = self._archive
        if isinstance(archive, zipfile.ZipFile):
            self._members = {one.filename: one for one in archive.infolist() if not one.is_dir()}
        elif archive is not None:
            self._members = {one.name.removeprefix("./"): one for one in archive if one.isfile()}
        if len(self._members) > MEMBERS:
            raise BadInput(f"{self.shown} holds more than {MEMBERS:,} files. Unpack it, and name what you wrote.")
        for name in self._wanted():
            yield File(f"{self.shown}/{name}", name, self._expanded(name), self)

    def _expanded(self, name: str) -> bytes:
        """One member's bytes, read no further than LARGEST whatever it says of itself."""
        member, archive = self._members[name], self._archive
        try:
            if isinstance(archive, zipfile.ZipFile):
                with archive.open(name) as file:
                    data = file.read(LARGEST + 1)
            else:
                opened = archive.extractfile(member) if archive and isinstance(member, tarfile.TarInfo) else None
                data = opened.read(LARGEST + 1) if opened else b""
        except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            why = "it has a password" if "password" in str(error) else "the archive is damaged"
            raise BadInput(f"{self.shown}/{name} cannot be read: {why}. Unpack it, and name the folder.") from error
        except Exception as error:  # zlib.error and the like are of no common kind
            raise BadInput(f"{self.shown}/{name} cannot be read: the archive is damaged. Unpack it again.") from error
        if len(data) > LARGEST:
            raise BadInput(f"{self.shown}/{name} is larger than {LARGEST >> 20} MB. Unpack it, and name the file.")
        return data

    def _wanted(self) -> list[str]:
        """The paths inside that are to be read."""
        vault = any(name.split("/")[0] == ".obsidian" for name in self._members)
        names = []
        for name in sorted(self._members):
            reason = _reason(PurePosixPath(name), vault)
            if reason:
                self.left_out[reason] += 1
            else:
                names.append(name)
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


def _opened(name: str, data: bytes) -> zipfile.ZipFile | tarfile.TarFile | None:
    """An archive of several files; None for anything else, and for documents that are zip files inside."""
    if data[:4] == b"PK\x03\x04":
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BadInput(f"{name} is a damaged zip archive ({error}). Export or copy it again.") from error
        names = set(archive.namelist())
        return None if names & {"[Content_Types].xml", "mimetype", "Index/Document.iwa"} else archive
    if data[:3] in (b"\x1f\x8b\x08", b"BZh") or data[257:262] == b"ustar":
        try:
            return tarfile.open(fileobj=io.BytesIO(data))
        except (tarfile.TarError, EOFError, OSError) as error:
            raise BadInput(f"{name} is compressed, and no tar archive. Unpack it first.") from error
    return None
