"""Generation tokens/s of `xpert run`'s code against llama-cpp-python's own streaming, turn and turn about.

python benchmarks/generation.py
"""

from __future__ import annotations

import statistics
import time

import llama_cpp

from xpert_cli import platform
from xpert_cli.doors.hub import find_base
from xpert_cli.paths import default
from xpert_cli.verbs.run import Chat, Sampling

ROUNDS, TOKENS = 6, 128
PROMPT = "Write a long story about a fox who travels through many countries."


def main() -> None:
    base, threads = find_base(default("base")), platform.cores()
    raw = llama_cpp.Llama(str(base), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    turns = [("system", system), ("user", PROMPT)]
    text = "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns) + "<|im_start|>assistant\n"
    ours, theirs = [], []
    for _ in range(ROUNDS):
        with Chat(base, [], sampling=Sampling(max_tokens=TOKENS)) as chat:
            ours.append(chat.say(PROMPT).tokens_per_second)
        raw.reset()
        options = {"max_tokens": TOKENS, "temperature": 0.7, "top_p": 0.9, "repeat_penalty": 1.1, "stream": True}
        times = [time.perf_counter() for _ in raw.create_completion(text, seed=0, **options)]
        theirs.append((len(times) - 1) / (times[-1] - times[0]))
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"xpert {mine:.1f}, llama-cpp-python {other:.1f} tokens/s, ratio {mine / other:.2f} (medians of {ROUNDS})")


if __name__ == "__main__":
    main()
