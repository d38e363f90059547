"""Ranking, confidence, misfit and mixing, on shifts whose cosines can be checked in the head."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.hub.sources import open_source
from xpert_cli.selection import community, project, score
from xpert_cli.selection.project import Projection
from xpert_cli.selection.score import (
    FITS,
    PLACED,
    choose,
    confidence,
    direction_scores,
    misfit,
    mixture,
    nearness,
    whole_texts,
)
from xpert_cli.selection.select import Reason, _why, select
from xpert_cli.style.chat import CHAT
from xpert_cli.style.languages import LANGUAGES
from xpert_cli.style.space import Axis, Floats, Readings, Space

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


# -- how sure


def test_who_is_like_no_adapter_more_than_another_may_be_any():
    assert confidence(writing([1, 1, 1]), ADAPTERS, plain()) == pytest.approx(1 / 3)
    assert confidence(writing([-1, -2, -3]), ADAPTERS, plain()) == pytest.approx(1 / 3)


def test_confidence_is_the_profile_likelihood_of_the_first():
    # One text: squared standard error (0 + 1) / 1. Evidence 4^2 and 3^2 over twice the variance, and 0.
    variance = PLACED + 1
    odds = np.exp(np.array([16, 9, 0]) / (2 * variance))
    assert confidence(writing([4, 3, 0]), ADAPTERS, plain()) == pytest.approx(odds[0] / odds.sum())


def test_more_texts_that_agree_and_fewer_that_differ_make_it_surer():
    one, three = (confidence(writing(*[[2, 1, 0]] * count), ADAPTERS, plain()) for count in (1, 3))
    scattered = confidence(writing([5, 1, 0], [2, 4, 0], [-1, -2, 0]), ADAPTERS, plain())
    assert three > one
    assert three > scattered


def test_a_text_of_few_words_counts_as_a_part_of_one():
    assert whole_texts([3, 40, 0], 20) == pytest.approx(0.15 + 1 + 0.05)
    variance = PLACED + 1 / 0.15  # the squared standard error of one text is 1
    odds = np.exp(np.array([16, 9, 0]) / (2 * variance))
    short = confidence(writing([4, 3, 0]), ADAPTERS, plain(), texts=whole_texts([3], 20))
    assert short == pytest.approx(odds[0] / odds.sum())
    assert confidence(writing([4, 3, 0]), ADAPTERS, plain(), texts=1) == confidence(
        writing([4, 3, 0]), ADAPTERS, plain()
    )


def test_three_words_make_no_choice_sure():
    cache = open_cache(open_source("embedded"))

    def sure(text: str) -> float:
        return select(Corpus((Message("", text, "a:1"),)), cache, None).confidence

    assert sure("Please be advised") == pytest.approx(0.44, abs=0.01)


def test_what_is_a_persons_own_among_a_community_is_not_said_before():
    axes = tuple(
        Axis(name, "measured", f"with less {name}", f"with more {name}") for name in ("haha", "commas", "emoji")
    )
    space = Space(axes, np.zeros((0, 0), np.float32), np.zeros(3), np.zeros(3), np.ones(3), np.eye(3))

    def told(*shift: float) -> str:
        mine = Projection(("",) * 100, space, np.ones(3, np.bool_), Readings(np.array([shift] * 100)), ())
        one = SimpleNamespace(id="chat", count=40, mean=np.array([1.0, 1.0, 0.0]), spread=np.full(3, 0.1))
        return community.in_words(mine, SimpleNamespace(community=one))

    assert (
        told(3, 1, 0)
        == "Like the 40 people of chat, you write with more commas; more than most of them, with more haha."
    )
    assert (
        told(3, 4, 0)
        == "Among the 40 people of chat you write with more commas and with more haha, more than most of them."
    )
    assert told(1, 1, 0) == "Like the 40 people of chat, you write with more haha, with more commas."


def test_a_habit_is_named_once_among_the_reasons():
    names = ("word length", "letters a word", "commas")
    axes = tuple(Axis(name, "measured", f"less {name}", f"more {name}") for name in names)
    space = Space(axes, np.zeros((0, 0), np.float32), np.zeros(3), np.zeros(3), np.ones(3), np.eye(3))
    reasons = tuple(Reason(name, share, f"more {name}") for name, share in zip(names, (0.5, 0.4, 0.1), strict=True))
    assert _why(space, reasons) == ("more word length", "more commas")


def test_confidence_does_not_depend_on_how_far_the_adapters_went():
    texts = writing([2, 1, 0], [1, 2, 0.5])
    assert confidence(texts, 0.3 * ADAPTERS, plain()) == pytest.approx(confidence(texts, ADAPTERS, plain()))


def test_two_adapters_alike_halve_the_confidence():
    texts = writing(*[[9, 0, 0]] * 9)
    assert confidence(texts, ADAPTERS, plain()) == pytest.approx(1, abs=1e-6)
    assert confidence(texts, ADAPTERS[[0, 0, 1, 2]], plain()) == pytest.approx(0.5, abs=1e-6)


# -- whether the first fits


def test_misfit_is_the_squared_tangent():
    assert misfit(writing(*[[4, 3, 0]] * 4), ADAPTERS, plain()) == pytest.approx(9 / 16)
    assert misfit(writing(*[[4, 0, 0]] * 4), ADAPTERS, plain()) == 0


def test_what_is_no_more_than_noise_is_no_misfit():
    # The mean is 4 along the first and 3 along the second; two different texts multiply to 16 and 41/6 on average.
    texts = writing([4, 6, 0], [4, 0, 0], [4, 1, 0], [4, 5, 0])
    assert misfit(texts, ADAPTERS, plain()) == pytest.approx((41 / 6) / 16)
    assert misfit(writing([4, 6, 0], [4, -6, 0], [4, 3, 0], [4, -3, 0]), ADAPTERS, plain()) == 0


def test_what_no_adapter_differs_in_is_no_misfit():
    assert misfit(writing(*[[4, 0, 3]] * 4), ADAPTERS[:2], plain()) == 0


def test_too_few_texts_tell_no_misfit_and_who_points_nowhere_fits_nothing():
    assert misfit(writing(*[[4, 3, 0]] * 3), ADAPTERS, plain()) == 0
    assert misfit(writing(*[[-1, -1, 0]] * 4), ADAPTERS, plain()) == np.inf


def test_an_axis_few_texts_tell_is_as_uncertain_as_those_texts():
    nan = np.nan
    # 4 x 2, the product of the two texts that tell the second axis, for its squared length
    texts = writing([4, 4, 0], [4, 2, 0], [4, nan, 0], [4, nan, 0])
    # drawn to 0 by 2 / (2 + 80) over 4 / (4 + 80), for half of the texts tell it
    assert misfit(texts, ADAPTERS, plain()) == pytest.approx(8 / 16 * (21 / 41) ** 2)


# -- mixtures


def test_a_writer_between_two_adapters_gets_both():
    between = np.array([1.0, 1.0, 0.0])
    assert misfit(writing(*[between] * 4), ADAPTERS, plain()) > FITS
    assert mixture(between, ADAPTERS, np.eye(3)) == pytest.approx({0: 0.5, 1: 0.5})


def test_a_writer_that_one_adapter_is_nearest_to_gets_no_mixture():
    assert mixture(np.array([2.0, 0.0, -0.5]), ADAPTERS, np.eye(3)) is None


def test_weights_are_positive_and_sum_to_at_most_one():
    # least squares gives 2 and 1.5, 2.5 too many: 1.25 less each, for adapters of one length
    assert mixture(np.array([4.0, 3.0, 0.0]), ADAPTERS, np.eye(3)) == pytest.approx({0: 0.75, 1: 0.25})


def test_the_order_of_adapters_does_not_matter():
    user = np.array([1.0, 2.0, 0.0])
    forward, backward = (mixture(user, some, np.eye(3)) for some in (ADAPTERS, ADAPTERS[::-1]))
    assert forward == pytest.approx({2 - index: weight for index, weight in backward.items()})


# -- the embedded cache's own adapters, as writers whose texts vary as the cache says


@dataclass(frozen=True)
class OnProse:
    """A cache on axes that prose varies on; texts that vary freely on the habits of chats would be nobody's."""

    coordinates: Floats
    space: Space


@pytest.fixture(scope="module")
def cache():
    whole = open_cache(open_source("embedded"))
    others = {axis.name for axis, _ in (*CHAT, *LANGUAGES)}
    keep = np.array([axis.named and axis.name not in others for axis in whole.space.axes])
    return OnProse(whole.coordinates[:, keep], whole.space.only(keep))


def written_like(cache, index, count=20):
    """Texts about where an adapter lies, each off by the cache's own spread and correlation of one writer's texts."""
    space, draw = cache.space, np.random.default_rng(index)
    noise = draw.multivariate_normal(np.zeros(len(space.axes)), np.linalg.inv(space.precision), count)
    return Readings((cache.coordinates[index] + noise) * space.spread + space.reference + space.gap)


def test_shares_of_the_axes_sum_to_the_score(cache):
    adapters, space = cache.coordinates, cache.space
    for user in adapters:
        scores = direction_scores(user, adapters, space.precision)
        shares = [space.shares(user, adapter) for adapter in adapters]
        np.testing.assert_allclose(np.sum(shares, axis=1), scores, atol=1e-9)


def test_each_adapter_is_chosen_for_who_writes_like_it_and_not_without_doubt_for_others(cache):
    for index in range(len(cache.coordinates)):
        texts = written_like(cache, index)
        assert choose(texts, cache.coordinates, cache.space) == {index: 1.0}
        assert confidence(texts, cache.coordinates, cache.space) > 0.8


def test_who_is_left_without_an_adapter_gets_a_mixture_that_is_nearer(cache):
    mixed = 0
    for index, style in enumerate(cache.coordinates):
        others = np.delete(cache.coordinates, index, axis=0)
        weights = choose(written_like(cache, index), others, cache.space)
        if len(weights) > 1:
            mixed += 1
            mixture_of = sum(weight * others[i] for i, weight in weights.items())
            score = direction_scores(style, np.vstack([mixture_of, others]), cache.space.precision)
            assert score[0] > score[1:].max()
    assert mixed >= 6  # of 8; three have a neighbour of cosine over 0.8


def test_who_is_like_none_gets_none(cache):
    away = np.random.default_rng(0).normal(0, 1, len(cache.space.axes))
    away -= np.linalg.pinv(cache.coordinates @ cache.space.precision) @ (
        cache.coordinates @ cache.space.precision @ away
    )
    texts = Readings(away * cache.space.spread + cache.space.reference + cache.space.gap + np.zeros((5, 1)))
    assert choose(texts, cache.coordinates, cache.space) == {}


def test_deleting_any_one_of_twenty_texts_changes_under_one_selection_in_twenty(cache):
    changed = 0
    for index in range(len(cache.coordinates)):
        texts = written_like(cache, index).values
        whole = choose(Readings(texts), cache.coordinates, cache.space)
        for row in range(20):
            left = choose(Readings(np.delete(texts, row, axis=0)), cache.coordinates, cache.space)
            changed += left.keys() != whole.keys()
    assert changed < 0.05 * 8 * 20


# -- how near, about the mean of a cache


def shared() -> Floats:
    """Adapters that all lie far in the last direction, and differ little in the others."""
    return np.array([[1.0, 0, 5], [0, 1.0, 5], [-1.0, 0, 5], [0, -1.0, 5]])


def test_what_all_adapters_share_does_not_decide():
    user = np.array([0.2, 0.9, 3.0])
    about = direction_scores(user - [0, 0, 5], shared() - [0, 0, 5], np.eye(3))
    from_base = direction_scores(user, shared(), np.eye(3))
    assert from_base.min() > 0.88
    assert score.scores(user, shared(), plain()).tolist() == pytest.approx(((about + from_base) / 2).tolist())
    assert score.scores(user, shared()[:3], plain()).tolist() == pytest.approx(from_base[:3].tolist())


@pytest.mark.parametrize("members", [3, 4])
def test_shares_sum_to_the_score(members):
    user, adapters = np.array([0.2, 0.9, 3.0]), shared()[:members]
    for row in range(members):
        total = score.shares(user, adapters, row, plain()).sum()
        assert total == pytest.approx(score.scores(user, adapters, plain())[row])


def test_nearness_is_the_cosine_over_what_the_texts_can_show():
    near = writing(*([[0.0, 2, 5]] * 12))
    assert nearness(near, shared(), plain()) == pytest.approx(1.0)
    far = writing(*([[0.0, 1, 8]] * 12))  # about the mean [0, 0, 5]: [0, 1, 3], at a cosine of 1 / sqrt(10)
    assert nearness(far, shared(), plain()) == pytest.approx(1 / np.sqrt(10))
    assert nearness(far, shared()[:3], plain()) == pytest.approx(40 / np.sqrt(65 * 25), abs=0.03)  # from the base
    assert nearness(writing(*([[0.0, 0, 9]] * 12)), shared(), plain()) == 0


def test_none_is_chosen_where_none_of_the_cache_is_near_and_there_is_enough_writing():
    far = [[0.0, 1, 8]] * 12
    assert choose(writing(*far), shared(), plain()) == {}
    assert list(choose(writing(*far[:9]), shared(), plain())) != []
    assert list(choose(writing(*([[0.0, 2, 5.5]] * 12)), shared(), plain())) == [1]


def test_of_very_many_texts_the_same_ones_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "MOST", 5)
    texts = [f"text {number}" for number in range(40)]
    drawn = project._drawn(texts)
    assert drawn == project._drawn(texts[::-1]) == tuple(sorted(drawn))
    assert len(drawn) == 5
    assert set(drawn) <= set(texts)
    assert project._drawn(["b", "a", "b"]) == ("a", "b", "b")
