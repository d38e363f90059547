"""What sets a writer apart from the writers of a cache, in words and counts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from xpert_cli.selection.apart import apart
from xpert_cli.selection.project import Projection
from xpert_cli.style.space import Axis, Readings, Space

AXES = tuple(Axis(name, "measured", f"with less {name}", f"with more {name}") for name in ("haha", "commas", "emoji"))
SPACE = Space(AXES, np.zeros((0, 0), np.float32), np.array([0.0, 1.0, 0.0]), np.zeros(3), np.ones(3), np.eye(3))


def projected(*rows: tuple[float, float, float]) -> Projection:
    values = np.array(rows)
    return Projection(tuple(map(str, range(len(rows)))), SPACE, np.ones(3, np.bool_), Readings(values), ())


def cache(*places: tuple[float, float, float]) -> SimpleNamespace:
    return SimpleNamespace(space=SPACE, training_coordinates=np.array(places))


WRITER = projected(*[(4.0, 3.0, 0.0)] * 12, *[(0.0, 3.0, 0.0)] * 4)  # shifts: haha +3, commas +2, emoji 0


def test_what_is_shared_and_what_is_own_are_told_apart_with_counts() -> None:
    among = cache(*[(0.0, 2.0, 0.0)] * 3, (1.0, 2.0, 0.0))
    assert apart(WRITER, among) == (
        "Like the adapters of this cache on average you write with more commas. "
        "Unlike them you write with more haha (12 of 16 texts)."
    )


def test_what_somebody_does_even_more_than_the_others_is_said_once() -> None:
    among = cache(*[(1.0, 2.0, 0.0)] * 4)  # haha: +1 on average, +3 of the writer
    assert apart(WRITER, among) == (
        "Like the adapters of this cache on average you write with more commas. "
        "Unlike them you write with more haha (12 of 16 texts)."
    )


def test_texts_that_do_not_show_an_axis_are_not_counted() -> None:
    nan = float("nan")
    some = projected(*[(4.0, 3.0, 0.0)] * 12, *[(nan, 3.0, 0.0)] * 4)
    assert apart(some, cache(*[(0.0, 2.0, 0.0)] * 4)).endswith("with more haha (12 of 12 texts).")


def test_few_adapters_or_no_difference_say_nothing() -> None:
    assert apart(WRITER, cache(*[(0.0, 2.0, 0.0)] * 3)) == ""
    assert apart(WRITER, cache(*[(3.0, 2.0, 0.0)] * 4)) == ""
    assert apart(WRITER, cache(*[(float("nan"),) * 3] * 4)) == ""
