"""The style space: readings, shifts, shares, pooled statistics. Every expectation can be checked in the head."""

import numpy as np
import pytest

from xpert_cli.errors import BadModel
from xpert_cli.style.space import LEAST_SHRINKAGE, Axis, Readings, Space, joined, pooled, shrinkage

NAN = np.nan


def space(precision=None, spread=(1.0, 2.0), gap=(0.0, 0.0)):
    axes = (Axis("length", "measured", "shorter", "longer", length=True), Axis("tone", "described", "dry", "playful"))
    precision = np.eye(2) if precision is None else np.array(precision, float)
    return Space(axes, np.ones((1, 3), np.float32), np.array([10.0, 0.0]), np.array(gap), np.array(spread), precision)


def test_a_mean_leaves_out_what_texts_do_not_say():
    readings = Readings(np.array([[1.0, NAN, NAN], [3.0, 5.0, NAN]]))
    np.testing.assert_array_equal(readings.mean, [2.0, 5.0, NAN])


def test_a_shift_is_counted_from_the_base_in_standard_deviations():
    np.testing.assert_array_equal(space().shift(np.array([13.0, 4.0]), writing=False), [3.0, 2.0])


def test_the_gap_between_writing_and_answers_is_taken_out_of_writing_only():
    there = space(gap=(1.0, 2.0))
    np.testing.assert_array_equal(there.shift(np.array([13.0, 4.0]), writing=True), [2.0, 1.0])
    np.testing.assert_array_equal(there.shift(np.array([13.0, 4.0]), writing=False), [3.0, 2.0])


def test_an_axis_without_evidence_has_no_shift():
    np.testing.assert_array_equal(space().shift(np.array([NAN, 4.0]), writing=False), [0.0, 2.0])


def test_shares_sum_to_the_cosine():
    shares = space().shares(np.array([3.0, 4.0]), np.array([4.0, 3.0]))
    np.testing.assert_allclose(shares, [12 / 25, 12 / 25])


def test_shares_of_a_metric_with_correlation_sum_to_its_cosine():
    there = space(precision=[[2.0, -1.0], [-1.0, 2.0]])
    user, adapter = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    # u'Pa = 2 - 1 = 1, |u|^2 = 2, |a|^2 = 2 - 1 - 1 + 2 = 2
    assert there.shares(user, adapter).sum() == pytest.approx(0.5)


def test_nothing_is_shared_with_the_base():
    np.testing.assert_array_equal(space().shares(np.zeros(2), np.array([1.0, 2.0])), [0.0, 0.0])


def test_a_subset_has_the_metric_of_its_axes_alone():
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])
    part = space(precision=np.linalg.inv(covariance)).only(np.array([True, False]))
    assert [axis.name for axis in part.axes] == ["length"]
    np.testing.assert_allclose(part.precision, [[1.0]])
    assert part.basis.shape == (0, 3)


def scatter(*rows):
    return Readings(np.array(rows, float)).scatter


def test_a_scatter_adds_up_what_texts_say():
    added = scatter([0.0, 1.0], [2.0, NAN], [4.0, 3.0])
    assert added.samples == 3
    np.testing.assert_array_equal(added.known, [3, 2])
    np.testing.assert_array_equal(added.mean, [2.0, 2.0])
    # deviations (-2, -1), (0, not known), (2, 1)
    np.testing.assert_array_equal(added.squares, [[8.0, 4.0], [4.0, 2.0]])
    np.testing.assert_array_equal(added.on(np.array([False, True])).squares, [[2.0]])


def test_a_scatter_that_weighs_less_has_the_same_variance():
    rows = scatter([0.0], [2.0], [4.0])
    lighter = rows.weighing(2)
    assert (lighter.samples, lighter.squares[0, 0], lighter.known[0]) == (2, 4.0, 2)
    np.testing.assert_allclose(pooled([lighter])[0], pooled([rows])[0])
    assert scatter([7.0]).weighing(5).squares[0, 0] == 0


def test_writers_with_more_texts_count_for_more():
    few, many = scatter([0.0], [2.0]), scatter(*[[float(value)] for value in (0, 6) * 10])
    spread, _ = pooled([few, many])
    # squares 2 and 20 * 9, over 22 texts less 2 writers
    assert spread == pytest.approx([(182 / 20) ** 0.5])


def test_parts_that_are_joined_are_uncorrelated():
    measured = np.array([True, False, True])
    spread, precision = joined(
        (np.array([1.0, 2.0]), np.array([[3.0, 4.0], [4.0, 5.0]])), (np.array([6.0]), np.array([[7.0]])), measured
    )
    np.testing.assert_array_equal(spread, [1.0, 6.0, 2.0])
    np.testing.assert_array_equal(precision, [[3.0, 0.0, 4.0], [0.0, 7.0, 0.0], [4.0, 0.0, 5.0]])


def test_pooled_spread_is_within_writers_not_between_them():
    first, second = scatter([0.0], [2.0]), scatter([100.0], [102.0])
    spread, _ = pooled([first, second])
    # each writer: deviations -1 and 1, so 4 squared over 4 texts less 2 writers
    assert spread == pytest.approx([2**0.5])


def test_pooled_precision_is_the_inverse_of_the_shrunken_correlation():
    rows = scatter([0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0])
    _, precision = pooled([rows])
    off = 1 - LEAST_SHRINKAGE  # readings that agree entirely leave no doubt
    np.testing.assert_allclose(np.linalg.inv(precision), [[1.0, off], [off, 1.0]])


def test_axes_that_hardly_a_text_shows_do_not_make_the_others_doubtful():
    rows = np.random.default_rng(0).normal(size=(400, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    rare = np.full((400, 30), NAN)
    rare[:3] = 1.0
    alone, beside = pooled([scatter(*rows)])[1], pooled([scatter(*np.hstack([rows, rare]))])[1]
    np.testing.assert_allclose(np.linalg.inv(beside)[:2, :2], np.linalg.inv(alone))


@pytest.mark.parametrize(("correlated", "freedom", "expected"), [(0.5, 9, 0.25), (0.5, 90, 0.025), (0.5, 1, 1.0)])
def test_the_more_texts_the_less_a_correlation_is_shrunk(correlated, freedom, expected):
    # (1 - 0.25)^2 / freedom, over 0.25
    assert shrinkage(np.array([[1.0, correlated], [correlated, 1.0]]), freedom) == pytest.approx(expected)


def test_axes_that_do_not_vary_together_are_left_as_they_are():
    assert shrinkage(np.eye(3), 100) == 1.0


def test_arrays_that_do_not_fit_the_axes_are_refused():
    with pytest.raises(BadModel, match="spread"):
        space(spread=(1.0, 0.0))
    with pytest.raises(BadModel, match="precision"):
        space(precision=[[1.0]])


def test_an_axis_that_nothing_varies_on_stays_silent():
    spread, precision = pooled([scatter([1.0, 0.0], [1.0, 2.0])] * 2)
    assert spread[0] == np.inf
    assert np.isfinite(precision).all()
    there = space(spread=spread, precision=precision)
    assert there.shift(np.array([7.0, 1.0]), writing=False)[0] == 0.0
