"""How an adapter's weights differ from those of its neighbours in a cache: a warning, not a promise.

    own = traits(adapter)
    score, trait = outlier_score(own, [traits(other) for other in others])
    score > SUSPICIOUS                                 # "its size", as in: its size is unlike that of the others

The numbers are of the kind that told poisoned LoRA adapters from clean ones without running them: leading singular
value, norm, share of energy, spectral entropy (Puertolas Merenciano et al. 2026, "Weight space Detection of Backdoors
in LoRA Adapters", arXiv:2602.15195). There a classifier was trained on both; here an adapter only has to be like the
others. So an honest one that was trained otherwise stands out too, and a backdoor made with care does not. Not here:
which adapters are compared (those of one base, trained alike).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from xpert_cli.gguf.adapter import Adapter

Floats = NDArray[np.float64]

FEWEST = 5  # others to be compared with
SUSPICIOUS = 5.0  # honest adapters scored up to 3.8 among 5 to 15 of their like, none with a factor times 5 under 9
_MAD = 1.4826  # times the median absolute deviation is the standard deviation of normally distributed numbers

# The traits in plain words, and the least spread that counts as one: others may be alike by chance
WORDS = {
    "norm": ("the size of its change", 0.1),
    "largest": ("its strongest direction", 0.1),
    "top": ("how much it does in one direction", 0.02),
    "entropy": ("how evenly its directions are used", 0.05),
    "layer": ("how much it does in one layer", 0.02),
}


def traits(adapter: Adapter) -> dict[str, float]:
    """Numbers of the whole change of the base, scale * B @ A over all tensors.

    Returns:
        "norm": log of its Frobenius norm. "largest": log of the largest singular value of any tensor's change. "top":
        share of the energy (squared singular values) in each tensor's first direction, 0 to 1. "entropy": Shannon
        entropy of the energy over the directions of a tensor, in nats, 0 to log(rank), weighted by the tensors'
        energies. "layer": share of the energy in the layer (blk.N) that has most, 0 to 1. For an adapter that changes
        nothing: the log of the smallest number there is, and 0 elsewhere.
    """
    energies = {name: _energies(adapter, name) for name in adapter.factors}
    totals = {name: float(values.sum()) for name, values in energies.items()}
    whole, tiny = sum(totals.values()), float(np.finfo(np.float64).tiny)
    first = sum(float(values.max()) for values in energies.values())
    layers: dict[str, float] = {}
    for name, total in totals.items():
        layer = ".".join(name.split(".")[:2])
        layers[layer] = layers.get(layer, 0.0) + total
    entropy = sum(totals[name] * _entropy(values) for name, values in energies.items())
    return {
        "norm": float(np.log(max(whole, tiny)) / 2),
        "largest": float(np.log(max(max(float(values.max()) for values in energies.values()), tiny)) / 2),
        "top": first / max(whole, tiny),
        "entropy": entropy / max(whole, tiny),
        "layer": max(layers.values()) / max(whole, tiny),
    }


def _energies(adapter: Adapter, name: str) -> Floats:
    """(rank,) squared singular values of a tensor's change, in ascending order, from (rank, rank) matrices.

    With the Gram matrices G = A A' and H = B' B, those of B A are the eigenvalues of L' H L where G = L L'.
    """
    a, b = (factor.astype(np.float64) for factor in adapter.factors[name])
    values, vectors = np.linalg.eigh(a @ a.T)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(np.maximum(np.linalg.eigvalsh(root.T @ (b.T @ b) @ root), 0) * adapter.scale**2)


def _entropy(energies: Floats) -> float:
    """Shannon entropy of the energies' shares, in nats."""
    shares = energies / max(float(energies.sum()), np.finfo(np.float64).tiny)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def outlier_score(own: Mapping[str, float], others: Sequence[Mapping[str, float]]) -> tuple[float, str]:
    """How far an adapter is from others in the trait where it is farthest, and that trait in plain words.

    Distance is from the others' median, in robust standard deviations (1.4826 times their median absolute deviation, or
    the trait's floor where that is larger). With fewer than FEWEST others there is nothing to tell: (0.0, "").
    """
    if len(others) < FEWEST:
        return 0.0, ""
    scores = []
    for trait, (words, floor) in WORDS.items():
        values = np.array([other[trait] for other in others], np.float64)
        middle = float(np.median(values))
        spread = max(_MAD * float(np.median(np.abs(values - middle))), floor)
        scores.append((abs(own[trait] - middle) / spread, words))
    return max(scores)
