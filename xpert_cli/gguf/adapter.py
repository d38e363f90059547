"""Adapter algebra: what a LoRA adapter is, exact merging, and recompression to a smaller rank.

    both = merge([(terse, 0.7), (playful, 0.3)])     # exact: ranks are concatenated
    small, error = recompress(both, 8)               # best rank 8, error relative to the whole change of the base

An adapter changes a base weight W, (out, in), into W + scale * B @ A with scale = alpha / rank. Not here: files
(gguf/files.py, models/peft.py) and adding an adapter to a base model (models/merging.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xpert_cli.errors import BadInput, BadModel, CacheMismatch

Floats = NDArray[np.float32]
Factors = tuple[Floats, Floats]
Metadata = str | int | float | list[float]

FINGERPRINT = "xpert.base_fingerprint"
BASE_NAME = "xpert.base_name"
SOURCE = "xpert.source."  # what tells of the text that an adapter was trained on


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter of one base model.

    Attributes:
        architecture: GGUF name of the base's architecture, as in "llama".
        alpha: the scale's numerator, positive.
        factors: base tensor name, as in "blk.0.attn_q.weight" -> A (rank, in) and B (out, rank), float32.
        metadata: what else the file says, keys starting with "xpert.".

    Raises:
        BadModel: factors that do not fit together, more than one rank, an alpha that is no positive number.
    """

    architecture: str
    alpha: float
    factors: Mapping[str, Factors]
    metadata: Mapping[str, Metadata] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.alpha) and self.alpha > 0):
            raise BadModel(
                f"the adapter's alpha is {self.alpha}; it must be a positive number. Export the adapter again."
            )
        if not self.factors:
            raise BadModel("the adapter changes no tensor. Export the adapter again.")
        wrong = [name for name, (a, b) in self.factors.items() if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]]
        if wrong:
            raise BadModel(f"factors A and B do not fit together in {shorten(wrong)}. Export the adapter again.")
        ranks = sorted({len(a) for a, _ in self.factors.values()})
        if len(ranks) > 1 or ranks[0] < 1:
            raise BadModel(
                f"the adapter has ranks {shorten(ranks)}; it needs one, of at least 1. Export the adapter again."
            )
        if odd := [key for key in self.metadata if not key.startswith("xpert.")]:
            raise BadModel(f"adapter metadata {shorten(odd)} does not start with 'xpert.'. Rename it.")

    @property
    def rank(self) -> int:
        """Rows of every A."""
        return len(next(iter(self.factors.values()))[0])

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    def delta(self, name: str) -> Floats:
        """(out, in) what the adapter adds to the base tensor `name`: scale * B @ A."""
        a, b = self.factors[name]
        return np.asarray(np.float32(self.scale) * (b @ a), np.float32)


def merge(weighted: Sequence[tuple[Adapter, float]]) -> Adapter:
    """The adapter whose deltas are the weighted sums of the given ones' deltas, exactly.

    Ranks are concatenated (A stacked, weight * scale * B side by side), so the result has the sum of the ranks and
    scale 1; where an adapter does not touch a tensor its share is zero. One adapter at weight 1 comes back as it is.
    Metadata stays where all adapters agree on it, but for what tells of training texts: a change that is weighed is not
    what they taught.

    Raises:
        BadInput: no adapter, or a weight that is not finite.
        CacheMismatch: the adapters belong to different base models.
    """
    if not weighted:
        raise BadInput("nothing to merge. Name at least one adapter with --adapter FILE=WEIGHT.")
    if not all(np.isfinite(weight) for _, weight in weighted):
        raise BadInput("a weight is not a finite number. Give weights such as 0.5 with --adapter FILE=WEIGHT.")
    first, weight = weighted[0]
    if len(weighted) == 1 and weight == 1.0:
        return first
    _same_base([adapter for adapter, _ in weighted])
    rank = sum(adapter.rank for adapter, _ in weighted)
    names = dict.fromkeys(name for adapter, _ in weighted for name in adapter.factors)
    factors = {name: _concatenated(weighted, name, rank) for name in names}
    metadata = {
        key: value
        for key, value in first.metadata.items()
        if not key.startswith(SOURCE) and all(a.metadata.get(key) == value for a, _ in weighted)
    }
    for adapter, _ in weighted:  # an adapter that does not name its base does not unname it
        metadata |= {key: value for key, value in adapter.metadata.items() if key in (FINGERPRINT, BASE_NAME)}
    return Adapter(first.architecture, float(rank), factors, metadata)


def _same_base(adapters: Sequence[Adapter]) -> None:
    prints = {str(adapter.metadata[FINGERPRINT])[:12] for adapter in adapters if FINGERPRINT in adapter.metadata}
    for values in ({adapter.architecture for adapter in adapters}, prints):
        if len(values) > 1:
            named = shorten(sorted(map(ascii, values)))
            raise CacheMismatch(f"these adapters are for different base models ({named}). Merge adapters of one base.")


def _concatenated(weighted: Sequence[tuple[Adapter, float]], name: str, rank: int) -> Factors:
    """A (rank, in) and B (out, rank) of one tensor, zero where an adapter does not touch it."""
    shapes = {
        (a.shape[1], len(b)) for adapter, _ in weighted if name in adapter.factors for a, b in [adapter.factors[name]]
    }
    if len(shapes) > 1:
        raise CacheMismatch(f"these adapters disagree on the shape of {name}. Merge adapters of one base model.")
    width, height = shapes.pop()
    a, b = np.zeros((rank, width), np.float32), np.zeros((height, rank), np.float32)
    at = 0
    for adapter, weight in weighted:
        if name in adapter.factors:
            rows = slice(at, at + adapter.rank)
            a[rows], b[:, rows] = adapter.factors[name]
            with np.errstate(over="ignore"):  # what is not finite is refused by whoever writes it
                b[:, rows] *= np.float32(weight * adapter.scale)
        at += adapter.rank
    return a, b


def recompress(adapter: Adapter, rank: int) -> tuple[Adapter, float]:
    """The nearest adapter of at most `rank`, and how far it is.

    The singular values of scale * B @ A are those of the small product of the R factors of B and A' (QR), so no
    (out, in) matrix is formed. Factors are balanced: both carry the square root of the singular values.

    Returns:
        The adapter with scale 1 (unchanged if its rank is small enough already), and the Frobenius norm of what was
        lost over all tensors relative to that of the whole delta, 0 to 1.
    """
    if rank < 1:
        raise BadInput(f"rank {rank} is too small. Give --rank 1 or more.")
    if rank >= adapter.rank:
        return adapter, 0.0
    factors, lost, total = {}, 0.0, 0.0
    for name, (a, b) in adapter.factors.items():
        left, right = np.linalg.qr(b.astype(np.float64)), np.linalg.qr(a.T.astype(np.float64))
        u, s, v = np.linalg.svd(adapter.scale * (left.R @ right.R.T))
        keep = min(rank, len(s))
        root = np.sqrt(s[:keep])
        new_a, new_b = np.zeros((rank, a.shape[1]), np.float32), np.zeros((len(b), rank), np.float32)
        new_a[:keep] = root[:, None] * (v[:keep] @ right.Q.T)
        new_b[:, :keep] = (left.Q @ u[:, :keep]) * root
        factors[name] = new_a, new_b
        lost, total = lost + float(np.sum(s[keep:] ** 2)), total + float(np.sum(s**2))
    return Adapter(adapter.architecture, float(rank), factors, adapter.metadata), (
        lost / total
    ) ** 0.5 if total else 0.0


def shorten(names: Iterable[object], limit: int = 3) -> str:
    """The first few of many names, for an error of one line."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
