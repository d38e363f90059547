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
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from benchmarks.store import Record, Store
from xpert_cli import gguf, platform
from xpert_cli.corpus import Corpus, Message, Wanted, read
from xpert_cli.errors import BadInput
from xpert_cli.gguf.adapter import FINGERPRINT, Adapter
from xpert_cli.hub.sources import find_base
from xpert_cli.llama.model import Sample
from xpert_cli.llama.samples import tokenized
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.paths import digest
from xpert_cli.settings import default

if TYPE_CHECKING:
    from xpert_cli.training.checkpoints import Checkpoints
    from xpert_cli.training.decoder import Decoder
    from xpert_cli.training.loop import Recipe

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


def numbers(text: str) -> tuple[int, ...]:
    """An option such as 1,4,6,7."""
    return tuple(int(part) for part in text.split(","))


def paths(text: str) -> tuple[Path, ...]:
    """An option such as small.gguf,large.gguf."""
    return tuple(map(Path, text.split(",")))


@dataclass(frozen=True)
class Options:
    """The command line's options, --of-styles for `of_styles`; each benchmark's docstring says which it reads.

    Each is annotated with what reads its value, and its line in --help. Where 0 or an empty tuple is the default, the
    benchmark has a number of its own.
    """

    styles: Annotated[Path | None, Path, "folder of the style sets, {0-8}_{train,test}.jsonl"] = None
    people: Annotated[Path | None, Path, "folder of people's turns, PERSON/{train,tune,test}.jsonl, people.json"] = None
    texts: Annotated[Path | None, Path, "folder of packages with texts of many languages"] = None
    adapters: Annotated[Path, Path, "what the benchmark `adapters` wrote"] = Path("runs/benchmarks/adapters")
    out: Annotated[Path, Path, "where measurements are stored"] = Path("runs/benchmarks")
    levels: Annotated[tuple[int, ...], numbers, "similarities of adapters in per cent, such as 90,100"] = LEVELS
    rows: Annotated[tuple[int, ...], numbers, "training rows of an adapter, such as 50,240"] = ()
    of_styles: Annotated[tuple[int, ...], numbers, "styles to look at, such as 1,4"] = ()
    seeds: Annotated[tuple[int, ...], numbers, "seeds to look at, such as 0,1,2"] = (0,)
    users: Annotated[int, int, "how many users, a style or in all"] = 0
    cached: Annotated[int, int, "how many cached people"] = 0
    messages: Annotated[int, int, "a user's messages"] = 50
    models: Annotated[tuple[Path, ...], paths, "GGUF files beside the packaged base, with commas"] = ()
    turns: Annotated[int, int, "how often what takes turns is measured"] = 2
    limits: Annotated[tuple[int, ...], numbers, "MB that fine-tuning each of --models may take"] = ()
    threads: Annotated[int, int, "threads to compute with"] = field(default_factory=platform.cores)
    stored: Annotated[bool, bool, "measure nothing, and show what is stored"] = False
    report: Annotated[bool, bool, "put the tables into docs/benchmarks/NAME.md"] = False


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

    def adapter(
        self,
        path: Path,
        messages: Sequence[Message],
        held_out: Sequence[Message],
        recipe: Recipe,
        keep: Checkpoints | None = None,
    ) -> Record:
        """Train an adapter from the base, write it, and return what is known of it."""
        from xpert_cli.training.loop import train

        trained = train(self.decoder, self.samples(messages), self.samples(held_out), recipe, keep=keep)
        self.write_adapter(trained.adapter, path)
        say(f"{path.stem}: {trained.loss_before:.3f} -> {trained.loss_after:.3f} in {trained.seconds:.0f} s")
        return {
            "sha256": digest(path),
            "before": trained.loss_before,
            "after": trained.loss_after,
            "best_step": trained.best_step,
            "tokens": trained.tokens,
            "seconds": trained.seconds,
        }

    def write_adapter(self, adapter: Adapter, path: Path) -> None:
        """Write an adapter of the base, without what it tells of its training text."""
        gguf.write_adapter(replace(adapter, metadata={FINGERPRINT: self.fingerprint}), path, "F16")

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
