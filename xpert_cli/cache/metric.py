"""The metric of a cache in few bytes: half of a symmetric matrix, in two bytes a number where that says all.

    arrays = metric_arrays(space.precision)          # {"high": ..., "low": ...}, or {"precision": ...}
    precision = metric_of(arrays, len(space.axes))

What `cache build` makes is the inverse of a correlation in whole numbers of GRID, so that two bytes are exact; the
metric of an older cache is told in float32. High and low bytes lie apart, for most high bytes are alike and compress.
Not here: what the metric is (style/space.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xpert_cli.style.space import GRID, Floats

_ZERO = 1 << 15  # what is added to a correlation's steps, so that none is below 0
_SAME = 1e-5  # of the largest number: the rounding to float32 of a metric that schema 1 held


def metric_arrays(precision: Floats) -> dict[str, Any]:
    """The arrays that tell an (axes, axes) metric."""
    half = np.tril_indices(len(precision))
    steps = np.round(np.linalg.inv(precision) * GRID)
    if np.abs(steps).max() <= GRID:
        inverse = np.linalg.inv(steps / GRID)
        if np.abs(inverse - precision).max() <= _SAME * np.abs(precision).max():
            whole = (steps[half] + _ZERO).astype(np.uint16)
            return {"high": (whole >> 8).astype(np.uint8), "low": (whole & 255).astype(np.uint8)}
    return {"precision": precision[half].astype(np.float32)}


def metric_of(arrays: Mapping[str, Any], axes: int) -> Floats:
    """The (axes, axes) metric that arrays tell.

    Raises:
        ValueError: they do not fit, or are no metric.
        KeyError: one of them is missing.
    """
    half = np.tril_indices(axes)
    matrix = np.zeros((axes, axes))
    two_bytes = "precision" not in arrays
    for name in ("high", "low") if two_bytes else ("precision",):
        if arrays[name].shape != half[0].shape or (arrays[name].dtype == np.uint8) != two_bytes:
            raise ValueError(f"{name} does not fit {axes} axes")
    if two_bytes:
        matrix[half] = (arrays["high"].astype(np.float64) * 256 + arrays["low"] - _ZERO) / GRID
    else:
        matrix[half] = arrays["precision"]
    matrix += np.tril(matrix, -1).T
    if np.linalg.eigvalsh(matrix).min() <= 0:
        raise ValueError("precision is no metric")
    return np.asarray(np.linalg.inv(matrix)) if two_bytes else matrix
