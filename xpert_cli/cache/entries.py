"""One adapter of a cache, as a catalogue or an index tells it, and the checks of what is told.

    entry = entry_of(source, told)                  # Entry("terse", "adapters/terse.gguf", ...)

Not here: all of them together (cache/catalogue.py, cache/indexed.py), what an adapter has to pass (cache/screening.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from xpert_cli.errors import CacheMismatch
from xpert_cli.hub.files import Source

MOST_NAME, MOST_WORDS = 200, 10_000  # characters of an id or an axis, and of an explanation
ID_CHARACTERS = 96  # of an adapter that is made here
_KEYS = {"id", "file", "sha256", "bytes", "rank", "alpha", "explanation", "provenance", "explained_by"}
_MORE = {"checked", "traits", "offset"}


def is_id(name: str, room: int = 0) -> bool:
    """Whether a name can be the id, and the file name, of an adapter that is made here, with `room` more characters."""
    return len(name) <= ID_CHARACTERS - room and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


@dataclass(frozen=True)
class Entry:
    """One adapter of a cache, as its catalogue tells it.

    Attributes:
        checked: what looking through its training text, and asking it for that text, showed before it was published.
        traits: numbers of its weights, see cache/outliers.py.
        offset: where it begins in `file`, which holds several adapters; None if `file` is this one alone.
    """

    id: str
    file: str
    sha256: str
    bytes: int
    rank: int
    alpha: float
    explanation: str
    provenance: Mapping[str, Any]
    explained_by: tuple[str, ...]
    checked: Mapping[str, Any] | None = None
    traits: Mapping[str, float] | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        texts, numbers = (self.id, self.file, self.sha256, self.explanation), (self.bytes, self.rank, self.alpha)
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(n, (int, float)) for n in numbers):
            raise TypeError(f"the entry {self.id!r:.40} has a value of the wrong kind")
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in (self.traits or {}).values()):
            raise TypeError(f"the entry {self.id!r:.40} has traits that are no numbers")
        if self.offset is not None and not (type(self.offset) is int and 0 <= self.offset < 1 << 40):
            raise ValueError(f"the entry {self.id!r:.40} begins at no byte of a file")
        if len(self.id) > MOST_NAME or len(self.file) > 2 * MOST_NAME or len(self.explanation) > MOST_WORDS:
            raise ValueError(f"the entry {self.id!r:.40} has a name or an explanation of many thousand characters")
        if not all(isinstance(part, str) for part in self.explained_by):
            raise TypeError(f"the entry {self.id!r:.40} tells wrongly what it is explained by")
        self._require_records()
        if not self.id.isprintable() or not 0 < self.bytes < 1 << 40 or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"the entry {self.id!r:.40} tells id, size or digest wrongly")

    def _require_records(self) -> None:
        """Refuse a provenance or a check that the card and the commands could not read.

        Raises:
            TypeError: naming the entry.
        """
        provenance, checks = self.provenance, {} if self.checked is None else self.checked
        numbers = (
            [provenance.get(key, 0) for key in ("steps", "messages", "loss_before", "loss_after")] if provenance else []
        )
        numbers += [checks.get(key) for key in ("findings", "verbatim", "verbatim_base") if checks]
        numbers += [one for key in ("exposure", "exposure_base") if (one := checks.get(key)) is not None]
        if not isinstance(provenance.get("data", {}), dict) or not isinstance(provenance.get("recipe", {}), dict):
            raise TypeError(f"the entry {self.id!r:.40} tells its training wrongly")
        if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in numbers):
            raise TypeError(f"the entry {self.id!r:.40} tells numbers of its training that are none")


def entry_of(source: Source, fields: Mapping[str, Any]) -> Entry:
    """The entry that an object of a catalogue or an index tells.

    Raises:
        CacheMismatch: it has unknown or missing keys.
        TypeError, ValueError: a value is of the wrong kind or size.
    """
    require_keys(source, fields, _KEYS, f"the entry {fields.get('id')!r}", _MORE)
    return Entry(**{**fields, "explained_by": tuple(fields["explained_by"])})


def fields_of(entry: Entry) -> dict[str, Any]:
    """What a catalogue or an index tells of an entry."""
    return {key: value for key, value in asdict(entry).items() if value is not None}


def require_keys(
    source: Source, fields: Mapping[str, Any], keys: Set[str], where: str, more: Set[str] = frozenset()
) -> None:
    """Refuse an object that has other keys than these.

    Args:
        more: keys that may be there.

    Raises:
        CacheMismatch: naming them.
    """
    wrong = sorted((set(fields) - more) ^ keys) if isinstance(fields, dict) else ["not an object"]
    if wrong:
        raise CacheMismatch(
            f"{source.name}: {where} has unknown or missing keys ({', '.join(map(str, wrong[:6]))}). "
            "Upgrade xpert, or get the cache anew."
        )
