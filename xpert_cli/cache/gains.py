"""What adapters make more probable: their gains over the base on answers that they did not choose.

    scored = gains(base, adapters, answers)          # answers: {"": [...], "terse": [...]}, one to each probe

The reference texts answer a few probes, in the base's words and in those of several adapters; all adapters score them
all. Not here: what gains mean on the style axes (style/likelihood.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xpert_cli import paths
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model, Sample
from xpert_cli.models.quantize import for_many_texts
from xpert_cli.resume import PartialResults
from xpert_cli.style import described
from xpert_cli.style.space import Floats

PROBES = 12  # that are answered
AUTHORS = 9  # of the answers, the base among them: so that a large cache costs an adapter no more than a small one
SCORED = 64  # tokens of an answer
CONTEXT = 1024  # tokens


@dataclass(frozen=True, eq=False)
class Gains:
    """Nats a token by which adapters predict reference texts better than the base does.

    Attributes:
        values: (texts, adapters).
        texts: of each, the author's id ("" for the base) and the number of the probe.
    """

    values: Floats
    texts: tuple[tuple[str, int], ...]


def gains(
    base: BaseModel,
    adapters: Mapping[str, AdapterFile],
    answers: Mapping[str, Sequence[str]],
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> Gains:
    """Score answers of the base and of some adapters under every adapter.

    Args:
        adapters: by id.
        answers: to all probes, by the author's id; "" is the base. Those with nothing in them are left out.
    """
    probes = described.probes()
    chosen_rows = range(0, len(probes), max(1, len(probes) // PROBES))[:PROBES]
    digests = {name: adapter.digest for name, adapter in adapters.items()}
    authors = ["", *sorted(adapters, key=digests.__getitem__)[: AUTHORS - 1]]
    texts = tuple((author, probe) for author in authors for probe in chosen_rows if answers[author][probe].strip())
    with for_many_texts(base) as copy, Model(copy, context=CONTEXT, outputs=SCORED) as model:
        samples = [_sample(model, probes[probe], answers[author][probe]) for author, probe in texts]
        partial = PartialResults("gains", *paths.identity(base.path), list(digests.values()), samples)
        done, rows = partial.load() or (0, np.empty((0, len(texts))))
        losses = list(rows)
        for adapter in [None, *adapters.values()][done:]:
            progress("what adapters make more probable", len(losses) / (1 + len(adapters)))
            model.apply([WeightedAdapter(adapter)] if adapter else [])
            losses.append(np.array([nats / max(1, tokens) for nats, tokens in map(model.nats, samples)]))
            partial.keep(len(losses), np.array(losses))
    partial.drop()
    return Gains(np.array([losses[0] - one for one in losses[1:]]).T, texts)


def _sample(model: Model, prompt: str, answer: str) -> Sample:
    question = model.chat(prompt)
    return [*question, *model.tokenize(answer)[:SCORED]], len(question)
