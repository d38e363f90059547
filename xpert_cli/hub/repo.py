"""The files of one repo of the Hugging Face Hub at one commit: fetched once, verified, found again offline.

    repo = HubRepo("owner/cache", "v1", offline, progress, first="catalogue.json")
    path = repo.file("adapters/terse.gguf", sha256)

Contents lie in files/DIGEST/ below paths.data_dir(); what the Hub's own client downloaded, as `hf download` does, is
taken from its cache. Not here: how one file is fetched (hub/download.py), how people name a repo (hub/names.py).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import quote

from xpert_cli import __version__, paths
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.hub import download
from xpert_cli.hub.client import NotHere, explained, first_line, import_hub
from xpert_cli.hub.files import Part, Source, bytes_of, kept
from xpert_cli.hub.ranges import fetch_ranges

MOST = 256 << 20  # bytes of a cache's file whose size no catalogue tells
Progress = Callable[[str, float], None]

_DIGEST = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")  # a blob's sha1 in git, or sha256 where it is large
_COMMIT = re.compile(r"[0-9a-f]{7,40}")


class HubRepo(Source):
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
        self.followed, self._is_cache = "" if _COMMIT.fullmatch(revision) else revision, bool(first)
        self._place = paths.data_dir() / "hub" / repo.replace("/", "--")
        self._stated: dict[str, tuple[str, int]] = {}  # digest and size of the files that were asked about
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
                reason = f"the Hub cannot be reached ({first_line(error)})"
            else:
                _write(seen, commit)
                return commit
        commit, seen = self._seen(seen, revision)
        if not commit:
            raise BadInput(
                f"{self.name} is not downloaded yet and {reason}. "
                "Connect and run again, or name a local folder or file."
            )
        for folder in (self._place / commit, self._hubs_own / "snapshots" / commit):
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            self._names += [name for path in files if (name := path.relative_to(folder).as_posix()) not in self._names]
        self.notes = (f"{self.name} is taken as it was {_ago(seen)} ({commit[:7]}): {reason}",)
        return commit

    @property
    def _hubs_own(self) -> Path:
        """Where the Hub's own client keeps this repo: `hf download` and other programs put it there."""
        return Path(self._hub.constants.HF_HUB_CACHE) / f"models--{self.name.replace('/', '--')}"

    def _seen(self, ours: Path, revision: str) -> tuple[str, Path]:
        """The commit that a revision was last seen at, here or by the Hub's own client, and the file that says so."""
        if _COMMIT.fullmatch(revision):
            known = [*self._place.glob(f"{revision}*"), *(self._hubs_own / "snapshots").glob(f"{revision}*")]
            if len({folder.name for folder in known}) == 1:
                return known[0].name, known[0]
        theirs = self._hubs_own / "refs" / revision
        files = [ours, *([theirs] if ".." not in revision.split("/") else [])]
        newest = max((file for file in files if file.is_file()), key=lambda file: file.stat().st_mtime, default=ours)
        commit = newest.read_text("utf-8").strip() if newest.is_file() else ""
        return (commit if re.fullmatch("[0-9a-f]{40}", commit) else ""), newest

    def _ask(self, revision: str, first: str) -> str:
        if first:
            return self._metadata(first, revision)
        try:
            info = self._hub.HfApi().model_info(self.name, revision=revision, timeout=download.STALLED)
            commit, self._names = info.sha, [str(file.rfilename) for file in info.siblings]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if type(error) is ValueError or isinstance(error, self._hub.errors.HFValidationError):
                raise  # of a proxy's address, or of the repo's name
            raise self._no_hub() from error
        if not re.fullmatch("[0-9a-f]{40}", str(commit)):
            raise self._no_hub()
        return str(commit)

    def _no_hub(self) -> BadInput:
        return BadInput(
            f"{self.name}: what answers is not the Hub (it does not tell commit, size and digest). "
            "Log in to this network in a browser, or check HF_ENDPOINT and the proxy."
        )

    def _metadata(self, relative: str, revision: str) -> str:
        """Ask for the digest and size of a file; the commit that `revision` is."""
        url = self._hub.hf_hub_url(self.name, relative, revision=revision)
        metadata = self._hub.get_hf_file_metadata(
            url, timeout=download.STALLED, library_name="xpert", library_version=__version__
        )
        digests = re.fullmatch(r"[0-9a-f]{40}", metadata.commit_hash or "") and _DIGEST.fullmatch(metadata.etag or "")
        if metadata.size is None or not digests:
            raise self._no_hub()
        self._stated[relative] = metadata.etag, metadata.size
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
        if file not in names and len(fitting := [one for one in names if _is_type(one, file)]) == 1:
            file = fitting[0]
        if file not in names and (file or len(names) > 1):
            wrong = f"has no file {file}" if file else f"has {len(names)} GGUF files"
            listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise BadInput(f"{self.name} {wrong}. Name one as {self.name}:FILE, of {listed}")
        return self.file(file or names[0])

    def checkpoint(self, patterns: Sequence[str]) -> Path:
        """A folder with the files of the repo's first level that match, under their names there."""
        names = [name for name in self._names if any(fnmatch(name, one) for one in patterns) and "/" not in name]
        if {"model.safetensors", "model.safetensors.index.json"} & set(names):  # the same weights in another layout
            names = [name for name in names if name.startswith("model") or not name.endswith(".safetensors")]
        if "config.json" not in names:
            other = f"Use it as it is: --base {self.name}" if any(n.endswith(".gguf") for n in self._names) else ""
            raise BadInput(f"{self.name} has no config.json to convert a model by. {other or 'Check the name.'}")
        folder = paths.data_dir() / "checkpoints" / self.name.replace("/", "--") / self.revision
        for name in names:
            _link(self.file(name), paths.writable(folder, "XPERT_HOME") / name)
        return folder

    def here(self, relative: str, sha256: str) -> Path | None:
        """Where a file of that digest lies on this machine, None where it would have to be fetched."""
        path = kept(sha256, relative)
        return path if path.is_file() else None

    def _parts(self, wanted: Sequence[Part]) -> list[bytes]:
        data_of = {part.name: data for part in wanted if (data := self._stored(part)) is not None}
        missing = list({part.name: part for part in wanted if part.name not in data_of}.values())
        if missing and self._offline:
            raise NotHere(
                f"{self.name}/{missing[0].file} is not downloaded yet. Connect and run again without --offline."
            )
        for _ in range(2):
            fetched = self._fetch_parts(missing) if missing else []
            for part, data in zip(missing, fetched, strict=True):
                if part.sound(data):
                    data_of[part.name] = data
                    with paths.whole(kept(part.name, part.file), "XPERT_HOME") as file:
                        file.write_bytes(data)
            missing = [part for part in missing if part.name not in data_of]  # damaged on the way: once more
        return [self._sound(part, data_of.get(part.name, b"")) for part in wanted]

    def _stored(self, part: Part) -> bytes | None:
        """A part that is on this machine and sound: kept here, or in a file that another program downloaded."""
        with suppress(OSError):
            data = kept(part.name, part.file).read_bytes()
            if len(data) == part.size and part.sound(data):
                return data
        theirs = self._hub.try_to_load_from_cache(self.name, part.file, revision=self.revision)
        if isinstance(theirs, str):
            data = bytes_of(Path(theirs), part.begin, part.size)
            if len(data) == part.size and part.sound(data):
                return data
        return None

    def _not_here(self, relative: str) -> NotHere:
        return NotHere(f"{self.name}/{relative} is not downloaded yet. Connect and run again without --offline.")

    def _fetch_parts(self, missing: Sequence[Part]) -> list[bytes]:
        with explained(self._hub, f"{self.name}/{missing[0].file}"):
            addresses = {one.file: self._hub.hf_hub_url(self.name, one.file, revision=self.revision) for one in missing}
            data, received = fetch_ranges(
                [(addresses[one.file], one.begin, one.size) for one in missing], self.name, self._progress
            )
        self.downloaded_bytes += received
        return data

    def _cut(self, relative: str, begin: int, size: int, sha256: str, name: str) -> Path:
        local = kept(sha256, name)
        if local.is_file() and paths.digest(local) == sha256:
            return local
        local.unlink(missing_ok=True)
        theirs = self._hub.try_to_load_from_cache(self.name, relative, revision=self.revision)
        if isinstance(theirs, str):
            data = bytes_of(Path(theirs), begin, size)
            if hashlib.sha256(data).hexdigest() == sha256:
                with paths.whole(local, "XPERT_HOME") as file:
                    file.write_bytes(data)
                return local
        if self._offline:
            raise self._not_here(relative)
        with explained(self._hub, f"{self.name}/{relative}"):
            self.downloaded_bytes += download.download(
                self._hub.hf_hub_url(self.name, relative, revision=self.revision),
                local,
                digest=sha256,
                size=size,
                what=f"{self.name}/{name}",
                begin=begin,
                progress=self._progress,
            )
        return local

    def _fetch(self, relative: str, sha256: str | None, size: int | None) -> Path:
        pointer = self._place / self.revision / relative
        digest = sha256 or (pointer.read_text("utf-8") if pointer.is_file() else None)
        if digest and (local := kept(digest, relative)).is_file():
            if sha256 is None or paths.digest(local) == sha256:
                return local
            local.unlink()
        theirs = self._hub.try_to_load_from_cache(self.name, relative, revision=self.revision)
        if isinstance(theirs, str) and (sha256 is None or paths.digest(Path(theirs)) == sha256):
            return Path(theirs)
        if self._offline or (self.notes and sha256 is None):
            raise self._not_here(relative)
        with explained(self._hub, f"{self.name}/{relative}"):
            if relative not in self._stated and not (sha256 and size):
                self._patiently(lambda: self._metadata(relative, self.revision))
            etag, length = self._stated.get(relative, ("", 0))
            if self._is_cache and sha256 is None and length > MOST:
                raise CacheMismatch(f"{self.name}/{relative} has {length >> 20} MB, too many. Use another cache.")
            local = kept(sha256 or etag, relative)
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


def _write(path: Path, text: str) -> None:
    with paths.whole(path, "XPERT_HOME") as part:
        part.write_text(text, "utf-8")


def _ago(path: Path) -> str:
    """How long ago a file was written, in words."""
    seconds = max(0.0, time.time() - path.stat().st_mtime)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // length)) > 0:
            return f"{counted(count, f'{unit}s')} ago"
    return "a moment ago"


def _is_type(file: str, kind: str) -> bool:
    """Whether a GGUF file's name ends in a quantization type, as in owner/name:Q4_K_M."""
    return bool(kind) and file.lower().endswith((f"-{kind.lower()}.gguf", f".{kind.lower()}.gguf"))


def _link(file: Path, name: Path) -> None:
    """Put a file under another name; a copy where links cannot be made."""
    if name.resolve() == file.resolve():
        return
    name.unlink(missing_ok=True)
    try:
        name.symlink_to(file.resolve())
    except OSError:
        with paths.whole(name, "XPERT_HOME") as part:
            shutil.copyfile(file, part)
