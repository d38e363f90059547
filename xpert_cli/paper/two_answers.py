"""The two-answer question: a summarizer sees one prompt answered twice, and says how the first answer's style differs.

    with opened(summarizer) as model:
        v = shift(model, prompts, adapter_answers, base_answers)      # (hidden,): where the adapter lies

Nothing is generated to place answers: what is read is the final hidden state where the adjective would come, averaged
over prompts. A word is placed by the same question about two stated styles, so that words and answers lie in one space.
Not here: which words become axes (paper/spelling.py, paper/basis.py), the one-text question (style/described.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model, Vocabulary
from xpert_cli.style import described
from xpert_cli.style.measured import cut

Floats = npt.NDArray[np.float64]
WORDS = 40  # of a prompt or an answer that the question shows
PROMPT_WORDS = 200  # of a prompt that is answered
PAIRS = 20  # prompts that are asked about at most: the paper asks 50 probes
ANSWER_TOKENS = 96  # enough for WORDS words of English
TEMPERATURE = 0.7  # as the answers that a cache is built from
ORDINARY = "ordinary"  # the style that words are stated against
CONTEXT, SEQUENCES = 4096, 16


def question() -> tuple[str, str]:
    """The question with its places for a prompt and two answers, and how the reply begins."""
    return described.packaged_question("compare.txt")


def digest() -> str:
    """What readings depend on besides the summarizer: the question, its word cap, and how words are stated."""
    return hashlib.sha256("\0".join([*question(), str(WORDS), *stated("{word}")]).encode()).hexdigest()


def opened(summarizer: BaseModel | Path) -> Model:
    """A GGUF model that the question can be put to."""
    return Model(summarizer, context=CONTEXT, sequences=SEQUENCES, shared=True)


def put(model: Model, prompt: str, first: str, second: str) -> list[int]:
    """Tokens of the question up to where the adjective would come."""
    wording, reply = question()
    parts = {"prompt": cut(prompt, WORDS), "first": cut(first, WORDS), "second": cut(second, WORDS)}
    return model.chat(re.sub(r"\{(prompt|first|second)\}", lambda match: parts[match[1]], wording)) + model.tokenize(
        reply
    )


def states(model: Model, prompts: Sequence[str], answers: Sequence[str], plain: Sequence[str], order: str) -> Floats:
    """(prompts, hidden) final hidden states where the adjective would come.

    Args:
        answers, plain: one a prompt; what is explained, and what it is compared with.
        order: "ab" asks how answers differ from plain ones, "ba" the reverse, "bb" shows the plain one twice.
    """
    sides = {"a": answers, "b": plain}
    pairs = zip(prompts, sides[order[0]], sides[order[1]], strict=True)
    return model.states([put(model, *pair) for pair in pairs]).astype(np.float64)


def neutral(answers: Floats, plain: Floats) -> Floats:
    """V(a, b) - V(b, b): the states of answers ("ab"), less what any answer has there ("bb")."""
    return answers - plain


def stated(word: str) -> tuple[str, str, str]:
    """A prompt and two answers that only say what style they are in: one of `word`, one of nothing much."""
    sentence = "This answer is written in a style that is {}."
    return "Tell me something.", sentence.format(word), sentence.format(ORDINARY)


def answered(base: BaseModel | Path, prompts: Sequence[str], adapter: AdapterFile | None = None) -> list[str]:
    """What a base model, or an adapter on it, answers to prompts: as much as the question shows, sampled alike."""
    base = BaseModel.open(base)
    with Vocabulary(base) as vocabulary:
        questions = [vocabulary.chat(cut(prompt, PROMPT_WORDS)) for prompt in prompts]
    room = ANSWER_TOKENS + max(map(len, questions))
    with Model(base, context=SEQUENCES * room, sequences=SEQUENCES) as model:
        model.apply([WeightedAdapter(adapter)] if adapter else [])
        answers = model.answers(questions, max_tokens=ANSWER_TOKENS, temperature=TEMPERATURE, seed=0)
        return [model.detokenize(tokens) for tokens in answers]


def shift(model: Model, prompts: Sequence[str], answers: Sequence[str], plain: Sequence[str]) -> Floats:
    """(hidden,) V of answers against plain ones: the neutral reading, averaged over prompts."""
    both = (states(model, prompts, answers, plain, order) for order in ("ab", "bb"))
    return np.asarray(neutral(*both).mean(axis=0))


def anchors() -> list[str]:
    """The words whose mean state all words' states are taken from: both ends of every packaged pair of adjectives."""
    return list(dict.fromkeys(word for pair in described.adjectives() for word in pair))


def worded(model: Model, words: Sequence[str], order: str) -> Floats:
    """(words, hidden) states of answers that only state a style, against one stating the ordinary."""
    prompts, firsts, plain = zip(*map(stated, words), strict=True)
    return states(model, prompts, firsts, plain, order)
