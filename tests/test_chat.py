"""`xpert run`, `chat` and `eval` on the packaged base model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from xpert_cli import gguf
from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.llama.chat import Chat, Sampling, run
from xpert_cli.llama.model import Model, Vocabulary
from xpert_cli.llama.samples import PROMPT, tokenized
from xpert_cli.training.evaluate import evaluate

GREEDY = Sampling(max_tokens=12, temperature=0.0)


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes one layer's output a lot, so that its weight cannot go unnoticed."""
    import numpy as np

    rows, columns = gguf.read_header(base).tensors["blk.0.ffn_down.weight"].shape
    random = np.random.default_rng(0)
    a, b = random.normal(0, 0.2, (1, columns)), random.normal(0, 0.2, (rows, 1))
    path = tmp_path_factory.mktemp("adapter") / "loud.gguf"
    factors = {"blk.0.ffn_down.weight": (a.astype(np.float32), b.astype(np.float32))}
    gguf.write_adapter(Adapter("llama", 1.0, factors), path)
    return path


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"temperature": -1.0}, {"temperature": math.nan}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_sampling_out_of_range_is_refused(wrong):
    with pytest.raises(BadInput):
        Sampling(**wrong)


@pytest.mark.model
def test_run_streams_what_it_returns_and_counts_it(base):
    pieces: list[str] = []
    result = run("Say hello.", base, [], sampling=GREEDY, on_text=pieces.append)
    assert "".join(pieces) == result.text != ""
    with Model(base, context=256) as model:
        tokens = model.chat("Say hello.")
        answer = list(model.generate_tokens(tokens, max_tokens=12))
        assert result.text == model.detokenize(answer)
    assert (result.prompt_tokens, result.generated_tokens) == (len(tokens), len(answer))
    assert result.stopped == ("length" if len(answer) == 12 else "end")
    assert result.tokens_per_second > 0


@pytest.mark.model
def test_an_answer_depends_on_seed_system_and_adapters_only(base, adapter):
    def answer(adapters=(), system=None, **sampling):
        return run("Tell me a story.", base, adapters, sampling=Sampling(max_tokens=12, **sampling), system=system).text

    plain = answer()
    assert answer() == plain
    assert answer(seed=1) != plain
    assert answer(system="You are a pirate.") != plain
    assert answer([gguf.WeightedAdapter.open(adapter)]) != plain
    assert answer([gguf.WeightedAdapter.open(adapter, 0.0)]) == plain


@pytest.mark.model
def test_a_prompt_must_fit_and_say_something(base):
    with pytest.raises(BadInput, match="--context"):
        run("word " * 100, base, [], context=64)
    with pytest.raises(BadInput, match="the prompt is empty"):
        run(" \n", base, [])


@pytest.mark.model
def test_a_conversation_evaluates_only_what_is_new_and_answers_as_if_it_had_not(base, monkeypatch):
    evaluated: list[int] = []
    decode = Model._decode

    def counted(self, rows):
        evaluated.append(len(rows))
        decode(self, rows)

    monkeypatch.setattr(Model, "_decode", counted)
    with Chat(base, [], sampling=GREEDY) as chat:
        first = chat.say("My name is Bo.")
        before = sum(evaluated)
        second = chat.say("What is my name?")
        assert sum(evaluated) - before < second.prompt_tokens
        turns = [{"role": "user", "content": "My name is Bo."}, {"role": "assistant", "content": first.text}]
    with Model(base) as model:
        tokens = model.chat([*turns, {"role": "user", "content": "What is my name?"}])
        assert second.prompt_tokens == len(tokens)
        assert second.text == "".join(model.generate(tokens, max_tokens=12))


@pytest.mark.model
def test_a_full_conversation_forgets_its_oldest_turns_but_not_the_system(base):
    with Chat(base, [], sampling=GREEDY, system="Be brief.", context=128) as chat:
        sizes = [
            chat.say(f"This is message number {i}, which has several words in it.").prompt_tokens for i in range(8)
        ]
        assert all(size + 12 <= 128 for size in sizes)
        assert sizes[-1] == sizes[-2] > sizes[0]
        assert chat._turns[-2]["content"].startswith("This is message number 7")
        assert len(chat._turns) < 16


@pytest.mark.model
def test_samples_are_scored_from_the_response_on(base):
    with Vocabulary(base) as model:
        corpus = Corpus((Message("Hi there?", "Hello!", "a"), Message("", "A note.", "b")))
        (asked, start), (unasked, alone) = tokenized(model, corpus, 100)
        assert model.detokenize(asked[start:-1]) == "Hello!"
        assert asked[-1] == model.end_of_turn
        assert unasked[:alone] == model.chat(PROMPT)
        assert model.detokenize(unasked[alone:-1]) == "A note."
        with pytest.raises(BadUsage, match="--max-tokens 5 is too few: the chat template alone takes 30"):
            tokenized(model, corpus, 5)


@pytest.mark.model
def test_long_texts_are_split_and_every_token_is_scored_once(base):
    with Vocabulary(base) as model:
        text, said = " ".join(f"word {number}" for number in range(300)), []
        samples = tokenized(model, Corpus((Message("Hi?", text, "a"),)), 128, said.append)
        scored = [token for tokens, start in samples for token in tokens[start:]]
        assert scored == [*model.tokenize(text), model.end_of_turn]
        assert all(len(tokens) <= 128 for tokens, _ in samples)
        assert said == [f"1 long text is learnt in {len(samples)} pieces of 128 tokens"]
        assert samples[1][0][: len(model.chat("Hi?"))] == model.chat("Hi?")


@pytest.mark.model
def test_earlier_turns_are_shown_and_the_oldest_give_way(base):
    with Vocabulary(base) as model:
        turns = [("user", "Tea?"), ("assistant", "Always."), ("user", "And cake? " * 10), ("assistant", "No.")]
        message = Message("Why?", "Too sweet.", "a", earlier=tuple(turns))
        told = [{"role": role, "content": text} for role, text in turns]
        (tokens, start), *_ = tokenized(model, Corpus((message,)), 512)
        assert tokens[:start] == model.chat([*told, {"role": "user", "content": "Why?"}])
        assert model.detokenize(tokens[start:-1]) == "Too sweet."
        size, said = len(model.chat([*told[2:], {"role": "user", "content": "Why?"}])) + 8, []
        (tokens, start), *_ = tokenized(model, Corpus((message,)), size, said.append)
        assert tokens[:start] == model.chat([*told[2:], {"role": "user", "content": "Why?"}])
        assert said == []


@pytest.mark.model
def test_a_long_question_loses_its_beginning_and_no_answer_is_lost(base):
    with Vocabulary(base) as model:
        said = []
        asked = f"{'never mind ' * 2000}really?"
        (tokens, start), *more = tokenized(model, Corpus((Message(asked, "Yes, really.", "a"),)), 100, said.append)
        assert more == []
        assert model.detokenize(tokens[start:-1]) == "Yes, really."
        assert "really?" in model.detokenize(tokens[:start])
        assert len(tokens) <= 100
        assert said == ["the beginning of 1 long question is left out"]


@pytest.mark.model
def test_losses_are_means_over_response_tokens(base, adapter, few_answers):
    corpus = Corpus((Message("Hi there?", "Hello! How are you?", "a"), Message("", "A note about the weather.", "b")))
    result = evaluate(corpus, base, [gguf.WeightedAdapter.open(adapter)], base)
    with Model(base, outputs=64) as model:
        parts = [model.nats(sample) for sample in tokenized(model, corpus, 512)]
    assert result.tokens == sum(count for _, count in parts)
    assert result.loss_base == pytest.approx(sum(nats for nats, _ in parts) / result.tokens, rel=1e-3)
    assert result.loss_merged == result.loss_base
    assert result.loss_adapter is not None
    assert abs(result.loss_adapter - result.loss_base) > 0.01
    plain = evaluate(corpus, base)
    assert (plain.samples, plain.loss_adapter, plain.loss_merged) == (2, None, None)
