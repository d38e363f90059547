"""Looking for secrets and personal data: what is found, what is left alone, what is told, and that nothing is sent."""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections import Counter
from typing import Any

import pytest
from private_planted import planted

from xpert_cli import paths
from xpert_cli.corpus import private_data
from xpert_cli.corpus.private_data import Finding, scan, spans
from xpert_cli.errors import MissingExtra

pytest.importorskip("detect_secrets", reason="the extra publish is not installed")

# All made up, or printed in manuals as examples. Keys are joined here so that no scanner of code takes them for real.
FOUND = [
    ("e-mail address", "write to anna.m@posteo.de, please"),
    ("e-mail address", "jörg+shop@müller-söhne.example.co.uk"),
    ("IBAN", "send it to DE89 3704 0044 0532 0130 00 PLEASE"),
    ("IBAN", "gb82west12345698765432"),
    ("credit card number", "card 4111 1111 1111 1111, until 12/29"),
    ("credit card number", "5555-5555-5555-4444"),
    ("credit card number", "378282246310005"),
    ("US social security number", "my SSN is 536-90-4399."),
    ("Indian Aadhaar number", "2341 2341 2346"),
    ("German tax number", "Steuer-ID 36 574 261 809"),
    ("French social security number", "2 95 10 99 126 111 93"),
    ("Spanish identity number", "DNI 54362315-K"),
    ("Italian tax code", "RCCMNL83S18D969H"),
    ("Brazilian CPF number", "390.533.447-05"),
    ("Polish PESEL number", "44051401359"),
    ("Chinese identity number", "360426199101010071"),
    ("UK NHS number", "943 476 5870"),
    ("UK national insurance number", "AB 12 34 56 C"),
    ("telephone number", "call me on +49 171 2345678 tonight"),
    ("telephone number", "0171 234 56 78"),
    ("telephone number", "(415) 555-2671"),
    ("telephone number", "415.555.2671"),
    ("telephone number", "4155552671"),
    ("telephone number", "06 12 34 56 78"),
    ("telephone number", "020 7946 0958"),
    ("telephone number", "+33 6 12 34 56 78"),
    ("telephone number", "98765 43210"),
    ("telephone number", "415‑555‑2671"),
    ("IP address", "the server is 84.17.53.155"),
    ("IP address", "2a00:1450:4001:82a::200e"),
    ("street address", "I live at 221 Baker Street now"),
    ("street address", "14 N Maple Grove Ave"),
    ("street address", "Hauptstraße 12b"),
    ("street address", "12 bis, rue de la Paix"),
    ("password", "the wifi password is hunter2024"),
    ("password", 'api_key = "q8v2kk19"'),
    ("PIN", "the PIN is 4821"),
    ("long random string", "use 7Fq2Lx9ZpR4vT8wB3nYk please"),
    ("long random string", "9e107d9d372bb6826bd81d3542a419d6"),
    ("AWS Access Key", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("GitHub Token", "ghp" + "_" + "a1B2c3" * 6),
    ("JSON Web Token", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxIn0.c2lnbmVk"),
    ("Private Key", "-----BEGIN " + "RSA PRIVATE KEY-----"),
    ("Basic Auth Credentials", "https://anna:" + "geheim@host.example"),
    ("Stripe Access Key", "sk" + "_live_" + "a1B2c3d4e5F6g7H8i9J0k1L2"),
]
LEFT_ALONE = """
On 2024-03-15 at 12:30 we met, on 15.03.2024 14:00 again, and from 12/05/2023 to 14/06/2024 not at all.
Some 1,234,567,890 people; pi is 3.14159265358979; the ISBN is 978-3-16-148410-0.
10 20 30 40 50 60, then 1 2 3 4 5 6 7 8 9 10, then 4 8 15 16 23 42, and 1. 2. 3. 4. 5. 6. 7. 8. 9.
The scores were 21-15, 21-18, 22-20; ages 0-9  10-19   20-29; the wars of 1914-1918 and 1939-1945.
$1,200,000.00 for version 10.0.19045, flight LH 2034 on 12.12. at 06:45, 52.520008, 13.404954, 100 000 000 000.
Our router is 192.168.0.1, localhost is 127.0.0.1 or ::1, and the video starts at 1:02:33:04.
My password manager forgets passwords. Token of love, PIN it to the wall, a secret is a secret.
4111 1111 1111 1112 has the wrong last digit, DE89 3704 0044 0532 0130 01 as well, and 000-12-3456 nobody has.
supercalifragilisticexpialidocious well-known-state-of-the-art-things Antidisestablishmentarianism2
We saw 12 Angry Men, took 3 Long Walks, and met @anna at noon @ the café. 5 Main ideas: none.
"""


@pytest.mark.parametrize(("kind", "text"), FOUND)
def test_finds(kind: str, text: str) -> None:
    assert [finding.kind for finding in scan([text])] == [kind]


@pytest.mark.parametrize("line", LEFT_ALONE.strip().splitlines())
def test_leaves_alone(line: str) -> None:
    assert scan([line]) == ()


def test_tells_the_text_the_line_and_the_ends_only() -> None:
    texts = ["nothing here", "hello\nanna.m@posteo.de\n\nthe PIN is 4821, or call 0171 234 56 78"]
    assert scan(texts) == (
        Finding("e-mail address", 1, 2, "e-mail address, 16 characters, a…e"),
        Finding("PIN", 1, 4, "PIN, 4 characters"),
        Finding("telephone number", 1, 4, "telephone number, 14 characters, 0…8"),
    )


def test_no_hint_repeats_what_was_found() -> None:
    for _, text in FOUND:
        for finding in scan([text]):
            shown = finding.hint.removeprefix(finding.kind)
            assert not any(word in shown for word in text.split() if len(word) > 3), finding


def test_one_thing_is_told_once() -> None:
    assert len(scan(["https://anna:" + "geheim@host.example"])) == 1  # its end looks like an e-mail address
    assert len(scan(["4111 1111 1111 1111"])) == 1  # its beginning looks like an identity number


def test_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("something was to be sent")

    private_data._rules.cache_clear()
    for owner, name in ((socket, "socket"), (socket, "getaddrinfo"), (requests.Session, "request")):
        monkeypatch.setattr(owner, name, refuse)
    assert len(scan([text for _, text in FOUND])) == len(FOUND)


def test_names_the_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    private_data._rules.cache_clear()
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(MissingExtra, match=r"looking for personal data .*xpert-cli\[publish\]"):
        scan(["hello"])


@pytest.mark.parametrize("unit", ["a", "A1", "1 ", "a@", "a.", "Aa ", ": ", "::", "pwd ", "0-", "= "])
def test_a_long_line_ends(unit: str) -> None:
    scan([unit * 5_000])  # an expression that tries every end from every start would take minutes


# -- how much is found, and how fast


def test_ninety_of_a_hundred_planted_things_are_found() -> None:
    things = planted()
    missed = [(kind, text) for kind, text in things if not scan([text])]
    assert len(things) == 100
    assert len(missed) <= 10, missed
    by_kind = Counter(kind for kind, _ in missed)
    assert all(count <= 3 for count in by_kind.values()), missed


def test_of_ordinary_texts_less_than_one_in_a_hundred_is_suspected() -> None:
    answers = (paths.packaged("adapters") / "base_answers.jsonl").read_text("utf-8").splitlines()
    writers = sorted((paths.packaged("prompts") / "writers").glob("*"))
    texts = [json.loads(line)["response"] for line in answers]
    texts += [part for path in writers for part in path.read_text("utf-8").split("\n")]
    texts += LEFT_ALONE.strip().splitlines()
    found = scan(texts)
    assert len(texts) > 100
    assert len({finding.message for finding in found}) < len(texts) / 100, found


def test_what_is_found_lies_where_it_was_written() -> None:
    text = "ok\u200b \uff54 anna\u200b.m@poste\u200bo.de\n\nDE89 3704 0044\n0532 0130 00 bye"
    assert [(kind, text[start:end]) for kind, start, end in spans(text)] == [
        ("e-mail address", "anna\u200b.m@poste\u200bo.de"),
        ("IBAN", "DE89 3704 0044\n0532 0130 00"),
    ]


def test_what_line_breaks_part_is_no_new_thing_where_lines_are_whole() -> None:
    assert scan(["see you at home\nanna.m@posteo.de\nbye"]) == (
        Finding("e-mail address", 0, 2, "e-mail address, 16 characters, a…e"),
    )
    assert scan(["\n".join(str(year) for year in range(1900, 2030))]) == ()


def test_a_long_line_is_searched_to_its_end() -> None:
    text = "word " * 2000 + "anna.m@posteo.de" + " word" * 2000 + " gb82west12345698765432"
    assert [text[start:end] for _, start, end in spans(text)] == ["anna.m@posteo.de", "gb82west12345698765432"]


@pytest.mark.parametrize(
    "unit", ["token" + " " * 1200, "a@b.de ", "%%%", "A-A-", "1 ", "é\u0301", "x", "key= ", "ab\n", "\u200b", "sk-"]
)
def test_the_work_grows_with_the_length_and_no_faster(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters handed to the rules, and the longest piece: no rule ever sees more than a bounded line."""
    work: list[int] = []
    plain = private_data._spans_in

    def counted(line: str, rules: Any) -> Any:
        work.append(len(line))
        return plain(line, rules[:1])

    monkeypatch.setattr(private_data, "_spans_in", counted)
    done = []
    for length in (20_000, 40_000):
        work.clear()
        spans((unit * (length // len(unit) + 1))[:length])
        done.append(sum(work))
        assert max(work, default=0) <= private_data._PIECE
    assert done[1] <= 2.2 * done[0] + 4 * private_data._PIECE


@pytest.mark.parametrize("unit", ["A-", "00 ", "(1", "+1", "1-", "a-", "%'", "Ab-", "Straß-", "123456789,"])
def test_no_shape_costs_many_times_what_words_cost(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time, the least of three tries: an expression tried from each character of a run cost twenty times.

    What words cost is measured with every rule, of which they need none.
    """

    def cost(text: str) -> float:
        tries = []
        for turn in range(3):
            began = time.process_time()
            spans(f"{turn}.{text}")
            tries.append(time.process_time() - began)
        return min(tries)

    with monkeypatch.context() as with_every_rule:
        with_every_rule.setattr(private_data.needs, "facts", lambda line: -1)
        words = cost("word " * 1200)
    assert cost(unit * (6_000 // len(unit))) < 8 * words


def test_what_a_line_needs_for_a_rule_is_there_wherever_the_rule_finds_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each thing alone and parted by a line break between others: the same as where every rule is tried."""
    things = [text for seed in (1, 2) for _, text in planted(seed)] + [text for _, text in FOUND]
    things += LEFT_ALONE.strip().splitlines()
    draw = random.Random(0)
    texts = [*things, "id ⁵ key-" + "a" * 32, "::1", "fe80::1", "x@y.de", "calle 5 12"]
    for thing in things:
        at = draw.randrange(1, len(thing))
        texts.append(f"{draw.choice(things)}\n{thing[:at]}\n{thing[at:]}, {draw.choice(things)}")
    few = [spans(text) for text in texts]
    monkeypatch.setattr(private_data.needs, "facts", lambda line: -1)
    assert few == [spans(text) for text in texts]


def test_of_a_line_of_words_hardly_a_rule_is_tried() -> None:
    def tried(line: str) -> int:
        lacks = ~private_data.needs.facts(line)
        return sum(not need & lacks for _, _, need in private_data._rules())

    assert len(private_data._rules()) > 150
    assert tried("see you at home then") == 0
    assert tried("at 12:30, as always") < 30
    assert tried("A-" * 500) < 80


def test_every_number_of_a_long_row_is_found() -> None:
    numbers = [f"0171 234 56{two}" for two in range(10, 40)]
    text = "numbers: " + " / ".join(numbers) + ", 12.03.2024 1914-1918, +33 6 12 34 56 78"
    found = [text[start:end] for kind, start, end in spans(text) if kind == "telephone number"]
    assert found == [*numbers, "+33 6 12 34 56 78"]
