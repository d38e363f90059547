"""Tokens/s of `xpert serve` for one client and for four at once, against `xpert run` in a process of its own model.

    python -m benchmarks serve [--only clients]

The three take turns. A client's rate leaves the prompt out, as that of `xpert run` does: tokens after the first, by the
time from the first piece to the last. Four clients ask for answers of the same model at the same time, and their rate
is all their tokens by the time from the first piece of any to the last. Nothing is stored.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from benchmarks.report import table
from benchmarks.run import Run
from xpert_cli.llama.chat import Chat, Sampling

ROUNDS, TOKENS, CLIENTS = 6, 128, 4
PROMPT = "Write a long story about a fox who travels through many countries."


def clients(run: Run) -> str:
    """One answer by `xpert run`, one by the server, and four at once by the server."""
    alone: list[float] = []
    one: list[float] = []
    four: list[float] = []
    with _served(run) as address:
        for _ in range(ROUNDS):
            with Chat(run.base, [], sampling=Sampling(max_tokens=TOKENS)) as chat:
                alone.append(chat.say(PROMPT).tokens_per_second)
            one.append(_rate(address, 1))
            four.append(_rate(address, CLIENTS))
    medians = [statistics.median(some) for some in (alone, one, four)]
    names = ("xpert run", "xpert serve, one client", f"xpert serve, {CLIENTS} clients")
    rows = [
        (name, f"{median:.1f}", ROUNDS, f"{median / medians[0]:.2f}", f"{median / medians[1]:.2f}")
        for name, median in zip(names, medians, strict=True)
    ]
    return table(("by", "tokens/s, median", "rounds", "of `xpert run`", "of one client"), rows)


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


def _rate(address: str, count: int) -> float:
    """Tokens a second of as many clients at once, each after its first piece."""
    results: list[tuple[int, float, float]] = []
    threads = [threading.Thread(target=_ask, args=(address, number, results)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(results) < count:
        raise RuntimeError("a client got no answer")
    tokens = sum(total - 1 for total, _, _ in results)
    return tokens / (max(last for _, _, last in results) - min(first for _, first, _ in results))


def _ask(address: str, number: int, results: list[tuple[int, float, float]]) -> None:
    """One streamed answer: its tokens, and when its first and last piece came."""
    body: dict[str, Any] = {"model": "base", "messages": [{"role": "user", "content": PROMPT}], "seed": number}
    body |= {"max_tokens": TOKENS, "stream": True, "stream_options": {"include_usage": True}}
    connection = http.client.HTTPConnection(address, timeout=600)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    times: list[float] = []
    tokens = 0
    for line in connection.getresponse():
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if any(choice["delta"].get("content") for choice in event["choices"]):
            times.append(time.perf_counter())
        tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    connection.close()
    results.append((tokens, times[0], times[-1]))


PARTS = {"clients": clients}
