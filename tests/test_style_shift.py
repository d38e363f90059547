"""What training changed, axis by axis: from texts to signed shifts, and answers of the packaged model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.gguf import WeightedAdapter
from xpert_cli.hub import sources
from xpert_cli.llama.samples import PROMPT
from xpert_cli.selection import style_shift
from xpert_cli.selection.style_shift import StyleShift
from xpert_cli.style import described
from xpert_cli.style.measured import MEASURED, measure_all
from xpert_cli.style.space import Readings, Space
from xpert_cli.training.evaluate import evaluate

NAMES = [axis.name for axis in MEASURED]
BASE = ["The weather is calm today and the sea is flat.", "A cat sleeps on the mat in the warm kitchen."]
PLAYFUL = ["Wow! The sea is so flat today!", "Look! A cat sleeps on the mat!"]


def space(**gaps: float) -> Space:
    """Measured axes around the two plain texts, of spread 1/2, none correlated with another; `gaps` by axis."""
    origin = np.nan_to_num(Readings(measure_all(BASE)).mean)
    gap = np.array([gaps.get(name, 0.0) for name in NAMES])
    prose = np.arange(len(NAMES)) < NAMES.index("small letters at the start")
    spread, precision = np.where(prose, 0.5, np.inf), np.eye(len(NAMES))
    return Space(described.measured_axes(), np.empty((0, 0), np.float32), origin, gap, spread, precision)


def test_a_line_is_told_as_people_read_it():
    moved = StyleShift("emoji", "with more emoji", was=0.06, is_=1.26, you=1.44)
    assert moved.sentence == "with more emoji: answers +0.1 before, +1.3 after; your texts +1.4"
    assert StyleShift("x", "x", -0.04, 0.0, -2.0).sentence == "x: answers +0.0 before, +0.0 after; your texts -2.0"


def test_prompts_are_the_persons_own_and_different():
    own = Corpus(tuple(Message(prompt, f"Answer {i}.", "a") for i, prompt in enumerate(["One?", "Two?", "One?", ""])))
    assert style_shift.prompts(own) == ("One?", "Two?", PROMPT)
    many = Corpus(tuple(Message(f"Question {i}?", "Yes.", "a") for i in range(20)))
    assert style_shift.prompts(many) == tuple(f"Question {i}?" for i in range(8))


def test_shifts_are_signed_and_in_standard_deviations():
    moved = {one.axis: one for one in style_shift.style_shifts(BASE, PLAYFUL, PLAYFUL, space())}
    # No sentence of the plain texts has an exclamation mark, all of the playful ones have: sqrt(1) / 0.5.
    assert moved["exclamations"] == StyleShift("exclamations", "with more exclamation marks", 0.0, 2.0, 2.0)
    back = {one.axis: one for one in style_shift.style_shifts(PLAYFUL, BASE, PLAYFUL, space())}
    assert (back["exclamations"].was, back["exclamations"].is_) == (2.0, 0.0)


def test_the_gap_is_taken_out_of_writing_only():
    moved = {one.axis: one for one in style_shift.style_shifts(BASE, PLAYFUL, PLAYFUL, space(exclamations=-0.25))}
    assert (moved["exclamations"].is_, moved["exclamations"].you) == (2.0, 2.5)


def test_the_axes_are_those_the_person_is_furthest_on_whatever_the_models_do():
    moved = style_shift.style_shifts(BASE, BASE, PLAYFUL, space())
    assert 0 < len(moved) <= 6
    sizes = [abs(one.you) for one in moved]
    assert sizes == sorted(sizes, reverse=True)
    turned = style_shift.style_shifts(PLAYFUL, BASE, PLAYFUL[::-1], space())
    assert [one.axis for one in turned] == [one.axis for one in moved]


def test_lengths_and_axes_some_say_nothing_about_are_left_out():
    everything = dataclasses.replace(space(), spread=np.full(len(NAMES), 0.1))
    long = [" ".join(PLAYFUL) * 20]
    assert not {"text length", "line count"} & {
        one.axis for one in style_shift.style_shifts(BASE, BASE, long, everything)
    }
    # A text of one sentence has no variety of sentences.
    only = space().spread.copy()
    only[NAMES.index("sentence variety")] = 0.05
    narrow = dataclasses.replace(space(), spread=only)
    varied = ["Stop. The sea is very flat today and so is the land."] * 2
    assert style_shift.style_shifts(varied, varied, varied, narrow)[0].axis == "sentence variety"
    assert "sentence variety" not in {one.axis for one in style_shift.style_shifts(BASE, varied, varied, narrow)}


def test_an_axis_on_which_next_to_nothing_varies_is_left_out():
    one = space()
    at = NAMES.index("exclamations")
    narrow = dataclasses.replace(one, spread=np.where(np.arange(len(NAMES)) == at, 1e-4, one.spread))
    moved = {axis.axis for axis in style_shift.style_shifts(BASE, PLAYFUL, PLAYFUL, narrow)}
    assert moved
    assert "exclamations" not in moved


def test_without_a_cache_the_models_own_answers_are_the_origin():
    own = style_shift.own_space(BASE, PLAYFUL)
    assert not np.isnan(own.reference).any()
    for one in style_shift.style_shifts(BASE, PLAYFUL, PLAYFUL, own):
        assert one.was == pytest.approx(0)
        assert one.is_ == pytest.approx(one.you)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that take little time."""
    monkeypatch.setattr(style_shift, "ANSWERS", 3)
    monkeypatch.setattr(style_shift, "ANSWER_TOKENS", 24)


@pytest.mark.model
@pytest.mark.usefixtures("few")
def test_answers_are_drawn_by_seed_and_fewer_prompts_are_asked_again(base):
    asked = ["Is Pluto a planet?", "What is money? " * 200]  # the second is too long to be asked
    said = style_shift.answers(base, asked, seed=3)
    assert len(said) == len(set(said)) == 3
    assert any("Pluto" in answer or "planet" in answer for answer in said)
    assert style_shift.answers(base, asked, seed=3) == said
    assert style_shift.answers(base, asked[:1], seed=4)[:2] == said[1:]


@pytest.mark.model
@pytest.mark.usefixtures("few")
def test_an_evaluation_tells_the_styles_of_all_models(base):
    cache = open_cache(sources.open_source(sources.EMBEDDED))
    adapter = cache.open_adapter("elementary-concise-playful")
    written = Corpus(tuple(Message("Is Pluto a planet?", text, "a") for text in PLAYFUL))
    axes = evaluate(written, base, [WeightedAdapter(adapter)], base, cache=cache).axes
    assert 0 < len(axes) <= 6
    assert all(one.merged == one.base for one in axes)  # the "merged" model here is the base itself
    loud = next(one for one in axes if one.axis == "exclamations")
    assert loud.name == "with more exclamation marks"
    assert loud.you > 1
    assert loud.adapter > loud.base
    plain = evaluate(written, base).axes
    assert all((one.adapter, one.merged) == (None, None) for one in plain)
    assert all(one.base == pytest.approx(0, abs=1e-9) for one in plain)
