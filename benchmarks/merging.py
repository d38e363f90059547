"""What is made of many people's adapters, and a control of the same size.

    average([adapter, ...], rank=8)

Everything is an adapter of the base again. Not here: exact merging and recompression
(xpert_cli/gguf/adapter.py), which adapters are merged (people.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpert_cli.gguf.adapter import Adapter, Floats, merge, recompress


def average(adapters: Sequence[Adapter], rank: int, weights: Sequence[float] = (), scale: float = 1.0) -> Adapter:
    """The adapter nearest to the weighted mean of the deltas, times a scale; equal weights by default."""
    shares = np.array(weights or [1.0] * len(adapters), np.float64)
    parts = [(one, float(scale * share / shares.sum())) for one, share in zip(adapters, shares, strict=True)]
    return recompress(merge(parts), rank)[0]


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
