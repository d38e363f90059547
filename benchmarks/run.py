"""What all benchmarks share: the options of a run, its store, the texts, and one decoder of the base model.

    run = Run("warmstart", Options(styles=Path("styles")))
    run.samples(run.rows("4_train")[500:550])         # [(tokens, index of the first scored one), ...]

Not here: what is measured, and the command line (__main__.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.store import Record, Store
from xpert_cli import gguf, platform
from xpert_cli.corpus import Corpus, Message, Wanted, read
from xpert_cli.errors import BadInput
from xpert_cli.hub.sources import find_base
from xpert_cli.llama.model import Sample
from xpert_cli.llama.samples import tokenized
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.paths import default

if TYPE_CHECKING:
    from xpert_cli.training.decoder import Decoder

TOKENS = 256  # samples are cut at
TUNING = 750  # first of the style sets' training rows that are kept for learning rates, early stop and the like
STYLES = {
    1: "elementary-concise-playful",
    2: "elementary-concise-plain",
    3: "elementary-informative-playful",
    4: "elementary-informative-plain",
    5: "expert-concise-playful",
    6: "expert-concise-plain",
    7: "expert-informative-playful",
    8: "expert-informative-plain",
}
LEVELS = (30, 50, 70, 80, 90)  # similarities of the adapters: per cent of their training rows that are of their style


@dataclass(frozen=True)
class Options:
    """The command line's options; each benchmark's docstring says which it reads.

    Attributes:
        styles: folder of `{0-8}_{train,test}.jsonl`; row i of every set answers one prompt.
        people: folder of `PERSON/{train,tune,test}.jsonl` and people.json.
        adapters: folder that the benchmark `adapters` writes and others read.
        out: folder of all stores.
        levels, rows, of_styles, seeds: what is looked at, of the similarities, rows of an adapter, styles, and seeds.
        users, cached: how many users, a style or in all, and cached people. 0, as an empty tuple of the options above,
            is for the benchmark's own number.
        messages: of a user.
        models: GGUF files beside the packaged base.
        turns: how often what takes turns is measured.
        limits: megabytes that fine-tuning each of `models` may take.
        stored: measure nothing, and show what is there.
        report: what is measured goes into docs/benchmarks.
    """

    styles: Path | None = None
    people: Path | None = None
    adapters: Path = Path("runs/benchmarks/adapters")
    out: Path = Path("runs/benchmarks")
    threads: int = field(default_factory=platform.cores)
    levels: tuple[int, ...] = LEVELS
    rows: tuple[int, ...] = ()
    of_styles: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    users: int = 0
    cached: int = 0
    messages: int = 50
    models: tuple[Path, ...] = ()
    turns: int = 2
    limits: tuple[int, ...] = ()
    stored: bool = False
    report: bool = False


@dataclass(frozen=True, eq=False)
class Run:
    """One benchmark's run: its name, the options, and what is opened when it is first used.

    `arguments` are the command line's, without the names, for measurements that need a process of their own.
    """

    name: str
    options: Options
    arguments: tuple[str, ...] = ()

    @cached_property
    def store(self) -> Store:
        return Store(self.options.out / self.name, self.options.stored)

    @cached_property
    def base(self) -> Path:
        return find_base(default("base"))

    @cached_property
    def fingerprint(self) -> str:
        return gguf.base_info(self.base).fingerprint

    @cached_property
    def decoder(self) -> Decoder:
        """In bf16 whatever this machine multiplies fastest, so that runs can be repeated elsewhere."""
        platform.prepare_libraries()
        from xpert_cli.training.decoder import open_decoder

        return open_decoder(self.base, "bfloat16", threads=self.options.threads)

    def rows(self, name: str) -> tuple[Message, ...]:
        """All messages of a style set, such as `4_train`, by row."""
        if self.options.styles is None:
            raise BadInput("this benchmark reads the style sets. Name their folder with --styles.")
        return _rows(self.options.styles / f"{name}.jsonl")

    def samples(self, messages: Sequence[Message]) -> list[Sample]:
        """One token sample a message, cut at TOKENS: what a long text has further on is left out, and not split."""
        with Vocabulary(self.base) as vocabulary:
            return [tokenized(vocabulary, Corpus((message,)), TOKENS)[0] for message in messages]

    def alone(self, measure: str) -> Record:
        """What `NAME.ALONE[measure]` returns, run in a process of its own, so that its peak memory is its own."""
        print(f"{self.name}: {measure}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks", self.name, "--alone", measure, *self.arguments]
        environment = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(self.options.threads)}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        return dict(json.loads(done.stdout.splitlines()[-1]))


@lru_cache(maxsize=32)
def _rows(path: Path) -> tuple[Message, ...]:
    return read([str(path)], wanted=Wanted(copies=True)).messages


def say(message: str, fraction: float | None = None) -> None:
    """A line of progress."""
    print(message if fraction is None else f"{message} {fraction:.0%}", file=sys.stderr, flush=True)
