"""The arithmetic of the benchmark that looks for people among people."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import persons, statements
from xpert_cli.selection.score import scores
from xpert_cli.style.space import Axis, Space


def test_statements_are_shared_where_axis_and_end_are_the_same() -> None:
    one, two, three = {0: 1.0, 4: -2.0}, {0: 0.5, 4: 2.0}, {7: 1.0, 4: -1.0}
    assert statements.shared([one, two, three]) == pytest.approx((1 + 1 + 0) / 3)
    user = np.array([1.0, 0, 0, 0, -2.0, 0, 0, 0.1])
    assert statements.nearest([two, three, one, {}], user) == 2


def test_families_of_axes_are_apart_and_leave_none_out() -> None:
    found = np.array(list(persons.families().values()))
    assert (found.sum(axis=0) == 1).all()
    assert found[2].sum() == 96


def test_every_named_axis_is_of_one_kind_of_habit() -> None:
    prose, chats, _ = persons.families().values()
    counted = np.array(list(persons.habits().values())).sum(axis=0)
    assert (counted == (prose | chats)).all()


def test_people_are_ranked_as_select_ranks() -> None:
    draw = np.random.default_rng(0)
    half = draw.normal(size=(6, 6))
    axes = tuple(Axis(str(i), "measured", "low", "high") for i in range(6))
    space = Space(axes, np.zeros((0, 0)), np.zeros(6), np.zeros(6), np.ones(6), half @ half.T + np.eye(6))
    people = persons.Cached(space, draw.normal(size=(9, 6)), ())
    user = draw.normal(size=6)
    found = persons.both(user @ people.root, people.whitened)
    assert found == pytest.approx(scores(user, people.places, space))


def test_right_people_are_counted_over_people() -> None:
    pools = tuple(np.full((20, 3), row) for row in np.random.default_rng(1).normal(size=(60, 3)))
    axes = tuple(Axis(str(i), "measured", "low", "high") for i in range(3))
    space = Space(axes, np.zeros((0, 0)), np.zeros(3), np.zeros(3), np.ones(3), np.eye(3))
    people = persons.Cached(space, np.array([pool[0] for pool in pools]), pools)
    assert persons.shares(people, persons.from_base) == ("100.0 (100-100)",) * 6
    assert persons.shares(people, lambda user, places: -places @ user)[0] != "100.0 (100-100)"
