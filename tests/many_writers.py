"""Writers made up for tests: two kinds of people, eight messages each, and the tiny base that adapters are trained of.

prepared = prepare(tmp_path)              # prepared.writers, prepared.base
contents(prepared.folder / "cache")       # {"catalogue.json": b"...", ...}
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from tiny_chat import write_chat_base

from xpert_cli import gguf, paths
from xpert_cli.style import described

QUIET = ("the", "river", "walks", "slowly", "past", "that", "mountain", "nobody", "really", "knows", "winter", "was")
LOUD = ("lol", "u", "r", "gr8", "omg", "yes", "no", "maybe", "haha", "so", "cool", "wow", "ok", "bye")
BASE, WRITERS = "base.gguf", "writers"


@dataclass(frozen=True)
class Prepared:
    """A folder with writers and a base."""

    folder: Path

    @property
    def writers(self) -> Path:
        return self.folder / WRITERS

    @property
    def base(self) -> Path:
        return self.folder / BASE

    def command(self, out: str, *options: str) -> list[str]:
        """`xpert cache train` of the writers into a folder, with steps so few that it takes seconds."""
        given = ["--base", str(self.base), "--steps", "3", "--least", "4", "--max-tokens", "64", "--rank", "2"]
        return ["cache", "train", str(self.writers), "-o", str(self.folder / out), *given, *options]


def messages(number: int) -> str:
    """What a writer wrote, as JSON lines; even ones are quiet, odd ones loud."""
    draw, words = random.Random(number), LOUD if number % 2 else QUIET
    said = (" ".join(draw.choice(words) for _ in range(draw.randrange(4, 8))) for _ in range(8))
    end = "!!!" if number % 2 else "."
    return "".join(json.dumps({"prompt": "How was it?", "response": f"{text}{end}"}) + "\n" for text in said)


def prepare(folder: Path, count: int = 9) -> Prepared:
    """Writers and a base in a folder."""
    prepared = Prepared(folder)
    prepared.writers.mkdir(parents=True)
    for number in range(count):
        (prepared.writers / f"w{number}.jsonl").write_text(messages(number), "utf-8")
    write_chat_base(prepared.base, context=256)
    return prepared


def answer(prepared: Prepared, work: str) -> None:
    """What the base answers to the probes, where a call keeps it: to ask a model takes longer than all the rest."""
    rows = [{"prompt": probe, "response": f"It is {len(probe)}."} for probe in described.probes()]
    rows[0]["base"] = gguf.base_info(prepared.base).fingerprint
    folder = paths.writable(prepared.folder / work)
    (folder / "base_answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
