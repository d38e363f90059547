"""docs/security.md promises nothing that no test shows."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "security.md").read_text("utf-8")


def test_every_test_that_is_named_is_there():
    there = {
        name
        for path in TESTS.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)
    }
    assert set(re.findall(r"`(test_\w+)`", TEXT)) - there == set()


def test_every_promise_names_one():
    rows = [row for row in TEXT.splitlines() if row.startswith("| ") and not row.startswith(("| promise", "| fault"))]
    assert len(rows) > 30
    assert [row for row in rows if "`test_" not in row] == []
