"""Generation tokens/s: `xpert run` against llama-cpp-python's own streaming, and answers at once against one by one.

python benchmarks/generation.py [--only run,answers]

Both sides of a ratio take turns, in one process. Answers are those that `xpert cache build` has of the probes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from xpert_cli import platform
from xpert_cli.cache.build import SEQUENCES, TEMPERATURE
from xpert_cli.hub.sources import find_base
from xpert_cli.llama.chat import Chat, Sampling
from xpert_cli.llama.model import Model
from xpert_cli.models.quantize import for_many_texts
from xpert_cli.paths import default
from xpert_cli.style import described

ROUNDS, TOKENS = 6, 128
PROMPT = "Write a long story about a fox who travels through many countries."


def run(base: Path) -> str:
    """One answer, streamed."""
    import llama_cpp

    threads = platform.cores()
    raw = llama_cpp.Llama(str(base), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    turns = [("system", system), ("user", PROMPT)]
    text = "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns) + "<|im_start|>assistant\n"
    ours, theirs = [], []
    for _ in range(ROUNDS):
        with Chat(base, [], sampling=Sampling(max_tokens=TOKENS)) as chat:
            ours.append(chat.say(PROMPT).tokens_per_second)
        raw.reset()
        streamed = raw.create_completion(
            text, max_tokens=TOKENS, temperature=0.7, top_p=0.9, repeat_penalty=1.1, stream=True, seed=0
        )
        times = [time.perf_counter() for _ in streamed]
        theirs.append((len(times) - 1) / (times[-1] - times[0]))
    mine, other = statistics.median(ours), statistics.median(theirs)
    return f"xpert {mine:.1f}, llama-cpp-python {other:.1f} tokens/s, ratio {mine / other:.2f} (medians of {ROUNDS})"


def answers(base: Path) -> str:
    """As many answers as are worked on at once, and the same one after the other, prompts included."""
    rates: dict[int, list[float]] = {SEQUENCES: [], 1: []}
    for _ in range(ROUNDS // 2):
        for sequences, found in rates.items():
            with (
                for_many_texts(base) if sequences > 1 else nullcontext(base) as path,
                Model(path, context=sequences * 2 * TOKENS, sequences=sequences) as model,
            ):
                asked = [model.chat(probe) for probe in described.probes()[:SEQUENCES]]
                began = time.perf_counter()
                said = model.answers(asked, max_tokens=TOKENS, temperature=TEMPERATURE, seed=0)
                found.append(sum(map(len, said)) / (time.perf_counter() - began))
    together, alone = (statistics.median(found) for found in rates.values())
    return (
        f"{SEQUENCES} answers at once {together:.1f}, one by one {alone:.1f} tokens/s, ratio {together / alone:.2f} "
        f"(medians of {ROUNDS // 2})"
    )


MEASURES: dict[str, Callable[[Path], str]] = {"run": run, "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(MEASURES), help="what to measure")
    base = find_base(default("base"))
    for name in parser.parse_args().only.split(","):
        print(MEASURES[name](base), flush=True)


if __name__ == "__main__":
    main()
