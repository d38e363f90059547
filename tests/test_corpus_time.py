"""Text that makes careless reading slow: with a square in the work, each of these would take minutes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from xpert_cli.corpus import read
from xpert_cli.corpus.encodings import plain
from xpert_cli.corpus.formats.prose import _BLOCK_ID
from xpert_cli.corpus.templates import rendered, untemplated
from xpert_cli.errors import BadInput

STAMP = "12/10/23, 18:05 - "
SIZE = 100_000

SHAPES: dict[str, tuple[Callable[[int], str], str | None]] = {
    "unclosed comments": (lambda n: "<!--" * n, None),
    "unclosed notes": (lambda n: "%%%" * n + " three words here", None),
    "combining marks": (lambda n: "a" + "\u0301" * n + " three words here", None),
    "one author in a row": (lambda n: "\n".join([f"{STAMP}Ilse: hello"] * (n // 10)) + f"\n{STAMP}Tove: x", "Ilse"),
    "many authors": (lambda n: "\n".join(f"{STAMP}N{i}: hello" for i in range(n // 20)), "N1"),
    "blanks": (lambda n: "token" + " " * n + "three words here", None),
    "backspaces": (lambda n: "a" * n + "\x08" * n + " three words here", None),
    "thoughts": (lambda n: '{"text": "' + "<think>" * n + ' a"}', None),
    "instructions": (lambda n: '{"text": "' + "[INST]" * n + ' [/INST] a"}', None),
    "open tags": (lambda n: "<html><body>" + "<div>" * (n // 10) + "three words here", None),
    "brackets": (lambda n: "[[" * n + " three words here", None),
    "mail headers": (lambda n: "From: a\n" * (n // 10), None),
    "introductions": (lambda n: "On 5 May Tove wrote\n" * (n // 20), None),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_hostile_shapes_are_read_in_a_moment(shape: str) -> None:
    make, author = SHAPES[shape]
    try:
        texts = read(["-"], author=author, stdin=io.BytesIO(make(SIZE).encode())).texts
    except BadInput as error:
        texts = (str(error),)
    assert texts


def test_the_pieces_do_what_they_did_before_they_were_linear() -> None:
    assert plain("Nobody\x08y knew") == "Nobody knew"
    assert plain("ab\x08\x08\x08c\n\x08d") == "c\nd"
    assert untemplated("<think>a</think>b<think>c") == "b<think>c"
    assert rendered("<s>[INST] <<SYS>>be kind<</SYS>>Tea? [/INST] Always. </s>[INST] Cake? [/INST] No.</s>") == [
        ("user", "Tea? "),
        ("assistant", " Always. "),
        ("user", " Cake? "),
        ("assistant", " No."),
    ]
    assert re.sub(_BLOCK_ID, "", "words here  ^b1") == "words here"
