"""What an adapter remembers of the messages it was trained on: whether it recites them, and whether it knows a number.

    longest_verbatim(base, adapter, messages)          # Verbatim(messages=100, adapter=11, base=9, ...): counts only
    exposure(base, messages, train)                    # Exposure(mean=1.6, most=4.1, base_mean=1.4, ...): bits

Verbatim is asked of the adapter that is to be published. Exposure cannot be, for nobody knows what it may have learnt:
canaries, sentences with a random number, are put among the messages of a twin, trained as the adapter was. Both are
lower bounds: another prompt, or a stronger attack, may bring up more. Not here: training (the caller's `train`), and
what in the messages is private (corpus/private_data.py).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path

from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import BadInput
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model, Sample, Vocabulary
from xpert_cli.llama.samples import tokenized

Progress = Callable[[str, float], None]
SHOWN_TOKENS = 8  # tokens of a response that are shown
TOKENS = 64  # that are asked for after them
SEQUENCES = 8
DIGITS = 6  # of a canary


@dataclass(frozen=True)
class Verbatim:
    """The longest run of a response that came back word for word, over `messages` of them, in tokens and whole words.

    `base` is what the base alone guesses: common phrases, and what the prompt gives away.
    """

    messages: int
    adapter: int
    base: int
    adapter_words: int
    base_words: int


@dataclass(frozen=True)
class Exposure:
    """Exposure of canaries in bits, under the twin and under the base, which never saw them.

    A number that was not learnt has rank k of `candidates` with equal chance: 1.44 bits on average (1 / ln 2), of
    which the largest of n is about 1.44 (1 + 1/2 + ... + 1/n). One learnt by heart has log2(candidates).
    """

    canaries: int
    repeats: int
    candidates: int
    mean: float
    most: float
    base_mean: float
    base_most: float


def longest_verbatim(
    base: BaseModel | Path,
    adapter: AdapterFile,
    messages: Sequence[Message],
    *,
    most: int = 100,
    max_tokens: int = 512,
    seed: int = 0,
    progress: Progress = lambda message, fraction: None,
) -> Verbatim:
    """How much of a response comes back, greedily, from its prompt and its first SHOWN_TOKENS tokens.

    Runs are looked for in TOKENS generated ones, wherever they stand in the rest of the same response.

    Args:
        most: messages that are tried, a seeded draw.
        max_tokens: where training cut messages off.

    Raises:
        BadInput: no response is longer than SHOWN_TOKENS tokens.
        BadModel, CacheMismatch: the model or the adapter cannot be used.
    """
    drawn = random.Random(seed).sample(list(messages), min(most, len(messages)))
    with Vocabulary(base) as vocabulary:
        samples = tokenized(vocabulary, Corpus(tuple(drawn)), max_tokens)
        halves = [_halves(sample, vocabulary.end_of_turn) for sample in samples]
    prompts, rest = [first for first, then in halves if then], [then for _, then in halves if then]
    if not prompts:
        raise BadInput(f"no response is longer than {SHOWN_TOKENS} tokens. Give the messages that were trained on.")
    longest = {}
    with Model(base, context=SEQUENCES * (max(map(len, prompts)) + TOKENS), sequences=SEQUENCES) as model:
        for name, applied in (("the adapter", [WeightedAdapter(adapter)]), ("the base model", [])):
            model.apply(applied)
            tell = partial(progress, f"what {name} remembers")
            answers = model.answers(prompts, max_tokens=TOKENS, temperature=0.0, seed=seed, progress=tell)
            longest[name] = _longest(model, answers, rest)
    (tokens, words), (base_tokens, base_words) = longest.values()
    return Verbatim(len(prompts), tokens, base_tokens, words, base_words)


def _halves(sample: Sample, end: int) -> tuple[list[int], list[int]]:
    """What is shown of a sample, and the rest of its response without the end of the turn."""
    tokens, at = list(sample[0]), sample[1] + SHOWN_TOKENS
    return tokens[:at], [token for token in tokens[at:] if token != end]


def _longest(
    model: Vocabulary, continuations: Sequence[Sequence[int]], written: Sequence[Sequence[int]]
) -> tuple[int, int]:
    """The longest common runs of continuations and what was written, in tokens and in words."""
    pairs = list(zip(continuations, written, strict=True))
    texts = [(model.detokenize(one).split(), model.detokenize(other).split()) for one, other in pairs]
    return max(common_run(*pair) for pair in pairs), max(common_run(*pair) for pair in texts)


def common_run(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """The length of the longest run that both hold."""
    return SequenceMatcher(None, one, other, autojunk=False).find_longest_match().size


def exposure(
    base: BaseModel | Path,
    messages: Sequence[Message],
    train: Callable[[Sequence[Message]], AdapterFile],
    *,
    canaries: int = 8,
    repeats: int = 1,
    candidates: int = 512,
    seed: int = 0,
    progress: Progress = lambda message, fraction: None,
) -> Exposure:
    """How much better a twin of a run predicts numbers it was trained on than numbers it was not.

    A canary's exposure is log2 R - log2 of its rank by loss among R candidates, itself and random ones of its form,
    ties counted half: Carlini et al. 2019, "The Secret Sharer", with the rank estimated by sampling.

    Args:
        messages: what the run was trained on, without what it held out.
        train: makes the twin: trains on exactly the messages it is given, as the run did (start, steps, rank, learning
            rate, held-out messages), and returns the adapter.
        repeats: how often each canary is among the messages.
        candidates: R.

    Raises:
        BadInput: fewer than one canary or repeat, or fewer candidates than two.
        BadModel, CacheMismatch: the base or the twin cannot be used.
    """
    if canaries < 1 or repeats < 1 or not 2 <= candidates <= 10**DIGITS - canaries:
        raise BadInput(f"{canaries} canaries, {repeats} times, among {candidates} candidates make no test. Give more.")
    drawn = random.Random(f"canaries {seed}").sample(range(10**DIGITS), canaries + candidates - 1)
    forms = [canary(number) for number in drawn]
    progress("training a twin with canaries", 0.0)
    twin = train([*messages, *forms[:canaries] * repeats])
    bits = {}
    with Vocabulary(base) as vocabulary:
        samples = tokenized(vocabulary, Corpus(tuple(forms)), 512)
    longest = max(len(tokens) for tokens, _ in samples)
    scored = max(len(tokens) - first for tokens, first in samples)
    context, outputs = SEQUENCES * longest, SEQUENCES * scored
    with Model(base, context=context, outputs=outputs, sequences=SEQUENCES, shared=True) as model:
        for name, applied in (("the twin", [WeightedAdapter(twin)]), ("the base model", [])):
            model.apply(applied)
            losses = model.losses(samples, partial(progress, f"ranking canaries under {name}"))
            bits[name] = [exposed(loss, losses[canaries:]) for loss in losses[:canaries]]
    mean, base_mean = (sum(values) / canaries for values in bits.values())
    most, base_most = map(max, bits.values())
    return Exposure(canaries, repeats, candidates, mean, most, base_mean, base_most)


def canary(number: int) -> Message:
    """A message that tells a number of DIGITS digits, one word each."""
    return Message("", f"My number is {' '.join(f'{number:0{DIGITS}d}')}.", "canary")


def exposed(loss: float, others: Sequence[float]) -> float:
    """Bits of exposure of a canary with this loss among others that were not trained on; ties count half."""
    rank = 1 + sum(other < loss for other in others) + sum(other == loss for other in others) / 2
    return math.log2((len(others) + 1) / rank)
