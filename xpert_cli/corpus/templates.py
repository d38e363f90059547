"""Chat templates that were rendered into text: back to turns, and without the marks that models need.

rendered("<|im_start|>user\\nTea?<|im_end|>\\n<|im_start|>assistant\\nAlways.<|im_end|>")
# [("user", "Tea?"), ("assistant", "Always.")]
"""

from __future__ import annotations

import re

_NAMES = {
    **dict.fromkeys(("user", "human", "instruction", "input", "question", "prompter", "inst"), "user"),
    **dict.fromkeys(("assistant", "model", "gpt", "response", "answer", "output", "ai", "bot", "chatbot"), "assistant"),
    **dict.fromkeys(("system", "developer", "tool", "context", "ipython", "observation"), ""),
}
_ROLES = "|".join(_NAMES)
_HEADS = (
    rf"<\|im_start\|>\s*({_ROLES})[^\n]*\n",
    rf"(?:<\|begin_of_text\|>)?<\|start_header_id\|>\s*({_ROLES})\s*<\|end_header_id\|>\n*",
    rf"<start_of_turn>\s*({_ROLES})\n",
    rf"<\|(?:start_of_role\|>)?({_ROLES})(?:<\|end_of_role)?\|>\n?",
    rf"^#{{2,3}} ({_ROLES}):[ \t]*\n?",
    r"^(USER|ASSISTANT|SYSTEM):[ ]?",
    r"^(Human|Assistant|User|System):[ ]",
)
_MARKED = [
    re.compile(head, re.MULTILINE | (0 if "(USER" in head or "(Human" in head else re.IGNORECASE)) for head in _HEADS
]
_TOKENS = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end|end_of_text|begin_of_text|eom_id|endofprompt|startoftext"
    r"|end_of_turn|return|message|channel)\|>"
    r"|</?s>|<(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>|<\|(?:assistant|user|system)\|>|\[/?INST\]"
    r"|<｜[^｜<>]{3,30}｜>"
)
_THOUGHTS = ("think", "thinking", "reasoning")


def rendered(text: str) -> list[tuple[str, str]]:
    """(role, text) of a rendered template's turns, "" for system and tools; none for other text.

    Two turns at least, of which one is the assistant's: "Human: " alone may be anybody's.
    """
    if "[INST]" in text and "[/INST]" in text:
        turns = []
        for part in text.split("[INST]")[1:]:
            prompt, _, answer = part.partition("[/INST]")
            system, mark, rest = prompt.partition("<</SYS>>")
            turns += [("user", untemplated(rest if mark else system)), ("assistant", untemplated(answer))]
        return [turn for turn in turns if turn[1].strip()]
    for pattern in _MARKED:
        heads = list(pattern.finditer(text))
        roles = [_NAMES[head[1].lower()] for head in heads]
        if len(heads) > 1 and "assistant" in roles and "user" in roles:
            ends = [*(head.start() for head in heads[1:]), len(text)]
            return [
                (role, untemplated(text[head.end() : end])) for role, head, end in zip(roles, heads, ends, strict=True)
            ]
    return []


def untemplated(text: str) -> str:
    """`text` without special tokens and without what a model thought before it spoke."""
    if "<" not in text and "[" not in text:
        return text
    for name in _THOUGHTS:
        parts, at = [], 0
        while (start := text.find(f"<{name}>", at)) >= 0 and (stop := text.find(f"</{name}>", start)) >= 0:
            parts.append(text[at:start])
            at = stop + len(name) + 3
        text = "".join([*parts, text[at:]])
    return _TOKENS.sub("", text)
