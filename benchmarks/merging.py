"""Shapes of merges: what is made of many people's adapters, and controls of the same size.

    average([adapter, ...], rank=8)
    ties([adapter, ...], rank=8)            # trimmed, one sign a weight (Yadav et al. 2023)

Everything is an adapter of the base again, of the rank that is asked for. Not here: exact merging and recompression
(xpert_cli/gguf/adapter.py), which adapters are merged (people.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xpert_cli.gguf.adapter import Adapter, Floats, merge, recompress

KEPT = 0.2  # of the weights of an adapter's tensor that TIES keeps, the largest
DROPPED = 0.9  # of the weights of an adapter's tensor that DARE drops at random (Yu et al. 2024)


def average(adapters: Sequence[Adapter], rank: int, weights: Sequence[float] = (), scale: float = 1.0) -> Adapter:
    """The adapter nearest to the weighted mean of the deltas, times a scale; equal weights by default."""
    shares = np.array(weights or [1.0] * len(adapters), np.float64)
    parts = [(one, float(scale * share / shares.sum())) for one, share in zip(adapters, shares, strict=True)]
    return recompress(merge(parts), rank)[0]


def ties(adapters: Sequence[Adapter], rank: int) -> Adapter:
    """The mean of what is left when each delta keeps its largest weights and those against the elected sign are out."""

    def merged(deltas: Floats) -> Floats:
        bound = np.quantile(np.abs(deltas).reshape(len(deltas), -1), 1 - KEPT, axis=1)
        trimmed = np.where(np.abs(deltas) >= bound[:, None, None], deltas, 0)
        agreed = np.where(np.sign(trimmed) == np.sign(trimmed.sum(axis=0)), trimmed, 0)
        return np.asarray(agreed.sum(axis=0) / np.maximum(1, (agreed != 0).sum(axis=0)), np.float32)

    return _dense(adapters, rank, merged)


def dare(adapters: Sequence[Adapter], rank: int, seed: int) -> Adapter:
    """The mean of deltas of which most weights are dropped at random, the others scaled up for them."""
    draw = np.random.default_rng(seed)

    def merged(deltas: Floats) -> Floats:
        left = draw.random(deltas.shape, np.float32) >= DROPPED
        return np.asarray((deltas * left).mean(axis=0) / (1 - DROPPED), np.float32)

    return _dense(adapters, rank, merged)


def _dense(adapters: Sequence[Adapter], rank: int, merged: Callable[[Floats], Floats]) -> Adapter:
    """Tensor by tensor: (adapters, out, in) deltas to one (out, in), and that to the nearest factors of a rank."""
    factors = {}
    for name in adapters[0].factors:
        u, s, v = np.linalg.svd(merged(np.stack([one.delta(name) for one in adapters])), full_matrices=False)
        root = np.sqrt(s[:rank])
        factors[name] = (
            np.asarray(root[:, None] * v[:rank], np.float32),
            np.asarray(u[:, :rank] * root, np.float32),
        )
    return Adapter(adapters[0].architecture, float(rank), factors, adapters[0].metadata)


def noise(like: Adapter, seed: int) -> Adapter:
    """Random factors whose delta has, tensor by tensor, the Frobenius norm of the given adapter's."""
    draw, factors = np.random.default_rng(seed), {}
    for name, (a, b) in like.factors.items():
        new_a, new_b = (draw.normal(size=part.shape).astype(np.float32) for part in (a, b))
        wanted, has = norm(like.scale * b, a), norm(like.scale * new_b, new_a)
        factors[name] = new_a, np.asarray(new_b * np.float32(wanted / has), np.float32)
    return Adapter(like.architecture, like.alpha, factors, like.metadata)


def norm(b: Floats, a: Floats) -> float:
    """Frobenius norm of B @ A, without forming it: the root of trace(A A' B' B)."""
    return float(np.sqrt(max(0.0, float(np.trace((a @ a.T).astype(np.float64) @ (b.T @ b).astype(np.float64))))))
