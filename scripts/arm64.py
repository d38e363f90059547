"""The same xpert commands on this machine and on emulated ARM processors, and how far their answers differ.

    python scripts/arm64.py runs/arm64 qemu-aarch64-static cortex-a53 cortex-a76    # a table; 1 if they differ by more
    python scripts/arm64.py watch run "Say hello." --temperature 0 --json           # the command, then its tokens

scripts/arm64.sh prepares the folder that is named first. Held to, with three messages of forty words: `select` chooses
the same adapters; the greedy tokens of `run` are the same until one was likeliest by less than NARROW, which is where
last bits may decide; no coordinate of `summarize` differs by more than CLOSE. Not here: fine-tuning, trials of
strangers' files, and how fast a phone is.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLOSE = 1e-2  # of a coordinate, in pooled standard deviations, and of a weight
NARROW = 0.1  # between the two largest logits; with 4-bit weights another processor has turned round 0.064
TOKENS = 16
PROMPT = "Why do leaves fall in autumn?"
END = -1  # in place of a token: the answer is complete
MESSAGES = (
    "Guess what I found under the big flat stone in our garden today! Seven tiny snails, all asleep in a row. I "
    "gave each one a name. The smallest is called Button, and Button has a wonderful striped house, look!",
    "Wow, did you hear the big storm last night? Boom, boom, all around our little house! My poor cat hid in the "
    "laundry basket until breakfast. We counted slowly between flash and bang, so we knew it was far away.",
    "Today we baked bread, hooray! The dough was sleepy at first, and then it puffed up like a happy cloud. My part "
    "was the poking. You poke it once, and if it jumps back, it is ready. So yummy, too!",
)


Coordinates = Mapping[str, float | None]


@dataclass(frozen=True)
class Machine:
    """How Python is started on a processor, and where it finds xpert and what xpert needs."""

    name: str
    python: tuple[str, ...]
    path: tuple[Path, ...]


@dataclass(frozen=True)
class Step:
    """A token that was taken, and by how much its logit is larger than the next one's."""

    token: int
    gap: float


@dataclass(frozen=True)
class Answers:
    """What one machine answers.

    Attributes:
        selected: weights of adapters.
        coordinates: by axis.
        tokens: greedy ones, without and with what was selected.
    """

    selected: Mapping[str, float]
    coordinates: Coordinates
    tokens: tuple[tuple[Step, ...], ...]
    seconds: float


@dataclass(frozen=True)
class Difference:
    """Two machines' answers compared.

    Attributes:
        selection: whether the same adapters are chosen, at weights that are CLOSE.
        apart: the largest difference of a coordinate; infinite where one machine lacks what the other tells.
        equal: for each answer, how many tokens agree from its beginning.
        due: for each answer, how many have to.
        gap: the smallest gap of all tokens that have to agree.
    """

    selection: bool
    apart: float
    equal: tuple[int, ...]
    due: tuple[int, ...]
    gap: float

    @property
    def faults(self) -> list[str]:
        """What is not as it has to be, in words; nothing where all is."""
        faults = [] if self.selection else ["another selection"]
        if self.apart > CLOSE:
            faults.append(f"a coordinate that differs by {self.apart:.3f}")
        pairs = zip(self.equal, self.due, strict=True)
        return faults + [f"another token after {same} of {due} that are clear" for same, due in pairs if same < due]


def compare(own: Answers, emulated: Answers) -> Difference:
    """The answers of an emulated processor against those of this machine, whose gaps tell which tokens are clear."""
    clear = [len(list(takewhile(lambda step: step.gap >= NARROW, steps))) for steps in own.tokens]
    gaps = [step.gap for steps, due in zip(own.tokens, clear, strict=True) for step in steps[:due]]
    return Difference(
        selection=apart(own.selected, emulated.selected) <= CLOSE,
        apart=apart(own.coordinates, emulated.coordinates),
        equal=tuple(_agreeing(a, b) for a, b in zip(own.tokens, emulated.tokens, strict=True)),
        due=tuple(clear),
        gap=min(gaps, default=0.0),
    )


def apart(a: Coordinates, b: Coordinates) -> float:
    """The largest difference of numbers that two machines give the same names."""
    if a.keys() != b.keys():
        return math.inf
    differences = [0.0]
    for name, x in a.items():
        y = b[name]
        if x is not None and y is not None:
            differences.append(abs(x - y))
        elif x is not y:
            differences.append(math.inf)
    return math.inf if any(map(math.isnan, differences)) else max(differences)


def _agreeing(a: Sequence[Step], b: Sequence[Step]) -> int:
    return len(list(takewhile(lambda pair: pair[0].token == pair[1].token, zip(a, b, strict=False))))


def answers(machine: Machine, work: Path) -> Answers:
    """What the commands print on a machine.

    Raises:
        SystemExit: a command failed.
    """
    began, file = time.monotonic(), work / "messages.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in MESSAGES), "utf-8")
    (summary,) = _printed(machine, work, "-m", "xpert_cli", "summarize", str(file))
    (selection,) = _printed(machine, work, "-m", "xpert_cli", "select", str(file))
    selected = {one["adapter"]: one["weight"] for one in selection["selected"]}
    tokens = []
    for adapters in ({}, selected):
        named = [word for name, weight in adapters.items() for word in ("--adapter", f"{name}={weight}")]
        greedy = ("--temperature", "0", "--max-tokens", str(TOKENS))
        _, steps = _printed(machine, work, str(Path(__file__).resolve()), "watch", "run", PROMPT, *named, *greedy)
        tokens.append(tuple(Step(token, gap) for token, gap in steps))
    coordinates = {axis["name"]: axis["value"] for axis in summary["axes"]}
    return Answers(selected, coordinates, tuple(tokens), time.monotonic() - began)


def _printed(machine: Machine, work: Path, *arguments: str) -> list[Any]:
    """The lines of JSON that a command prints on a machine; its home below `work` is the same for all."""
    home = work / "home"
    settings = {"XPERT_HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "HF_HUB_OFFLINE": "1"}
    path = os.pathsep.join(map(str, machine.path))
    done = subprocess.run(
        [*machine.python, *arguments, "--json", "--quiet"],
        env={**os.environ, **settings, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        end = "an illegal instruction" if done.returncode == -4 else f"status {done.returncode}"
        last_line = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise SystemExit(
            f"error: under {machine.name}, {' '.join(arguments[:3])} ended with {end}; it said: {last_line}"
        )
    return list(map(json.loads, done.stdout.splitlines()))


def watched(arguments: Sequence[str]) -> list[tuple[int, float]]:
    """An xpert command in this process; (token, gap) of every step of the answer that it generates."""
    import numpy as np

    from xpert_cli.cli import app
    from xpert_cli.llama.model import Model

    steps: list[tuple[int, float]] = []
    generate = Model.generate_tokens

    def gap(model: Model) -> float:
        second, first = np.partition(model._logits(-1), -2)[-2:]
        return float(first - second)

    def noted(model: Model, tokens: Sequence[int], *, max_tokens: int, **options: Any) -> Iterator[int]:
        # Until the generator is asked for the next token, the logits are those that this one was taken from.
        for token in generate(model, tokens, max_tokens=max_tokens, **options):
            steps.append((token, gap(model)))
            yield token
        if len(steps) < max_tokens:
            steps.append((END, gap(model)))

    Model.generate_tokens = noted  # type: ignore[assignment, method-assign]
    sys.argv = ["xpert", *arguments]
    try:
        app.main()
    except SystemExit as end:
        if end.code:
            raise
    return steps


HEAD = """\
| processor | same selection | coordinates apart | tokens equal | with adapter | gap | seconds |
|---|---|---|---|---|---|---|"""


def row(name: str, answers: Answers, difference: Difference) -> str:
    """A processor and how its answers differ, as a line of Markdown below HEAD."""
    equal = [f"{same} of {len(steps)}" for same, steps in zip(difference.equal, answers.tokens, strict=True)]
    selection = "yes" if difference.selection else "no"
    cells = (name, selection, f"{difference.apart:.4f}", *equal, f"{difference.gap:.2f}", f"{answers.seconds:.0f}")
    return f"| {' | '.join(cells)} |"


def main(work: Path, qemu: str, processors: Sequence[str]) -> int:
    """Compare, and print a table; 0 where all is as it has to be."""
    debian, this = work / "debian", Machine("this machine", (sys.executable,), (ROOT,))
    print("running xpert on this machine ...", file=sys.stderr)
    here = answers(this, work)
    print(f"selected: {', '.join(here.selected) or 'none'}; {here.seconds:.0f} s", file=sys.stderr)
    lines, faults = [HEAD], []
    for name in processors:
        print(f"running xpert on an emulated {name}, some minutes ...", file=sys.stderr)
        python = (qemu, "-L", str(debian), "-cpu", name, str(debian / "usr" / "bin" / "python3"))
        emulated = answers(Machine(name, python, (ROOT, work / "site", work / "llama")), work)
        difference = compare(here, emulated)
        lines.append(row(name, emulated, difference))
        faults += [f"error: {name}: {fault}" for fault in difference.faults]
        print("\n".join(difference.faults) or "the same answers", file=sys.stderr)
    print("\n".join(lines))
    print("\n".join(faults) or "all as it has to be", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["watch"]:
        print(json.dumps(watched(sys.argv[2:])))
    else:
        sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
