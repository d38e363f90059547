"""Chat templates from elsewhere: what they may do, what ends them, and that they never end the main process."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from xpert_cli import gguf
from xpert_cli.errors import BadInput, BadModel
from xpert_cli.llama import template
from xpert_cli.llama.template import render

HELLO = [
    {
        "role": "user",
        "content": "Hello, \ud83d\ude00 ❤ and {{ 7 * 7 }}!".encode("utf-16", "surrogatepass").decode("utf-16"),
    }
]
PLAIN = "{% for m in messages %}{{ bos_token }}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}\n{% endfor %}"


def rendered(source: str) -> str:
    return render(source, HELLO, bos="<s>", eos="</s>")


def test_a_template_is_rendered_and_the_text_in_it_is_no_template():
    assert rendered(PLAIN) == "<s>user: Hello, 😀 ❤ and {{ 7 * 7 }}!</s>\n"
    child = template._child()._process
    assert rendered(PLAIN + "again") == "<s>user: Hello, 😀 ❤ and {{ 7 * 7 }}!</s>\nagain"
    assert template._child()._process is child  # one process for all


def test_the_packaged_template_needs_no_process(base, monkeypatch):
    source = gguf.read_header(base).metadata["tokenizer.chat_template"]
    assert hashlib.sha256(source.encode()).hexdigest() in template.TRUSTED
    monkeypatch.setattr(template, "_child", lambda: pytest.fail("a process was started"))
    assert rendered(source).endswith("!<|im_end|>\n<|im_start|>assistant\n")


HOSTILE = {
    "a loop in a loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a long text": "{{ 'a'.center(4000000000) }}",
    "a text twice as long each time": "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}"
    "{% endfor %}",
    "a macro that calls itself twice": "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "a large number": "{{ 9 ** (9 ** 9) }}",
    "a large text": "{{ ('a' * 1000000) * 30 }}",
    "its own memory": "{{ lipsum(n=100000000) }}",
    "no template": "{% for %}",
    "nothing there": "{{ messages[7].content.x }}",
    "what a sandbox is for": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_costs_too_much_is_one_line_and_the_next_is_rendered(kind, monkeypatch):
    monkeypatch.setattr(template, "SECONDS", 3)
    began = time.monotonic()
    with pytest.raises(BadModel, match=r"^the chat template .*\. Use another base\.$") as caught:
        rendered(HOSTILE[kind])
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 60
    assert rendered("{{ messages[0]['role'] }}") == "user"


def test_a_template_that_is_too_long_is_not_looked_at():
    with pytest.raises(BadModel, match=r"has 1,048,577 characters, over 1,048,576"):
        rendered("x" * (template.MAX_TEMPLATE + 1))


def test_what_a_template_refuses_is_the_inputs_fault_in_one_printable_line():
    with pytest.raises(BadInput) as caught:
        rendered("{{ raise_exception('roles must\n\x1b[31m alternate') }}")
    assert str(caught.value) == "the chat template refused the conversation: roles must[31m alternate"


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="POSIX")
def test_ctrl_c_is_not_for_the_child_and_one_that_died_is_started_again():
    rendered(PLAIN)
    process = template._child()._process
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert rendered("{{ bos_token }}") == "<s>"


def test_surrogates_alone_do_not_stop_a_tokenizer(base, tmp_path: Path):
    from xpert_cli.llama.vocabulary import Vocabulary

    with Vocabulary(base) as vocabulary:
        assert vocabulary.detokenize(vocabulary.tokenize("a \ud800 b")) == "a ? b"
