"""The measured axes: what is counted, how it is bounded, what is left unsaid, what is quoted."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re

import numpy as np
import pytest

from xpert_cli.cache.catalogue import open_cache
from xpert_cli.hub.sources import open_source
from xpert_cli.style import axes, described, formula, lexicon, measured
from xpert_cli.style.formula import MeasuredAxis
from xpert_cli.style.measured import (
    MEASURED,
    cut,
    digests,
    evidence,
    measure,
    measure_all,
    readings_on,
    sentences,
    words,
)
from xpert_cli.style.sentences import Sample, is_common, syllables

NAMES = [axis.name for axis in MEASURED]
PLAIN = "The garden is quiet in the morning. You can hear the birds from the kitchen, and they sing for a long time."
GERMAN = "Der Garten ist am Morgen ruhig. Man hört die Vögel aus der Küche, und sie singen eine lange Zeit."


def read(text: str, name: str) -> float:
    return float(measure(text)[NAMES.index(name)])


def test_sentences_end_at_terminators_and_lines_but_not_at_abbreviations():
    assert sentences("Hi! See Dr. Lee at 3.5?") == ["Hi!", "See Dr. Lee at 3.5?"]
    assert sentences("ok see you\nlater") == ["ok see you", "later"]
    assert sentences("He said “Go.” Then e.g. left.") == ["He said “Go.”", "Then e.g. left."]
    assert sentences("昨天我来了。你呢？") == ["昨天我来了。", "你呢？"]
    assert sentences("Nice! 🎉 Really nice.") == ["Nice! 🎉", "Really nice."]


def test_markdown_is_not_prose():
    assert sentences("# Plan\n\n1. **Buy** milk.\n- [x] Rest\n```\ncode here\n```") == ["Plan", "Buy milk.", "Rest"]


def test_words():
    assert words("Don't go — 3 well-known 1,000.") == ["Don't", "go", "3", "well-known", "1,000"]
    assert words("我来了") == ["我", "来", "了"]
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


@pytest.mark.parametrize(
    ("text", "count", "kept"),
    [
        ("one, two; three", 2, "one, two;"),
        ("  a\n\n b c", 2, "  a\n\n b"),
        ("one two", 5, "one two"),
        ("one two", 0, ""),
        ("我来了", 2, "我来"),
        ("", 3, ""),
    ],
)
def test_cut_keeps_spacing(text: str, count: int, kept: str):
    assert cut(text, count) == kept


@pytest.mark.parametrize(("word", "count"), [("the", 1), ("made", 1), ("table", 2), ("wanted", 2), ("banana", 3)])
def test_syllables(word: str, count: int):
    assert syllables(word) == count


@pytest.mark.parametrize("word", ["walking", "stopped", "cities", "making", "you're", "bigger"])
def test_inflected_common_words_are_common(word: str):
    assert is_common(word)


def test_rare_words_are_not_common():
    assert not is_common("epistemology")


def test_at_least_two_dozen_axes_with_distinct_names_and_phrases():
    assert len(MEASURED) >= 24
    assert (
        len(set(NAMES))
        == len({axis.low for axis in MEASURED})
        == len({axis.high for axis in MEASURED})
        == len(MEASURED)
    )
    assert [axis.name for axis in MEASURED if axis.length] == ["text length", "line count"]


def test_lengths_are_logarithms():
    text = "one two three four.\nfive six seven eight."
    assert read(text, "text length") == pytest.approx(math.log(8))
    assert read(text, "line count") == pytest.approx(math.log(2))
    assert read(text, "sentence length") == pytest.approx(math.log(4))
    assert read(text, "sentence variety") == 0


def test_a_sentence_cut_off_does_not_shorten_the_mean():
    whole = "This is the first one here. This is the second one here."
    assert read(whole, "sentence length") == pytest.approx(math.log(6))
    assert read(whole + " And this", "sentence length") == pytest.approx(math.log(7))


def test_rates_are_square_roots_of_counts_a_hundred_words():
    text = "you " * 2 + "the " * 23
    assert read(text, "second person") == pytest.approx(math.sqrt(8))
    assert read("Good, the cat, and the dog, ran.", "commas") == pytest.approx(math.sqrt(15))  # 3 in "20" words


def test_shares_are_square_roots_of_the_share_of_sentences():
    assert read("Go! Stay. Sit. Run.", "exclamations") == pytest.approx(0.5)
    assert read("Is it? Yes.", "questions") == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize(
    ("name", "with_it", "without"),
    [
        ("emoji", "See you there 🎉👍🏽", "See you there"),
        ("contractions", "It's what they don't see in the city", "The city's walls are what they see"),
        ("similes", "The moon was like a lamp to them", "They like the lamp and the moon"),
        ("passives", "The door was opened by the wind", "The wind opened the door and went"),
        ("interjection openings", "Oh well, that is how it was", "That is how it was for them"),
        ("instructions", "Mix the flour with the milk.", "She mixed the flour with the milk."),
        ("lists", "- the milk\n- the bread", "the milk\nthe bread"),
        ("bold and headings", "This is **bold** as it gets", "This is bold as it gets"),
        ("quotation marks", "He said “go” and that was it", "Don't go, and that was it"),
        ("reading grade", "The consideration of institutional complexity is indispensable.", "The cat is on the mat."),
        ("rare words", "The epistemic tenets of this treatise", "The good people of this town"),
    ],
)
def test_each_axis_tells_its_two_ends_apart(name: str, with_it: str, without: str):
    assert read(with_it, name) > read(without, name)


def test_saying_the_same_fifty_times_changes_only_the_length():
    once, often = measure(PLAIN), measure("\n".join([PLAIN] * 50))
    moved = [name for name, a, b in zip(NAMES, once, often, strict=True) if abs(a - b) > 0.2]
    assert set(moved) <= {"text length", "line count", "vocabulary diversity"}


def test_readings_are_bounded_whatever_the_text():
    assert read("😀" * 5000, "emoji") == 3
    assert read("the " * 100_000, "text length") == pytest.approx(math.log(1000))


@pytest.mark.parametrize(
    "text", [GERMAN, "昨天我在城里遇见了我的哥哥。我们聊了很久！", "Вчера я встретил брата! Ты помнишь?", "สวัสดีครับ"]
)
def test_other_languages_give_no_evidence_on_english_axes(text: str):
    for name in ("articles", "rare words", "reading grade", "contractions"):
        assert math.isnan(read(text, name))
    assert not math.isnan(read(text, "text length"))
    assert not math.isnan(read(text, "exclamations"))


def test_neighbours_that_share_words_with_english_are_not_english():
    assert not Sample("Het is de vraag of we dat nog eens doen, want het is ver.").english
    assert not Sample("To jest moje i my to lubimy, ale on nie jest tutaj.").english
    assert Sample("Great job Mark, see you tomorrow").english


@pytest.mark.parametrize("text", ["", " \n\t ", "...", "😂😂", "```\ncode\n```", "**", "1.", "\x00"])
def test_texts_without_words_do_not_fail(text: str):
    assert measure(text).shape == (len(MEASURED),)
    assert math.isnan(read(text, "word length"))


def test_an_emoji_alone_is_evidence_of_emoji():
    assert read("😂", "emoji") == pytest.approx(math.sqrt(5))
    assert math.isnan(read("", "emoji"))


def test_measure_all_stacks():
    both = measure_all([PLAIN, GERMAN])
    assert both.shape == (2, len(MEASURED))
    np.testing.assert_array_equal(both[0], measure(PLAIN))
    assert measure_all([]).shape == (0, len(MEASURED))


def test_evidence_quotes_the_line_that_shows_it_in_any_order():
    texts = ["The bus was late again today. I walked.", "You know that you can do it, you always could.", PLAIN]
    assert evidence(texts, "second person", 1) == "“You know that you can do it, you always could.”"
    assert evidence(texts[::-1], "second person", 1) == evidence(texts, "second person", 1)
    assert evidence(texts, "second person", -1) == ""  # no line shows that something is not there


def test_evidence_of_a_length_tells_the_words():
    texts = ["Short one.", "This is the longer of the two texts here."]
    assert evidence(texts, "text length", -1) == "“Short one.” (2 words)"
    assert evidence(texts, "text length", 1) == "“This is the longer of the two texts here.” (9 words)"


def test_evidence_is_shortened_at_a_word():
    line = evidence(["It was the best of times and " * 5 + "the end."], "articles", 1)
    assert line == "“It was the best of times and It was the best of times and It was the best of times and…”"


def test_there_is_no_evidence_of_what_is_not_there():
    assert evidence([PLAIN], "emoji", 1) == ""
    assert evidence([GERMAN], "articles", 1) == ""
    assert evidence([], "emoji", 1) == evidence([PLAIN], "no such axis", 1) == ""


def test_word_lists_are_lower_case_single_words():
    lists = {name: value for name, value in vars(lexicon).items() if isinstance(value, frozenset)}
    assert len(lists) > 15
    assert all(word == word.lower() and words(word) == [word] for group in lists.values() for word in group)


# -- axes are told by name, and by what they count


def inserted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table with one axis more in front, and the others the other way round."""
    more = MeasuredAxis("vowels", "with fewer vowels", "with more vowels", False, "vowels")
    rule = formula.Rule(formula.Formula("vowels", lambda sample: 3.0), 0, 5, False, "text")
    table = ((more, rule), *reversed(axes.TABLE))
    monkeypatch.setattr(measured, "TABLE", table)
    monkeypatch.setattr(measured, "MEASURED", tuple(axis for axis, _ in table))


def test_readings_are_found_by_name_wherever_an_axis_stands(monkeypatch):
    before = readings_on(NAMES, [PLAIN, GERMAN])
    inserted(monkeypatch)
    np.testing.assert_array_equal(readings_on(NAMES, [PLAIN, GERMAN]), before)
    np.testing.assert_array_equal(measure_all([PLAIN])[0, 1:], before[0, ::-1])
    found = readings_on(["emoji", "no such axis", "vowels"], ["See you 🎉", "See you"])
    np.testing.assert_allclose(found, [[math.sqrt(5), np.nan, 3], [0, np.nan, 3]])
    assert evidence([PLAIN, "Go! Now!"], "exclamations", 1) == "“Go!”"


def test_a_digest_changes_with_what_is_counted_and_with_nothing_else():
    axis, rule = next(one for one in axes.TABLE if one[0].name == "commas")
    same = formula.digest(axis, rule)
    assert digests()["commas"] == same
    assert re.fullmatch("[0-9a-f]{16}", same)
    assert len(set(digests().values())) == len(NAMES)
    assert formula.digest(dataclasses.replace(axis, low="sparing with commas"), rule) == same
    assert formula.digest(axis, dataclasses.replace(rule, ceiling=4.0)) != same
    assert formula.digest(axis, dataclasses.replace(rule, english=True)) != same
    semicolons = next(rule for axis, rule in axes.TABLE if axis.name == "semicolons")
    assert formula.digest(axis, dataclasses.replace(semicolons, ceiling=rule.ceiling)) != same


def test_a_digest_changes_with_a_word_of_its_list(monkeypatch):
    before = axes._group(lexicon.HEDGES).text
    assert axes._group(lexicon.HEDGES | {"methinks"}).text != before


# Readings of a few texts, and the digests they belong to: if readings change and digests do not, COUNTING must go up.
COUNTED = [
    PLAIN,
    GERMAN,
    "omg no... it's 3.5 km — I can't!! 😂\n\nDr. Lee's (well-known) \"idea\", see https://x.y/z; **ok**?",
]


def test_what_is_counted_changes_only_with_the_digests():
    values = np.nan_to_num(measure_all(COUNTED), nan=-9.0).round(6) + 0.0
    told = [f"{name} {code} {values[:, i].tolist()}" for i, (name, code) in enumerate(digests().items())]
    assert hashlib.sha256("\n".join(told).encode()).hexdigest()[:12] == "3ffc982b17e1"


# -- chats


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("small letters at the start", "ok\nSee you\n123", 0.5),
        ("small i", "i think I know what i'm doing here", 2 / 3),
        ("bare line ends", "ok then\nbye!", 0.5),
        ("full stops at line ends", "Fine.\nOk\nWait...", 1 / 3),
        ("apostrophes left out", "dont worry, im sure that it's ok and you know it", 2 / 3),
        ("curly apostrophes", "don’t and don't", 0.5),
        ("one word", "ok", 1),
        ("one word", "ok then", 0),
        ("two spaces", "One.  Two. Three", 0.5),
        ("yeah", "yeah I know that it is, yes, yep", 2 / 3),
        ("capital letters", "ABcdefgh", 0.5),
        ("runs of marks", "what?? no!! ok!", math.sqrt(10)),
        ("stretched words", "sooo good www.x.y", math.sqrt(5)),
        ("haha", "haha ok hahaha", math.sqrt(10)),
        ("ellipses", "well... ok", math.sqrt(5)),
        ("two dots", "well.. ok", math.sqrt(5)),
        ("emoji at line ends", "see you 🎉\nbye", 0.5),
        ("corrections with *", "thier\n*their", 0.5),
        ("contractions", "im sure that they dont know what it is", math.sqrt(10)),
    ],
)
def test_habits_of_chats_are_counted(name, text, value):
    assert read(text, name) == pytest.approx(value)


@pytest.mark.parametrize("name", ["small i", "apostrophes left out", "curly apostrophes", "yeah", "ok", "numerals"])
def test_a_habit_that_has_no_place_in_a_text_is_not_told_of(name):
    assert math.isnan(read("The cat was asleep when they came to the house.", name))


def test_wording_is_the_same_projection_of_the_same_words_whatever_the_language():
    one, two = (measure(text)[-96:] for text in ("ok see you", "you see ok"))
    np.testing.assert_array_equal(one, two)
    assert np.linalg.norm(measure("昨天我在城里")[-96:]) > 1
    alike = np.corrcoef(one, measure("ok see me")[-96:])[0, 1]
    assert 0.4 < alike < 0.9  # two of three words
    assert not MEASURED[-1].absence
    assert MEASURED[-1].name == "spelling and wording 96"


@pytest.mark.parametrize("shape", ["%%%", "A-A-", "a\u0301", "! ", ". ", "ha", "((", "aaa", "1,", "'\"", "w ", ":)"])
def test_readings_of_a_long_line_cost_what_its_pieces_cost(shape):
    """Bounded by what the regular expressions look at: a line 20 times as long is no other kind of text."""
    assert measure((shape * 40_000)[:40_000]).shape == (len(MEASURED),)


def test_a_habit_of_chats_has_a_least_spread():
    names = [axis.name for axis in MEASURED]
    least = dict(zip(names, measured.least_spreads(names), strict=True))
    assert (least["small i"], least["lol"], least["commas"]) == (0.05, 0.25, 0)


def test_one_habit_is_said_once_though_two_axes_show_it() -> None:
    space = open_cache(open_source("embedded")).space
    at = {axis.name: number for number, axis in enumerate(space.axes)}
    shift = np.zeros(len(space.axes))
    shift[[at["bare line ends"], at["full stops at line ends"], at["haha"]]] = 2.0, -1.5, 1.0
    named = [space.axes[axis].name for axis in described.strongest(space, shift, 5)]
    assert named == ["bare line ends", "haha"]
    shift[[at["exclamations"], at["exclamations at line ends"], at["emoji"], at["emoji at line ends"]]] = (
        3,
        2.5,
        -1.2,
        -1.1,
    )
    assert described.sentence(space, shift) == (
        "you write with more exclamation marks (+3.0), leaving lines without a mark at the end (+2.0), "
        "with fewer emoji (-1.2), with “haha” (+1.0)"
    )
