"""A Hub that nobody here wrote: olah, which serves a local git repository the way the Hugging Face Hub does.

    with olah_hub(tmp_path) as hub:                      # the embedded cache, as anna/styles
        xpert("select", "notes.txt", "--cache", hub.name, HF_ENDPOINT=hub.url)
        old = hub.commit
        hub.publish({"catalogue.json": changed})         # a new commit of main
        assert "catalogue.json" in hub.fetched()

As on the real Hub, `.gguf` files are Git LFS objects (their ETag is a sha256, that of other files a git blob's sha1).
Unlike it, olah sends neither length nor ETag with a GET, ignores Range, and answers 500 to a GET of a file it lacks.
Not here: faults on request (hub_server.py), uploads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from xpert_cli import paths

NAME = "anna/styles"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
PERSON = {f"GIT_{role}_{what}": "anna" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
NO_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
PATIENCE = 60.0  # seconds until the server must answer


@dataclass(frozen=True)
class Hub:
    """A running server of one repository.

    Attributes:
        url: what HF_ENDPOINT is set to.
        folder: the git repository of `name`.
        process: the server.
        log: what it printed, a line for each request among it.
    """

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    name: str = NAME

    @property
    def commit(self) -> str:
        """The commit that main is at."""
        return _git(self.folder, "rev-parse", "HEAD")

    def publish(self, files: Mapping[str, bytes]) -> str:
        """Commit these files to main; returns the commit."""
        return publish(self.folder, files)

    def fetched(self) -> set[str]:
        """The names of the files whose contents were asked for so far."""
        asked = re.findall(rf'"GET /{self.name}/resolve/[^/]+/(\S+) HTTP', self.log.read_text("utf-8"))
        return set(asked)

    def stop(self) -> None:
        """End the server, if it has not ended; it does not come back."""
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def olah_hub(folder: Path, cache: Path | None = None) -> Iterator[Hub]:
    """A Hub with one cache, the embedded one by default; everything it writes is below `folder`."""
    if shutil.which("git") is None or importlib.util.find_spec("olah") is None:
        pytest.skip("git or olah is not installed; the latter comes with: pip install -e '.[dev]'")
    repository = folder / "mirrors" / "models" / NAME
    repository.mkdir(parents=True)
    _git(repository, "init", "--quiet", "--initial-branch=main")
    cache = cache or paths.packaged("adapters")
    publish(repository, {path.relative_to(cache).as_posix(): path.read_bytes() for path in files_of(cache)})
    log = folder / "olah.out"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "olah.server", "--config", _settings(folder), "--log-path", str(folder / "logs")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **NO_SETTINGS, "HOME": str(folder), "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield Hub(_address(process, log), repository, process, log)
    finally:
        process.terminate()
        process.wait(10)


def publish(repository: Path, files: Mapping[str, bytes]) -> str:
    """Commit files to a repository, `.gguf` as Git LFS would; returns the commit."""
    for name, data in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_stored(repository, data) if name.endswith(".gguf") else data)
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--message", "Upload")
    return _git(repository, "rev-parse", "HEAD")


def files_of(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _stored(repository: Path, data: bytes) -> bytes:
    """Keep a large file where Git LFS does; returns the pointer that is committed."""
    sha256 = hashlib.sha256(data).hexdigest()
    kept = repository / ".git" / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return POINTER.format(sha256=sha256, size=len(data)).encode()


def _settings(folder: Path) -> str:
    basic = {"host": "127.0.0.1", "port": 0, "repos-path": f"{folder}/repos", "mirrors-path": [f"{folder}/mirrors"]}
    lines = ["[basic]", *(f"{name} = {json.dumps(value)}" for name, value in basic.items())]
    path = folder / "olah.toml"
    path.write_text("\n".join([*lines, "[accessibility]", "offline = true", ""]), "utf-8")
    return str(path)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The server's URL, from the line that it prints once it listens."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        if found := re.search(r"running on (http://127\.0\.0\.1:\d+) ", log.read_text("utf-8")):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"olah did not start:\n{log.read_text('utf-8')}")


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **NO_SETTINGS, **PERSON},
    )
    return done.stdout.strip()
