"""A run of a few steps on the tiny GGUF model of tiny_gguf.py, milliseconds each, and how two runs are compared."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli.training.loop import Recipe, Trained, train

QUICK = Recipe(steps=12, rank=2, learning_rate=0.01, batch=3, evaluate_every=4)
PACK = 30  # tokens: two or three passes for a batch, so that a signal finds a step half done


def texts(seed: int, count: int) -> list[tuple[list[int], int]]:
    """Samples of random tokens, 8 to 19 each; the first three are not scored."""
    numbers = random.Random(seed)
    return [([numbers.randrange(32) for _ in range(numbers.randrange(8, 20))], 3) for _ in range(count)]


SAMPLES, HELD_OUT = texts(0, 10), texts(0, 10)[:4]


def opened(base: Path) -> Any:
    """The decoder of a file, in float32."""
    import torch

    from xpert_cli.training.decoder import open_decoder

    return open_decoder(base, torch.float32)


def trained(base: Path, recipe: Recipe = QUICK, **options: Any) -> Trained:
    """A run on the samples, with other options of `train` if given."""
    return train(opened(base), SAMPLES, HELD_OUT, recipe, **{"pack": PACK, **options})


def assert_same(one: Trained, other: Trained) -> None:
    """Bit for bit, times and the place of resumption aside."""
    of_course = ("adapter", "seconds", "train_seconds", "resumed")
    for field in dataclasses.fields(Trained):
        if field.name not in of_course:
            assert getattr(one, field.name) == getattr(other, field.name), field.name
    assert one.adapter.factors.keys() == other.adapter.factors.keys()
    for name, pair in one.adapter.factors.items():
        assert all(map(np.array_equal, pair, other.adapter.factors[name])), name


def one_thread() -> Iterator[None]:
    """A fixture's body: computation as in processes of one thread, so that results are theirs bit for bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
