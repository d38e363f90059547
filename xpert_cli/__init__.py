"""xpert: your own LLM on a phone or laptop, started from the nearest adapter instead of from scratch.

`read`, `summarize`, `select`, `finetune` and `Model` (api.py) are imported when they are first used, so that the
command line starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpert_cli.api import Model, finetune, read, select, summarize

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "finetune", "read", "select", "summarize"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("xpert_cli.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
