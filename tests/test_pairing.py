"""What a message answers and what was said before it: sessions, bursts, groups, and the normal form that keeps them."""

from __future__ import annotations

import io
import json

import pytest

from xpert_cli.corpus import Message, Wanted, read, record
from xpert_cli.corpus.pairing import GAP, paired
from xpert_cli.corpus.turns import Conversation, Turn
from xpert_cli.errors import BadInput

HOUR = 3600.0


def talk(*said: tuple[str, str, float | None]) -> Conversation:
    """A conversation of (author, text, hours)."""
    turns = [
        Turn(who, text, f"f:{n}", None if at is None else 1.7e9 + at * HOUR)
        for n, (who, text, at) in enumerate(said, 1)
    ]
    return Conversation("f", turns)


def pairs(conversation: Conversation, *mine: str) -> list[tuple[str, str]]:
    return [(one.prompt, one.response) for one in paired(conversation, mine or {"Ilse"})]


def test_what_one_person_sends_in_a_row_is_one_turn() -> None:
    chat = talk(("Tove", "Ready?", 0), ("Tove", "Hello?", 0.1), ("Ilse", "nearly", 0.2), ("Ilse", "wait", 0.3))
    assert pairs(chat) == [("Ready?\nHello?", "nearly\nwait")]


def test_after_a_long_silence_nothing_is_answered_or_continued() -> None:
    gap = GAP / HOUR
    late = talk(("Tove", "Ready?", 0), ("Ilse", "yes", gap + 0.1), ("Ilse", "and you", 2 * gap + 0.2))
    assert pairs(late) == [("", "yes"), ("", "and you")]
    soon = talk(("Tove", "Ready?", 0), ("Ilse", "yes", gap - 0.1))
    assert pairs(soon) == [("Ready?", "yes")]


def test_the_turns_before_go_along_up_to_the_silence() -> None:
    chat = talk(("Tove", "old", -100), ("Tove", "a?", 0), ("Ilse", "b", 0.1), ("Tove", "c?", 0.2), ("Ilse", "d", 0.3))
    *_, last = paired(chat, {"Ilse"})
    assert last == Message("c?", "d", "f:5", False, (("user", "a?"), ("assistant", "b")), 1.7e9 + 0.3 * HOUR, ("Tove",))


def test_in_a_group_each_line_has_its_speaker() -> None:
    chat = talk(("Tove", "soup?", None), ("Olaf", "fish!", None), ("Ilse", "soup", None))
    assert pairs(chat) == [("Tove: soup?\nOlaf: fish!", "soup")]


def test_a_speaker_without_a_name_parts_their_neighbours() -> None:
    chat = talk(("Ilse", "one", None), ("", "two", None), ("Ilse", "three", None))
    assert pairs(chat) == [("", "one"), ("two", "three")]


def test_several_names_are_one_author() -> None:
    chat = talk(("Ilse", "one", None), ("ilse_b", "two", None), ("Tove", "three", None), ("ilse_b", "four", None))
    assert pairs(chat, "Ilse", "ilse_b") == [("", "one\ntwo"), ("three", "four")]


def test_the_normal_form_is_read_back_as_it_was_written() -> None:
    chat = talk(("Tove", "a?", 0), ("Olaf", "b?", 0), ("Ilse", "c", 0), ("Tove", "d?", 0), ("Ilse", "e", 0))
    prose = Message("", "Three words here.", "notes.md:7", True)
    messages = [*paired(chat, {"Ilse"}), prose, Message("Why?", "Because.", "x.jsonl:1")]
    lines = "\n".join(json.dumps(record(one)) for one in messages)
    back = read(["-"], stdin=io.BytesIO(lines.encode())).messages
    assert list(back) == messages


def test_the_normal_form_is_openais_with_earlier_answers_at_weight_0() -> None:
    message = Message("c?", "d", "f:4", False, (("user", "a?"), ("assistant", "b")), 1.7e9, ("Tove",))
    assert record(message) == {
        "messages": [
            {"role": "user", "content": "a?"},
            {"role": "assistant", "content": "b", "weight": 0},
            {"role": "user", "content": "c?"},
            {"role": "assistant", "content": "d"},
        ],
        "time": "2023-11-14T22:13:20",
        "source": "f:4",
        "speakers": ["Tove"],
    }


CHAT = b"""\
03.05.24, 10:00 - Tove: Tea?
03.05.24, 10:01 - Ilse: Always.
04.05.24, 10:00 - Tove: Cake?
04.05.24, 10:01 - Ilse: secret plans
05.05.24, 10:00 - Tove: Pie?
05.05.24, 10:01 - Ilse: Never.
"""


def wanted(**options: object) -> tuple[str, ...]:
    chosen = {"since": None, "until": None, "exclude": (), "hours": None} | options
    return read(["-"], author="Ilse", stdin=io.BytesIO(CHAT), wanted=Wanted.of(**chosen)).texts  # type: ignore[arg-type]


def test_dates_and_patterns_choose_messages() -> None:
    assert wanted() == ("Always.", "secret plans", "Never.")
    assert wanted(since="2024-05-04") == ("secret plans", "Never.")
    assert wanted(until="2024-05-04") == ("Always.",)
    assert wanted(exclude=["SECRET"]) == ("Always.", "Never.")
    assert wanted(since="2024-05-05", until="2024-05-06") == ("Never.",)


def test_what_is_no_date_or_pattern_is_refused() -> None:
    with pytest.raises(BadInput, match="--since 'soon' is no date"):
        wanted(since="soon")
    with pytest.raises(BadInput, match="is no regular expression"):
        wanted(exclude=["("])
