"""Generation tokens/s: `xpert run` against llama-cpp-python's own streaming, many answers at once, and `xpert serve`.

    python -m benchmarks generation [--only run,answers,clients]

The sides of a ratio take turns. `answers` are those that `xpert cache build` has of the probes. For `clients` the
prompt is left out, as in the rate of `xpert run`: tokens after the first, by the time from the first piece of any
client to the last. Nothing is stored.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from benchmarks.report import table
from benchmarks.run import Run
from xpert_cli import platform
from xpert_cli.cache.answers import SEQUENCES, TEMPERATURE
from xpert_cli.llama.chat import Chat, Sampling
from xpert_cli.llama.model import Model
from xpert_cli.models.quantize import for_many_texts
from xpert_cli.style import described

ROUNDS, TOKENS, CLIENTS = 6, 128, 4
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
        ours.append(_by_run(run))
        raw.reset()
        streamed = raw.create_completion(
            text, max_tokens=TOKENS, temperature=0.7, top_p=0.9, repeat_penalty=1.1, stream=True, seed=0
        )
        times = [time.perf_counter() for _ in streamed]
        theirs.append((len(times) - 1) / (times[-1] - times[0]))
    return _medians({"xpert": ours, "llama-cpp-python": theirs})


def _by_run(run: Run) -> float:
    with Chat(run.base, [], sampling=Sampling(max_tokens=TOKENS)) as chat:
        return chat.say(PROMPT).tokens_per_second


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


def clients(run: Run) -> str:
    """Four clients of the server at once, one client, and `xpert run` with a model of its own."""
    rates: dict[str, list[float]] = {
        f"xpert serve, {CLIENTS} clients": [],
        "xpert serve, one client": [],
        "xpert run": [],
    }
    four, one, library = rates.values()
    with _served(run) as address:
        for _ in range(2 * ROUNDS):
            library.append(_by_run(run))
            one.append(_by_clients(address, 1))
            four.append(_by_clients(address, CLIENTS))
    return _medians(rates)


@contextmanager
def _served(run: Run) -> Iterator[str]:
    command = [sys.executable, "-m", "xpert_cli", "serve", "--base", str(run.base), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield urlsplit(json.loads(process.stdout.readline())["url"]).netloc
    finally:
        process.terminate()
        process.wait()


def _by_clients(address: str, count: int) -> float:
    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(partial(_ask, address), range(count)))
    tokens = sum(total - 1 for total, _, _ in results)
    return tokens / (max(last for _, _, last in results) - min(first for _, first, _ in results))


def _ask(address: str, number: int) -> tuple[int, float, float]:
    """One streamed answer: its tokens, and when its first and last piece came."""
    body: dict[str, Any] = {"model": "base", "messages": [{"role": "user", "content": PROMPT}], "seed": number}
    body |= {"max_tokens": TOKENS, "stream": True, "stream_options": {"include_usage": True}}
    connection = http.client.HTTPConnection(address, timeout=600)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    times: list[float] = []
    tokens = 0
    for line in connection.getresponse():
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            if any(choice["delta"].get("content") for choice in event["choices"]):
                times.append(time.perf_counter())
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    connection.close()
    return tokens, times[0], times[-1]


def _medians(rates: dict[str, list[float]]) -> str:
    medians = {name: statistics.median(some) for name, some in rates.items()}
    last = list(medians.values())[-1]
    rows = [(name, f"{median:.1f}", len(rates[name]), f"{median / last:.2f}") for name, median in medians.items()]
    return table(("by", "tokens/s, median", "rounds", "of the last"), rows)


PARTS = {"run": one_answer, "answers": answers, "clients": clients}
