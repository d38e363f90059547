'''A run's model for Ollama: the Modelfile that `ollama create mine -f Modelfile` reads.

    text = modelfile(folder / "merged.gguf")      # 'FROM ./merged.gguf\n\nTEMPLATE """..."""\n...'

Ollama reads templates in Go's language, not the Jinja of a GGUF. A template of ours is taken only if it writes a
conversation token by token as the model's own does. Tools and thinking switches are left out. Not here: Ollama itself.
'''

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xpert_cli.llama.model import Vocabulary

SAMPLING = {"temperature": 0.7, "top_p": 0.9, "repeat_penalty": 1.1}  # as `xpert run` draws
UNKNOWN = """\
# No TEMPLATE: this model's chat template is none that xpert can write for Ollama. Ollama will look at the GGUF's own,
# and pass prompts on as they are if it does not know it either.
"""
_SYSTEM = re.compile(r"{{ if \.System }}(.*?){{ \.System }}(.*?){{ end }}", re.DOTALL)


@dataclass(frozen=True)
class _Family:
    """How models of a kind write one exchange, in Go's template language, and what ends an answer.

    Of Ollama's variables only System, Prompt and Response are used: it then writes a conversation exchange by
    exchange, in every version.
    """

    template: str
    stops: tuple[str, ...]

    def rendered(self, prompt: str, response: str = "", system: str = "") -> str:
        """One exchange as Ollama writes it: without a response, up to where it begins."""
        text = self.template if response else self.template.partition("{{ .Response }}")[0]
        text = _SYSTEM.sub(lambda match: match[1] + system + match[2] if system else "", text)
        return text.replace("{{ .Prompt }}", prompt).replace("{{ .Response }}", response)


_FAMILIES = (
    _Family(  # ChatML: SmolLM2, Qwen2, Qwen3
        "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
        "<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ .Response }}<|im_end|>\n",
        ("<|im_start|>", "<|im_end|>"),
    ),
    _Family(  # Llama 3
        "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}"
        "<|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{{ .Response }}<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    _Family(  # Gemma
        "<start_of_turn>user\n{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}<end_of_turn>\n"
        "<start_of_turn>model\n{{ .Response }}<end_of_turn>\n",
        ("<start_of_turn>", "<end_of_turn>"),
    ),
)


def modelfile(merged: Path) -> str:
    """The text of a Modelfile that lies beside `merged`.

    The system message that the model's own template puts in is told as SYSTEM, for Ollama knows of none.

    Args:
        merged: the GGUF model.

    Raises:
        BadModel: `merged` cannot be read.
    """
    lines = [f"FROM ./{merged.name}\n"]
    with Vocabulary(merged) as model:
        fitting = next(((one, system) for one in _FAMILIES if (system := _system(model, one)) is not None), None)
    if fitting is None:
        lines.append(UNKNOWN)
    else:
        family, system = fitting
        lines.append(f'TEMPLATE """{family.template}"""\n')
        if system:
            lines.append(f'SYSTEM """{system}"""\n')
        lines.append("".join(f'PARAMETER stop "{stop}"\n' for stop in family.stops))
    lines.append("".join(f"PARAMETER {name} {value}\n" for name, value in SAMPLING.items()))
    return "\n".join(lines)


def _system(model: Vocabulary, family: _Family) -> str | None:
    """The system message of the model's own template ("" for none); None if the model is not of this family."""
    whole, rest = model.chat("One?"), model.tokenize(family.rendered("One?"), special=True)
    [marks] = _SYSTEM.findall(family.template)
    opening, closing = (model.detokenize(model.tokenize(mark, special=True)) for mark in marks)
    before = model.detokenize(whole[: max(0, len(whole) - len(rest))])
    system = before.removeprefix(opening).removesuffix(closing)

    turns = [("user", "One?"), ("assistant", "Two."), ("user", "Three?")]
    own = model.chat([{"role": role, "content": content} for role, content in turns])
    text = family.rendered("One?", "Two.", system) + family.rendered("Three?")
    ours = model.tokenize(text, special=True)
    # Ollama puts the first token there by itself where the model wants one.
    return system if ours in (own, own[1:]) and '"""' not in system else None
