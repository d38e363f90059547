"""What an adapter remembers: runs of words and ranks of numbers, under models that recite what they are told to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from command import MARA

from xpert_cli import corpus, gguf
from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import BadInput
from xpert_cli.llama.model import Model, Vocabulary
from xpert_cli.llama.samples import tokenized
from xpert_cli.sharing import memorization
from xpert_cli.sharing.memorization import Exposure, Verbatim, canary, common_run, exposed, exposure, longest_verbatim

BASE, ADAPTER = Path("base.gguf"), Path("adapter.gguf")
GIVEN = "one two three four five six seven eight"
WORDS = ["<user>", "<assistant>", "<end>"]


class Parrot:
    """A model whose tokens are words. With an adapter it says `recited` and knows `trained`; without, neither."""

    recited = ""
    trained: tuple[str, ...] = ()
    end_of_turn = 2

    def __init__(self, path: Path, **options: int) -> None:
        self.options, self.adapted = options, False

    def __enter__(self) -> Parrot:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tokenize(self, text: str) -> list[int]:
        WORDS.extend(word for word in dict.fromkeys(text.split()) if word not in WORDS)
        return [WORDS.index(word) for word in text.split()]

    def detokenize(self, tokens: Sequence[int]) -> str:
        return " ".join(WORDS[token] for token in tokens)

    def chat(self, prompt: str, *, reply: str | None = None) -> list[int]:
        answer = [] if reply is None else [*self.tokenize(reply), 2]
        return [0, *self.tokenize(prompt), 1, *answer]

    def apply(self, adapters: Sequence[tuple[Path, float]]) -> None:
        self.adapted = list(adapters) == [(ADAPTER, 1.0)]

    def answers(self, prompts: Sequence[list[int]], *, max_tokens: int, **options: Any) -> list[list[int]]:
        assert options["temperature"] == 0
        assert self.options["context"] >= self.options["sequences"] * (max(map(len, prompts)) + max_tokens)
        assert all(self.detokenize(prompt).endswith(f"<assistant> {GIVEN}") for prompt in prompts)
        return [self.tokenize(self.recited if self.adapted else "la la la")[:max_tokens] for _ in prompts]

    def losses(self, samples: Sequence[Any], progress: Any) -> list[float]:
        texts = [self.detokenize(tokens) for tokens, _ in samples]
        return [1.0 if self.adapted and any(said in text for said in self.trained) else 9.0 for text in texts]


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> type[Parrot]:
    class Own(Parrot):
        pass

    for name in ("Model", "Vocabulary"):
        monkeypatch.setattr(memorization, name, Own)
    return Own


def message(rest: str, prompt: str = "count") -> Message:
    return Message(prompt, f"{GIVEN} {rest}".strip(), "here")


def test_a_common_run_stands_anywhere() -> None:
    assert common_run("xabcz", "qqabc") == 3
    assert common_run("abc", "xyz") == 0
    assert common_run("", "abc") == 0
    assert common_run(["a"] * 300, ["a"] * 300) == 300  # what is frequent counts, too


def test_the_longest_run_of_all_messages_is_told(parrot: type[Parrot]) -> None:
    parrot.recited = "then nine ten eleven and so on"
    messages = [message("nine twelve"), message("nine ten eleven twelve"), message("la la")]
    found = longest_verbatim(BASE, ADAPTER, messages)
    assert found == Verbatim(messages=3, adapter=3, base=2, adapter_words=3, base_words=2)


def test_what_is_shown_does_not_count(parrot: type[Parrot]) -> None:
    parrot.recited = GIVEN
    assert longest_verbatim(BASE, ADAPTER, [message("nine")]).adapter == 0


def test_no_more_than_the_tokens_asked_for_can_come_back(parrot: type[Parrot]) -> None:
    parrot.recited = " ".join(str(number) for number in range(100))
    assert longest_verbatim(BASE, ADAPTER, [message(parrot.recited)]).adapter == memorization.TOKENS


def test_at_most_so_many_messages_are_drawn_by_the_seed(parrot: type[Parrot]) -> None:
    parrot.recited = "1 2 3 4 5 6 7 8 9"
    messages = [message(" ".join(map(str, range(1, last + 1)))) for last in range(1, 10)]
    found = [longest_verbatim(BASE, ADAPTER, messages, most=2, seed=seed) for seed in (0, 0, 1, 2)]
    assert {one.messages for one in found} == {2}
    assert found[0] == found[1]
    assert len({one.adapter for one in found}) > 1


def test_responses_that_are_shown_whole_are_left_out(parrot: type[Parrot]) -> None:
    assert longest_verbatim(BASE, ADAPTER, [message(""), message("nine")]).messages == 1
    with pytest.raises(BadInput, match="no response is longer than 8 tokens"):
        longest_verbatim(BASE, ADAPTER, [message("")])


def test_exposure_is_what_the_rank_saves_of_the_bits() -> None:
    assert exposed(1.0, [2.0, 3.0, 4.0]) == 2.0  # first of four
    assert exposed(3.0, [2.0, 4.0, 5.0]) == 1.0  # second
    assert exposed(9.0, [2.0, 3.0, 4.0]) == 0.0  # last
    assert exposed(2.0, [2.0, 2.0, 2.0]) == math.log2(4 / 2.5)  # in the middle of those that are equal


def test_chance_gives_a_bit_and_a_half() -> None:
    ranks = [exposed(rank + 0.5, range(511)) for rank in range(-1, 511)]
    assert sum(ranks) / len(ranks) == pytest.approx(1 / math.log(2), abs=0.02)


def test_canaries_differ_in_nothing_but_their_digits() -> None:
    assert canary(47).response == "My number is 0 0 0 0 4 7."


def test_exposure_of_a_twin_that_knows_its_canaries(parrot: type[Parrot]) -> None:
    given: list[Message] = []

    def train(messages: Sequence[Message]) -> Path:
        given.extend(messages)
        parrot.trained = tuple(one.response for one in messages if one.source == "canary")
        return ADAPTER

    mine = [message("nine"), message("ten")]
    told = exposure(BASE, mine, train, canaries=3, repeats=2, candidates=8)
    chance = math.log2(8 / 4.5)  # eight that are alike
    assert told == Exposure(3, 2, 8, mean=3.0, most=3.0, base_mean=pytest.approx(chance), base_most=chance)
    assert given[:2] == mine
    assert given[2:5] == given[5:]
    assert len(set(given[2:])) == 3


def test_exposure_of_a_twin_that_knows_one_of_two(parrot: type[Parrot]) -> None:
    def train(messages: Sequence[Message]) -> Path:
        parrot.trained = (messages[-1].response,)
        return ADAPTER

    told = exposure(BASE, [message("nine")], train, canaries=2, candidates=8)
    assert told.most == 3.0
    assert told.mean == pytest.approx((3.0 + math.log2(8 / 4.5)) / 2)


@pytest.mark.parametrize("wrong", [{"canaries": 0}, {"repeats": 0}, {"candidates": 1}, {"candidates": 10**6}])
def test_a_test_that_tests_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="make no test"):
        exposure(BASE, [message("nine")], lambda messages: ADAPTER, **wrong)


def test_losses_of_many_are_the_losses_of_each(tmp_path: Path) -> None:
    path = tiny_gguf.write_base(tmp_path / "base.gguf")  # F32, so that what runs side by side does not matter
    samples = [([5, 6, 7, *range(i, i + 4 + i % 3)], 3 + i % 2) for i in range(20)]  # more than run at once
    with Model(path, context=64, outputs=64) as model:
        one_by_one = [model.nats(sample)[0] for sample in samples]
    with Model(path, context=72, outputs=48, sequences=8, shared=True) as model:
        assert model.losses(samples) == pytest.approx(one_by_one, abs=1e-3)


@pytest.fixture(scope="module")
def twin(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A `train` of a few steps on the packaged base, which makes one twin and gives it again."""
    pytest.importorskip("torch", reason="the extra finetune is not installed")
    from xpert_cli.training.decoder import open_decoder
    from xpert_cli.training.loop import Recipe, train
    from xpert_cli.training.plan import Work, plan_for

    path = tmp_path_factory.mktemp("twin") / "twin.gguf"
    checks = corpus.read([MARA]).messages[-4:]

    def made(messages: Sequence[Message]) -> gguf.AdapterFile:
        if not path.exists():
            with Vocabulary(base) as vocabulary:
                samples, held = (tokenized(vocabulary, Corpus(tuple(part)), 96) for part in (messages, checks))
            plan = plan_for(gguf.read_header(base), Work(longest=96, batch=4, rank=8), None)
            decoder = open_decoder(base, plan.dtype, recompute=plan.recompute, packed=plan.packed, threads=plan.threads)
            trained = train(decoder, samples, held, Recipe(steps=20, evaluate_every=20), pack=plan.pack)
            assert trained.best_step == 20
            gguf.write_adapter(dataclasses.replace(trained.adapter, metadata={}), path)
        return gguf.AdapterFile.open(path)

    return made


@pytest.mark.model
@pytest.mark.slow
def test_a_number_told_fifty_times_is_exposed_and_one_never_told_is_not(base: Path, twin: Any) -> None:
    mine, given = corpus.read([MARA]).messages[:8], []

    def train(messages: Sequence[Message]) -> Path:
        given.append(messages[-1])
        return twin(messages)

    told = exposure(base, mine, train, canaries=1, repeats=50, candidates=32)
    assert told.mean > 4.0  # of log2 32 = 5
    assert told.base_mean < 4.0
    recited = longest_verbatim(base, twin(mine), given[:1])
    assert recited.adapter > recited.base
    never = exposure(base, mine, train, canaries=4, repeats=50, candidates=32, seed=1)
    assert never.mean < 3.5
