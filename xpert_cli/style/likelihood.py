"""Explaining an adapter by what it makes more probable: coordinates from gains on texts that it did not choose.

    coordinates = fitted(shifts, gains, prompts, space.precision)        # (adapters, axes)
    adapters = blended(answers, coordinates, space)                      # whose directions users are compared with

A gain is how much better an adapter predicts a text than the base does, in nats a token. The reference texts answer the
same few prompts, once in each author's style, and every adapter scores them all; regressing the gains on the texts'
places on the style axes tells which style an adapter favours, on the same axes as everything else. Not here: the gains
(cache/gains.py) and readings (style/described.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xpert_cli.style.space import Floats, Space

WEIGHT = 0.35  # of gains beside answers: the largest that on tuning rows loses at no similarity against answers alone
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # penalties tried, in mean squared lengths of the references


def centred(values: Floats, groups: npt.ArrayLike) -> Floats:
    """(rows, columns) less the mean row of each group."""
    labels = np.asarray(groups)
    means = {label: values[labels == label].mean(axis=0) for label in np.unique(labels)}
    return np.asarray(values - np.array([means[label] for label in labels]))


def fitted(
    shifts: Floats, gains: Floats, prompts: npt.ArrayLike, precision: Floats, ridge: float | None = None
) -> Floats:
    """Where adapters lie on the axes, by the texts that they make more probable.

    Ridge regression of the gains on the shifts, both less their means over the texts that answer one prompt: what a
    prompt is about is no style. With precision P = L L' the penalty is ridge * t * |L^-1 b|^2 on the slopes b, where t
    is the trace of the whitened references' scatter over the number of axes. Slopes tell how to weigh the axes, not
    where the style lies; coordinates are a = P^-1 b (S. Haufe et al., NeuroImage 87, 2014), so that u'P a is the gain
    expected of a user's shift u, and adapters are ranked as those are that are placed by their answers.

    Args:
        shifts: (texts, axes) of the reference texts, in axis units.
        gains: (texts, adapters) nats a token; if less their mean over adapters, coordinates are relative to the others.
        prompts: (texts,) label of the prompt that a text answers.
        precision: (axes, axes) P, inverse of the pooled within-writer correlation.
        ridge: None chooses among RIDGES by leaving out one prompt after the other.
    Returns:
        (adapters, axes) coordinates, of which directions are compared.
    """
    labels = np.asarray(prompts)
    root = np.linalg.cholesky(precision)
    rows = centred(shifts, labels) @ root
    rises = centred(gains, labels)
    if ridge is None:
        ridge = min(RIDGES, key=lambda one: (_left_out(rows, rises, labels, one), -one))
    return np.asarray(np.linalg.solve(root.T, _solve(rows, rises, ridge)).T)


def blended(answers: Floats, coordinates: Floats, space: Space, weight: float = WEIGHT) -> Floats:
    """(adapters, axes) shifts between what adapters answer and what they make more probable, as long as the former.

    Args:
        answers, coordinates: (adapters, axes); of the second only directions count.
    """
    lengths = np.array([[space.norm(one)] for one in answers])
    mixed = (1 - weight) * _units(answers, space) + weight * _units(coordinates, space)
    return np.asarray(lengths * _units(mixed, space))


def _units(shifts: Floats, space: Space) -> Floats:
    return np.asarray(shifts / np.maximum([[space.norm(one)] for one in shifts], 1e-12))


def _solve(rows: Floats, rises: Floats, ridge: float) -> Floats:
    scatter = rows.T @ rows
    penalty = ridge * max(float(np.trace(scatter)) / len(scatter), 1e-12)
    return np.asarray(np.linalg.solve(scatter + penalty * np.eye(len(scatter)), rows.T @ rises))


def _left_out(rows: Floats, rises: Floats, labels: npt.NDArray[np.generic], ridge: float) -> float:
    """Squared error on each prompt's texts of a fit to all others'."""
    error = 0.0
    for label in np.unique(labels):
        inside = labels == label
        error += float(((rises[inside] - rows[inside] @ _solve(rows[~inside], rises[~inside], ridge)) ** 2).sum())
    return error
