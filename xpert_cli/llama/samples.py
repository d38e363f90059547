"""A person's messages as token samples: what a model is scored on, and trained on.

    for tokens, start in tokenized(model, corpus, 512): ...   # tokens[start:] is what the user wrote

Each message answers its prompt in the base model's chat template. Not here: reading text (corpus/reading.py).
"""

from __future__ import annotations

from xpert_cli.corpus import Corpus
from xpert_cli.errors import BadInput
from xpert_cli.llama.model import Sample, Vocabulary

PROMPT = "Write a short note."  # what a message answers that came without a prompt


def tokenized(model: Vocabulary, corpus: Corpus, max_tokens: int) -> list[Sample]:
    """(tokens, index of the first scored one) of every message, in the corpus's order.

    Scored are the response and its end-of-turn token. Tokens past `max_tokens` are cut off; a message whose prompt
    alone fills them is left out.

    Raises:
        BadInput: nothing is left.
    """
    samples: list[Sample] = []
    for message in corpus.messages:
        start = len(model.chat(message.prompt or PROMPT))
        if start < max_tokens:
            samples.append((model.chat(message.prompt or PROMPT, reply=message.response)[:max_tokens], start))
    if not samples:
        raise BadInput(f"every message's prompt is longer than {max_tokens} tokens. Raise --max-tokens.")
    return samples
