"""The average of many adapters as one of a small rank, a tensor at a time, so that hundreds need no more memory.

    average([Path("anna.gguf"), Path("ben.gguf")], rank=8)

Not here: weighted merges of a few (gguf/adapter.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from xpert_cli.gguf.adapter import BASE_NAME, FINGERPRINT, Adapter, Factors, Floats, merge, recompress
from xpert_cli.gguf.open_files import AdapterFile

TOGETHER = 32  # adapters whose factors are concatenated; the changes of more are added up


def average(files: Sequence[Path], rank: int, progress: Callable[[float], None] = lambda fraction: None) -> Adapter:
    """The adapter of a rank that is nearest to the mean of the adapters' changes of the base.

    Raises:
        CacheMismatch: they belong to different bases.
        BadModel: one is no sound adapter.
    """
    if len(files) <= TOGETHER:
        parts = [(AdapterFile.open(path).adapter, 1 / len(files)) for path in files]
        return _named(recompress(merge(parts), rank)[0])
    sums: dict[str, Floats] = {}
    first = AdapterFile.open(files[0]).adapter
    for done in range(0, len(files), TOGETHER):
        progress(done / len(files))
        some = [AdapterFile.open(path).adapter for path in files[done : done + TOGETHER]]
        both = merge([(first, 0.0), *((one, 1.0) for one in some)])  # refuses adapters of another base
        for name in both.factors:
            sums[name] = sums[name] + both.delta(name) if name in sums else both.delta(name)
    factors = {name: _factors(total / np.float32(len(files)), rank) for name, total in sums.items()}
    return _named(Adapter(first.architecture, float(rank), factors, first.metadata))


def _factors(delta: Floats, rank: int) -> Factors:
    """A (rank, in) and B (out, rank) whose product is nearest to an (out, in) matrix."""
    u, s, v = np.linalg.svd(delta.astype(np.float64), full_matrices=False)
    keep = min(rank, len(s))
    root = np.sqrt(s[:keep])
    a, b = np.zeros((rank, delta.shape[1]), np.float32), np.zeros((len(delta), rank), np.float32)
    a[:keep], b[:, :keep] = root[:, None] * v[:keep], u[:, :keep] * root
    return a, b


def _named(adapter: Adapter) -> Adapter:
    """The adapter with its base's name, and nothing of any one member's text."""
    names = {key: value for key, value in adapter.metadata.items() if key in (FINGERPRINT, BASE_NAME)}
    return Adapter(adapter.architecture, adapter.alpha, adapter.factors, names)
