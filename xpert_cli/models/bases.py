"""The base model that a name stands for, opened once and passed on.

    base = open_base("smollm2-135m-instruct")          # None: the one that the settings name
    base = open_base("owner/name:file.gguf", offline=True)

Not here: where base models come from (hub/sources.py), the trial that a foreign one stands (llama/trial_load.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xpert_cli import aliases, settings
from xpert_cli.errors import BadModel
from xpert_cli.gguf import BaseModel, folder_in_place
from xpert_cli.hub.sources import PACKAGED_BASE, find_base
from xpert_cli.llama.trial_load import try_base


def open_base(
    name: str | None = None,
    *,
    offline: bool = False,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> BaseModel:
    """The model of a name, or the default one; one that did not come with xpert stands a trial first.

    Raises:
        BadInput: there is no such model here, and it cannot be fetched.
        BadModel: it is no sound model, or it did not stand the trial.
    """
    name = name or settings.default("base")
    name = aliases.target(name) or name
    if (folder := Path(name).expanduser()).is_dir():
        raise BadModel(folder_in_place(folder))
    base = BaseModel.open(find_base(name, offline=offline, progress=progress))
    if name.lower() != PACKAGED_BASE:
        try_base(base)
    return base
