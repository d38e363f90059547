"""A person's messages as token samples: what a model is scored on, and trained on.

    for tokens, start in tokenized(model, corpus, 512): ...   # tokens[start:] is what the user wrote

Each message answers its prompt, after the turns before it, in the base model's chat template. Not here: reading text
(corpus/reading.py), and which turns come before a message (corpus/pairing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xpert_cli.corpus import Corpus, Message
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.llama.model import Sample, Vocabulary

PROMPT = "Write a short note."  # what a message answers that came without a prompt
OVERLAP = 64  # tokens of a long text that are shown again, unscored, before its next piece
CHARACTERS = 8  # of a token, at most: what is cut is cut to this before it is tokenized


def tokenized(
    model: Vocabulary, corpus: Corpus, max_tokens: int, note: Callable[[str], None] = lambda text: None
) -> list[Sample]:
    """(tokens, index of the first scored one) of every message, in the corpus's order.

    Scored are the response and its end-of-turn token, all of them: a response that does not fit is split into several
    samples. Where they are short of room, the earliest turns are left out first, then the beginning of the prompt.

    Args:
        max_tokens: of a sample.
        note: told what was split and shortened.

    Raises:
        BadInput: there is nothing.
        BadUsage: `max_tokens` has no room for anything.
    """
    require_room(model, max_tokens)
    samples: list[Sample] = []
    split = pieces = shortened = 0
    template_tokens = _around(model) if any(message.earlier for message in corpus.messages) else 0
    for message in corpus.messages:
        answer = [*model.tokenize(message.response), model.end_of_turn]
        head, cut = _head(model, message, max(max_tokens - len(answer), max_tokens // 2), template_tokens)
        parts = _pieces(head, answer, max_tokens)
        samples += parts
        shortened += cut
        split += len(parts) > 1
        pieces += len(parts) if len(parts) > 1 else 0
    if split:
        note(f"{counted(split, 'long texts are')} learnt in {pieces} pieces of {counted(max_tokens, 'tokens')}")
    if shortened:
        note(f"the beginning of {counted(shortened, 'long questions')} is left out")
    if not samples:
        raise BadInput("there is nothing to tokenize. Give text you wrote.")
    return samples


def require_room(model: Vocabulary, max_tokens: int) -> None:
    """Make sure that a sample has room for something beside the chat template.

    Raises:
        BadUsage: it has not.
    """
    if (used := len(model.chat(""))) >= max_tokens:
        raise BadUsage(f"--max-tokens {max_tokens} is too few: the chat template alone takes {used}. Try 256.")


def _around(model: Vocabulary) -> int:
    """Tokens that the template puts around one turn."""
    one = {"role": "user", "content": "a"}
    return (len(model.chat([one, {**one, "role": "assistant"}, one])) - len(model.chat([one])) + 1) // 2


def _head(model: Vocabulary, message: Message, room: int, template_tokens: int) -> tuple[list[int], bool]:
    """At most `room` tokens that come before the answer, and whether the prompt was cut for it.

    Args:
        template_tokens: tokens that the template puts around one turn.
    """
    turns = [{"role": role, "content": text} for role, text in message.earlier]
    prompt, cut = message.prompt or PROMPT, False
    if len(prompt) > CHARACTERS * room:
        prompt, cut = prompt[-CHARACTERS * room :], True
    head = model.chat(prompt)
    while len(head) > room and prompt:
        excess = (len(head) - room) * len(prompt) // max(len(model.tokenize(prompt)), 1)
        prompt, cut = prompt[max(1, excess) :], True
        head = model.chat(prompt)
    remaining, first = room - len(head), len(turns)
    sizes = [len(model.tokenize(turn["content"])) + template_tokens for turn in turns]
    while first >= 2 and remaining >= sum(sizes[first - 2 : first]):
        remaining -= sum(sizes[first - 2 : first])
        first -= 2
    return (model.chat([*turns[first:], {"role": "user", "content": prompt}]) if first < len(turns) else head), cut


def _pieces(head: Sequence[int], answer: Sequence[int], max_tokens: int) -> list[Sample]:
    """The answer after its head; what does not fit goes on in further samples, after the end of the piece before."""
    room = max_tokens - len(head)
    if len(answer) <= room:
        return [([*head, *answer], len(head))]
    overlap = min(OVERLAP, room // 4)
    samples: list[Sample] = [([*head, *answer[:room]], len(head))]
    at = room
    while at < len(answer):
        end = at + room - overlap
        samples.append(([*head, *answer[at - overlap : end]], len(head) + overlap))
        at = end
    return samples
