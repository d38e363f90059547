"""What stands between a stranger's adapter and llama.cpp: its form, a trial, and how it compares with its neighbours.

    adapter = admitted(cache.open_adapter("terse"), base)
    notes = oddities(cache, adapter)               # ("terse is unlike ...",)

Adapters that come with xpert are not tried. Not here: what the checks are (gguf/files.py, llama/trial_load.py,
cache/outliers.py).
"""

from __future__ import annotations

from xpert_cli import gguf, paths
from xpert_cli.cache.catalogue import OpenCache
from xpert_cli.cache.outliers import SUSPICIOUS, WORDS, outlier_score, traits
from xpert_cli.gguf import AdapterFile, BaseModel
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
