"""Several texts that grow side by side in one model, each with its own adapters: what a server decodes with.

    with Slots(base, sequences=4) as slots:
        text = slots.start(tokens, adapters=(WeightedAdapter.open(mine),), draw=Draw(temperature=0.7))
        for token in slots.step():          # one pass over all texts that share an adapter set
            print(token.slot, token.id)

A slot is a sequence of llama.cpp's memory. It keeps the tokens of its last text, so that a conversation that goes on
evaluates only what is new. Texts with the same adapters are decoded together; the sets take turns.
Not here: stop strings, clients and queues (serve/engine.py), the answers to a fixed list of prompts (`Model.answers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli.errors import BadInput
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.llama.context import Floats
from xpert_cli.llama.model import Model
from xpert_cli.paths import identity

TURN = 8  # passes that an adapter set gets before the next one that waits: changing sets costs about one pass
PROMPT_STEP = 128  # prompt tokens a pass beside texts that are being answered, so that these do not wait long
CONTINUES, REPEATS = 0.75, 0.9  # share of a slot's tokens, or of a prompt's, that makes the slot worth continuing
MOST_ADAPTERS = 16  # adapter files that stay loaded

AdapterSet = tuple[WeightedAdapter, ...]
_Key = tuple[tuple[tuple[str, int, int], float], ...]  # the identities of a set's files, with their weights


@dataclass(frozen=True)
class Draw:
    """How a token is drawn; `temperature` 0 takes the likeliest.

    Attributes:
        repeat, frequency, presence: penalties on the last 64 tokens; 1, 0 and 0 are none.
        logprobs: report the log-probability of each token, and of this many of the likeliest; None reports nothing.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 50
    min_p: float = 0.0
    repeat: float = 1.1
    frequency: float = 0.0
    presence: float = 0.0
    seed: int = 0
    logprobs: int | None = None


@dataclass(frozen=True)
class Token:
    """A token drawn in a slot; `end` where it ends the answer.

    `logprob` and `likeliest` (ids with their log-probabilities, likeliest first) are of the model's own distribution,
    before temperature and penalties.
    """

    slot: int
    id: int
    end: bool
    logprob: float | None = None
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass
class _Slot:
    """One sequence.

    Attributes:
        tokens: what the sequence holds or, while a text grows, is to hold; the first `evaluated` are in the memory.
        sampler: of the text that grows here; None in an idle slot.
        used: when the slot was last used, in starts.
    """

    key: _Key = ()
    adapters: AdapterSet = ()
    tokens: list[int] = field(default_factory=list)
    evaluated: int = 0
    sampler: Any = None
    draw: Draw = field(default_factory=Draw)
    used: int = 0


class Slots(Model):
    """A model whose sequences grow independently. All methods are called from one thread.

    The arguments are those of `Context`; `context` is shared out evenly among the sequences.
    """

    def __init__(self, source: Path | BaseModel, **options: Any) -> None:
        super().__init__(source, **options)
        self._slots = [_Slot() for _ in range(self.sequences)]
        self._applied: _Key | None = None
        self._turn = 0  # passes left to the set that is applied
        self._starts = 0

    @property
    def room(self) -> int:
        """Tokens that one text may have, prompt and answer together."""
        return self.context // self.sequences

    @property
    def start_of_text(self) -> list[int]:
        """What a text that is no chat begins with: the BOS token, where the model wants one."""
        bos = int(self._lib.llama_vocab_bos(self._vocabulary))
        return [bos] if bos >= 0 and self._lib.llama_vocab_get_add_bos(self._vocabulary) else []

    def idle(self) -> int:
        """How many slots have no text that grows."""
        return sum(slot.sampler is None for slot in self._slots)

    def start(self, tokens: Sequence[int], adapters: AdapterSet, draw: Draw) -> tuple[int, int]:
        """Begin to answer a prompt in an idle slot; the slot's number, and how many of the tokens it held already.

        Raises:
            BadInput: the prompt is empty, or does not leave room for one token.
            BadModel: an adapter cannot be loaded.
        """
        if not tokens or len(tokens) >= self.room:
            raise BadInput(f"a prompt of {len(tokens)} tokens does not fit in a context of {self.room}. Use --context.")
        key = tuple((identity(one.file.path), one.weight) for one in adapters)
        for one in adapters:
            self._adapter(one.file)
        index, common = self._choose(key, tokens)
        slot = self._slots[index]
        if not common or not self._lib.llama_memory_seq_rm(self._memory, index, common, -1):
            self._lib.llama_memory_seq_rm(self._memory, index, -1, -1)
            common = 0
        self._starts += 1
        slot.key, slot.adapters, slot.draw, slot.used = key, adapters, draw, self._starts
        slot.tokens, slot.evaluated = list(tokens), common
        slot.sampler = self._drawn_by(draw)
        return index, common

    def _choose(self, key: _Key, tokens: Sequence[int]) -> tuple[int, int]:
        """An idle slot for a prompt, and how many of its first tokens the slot holds.

        A slot that holds the conversation so far is continued; else the one that was not used for longest is taken.
        """
        idle = [index for index, slot in enumerate(self._slots) if slot.sampler is None]
        shared = {index: self._shared(self._slots[index], key, tokens) for index in idle}
        index = max(idle, key=lambda one: (shared[one], -self._slots[one].used))
        enough = min(CONTINUES * len(self._slots[index].tokens), REPEATS * len(tokens))
        if shared[index] < max(1.0, enough):
            index = min(idle, key=lambda one: self._slots[one].used)
        return index, shared[index]

    @staticmethod
    def _shared(slot: _Slot, key: _Key, tokens: Sequence[int]) -> int:
        """Tokens at the start of a prompt that a slot holds, evaluated with the same adapters; never all of them."""
        if slot.key != key:
            return 0
        limit = min(slot.evaluated, len(tokens) - 1)
        return next((i for i in range(limit) if slot.tokens[i] != tokens[i]), limit)

    def stop(self, index: int) -> None:
        """End a slot's text; what it has evaluated stays, for a text that begins with it."""
        slot = self._slots[index]
        if slot.sampler is not None:
            self._lib.llama_sampler_free(slot.sampler)
            slot.sampler = None
            slot.tokens = slot.tokens[: slot.evaluated]

    def forget(self) -> None:
        """Drop what all slots have evaluated, after a pass that failed: what the memory then holds is not known."""
        self._clear()
        for index, slot in enumerate(self._slots):
            self.stop(index)
            slot.tokens, slot.evaluated = [], 0

    def step(self) -> list[Token]:
        """Evaluate one batch of the texts that share an adapter set, and draw a token where a prompt is complete."""
        key = self._next_set()
        if key is None:
            return []
        growing = [
            (index, slot) for index, slot in enumerate(self._slots) if slot.sampler is not None and slot.key == key
        ]
        self._use(key, growing[0][1].adapters)
        rows: list[tuple[int, int, int, bool]] = []
        complete: list[tuple[int, int]] = []  # slot, row
        answering = [one for one in growing if len(one[1].tokens) - one[1].evaluated == 1]
        reading = [one for one in growing if len(one[1].tokens) - one[1].evaluated > 1]
        room = self._batch_size - len(answering)
        if answering:
            room = min(room, PROMPT_STEP)
        for index, slot in (*answering, *reading):
            left = len(slot.tokens) - slot.evaluated
            size = 1 if left == 1 else min(left, room)
            room -= 0 if left == 1 else size
            for at in range(slot.evaluated, slot.evaluated + size):
                rows.append((slot.tokens[at], at, index, at == len(slot.tokens) - 1))
            slot.evaluated += size
            if size and slot.evaluated == len(slot.tokens):
                complete.append((index, len(rows) - 1))
        self._decode(rows)
        self._turn -= 1
        return [self._draw(index, row) for index, row in complete]

    def _next_set(self) -> _Key | None:
        """The adapter set whose turn it is: the applied one for TURN passes, then the one whose texts wait longest."""
        waiting = [slot for slot in self._slots if slot.sampler is not None]
        if not waiting:
            return None
        keys = list(dict.fromkeys(slot.key for slot in sorted(waiting, key=lambda slot: slot.used)))
        if self._applied in keys and (self._turn > 0 or len(keys) == 1):
            return self._applied
        self._turn = TURN
        after = keys.index(self._applied) + 1 if self._applied in keys else 0
        return keys[after % len(keys)]

    def _use(self, key: _Key, adapters: AdapterSet) -> None:
        if key == self._applied:
            return
        self.apply(adapters)
        self._applied = key
        in_use = {name for slot in self._slots if slot.sampler is not None for name, _ in slot.key}
        for name in [name for name in self._adapters if name not in in_use][: len(self._adapters) - MOST_ADAPTERS]:
            self._lib.llama_adapter_lora_free(self._adapters.pop(name))

    def _draw(self, index: int, row: int) -> Token:
        slot = self._slots[index]
        self._require_numbers(row)
        logprobs: tuple[float | None, tuple[tuple[int, float], ...]] = (None, ())
        logits = self._logits(row).copy() if slot.draw.logprobs is not None else None
        token = int(self._lib.llama_sampler_sample(slot.sampler, self._context, row))
        if logits is not None:
            logprobs = _logprobs(logits, token, slot.draw.logprobs or 0)
        end = bool(self._lib.llama_vocab_is_eog(self._vocabulary, token))
        if not end:
            slot.tokens.append(token)
        return Token(index, token, end, *logprobs)

    def _drawn_by(self, draw: Draw) -> Any:
        lib = self._lib
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        parts = []
        if draw.top_k and draw.temperature > 0:
            # First, so that the penalties walk over few candidates and not over the vocabulary.
            parts.append(lib.llama_sampler_init_top_k(draw.top_k))
        penalised = draw.frequency or draw.presence or (draw.repeat != 1 and draw.temperature > 0)
        if penalised:
            repeat = draw.repeat if draw.temperature > 0 else 1.0
            parts.append(
                lib.llama_sampler_init_penalties(self.vocabulary_size, 64, repeat, draw.frequency, draw.presence)
            )
        if draw.temperature <= 0:
            parts.append(lib.llama_sampler_init_greedy())
        else:
            parts.append(lib.llama_sampler_init_top_p(draw.top_p, 1))
            if draw.min_p:
                parts.append(lib.llama_sampler_init_min_p(draw.min_p, 1))
            parts += [lib.llama_sampler_init_temp(draw.temperature), lib.llama_sampler_init_dist(draw.seed)]
        for part in parts:
            lib.llama_sampler_chain_add(chain, part)
        return chain

    def close(self) -> None:
        """Free everything; the slots cannot be used afterwards."""
        for index in range(len(getattr(self, "_slots", []))):
            self.stop(index)
        super().close()


def _logprobs(logits: Floats, token: int, count: int) -> tuple[float, tuple[tuple[int, float], ...]]:
    """log p of a token, and the `count` likeliest ids with theirs."""
    top = float(logits.max())
    shift = top + float(np.log(np.exp(logits - top).sum(dtype=np.float64)))
    likeliest = sorted(np.argpartition(-logits, count)[:count] if count else (), key=lambda i: -logits[i])
    return float(logits[token]) - shift, tuple((int(i), float(logits[i]) - shift) for i in likeliest)
