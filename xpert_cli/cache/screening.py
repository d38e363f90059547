"""What an adapter must pass: to llama.cpp, its form and a trial; beside its neighbours, to be new and like them.

    adapter = admitted(cache.open_adapter("terse"), base)
    notes = oddities(cache, adapter)               # ("terse is unlike ...",)
    require_new({"terse": adapter}, cache)         # before it is put into a cache

Adapters that come with xpert are not tried. Not here: what the checks are (gguf/files.py, llama/trial_load.py,
cache/outliers.py).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

from xpert_cli import gguf, paths
from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.indexed import LISTED
from xpert_cli.cache.outliers import SUSPICIOUS, WORDS, outlier_score, traits
from xpert_cli.errors import BadInput
from xpert_cli.gguf import AdapterFile, BaseModel
from xpert_cli.hub.files import CATALOGUE
from xpert_cli.llama.trial_load import try_adapter


def admitted(adapter: AdapterFile, base: BaseModel) -> AdapterFile:
    """The adapter, if it fits the base and stands a trial load in a process of its own.

    Raises:
        BadModel: it is no sound adapter, or llama.cpp did not survive it.
        CacheMismatch: it is for another base.
    """
    if paths.packaged("adapters") in adapter.path.resolve().parents:
        gguf.check_adapter(adapter, base)
    else:
        try_adapter(base, adapter)
    return adapter


def oddities(cache: OpenCache, adapter: AdapterFile) -> tuple[str, ...]:
    """A warning where an adapter's weights are unlike those of the others, as the catalogue tells them."""
    groups = [one.entry for one in cache.communities]
    alike = groups if any(entry.id == adapter.name for entry in groups) else cache.entries
    others = [
        entry.traits
        for entry in alike
        if entry.id != adapter.name and entry.traits and WORDS.keys() <= entry.traits.keys()
    ]
    score, what = outlier_score(traits(adapter.adapter), others)
    if score <= SUSPICIOUS:
        return ()
    return (
        f"{adapter.name} is unlike the other adapters of {cache.source.name}: {what} is {score:.0f} deviations off. "
        "It may be trained otherwise, or not be what it says",
    )


def require_own(out: Path, ids: Container[str]) -> None:
    """Make sure that a folder holds no cache but an earlier one of these adapters, which may be written over.

    Raises:
        BadInput: it holds communities, or an adapter of another name.
    """
    if not (out / CATALOGUE).exists():
        return
    others = sorted(path.stem for path in (out / "adapters").glob("*.gguf") if path.stem not in ids)
    if others or (out / "communities").exists():
        what = f"with {others[0]}" if others else "with communities"
        raise BadInput(
            f"{out} holds another cache, {what}. Choose another folder with -o, or add to it with: xpert cache add"
        )


def require_new(files: Mapping[str, AdapterFile], cache: OpenCache | None = None) -> None:
    """Make sure that adapters are of new names and of other bytes than each other and those of a cache.

    Names that differ only in capital letters are one: some disks would keep one of two such files. Of more than LISTED
    adapters, which are not read for this, names alone are compared, as they are.

    Raises:
        BadInput: naming the first that is not new.
    """
    alike: dict[str, str] = {}
    for name in files:
        if (other := alike.setdefault(paths.folded(name), name)) != name:
            raise BadInput(
                f"{other} and {name} differ only in capital letters: some disks keep one of them. Rename one."
            )
    if cache:
        listed = cache.entries if cache.size <= LISTED else ()
        known = (*listed, *(group.entry for group in cache.communities))
        ids = {one.sha256: one.id for one in known}
        for entry in known:
            if (name := alike.get(paths.folded(entry.id), entry.id)) != entry.id:
                raise BadInput(
                    f"{cache.source.name} has {entry.id}, which differs from {name} only in capital letters: "
                    "some disks keep one of them. Rename yours, or its folder."
                )
        for name, file in files.items():
            if cache.has(name) and cache.entry(name).sha256 != file.digest:
                raise BadInput(f"{cache.source.name} has {name} already, another file. Rename yours, or its folder.")
            if same := name if cache.has(name) else ids.get(file.digest):
                called = "" if same == name else f", as {same}"
                raise BadInput(f"{cache.source.name} has {name} already{called}: the same file. Nothing is to add.")
    names: dict[str, str] = {}
    for name, file in files.items():
        if (same := names.setdefault(file.digest, name)) != name:
            raise BadInput(f"{same} and {name} are the same file. Name one of them.")
