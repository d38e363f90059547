"""Marks that people type are counted, and the same signs elsewhere are not: code, maths, times, links, references."""

from __future__ import annotations

import math

import pytest

from xpert_cli.style.marks import emoticons
from xpert_cli.style.measured import MEASURED, SAME, evidence, measure
from xpert_cli.style.sentences import Sample

NAMES = [axis.name for axis in MEASURED]


def count(name: str, text: str) -> int:
    """Occurrences that a rate on this axis stands for, in a text that is long enough for no bound to cut them."""
    text += "\n" + "and this is it " * 50
    return round(float(measure(text)[NAMES.index(name)]) ** 2 * len(Sample(text).tokens) / 100)


@pytest.mark.parametrize(
    "text",
    [
        *("ok :)", "ok:)", ":-)", ";)", ";-)", "haha :)))", ":D", ":'D", "xD", "XD", "lol xdd", ":P", ":p", "aww :3"),
        *("<3", "i <3 you", "love <3", ":/", ":-/", ":(", ":'(", ">:(", "=)", "=D", "^^", "^_^", ":O", "(kidding :)"),
    ],
)
def test_an_emoticon_is_one(text: str) -> None:
    assert emoticons(text) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("(see page 8)", "(table 3, x)", "a) b) 8) c) d)", "f(x)", "19:8)", "in 2018)", "(8)", "\\(x\\)", "x) y)"),
        *("see:(a)", "(as follows:)", "(the list (short) is:)", "x <3 y", "p <3.5", "<3 years", "10 <3", "f(x) <3"),
        *("at 12:30", "ratio 2:3", "2 :3", "http://x.y/:)", "www.x.y/;)", "std::vector", "a[1:]", "| :-: |", "|:-|"),
        *("x =(a+b)", "y =3", "x3", "x*", "|x| = 2", "Windows XP", ":smile:", ":p:", '{"a":[1]}', "C:/x", "and/or:/"),
        *("`:)`", "```\nprint(':)')\n```", "**Note:**", "comment ^^^^ above", "x^^2", "a &amp;) b", "$x :)$", "80-83"),
    ],
)
def test_the_same_signs_elsewhere_are_no_emoticons(text: str) -> None:
    assert emoticons(Sample(text).clean) == 0


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("emoji", "ok :) 🎉", 1),
        ("hyphens", "a well-known man of 20-30, born 2001-12-07, tel. 555-1234", 1),
        ("commas", "In 1,000 years, 3,5 of them", 1),
        ("semicolons", "ok; then ;) and ;D", 1),
        ("dashes", "from 2010–2015, 9 - 3 = 6 - well", 1),
        ("dashes", "it was — well… gone", 2),
        ("brackets", "f(x), item(s), [12], (2018), [here](https://x.y) and (just one)", 1),
        ("brackets", "a car(which is new)", 1),
        ("quotation marks", "'cause in the '90s I said 'no way', and don't", 1),
        ("ellipses", "1, 2, ..., 9 and [...] but well...", 1),
        ("kaomoji", '(...) (" ") (+++) (____) (^_^)', 1),
        ("kaomoji", "(╥_╥) and (*^_^*)", 2),
        ("other laughter", "hehe, call (555) 123 or 555-1234 at www.x.com, awww", 1),
        ("other laughter", "草www", 1),
        ("stretched words", "World War III was sooo long", 1),
        ("and as a sign", "me & you, mom + dad, x + y, 2 + 3", 2),
        ("lists", "```\n- a\n- b\n```\nThis is text.", 0),
    ],
)
def test_marks_are_counted_where_somebody_typed_them(name: str, text: str, expected: int) -> None:
    assert count(name, text) == expected


def test_letters_are_short_forms_only_where_they_are_words() -> None:
    formal = "It is shown that for n = 3 the plan b of group c, in O(n) and a.k.a. x, is not what they said it was."
    assert count("abbreviations", formal) == 0
    assert count("abbreviations", "what r u doing there b/c i know that you are not at home w/o it") == 4


def test_the_bold_of_a_text_is_counted_and_powers_are_not() -> None:
    assert count("bold and headings", "# One\n**two** three, 2**8 and x**2\n```\n# a comment\n```") == 2


def test_numbers_of_items_are_no_numbers_in_figures() -> None:
    index, text = NAMES.index("numerals"), "They are three: 1) what it is, 2) what it was and 3) what it will be."
    assert measure(text)[index] == 0
    assert measure(f"{text} I have 4.")[index] == 0
    assert measure(f"{text} I have 4 of them.")[index] == 0.5


def test_the_index_of_a_loop_is_no_small_i() -> None:
    index = NAMES.index("small i")
    assert math.isnan(measure("It is that (i) and a[i] are what they are, and i = 2 is what it was.")[index])
    assert measure("It is what i think and what I know, and it is that.")[index] == 0.5


def test_axes_that_say_one_habit_exist() -> None:
    assert not {name for pair in SAME for name in pair} - set(NAMES)


def test_a_quotation_is_what_was_written() -> None:
    text = "Look at https://a.b/c for all the details (see p. 8) and the rest of it. Ok."
    assert evidence([text], "brackets", 1) == "“Look at … for all the details (see p. 8) and the rest of it.”"


def test_the_sign_of_a_shortened_quotation_is_no_evidence_of_ellipses() -> None:
    assert evidence(["and on " * 30], "ellipses", 1) == ""
    assert evidence(["and on " * 30 + "\nwell... that was that then"], "ellipses", 1) == "“well... that was that then”"
