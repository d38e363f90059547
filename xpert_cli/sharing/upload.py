"""Putting files into a Hub repo: made if need be, only what differs is sent, in commits of a size that the Hub takes.

    remote = look("anna/styles")                                  # None: no such repo yet
    receipt = upload("anna/styles", {"README.md": b"..."}, last=("README.md",), message="...", remote=remote)

The Hub's own login and client are used. Not here: what is put there, and whether it may be (sharing/publish.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert_cli import paths
from xpert_cli.errors import BadInput
from xpert_cli.hub.client import explained, import_hub
from xpert_cli.hub.download import git_blob

MOST = 100  # files of one commit: the Hub's documentation advises 50 to 100
Content = Path | bytes


@dataclass(frozen=True)
class Remote:
    """A Hub repo as it is: its commit, and the digest of every file (sha256 of large ones, else git's sha1)."""

    commit: str
    private: bool
    files: Mapping[str, str]


@dataclass(frozen=True)
class Receipt:
    """What was put into a repo; `pull_request` is the page of the one that was opened."""

    repo: str
    commit: str
    files: tuple[str, ...]
    bytes: int
    pull_request: str = ""


def look(repo: str) -> Remote | None:
    """What a repo holds; None if there is none that this login may see.

    Raises:
        BadInput: the Hub cannot be reached or refuses.
    """
    hub = import_hub()
    with explained(hub, repo):
        try:
            info = hub.HfApi().model_info(repo)
        except hub.errors.RepositoryNotFoundError:
            return None
        tree = hub.HfApi().list_repo_tree(repo, recursive=True, revision=info.sha)
        files = {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in tree if hasattr(one, "blob_id")}
    return Remote(str(info.sha), bool(info.private), files)


def changed(contents: Mapping[str, Content], remote: Remote | None) -> list[str]:
    """Names of the files whose contents the repo has not."""
    files = remote.files if remote else {}
    return [name for name, content in contents.items() if files.get(name) not in _digests(content)]


def upload(
    repo: str,
    contents: Mapping[str, Content],
    *,
    last: Collection[str],
    message: str,
    remote: Remote | None,
    private: bool = True,
    propose: bool = False,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Receipt:
    """Put the files that differ into a repo, the ones in `last` together at the end.

    Args:
        propose: open a pull request instead, with everything in one commit.
        remote: the repo as it was looked at; a commit that somebody made since is not overwritten.

    Raises:
        BadInput: no permission, another commit in between, or the Hub cannot be reached.
    """
    hub = import_hub()
    api, names = hub.HfApi(), changed(contents, remote)
    size = sum(size_of(contents[name]) for name in names)
    first = [name for name in names if name not in last]
    steps = [names] if propose else [first[i : i + MOST] for i in range(0, len(first), MOST)]
    steps += [] if propose else [[name for name in names if name in last]]
    commit, request = remote.commit if remote else None, ""
    with explained(hub, repo, writing=True), _not_overtaken(hub, repo):
        if remote is None:
            api.create_repo(repo, private=private)
        for done, step in enumerate(step for step in steps if step):
            progress(f"uploading to {repo}", done / len(steps))
            operations = [hub.CommitOperationAdd(name, contents[name]) for name in step]
            commit_info = api.create_commit(
                repo, operations, commit_message=message, parent_commit=commit, create_pr=propose or None
            )
            commit, request = str(commit_info.oid), str(commit_info.pr_url or "")
    return Receipt(repo, commit or "", tuple(names), size, request)


class _not_overtaken:
    """Tells what the Hub means by 412: somebody committed since."""

    def __init__(self, hub: Any, repo: str) -> None:
        self._hub, self._repo = hub, repo

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._hub.errors.HfHubHTTPError) and error.response.status_code == 412:
            raise BadInput(f"somebody else changed {self._repo} meanwhile. Run again, on top of theirs.") from error


def size_of(content: Content) -> int:
    """Bytes of a file's contents."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _digests(content: Content) -> tuple[str, str]:
    """sha256, and sha1 as git takes it of a blob."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    return (hashlib.sha256(data).hexdigest() if isinstance(content, bytes) else paths.digest(content)), git_blob(data)
