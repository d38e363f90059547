"""The tiny GGUF model of tiny_gguf.py with a vocabulary of bytes and a chat template, so that it reads and writes text.

base = write_chat_base(tmp_path / "base.gguf")
url = stack.enter_context(served(base))          # `xpert serve` in a process of its own
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from command import ROOT
from tiny_gguf import HIDDEN, metadata, tensors

from xpert_cli import gguf

BOS, EOS, TURN, FIRST_BYTE = 1, 2, 3, 4
TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def write_chat_base(path: Path, seed: int = 0, context: int = 4096) -> Path:
    """A llama of random numbers that knows 256 bytes; what it answers depends on every byte of the prompt."""
    tokens = ["<unk>", "<s>", "</s>", "<|turn|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [2, 3, 3, 3, *([6] * 256)]  # unknown, control, byte
    entries = metadata(vocab_size=len(tokens), context_length=context) | {
        "tokenizer.ggml.model": gguf.encode("string", "llama"),
        "tokenizer.ggml.tokens": gguf.encode("[string]", tokens),
        "tokenizer.ggml.scores": gguf.encode("[float32]", [0.0] * len(tokens)),
        "tokenizer.ggml.token_type": gguf.encode("[int32]", kinds),
        "tokenizer.ggml.bos_token_id": gguf.encode("uint32", BOS),
        "tokenizer.ggml.eos_token_id": gguf.encode("uint32", EOS),
        "tokenizer.ggml.add_bos_token": gguf.encode("bool", False),
        "tokenizer.ggml.add_space_prefix": gguf.encode("bool", False),
        "tokenizer.chat_template": gguf.encode("string", TEMPLATE),
    }
    data = tensors(seed)
    random = np.random.default_rng(seed + 1)
    data["token_embd.weight"] = random.normal(0, 0.4, (len(tokens), HIDDEN)).astype(np.float32)
    head = random.normal(0, 0.4, (len(tokens), HIDDEN)).astype(np.float32)
    for others in (head[: FIRST_BYTE + 32], head[FIRST_BYTE + 127 :]):  # printable ASCII is likelier than the rest
        others *= 0.1
    data["output.weight"] = head
    planned = {name: gguf.Planned(values.shape, "F32", lambda values=values: values) for name, values in data.items()}
    gguf.write_model(path, entries, planned)
    return path


@contextmanager
def served(base: Path, *options: str, **environment: str) -> Iterator[Any]:
    """`xpert serve --json` at a free port: what it printed, with the process's id as `pid`."""
    command = [sys.executable, "-m", "xpert_cli", "serve", "--base", str(base), "--port", "0", "--json"]
    command += ["--threads", "1", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield {**json.loads(line), "pid": process.pid}
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert process.returncode == 130, process.stderr.read() if process.stderr else ""
