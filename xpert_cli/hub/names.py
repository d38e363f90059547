"""How people name what is on the Hugging Face Hub, and what they mean by it.

    on_hub("owner/name@v1:model.Q4_K_M.gguf")      # Named("owner/name", "v1", "model.Q4_K_M.gguf")
    on_hub("https://huggingface.co/owner/name/blob/main/model.gguf")

Not here: fetching it (hub/sources.py).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_REPO = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co"}


@dataclass(frozen=True)
class Named:
    """A repo, the revision of it that was named ("" for none), and the file ("" for none)."""

    repo: str
    revision: str = ""
    file: str = ""


def on_hub(name: str) -> Named | None:
    """What a name means on the Hub: `owner/name[@revision][:file]`, or the address of a page there; None for others."""
    if (page := _page(name.strip())) is not None:
        return page
    repo, _, file = name.partition(":")
    repo, _, revision = repo.partition("@")
    return Named(repo, revision, file) if _REPO.fullmatch(repo) else None


def _page(address: str) -> Named | None:
    """What a page of the Hub shows: a repo, a folder or a file of it at a revision."""
    if re.match(r"(?:www\.)?(?:huggingface\.co|hf\.co)/", address):
        address = f"https://{address}"
    parts = urlsplit(address) if address.startswith(("https://", "http://", "hf://")) else None
    if parts is None:
        return None
    path = parts.path
    if parts.scheme == "hf":  # as the Hub's file system writes it
        path = f"/{parts.netloc}{path}"
    elif parts.netloc not in _HOSTS | {urlsplit(os.environ.get("HF_ENDPOINT", "")).netloc}:
        return None
    owner, _, rest = path.strip("/").removeprefix("models/").partition("/")
    name, _, rest = rest.partition("/")
    name, _, at = name.partition("@")
    if not _REPO.fullmatch(f"{owner}/{name}"):
        return None
    kind, _, rest = rest.partition("/")
    if kind not in ("tree", "blob", "resolve", "raw", "commit"):
        return Named(f"{owner}/{name}", unquote(at))
    pull = re.match(r"(refs/(?:pr|convert)/[^/]+)(?:/|$)(.*)", unquote(rest))
    first, _, file = rest.partition("/")
    revision, file = pull.groups() if pull else (unquote(first), unquote(file))
    return Named(f"{owner}/{name}", revision, file if kind in ("blob", "resolve", "raw") else "")
