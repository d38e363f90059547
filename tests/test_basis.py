"""The growing basis: literal cases a reader can work out by hand, and properties over random vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xpert_cli.errors import BadModel
from xpert_cli.paper.basis import Basis, grow

EMPTY = Basis.empty(3)
SOME = [
    ("formal", np.array([2.0, 0.0, 0.0])),
    ("casual", np.array([-5.0, 0.1, 0.0])),  # the same axis as formal, read from its other end
    ("funny", np.array([0.0, 0.0, 0.5])),
    ("long", np.array([0.0, 3.0, 0.0])),
]


def test_a_vector_is_approximated_by_the_likeliest_words_that_are_new() -> None:
    grown = grow(EMPTY, np.array([3.0, 0.0, 4.0]), SOME)
    assert grown.basis.words == ("formal", "funny")
    assert grown.basis.units.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert grown.basis.coordinates(np.array([3.0, 7.0, 4.0])).tolist() == [3, 4]
    assert (grown.words, grown.looked, grown.formula, grown.reached) == (("formal", "casual", "funny"), 3, 0.0, True)


def test_what_is_reached_is_told_when_words_or_patience_run_out() -> None:
    v = np.array([3.0, 4.0, 0.0])
    stopped = grow(EMPTY, v, SOME, most=3)
    assert (stopped.basis.words, stopped.looked, stopped.reached) == (("formal", "funny"), 3, False)
    assert stopped.formula == pytest.approx(0.8)  # 4 of 5 is left
    assert grow(EMPTY, v, SOME[:1]).formula == pytest.approx(0.8)
    assert grow(EMPTY, v, SOME).basis.words == ("formal", "funny", "long")


def test_the_thresholds_decide() -> None:
    slanted = [("a", np.array([1.0, 0.0, 0.0])), ("b", np.array([3.0, 4.0, 0.0]))]  # cosine 0.6
    v = np.array([0.0, 1.0, 0.0])
    assert grow(EMPTY, v, slanted, orthogonality=0.6).basis.words == ("a",)
    loose = grow(EMPTY, v, slanted, orthogonality=0.7)
    assert loose.basis.words == ("a", "b")
    assert loose.basis.coordinates(v).tolist() == [0, 0.8]
    assert loose.formula == pytest.approx(0.6)  # |v - 0.8 b| = |(-0.48, 0.36)|
    assert loose.basis.least_squares(v) == pytest.approx([-0.75, 1.25])
    assert loose.least_squares == pytest.approx(0.0)
    assert grow(EMPTY, np.array([5.0, 1.0, 0.0]), SOME, residual=0.2).basis.words == ("formal",)
    assert grow(EMPTY, np.array([5.0, 1.0, 0.0]), SOME, residual=0.1).basis.words == ("formal", "funny", "long")


def test_candidates_are_asked_for_one_at_a_time() -> None:
    asked: list[str] = []

    def supply() -> Iterator[tuple[str, np.ndarray]]:
        for word, vector in SOME:
            asked.append(word)
            yield word, vector

    first = grow(EMPTY, np.array([1.0, 0.0, 0.0]), supply())
    assert asked == ["formal"]
    again = grow(first.basis, np.array([-7.0, 0.0, 0.0]), supply())
    assert asked == ["formal"]
    assert (again.basis.words, again.looked, again.reached) == (("formal",), 0, True)


def test_words_without_a_direction_or_kept_before_are_passed_over() -> None:
    odd = [("empty", np.zeros(3)), ("broken", np.full(3, np.nan)), SOME[0], ("formal", np.array([0.0, 1.0, 0.0]))]
    grown = grow(EMPTY, np.array([1.0, 1.0, 0.0]), odd)
    assert (grown.basis.words, grown.looked) == (("formal",), 4)


def test_nothing_is_approximated_by_no_words() -> None:
    grown = grow(EMPTY, np.zeros(3), SOME)
    assert (grown.basis.words, grown.looked, grown.formula, grown.reached) == ((), 0, 0.0, True)
    assert EMPTY.least_squares(np.ones((2, 3))).shape == (2, 0)


@pytest.mark.parametrize(
    ("words", "units"),
    [
        (("a", "a"), np.eye(3)[:2]),
        (("a",), np.eye(3)[:2]),
        (("a",), 2 * np.eye(3)[:1]),
        (("a",), np.full((1, 3), np.nan)),
        (("a", "b", "c"), np.ones(3)),
    ],
)
def test_a_basis_that_is_none_is_refused(words: tuple[str, ...], units: np.ndarray) -> None:
    with pytest.raises(BadModel, match="Grow the basis again"):
        Basis(words, units)


vectors = arrays(np.float64, (12, 6), elements=st.integers(-9, 9).map(float))


@settings(max_examples=150, deadline=None)
@given(vectors, st.sampled_from([0.05, 0.1, 0.5]), st.integers(1, 9))
def test_growing_for_another_adapter_only_appends(found: np.ndarray, threshold: float, most: int) -> None:
    one, other, *rest = found
    candidates = [(f"w{i}", row) for i, row in enumerate(rest)]
    first = grow(EMPTY_6, one, candidates, orthogonality=threshold, most=most)
    second = grow(first.basis, other, candidates, orthogonality=threshold, most=most)
    assert second.basis.words[: len(first.basis)] == first.basis.words
    assert np.array_equal(second.basis.units[: len(first.basis)], first.basis.units)
    assert np.array_equal(second.basis.coordinates(one)[: len(first.basis)], first.basis.coordinates(one))
    cosines = abs(second.basis.units @ second.basis.units.T) - np.eye(len(second.basis))
    assert (cosines < threshold).all()
    assert second.least_squares <= second.formula + 1e-9
    assert second.looked <= most
    assert second.reached == (second.formula < 0.2)
    again = grow(first.basis, other, candidates, orthogonality=threshold, most=most)
    assert (again.basis.words, again.formula) == (second.basis.words, second.formula)


EMPTY_6 = Basis.empty(6)
