"""Where measurements are kept: a JSON file each, with what it was made of, so that a stopped benchmark goes on.

    store = Store(Path("runs/benchmarks/warmstart"))
    losses = store.record("4-90", {"rate": 1e-3}, measure)      # measured once; again where what it was made of changed

Not here: what is measured, and the tables of it (report.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpert_cli.paths import whole

Record = dict[str, Any]  # what JSON can hold: the border to a file


class Missing(Exception):
    """A measurement that is not stored, and is not to be made."""


@dataclass(frozen=True)
class Store:
    """Measurements in a folder.

    Attributes:
        stored_only: measure nothing; what is not there is Missing.
    """

    folder: Path
    stored_only: bool = False

    def record(self, name: str, made_of: Mapping[str, object], measure: Callable[[], Record]) -> Record:
        """What `measure` returns, from its file if it is there and was made of the same things.

        Raises:
            Missing: nothing is to be measured, and it was not.
        """
        path = self.file(f"{name}.json")
        try:
            earlier = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            earlier = None
        if isinstance(earlier, dict) and earlier.get("made_of") == json.loads(json.dumps(made_of)):
            return dict(earlier["measured"])
        if self.stored_only:
            raise Missing(name)
        measured = measure()
        with whole(path) as part:
            part.write_text(json.dumps({"made_of": made_of, "measured": measured}, indent=1) + "\n", "utf-8")
        return measured

    def file(self, name: str) -> Path:
        """A path in the folder, which is made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def short_key(made_of: object) -> str:
    """A name for what was made of something that JSON can hold."""
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
