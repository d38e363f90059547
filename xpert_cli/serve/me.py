"""What the page says of the newest run: what it was trained on, from which adapter and why, and the writer's portrait.

    Me(names).about()              # {"run": {...}, "explanation": "Like ..., you write ...", "portrait": true}

Only counting is done: no model is asked. The messages stay on this machine, and only axis names and numbers are in the
answer. Not here: the picture (plot/portrait.py), choosing (selection/select.py).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from xpert_cli import corpus
from xpert_cli.errors import XpertError
from xpert_cli.plot import portrait
from xpert_cli.runs import MESSAGES, Run
from xpert_cli.selection.select import Ranked, Selection, select
from xpert_cli.serve.names import Names


class Me:
    """The newest run of a server's user, explained once and remembered."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._explained: tuple[Path, float] | None = None
        self._selection: Selection | None = None
        self._why_not = ""

    def about(self) -> dict[str, Any]:
        """The newest run, what its writing is near to and why; `run` is null where there is none."""
        run = self._newest()
        if run is None:
            return {"base": self._names.base_name, "run": None, "note": "No run yet. Make one: xpert finetune TEXT"}
        selection = self._select(run)
        return {
            "base": self._names.base_name,
            "run": {
                "name": run.name,
                "when": run.when,
                "messages": run.messages,
                "loss_base": run.loss_base,
                "loss_after": run.loss_after,
                "started_from": [{"adapter": name, "weight": weight} for name, weight in run.started_from],
            },
            "explanation": selection.explanation if selection else "",
            "nearest": [_ranked(one) for one in (selection.ranking[:5] if selection else ())],
            "portrait": selection is not None,
            "note": self._why_not,
        }

    def portrait(self, narrow: bool = False) -> str | None:
        """The writer among the adapters as SVG; None where it cannot be drawn."""
        run = self._newest()
        selection = self._select(run) if run else None
        if selection is None:
            return None
        return portrait.drawn(portrait.of_selection(selection), portrait.NARROW if narrow else portrait.WIDE)

    def _newest(self) -> Run | None:
        runs = self._names.runs()
        return runs[0] if runs else None

    def _select(self, run: Run) -> Selection | None:
        """How the run's messages compare with the cache, worked out once a run."""
        with self._lock:
            key = run.folder, run.written
            if self._explained != key:
                self._selection, self._why_not = self._explain(run)
                self._explained = key
            return self._selection

    def _explain(self, run: Run) -> tuple[Selection | None, str]:
        messages = run.folder / MESSAGES
        if self._names.cache is None:
            return None, "There is no cache for this base, so there is nothing to compare with."
        if not messages.is_file():
            return None, "The run has not kept its messages."
        try:
            written = corpus.read([str(messages)])
            return select(written, self._names.cache, self._names.base, measured_only=True), ""
        except (XpertError, OSError) as error:
            return None, str(error)


def _ranked(one: Ranked) -> dict[str, Any]:
    return {"adapter": one.adapter, "score": one.score, "reasons": list(one.why[:3])}
