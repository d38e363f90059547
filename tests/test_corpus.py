"""The user's text: each format and each error on inputs small enough to check by eye."""

from __future__ import annotations

import io
import json
import os
import tarfile
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpert_cli.corpus import Corpus, Message, read
from xpert_cli.corpus.turns import clean
from xpert_cli.errors import BadInput
from xpert_cli.style.measured import evidence
from xpert_cli.style.sentences import Sample


def parse(name: str, text: str, author: str | None = None) -> list[Message]:
    """The messages of one file's text; sources begin with `name` in place of what standard input is called."""
    found = read(["-"], author=author, stdin=io.BytesIO(text.encode("utf-8", "surrogatepass"))).messages
    return [replace(one, source=one.source.replace("standard input", name)) for one in found]


def pairs(text: str, author: str | None = None) -> list[tuple[str, str]]:
    """What `parse` makes of one file, as (prompt, response)."""
    return [(message.prompt, message.response) for message in parse("f", text, author)]


def corpus(*texts: str) -> Corpus:
    return Corpus(tuple(Message("", text, f"f:{number}") for number, text in enumerate(texts, 1)))


def refusal(text: str, author: str | None = None) -> str:
    with pytest.raises(BadInput) as error:
        parse("f", text, author)
    assert "\n" not in str(error.value)
    return str(error.value).replace("standard input", "f")


# Records.


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Why?", "response": "Because."}, ("Why?", "Because.")),
        ({"instruction": "Sum", "input": "1 2", "output": "3"}, ("Sum\n1 2", "3")),
        ({"instruction": "Sum", "input": "", "output": "3"}, ("Sum", "3")),
        ({"Context": "Be brief.", "Input": "Hi", "Response": "Yo"}, ("Be brief.\nHi", "Yo")),
        ({"Context": "Be brief.", "Input": "<no input>", "Response": "Yo"}, ("Be brief.", "Yo")),
        ({"question": "2+2", "answer": "4"}, ("2+2", "4")),
        ({"prompt": None, "response": "Alone."}, ("", "Alone.")),
        ({"text": "Just this."}, ("", "Just this.")),
        ({"text": "Sum 3", "instruction": "Sum", "output": "3"}, ("Sum", "3")),
    ],
)
def test_a_record_is_a_prompt_and_a_response(record: dict[str, str], expected: tuple[str, str]) -> None:
    assert pairs(json.dumps(record)) == [expected]
    assert pairs(json.dumps([record, record], indent=1)) == [expected, expected]


def test_jsonl_sources_name_the_line_and_empty_responses_are_left_out() -> None:
    text = '{"text": "a"}\n\n{"text": " "}\n{"text": "b"}\n'
    assert parse("f.jsonl", text) == [Message("", "a", "f.jsonl:1"), Message("", "b", "f.jsonl:4")]


def test_array_sources_name_the_item() -> None:
    assert [message.source for message in parse("f", '[{"text": "a"}, {"text": "b"}]')] == ["f#1", "f#2"]


def test_text_is_nfc_with_plain_line_ends_and_without_what_utf8_cannot_hold() -> None:
    assert pairs(r'{"prompt": "e\u0301", "response": "a\r\nb\rc \ud800 \u0000"}') == [("é", "a\nb\nc \ufffd \ufffd")]


CHAT = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "See you"},
    ]
}


def test_openai_messages_are_the_assistants_unless_author_is_user() -> None:
    assert pairs(json.dumps(CHAT)) == [("Hello", "Hi!"), ("Bye", "See you")]
    assert pairs(json.dumps(CHAT), "user") == [("", "Hello"), ("Hi!", "Bye")]


def test_conversations_in_jsonl_do_not_run_into_each_other() -> None:
    line = json.dumps({"messages": [{"role": "assistant", "content": "First"}, {"role": "user", "content": "ok"}]})
    found = parse("f", f"{line}\n{line}")
    assert found == [Message("", "First", "f:1#1"), Message("", "First", "f:2#1")]


def test_telegram_joins_parts_and_runs_and_drops_service_and_forwarded_messages() -> None:
    export = {
        "name": "Bo",
        "messages": [
            {"type": "service", "actor": "Bo", "text": ""},
            {"type": "message", "from": "Bo", "text": "Coming?"},
            {"type": "message", "from": "Anna", "text": ["See ", {"type": "link", "text": "map"}]},
            {"type": "message", "from": "Anna", "text": "", "photo": "p.jpg"},
            {"type": "message", "from": "Anna", "text": "Chain letter", "forwarded_from": "Cy"},
            {"type": "message", "from": "Anna", "text": "soon"},
        ],
    }
    assert pairs(json.dumps(export, indent=1), "Anna") == [("Coming?", "See map\nsoon")]


def test_discord_authors_are_objects() -> None:
    export = {
        "messages": [
            {"type": "Default", "content": "gg", "author": {"name": "bo"}},
            {"type": "Reply", "content": "wp", "author": {"name": "anna"}},
            {"type": "ChannelPinnedMessage", "content": "Pinned a message.", "author": {"name": "anna"}},
        ]
    }
    assert pairs(json.dumps(export), "anna") == [("gg", "wp")]


# WhatsApp.

IPHONE = """\
[12/31/24, 10:15:02\u202fPM] Book club: \u200eMessages and calls are end-to-end encrypted.
[12/31/24, 10:15:09\u202fPM] Bo: Are you
coming?
\u200e[12/31/24, 10:15:30\u202fPM] ~\u202fAnna: \u200eimage omitted
[12/31/24, 10:16:00\u202fPM] ~\u202fAnna: Yes: at ten.
[12/31/24, 10:17:00\u202fPM] ~\u202fAnna: Save me cake
[12/31/24, 10:18:00\u202fPM] Bo: \u200eThis message was deleted.
"""
ANDROID = """\
31/12/2024, 22:15 - Messages and calls are end-to-end encrypted. Learn more.
31/12/2024, 22:15 - Bo changed the group name from "Old: x" to "New: y"
31/12/2024, 22:16 - Bo: Are you
coming?
31/12/2024, 22:17 - Anna: <Media omitted>
31/12/2024, 22:17 - Anna: Yes: at ten. <This message was edited>
31/12/2024, 22:18 - Bo added Cy
over two lines
31/12/2024, 22:18 - Anna: Save me cake
31/12/2024, 22:19 - Anna: IMG-1.jpg (file attached)
"""


@pytest.mark.parametrize("export", [IPHONE, ANDROID], ids=["iphone", "android"])
def test_whatsapp_keeps_only_what_people_said(export: str) -> None:
    assert pairs(export, "Anna") == [("Are you\ncoming?", "Yes: at ten.\nSave me cake")]
    assert pairs(export, "Bo") == [("", "Are you\ncoming?")]


@pytest.mark.parametrize("stamp", ["[31.12.24, 22:15:02]", "12/31/24, 10:15 p.m. -", "2024-12-31, 22.15 -"])
def test_whatsapp_stamps_of_other_places(stamp: str) -> None:
    assert pairs(f"{stamp} Anna: Hi", "Anna") == [("", "Hi")]


# Plain text and Markdown.


def test_paragraphs_are_samples_and_fragments_are_not() -> None:
    found = parse("f", "One two three.\nStill one.\n\nToo short\n \nFour five six.\n")
    assert found == [Message("", "One two three.\nStill one.", "f:1", True), Message("", "Four five six.", "f:6", True)]


def test_markdown_keeps_only_prose_and_its_line_numbers() -> None:
    text = """\
---
title: not this at all
---
# A heading of many words

A longer title here
===================

## Another heading right above
My first own words.

<!-- a comment
over lines -->
```python
print("some code here")

```
> somebody else's words entirely
My reply to that.

~~~
more code in here
~~~
"""
    assert parse("f", text) == [
        Message("", "My first own words.", "f:10", True),
        Message("", "My reply to that.", "f:19", True),
    ]


def test_the_line_that_introduces_a_quoted_mail_goes_with_it() -> None:
    text = "I agree with you.\n\nOn Mon, 3 Feb 2025 at 10:00, Bo <bo@example.org> wrote:\n> Do you agree with me?\n"
    assert pairs(text) == [("", "I agree with you.")]


def test_a_list_stays_with_the_paragraph_before_it() -> None:
    assert pairs("Bring these things:\n\n- a warm hat\n\n- two spoons please\n\nSee you on Sunday.") == [
        ("", "Bring these things:\n\n- a warm hat\n\n- two spoons please"),
        ("", "See you on Sunday."),
    ]


def test_a_list_without_a_paragraph_is_a_sample_a_block() -> None:
    assert pairs("- a warm hat\n\n- two spoons please") == [("", "- a warm hat"), ("", "- two spoons please")]


def test_characters_count_as_words_where_none_are_spaced() -> None:
    assert pairs("今日は雨です。") == [("", "今日は雨です。")]


def test_brackets_alone_do_not_make_json_or_a_chat() -> None:
    assert pairs("[Notes] on a rainy day") == [("", "[Notes] on a rainy day")]
    assert pairs("{curly} words are fine") == [("", "{curly} words are fine")]


# Files.


@pytest.mark.parametrize(
    "data",
    [
        b"Caf\xc3\xa9 and two more\r\nlines",
        b"\xef\xbb\xbfCafe\xcc\x81 and two more\nlines",
        "\ufeffCafé and two more\nlines".encode("utf-16-le"),
        "\ufeffCafé and two more\rlines".encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with mark, not NFC", "utf-16-le", "utf-16-be"],
)
def test_encodings(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert read([str(tmp_path / "a.txt")]).texts == ("Café and two more\nlines",)


def test_a_folder_is_read_in_sorted_order_without_hidden_empty_and_other_files(tmp_path: Path) -> None:
    for name, text in {
        "b.txt": "b has three words",
        "a/c.md": "c has three words",
        "empty.txt": "\n",
        "photo.png": "not read at all",
        ".git/d.txt": "not read at all",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read([str(tmp_path)]).texts == ("c has three words", "b has three words")


def test_a_folder_may_be_named_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").mkdir()
    (tmp_path / "notes.txt" / "a.txt").write_text("a has three words")
    assert read([str(tmp_path)]).texts == ("a has three words",)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_part_paragraphs(end: str) -> None:
    text = f"one two three{end}{end}four five six"
    assert read(["-"], stdin=io.BytesIO(text.encode())).texts == ("one two three", "four five six")


def test_standard_input_and_files_add_up(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a has three words")
    found = read([str(tmp_path / "a.txt"), "-"], stdin=io.BytesIO(b'{"text": "hi"}'))
    assert [(m.response, m.source.removeprefix(str(tmp_path))) for m in found.messages] == [
        ("a has three words", "/a.txt:1"),
        ("hi", "standard input:1"),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "a.txt is empty. Give"),
        (b" \n\n", "a.txt is empty. Give"),
        (b"# Only a heading here\n\ntwo words", "a.txt holds no usable text (1 fragment under three words). Give"),
        (b"text\nab\0c", "a.txt:2: byte 7 (0x00) is not text: a binary file. Save"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a.txt is a picture, not text: a binary file. Give"),
        (b"one\ntwo\nca\x81\x01\x02\x03\xfe\x81 noir", "a.txt:3: byte 10 (0x81) is not text: another encoding"),
        (b"\xef\xbb\xbfcaf\xe9", "a.txt:1: byte 6 (0xe9) is not text"),
    ],
)
def test_unusable_files(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(BadInput) as error:
        read([str(tmp_path / "a.txt")])
    assert str(error.value).startswith(f"{tmp_path}/{expected}")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.txt cannot be read: No such file or directory\. Check the path"):
        read([str(tmp_path / "gone.txt")])
    with pytest.raises(BadInput, match=r"^too long [tolng ]*cannot be read: File name too long\."):
        read(["too long\n" * 1000])
    with pytest.raises(BadInput, match=r"holds no file with text\. Name the files"):
        read([str(tmp_path)])
    with pytest.raises(BadInput, match="standard input is empty"):
        read(["-"], stdin=io.BytesIO())
    with pytest.raises(BadInput, match="no text was given"):
        read([""])


# What is wrong with a file's content.


def test_broken_jsonl_names_the_line() -> None:
    assert refusal('{"text": "a"}\n{"text": \n{"text": "c"}').startswith(
        "f:2: not valid JSON (column 10: Expecting value). "
    )
    assert refusal('oops\n{"text": "a"}\n{"text": "b"}').startswith(
        "f:1: not valid JSON (column 1: Expecting value). Each"
    )


def test_a_broken_document_names_the_line() -> None:
    assert refusal('[\n {"text": "a"},\n {"text" "b"}\n]').startswith("f:3: not valid JSON (column 10: ")


def test_deep_nesting_and_long_numbers_are_refused() -> None:
    assert refusal('{"text": ' + "[" * 100_000).startswith("f:1: ")
    assert refusal('{"text": ' + "1" * 5_000 + "}").startswith("f:1: ")


def test_unknown_fields_are_named_with_those_understood_but_no_text() -> None:
    message = refusal('{"body": "secret words", "date": "today"}')
    assert message.startswith("f:1: no known fields. Seen: body, date. Understood: a response (response, output, ")
    assert "secret" not in message
    assert refusal('{"messages": [{"sender": "Bo", "body": "x"}]}').startswith(
        "f:1: no known fields. Seen: body, sender."
    )


def test_fields_of_the_wrong_kind() -> None:
    assert refusal('{"prompt": "a", "response": 3}').startswith("f:1: field 'response' must be text, found a number.")
    assert refusal('["a", "b"]').startswith("f#1: expected a JSON object")


def test_a_chat_needs_its_author() -> None:
    assert (
        refusal(ANDROID)
        == "f: a conversation; which author are you? Found: Anna (2), Bo (1). Say it with --author NAME."
    )
    assert refusal(ANDROID, "Cy") == "f: no messages by Cy. Found: Anna (2), Bo (1). Name one with --author NAME."
    assert refusal('{"messages": [{"role": "user", "content": "hi"}]}').startswith(
        "f: no messages by assistant. Found: user (1)."
    )


# Digest and split.

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=30)


@given(TEXTS, st.randoms(use_true_random=False), st.integers(0, 9), st.floats(0.01, 0.99))
def test_order_does_not_matter(texts: list[str], random, seed: int, held_out: float) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(texts, len(texts))
    one, other = corpus(*texts), corpus(*shuffled)
    assert one.digest == other.digest
    assert [side.texts for side in one.split(held_out, seed)] == [side.texts for side in other.split(held_out, seed)]


@given(TEXTS, st.integers(0, 9), st.floats(0.01, 0.99))
def test_a_split_loses_nothing_and_keeps_duplicates_together(texts: list[str], seed: int, held_out: float) -> None:
    train, held = corpus(*texts, *texts).split(held_out, seed)
    assert sorted(train.texts + held.texts) == sorted(texts + texts)
    assert not set(train.texts) & set(held.texts)
    assert len(train) >= 1
    assert bool(len(held)) == (len(set(texts)) > 1)


def test_order_of_files_does_not_matter(tmp_path: Path) -> None:
    names = []
    for letter in "abc":
        (tmp_path / f"{letter}.txt").write_text("\n\n".join(f"{letter} says number {n}" for n in range(9)))
        names.append(str(tmp_path / f"{letter}.txt"))
    assert read(names).digest == read(names[::-1]).digest == read([str(tmp_path)]).digest
    assert [len(side) for side in read(names).split(0.3, 1)] == [len(side) for side in read(names[::-1]).split(0.3, 1)]


def test_a_message_stays_on_its_side_when_others_come() -> None:
    few, many = (corpus(*map(str, range(count))).split(0.5, 7) for count in (50, 100))
    assert set(few[0].texts) < set(many[0].texts)
    assert set(few[1].texts) < set(many[1].texts)


def test_the_share_held_out_is_about_what_was_asked_and_the_seed_changes_it() -> None:
    sides = [corpus(*map(str, range(1000))).split(0.2, seed)[1] for seed in (0, 1)]
    assert all(150 < len(side) < 250 for side in sides)
    assert sides[0].digest != sides[1].digest


def test_the_digest_sees_prompts_and_copies_but_not_sources() -> None:
    message = Message("p", "r", "a:1")
    assert Corpus((message,)).digest == Corpus((Message("p", "r", "b:2"),)).digest
    assert Corpus((message,)).digest != Corpus((message, message)).digest
    assert Corpus((message,)).digest != Corpus((Message("pr", "", "a:1"),)).digest


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(BadInput, match=r"must lie between 0 and 1, not .* Try 0\.2\."):
        corpus("a", "b").split(share, 0)


# What is packaged.

PROMPTS = Path(__file__).parent.parent / "prompts"


def test_probes_are_fifty_different_questions_of_six_to_twenty_words() -> None:
    probes = (PROMPTS / "probes.txt").read_text(encoding="utf-8").splitlines()
    assert len(probes) == len(set(probes)) == 50
    assert all(6 <= len(probe.split()) <= 20 for probe in probes)


@pytest.mark.parametrize(("name", "prompted"), [("mara.jsonl", True), ("okoro.md", False)])
def test_each_sample_writer_has_thirty_messages(name: str, prompted: bool) -> None:
    messages = read([str(PROMPTS / "writers" / name)]).messages
    assert len(messages) == len({tuple(message.response.split()[:2]) for message in messages}) == 30
    assert all(bool(message.prompt) is prompted and 30 <= len(message.response.split()) <= 120 for message in messages)


def test_paragraphs_of_one_file_are_joined_to_passages_and_messages_are_not():
    pair, words = Message("Hi?", "Hello there, you.", "a.jsonl:1"), "word " * 60
    prose = [Message("", f"{words}{number}", f"b.txt:{number}", True) for number in (1, 3, 5)]
    other = Message("", "Another file here.", "c.txt:1", True)
    corpus = Corpus((pair, *prose, other, pair))
    joined = f"{words}1\n\n{words}3"
    assert corpus.passages == ("Hello there, you.", joined, f"{words}5", "Another file here.", "Hello there, you.")
    assert not corpus.shows_length
    assert Corpus((pair, pair)).passages == Corpus((pair, pair)).texts
    assert Corpus((pair, pair)).shows_length


def test_hints_where_a_line_may_break_part_no_words(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("wir gehen zu\u00adsammen in die Stadt\u2060, und wir\ufeff bleiben zu\u200bsammen.\n", "utf-8")
    (text,) = read([str(file)]).texts
    assert text.endswith("zu\u200bsammen.")  # as it was typed
    assert Sample(text).raw == "wir gehen zusammen in die Stadt, und wir bleiben zusammen."
    assert Sample(text).tokens.count("zusammen") == 2
    assert evidence([text], "intensifiers, other languages", 1) == ""  # "zu", which the line does not hold
    assert evidence(["wir gehen jetzt zu oft in die Stadt."], "intensifiers, other languages", 1) != ""
    assert clean("\u200b\n ja \ufeff \u00ad") == "ja"
    joined = "\u0e01\u200b\u0e02 \U0001f468\u200d\U0001f469"
    assert (clean(joined), Sample(joined).raw) == (joined, joined)


def test_what_is_named_beside_its_folder_is_read_once_and_not_left_out(tmp_path: Path, links: None) -> None:
    inside, other = tmp_path / "mine", tmp_path / "other"
    (inside / ".hidden").mkdir(parents=True)
    other.mkdir()
    with zipfile.ZipFile(inside / "diary.zip", "w") as archive:
        archive.writestr("day.txt", "Today I wrote in my diary once more.")
    (inside / "note.txt").write_text("I wrote this note about the garden.")
    (inside / "plan.py").write_text("My plan for the garden is to dig.")
    (inside / ".hidden" / "one.txt").write_text("Nobody shall ever read this line here.")
    (other / "old.txt").write_text("This was written by me years ago.")
    (inside / "linked").symlink_to(other)
    (inside / "back").symlink_to(inside / ".hidden")
    (inside / "round").symlink_to(inside)
    (inside / "gone").symlink_to(tmp_path / "nowhere")
    os.link(inside / "note.txt", inside / "same.txt")
    folder = str(inside)

    def of(*names: str) -> tuple[int, dict[str, int], tuple[str, ...]]:
        reading = read([folder, *names]).reading
        assert reading == read([*names, folder]).reading
        return reading.messages, reading.left_out, reading.notes

    archive_note = f"{folder}/diary.zip is an archive inside {folder}. Name it beside, or unpack it."
    link_note = f"{folder}/linked is a link to a folder, and is not followed. Name it beside to read it."
    one = {"files of other kinds": 1, "hidden files": 1, "linked folders (not followed)": 1}
    one |= {"links to nothing": 1, "program and data files": 1}
    assert of() == (1, dict(sorted(one.items())), (link_note, archive_note))
    others = [f"{folder}/plan.py", f"{folder}/diary.zip", str(other), f"{folder}/.hidden/one.txt", f"{folder}/same.txt"]
    assert of(*others) == (5, {"links to nothing": 1}, ())
    assert of(f"{folder}/linked")[0] == 2
    os.link(inside / "diary.zip", inside / "same.zip")
    assert of(f"{folder}/same.zip")[1:] == of(f"{folder}/diary.zip")[1:]
    assert of(f"{folder}/diary.zip")[1] == {name: 1 for name in one if name != "files of other kinds"}
    assert read([f"{folder}/same.txt", f"{folder}/note.txt", f"{folder}/linked/../mine/note.txt"]).reading.messages == 1


def test_an_archive_and_a_pipe_inside_a_folder_are_said(tmp_path: Path) -> None:
    inside = tmp_path / "mine"
    inside.mkdir()
    os.mkfifo(inside / "pipe")  # as a link to a folder or to nothing
    with zipfile.ZipFile(inside / "chat.zip", "w") as archive:
        archive.writestr("_chat.txt", "[03.05.24, 10:00:00] Tove: Tea?")
    (inside / "note.txt").write_text("I wrote this note about the garden.")
    reading = read([str(inside)]).reading
    assert reading.left_out == {"files of other kinds": 1, "files that cannot be opened": 1}
    assert reading.notes == (f"{inside}/chat.zip is an archive inside {inside}. Name it beside, or unpack it.",)
    with pytest.raises(BadInput, match=r"Leave --author out\. .*is an archive inside"):
        read([str(inside)], author="Tove")


def test_what_two_sources_leave_out_is_counted_once(tmp_path: Path, links: None) -> None:
    inside, other = tmp_path / "mine", tmp_path / "other"
    (inside / "sub").mkdir(parents=True)
    other.mkdir()
    (inside / "note.txt").write_text("I wrote this note about the garden.")
    (inside / "sub" / "plan.txt").write_text("My plan for the garden is to dig.")
    (inside / "sub" / "photo.jpg").touch()
    (inside / "sub" / ".hidden").touch()
    (inside / "sub" / "linked").symlink_to(other)
    once = {"hidden files": 1, "linked folders (not followed)": 1, "media files": 1}
    for sources in ([str(inside), str(inside / "sub")], [str(inside / "sub"), str(inside)]):
        reading = read(sources).reading
        assert (reading.messages, reading.left_out, len(reading.notes)) == (2, once, 1)
    empty = tmp_path / "mine" / "pictures"
    empty.mkdir()
    (empty / "photo.jpg").touch()
    assert read([str(inside), str(empty)]).reading.left_out == {**once, "media files": 2}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_two_files_of_one_name_in_an_archive_are_refused(kind: str, tmp_path: Path) -> None:
    path, texts = tmp_path / f"two.{kind}", (b"I wrote this note about the garden.", b"And this one about the sea.")

    def write(names: tuple[str, str]) -> None:
        if kind == "zip":
            with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
                warnings.simplefilter("ignore")  # that a name comes again
                for name, text in zip(names, texts, strict=True):
                    archive.writestr(name, text)
            return
        with tarfile.open(path, "w") as tar:
            for name, text in zip(names, texts, strict=True):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))

    write(("a/note.txt", "a/note.txt"))
    with pytest.raises(BadInput) as caught:
        read([str(path)])
    said = f"{path} holds 2 files called a/note.txt. Unpack the one that you mean, and name it."
    assert str(caught.value) == said
    write(("a/note.txt", "b/note.txt"))
    assert len(read([str(path)])) == 2
    write(("a/note.txt", "photo.jpg"))
    assert len(read([str(path)])) == 1
