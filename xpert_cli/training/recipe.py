"""How a run is trained: the steps, and the layers, where nobody says.

    recipe = recipe_for(len(training), rank, settings, layers_for(base, settings, len(training)))

Not here: what a recipe does (training/loop.py), what may be said of it (`Settings` in training/prepare.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xpert_cli.errors import BadUsage
from xpert_cli.gguf import BaseModel
from xpert_cli.training import loop

if TYPE_CHECKING:
    from xpert_cli.training.prepare import Settings

PATIENCE = 4  # evaluations without a new best after which training ends
UPPER = 0.75  # share of the layers, from the last, that learns on from an adapter: of few messages as much as all
FEW = 100  # messages; with more to learn, all layers learn a little more


def layers_for(base: BaseModel, settings: Settings, messages: int | None) -> int | None:
    """The number of layers that are trained; None for all.

    Args:
        messages: that an adapter is trained on; None where training starts from the base.

    Raises:
        BadUsage: the base has fewer.
    """
    count = base.info.layers
    if settings.layers is not None and settings.layers > count:
        raise BadUsage(f"--layers must be at most {count}, the base's number of layers, not {settings.layers}.")
    few = messages is not None and messages <= FEW
    layers = settings.layers or (math.ceil(UPPER * count) if few else count)
    return layers if layers < count else None


def recipe_for(messages: int, rank: int, settings: Settings, layers: int | None = None) -> loop.Recipe:
    """Two passes over the messages, at least 30 steps and at most 1,000."""
    derived = min(1000, max(30, math.ceil(2 * messages / loop.BATCH)))
    steps = derived if settings.steps is None else settings.steps
    return loop.Recipe(
        steps=steps,
        rank=rank,
        learning_rate=loop.RATE if settings.learning_rate is None else settings.learning_rate,
        evaluate_every=max(5, steps // 10),
        patience=PATIENCE,
        seed=settings.seed,
        layers=layers,
    )
