"""Data and text from elsewhere: what is refused before it takes memory, and what a terminal and a page are shown."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xpert_cli import corpus
from xpert_cli.errors import BadInput
from xpert_cli.foreign.data import read_arrays, read_json, read_object
from xpert_cli.foreign.text import markdown, one_line, printable

# -- JSON


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64 levels"),
        (b"[[[]]]" + b" " * 100, "100 are allowed"),
        (b"[" + b"[]," * 50 + b"1]", "more than 90 values"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "1e999 is no number of ordinary size"),
        (b"[" + b"9" * 5000 + b"]", "is no number of ordinary size"),
        (rb'["\ud800"]', "half a character"),
        (rb'{"\udc00": 1}', "half a character"),
        (b'["\xff"]', "byte 2 is no UTF-8"),
        (b"", "Expecting value"),
        (b"[1] [2]", "Extra data"),
    ],
    ids=[
        "deep",
        "deep objects",
        "long",
        "many",
        "nan",
        "infinity",
        "large",
        "digits",
        "half",
        "half key",
        "latin-1",
        "nothing",
        "two",
    ],
)
def test_json_out_of_bounds_is_refused_in_one_short_line(data, reason):
    bounds = {"most_bytes": 100} if "100 are" in reason else {"most_values": 90} if "90" in reason else {}
    with pytest.raises(ValueError, match=reason) as caught:
        read_json(data, **bounds)
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


def test_json_within_bounds_is_what_it_is():
    told = {"a": [1, -2.5, None, True, "ü\n"], "b": {"c": 2**60}}
    assert read_json(json.dumps(told)) == told
    assert read_json(b"\xef\xbb\xbf[1]") == [1]  # a byte order mark, as some editors write it
    assert read_json(r'["😀"]') == ["\U0001f600"]  # a pair is a character
    assert read_json(b"[1000000000000000019884624838656]") == [1000000000000000019884624838656]  # of transformers
    assert read_json(b"[" * 64 + b"]" * 64)
    with pytest.raises(ValueError, match="it is not an object"):
        read_object(b"[1]")


# -- arrays


def archive(folder: Path, **members: bytes) -> Path:
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def stored(array: object, **options: bool) -> bytes:
    held = io.BytesIO()
    np.save(held, array, **options)  # type: ignore[arg-type]
    return held.getvalue()


def head(shape: str, kind: str = "<f8") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_arrays_are_what_was_saved(tmp_path):
    one, two = np.arange(6, dtype="<f2").reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(3, 2))
    np.savez_compressed(tmp_path / "a.npz", one=one, two=two, words=np.array(["a", "bc"]))
    found = read_arrays(tmp_path / "a.npz", most_bytes=4096, shapes={"one": (2, 3)})
    assert found["one"].tolist() == one.tolist()
    assert found["one"].dtype == np.float16
    assert found["two"].tolist() == two.tolist()
    assert found["words"].tolist() == ["a", "bc"]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"a": stored(np.zeros(1 << 20))}, "expands to 8388736 bytes, and 1000000 are allowed"),
        ({"a": stored(np.zeros((2, 2)))}, r"a does not fit: \(2, 2\) and not \(3,\)"),
        ({"b": stored(np.zeros(3))}, "does not fit: a missing"),
        ({"a": head("(1000000000000,)")}, "has not the size that it says"),
        ({"a": head("(3,)") + bytes(8)}, "has not the size that it says"),
        ({"a": stored(np.array([{}], dtype=object), allow_pickle=True)}, "holds pickles"),
        ({"a": b"nothing of numpy's"}, "magic"),
        ({"a": head("(3,", "<f8")}, "EOF in multi-line|[Hh]eader"),
        ({f"a{i}": b"" for i in range(65)}, "it holds 65 arrays"),
    ],
    ids=["bomb", "shape", "missing", "declared", "cut", "pickle", "no array", "head", "many"],
)
def test_arrays_out_of_bounds_are_refused_before_they_are_expanded(tmp_path, members, reason):
    with pytest.raises(ValueError, match=reason):
        read_arrays(archive(tmp_path, **members), most_bytes=1_000_000, shapes={"a": (3,)})


def test_a_damaged_archive_is_refused_at_every_byte(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(3.0))
    whole = (tmp_path / "a.npz").read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            (tmp_path / "b.npz").write_bytes(damaged)
            try:
                found = read_arrays(tmp_path / "b.npz", most_bytes=10_000)
            except ValueError:
                continue
            assert set(map(str, found)) != {"a"} or found["a"].shape in ((3,), ())


# -- text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b[1;1H", r"\x1b[2J\x1b[1;1H"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        (
            "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
            r"\x1b]8;;http://evil.example\x1b\here\x1b]8;;\x1b" + "\\",
        ),
        ("\x9b31mred", r"\x9b31mred"),  # the same in one character
        ("safe\rerror", r"safe\rerror"),
        ("a\x08b\x7f\x00", r"a\x08b\x7f\x00"),
        ("txt.\u202egnp.exe", r"txt.\u202egnp.exe"),
        ("\u202a+49 170 1234567\u202c", "+49 170 1234567"),  # as WhatsApp writes an unknown number
        ("one\u2028two", r"one\u2028two"),
        ("\udcff.txt", r"\udcff.txt"),  # a file's name that is no UTF-8
        ("[bold]x[/x] :smile:", "[bold]x[/x] :smile:"),
        ("Grüße 🏳️‍🌈 می‌خواهم\t1\r\n2", "Grüße 🏳️‍🌈 می‌خواهم\t1\n2"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_line_stays_one_line():
    assert one_line(" a\n\nerror:  b\x85c\x1d ") == "a error: b c"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("[x](http://e.example)", r"\[x\](http\://e.example)"),
        ("![](http://e.example/p.png)", r"!\[\](http\://e.example/p.png)"),
        ("a | b\n| c", r"a \| b \| c"),
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("# Heading\n\n- point", r"\# Heading - point"),
        ("www.e.example @anna &amp; `x` $y$", r"www\.e.example \@anna \&amp; \`x\` \$y\$"),
        ("with more exclamation marks (+3.8)", "with more exclamation marks (+3.8)"),
    ],
)
def test_a_page_shows_text_and_has_no_links_cells_or_headings_from_it(text, written):
    assert markdown(text) == written


def test_what_is_nested_too_deeply_is_refused_before_anybody_goes_through_it(tmp_path):
    deep = "[" * 500 + '"hello"' + "]" * 500
    for name, text in {
        "a.jsonl": f'{{"prompt": "hi", "response": {deep}}}',
        "a.json": f'[{{"messages": [{{"role": "user", "content": {deep}}}]}}]',
        "b.json": f'{{"prompt": "hi", "response": {deep}}}\n\n{{"prompt": "hi", "response": "x"}}',
        "tweets.js": f"window.YTD.tweets.part0 = {deep}",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInput, match=r"deep|damaged|valid JSON|no text|nothing") as caught:
            corpus.read([str(tmp_path / name)])
        assert "\n" not in str(caught.value)
