"""Thousands of odd vocabularies: read, tried, and used as commands use them, each time in a process that may die.

    nice python tests/fuzz_vocabularies.py --inputs 10000 --seed 0 > findings.json
    python tests/fuzz_vocabularies.py --only 17                  # one of them again, with what became of it

Each file is read by xpert's reader. What it accepts stands the trial of xpert_cli/llama/trial_load.py in a forked
process under the trial's own limits. What passes is used in another one, on texts that the trial does not have: read,
chatted with, scored, read by layers. That one may end in order or with an error of xpert's: any other end is a finding,
for there it would have been the main process. Not here: the files (gguf_vocabularies.py).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gguf_vocabularies

from xpert_cli import gguf
from xpert_cli.corpus import Corpus, Message
from xpert_cli.errors import XpertError
from xpert_cli.gguf.vocabulary import check_vocabulary
from xpert_cli.llama import template, trial_load
from xpert_cli.llama.layers import layered_states
from xpert_cli.llama.model import Model, library
from xpert_cli.llama.samples import tokenized

SECONDS = 60  # of processor time that the trial and the use of one file may take
MEMORY = 3 << 30  # bytes of the same
ENDED, REFUSED, STRANGE = 0, 41, 42  # how a process that uses a base ends in order


def texts(dice: random.Random) -> list[str]:
    """What people might write, most of it not what a vocabulary was made for."""
    pools = (range(32, 127), range(0xA0, 0x250), range(0x400, 0x460), range(0x4E00, 0x4F00), range(0x1F300, 0x1F700))
    found = ["".join(chr(dice.choice(dice.choice(pools))) for _ in range(dice.randint(1, 60))) for _ in range(6)]
    found.append("".join(chr(dice.choice([*range(0xD800), *range(0xE000, 0x110000, 997)])) for _ in range(40)))
    found += [dice.choice("ab \n!") * dice.choice((1, 100, 3000)), "Straße, ".upper() * 9, "12345678901234567890" * 5]
    return found


def used(path: Path, dice: random.Random) -> int:
    """Use a base as `run`, `select`, `eval` and `finetune` do; how the process is to end."""
    try:
        base = gguf.BaseModel.open(path)
        with Model(base, context=1024, outputs=16, threads=1) as model:
            if not model.reads_text:
                model.logits([0])
                return ENDED
            said = texts(dice)
            trial_load.use(model, said)
            for piece in said:
                model.detokenize(model.tokenize(piece, special=dice.random() < 0.5))
            prompts = [model.chat(piece)[-200:] for piece in said[:3]]
            model.answers(prompts[:1], max_tokens=12, temperature=0.7, seed=dice.randrange(99))
            model.nats((prompts[0], 1))
            corpus = Corpus(tuple(Message("Why?", piece, "") for piece in said))
            tokenized(model, corpus, 512)
        layered_states(path, prompts, memory=1 << 28)
    except XpertError as error:
        return REFUSED if "\n" not in str(error) else STRANGE
    except Exception as error:  # no abort, but no refusal in one line either
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        return STRANGE
    return ENDED


def apart(work: Callable[[], int], log: Path) -> tuple[int, float]:
    """The exit status (negative: the signal) of a forked process that does this, and its seconds."""
    began = time.monotonic()
    if not (process := os.fork()):
        try:
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            trial_load._limit(MEMORY, SECONDS)
            signal.alarm(10 * SECONDS)
            os._exit(work())
        finally:
            os._exit(STRANGE)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), time.monotonic() - began


def one(index: int, seed: int, folder: Path) -> tuple[str, str]:
    """What became of one file: a word, and a line for findings."""
    path = folder / "base.gguf"
    path.write_bytes(gguf_vocabularies.base_file(random.Random(f"{seed} {index}")))
    try:
        check_vocabulary(gguf.read_header(path))
    except XpertError as error:
        return ("refused", "") if "\n" not in str(error) else ("strange", f"{index}: {error}")
    except Exception as error:  # whatever it is, it is a finding
        return "strange", f"{index}: reading: {type(error).__name__}: {error}"
    status, seconds = apart(lambda: trial_load._attempt(path, None), folder / "log")
    if status:
        return ("refused on trial" if status > 0 else "died on trial"), ""
    status, seconds = apart(lambda: used(path, random.Random(index)), folder / "log")
    if status in (ENDED, REFUSED):
        return ("used" if status == ENDED else "refused in use"), ""
    last = " ".join((folder / "log").read_text("utf-8", "replace").split())[-300:]
    return "died in use" if status != STRANGE else "strange", f"{index}: {status} after {seconds:.1f} s: {last}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    library()  # once, before all processes
    os.environ["GGML_NO_BACKTRACE"] = "1"
    import hashlib

    template.TRUSTED.add(hashlib.sha256(gguf_vocabularies.TEMPLATE.encode()).hexdigest())  # so that most need no child
    counts: Counter[str] = Counter()
    findings: list[str] = []
    began = time.monotonic()
    chosen = [options.only] if options.only is not None else range(options.first, options.first + options.inputs)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        for index in chosen:
            word, finding = one(index, options.seed, Path(name))
            counts[word] += 1
            if finding:
                findings.append(f"{word}: {finding}")
                print(findings[-1], file=sys.stderr, flush=True)
            if index % 200 == 199:
                print(index + 1, dict(counts), f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    found = {"inputs": len(chosen), "seed": options.seed, **counts, "findings": findings}
    print(json.dumps({**found, "seconds": round(time.monotonic() - began)}))


if __name__ == "__main__":
    main()
