"""Files that are never in memory as a whole: read as small ones are, and what is broken in them is said too."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from xpert_cli.corpus import large_json, read, sources
from xpert_cli.corpus.large_json import Items, Strange, Values
from xpert_cli.errors import BadInput


@pytest.fixture(params=[40, 64, 1 << 20], ids=["40 bytes", "64 bytes", "1 MB"])
def streamed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every file counts as large, and is read in chunks of so many bytes."""
    monkeypatch.setattr(sources, "STREAMED", 0)
    monkeypatch.setattr(large_json, "CHUNK", request.param)
    return int(request.param)


def values(text: str | bytes) -> Values:
    data = text if isinstance(text, bytes) else text.encode()
    return Values("f", lambda: io.BytesIO(data))


DOCUMENT: dict[str, Any] = {
    "name": "Tove 🐈",
    "numbers": [1, -2.5e3, True, None, '\u2028 \\ " \n'],
    "messages": [{"id": number, "text": f"nümber {number} 🎉 " * (number % 4)} for number in range(60)],
    "chats": {"list": [{"messages": [{"text": "a" * 30}] * 9}, {"messages": []}, {"other": {"deep": [[], [1, [2]]]}}]},
    "empty": {},
}


def plain(value: Any) -> Any:
    """The same value with lists in the place of Items."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | Items) else value


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_document_is_what_the_standard_library_reads(indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(DOCUMENT, indent=indent, ensure_ascii=ascii_only)
    whole = values(text).whole
    assert plain(whole) == DOCUMENT
    assert plain(whole) == DOCUMENT  # once more: from the file again
    assert plain(values(f"[{text}, {text}]").whole) == [DOCUMENT, DOCUMENT]


def test_a_long_array_is_gone_through_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "CHUNK", 64)
    messages = values(json.dumps(DOCUMENT)).whole["messages"]
    assert isinstance(messages, Items)
    assert (len(messages), messages.every, messages.some) == (60, {"id", "text"}, {"id", "text"})


@pytest.mark.usefixtures("streamed")
def test_lines_have_their_numbers_and_several_objects_too() -> None:
    assert [source for source, _ in values('{"a": 1}\n\n{"a": 2}\n{"a": 3}')] == ["f:1", "f:3", "f:4"]
    assert [source for source, _ in values('{\n"a": 1\n}\n{\n"a": 2}\n')] == ["f:1", "f:4"]
    assert values('{"a": 1}\n{"a": 2}').whole is None


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[\n {"text": "a"},\n {"text" "b"}\n]', "f:3: not valid JSON (Expecting ':' delimiter)"),
        ('[\n {"text": "a"},\n {"text": "b"', "f:3: not valid JSON ("),
        ('{"text": "a",\n "b": [1, 2', "f:2: not valid JSON ("),
        ('[{"text": "' + "a" * 200 + '"}\n{"text": "b"}]', "not valid JSON ("),
        ('{"text": ' + "[" * 100_000, "f:1: not valid JSON ("),
        ('{"text": ' + "1" * 5_000 + "}", "f:1: not valid JSON (too long a number"),
        ('{"text": "' + "a" * 200, "f:1: not valid JSON (Unterminated string"),
        ('{"text": "a"} oops', "f:1: not valid JSON (Expecting value)"),
    ],
)
def test_what_is_broken_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        plain(values(text).whole)
    assert said in str(caught.value)


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("data", [b'[{"text": "caf\xe9"}]', b'[{"text": "\x1b[1ma"}]', '[{"a": 1}]'.encode("utf-16")])
def test_other_encodings_are_left_to_those_who_guess_them(data: bytes) -> None:
    with pytest.raises(Strange):
        values(data)


TELEGRAM = {
    "name": "Tove",
    "type": "personal_chat",
    "messages": [
        {"id": 1, "type": "message", "date": "2024-05-06T10:01:00", "from": "Tove", "text": "Tea?"},
        {"id": 2, "type": "service", "date": "2024-05-06T10:01:10", "actor": "Tove", "action": "pin", "text": ""},
        {"id": 3, "type": "message", "date": "2024-05-06T10:02:00", "from": "Ilse", "text": ["Al", {"text": "ways"}]},
    ],
}
EXPORTS: dict[str, tuple[Any, str | None, list[tuple[str, str]]]] = {
    "one chat of Telegram": (TELEGRAM, "Ilse", [("Tea?", "Always")]),
    "all chats of Telegram": (
        {
            "personal_information": {"first_name": "Ilse", "last_name": ""},
            "chats": {"list": [TELEGRAM, {**TELEGRAM, "name": "Bo"}]},
        },
        None,
        [("Tea?", "Always"), ("Tea?", "Always")],
    ),
    "Discord": (
        {
            "channel": {"name": "tea"},
            "messages": [
                {"type": "Default", "content": "Tea?", "author": {"name": "tove"}},
                {"type": "Default", "content": "Always", "author": {"name": "ilse"}},
            ],
        },
        "ilse",
        [("Tea?", "Always")],
    ),
    "Instagram": (
        {
            "participants": [{"name": "Tove"}, {"name": "Ilse"}],
            "messages": [
                {"sender_name": "Ilse", "timestamp_ms": 1715000060000, "content": "Always"},
                {"sender_name": "Tove", "timestamp_ms": 1715000000000, "content": "Tea?"},
            ],
        },
        "Ilse",
        [("Tea?", "Always")],
    ),
    "Claude": (
        [
            {
                "name": "n",
                "chat_messages": [{"sender": "assistant", "text": "Tea?"}, {"sender": "human", "text": "Always"}],
            }
        ],
        None,
        [("Tea?", "Always")],
    ),
    "wrapped records": ({"data": [{"prompt": "Tea?", "response": "Always"}]}, None, [("Tea?", "Always")]),
    "messages with names": (
        {"messages": [{"sender": "Tove", "text": "Tea?"}, {"sender": "Ilse", "text": "Always"}]},
        "Ilse",
        [("Tea?", "Always")],
    ),
    "records with senders": (
        [{"sender": "Tove", "text": "Tea?"}, {"sender": "Ilse", "text": "Always"}],
        "Ilse",
        [("Tea?", "Always")],
    ),
    "Mastodon": (
        {
            "@context": "https://www.w3.org/ns/activitystreams",
            "orderedItems": [{"type": "Create", "object": {"content": "<p>Always tea</p>"}}],
        },
        None,
        [("", "Always tea")],
    ),
}


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("kind", EXPORTS)
def test_large_exports_are_read_as_small_ones(tmp_path: Path, kind: str) -> None:
    document, author, pairs = EXPORTS[kind]
    file = tmp_path / "result.json"
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")
    messages = read([str(file)], author=author).messages
    assert [(one.prompt, one.response) for one in messages] == pairs
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(file, "result.json")
    messages = read([str(tmp_path / "export.zip")], author=author).messages
    assert [(one.prompt, one.response) for one in messages] == pairs


@pytest.mark.usefixtures("streamed")
def test_an_archive_of_x_is_a_program_with_one_array(tmp_path: Path) -> None:
    file = tmp_path / "tweets.js"
    tweets = [{"tweet": {"full_text": "Always tea"}}, {"tweet": {"full_text": "RT @a: no"}}]
    file.write_text(f"window.YTD.tweets.part0 = {json.dumps(tweets)};\n", "utf-8")
    assert read([str(file)]).texts == ("Always tea",)
    file.write_text("window.YTD.tweets.part0 = [{", "utf-8")
    with pytest.raises(BadInput, match=r"tweets\.js: a file of an X archive that is cut off or damaged\."):
        read([str(file)])


@pytest.mark.usefixtures("streamed")
def test_a_large_file_in_another_encoding_is_guessed_as_a_small_one_is(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_bytes('[{"prompt": "Tee?", "response": "Für später, schön über München"}]'.encode("cp1252"))
    corpus = read([str(file)])
    assert corpus.texts == ("Für später, schön über München",)
    assert corpus.reading.notes == (f"{file} is not UTF-8 (line 1); read as Windows-1252",)
