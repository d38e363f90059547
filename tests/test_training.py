"""The training loop on a tiny model: the order of samples, the rate, what is kept, when a run ends, where it begins."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_gguf
from tiny_run import HELD_OUT, PACK, QUICK, SAMPLES, assert_same, one_thread, opened, texts, trained

from xpert_cli.errors import BadInput
from xpert_cli.training import loop
from xpert_cli.training.checkpoints import Checkpoints
from xpert_cli.training.loop import Progress, Recipe, batch_at, evaluate, train
from xpert_cli.training.stopping import Stopped

pytest.importorskip("torch")

single = pytest.fixture(scope="module", autouse=True)(one_thread)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write_base(tmp_path_factory.mktemp("base") / "base.gguf")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the loop sees; tests move it."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


# -- order and rate


def test_each_pass_over_the_samples_is_a_new_shuffle():
    taken = [index for step in range(5) for index in batch_at(step, 10, 4, seed=0)]
    assert sorted(taken[:10]) == sorted(taken[10:]) == list(range(10))
    assert taken[:10] != taken[10:]
    assert [index for step in range(5) for index in batch_at(step, 10, 4, seed=1)] != taken


def test_a_batch_is_no_larger_than_the_samples():
    assert sorted(batch_at(7, 3, 8, seed=0)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("step", "spent", "rate"),
    [
        *[(0, 0.0, 0.5), (0, 0.9, 0.5), (1, 0.0, 1.0), (2, 0.0, 1.0), (11, 0.0, 0.5), (19, 0.0, 0.1)],
        *[(2, 0.75, 0.25), (11, 0.25, 0.5), (11, 0.75, 0.25), (11, 7.0, 0.1)],
    ],
)
def test_the_rate_rises_for_a_tenth_and_falls_with_steps_or_time(step, spent, rate):
    assert Recipe(steps=20, learning_rate=1.0).rate(step, spent) == pytest.approx(rate)


def test_the_rate_stays_where_it_should():
    constant = Recipe(steps=20, learning_rate=1.0, decay=False)
    assert [constant.rate(step, 0.9) for step in (0, 1, 11, 19)] == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rank": -1}, {"learning_rate": 0.0}, {"evaluate_every": 0}])
def test_a_recipe_of_nothing_is_refused(wrong):
    with pytest.raises(BadInput, match="must be positive"):
        Recipe(**wrong)


def test_the_optimizer_is_adam_behind_a_clipped_gradient():
    import torch

    from xpert_cli.training.operations import Adam

    torch.manual_seed(0)
    ours, theirs = torch.ones(100), torch.nn.Parameter(torch.ones(100))
    gradient, reference = torch.zeros(100), torch.optim.Adam([theirs])
    adam = Adam(ours, gradient)
    for number, scale in enumerate((5.0, 0.01, 1.0, 0.0, 3.0), 1):
        theirs.grad = scale * torch.randn(100)
        gradient.copy_(theirs.grad)
        torch.nn.utils.clip_grad_norm_([theirs], 1.0)
        reference.param_groups[0]["lr"] = 0.1 / number
        reference.step()
        adam.step(number, 0.1 / number)
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-6)


# -- evaluations and ends


def test_a_run_keeps_what_was_best_on_held_out_text(base):
    decoder, told = opened(base), []
    result = train(decoder, SAMPLES, HELD_OUT, dataclasses.replace(QUICK, steps=10), pack=PACK, progress=told.append)
    assert [step for step, _ in result.curve] == [0, 4, 8, 10]
    assert (result.ended, result.steps, result.resumed) == ("steps", 10, None)
    assert result.loss_base == result.loss_before == result.curve[0][1]
    assert (result.loss_after, result.best_step) == min((loss, step) for step, loss in result.curve)
    assert result.loss_after < result.loss_before - 0.1
    assert evaluate(decoder, HELD_OUT, PACK) == result.loss_after
    decoder.begin(result.adapter, 1, QUICK.scale, 0)
    assert evaluate(decoder, HELD_OUT, PACK) == pytest.approx(result.loss_after, abs=1e-6)
    assert [(one.step, one.held_out) for one in told if one.held_out is not None] == list(result.curve)
    assert [one.step for one in told] == list(range(11))
    assert result.tokens == sum(len(SAMPLES[i][0]) for step in range(10) for i in batch_at(step, 10, 3, 0))


def test_patience_ends_a_run_that_only_gets_worse(base):
    """Random words learnt by heart make other random words less likely."""
    ruinous = dataclasses.replace(QUICK, steps=50, learning_rate=0.1, evaluate_every=2, patience=3)
    unlike = texts(1, 4)
    result = train(opened(base), SAMPLES, unlike, ruinous)
    assert (result.ended, result.best_step, result.steps) == ("patience", 0, 6)
    assert [step for step, _ in result.curve] == [0, 2, 4, 6]
    assert result.loss_after == result.loss_before
    start = train(opened(base), unlike, unlike, QUICK).adapter
    again = train(opened(base), SAMPLES, unlike, ruinous, start=start)
    assert again.ended == "patience"
    assert again.adapter is start
    assert again.loss_base == pytest.approx(result.loss_base, abs=1e-6)
    assert again.loss_before != again.loss_base


def test_time_ends_a_run_after_one_more_evaluation(base, clock):
    def tick(_: Progress) -> None:
        clock[0] += 10

    result = trained(base, dataclasses.replace(QUICK, steps=100), seconds=45, progress=tick)
    assert (result.ended, result.steps) == ("time", 5)  # 50 s are the first time past 45
    assert [step for step, _ in result.curve] == [0, 4, 5]
    assert result.seconds == 60


def test_time_adds_up_over_resumptions(base, clock, tmp_path):
    def tick(told: Progress) -> None:
        clock[0] += 10
        if told.step == 2 and clock[0] < 1000:
            os.kill(os.getpid(), signal.SIGTERM)

    keep, recipe = Checkpoints(tmp_path / "run", {}), dataclasses.replace(QUICK, steps=100)
    with pytest.raises(Stopped):
        trained(base, recipe, seconds=45, keep=keep, progress=tick)
    clock[0] += 1000
    result = trained(base, recipe, seconds=45, keep=keep, progress=tick)
    assert (result.ended, result.steps, result.resumed) == ("time", 4, 2)  # 30 s before, 20 s after
    assert result.seconds == 60


def test_a_run_waits_while_it_may_not_go_on(base, monkeypatch, tmp_path):
    answers, found, told = [True, False, False, True, False], [], []

    def may_run() -> bool:
        found.append(sorted(path.name for path in tmp_path.glob("run/*")))
        return answers.pop(0) if answers else True

    monkeypatch.setattr(loop, "POLL", 0.0)
    keep = Checkpoints(tmp_path / "run", {}, every=100)
    result = trained(base, keep=keep, may_run=may_run, progress=told.append)
    assert [one.step for one in told if one.paused] == [1, 1, 2]
    assert found[:6] == [[], [], *[["step-000001.npz"]] * 3, ["step-000001.npz", "step-000002.npz"]]
    assert_same(result, trained(base))


def test_pauses_are_not_counted_as_time(base, clock, monkeypatch):
    answers = [True, False, True, False, True]

    def may_run() -> bool:
        return answers.pop(0) if answers else True

    def tick(told: Progress) -> None:
        clock[0] += 1000 if told.paused else 10

    monkeypatch.setattr(loop, "POLL", 0.0)
    result = trained(base, dataclasses.replace(QUICK, steps=100), seconds=45, may_run=may_run, progress=tick)
    assert (result.ended, result.steps, result.seconds) == ("time", 5, 60)


def test_a_waiting_run_can_be_stopped(base, tmp_path):
    def stop(told: Progress) -> None:
        if told.paused:
            os.kill(os.getpid(), signal.SIGINT)

    keep = Checkpoints(tmp_path / "run", {})
    with pytest.raises(Stopped):
        trained(base, keep=keep, may_run=lambda: False, progress=stop)
    assert_same(trained(base, keep=keep), trained(base))


# -- where a run begins


def test_a_start_keeps_its_deltas_at_another_scale(base):
    decoder, start = opened(base), tiny_gguf.adapter(rank=4, alpha=8.0, only=("attn_q", "ffn_down"))
    decoder.begin(start, 16, 0.5, 0)
    begun = decoder.adapter()
    assert (decoder.rank, begun.scale, start.scale) == (16, 0.5, 2.0)  # what is new of it changes nothing
    assert len(begun.factors) == 14
    for name in begun.factors:
        expected = start.delta(name) if name in start.factors else 0
        np.testing.assert_allclose(begun.delta(name), expected, atol=1e-6)


def test_without_a_start_the_base_is_unchanged_and_the_seed_decides(base):
    decoder = opened(base)
    decoder.begin(None, 3, 2.0, 0)
    first = decoder.adapter()
    assert (first.rank, first.alpha) == (3, 6.0)
    assert all(not b.any() and 0.9 < abs(a).max() * a.shape[1] ** 0.5 <= 1 for a, b in first.factors.values())
    for seed, equal in ((0, True), (1, False)):
        decoder.begin(None, 3, 2.0, seed)
        again = decoder.adapter().factors
        assert all(np.array_equal(a, again[name][0]) == equal for name, (a, _) in first.factors.items())


# -- the upper layers alone


def test_lower_layers_keep_the_factors_that_they_begin_with(base):
    start, recipe = tiny_gguf.adapter(), dataclasses.replace(QUICK, layers=1)
    decoder = opened(base)
    decoder.begin(start, QUICK.rank, QUICK.scale, 0)
    begun = decoder.adapter().factors
    result = train(decoder, SAMPLES, HELD_OUT, recipe, start=start, pack=PACK)
    assert result.best_step > 0
    for name, pair in result.adapter.factors.items():
        assert all(map(np.array_equal, pair, begun[name])) == name.startswith("blk.0."), name
    everything = trained(base, start=start)
    assert (result.loss_base, result.loss_before) == pytest.approx((everything.loss_base, everything.loss_before))
    assert decoder.gradient.numel() * 2 == opened_and_begun(base).gradient.numel()


def opened_and_begun(base: Path):
    decoder = opened(base)
    decoder.begin(tiny_gguf.adapter(), QUICK.rank, QUICK.scale, 0)
    return decoder


def test_the_gradient_of_upper_layers_is_theirs_of_all(base):
    parts = [SAMPLES[:2], SAMPLES[2:5]]
    decoder = opened_and_begun(base)
    nats, gradient = decoder.learn(parts, 7), decoder.gradient.clone()
    for most in (1 << 20, 0):  # kept after the first time, and worked out each time
        decoder.begin(tiny_gguf.adapter(), QUICK.rank, QUICK.scale, 0, layers=1)
        decoder._kept.most = most
        for _ in range(2):
            decoder.gradient.zero_()
            assert decoder.learn(parts, 7) == pytest.approx(nats)
            np.testing.assert_allclose(decoder.gradient, gradient[-len(decoder.gradient) :], atol=1e-6)
        assert (decoder._kept.read(tuple(SAMPLES[0][0])) is None) == (most == 0)


def test_states_come_back_as_they_were_and_a_full_file_keeps_no_more(tmp_path):
    import torch

    from xpert_cli.training.kept_states import KeptStates

    kept = KeptStates(3, torch.bfloat16, tmp_path, most=40)
    one, two = (torch.arange(3 * count).reshape(count, 3).bfloat16() for count in (4, 3))
    kept.write((1, 2, 3, 4), one)  # 24 bytes
    kept.write((1, 2, 3), two)
    kept.write((9, 9), one[:2])
    assert torch.equal(kept.read((1, 2, 3, 4)), one)
    assert torch.equal(kept.read((9, 9)), one[:2])
    assert kept.read((1, 2, 3)) is None
    assert not list(tmp_path.iterdir())
