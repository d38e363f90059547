"""Tables: CSV and TSV with named columns, each row a record as in JSON (corpus/formats/records.py)."""

from __future__ import annotations

from xpert_cli.corpus.formats.fields import ANSWERED, SENDERS, TEXTS, UNDERSTOOD
from xpert_cli.corpus.formats.records import of_records
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.turns import Parsed, person
from xpert_cli.errors import BadInput

KIND = "table"


def read(file: File) -> Parsed | None:
    """A table's rows.

    Raises:
        BadInput: a table none of whose columns is known.
    """
    if file.table is None:
        return None
    columns = set(file.table.columns)
    text_columns = columns & {*ANSWERED, *TEXTS, "text"}
    surely = file.suffix in (".csv", ".tsv")
    if not text_columns:
        if not surely:
            return None
        names = ", ".join(person(column)[:30] for column in file.table.columns[:8])
        raise BadInput(f"{file.name}: a table with no known columns. Seen: {names}. Understood: {UNDERSTOOD}.")
    if not surely and not (columns & set(SENDERS) or columns & set(ANSWERED)) and len(columns) < 2:
        return None
    return of_records(file.name, list(file.table.rows), KIND)
