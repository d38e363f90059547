"""words.npz: the named directions of a cache (paper/basis.py) and where its adapters lie, beside its coordinates.

    words = read(cache.source)
    words.coordinates            # (adapters, words), in the order of words.ids

The file is an addition: a cache without it is whole. Not here: how it is made (paper/name_adapters.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xpert_cli import paths
from xpert_cli.cache.catalogue import WORDS
from xpert_cli.errors import BadModel, CacheMismatch
from xpert_cli.foreign.data import read_arrays
from xpert_cli.hub.files import Source
from xpert_cli.paper.basis import Basis
from xpert_cli.style.space import Floats

FILE = WORDS
MOST_BYTES = 256 << 20  # of all arrays, expanded
_TEXTS, _NUMBERS = ("words", "seen", "ids", "sha256", "made_by"), ("units", "states", "centre")


@dataclass(frozen=True, eq=False)
class Words:
    """A basis of words, and the adapters it was grown over.

    Attributes:
        summarizer, question: fingerprint of the model that was asked, and digest of what it was asked.
        seen: all words looked at, kept or not; a word that was not kept never will be.
        ids, sha256: of the adapters that are placed.
        states: (adapters, hidden) their V, from which coordinates on later words follow.
        centre: (hidden,) what is taken from the states of words.
    """

    summarizer: str
    question: str
    basis: Basis
    seen: tuple[str, ...]
    ids: tuple[str, ...]
    sha256: tuple[str, ...]
    states: Floats
    centre: Floats

    @property
    def coordinates(self) -> Floats:
        """(adapters, words) by the paper's formula."""
        return self.basis.coordinates(self.states)

    def require(self, summarizer: str, question: str, name: str) -> None:
        """Refuse another summarizer, or another question.

        Raises:
            CacheMismatch: what a model reads here is not what these words were read from.
        """
        if (summarizer, question) != (self.summarizer, self.question):
            what = "another summarizer" if summarizer != self.summarizer else "another version of the question"
            raise CacheMismatch(
                f"{name}: {FILE} was made with {what}. Name that one with --summarizer, or delete the file and make it "
                "again with: xpert cache words"
            )


def write(folder: Path, words: Words) -> None:
    """Write words.npz, whole or not at all."""
    texts = {
        "words": words.basis.words,
        "seen": words.seen,
        "ids": words.ids,
        "sha256": words.sha256,
        "made_by": (words.summarizer, words.question),
    }
    numbers = {"units": words.basis.units, "states": words.states, "centre": words.centre}
    with paths.whole(folder / FILE) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            **{name: np.array(values, np.str_) for name, values in texts.items()},
            **{name: array.astype(np.float16) for name, array in numbers.items()},
        )


def read(source: Source) -> Words:
    """The words of a cache.

    Raises:
        CacheMismatch: the cache has none, or the file is damaged.
    """
    try:
        path = source.file(FILE)
    except CacheMismatch as error:
        raise CacheMismatch(f"{source.name} has no {FILE}. Whoever made it can add one: xpert cache words") from error
    try:
        arrays = read_arrays(path, most_bytes=MOST_BYTES)
        texts = {name: tuple(map(str, arrays[name])) for name in _TEXTS}
        numbers = {name: arrays[name].astype(np.float64) for name in _NUMBERS}
        _check(texts, numbers)
        summarizer, question = texts["made_by"]
        return Words(
            summarizer,
            question,
            Basis(texts["words"], numbers["units"]),
            texts["seen"],
            texts["ids"],
            texts["sha256"],
            numbers["states"],
            numbers["centre"],
        )
    except (OSError, ValueError, KeyError, TypeError, BadModel) as error:
        raise CacheMismatch(f"{source.name}: {FILE} is damaged ({error}). Get the cache anew.") from error


def _check(texts: dict[str, tuple[str, ...]], numbers: dict[str, Floats]) -> None:
    adapters, words = len(texts["ids"]), len(texts["words"])
    hidden = numbers["centre"].shape[0] if numbers["centre"].ndim == 1 else -1
    shapes = {"units": (words, hidden), "states": (adapters, hidden), "centre": (hidden,)}
    wrong = [
        name for name, shape in shapes.items() if numbers[name].shape != shape or not np.isfinite(numbers[name]).all()
    ]
    if wrong or len(texts["sha256"]) != adapters:
        raise ValueError(f"{', '.join(wrong) or 'its lists'} do not fit")
