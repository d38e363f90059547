"""What a base model and adapters of it answer to the probes: kept answer by answer, so that nothing is asked twice.

    answers = answer_probes(base, {"terse": AdapterFile.open(path)}, out, 0, progress)    # {"": [...], "terse": [...]}

Not here: what the answers are for (cache/build.py), how a model answers many prompts at once (llama/model.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from xpert_cli import paths, resume
from xpert_cli.foreign.data import read_object
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.llama.model import Model
from xpert_cli.models.quantize import for_many_texts
from xpert_cli.style import described

Progress = Callable[[str, float], None]
ANSWER_TOKENS = 256
TEMPERATURE = 0.7
SEQUENCES = 16
CONTEXT = SEQUENCES * (ANSWER_TOKENS + 128)
FILE = "answers.part.json"  # in the cache's folder, until it is built
EVERY = 2.0  # seconds between two times that it is written


def answer_probes(
    base: BaseModel,
    files: Mapping[str, AdapterFile],
    out: Path,
    seed: int,
    progress: Progress,
    *,
    plain: bool = True,
    lean: bool | None = None,
) -> dict[str, list[str]]:
    """Answers of the base ("" in the result, unless `plain` is False) and of every adapter to the probes, sampled with
    fixed seeds. Each answer that is whole is kept in a file in `out`, so that an interrupted call goes on.

    Args:
        lean: make no copies of the weights, whether they are faster or not; by default, where memory is short.
    """
    probes = described.probes()
    setting = {"probes": probes, "seed": seed, "base": base.fingerprint, "tokens": ANSWER_TOKENS}
    pending = _Pending(out / FILE, setting)
    wanted = {**({"": None} if plain else {}), **files}
    keys = {name: adapter.digest if adapter else "base" for name, adapter in wanted.items()}
    if missing := [name for name, key in keys.items() if len(pending.of(key)) < len(probes)]:
        faster = nullcontext(base) if lean else for_many_texts(base)
        with pending, faster as copy, Model(copy, context=CONTEXT, sequences=SEQUENCES, lean=lean) as model:
            questions = [model.chat(probe) for probe in probes]
            for done, name in enumerate(missing, len(wanted) - len(missing)):
                adapter, answers = wanted[name], pending.of(keys[name])
                model.apply([WeightedAdapter(adapter)] if adapter else [])

                def tell(part: float, done: int = done, name: str = name) -> None:
                    progress(f"answers of {name or 'the base model'}", (done + part) / len(wanted))

                def add(index: int, tokens: Sequence[int], answers: dict[str, str] = answers) -> None:
                    answers[str(index)] = model.detokenize(tokens)
                    pending.write()

                model.answers(
                    questions,
                    max_tokens=ANSWER_TOKENS,
                    temperature=TEMPERATURE,
                    seed=seed,
                    known={int(index): () for index in answers},
                    finished=add,
                    progress=tell,
                )
    return {name: [pending.of(key)[str(index)] for index in range(len(probes))] for name, key in keys.items()}


def drop(out: Path) -> None:
    """Delete the file that an unfinished build goes on from: the cache is built."""
    (out / FILE).unlink(missing_ok=True)
    resume.forget(out / FILE)


class _Pending:
    """The answers that an unfinished build has so far, by the digest of the adapter and the place of the probe.

    Those of another setting are left out. Used as a context, it writes what is not written yet however the block ends.
    """

    def __init__(self, path: Path, setting: Mapping[str, Any]) -> None:
        self.path, self._setting, self._latest = path, json.loads(json.dumps(setting)), time.monotonic()
        self._answers: dict[str, dict[str, str]] = {}
        self._unwritten = False
        try:
            stored = read_object(path.read_bytes())
            if stored["setting"] == self._setting:
                self._answers = {key: _by_place(answers) for key, answers in stored["answers"].items()}
                resume.remember(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass

    def of(self, key: str) -> dict[str, str]:
        """The answers of one adapter by the places of their probes, to be added to."""
        return self._answers.setdefault(key, {})

    def write(self, *, now: bool = False) -> None:
        """Put new answers on the disk, unless that was done just now."""
        self._unwritten = True
        if now or time.monotonic() - self._latest >= EVERY:
            with paths.whole(self.path) as part:
                part.write_text(json.dumps({"setting": self._setting, "answers": self._answers}), "utf-8")
            self._latest, self._unwritten = time.monotonic(), False
            resume.remember(self.path)

    def __enter__(self) -> _Pending:
        return self

    def __exit__(self, *_: object) -> None:
        if self._unwritten:
            self.write(now=True)


def _by_place(answers: Any) -> dict[str, str]:
    """Answers by their places; earlier versions wrote a list of all of them.

    Raises:
        TypeError: they are not texts.
    """
    pairs = answers if isinstance(answers, dict) else dict(enumerate(answers))
    by_place = {str(place): answer for place, answer in pairs.items()}
    if not all(isinstance(answer, str) for answer in by_place.values()):
        raise TypeError("answers are texts")
    return by_place
