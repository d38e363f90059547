"""Which names are one person: by their messages, whatever the order, the case and the number of names."""

from __future__ import annotations

from xpert_cli.corpus.persons import keys, persons


def said(first: int, after: int) -> frozenset[int]:
    return keys(f"this is message number {number}" for number in range(first, after))


def test_case_and_spacing_of_a_message_do_not_count():
    assert keys(["Hello  there", "hello there\n", "HELLO THERE"]) == keys(["hello there"])
    assert len(keys(["hello there", "hello there!", "", "\ud800"])) == 4


def test_half_of_a_names_messages_make_it_another_persons():
    assert persons({"b": said(0, 10), "a": said(0, 10)}) == {"a": "a", "b": "a"}
    assert persons({"a": said(0, 10), "b": said(0, 20)}) == {"a": "b", "b": "b"}  # who wrote more is counted
    assert persons({"a": said(0, 10), "b": said(5, 15)}) == {"a": "a", "b": "a"}
    assert persons({"a": said(0, 10), "b": said(6, 16)}) == {"a": "a", "b": "b"}
    assert persons({"a": said(0, 9), "b": said(5, 14)}) == {"a": "a", "b": "b"}  # 4 of 9
    assert persons({"a": said(0, 9), "b": said(4, 13)}) == {"a": "a", "b": "a"}  # 5 of 9


def test_two_people_stay_two_where_a_third_name_has_messages_of_both():
    written = {"a": said(0, 10), "b": said(10, 20), "both": said(6, 14)}
    assert persons(written) == {"a": "a", "b": "b", "both": "a"}
    written["both"] = said(6, 16)  # as many as they have, and four and six of theirs
    assert persons(written) == {"a": "a", "b": "b", "both": "b"}


def test_a_hundred_names_of_one_person_are_one():
    written = {f"n{number:03}": said(0, 30 + number % 3) for number in range(100)} | {"other": said(100, 130)}
    assert set(persons(written).values()) == {"n002", "other"}


def test_everyday_messages_make_nobody_anothers():
    greetings = keys(["hi", "how are you?", "fine", "ok"])
    written = {f"n{number:03}": greetings | said(100 * number, 100 * number + 6) for number in range(50)}
    assert persons(written) == {name: name for name in written}
    assert persons({}) == {}
