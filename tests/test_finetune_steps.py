"""Fine-tuning on a tiny model that reads bytes: where a run starts, what it repeats, keeps, refuses and records."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command import called
from tiny_chat import write_chat_base

from xpert_cli import corpus, gguf, paths, runs
from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.gguf import BaseModel, WeightedAdapter
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.selection import start_check
from xpert_cli.selection.start_check import check_starts
from xpert_cli.training import decisions
from xpert_cli.training.evaluate import evaluate
from xpert_cli.training.package import write_messages
from xpert_cli.training.starts import learnt_from, trained_on
from xpert_cli.training.stopping import Stopped

MESSAGES = Corpus(tuple(Message(f"q{i}", f"aaa bbb c{'c' * i}", f"t:{i}") for i in range(12)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return BaseModel.open(write_chat_base(tmp_path_factory.mktemp("tiny") / "base.gguf"))


def idle(base: BaseModel, path: Path, rank: int = 2) -> WeightedAdapter:
    """An adapter that changes nothing."""
    rows, width = base.header.tensors["blk.0.ffn_down.weight"].shape
    factors = np.ones((rank, width), "f4"), np.zeros((rows, rank), "f4")
    gguf.write_adapter(Adapter("llama", float(rank), {"blk.0.ffn_down.weight": factors}), path, "F32")
    return WeightedAdapter.open(path)


def quick(base, out, start=None, notes=None, budget=None, **settings):
    """A run of two steps on the tiny model."""
    pytest.importorskip("torch")
    from xpert_cli.training.finetune import Settings, finetune

    options = {"steps": 2, "max_tokens": 96, "held_out": 0.3, "out": out, **settings}
    note = (lambda text: None) if notes is None else notes.append
    return finetune(MESSAGES, base, None, start, Settings(**options), budget, note=note)


@pytest.fixture(scope="module")
def good(tiny: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> WeightedAdapter:
    """An adapter that was trained on the messages: at weight 1 it predicts them better than the base, at -1 worse."""
    out = tmp_path_factory.mktemp("good") / "run"
    result = quick(tiny, out, steps=20, learning_rate=0.02, rank=2)
    assert result.losses.loss_after < result.losses.loss_base
    return WeightedAdapter.open(out / runs.ADAPTER)


def test_what_is_refused_leaves_no_unfinished_run(tiny, tmp_path):
    pytest.importorskip("torch")
    from xpert_cli.training.finetune import Budget

    for out in (tmp_path / "run", None):
        with pytest.raises(BadInput, match="more than --memory allows"):
            quick(tiny, out, budget=Budget(memory=1 << 20))
    assert list(tmp_path.iterdir()) == []
    assert runs.all_runs() == []


# -- where a run starts


def test_the_base_is_the_start_where_what_was_selected_is_worse(tiny, good):
    check = check_starts(MESSAGES, tiny, [WeightedAdapter(good.file, -1.0)])
    assert check.arms[1].loss > check.arms[0].loss
    assert (check.start, check.parts, check.rank, check.messages) == (0, (), 8, 12)
    assert check.why == "Starting from the base model: it predicts your messages better than what was selected."


def test_what_was_selected_is_the_start_where_it_is_better(tiny, good):
    check = check_starts(MESSAGES, tiny, [good])
    assert (check.start, check.parts) == (1, (good,))
    gain = check.arms[0].loss - check.arms[1].loss
    assert check.why == f"Starting from {good.file.name}: {gain:.3f} nats a token less than the base model."


def test_a_part_is_the_start_where_it_is_better_than_the_mixture(tiny, good, tmp_path):
    nothing = idle(tiny, tmp_path / "idle.gguf")
    check = check_starts(MESSAGES, tiny, [WeightedAdapter(good.file, 0.1), WeightedAdapter(nothing.file, 0.9)])
    assert [len(arm.parts) for arm in check.arms] == [0, 2, 1, 1]
    assert check.arms[3].loss == check.arms[0].loss  # it changes nothing
    assert (check.start, check.parts) == (2, (WeightedAdapter(good.file, 1.0),))
    assert check.chosen.loss == min(arm.loss for arm in check.arms)


def test_a_named_start_is_taken_and_said_to_be_worse(tiny, good):
    spoiling = WeightedAdapter(good.file, -1.0)
    check = check_starts(MESSAGES, tiny, [spoiling], named=True)
    assert (check.start, check.parts) == (1, (spoiling,))
    assert "starts worse than the base model. Leave --from out, or say --from base." in check.why


def test_starts_are_compared_at_one_rank(tiny, tmp_path):
    ten, two = idle(tiny, tmp_path / "ten.gguf", 10), idle(tiny, tmp_path / "two.gguf")
    assert check_starts(MESSAGES, tiny, [two], messages=1).rank == 8
    assert check_starts(MESSAGES, tiny, [ten], messages=1).rank == 10
    assert check_starts(MESSAGES, tiny, [ten], rank=4, messages=1).rank == 4
    assert check_starts(MESSAGES, tiny, [ten, two], messages=1).rank == 10


def test_short_messages_are_measured_in_larger_numbers():
    short, long = [([0] * 20, 10)] * 40, [([0] * 210, 10)] * 40
    assert len(start_check._enough(short)) == 40  # 10 scored tokens each: all that are given
    assert len(start_check._enough([([0] * 50, 10)] * 40)) == 13  # 40 each
    assert len(start_check._enough(long)) == 4


def test_nothing_selected_leaves_the_base_alone(tiny):
    check = check_starts(MESSAGES, tiny, [])
    assert len(check.arms) == 1
    assert check.why == "Starting from the base model: nothing was selected."


def test_a_run_is_not_started_from_what_is_worse(tiny, good, tmp_path):
    from xpert_cli.training.starts import Start

    notes: list[str] = []
    spoiling = WeightedAdapter(good.file, -1.0)
    result = quick(tiny, tmp_path / "run", Start((spoiling,)), notes)
    told = result.to_json()
    assert (told["started_from"], told["rank"], told["start_check"]["start"]) == ((), 8, 0)
    assert told["loss_before"] == told["loss_base"]
    assert notes[0].startswith(f"starts, measured on {result.data.messages} of your messages in ")
    assert notes[3] == told["start_check"]["why"]
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    losses = [arm["loss"] for arm in record["result"]["start_check"]["arms"]]
    assert losses == [arm.loss for arm in result.start_check.arms]
    named = quick(tiny, tmp_path / "named", Start((spoiling,), named=True))
    assert [part.weight for part in named.started_from] == [-1.0]
    assert named.losses.loss_before > named.losses.loss_base
    assert named.losses.rank == 8  # the same as from the base: the adapter's own is 2


# -- what is repeated and kept


def test_a_finished_run_is_kept_unless_told_otherwise(tiny, tmp_path):
    out = tmp_path / "run"
    first = quick(tiny, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = quick(tiny, out)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert again.losses == first.losses
    assert again.files == first.files
    assert again.notes == ("this run was finished before and is kept as it is; --overwrite trains it anew",)
    moved = out.rename(tmp_path / "moved")
    told = quick(tiny, moved).files
    assert (told.folder, told.adapter, told.merged) == (str(moved), f"{moved}/adapter.gguf", f"{moved}/merged.gguf")
    moved.rename(out)
    with pytest.raises(BadInput, match=r"holds a finished run of another call.*--overwrite"):
        quick(tiny, out, seed=1)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    anew = quick(tiny, out, overwrite=True)
    assert anew.losses.curve == first.losses.curve
    assert (out / "run.json").stat().st_mtime_ns != before["run.json"]


def test_ctrl_c_ends_a_step_where_it_is(tiny, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from xpert_cli.training.decoder import Decoder

    ended = []

    def learn(self: Decoder, *arguments: object, **options: object) -> None:
        signal.raise_signal(signal.SIGINT)
        ended.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "learn", learn)
        with pytest.raises(Stopped):
            quick(tiny, tmp_path / "run")
    assert ended == []
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoints"]
    assert quick(tiny, tmp_path / "run").losses.curve == quick(tiny, tmp_path / "other").losses.curve


def test_the_layout_is_decided_once_and_repeated(tiny, tmp_path, monkeypatch):
    from xpert_cli.training import plan

    first = quick(tiny, tmp_path / "one")
    monkeypatch.setattr(plan, "_bfloat16_pays", lambda: first.layout.dtype != "bfloat16")  # another timing
    monkeypatch.setattr(plan, "_threads", lambda dtype: first.layout.threads + 1)
    second = quick(tiny, tmp_path / "two")
    assert second.layout == dataclasses.replace(first.layout, memory=second.layout.memory)
    assert paths.digest(tmp_path / "two" / "adapter.gguf") == paths.digest(tmp_path / "one" / "adapter.gguf")
    assert quick(tiny, tmp_path / "three", seed=1).layout.threads == first.layout.threads + 1


def test_a_decision_is_made_again_where_it_cannot_be_repeated():
    made = []

    def decide():
        made.append(1)
        return {"threads": len(made)}

    assert decisions.decided("x", {"a": 1}, decide, lambda found: True) == {"threads": 1}
    assert decisions.decided("x", {"a": 1}, decide, lambda found: True) == {"threads": 1}
    assert decisions.decided("x", {"a": 1}, decide, lambda found: False) == {"threads": 2}
    assert decisions.decided("x", {"a": 2}, decide, lambda found: True) == {"threads": 3}


def test_the_flat_result_has_every_field_once(tiny, tmp_path):
    told = quick(tiny, tmp_path / "run").to_json()
    fields = {"started_from", "steps", "best_step", "ended", "resumed", "messages", "replayed", "held_out", "seconds"}
    fields |= {"tokens", "tokens_per_second", "loss_base", "loss_before", "loss_after", "curve", "rank", "notes"}
    fields |= {"memory_estimate_bytes", "peak_rss_bytes", "folder", "adapter", "merged", "modelfile", "axes"}
    fields |= {"recompression_error", "layers", "prompt", "before", "after"}
    assert told.keys() == fields | {"start_check", "layout"}


# -- what a run says of itself


def test_a_run_of_no_steps_tells_of_no_change(tiny, tmp_path):
    pytest.importorskip("torch")
    from xpert_cli.training.finetune import Answers, Budget

    nothing = quick(tiny, tmp_path / "none", budget=Budget(seconds=0.0))
    assert (nothing.losses.steps, nothing.answers) == (0, Answers(axes=()))
    assert nothing.notes == ("no step was trained: the model is what it was started from",)
    moved = quick(tiny, tmp_path / "some", steps=20, learning_rate=0.02)
    assert moved.losses.best_step > 0
    assert moved.answers.axes


def test_a_budget_leaves_time_for_what_comes_after_training(tiny, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from xpert_cli.training import finetune, prepare
    from xpert_cli.training.plan import Plan

    now, given = [0.0], []

    def taking(seconds, function):
        def slow(*arguments, **options):
            now[0] += seconds
            return function(*arguments, **options)

        return slow

    train = finetune.loop.train
    for module in (finetune, prepare):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], strftime=time.strftime))
    monkeypatch.setattr(finetune.style_shift, "answers", taking(10, finetune.style_shift.answers))
    monkeypatch.setattr(Plan, "open", taking(5, Plan.open))
    monkeypatch.setattr(finetune, "merging_seconds", lambda *_: 7.0)
    monkeypatch.setattr(
        finetune.loop, "train", lambda *a, **more: given.append(more.pop("seconds")) or train(*a, seconds=None, **more)
    )
    quick(tiny, tmp_path / "run", budget=prepare.Budget(seconds=100.0))
    assert given == [100 - 10 - 5 - 10 - 7]  # asked, loaded, asked again, merged


def test_more_held_out_than_trained_on_is_said(tiny, tmp_path):
    notes: list[str] = []
    result = quick(tiny, tmp_path / "run", notes=notes, held_out=0.9)
    held, trained = result.data.held_out, result.data.messages
    assert notes[0] == (
        f"{held} of the 12 messages are held out, and only {trained} trained on. "
        "Give a smaller --held-out, such as 0.2."
    )
    notes.clear()
    quick(tiny, tmp_path / "run", notes=notes, overwrite=True)
    assert "held out" not in notes[0]


# -- what an evaluation says of messages that were trained on


def test_an_evaluation_says_how_many_messages_were_trained_on(tiny, tmp_path):
    result = quick(tiny, tmp_path / "run")
    folder = Path(result.files.folder)
    assert len(learnt_from(folder)) == result.data.messages == 12 - result.data.held_out
    adapter = WeightedAdapter.open(folder / runs.ADAPTER)
    told = evaluate(MESSAGES, tiny, [adapter])
    assert told.trained_on == result.data.messages
    assert told.notes == (f"{told.trained_on} of the 12 messages were trained on: their loss says little of new ones",)
    new = Corpus((Message("new", "said for the first time", "t"),))
    assert (evaluate(new, tiny, [adapter]).trained_on, evaluate(new, tiny, [adapter]).notes) == (0, ())
    assert evaluate(new, tiny).trained_on is None


CHAT = """\
01/02/2024, 10:00 - Bo: are you coming to the lake tonight?
01/02/2024, 10:01 - Ana: yes but only after the shop has closed
01/02/2024, 10:02 - Bo: ok
01/02/2024, 10:03 - Ana: bring the blue towel and some bread
01/02/2024, 10:05 - Bo: sure thing
01/02/2024, 10:06 - Ana: and my book from the kitchen table please
"""
YES = '{"prompt": "Tea?", "response": "yes"}'
SAID = [line.split("Ana: ")[1] for line in CHAT.splitlines() if "Ana: " in line]
PLAIN = "I went to the shop this morning.\n\nThe lake was cold and very still.\n\nNobody else had come there at all.\n"


@pytest.mark.parametrize(
    ("learnt", "asked", "count"),
    [
        (("notes.txt", PLAIN), ("notes.txt", PLAIN), 3),
        (("notes.txt", PLAIN), ("notes.md", "# A day\n\n" + PLAIN), 3),
        (("chat.txt", CHAT), ("chat.txt", CHAT), 3),
        (("chat.txt", CHAT), ("mine.jsonl", "".join(json.dumps({"text": one}) + "\n" for one in SAID)), 3),
        (("chat.txt", CHAT), ("mine.txt", "\n\n".join(SAID[:2])), 2),
        (
            ("mine.jsonl", "".join(json.dumps({"prompt": "Hm?", "response": one}) + "\n" for one in SAID)),
            ("chat.txt", CHAT),
            3,
        ),
        (("mine.jsonl", YES), ("b.jsonl", YES), 1),
        (("mine.jsonl", YES), ("b.jsonl", YES.replace("Tea", "No")), 0),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_what_was_trained_on_is_known_again_in_any_form(tmp_path, monkeypatch, learnt, asked, count):
    def read(name: str, text: str) -> Corpus:
        (tmp_path / name).write_text(text, "utf-8")
        return corpus.read([str(tmp_path / name)], author=["Ana"] if name == "chat.txt" else None)

    folder = tmp_path / "run"
    folder.mkdir()
    write_messages(folder / runs.MESSAGES, read(*learnt).messages)
    assert trained_on(read(*asked), [folder / runs.ADAPTER]) == count


def test_a_copy_of_a_runs_file_is_known_by_its_contents(tmp_path):
    folder = runs.runs_dir() / "mara"
    folder.mkdir(parents=True)
    said = Corpus((Message("Why?", "because I say so", "t"),))
    write_messages(folder / runs.MESSAGES, said.messages)
    (folder / runs.ADAPTER).write_bytes(b"adapter")
    (folder / runs.MERGED).write_bytes(b"merged")
    (folder / runs.RECORD).write_text("{}", "utf-8")
    for name, content, count in (("a.gguf", b"adapter", 1), ("m.gguf", b"merged", 1), ("o.gguf", b"adapted", None)):
        (tmp_path / name).write_bytes(content)
        assert trained_on(said, [tmp_path / name]) == count


# -- options out of range


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"learning_rate": 0.0}, "--learning-rate must lie between 0 and 1, not 0. Try 0.001."),
        ({"learning_rate": math.nan}, "--learning-rate must lie between 0 and 1, not nan. Try 0.001."),
        ({"held_out": 5.0}, "--held-out is a share between 0 and 1, not 5. Try 0.2."),
        ({"held_out": 0.0}, "--held-out is a share between 0 and 1, not 0. Try 0.2."),
        ({"steps": 0}, "--steps must be at least 1, not 0."),
        ({"rank": 0}, "--rank must be at least 1, not 0."),
        ({"rank": 5000}, "--rank must be at most 1024, not 5000."),
    ],
)
def test_a_setting_out_of_range_is_refused(wrong, said):
    from xpert_cli.training.prepare import Settings

    with pytest.raises(BadInput) as error:
        Settings(**wrong)
    assert str(error.value) == said


@pytest.mark.parametrize("wrong", [{"memory": 0}, {"seconds": -1.0}, {"seconds": math.nan}])
def test_a_budget_out_of_range_is_refused(wrong):
    from xpert_cli.training.prepare import Budget

    with pytest.raises(BadInput, match="must"):
        Budget(**wrong)


def test_settings_that_are_given_are_taken(tiny, tmp_path):
    quick(tiny, tmp_path / "run", learning_rate=1e-5, rank=3)
    recipe = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))["recipe"]
    assert (recipe["learning_rate"], recipe["rank"], recipe["steps"]) == (1e-5, 3, 2)


# -- what is refused before anything is read


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--type", "Q9"), "error: Q9 is no quantization type. Choose one of "),
        (
            ("-o", "notes.md"),
            "error: cannot write to notes.md: notes.md is no folder. Choose another folder with --out.",
        ),
        (
            ("-o", "notes.md/x"),
            "error: cannot write to notes.md/x: {here}/notes.md is no folder. Choose another folder",
        ),
    ],
)
def test_a_type_and_a_folder_are_refused_before_the_text_is_read(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xpert_cli.cli.finetune.written_by", lambda *_, **__: pytest.fail("the text was read"))
    (tmp_path / "notes.md").write_text("Hello there.", "utf-8")
    status, out, err = called(monkeypatch, capsys, "finetune", "notes.md", *options)
    assert (status, out, err.count("\n")) == (2 if "--type" in options else 1, "", 1)
    assert err.startswith(said.format(here=tmp_path))
    assert [one.name for one in tmp_path.iterdir()] == ["notes.md"]


def test_a_type_is_refused_before_a_run_is_laid_out(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"^Q9 is no quantization type"):
        quick(tiny, tmp_path / "run", type_name="Q9")
    assert not (tmp_path / "run").exists()


# -- how many layers are trained


@pytest.mark.parametrize(
    ("count", "wanted", "messages", "layers"),
    [
        *[(30, None, 4, 23), (24, None, 100, 18), (24, None, 101, None), (2, None, 4, None), (30, None, None, None)],
        *[(30, 5, None, 5), (30, 5, 500, 5), (30, 30, 4, None)],
    ],
)
def test_few_messages_train_the_upper_three_quarters_of_an_adapter(count, wanted, messages, layers):
    from xpert_cli.training.prepare import Settings
    from xpert_cli.training.recipe import layers_for

    base = SimpleNamespace(info=SimpleNamespace(layers=count))
    assert layers_for(base, Settings(layers=wanted), messages) == layers


def test_layers_that_are_not_trained_stay_as_the_start_has_them(tiny, good, tmp_path):
    from xpert_cli.training.starts import Start

    notes: list[str] = []
    result = quick(tiny, tmp_path / "run", Start((good,)), notes, layers=1, rank=2, steps=4, learning_rate=0.002)
    assert (result.losses.best_step, result.losses.layers) == (4, 1)
    assert [line for line in notes if "the last 1 of 2 layers" in line]
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert (record["recipe"]["layers"], record["result"]["layers"]) == (1, 1)
    before, after = map(gguf.read_adapter, (good.file.header.path, tmp_path / "run" / runs.ADAPTER))
    for name in before.factors:
        apart = np.abs(after.delta(name) - before.delta(name)).max()
        assert (apart < 1e-4) == name.startswith("blk.0."), (name, apart)


def test_more_layers_than_the_base_has_are_refused(tiny, tmp_path):
    with pytest.raises(BadUsage, match=r"^--layers must be at most 2, the base's number of layers, not 3\.$"):
        quick(tiny, tmp_path / "run", layers=3)
    assert not (tmp_path / "run").exists()


# -- what is read is not written to


def test_a_folder_that_is_read_is_no_place_for_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("me").mkdir()
    Path("me/messages.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    for text, out in (("me/messages.jsonl", "me"), ("me", "me"), ("me", "me/run"), (".", "run")):
        said = f"error: --out {out} is among what is read. Name another folder with --out.\n"
        assert called(monkeypatch, capsys, "finetune", text, "--from", "base", "-o", out) == (1, "", said)
    assert Path("me/messages.jsonl").read_text() == '{"prompt": "a", "response": "b"}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["me"]


def test_files_that_no_run_made_are_not_replaced(tiny, good, tmp_path):
    from xpert_cli.training.starts import Start

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "adapter.gguf").write_bytes(good.file.header.path.read_bytes())
    with pytest.raises(BadInput, match=r"mine holds adapter\.gguf, which no run made there, and it would be lost\."):
        quick(tiny, tmp_path / "mine")
    own = WeightedAdapter.open(tmp_path / "mine" / "adapter.gguf")
    with pytest.raises(BadInput, match=r"this run reads .*adapter\.gguf, and would replace it\. Name another folder"):
        quick(tiny, tmp_path / "mine", Start((own,)), overwrite=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["adapter.gguf"]


def test_what_a_stopped_run_has_written_needs_no_room_again(tiny, tmp_path, monkeypatch):
    from xpert_cli.training import places

    sizes = []
    monkeypatch.setattr(paths, "require_room", lambda folder, size: sizes.append(size))
    places.require_room(tiny.header, tmp_path, 2, None)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-000010.npz").write_bytes(bytes(1000))
    places.require_room(tiny.header, tmp_path, 2, None)
    assert sizes[0] - sizes[1] == 1000
