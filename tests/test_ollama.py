"""Modelfiles: what Ollama is told, and that its template writes what the model's own does."""

from __future__ import annotations

from pathlib import Path

import pytest

from xpert_cli import gguf
from xpert_cli.llama.chat import Sampling
from xpert_cli.llama.model import Vocabulary
from xpert_cli.models import ollama

pytestmark = pytest.mark.model

SMOLLM2 = '''\
FROM ./merged.gguf

TEMPLATE """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}<|im_start|>user
{{ .Prompt }}<|im_end|>
<|im_start|>assistant
{{ .Response }}<|im_end|>
"""

SYSTEM """You are a helpful AI assistant named SmolLM, trained by Hugging Face"""

PARAMETER stop "<|im_start|>"
PARAMETER stop "<|im_end|>"

PARAMETER temperature 0.7
PARAMETER top_p 0.9
PARAMETER repeat_penalty 1.1
'''
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\nToday is a day.\n\n<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content }}<end_of_turn>\n{% endfor %}{{ '<start_of_turn>model\n' }}"
)
SEPARATED = (  # marks as in ChatML, put differently
    "{% for m in messages %}<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>{% endfor %}"
    "<|im_start|>assistant<|im_sep|>"
)
FORGETFUL = (  # one message is written as ChatML does, a conversation is not
    "<|im_start|>user\n{{ messages[-1].content }}<|im_end|>\n{{ '<|im_start|>assistant\n' }}"
)


def speaking(base: Path, template: str | None, path: Path, marks: tuple[str, ...] = ()) -> Path:
    """A GGUF of the base's vocabulary alone, with another chat template, or none; `marks` replace control tokens."""
    header = gguf.read_header(base)
    metadata = dict(header.metadata.encoded)
    metadata.pop("tokenizer.chat_template")
    tokens = header.metadata["tokenizer.ggml.tokens"]
    first = tokens.index("<repo_name>")  # a control token, as are the thirteen after it
    tokens[first : first + len(marks)] = marks
    metadata["tokenizer.ggml.tokens"] = gguf.encode("[string]", tokens)
    told = {} if template is None else {"tokenizer.chat_template": gguf.encode("string", template)}
    gguf.write_model(path, metadata | told, {})
    return path


def test_the_packaged_base(base, tmp_path):
    (tmp_path / "merged.gguf").symlink_to(base)
    assert ollama.modelfile(tmp_path / "merged.gguf") == SMOLLM2


def test_it_draws_as_xpert_run_does():
    drawn = Sampling()
    told = ollama.SAMPLING
    assert (told["temperature"], told["top_p"], told["repeat_penalty"]) == (
        drawn.temperature,
        drawn.top_p,
        drawn.repeat,
    )


@pytest.mark.parametrize(
    ("template", "marks", "system"),
    [
        (CHATML, ("<|im_start|>", "<|im_end|>"), None),
        (LLAMA3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "Today is a day.\n\n"),
        (GEMMA, ("<start_of_turn>", "<end_of_turn>"), None),
    ],
)
def test_families_are_known_by_what_they_write(base, tmp_path, template, marks, system):
    text = ollama.modelfile(speaking(base, template, tmp_path / "m.gguf", () if template == CHATML else marks))
    assert text.startswith('FROM ./m.gguf\n\nTEMPLATE """')
    assert [line for line in text.splitlines() if line.startswith("PARAMETER stop")] == [
        f'PARAMETER stop "{mark}"' for mark in marks
    ]
    assert ("SYSTEM" in text) == (system is not None)
    assert system is None or f'\nSYSTEM """{system}"""\n' in text


@pytest.mark.parametrize("template", [SEPARATED, FORGETFUL, "{{ messages[0].content }}", None])
def test_of_an_unknown_template_none_is_made_up(base, tmp_path, template):
    assert ollama.modelfile(speaking(base, template, tmp_path / "m.gguf")) == (
        "FROM ./m.gguf\n\n"
        "# No TEMPLATE: this model's chat template is none that xpert can write for Ollama. Ollama will look at the "
        "GGUF's own,\n# and pass prompts on as they are if it does not know it either.\n\n"
        "PARAMETER temperature 0.7\nPARAMETER top_p 0.9\nPARAMETER repeat_penalty 1.1\n"
    )


def test_a_conversation_reads_as_it_was_trained(base):
    chatml = ollama._FAMILIES[0]
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    said = chatml.rendered("Hi?", "Hello.", system) + chatml.rendered("How are you?")
    turns = [("user", "Hi?"), ("assistant", "Hello."), ("user", "How are you?")]
    with Vocabulary(base) as model:
        told = model.chat([{"role": role, "content": content} for role, content in turns])
        assert model.tokenize(said, special=True) == told
