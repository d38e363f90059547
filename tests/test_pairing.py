"""What a message answers and what was said before it: sessions, bursts, groups, and the normal form that keeps them."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

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


def mails(*said: tuple[str, str, int, str, str]) -> str:
    """An mbox of (author, text, hour, id, id of what it answers), all of one subject."""
    return "".join(
        f"From x Mon Jan 01 10:00:00 2024\nFrom: {who} <{who.lower()}@x.org>\nTo: all@x.org\nSubject: Re: Lake\n"
        f"Date: {format_datetime(datetime.fromtimestamp(1.7e9 + at * HOUR, timezone.utc))}\n"
        + (f"Message-ID: <{name}@x>\n" if name else "")
        + (f"In-Reply-To: <{answers}@x>\n" if answers else "")
        + f"\n{text}\n\n"
        for who, text, at, name, answers in said
    )


def mailed(tmp_path: Path, *said: tuple[str, str, int, str, str], author: str = "Ilse") -> set[tuple[str, str]]:
    (tmp_path / "all.mbox").write_text(mails(*said), "utf-8")
    found = read([str(tmp_path / "all.mbox")], author=[author])
    assert len(found) == len({one.source for one in found.messages})  # nothing is learnt twice
    return {(one.prompt, one.response) for one in found.messages}


def test_a_mail_answers_the_one_that_it_names_however_late(tmp_path: Path) -> None:
    assert mailed(
        tmp_path,
        ("Tove", "Who comes to the lake?", 0, "1", ""),
        ("Bo", "I bring the bread.", 1, "2", "1"),
        ("Ilse", "I do, on Sunday.", 50, "3", "1"),
        ("Ilse", "Bread is a good idea.", 51, "4", "2"),
        ("Tove", "See you there!", 60, "5", "3"),
        ("Ilse", "See you!", 99, "6", "5"),
    ) == {
        ("Who comes to the lake?", "I do, on Sunday."),
        ("Tove: Who comes to the lake?\nBo: I bring the bread.", "Bread is a good idea."),
        ("See you there!", "See you!"),
    }


def test_mails_that_name_nothing_go_by_subject_and_those_of_lost_mails_answer_nothing(tmp_path: Path) -> None:
    first, second = ("Tove", "Who comes to the lake?", 0, "1", ""), ("Ilse", "I do, on Sunday.", 1, "2", "")
    assert mailed(tmp_path, first, second) == {("Who comes to the lake?", "I do, on Sunday.")}
    lost = ("Ilse", "Of course, as you say.", 2, "3", "gone")
    assert mailed(tmp_path, first, lost) == {("", "Of course, as you say.")}
    nameless = ("Tove", "Who comes to the lake?", 0, "", "")  # may be the lost one
    assert mailed(tmp_path, nameless, lost) == {("Who comes to the lake?", "Of course, as you say.")}


def test_mails_in_a_circle_are_read_once_each(tmp_path: Path) -> None:
    circle = (("Tove", "One and two.", 0, "1", "2"), ("Ilse", "Two and three.", 1, "2", "1"))
    assert mailed(tmp_path, *circle) == {("One and two.", "Two and three.")}
    assert mailed(tmp_path, ("Ilse", "To myself.", 0, "1", "1")) == {("", "To myself.")}


def test_authors_that_are_both_sides_of_a_talk_are_said(tmp_path: Path) -> None:
    names = ("Ilse", "Tove")
    lines = [f"[01/02/24, 10:0{n}:00] {names[n % 2]}: what was said here, number {n}" for n in range(6)]
    (tmp_path / "chat.txt").write_text("\n".join(lines), "utf-8")
    both = read([str(tmp_path / "chat.txt")], author=["Ilse", "Tove"])
    assert both.reading.notes == (
        "1 conversation is between the authors that you named alone: Ilse and Tove are read as one person, and answer "
        "nobody. Name one of them if they are two.",
    )
    assert read([str(tmp_path / "chat.txt")], author=["Ilse"]).reading.notes == ()


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


DOUBT = "dates such as 3/5/2024 are read with the %s first, which may be wrong"
DOUBT_5 = DOUBT.replace("3/5", "5/3")


@pytest.mark.parametrize(
    ("stamps", "since", "first", "note"),
    [
        (["03/05/24, 10:00"], "2024-04-01", 1, DOUBT % "day"),
        (["03/05/24, 10:00 AM"], "2024-04-01", 0, DOUBT % "month"),
        (["03/05/24, 10:00", "04/05/24, 10:00"], "2024-04-01", 2, DOUBT % "day"),
        # Three days in a row, or the fifth of three months; the same, months first; neither number stays the same.
        (["03/05/24, 10:00", "04/05/24, 10:00", "05/05/24, 10:00"], "2024-04-01", 3, DOUBT % "day"),
        (["05/03/24, 10:00", "05/04/24, 10:00", "05/05/24, 10:00"], "2024-05-01", 3, DOUBT_5 % "month"),
        (["03/05/24, 10:00", "04/05/24, 10:00", "02/06/24, 10:00"], "2024-04-01", 3, ""),
        (["2024-05-03, 10:00"], "2024-04-01", 1, ""),  # the year first
        (["03.05.24, 10:00"], "2024-04-01", 1, ""),  # dots
        (["03/05/24, 10:00", "13/05/24, 10:00"], "2024-04-01", 2, ""),
        (["05/05/24, 10:00"], "2024-04-01", 1, ""),  # one day, whichever is first
        (["03/05/24, 10:00"], None, 1, ""),  # no date is asked for
    ],
)
def test_dates_that_can_be_read_in_two_ways_are_said(
    stamps: list[str], since: str | None, first: int, note: str
) -> None:
    chat = "".join(f"{stamp} - Tove: Tea number {n}?\n{stamp} - Ilse: Always {n}.\n" for n, stamp in enumerate(stamps))
    source = {"author": "Ilse", "stdin": io.BytesIO(chat.encode()), "wanted": Wanted.of(since, None, (), None)}
    if not first:
        with pytest.raises(BadInput, match=f"1 outside the dates; {note}"):
            read(["-"], **source)  # type: ignore[arg-type]
        return
    corpus = read(["-"], **source)  # type: ignore[arg-type]
    assert (len(corpus.texts), corpus.reading.notes) == (first, (note,) if note else ())


def test_what_is_no_date_or_pattern_is_refused() -> None:
    with pytest.raises(BadInput, match="--since 'soon' is no date"):
        wanted(since="soon")
    with pytest.raises(BadInput, match="is no regular expression"):
        wanted(exclude=["("])
