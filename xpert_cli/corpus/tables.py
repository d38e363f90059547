"""Tables with named columns: CSV and TSV, whatever parts their fields.

Table.of("f.csv", "prompt,response\\nHow?,\\"Late, lovely.\\"", True).rows      # [("f.csv:2", {"prompt": "How?", ...})]
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass

from xpert_cli.errors import BadInput

_PARTED = (",", ";", "\t", "|")
_WIDEST = 1 << 27  # characters of a field


@dataclass(frozen=True)
class Table:
    """Column names in small letters, and each row with its source."""

    columns: tuple[str, ...]
    rows: list[tuple[str, dict[str, str]]]

    @classmethod
    def of(cls, name: str, text: str, surely: bool) -> Table | None:
        """A table, if the first line names columns and the rows have as many; None for other text.

        Args:
            surely: the file's name says that it is one.

        Raises:
            BadInput: it says so, and rows and columns do not fit.
        """
        first = next((line for line in text.split("\n", 50)[:50] if line.strip()), "")
        if first.lower().startswith("sep=") and len(first) <= 6:
            text = text[text.index(first) + len(first) + 1 :]
            first = text.split("\n", 1)[0]
        counts = Counter({mark: first.count(mark) for mark in _PARTED})
        mark, count = counts.most_common(1)[0]
        if not count and not surely:
            return None
        mark = mark if count else ","
        csv.field_size_limit(_WIDEST)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)
        rows: list[tuple[str, dict[str, str]]] = []
        columns: tuple[str, ...] = ()
        odd = 0
        try:
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if not columns:
                    columns = tuple(cell.strip().strip("\ufeff").lower() for cell in row)
                    if not surely and not _named(columns):
                        return None
                    continue
                odd += len(row) > len(columns) or (len(row) < len(columns) and len(row) < 2)
                rows.append((f"{name}:{reader.line_num}", dict(zip(columns, row, strict=False))))
                if not surely and odd * 10 > len(rows) + 5:
                    return None
        except csv.Error as error:
            if not surely:
                return None
            raise BadInput(
                f"{name}:{reader.line_num}: no table ({error}). Save it as CSV with named columns."
            ) from error
        if odd * 20 > len(rows):
            if not surely:
                return None
            raise BadInput(
                f"{name}: rows with more or fewer fields than the columns. Put fields with commas into quotes."
            )
        return cls(columns, rows) if rows or surely else None


def _named(columns: tuple[str, ...]) -> bool:
    """Whether a first line looks like names of columns: short, different, no sentences."""
    return len(set(columns)) == len(columns) > 1 and all(
        0 < len(cell) <= 40 and len(cell.split()) <= 4 for cell in columns
    )
