"""Tables of measurements, and the marked places of hand-written reports that they are put into.

    table(("loop", "tokens/s"), [("xpert", 704)])             # Markdown
    filled(page, {"speed": "| loop | ..."})                   # between <!-- table speed --> and <!-- end -->

What stands outside the marks is written by hand, and never changed here. A report has no sentence that a program
chose: what a table shows is for the reader, or for the person who writes the report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from xpert_cli.errors import BadInput
from xpert_cli.paths import whole

REPORTS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
PLACE = re.compile(r"(<!-- table (\S+) -->\n)((?:(?!<!--).*\n)*)(<!-- end -->)")


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; cells that are None are empty.

    Raises:
        ValueError: a row of another length than the head's.
    """
    if wrong := [row for row in rows if len(row) != len(head)]:
        raise ValueError(f"{len(head)} columns, but a row of {len(wrong[0])}: {wrong[0]}")
    cells = [head, ["---"] * len(head), *(["" if cell is None else cell for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in cells)


def places(page: str) -> dict[str, str]:
    """What stands in the marked places of a page now, by name."""
    return {match[2]: match[3].removesuffix("\n") for match in PLACE.finditer(page)}


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with tables in their marked places; other places stay as they are.

    Raises:
        BadInput: the page has no place of that name.
    """
    if lost := sorted(set(tables) - set(places(page))):
        raise BadInput(f"the report has no place for {lost[0]}. Write <!-- table {lost[0]} --> and <!-- end --> there.")
    return PLACE.sub(
        lambda match: match[1] + (f"{tables[match[2]]}\n" if match[2] in tables else match[3]) + match[4], page
    )


def fill(name: str, tables: Mapping[str, str], folder: Path = REPORTS) -> Path:
    """Put tables into the report of a benchmark.

    Raises:
        BadInput: there is no report of that name, or it has no place for a table.
    """
    path = folder / f"{name}.md"
    if not path.exists():
        raise BadInput(f"there is no report {path.name}. Write it, with a place for each table, or leave out --report.")
    text = filled(path.read_text("utf-8"), tables)
    with whole(path) as part:
        part.write_text(text, "utf-8")
    return path
