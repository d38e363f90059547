"""The arithmetic of the benchmarks' figures, their store, their reports, and the one command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import certainty, figures, merging, outcomes, persons, report, selection, writers
from benchmarks.__main__ import NAMES, benchmark
from benchmarks.outcomes import Arm, Outcome
from benchmarks.run import Options, Run
from benchmarks.store import Missing, Store
from xpert_cli.corpus import Message
from xpert_cli.gguf.adapter import Adapter
from xpert_cli.style.space import Axis, Space

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_REPORT = {"generation"}  # a few figures each, which stand in other pages


def test_an_interval_of_a_share_is_wilsons():
    assert figures.share_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert figures.share_interval(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert figures.share_interval(0, 20)[0] == 0.0
    assert figures.share_text(35, 80) == "43.8 (33-55)"
    assert figures.share_text(1, 1000, digits=1, unit=" %") == "0.1 % (0.0-0.6)"


def test_a_paired_interval_is_students():
    ours, theirs = [1.0, 2.0, 4.0], [0.0, 2.0, 2.0]  # apart by 1, 0, 2: mean 1, deviation 1, half 4.303 / sqrt 3
    assert figures.paired(ours, theirs) == figures.Estimate(
        1.0, pytest.approx(-1.4843, abs=1e-4), pytest.approx(3.4843, abs=1e-4), 3
    )
    assert str(figures.estimate([-0.25])) == "-0.250 (no interval)"
    long = figures.estimate([0.0, 2.0] * 50)  # 99 degrees of freedom: 1.984
    assert long.high - long.middle == pytest.approx(1.984 * 1.00504 / 10, abs=1e-3)


def test_a_difference_of_two_groups_is_welchs():
    # variances 1 and 4 of 3 values each: error² 5/3, freedom (5/3)² / ((1/3)² / 2 + (4/3)² / 2) = 2.9, t(2) = 4.303
    apart = figures.apart([1.0, 2.0, 3.0], [4.0, 6.0, 8.0])
    assert (apart.middle, apart.count) == (-4.0, 6)
    assert apart.high - apart.middle == pytest.approx(4.303 * (5 / 3) ** 0.5)
    assert figures.apart([100.0, 100.0], [90.0, 90.0]) == figures.Estimate(10.0, 10.0, 10.0, 4)
    assert figures.percent_text([100.0, 100.0, 97.0]) == "99.0 (95-100)"


def test_calibration_error_is_the_mean_distance_of_its_bins():
    sure, right_ones = np.array([0.95, 0.95, 0.15, 0.15]), np.array([True, False, False, False])
    assert figures.calibration_error(sure, right_ones) == pytest.approx((0.9 + 0.3) / 4)
    assert figures.calibration_error(np.array([1.0]), np.array([True])) == 0.0


def test_who_is_first_is_counted_by_style():
    scores = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.0, 1.0], [0.1, 0.2]]])
    assert figures.confusion(scores).tolist() == [[1, 1], [0, 2]]
    assert figures.own_first([[1, 1], [0, 2]]) == "75.0 (30-95)"


def test_what_a_start_saves_is_nothing_where_it_never_arrives():
    assert figures.saved(25.0, 100.0) == 0.75
    assert figures.saved(None, 100.0) == 0.0
    assert figures.first_at([(0, 2.0), (5, 1.6), (10, 1.4)], 1.6) == 5
    assert figures.first_at([(0, 2.0)], 1.6) is None


def outcome(user: str, step: int | None, seconds: float | None, data: int | None) -> Outcome:
    scratch = Arm("scratch", 20, 40.0, 50, 1.5, 30, 1.6)
    return Outcome(
        user, 50, 240, 90, "4-90", "its style", 1.51, scratch, 32.0, Arm("warm", step, seconds, data, 1.5, 10, 1.55)
    )


def test_warm_starts_are_averaged_over_users_who_never_arrive_too():
    some = [outcome("style 1", 0, 4.0, 10), outcome("style 4", None, None, None)]
    time, data = outcomes.beside_the_paper(some).splitlines()[2:]
    assert time == "| 90 % | time | -83 % | -92 % | -45 % | -90 % | 50% | 1 | 2 |"
    assert data == "| 90 % | data | -51 % | -70 % | -40 % | -80 % | 50% | 1 | 2 |"
    first, second = outcomes.users(some).splitlines()[2:]
    assert "20 steps, 40 s | 0 steps, 4 s | 0.10 | 0.12 | 10 of 50" in first
    assert "1.500 in 10 steps | never | never | never of 50" in second


def test_outcomes_are_added_to_those_of_earlier_runs(tmp_path):
    from benchmarks.warmstart import merged

    outcomes.write([outcome("style 1", 5, 8.0, 50), outcome("style 4", 5, 8.0, 50)], tmp_path / "seen.json")
    shown = merged([outcome("style 4", 0, 4.0, 10)], tmp_path / "seen.json", update=True)
    assert [one.warm.step for one in outcomes.read(tmp_path / "seen.json")] == [5, 0]
    assert "### Users of 50 messages, adapters of 240 rows" in shown


def test_the_warm_start_report_shows_the_outcomes_beside_it():
    page = (report.REPORTS / "warmstart.md").read_text("utf-8")
    assert report.places(page)["outcomes"] == outcomes.tables(outcomes.read(report.REPORTS / "warmstart.json"))


def test_users_are_drawn_without_repeats_and_counted_by_the_adapter_that_is_first():
    draws = selection.users(3, 5, 60)
    assert draws.shape == (8, 3, 5)
    assert len(set(draws[0, 0].tolist())) == 5
    axes = (Axis("a", "measured", "less a", "more a"), Axis("b", "measured", "less b", "more b"))
    space = Space(axes, np.empty((0, 1)), np.zeros(2), np.zeros(2), np.ones(2), np.eye(2))
    pools = (
        np.array([[1.0, 0.0], [3.0, 1.0]]),
        np.array([[0.0, 1.0], [2.0, 1.0]]),
    )  # the last text lies nearer to the first adapter
    placement = persons.Cached(space, np.array([[1.0, 0.2], [0.2, 1.0]]), pools)
    assert selection.counted(placement, np.array([[[0], [1]], [[0], [1]]])).tolist() == [[2, 0], [1, 1]]


def test_measurements_are_made_once_and_again_where_what_they_are_made_of_changed(tmp_path):
    store, made = Store(tmp_path), []

    def measure() -> dict[str, int]:
        made.append(1)
        return {"value": len(made)}

    assert [store.record("a", {"rate": rate}, measure)["value"] for rate in (0.1, 0.1, 0.2)] == [1, 1, 2]
    frozen = Store(tmp_path, stored_only=True)
    assert frozen.record("a", {"rate": 0.2}, measure) == {"value": 2}
    with pytest.raises(Missing, match=r"^a$"):
        frozen.record("a", {"rate": 0.3}, measure)


def test_only_marked_places_of_a_report_change():
    page = "# Title\n\n<!-- table one -->\nold\n<!-- end -->\n\nProse.\n\n<!-- table two -->\nkept\n<!-- end -->\n"
    new = report.filled(page, {"one": report.table(("a", "b"), [(1, None)])})
    assert new == page.replace("old", "| a | b |\n| --- | --- |\n| 1 |  |")
    empty = page.replace("old\n", "")
    assert report.filled(empty, {"one": "| a |"}) == page.replace("old", "| a |")
    with pytest.raises(report.BadInput, match="no place for three"):
        report.filled(page, {"three": ""})
    with pytest.raises(ValueError, match="2 columns"):
        report.table(("a", "b"), [(1,)])


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_a_report_with_a_place_for_each_table(name):
    parts = set(benchmark(name).PARTS)
    if name in WITHOUT_REPORT:
        with pytest.raises(report.BadInput, match=r"no report \w+\.md"):
            report.fill(name, dict.fromkeys(parts, ""))
        return
    page = (report.REPORTS / f"{name}.md").read_text("utf-8")
    assert set(report.places(page)) == parts
    assert f"python -m benchmarks {name}" in page


def test_the_fuzz_driver_writes_into_its_report():
    page = (report.REPORTS / "fuzz.md").read_text("utf-8")
    assert set(report.places(page)) == {"inputs"}
    assert "python -m tests.fuzz" in page


def test_reports_name_only_benchmarks_that_are_there_or_the_commit_that_held_them():
    for path in report.REPORTS.glob("*.md"):
        page = path.read_text("utf-8")
        if not set(re.findall(r"python -m benchmarks (\w+)", page)) <= set(NAMES):
            assert re.search(r"commit [0-9a-f]{7}", page), path.name
        if re.search(r"python benchmarks/", page):
            assert "at commit 16a917e" in page, path.name


def test_users_and_cached_people_are_disjoint():
    counts = {f"p{number}": {"train": 40 + 2 * number, "tune": 20, "test": 40} for number in range(80)}
    users, cached = writers.split(counts, 24, 5)
    assert len(users) == 24
    assert all(counts[who]["train"] >= 100 for who in users)
    assert not set(users) & set(cached)
    assert [counts[who]["train"] for who in cached] == sorted((counts[who]["train"] for who in cached), reverse=True)
    assert writers.split(counts, 3, 5) == (users[:3], cached)  # fewer users leave the cache as it is


def test_clusters_are_the_groups_that_are_there():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 10.0], [0.0, 2.0]])
    centres, members = writers.clusters(points, 2)
    assert len(set(members[[0, 1, 4]])) == len(set(members[[2, 3]])) == 1
    assert sorted(centres.round(6).tolist()) == [[0.0, 1.0], [9.0, 9.5]]


def tiny_adapter(*values: float) -> Adapter:
    """Of one tensor (2, 2), with the delta diag(values)."""
    return Adapter("llama", 2.0, {"t": (np.eye(2, dtype=np.float32), np.diag(values).astype(np.float32))})


def test_merges_are_what_their_formulas_say():
    some = [tiny_adapter(3.0, 1.0), tiny_adapter(1.0, -1.0)]
    assert merging.average(some, 2).delta("t") == pytest.approx(np.diag([2.0, 0.0]), abs=1e-6)
    assert merging.average(some, 2, [3.0, 1.0], scale=2.0).delta("t") == pytest.approx(np.diag([5.0, 1.0]), abs=1e-5)
    noise = merging.noise(tiny_adapter(3.0, 4.0), seed=1)
    assert np.linalg.norm(noise.delta("t")) == pytest.approx(5.0, rel=1e-4)


def test_the_command_line_lists_and_refuses():
    run = [sys.executable, "-m", "benchmarks"]
    listed = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert all(f"  {name} " in listed for name in NAMES)
    wrong = subprocess.run([*run, "spead"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert wrong.returncode == 2
    assert "there is no benchmark spead" in wrong.stderr
    wrong = subprocess.run([*run, "certainty"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "--styles" in wrong.stderr


@pytest.mark.model
def test_a_message_is_one_sample_however_long_it_is():
    messages = [Message("Hi.", "Hello there.", ""), Message("Tell me.", "One more word. " * 400, "")]
    short, long = Run("any", Options()).samples(messages)
    assert len(short[0]) < 60
    assert len(long[0]) == 256


def test_outcomes_come_back_as_they_were_written():
    seen = json.loads((report.REPORTS / "warmstart.json").read_text("utf-8"))
    assert Outcome.from_record(seen[0]).saved() == pytest.approx((1 - 29.367622870144764 / 46.386223628339096, 0.0))


def test_users_are_read_on_the_axes_of_the_cache_whatever_is_counted_beside(tmp_path: Path) -> None:
    for style in range(1, 9):
        rows = [{"prompt": "", "response": text} for text in ("Wow! The sea is so flat today!", "The weather is calm.")]
        (tmp_path / f"{style}_test.jsonl").write_text("\n".join(map(json.dumps, rows * 20)))
    cache = selection.packaged(Run("certainty", Options(styles=tmp_path)))
    assert (len(cache.places), cache.pools[0].shape) == (8, (40, len(cache.space.axes)))
    at = [axis.name for axis in cache.space.axes].index("exclamations")
    assert cache.pools[7][:2, at].tolist() == [1.0, 0.0]
    user = certainty.users(cache.pools, 5)[0]
    assert (len(user.readings), len(user.others)) == (5, 35)
