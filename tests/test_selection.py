"""Ranking and mixing, on shifts whose cosines can be checked in the head."""

import numpy as np
import pytest

from xpert_cli.maths.selection import confidence, direction_scores, mixture
from xpert_cli.maths.space import Axis, Readings, Space

ADAPTERS = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])


def plain(axes=3):
    names = tuple(Axis(str(i), "measured", "less", "more") for i in range(axes))
    zero, one = np.zeros(axes), np.ones(axes)
    return Space(names, np.zeros((0, 4), np.float32), zero, zero, one, np.eye(axes))


def writing(*rows):
    return Readings(np.array(rows, float))


def test_scores_are_cosines():
    scores = direction_scores(np.array([3.0, 4.0, 0.0]), ADAPTERS, np.eye(3))
    np.testing.assert_allclose(scores, [0.6, 0.8, 0.0])


def test_direction_survives_dilution():
    user = np.array([3.0, 4.0, 0.0])
    strong, weak = (direction_scores(user, part * ADAPTERS, np.eye(3)) for part in (0.9, 0.3))
    np.testing.assert_allclose(strong, weak)


def test_a_shift_of_no_length_scores_nothing():
    np.testing.assert_array_equal(direction_scores(np.zeros(3), ADAPTERS, np.eye(3)), [0, 0, 0])
    np.testing.assert_array_equal(direction_scores(np.ones(3), 0 * ADAPTERS, np.eye(3)), [0, 0, 0])


def test_confidence_is_certain_when_every_text_points_one_way():
    assert confidence(writing([0, 1, 0], [0, 2, 0], [0, 3, 0]), ADAPTERS, plain()) == 1.0


def test_confidence_is_divided_when_the_texts_are():
    value = confidence(writing([1, 0, 0], [0, 1.01, 0]), ADAPTERS, plain())
    assert 0.5 < value < 0.9  # second first in 3 of 4 draws: (2,2), (1,2), (2,1)


def test_a_writer_between_two_adapters_gets_both():
    half = writing([1.0, 1.0, 0.0], [1.0, 1.0, 0.0])
    assert mixture((half, half), ADAPTERS, plain()) == pytest.approx({0: 0.5, 1: 0.5})


def test_a_writer_of_one_style_gets_no_mixture():
    half = writing([2.0, 0.05, 0.0], [2.0, -0.05, 0.0])
    assert mixture((half, half), ADAPTERS, plain()) is None


def test_what_only_one_half_shows_is_no_reason_to_mix():
    assert mixture((writing([2, 1, 0]), writing([2, -1, 0])), ADAPTERS, plain()) is None


def test_weights_are_positive_and_sum_to_at_most_one_and_a_half():
    half = writing([4.0, 3.0, 0.0])
    weights = mixture((half, half), ADAPTERS, plain())
    # least squares gives 2 and 1.5, 2 too many: 1 less each, for adapters of one length
    assert weights == pytest.approx({0: 1.0, 1: 0.5})


def test_the_order_of_adapters_does_not_matter():
    half = writing([1.0, 2.0, 0.0])
    forward = mixture((half, half), ADAPTERS, plain())
    backward = mixture((half, half), ADAPTERS[::-1], plain())
    assert forward == pytest.approx({2 - index: weight for index, weight in backward.items()})
