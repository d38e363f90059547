"""Coordinates by likelihood: gains that are known functions of the axes, worked out by hand."""

import numpy as np
import pytest

from xpert_cli.selection.score import direction_scores
from xpert_cli.style.likelihood import blended, centred, fitted
from xpert_cli.style.space import Axis, Space

ONE = np.eye(1)
# Two prompts, answered by a plain author (0) and a playful one (2); prompt b is one unit more playful throughout.
SHIFTS = np.array([[0.0], [2.0], [1.0], [3.0]])
PROMPTS = ["a", "a", "b", "b"]
# The first adapter gains 0.5 nats for a unit, the second loses 1; prompt b is easier by 16 for one, by 7 for the other.
GAINS = np.array([[0.0, 0.0], [1.0, -2.0], [16.0, 7.0], [17.0, 5.0]])


def test_centred_within_groups() -> None:
    values = np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 0.0]])
    assert centred(values, ["a", "a", "b"]).tolist() == [[-1.0, -10.0], [1.0, 10.0], [0.0, 0.0]]


def test_coordinates_are_what_made_the_gains() -> None:
    # within a prompt shifts are -1 and +1, gains -0.5 and +0.5 of the first adapter, +1 and -1 of the second
    assert fitted(SHIFTS, GAINS, PROMPTS, ONE, ridge=0.0) == pytest.approx(np.array([[0.5], [-1.0]]))


def test_a_penalty_of_the_texts_own_scatter_halves_them() -> None:
    assert fitted(SHIFTS, GAINS, PROMPTS, ONE, ridge=1.0) == pytest.approx(np.array([[0.25], [-0.5]]))


def test_coordinates_do_not_depend_on_the_order_of_texts() -> None:
    order = [3, 0, 2, 1]
    again = fitted(SHIFTS[order], GAINS[order], [PROMPTS[i] for i in order], ONE, ridge=0.3)
    assert again == pytest.approx(fitted(SHIFTS, GAINS, PROMPTS, ONE, ridge=0.3))


def test_coordinates_point_to_the_favoured_texts_in_any_metric() -> None:
    shifts = np.array([[0.0, 0.0], [1.0, 2.0]])
    for precision in (np.eye(2), np.diag([4.0, 1.0]), np.array([[2.0, -0.5], [-0.5, 1.0]])):
        found = fitted(shifts, np.array([[0.0], [3.0]]), ["a", "a"], precision, ridge=0.5)[0]
        assert found[1] == pytest.approx(2 * found[0])
        assert found[0] > 0


def test_a_users_expected_gain_is_their_product_with_the_coordinates() -> None:
    shifts = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    gains = shifts @ np.array([[2.0], [1.0]])
    precision = np.array([[2.0, -0.5], [-0.5, 1.0]])
    found = fitted(shifts, gains, ["a"] * 4, precision, ridge=0.0)
    assert np.array([3.0, 5.0]) @ precision @ found[0] == pytest.approx(3 * 2.0 + 5 * 1.0)


def test_the_penalty_is_chosen_by_prompts_left_out() -> None:
    draw = np.random.default_rng(0)
    shifts = draw.normal(size=(40, 3))
    prompts = np.repeat(np.arange(10), 4)
    exact = shifts @ np.array([[1.0, -1.0], [0.0, 0.0], [2.0, -2.0]])
    chosen = fitted(shifts, exact, prompts, np.eye(3))
    assert chosen == pytest.approx(fitted(shifts, exact, prompts, np.eye(3), ridge=0.03))
    noise = draw.normal(size=(40, 2))
    assert np.abs(fitted(shifts, noise, prompts, np.eye(3))).max() < 0.1


def test_a_user_is_nearest_to_the_adapter_of_their_axis() -> None:
    shifts = np.tile(np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), (2, 1))
    gains = np.tile(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), (2, 1))
    coordinates = fitted(shifts, gains, [0, 0, 0, 1, 1, 1], np.eye(2), ridge=0.1)
    playful, technical = np.array([3.0, 0.0]), np.array([0.0, 3.0])
    ranked = [int(np.argmax(direction_scores(user, coordinates, np.eye(2)))) for user in (playful, technical)]
    assert ranked == [0, 1]


def test_blended_lies_between_in_direction_and_is_as_long_as_the_answers() -> None:
    axes = tuple(Axis(name, "measured", "", "") for name in "ab")
    space = Space(axes, np.zeros((0, 1), np.float32), np.zeros(2), np.zeros(2), np.ones(2), np.eye(2))
    answers, gained = np.array([[5.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 9.0], [1.0, 0.0], [0.0, 0.0]])
    # 0.4 and 0.3 times the units, made 5 long; what does not answer otherwise than the base stays there
    expected = [[4.0, 3.0], [0.0, 0.0], [1.0, 0.0]]
    np.testing.assert_allclose(blended(answers, gained, space, weight=3 / 7), expected, atol=1e-12)
