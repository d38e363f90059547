"""Whole words from a summarizer's vocabulary, in descending probability of being the next one.

    with compare.opened(summarizer) as model:
        words = Speller(model).ranked(state)           # "formal", "casual", "informal", ...

Not here: where states come from (paper/two_answers.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from xpert_cli import gguf
from xpert_cli.llama.model import Model
from xpert_cli.paper import two_answers
from xpert_cli.paper.two_answers import Floats
from xpert_cli.style import lexicon

CHUNK = 64  # tokens whose words are completed at a time
MOST_TOKENS = 5  # of a word
FUNCTION_WORDS = frozenset().union(
    lexicon.ARTICLES,
    lexicon.DEMONSTRATIVES,
    lexicon.FIRST_PERSON,
    lexicon.SECOND_PERSON,
    lexicon.THIRD_PERSON,
    lexicon.PREPOSITIONS,
    lexicon.COORDINATORS,
    lexicon.SUBORDINATORS,
    lexicon.AUXILIARIES,
    lexicon.NEGATIONS,
    lexicon.INTENSIFIERS,
    lexicon.CONNECTIVES,
    lexicon.QUANTIFIERS,
)


class Speller:
    """Whole words in descending probability as the next one after a state, from a summarizer's own vocabulary.

    A token that starts a word is followed greedily, in a frame without texts, until the next token starts another.

    Args:
        model: as `opened` gives it.
    """

    def __init__(self, model: Model) -> None:
        header = model.base.header
        self._model = model
        name = "output.weight" if "output.weight" in header.tensors else "token_embd.weight"
        self._output = gguf.tensor(header, name)
        self._frame = two_answers.put(model, *two_answers.stated("different"))
        self._words: dict[int, str | None] = {}  # by first token

    def ranked(self, state: Floats) -> Iterator[str]:
        """Words, likeliest first, without duplicates.

        Args:
            state: (hidden,) mean of raw states. Its logits are the mean of the prompts' logits, so that words come in
                the order of their geometric mean probability: no single prompt pushes a word up.
        """
        order = np.argsort(-(self._output @ state.astype(np.float32)), kind="stable")
        yielded: set[str] = set()
        for start in range(0, len(order), CHUNK):
            tokens = [int(token) for token in order[start : start + CHUNK]]
            self._spell(tokens)
            for token in tokens:
                word = self._words[token]
                if word and word not in yielded:
                    yielded.add(word)
                    yield word

    def _spell(self, tokens: Sequence[int]) -> None:
        """Complete the words that begin with these tokens."""
        growing = {token: [token] for token in tokens if token not in self._words}
        for token in list(growing):
            if self._model.piece(token)[:1] != b" " or not self._model.piece(token)[1:].isalpha():
                self._words[token] = None
                del growing[token]
        for _ in range(MOST_TOKENS):
            if not growing:
                return
            states = self._model.states([self._frame + word for word in growing.values()])
            following = np.argmax(states @ self._output.T, axis=1)
            for (first, word), token in zip(list(growing.items()), map(int, following), strict=True):
                if self._model.piece(token)[:1].isalpha():
                    word.append(token)
                else:
                    self._words[first] = accepted(self._model.detokenize(word))
                    del growing[first]
        self._words.update(dict.fromkeys(growing))


def accepted(text: str) -> str | None:
    """A word that can name a style, in lower case; None for other text and for function words."""
    word = text.strip().casefold()
    return word if word.isalpha() and len(word) > 2 and word not in FUNCTION_WORDS else None
