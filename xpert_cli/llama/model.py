"""llama.cpp as the rest of xpert sees it: a base model, adapters at scales on top of it, states, losses and text.

    with Model(base) as model:
        model.apply([WeightedAdapter.open(Path("mine.gguf"), 0.5)])
        text = "".join(model.generate(model.chat("Why is the sky blue?"), max_tokens=64))

Not here: how a model is opened (llama/context.py), tokens and chat templates (llama/vocabulary.py),
quantizing (models/quantize.py), GGUF bytes (gguf/files.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, BadModel
from xpert_cli.llama.context import Context, Floats
from xpert_cli.llama.vocabulary import Vocabulary, library
from xpert_cli.resume import PartialResults

__all__ = ["Model", "Sample", "Vocabulary", "library"]

Sample = tuple[Sequence[int], int]  # tokens, and the index of the first one that is scored


class Model(Context):
    """A GGUF model, with adapters or without: states, losses and text."""

    def _each_output(self, tokens: Sequence[int], first: int) -> Iterator[tuple[int, Floats]]:
        """(position, logits) for every position from `first` on; the array is valid until the next step."""
        if len(tokens) > self.context:
            raise BadInput(
                f"{counted(len(tokens), 'tokens do')} not fit in a context of {self.context}. Use shorter text."
            )
        self._clear()
        step = min(self._batch_size, self.outputs)
        at = 0
        while at < len(tokens):
            size = step if at >= first else min(self._batch_size, first - at)
            chunk = range(at, min(at + size, len(tokens)))
            self._decode([(tokens[p], p, 0, p >= first) for p in chunk])
            for row, position in enumerate(chunk):
                if position >= first:
                    yield position, self._logits(row)
            at += size

    def logits(self, tokens: Sequence[int]) -> Floats:
        """(len(tokens), vocabulary) logits of one text."""
        return np.stack([row.copy() for _, row in self._each_output(tokens, 0)])

    def nats(self, sample: Sample) -> tuple[float, int]:
        """Summed -log p of the scored tokens of one sample, and how many they are.

        Tokens past the context are left out.
        """
        tokens, start = list(sample[0][: self.context]), sample[1]
        total = 0.0
        for position, row in self._each_output(tokens[:-1], max(0, start - 1)):
            total += _surprise(row, tokens[position + 1])
        return total, max(0, len(tokens) - max(1, start))

    def losses(self, samples: Sequence[Sample], progress: Callable[[float], None] = lambda _: None) -> list[float]:
        """Summed -log p, in nats, of each sample's scored tokens.

        What all samples begin with is evaluated once for as many as run side by side. A sample's own tokens must fit
        into one batch, and the scored ones of all sequences into `outputs`.
        """
        read = [list(tokens[:-1]) for tokens, _ in samples]
        alike = _common_prefix([tokens[:first] for tokens, first in samples])
        losses: list[float] = []
        for done, group in self._groups(read, alike):
            self._share_prefix(read[group[0]][:alike], len(group))
            places = [(i, s, at) for s, i in enumerate(group) for at in range(alike, len(read[i]))]
            self._decode([(read[i][at], at, s, at + 1 >= samples[i][1]) for i, s, at in places])
            nats = dict.fromkeys(group, 0.0)
            for row, (i, _, at) in enumerate(places):
                tokens, first = samples[i]
                if at + 1 >= first:
                    nats[i] += _surprise(self._logits(row), tokens[at + 1])
            losses += nats.values()
            progress(done / len(read))
        return losses

    def states(
        self,
        prompts: Sequence[Sequence[int]],
        progress: Callable[[float], None] = lambda _: None,
        partial: PartialResults | None = None,
    ) -> Floats:
        """(len(prompts), hidden) final-norm hidden states at each prompt's last token.

        Prompts share the evaluation of the tokens they all start with, and several fill a batch together.

        Args:
            partial: where finished states are kept, to carry on from.
        """
        begun, out = partial.load() if partial else None, np.empty((len(prompts), self.hidden_size), np.float32)
        prefix = _common_prefix(prompts) if len(prompts) > 1 else 0
        for done, group in self._groups(prompts, prefix):
            if begun and done <= begun[0]:
                out[group] = begun[1][group]
                continue
            self._share_prefix(prompts[group[0]][:prefix], len(group))
            bodies = [
                (prompts[i][p], p, s, False) for s, i in enumerate(group) for p in range(prefix, len(prompts[i]) - 1)
            ]
            for start in range(0, len(bodies), self._batch_size):
                self._decode(bodies[start : start + self._batch_size])
            # With embeddings on, llama.cpp returns every row it is given: only the last tokens are.
            self._lib.llama_set_embeddings(self._context, True)
            try:
                self._decode([(prompts[i][-1], len(prompts[i]) - 1, s, True) for s, i in enumerate(group)])
                for row, index in enumerate(group):
                    state = self._lib.llama_get_embeddings_ith(self._context, row)
                    out[index] = np.ctypeslib.as_array(state, shape=(self.hidden_size,))
            finally:
                self._lib.llama_set_embeddings(self._context, False)
            if partial:
                partial.keep(done, out)
            progress(done / len(prompts))
        return out

    def _groups(self, prompts: Sequence[Sequence[int]], prefix: int) -> Iterator[tuple[int, list[int]]]:
        """Prompts in their order, as many at a time as the sequences and one batch hold."""
        group: list[int] = []
        used = 0
        for index, tokens in enumerate(prompts):
            size = len(tokens) - prefix
            if group and (len(group) == self.sequences or used + size > self._batch_size):
                yield index, group
                group, used = [], 0
            group.append(index)
            used += size
        if group:
            yield len(prompts), group

    # -- generation

    def _sampler(self, temperature: float, top_p: float, seed: int, repeat: float = 1.0) -> Any:
        lib = self._lib
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if temperature <= 0:
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_greedy())
            return chain
        for part in (
            lib.llama_sampler_init_top_k(50),
            # After top-k, so that the penalty walks over 50 candidates and not over the vocabulary.
            lib.llama_sampler_init_penalties(self.vocabulary_size, 64, repeat, 0.0, 0.0),
            lib.llama_sampler_init_top_p(top_p, 1),
            lib.llama_sampler_init_temp(temperature),
            lib.llama_sampler_init_dist(seed),
        ):
            lib.llama_sampler_chain_add(chain, part)
        return chain

    def generate_tokens(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 0.9,
        seed: int = 0,
        repeat: float = 1.0,
        resume: bool = False,
    ) -> Iterator[int]:
        """Token ids of a continuation, until an end-of-generation token or `max_tokens`.

        Args:
            repeat: penalty on tokens among the last 64 generated; 1 is none. Greedy choice (temperature 0) has none.
            resume: do not evaluate again what `tokens` share with the last call's tokens and answer.
        """
        if len(tokens) + max_tokens > self.context:
            raise BadInput(
                f"prompt ({len(tokens)} tokens) and answer ({max_tokens}) exceed the context of {self.context}. "
                "Use --context."
            )
        if not tokens:
            raise BadInput("there is no token to go on from. Give a text.")
        lib, sampler = self._lib, self._sampler(temperature, top_p, seed, repeat)
        try:
            self._hold(tokens, resume)
            for count in range(max_tokens):
                self._require_numbers(-1)
                token = lib.llama_sampler_sample(sampler, self._context, -1)
                if lib.llama_vocab_is_eog(self._vocabulary, token):
                    return
                yield token
                if count + 1 < max_tokens:
                    self._decode([(token, len(self._held), 0, True)])
                    self._held.append(token)
        finally:
            lib.llama_sampler_free(sampler)

    def _require_numbers(self, row: int) -> None:
        """Refuse to draw a token from numbers that are none: llama.cpp would abort."""
        if not np.isfinite(self._logits(row).max()):
            raise BadModel(f"{self.path}: the model came to no finite numbers. Use another base or adapter.")

    def _hold(self, tokens: Sequence[int], resume: bool) -> None:
        """Make sequence 0 hold `tokens`, the last freshly evaluated; with `resume`, keep what it has of them."""
        common = _common_prefix([self._held, list(tokens)]) if resume and self._held else 0
        if not common or not self._lib.llama_memory_seq_rm(self._memory, 0, common, -1):
            self._clear()
            common = 0
        self._held = []
        self._feed(tokens, 0, common)
        self._held = list(tokens)

    def generate(self, tokens: Sequence[int], **options: Any) -> Iterator[str]:
        """Text of a continuation, piece by piece; characters split over tokens come out whole."""
        return self.decoded(self.generate_tokens(tokens, **options))

    def answers(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float = 0.9,
        seed: int = 0,
        known: Mapping[int, Sequence[int]] | None = None,
        finished: Callable[[int, Sequence[int]], None] = lambda index, answer: None,
        progress: Callable[[float], None] = lambda _: None,
    ) -> list[list[int]]:
        """Continuations of many prompts, `self.sequences` at a time.

        Prompt i is sampled with seed + i, whatever runs beside it.

        Args:
            known: answers by their prompts' places, which are not worked out again.
            finished: given each new answer, with its prompt's place, as soon as it is whole.
        """
        known = known or {}
        if not all(prompts):
            raise BadInput("a prompt has no tokens. Give a text.")
        waiting = [index for index in range(len(prompts)) if index not in known][::-1]
        results: list[list[int]] = [list(known.get(index, ())) for index in range(len(prompts))]
        running: dict[int, tuple[int, Any, int]] = {}  # sequence -> prompt index, sampler, position
        self._clear()
        try:
            while waiting or running:
                for sequence in range(self.sequences):
                    if sequence not in running and waiting:
                        index = waiting.pop()
                        self._feed(prompts[index], sequence)
                        running[sequence] = (
                            index,
                            self._sampler(temperature, top_p, seed + index),
                            len(prompts[index]),
                        )
                        if self._advance(running, sequence, -1, results, max_tokens):
                            finished(index, results[index])
                rows = [(results[i][-1], position, s, True) for s, (i, _, position) in running.items()]
                if rows:
                    self._decode(rows)
                    for row, sequence in enumerate(list(running)):
                        index, sampler, position = running[sequence]
                        running[sequence] = (index, sampler, position + 1)
                        if self._advance(running, sequence, row, results, max_tokens):
                            finished(index, results[index])
                progress(1 - (len(waiting) + len(running)) / max(1, len(prompts)))
            return results
        finally:
            for _, sampler, _ in running.values():
                self._lib.llama_sampler_free(sampler)

    def _advance(
        self, running: dict[int, tuple[int, Any, int]], sequence: int, row: int, results: list[list[int]], limit: int
    ) -> bool:
        """Sample the next token of a sequence; True if that completes its answer, and the sequence is free again."""
        index, sampler, _ = running[sequence]
        self._require_numbers(row)
        token = self._lib.llama_sampler_sample(sampler, self._context, row)
        ended = self._lib.llama_vocab_is_eog(self._vocabulary, token)
        if not ended:
            results[index].append(token)
        complete = bool(ended) or len(results[index]) >= limit
        if complete:
            self._lib.llama_sampler_free(sampler)
            self._lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            del running[sequence]
        return complete


def _surprise(logits: Floats, token: int) -> float:
    """-log p of a token, in nats."""
    top = float(logits.max())
    return top + float(np.log(np.exp(logits - top).sum(dtype=np.float64))) - float(logits[token])


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of what all prompts start with, one token short of the shortest."""
    first, last = min(map(list, prompts)), max(map(list, prompts))
    limit = min(map(len, prompts)) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)
