"""Counts in sentences."""

from __future__ import annotations

import pytest

from xpert_cli.counts import counted


@pytest.mark.parametrize(
    ("number", "many", "said"),
    [
        (2, "quoted lines", "2 quoted lines"),
        (1, "quoted lines", "1 quoted line"),
        (1, "lines of code", "1 line of code"),
        (1, "replies shown twice", "1 reply shown twice"),
        (1, "without a date", "1 without a date"),
        (1, "outside the dates", "1 outside the dates"),
        (1, "matching --exclude", "1 matching --exclude"),
        (1, "different messages are", "1 different message is"),
        (3, "different messages are", "3 different messages are"),
        (0, "tensors do", "0 tensors do"),
        (1, "tensors do", "1 tensor does"),
        (1, "adapters have no words yet and are", "1 adapter has no words yet and is"),
        (1, "axes that need English words are", "1 axis that needs English words is"),
        (1, "axes count", "1 axis counts"),
        (1, "people", "1 person"),
        (1, "are", "1 is"),
        (1.0, "minutes are", "1 minute is"),
        (0.5, "minutes are", "0.5 minutes are"),
        (1200, "texts", "1,200 texts"),
    ],
)
def test_a_count_and_its_words_agree(number, many, said):
    assert counted(number, many) == said
