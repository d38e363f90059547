"""What is private is replaced before anything is learnt, everywhere a message keeps text, and counted."""

from __future__ import annotations

import pytest

from xpert_cli.corpus import Corpus, Message
from xpert_cli.corpus.scrub import scrub

pytest.importorskip("detect_secrets")  # of the extra publish

PHONE, MAIL, LINK = "+49 170 1234567", "tove@example.org", "https://example.org/a?token=1"


def replaced(text: str, *speakers: str) -> str:
    return scrub(Corpus((Message("", text, "f:1", speakers=speakers),))).corpus.messages[0].response


def test_every_field_is_replaced_and_one_thing_has_one_placeholder() -> None:
    message = Message(
        f"Tove: {PHONE}?",
        f"no, tove, {PHONE}",
        "Chat with Tove.txt:3",
        False,
        (("user", f"write {MAIL}"),),
        1.0,
        ("Tove Lind",),
    )
    result = scrub(Corpus((message, Message(MAIL, f"see {LINK}.", "Chat with Tove.txt:9"))))
    assert result.corpus.messages == (
        Message(
            "[name 1]: [phone 1]?", "no, [name 1], [phone 1]", "file 1:3", False, (("user", "write [mail 1]"),), 1.0
        ),
        Message("[mail 1]", "see [link 1].", "file 1:9"),
    )
    assert result.counts == {"names": 2, "telephone numbers": 2, "e-mail addresses": 2, "links": 1}
    assert result.line == ("replaced before training: e-mail addresses 2, names 2, telephone numbers 2, links 1")


def test_names_in_any_case_in_parts_and_in_scripts_without_spaces() -> None:
    assert replaced("Lind's cat saw TOVE and @tove", "Tove Lind") == "[name 1]'s cat saw [name 1] and [name 1]"
    assert replaced("昨日蓮太さんと", "蓮太") == "昨日[name 1]さんと"
    assert replaced("a stove", "Tove Lind") == "a stove"


def test_parts_of_names_that_are_common_words_stay() -> None:
    assert replaced("I will, Will May says", "Will May") == "I will, [name 1] says"


def test_secrets_numbers_handles_and_no_dates() -> None:
    assert replaced("key AKIAIOSFODNN7EXAMPLE") == "key [secret 1]"
    assert replaced("card 4111 1111 1111 1111") == "card [number 1]"
    assert replaced("on 2024-05-06 at 10:30, 250 grams") == "on 2024-05-06 at 10:30, 250 grams"
    assert replaced("ask @olaf_77 or mail x") == "ask [handle 1] or mail x"


def test_text_without_anything_private_is_untouched() -> None:
    assert scrub(Corpus((Message("Tea?", "Always.", "a.txt:1"),))).counts == {}
