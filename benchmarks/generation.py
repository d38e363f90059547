"""Generation tokens/s: `xpert run` against llama-cpp-python's own streaming, and answers at once against one by one.

    python -m benchmarks generation [--only run,answers]

Both sides of a ratio take turns, in one process. Answers are those that `xpert cache build` has of the probes. Nothing
is stored.
"""

from __future__ import annotations

import statistics
import time
from contextlib import nullcontext
from typing import Any

from benchmarks.report import table
from benchmarks.run import Run
from xpert_cli import platform
from xpert_cli.cache.answers import SEQUENCES, TEMPERATURE
from xpert_cli.llama.chat import Chat, Sampling
from xpert_cli.llama.model import Model
from xpert_cli.models.quantize import for_many_texts
from xpert_cli.style import described

ROUNDS, TOKENS = 6, 128
PROMPT = "Write a long story about a fox who travels through many countries."


def one_answer(run: Run) -> str:
    """One answer, streamed."""
    import llama_cpp

    threads = platform.cores()
    raw: Any = llama_cpp.Llama(str(run.base), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    turns = [("system", system), ("user", PROMPT)]
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns) + "<|im_start|>assistant\n"
    ours, theirs = [], []
    for _ in range(ROUNDS):
        with Chat(run.base, [], sampling=Sampling(max_tokens=TOKENS)) as chat:
            ours.append(chat.say(PROMPT).tokens_per_second)
        raw.reset()
        streamed = raw.create_completion(
            text, max_tokens=TOKENS, temperature=0.7, top_p=0.9, repeat_penalty=1.1, stream=True, seed=0
        )
        times = [time.perf_counter() for _ in streamed]
        theirs.append((len(times) - 1) / (times[-1] - times[0]))
    return _medians({"xpert": ours, "llama-cpp-python": theirs})


def answers(run: Run) -> str:
    """As many answers as are worked on at once, and the same one after the other, prompts included."""
    rates: dict[int, list[float]] = {SEQUENCES: [], 1: []}
    for _ in range(ROUNDS // 2):
        for sequences, speeds in rates.items():
            with (
                for_many_texts(run.base) if sequences > 1 else nullcontext(run.base) as path,
                Model(path, context=sequences * 2 * TOKENS, sequences=sequences) as model,
            ):
                prompts = [model.chat(probe) for probe in described.probes()[:SEQUENCES]]
                began = time.perf_counter()
                answers = model.answers(prompts, max_tokens=TOKENS, temperature=TEMPERATURE, seed=0)
                speeds.append(sum(map(len, answers)) / (time.perf_counter() - began))
    return _medians({f"{SEQUENCES} at once": rates[SEQUENCES], "one by one": rates[1]})


def _medians(rates: dict[str, list[float]]) -> str:
    medians = {name: statistics.median(some) for name, some in rates.items()}
    last = list(medians.values())[-1]
    rows = [(name, f"{median:.1f}", len(rates[name]), f"{median / last:.2f}") for name, median in medians.items()]
    return table(("by", "tokens/s, median", "rounds", "of the last"), rows)


PARTS = {"run": one_answer, "answers": answers}
