"""What benchmarks that train share: rows of the style sets as token samples, one decoder, measurements kept in files.

    bench = Bench(styles, threads=2)
    bench.samples(bench.rows("4_train")[500:550])         # [(tokens, index of the first scored one), ...]
    stored(out / "4-90.json", {"rate": 1e-3}, measure)    # measured once; again where what it was made of changed

Not here: what is measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert_cli import gguf, platform
from xpert_cli.corpus import Corpus, Message, read
from xpert_cli.hub.sources import find_base
from xpert_cli.llama.model import Sample
from xpert_cli.llama.samples import tokenized
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.paths import default, whole

if TYPE_CHECKING:
    from xpert_cli.training.decoder import Decoder

TOKENS = 256  # samples are cut at
TUNING = 750  # first of the training rows kept for learning rates, early stop and the like


@dataclass(frozen=True, eq=False)
class Bench:
    """The default base model, the style sets, and a decoder that is loaded when it is first used.

    Attributes:
        styles: folder of `{0-8}_{train,test}.jsonl`; row i of every set answers one prompt.
        threads: of all matrix products.
    """

    styles: Path
    threads: int

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

        return open_decoder(self.base, "bfloat16", threads=self.threads)

    def rows(self, name: str) -> tuple[Message, ...]:
        """All messages of a set, such as `4_train`, by row."""
        return _rows(self.styles / f"{name}.jsonl")

    def samples(self, messages: Sequence[Message]) -> list[Sample]:
        """Token samples of at most TOKENS; messages whose prompt alone is longer are left out."""
        with Vocabulary(self.base) as vocabulary:
            return list(tokenized(vocabulary, Corpus(tuple(messages)), TOKENS))


@lru_cache(maxsize=32)
def _rows(path: Path) -> tuple[Message, ...]:
    return read([str(path)]).messages


def kept(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was measured earlier, if it was made of the same things; else None."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(found, dict) and found.get("identity") == json.loads(json.dumps(identity))
    return dict(found["measured"]) if same else None


def stored(path: Path, identity: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `measure` tells, from the file if it is there."""
    if (found := kept(path, identity)) is not None:
        return found
    measured = measure()
    with whole(path) as part:
        part.write_text(json.dumps({"identity": identity, "measured": measured}, indent=1) + "\n", "utf-8")
    return measured


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def numbers(text: str) -> tuple[int, ...]:
    """An option such as 1,4,6,7."""
    return tuple(int(part) for part in text.split(","))


def interval(right: float, total: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (E. B. Wilson, 1927)."""
    z, p = 1.96, right / total
    centre, half = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total**2))
    return (centre - half) / (1 + z * z / total), (centre + half) / (1 + z * z / total)


def write_report(text: str, path: Path | None) -> None:
    """Write a page, where one is asked for."""
    if path:
        with whole(path) as part:
            part.write_text(text, "utf-8")
