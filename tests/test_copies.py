"""Longer texts that a person sent several times count once; short ones are habits, and count each time."""

from __future__ import annotations

import json
from pathlib import Path

from xpert_cli.corpus import Message, Wanted, read
from xpert_cli.corpus.copies import without_copies

LETTER = (
    "Forward this letter to ten of your friends before midnight or the good luck of seven years will leave your house."
)
REPLY = "Hi, thanks for your message! I am on holiday until May 5 and will answer as soon as I am back in the office."


def messages(*texts: str) -> list[Message]:
    return [Message("", text, f"f:{number}", time=float(number)) for number, text in enumerate(texts, 1)]


def test_a_chain_letter_and_a_pasted_reply_count_once() -> None:
    other = REPLY.replace("May 5", "June 12").replace("!", " 🙂").upper()
    kept, copies = without_copies(messages(LETTER, REPLY, f"{LETTER} 🙏🙏", other, LETTER))
    assert ([one.source for one in kept], copies) == (["f:1", "f:2"], 3)


def test_a_letter_with_two_words_changed_is_the_same_and_half_of_it_is_not() -> None:
    changed = LETTER.replace("seven", "nine")
    half = LETTER.replace(
        "or the good luck of seven years will leave your house", "because I do not believe in any of this"
    )
    kept, copies = without_copies(messages(LETTER, changed, half))
    assert ([one.source for one in kept], copies) == (["f:1", "f:3"], 1)


def test_short_messages_are_habits() -> None:
    kept, copies = without_copies(messages(*["on my way, see you soon"] * 5, "ok", "ok"))
    assert (len(kept), copies) == (7, 0)


def test_languages_without_spaces_have_characters_for_words() -> None:
    kept, copies = without_copies(
        messages("请把这条消息转发给你的十个朋友", "请把这条消息转发给你的十个朋友！！", "好的")
    )
    assert ([one.source for one in kept], copies) == (["f:1", "f:3"], 1)


def test_the_earliest_stays_whatever_the_order_of_files() -> None:
    first, second, third = messages(LETTER, f"{LETTER}!", REPLY)
    for order in ([first, second, third], [third, second, first]):
        kept, _ = without_copies(order)
        assert {one.source for one in kept} == {"f:1", "f:3"}


def test_copies_are_counted_among_what_was_left_out(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in (LETTER, REPLY, LETTER)), "utf-8")
    corpus = read([str(file)])
    assert corpus.texts == (LETTER, REPLY)
    assert corpus.reading.line == "read 2 texts (JSON records, 3 as sent); left out: 1 copy of longer texts"
    assert read([str(file)], wanted=Wanted(copies=True)).texts == (LETTER, REPLY, LETTER)
