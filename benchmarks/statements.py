"""Explanations as data: the strongest axes of a shift with their values, what two have in common, which is nearest.

    one = strongest_of(space, shift)         # {3: -1.2, 40: 0.9}: axis -> shift
    nearest([one, other], user)              # 0: the user's shift on the axes of the first points more its way

Not here: whose explanations are compared (persons.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from xpert_cli.style import described
from xpert_cli.style.space import Floats, Space

SHOWN = 5  # statements of an explanation
Statements = dict[int, float]


def strongest_of(space: Space, shift: Floats) -> Statements:
    """The SHOWN strongest axes that say different things, with their values."""
    return {axis: float(shift[axis]) for axis in described.strongest(space, shift, SHOWN)}


def shared(explanations: Sequence[Statements]) -> float:
    """How many statements, the same end of the same axis, two explanations have in common on average."""
    ends = [{(axis, value > 0) for axis, value in values.items()} for values in explanations]
    return float(np.mean([len(one & other) for one, other in combinations(ends, 2)]))


def nearest(explanations: Sequence[Statements], user: Floats) -> int:
    """The explanation whose statements point where a user's shift does: the largest cosine with it, others being 0."""
    lengths = [float(np.linalg.norm(list(values.values()))) for values in explanations]
    along = [sum(value * user[axis] for axis, value in values.items()) for values in explanations]
    return int(np.argmax([a / length if length else 0.0 for a, length in zip(along, lengths, strict=True)]))
