"""Numbers of an adapter's weights, and which of them sets it apart from others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny_gguf

from xpert_cli import gguf, paths
from xpert_cli.cache.outliers import SUSPICIOUS, WORDS, outlier_score, traits
from xpert_cli.gguf.adapter import Adapter, merge, recompress


def diagonal(*sizes: tuple[float, ...], alpha: float = 2.0, scaled: float = 1.0) -> Adapter:
    """An adapter of rank 2 and scale alpha / 2; each layer's change has these singular values times the scale."""
    factors = {
        f"blk.{layer}.attn_q.weight": (np.eye(2, 3, dtype=np.float32), np.float32(scaled) * np.diag(size).astype("f4"))
        for layer, size in enumerate(sizes)
    }
    return Adapter("llama", alpha, factors)


def test_traits_of_diagonal_changes():
    found = traits(diagonal((3.0, 1.0), (0.0, 0.0), alpha=4.0))  # singular values 6 and 2, energies 36 and 4
    assert found["norm"] == pytest.approx(math.log(40) / 2)
    assert found["largest"] == pytest.approx(math.log(6))
    assert found["top"] == pytest.approx(0.9)
    assert found["entropy"] == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    assert found["layer"] == 1.0
    assert traits(diagonal((1.0, 1.0), (1.0, 1.0)))["entropy"] == pytest.approx(math.log(2))
    assert traits(diagonal((1.0, 1.0), (1.0, 1.0)))["layer"] == pytest.approx(0.5)


def test_traits_are_those_of_the_whole_change():
    adapter = tiny_gguf.adapter(seed=3, rank=4)
    singular = {
        name: np.linalg.svd(adapter.delta(name).astype(np.float64), compute_uv=False) for name in adapter.factors
    }
    found, energies = traits(adapter), {name: values[:4] ** 2 for name, values in singular.items()}
    whole = sum(float(energy.sum()) for energy in energies.values())
    assert found["norm"] == pytest.approx(math.log(whole) / 2, abs=1e-5)
    assert found["largest"] == pytest.approx(math.log(max(values[0] for values in singular.values())), abs=1e-5)
    assert found["top"] == pytest.approx(sum(float(energy[0]) for energy in energies.values()) / whole, abs=1e-5)


def test_an_adapter_that_changes_nothing_has_finite_traits():
    found = traits(diagonal((0.0, 0.0)))
    assert all(math.isfinite(value) for value in found.values())
    assert (found["top"], found["entropy"], found["layer"]) == (0.0, 0.0, 0.0)
    assert outlier_score(found, [traits(diagonal((1.0, 1.0)))] * 5)[0] > SUSPICIOUS


def test_a_merged_adapter_counts_as_what_it_does():
    one = tiny_gguf.adapter(seed=1)
    assert traits(merge([(one, 0.5), (one, 0.5)])) == pytest.approx(traits(one), abs=1e-5)


def numbers(**changes: float) -> dict[str, float]:
    return dict.fromkeys(WORDS, 0.0) | changes


def test_the_score_is_in_robust_deviations_from_the_median():
    others = [numbers(norm=value) for value in (1.0, 2.0, 3.0, 4.0, 500.0)]  # median 3, median deviation 1
    score, trait = outlier_score(numbers(norm=6.0), others)
    assert score == pytest.approx(3 / 1.4826)
    assert trait == "the size of its change"


def test_others_that_are_all_alike_leave_some_room():
    score, trait = outlier_score(numbers(top=0.04), [numbers()] * 5)
    assert score == pytest.approx(2.0)  # the floor is 0.02
    assert trait == "how much it does in one direction"


def test_few_others_tell_nothing():
    assert outlier_score(numbers(norm=99.0), [numbers()] * 4) == (0.0, "")


CACHE = sorted((paths.packaged("adapters") / "adapters").glob("*.gguf"))


def test_packaged_adapters_are_alike_and_changed_ones_are_not():
    adapters = [gguf.read_adapter(path) for path in CACHE]
    found = [traits(adapter) for adapter in adapters]
    for at, own in enumerate(found):
        assert outlier_score(own, found[:at] + found[at + 1 :])[0] < SUSPICIOUS / 2
    first = adapters[0]
    louder = {name: (a, 50 * b) for name, (a, b) in first.factors.items()}
    spiked = dict(first.factors) | {(name := "blk.5.attn_q.weight"): louder[name]}
    single = merge([(recompress(first, 1)[0], 2.0), (first, 0.05)])
    for factors, trait in ((louder, "its strongest direction"), (spiked, "how much it does in one layer")):
        score, told = outlier_score(traits(Adapter(first.architecture, first.alpha, factors)), found[1:])
        assert score > 4 * SUSPICIOUS
        assert told == trait
    score, told = outlier_score(traits(single), found[1:])
    assert score > SUSPICIOUS
    assert told == "how evenly its directions are used"
