"""Finished runs of `xpert finetune` in the data folder: the newest one, and the messages that it kept.

    folder = last_run()
    folder / ADAPTER, earlier_messages(folder)

Not here: making one (training/finetune.py).
"""

from __future__ import annotations

from pathlib import Path

from xpert_cli import corpus, paths
from xpert_cli.cache.opening import ADAPTER
from xpert_cli.corpus import Corpus
from xpert_cli.errors import BadInput

MESSAGES, MERGED, RECORD, CHECKPOINTS = "messages.jsonl", "merged.gguf", "run.json", "checkpoints"  # beside ADAPTER

__all__ = ["ADAPTER", "CHECKPOINTS", "MERGED", "MESSAGES", "RECORD", "earlier_messages", "last_run", "runs_dir"]


def runs_dir() -> Path:
    """Where runs are kept that were given no folder of their own."""
    return paths.data_dir() / "runs"


def last_run() -> Path:
    """The folder of the newest finished run; run.json is what a run writes last.

    Raises:
        BadInput: there is none.
    """
    finished = sorted(runs_dir().glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise BadInput("there is no earlier run to go on from. Leave --from out.")
    return finished[-1].parent


def earlier_messages(folder: Path) -> Corpus | None:
    """The messages that a run learnt from; None where it kept none."""
    kept = folder / MESSAGES
    return corpus.read([str(kept)]) if kept.exists() else None
