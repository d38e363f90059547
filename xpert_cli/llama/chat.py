"""`xpert run` and `xpert chat`: text from a base model with adapters at weights, streamed as it comes.

    run("Why is the sky blue?", base, [WeightedAdapter.open(Path("mine.gguf"))], on_text=print).tokens_per_second
    with Chat(base, []) as chat:
        chat.say("Hello!"); chat.say("And again?")

Not here: images, tools, several answers at once; servers (llama.cpp brings one).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model

CONTEXT, LEAST_CONTEXT = 2048, 512  # tokens, and as few as memory may ask for
Adapters = Sequence[WeightedAdapter]
OnText = Callable[[str], None]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Small models loop when greedy (temperature 0): the defaults draw, and penalise repeats."""

    max_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.9
    repeat: float = 1.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise BadUsage(f"--max-tokens must be at least 1, not {self.max_tokens}.")
        if not (self.temperature >= 0 and 0 < self.top_p <= 1 and self.repeat > 0):
            raise BadUsage("--temperature must not be negative, and --top-p must lie between 0 and 1. Try 0.7 and 0.9.")


@dataclass(frozen=True)
class Run:
    """A generated text. `tokens_per_second` leaves the prompt out; `stopped` is "length" at `max_tokens`.

    `notes` tell what was chosen for want of memory.
    """

    text: str
    prompt_tokens: int
    generated_tokens: int
    tokens_per_second: float
    seconds: float
    stopped: Literal["end", "length"]
    notes: tuple[str, ...] = ()


def run(
    prompt: str,
    base: BaseModel | Path,
    adapters: Adapters,
    *,
    sampling: Sampling | None = None,
    system: str | None = None,
    context: int | None = None,
    on_text: OnText = lambda text: None,
) -> Run:
    """Answer one prompt in the base model's chat template.

    Args:
        adapters: applied together.
        system: an instruction that comes before the prompt.
        context: tokens of prompt and answer that must fit in memory; CONTEXT, or fewer where memory is short.
        on_text: told each piece of the answer.

    Raises:
        BadInput: prompt and answer do not fit the context, or an option is out of range.
        BadModel, CacheMismatch: the model or an adapter cannot be used.
    """
    with Chat(base, adapters, sampling=sampling, system=system, context=context) as chat:
        return chat.say(prompt, on_text)


class Chat:
    """A conversation: it remembers its turns, and forgets the oldest ones when the context is full.

    The arguments are those of `run`.
    """

    def __init__(
        self,
        base: BaseModel | Path,
        adapters: Adapters,
        *,
        sampling: Sampling | None = None,
        system: str | None = None,
        context: int | None = None,
    ) -> None:
        self.sampling = sampling or Sampling()
        self.instruct(system)
        self._turns: list[dict[str, str]] = []
        self._model = Model(base, context=context or CONTEXT, least=context or LEAST_CONTEXT)
        self.notes = tuple(filter(None, [self._model.note]))
        try:
            self._model.apply(adapters)
            for one in adapters:
                one.file.release()  # llama.cpp read them for itself
        except BaseException:
            self._model.close()
            raise

    def say(self, prompt: str, on_text: OnText = lambda text: None) -> Run:
        """The model's answer to `prompt` in the light of what was said before; stopped half-way, it is forgotten."""
        if not prompt.strip():
            raise BadInput("the prompt is empty. Say something.")
        started = time.monotonic()
        tokens = self._fitted(prompt)
        clock = _Clock()
        options = self.sampling
        answer = self._model.generate_tokens(
            tokens,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed + len(self._turns),
            repeat=options.repeat,
            resume=True,
        )
        pieces = []
        for piece in self._model.decoded(clock.counted(answer)):
            pieces.append(piece)
            on_text(piece)
        text = "".join(pieces)
        self._turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
        return Run(
            text=text,
            prompt_tokens=len(tokens),
            generated_tokens=clock.count,
            tokens_per_second=clock.rate(),
            seconds=time.monotonic() - started,
            stopped="length" if clock.count == options.max_tokens else "end",
            notes=self.notes,
        )

    def use(self, adapters: Adapters) -> None:
        """Answer with other adapters from here on; what was said stays."""
        self._model.apply(adapters)

    def instruct(self, system: str | None) -> None:
        """Set the instruction that comes first, or take it away."""
        self._system = [{"role": "system", "content": system}] if system else []

    def reset(self) -> None:
        """Forget what was said."""
        self._turns = []

    def remember(self, turns: Sequence[tuple[str, str]]) -> None:
        """Go on after (prompt, answer) turns of an earlier conversation."""
        roles = ("user", "assistant")
        self._turns += [
            {"role": role, "content": text} for turn in turns for role, text in zip(roles, turn, strict=True)
        ]

    def _fitted(self, prompt: str) -> list[int]:
        """The conversation's tokens, without its oldest turns where they leave no room for an answer."""
        question = {"role": "user", "content": prompt}
        tokens = self._model.chat([*self._system, *self._turns, question])
        while self._turns and len(tokens) + self.sampling.max_tokens > self._model.context:
            self._turns = self._turns[2:]
            tokens = self._model.chat([*self._system, *self._turns, question])
        return tokens

    def close(self) -> None:
        """Free the model."""
        self._model.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Clock:
    """Counts tokens and the time between the first and the last, which leaves the prompt out."""

    def __init__(self) -> None:
        self.count = 0
        self._first = self._last = 0.0

    def counted(self, tokens: Iterator[int]) -> Iterator[int]:
        for token in tokens:
            self._last = time.perf_counter()
            self._first = self._first or self._last
            self.count += 1
            yield token

    def rate(self) -> float:
        """Tokens a second; 0 for fewer than two."""
        return (self.count - 1) / (self._last - self._first) if self.count > 1 else 0.0
