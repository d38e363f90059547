"""A stranger's adapter or model loaded for the first time: in a process of its own, with limits, before any other.

    try_base(base)                                     # returns, or raises with what happened
    try_adapter(base, adapter)

llama.cpp is a large program in C++: what it makes of a hostile file should end no session and fill no memory. A base
does there what it does in use: it reads texts of many kinds, renders its chat template, evaluates and writes tokens.
What passed is remembered and not tried again: an adapter by its digest, its base's fingerprint and llama-cpp-python's
version, a base by where it lies, its size, its time and that version. Not here: a sandbox (the process may do what its
user may), and what an adapter makes the model say.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from xpert_cli import gguf, paths, platform
from xpert_cli.errors import BadInput, BadModel, CannotWrite
from xpert_cli.gguf import AdapterFile, BaseModel, WeightedAdapter
from xpert_cli.gguf.vocabulary import check_vocabulary
from xpert_cli.llama import model as llama

TOKENS = 16
CONTEXT = 512  # tokens
SPARE = 2 << 30  # bytes of memory beyond one copy of the base and three of the adapter, most of it the libraries'
SECONDS = 60  # and one more for every SLOWEST bytes of the base
SLOWEST = 32 << 20

# How the process ends; Python's own are 1 and 2.
_NO_BASE, _REFUSED, _NO_NUMBERS, _NO_MEMORY, _NO_TEXT = 11, 12, 13, 14, 15
_SAID = {
    _REFUSED: "was refused by llama.cpp",
    _NO_NUMBERS: "gave no finite numbers",
}
TEXTS = (  # what people write, and what they do not
    "Hello! How are you today? It's 20:45, I'll be there in 10 min.",
    "¿Dónde está? Ça va très bien, größer; Łódź, Ελληνικά, Привет",
    "日本語の文章です。 한국어 中文 العربية हिन्दी 👍🏽👨‍👩‍👧 e\u0301",
    "\n\n\n\t  \r\n" + 40 * " " + 40 * "!" + 400 * "a" + " x",
    "<s></s><unk><|im_start|><|endoftext|>[UNK]<0x0A>[INST] {{ messages }} \\x41",
    "".join(map(chr, (0, 1, 127, 128, 173, 0x200B, 0xFEFF, 0xFFFD, 0x10FFFF))),
)
DRAWN = 8  # tokens of an answer
EDITION = "2"  # of what a trial does: what passed an earlier one is tried again
_ENDED = [-getattr(signal, name) for name in ("SIGXCPU", "SIGKILL") if hasattr(signal, name)]
_STARVED = (b"bad_alloc", b"mem_buffer", b"allocate", b"MemoryError")  # in last words of C++, ggml and Python


def try_adapter(base: BaseModel | Path, adapter: AdapterFile | Path) -> None:
    """Load an adapter on its base in a short-lived process and evaluate a few tokens.

    Raises:
        BadModel: the file is no sound adapter, or the process was aborted, took too long or too much memory, or came to
            numbers that are not finite.
        CacheMismatch: the adapter is for another base.
    """
    base, adapter = BaseModel.open(base), AdapterFile.open(adapter)
    gguf.check_adapter(adapter, base)
    _once((adapter.digest, base.fingerprint), base.path, adapter.path)


def try_base(base: BaseModel | Path) -> None:
    """Load a base model in a short-lived process and evaluate a few tokens, unless it would take all free memory.

    Raises:
        BadModel: its header or vocabulary is not sound, or the process was aborted, took too long or too much memory,
            could not load or use it, or came to numbers that are not finite.
    """
    opened = BaseModel.open(base)
    gguf.require_model(opened.header)
    check_vocabulary(opened.header)
    path = opened.path
    identity, room = paths.identity(path), platform.available_memory()
    if room is None or 2 * identity[1] < room:  # what is larger runs by layers (llama/layers.py) or not at all
        _once(tuple(map(str, identity)), path, None)


def _once(what: tuple[str, ...], base: Path, adapter: Path | None) -> None:
    """Try it unless `what` passed before with this llama.cpp."""
    key = hashlib.sha256("\n".join((*what, EDITION, version("llama-cpp-python"))).encode()).hexdigest()
    passed = paths.data_dir() / "trials" / key
    if passed.exists():
        return
    size, more = base.stat().st_size, adapter.stat().st_size if adapter else 0
    _run(base, adapter, 2 * size + 3 * more + SPARE, SECONDS + size // SLOWEST)
    with contextlib.suppress(CannotWrite), paths.whole(passed):  # it will be tried again, that is all
        pass


def _run(base: Path, adapter: Path | None, memory: int, seconds: int) -> None:
    """Have the trial run within limits of bytes and of seconds; raise what came of it."""
    try:
        done = subprocess.run(
            _command(base.resolve(), adapter.resolve() if adapter else None, memory, seconds),
            cwd=paths.PACKAGE.parent,  # where it looks for modules first: not in the user's folder
            env={**os.environ, "GGML_NO_BACKTRACE": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(base, adapter, f"ran over {seconds} seconds") from None
    if done.returncode in (_NO_BASE, _NO_TEXT):
        raise BadModel("".join(filter(str.isprintable, done.stderr.decode("utf-8", "replace")))[:600])
    if done.returncode:
        raise _failed(base, adapter, _reason(done.returncode, done.stderr, memory, seconds))


def _command(base: Path, adapter: Path | None, memory: int, seconds: int) -> list[str]:
    return [sys.executable, "-m", __name__, str(base), str(adapter or ""), str(memory), str(seconds)]


def _failed(base: Path, adapter: Path | None, what: str) -> BadModel:
    another = f"Use another {'adapter' if adapter else 'base'}."
    fix = "Close other programs or use a smaller base." if "memory" in what else another
    tried = f"{adapter}: a trial run with {base.name}" if adapter else f"{base}: a trial run"
    return BadModel(f"{tried} {what}. {fix}")


def _reason(status: int, errors: bytes, memory: int, seconds: int) -> str:
    """What the exit status of the process, or its last words, say."""
    if status in _SAID:
        return _SAID[status]
    if status == _NO_MEMORY or any(word in errors for word in _STARVED):
        return f"used over {memory >> 20} MB of memory"
    if status in _ENDED:
        return f"was ended by the system: over {seconds} seconds of work a core, or too little memory"
    if status < 0:
        return f"was aborted by signal {-status}"
    last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return f"ended with status {status} ({''.join(filter(str.isprintable, last))[:120]})"


def _limit(memory: int, seconds: int) -> None:
    """Bound this process, where the system can: bytes it may write to, seconds of work, no core files."""
    try:
        import resource
    except ImportError:
        return
    for name, most in (("RLIMIT_DATA", memory), ("RLIMIT_CPU", seconds * platform.cores()), ("RLIMIT_CORE", 0)):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # a lower limit holds already, or none exists
            resource.setrlimit(getattr(resource, name), (most, most))


def _attempt(base: Path, adapter: Path | None) -> int:
    """In the process: evaluate tokens from all over the vocabulary; the status to end with."""
    try:
        try:
            model = llama.Model(base, context=CONTEXT, outputs=TOKENS, lean=True)
        except BadModel as error:
            os.write(2, str(error).encode("utf-8", "replace"))
            return _NO_BASE
        with model:
            try:
                model.apply([WeightedAdapter.open(adapter)] if adapter else [])
                logits = model.logits([at * model.vocabulary_size // TOKENS for at in range(TOKENS)])
            except BadModel:
                return _REFUSED
            if not np.isfinite(logits).all():
                return _NO_NUMBERS
            if adapter is None and model.reads_text:
                try:
                    use(model)
                except (BadModel, BadInput) as error:
                    os.write(2, str(error).encode("utf-8", "replace"))
                    return _NO_TEXT
            return 0
    except MemoryError:
        return _NO_MEMORY


def use(model: llama.Model, texts: Sequence[str] = TEXTS) -> None:
    """Do with a base what commands do: read texts, hold a conversation, write.

    Raises:
        BadModel: it cannot be used; one line says why.
    """
    for text in texts:
        for special in (False, True):
            model.detokenize(model.tokenize(text, special=special))
    question = {"role": "user", "content": texts[0]}
    prompt = model.chat(texts[0])
    model.chat(texts[0], reply=texts[0])
    with contextlib.suppress(BadInput):  # a template may want a certain order
        model.chat([question, {"role": "assistant", "content": texts[1 % len(texts)]}, question])
    with contextlib.suppress(BadInput):
        model.chat([{"role": "system", "content": texts[0]}, question])
    prompt = prompt[-(CONTEXT - DRAWN) :]
    for temperature in (0.0, 0.7):
        model.detokenize(list(model.generate_tokens(prompt, max_tokens=DRAWN, temperature=temperature, repeat=1.1)))
    if not np.isfinite(model.states([prompt])).all():
        raise BadModel(f"{model.path}: the model came to no finite numbers. Use another base.")


if __name__ == "__main__":
    _limit(int(sys.argv[3]), int(sys.argv[4]))
    raise SystemExit(_attempt(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None))
