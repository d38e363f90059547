"""A chat template rendered in bounded time and memory: it is a program, and a base from elsewhere brings its own.

    render(template, [{"role": "user", "content": "Hello!"}], bos="<s>", eos="</s>")

Templates of known digests are rendered here. All others are rendered by a child process that lives as long as this
one, with limits that the system keeps: loops in loops or `'a'.center(4000000000)` end the child, and one line says
so. Jinja's sandbox keeps a template from touching anything but its own values. Not here: tokens (llama/vocabulary.py).
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from xpert_cli import paths
from xpert_cli.errors import BadInput, BadModel

TRUSTED = {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788"}  # sha256: of the packaged base
SECONDS = 20  # for a conversation; a thousandth is usual
MEMORY = 256 << 20  # bytes that the child may write to, Python and Jinja among them
MAX_TEMPLATE, MAX_TEXT = 1 << 20, 16 << 20  # bytes
Messages = Sequence[dict[str, str]]


def render(template: str, messages: Messages, *, bos: str, eos: str) -> str:
    """The text of a conversation, up to where the assistant starts to answer.

    Raises:
        BadInput: the template refuses the conversation.
        BadModel: the template is wrong, or takes too much time or memory.
    """
    if len(template) > MAX_TEMPLATE:
        raise BadModel(f"the chat template has {len(template):,} characters, over {MAX_TEMPLATE:,}. {_ANOTHER}")
    request = {"template": template, "messages": list(messages), "bos": bos, "eos": eos}
    known = hashlib.sha256(template.encode("utf-8", "replace")).hexdigest() in TRUSTED
    answer = _rendered(request) if known else _child().ask(request)
    if "text" in answer:
        return str(answer["text"])
    reason = "".join(filter(str.isprintable, str(answer.get("said", ""))))[:200]
    if answer.get("refused"):
        raise BadInput(f"the chat template refused the conversation: {reason}")
    raise BadModel(f"the chat template {reason}. {_ANOTHER}")


_ANOTHER = "Use another base."


class _Child:
    """The process that renders, started when first asked, and anew after it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Its answer, or what became of it."""
        with self._lock:
            process = self._process = self._process if self._process and self._process.poll() is None else _started()
            assert process.stdin
            assert process.stdout
            late = threading.Event()

            def end() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(SECONDS, end)
            timer.start()
            line = b""
            try:
                with contextlib.suppress(OSError):  # it ended: there is no answer
                    process.stdin.write(json.dumps(request).encode() + b"\n")
                    process.stdin.flush()
                    line = process.stdout.readline(MAX_TEXT)
            finally:
                timer.cancel()
                if not line.endswith(b"\n"):  # nothing, half of it, or an interrupt: the next one starts afresh
                    self.close()
            if line.endswith(b"\n"):
                return dict(json.loads(line))
            if len(line) >= MAX_TEXT:
                return {"said": f"makes more than {MAX_TEXT >> 20} MB of a conversation"}
            return {"said": f"takes over {SECONDS} seconds" if late.is_set() else "takes too much time or memory"}

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


@lru_cache(maxsize=1)
def _child() -> _Child:
    child = _Child()
    atexit.register(child.close)
    return child


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=paths.PACKAGE.parent,  # where it looks for modules first: not in the user's folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the parent
    )


# -- in the child


def _rendered(request: dict[str, Any]) -> dict[str, Any]:
    """The text, or why there is none."""

    class Refused(Exception):
        pass

    def refuse(message: object) -> None:
        raise Refused(message)

    try:
        template = _compiled(request["template"])
        text = template.render(
            messages=request["messages"],
            add_generation_prompt=True,
            bos_token=request["bos"],
            eos_token=request["eos"],
            raise_exception=refuse,
        )
    except Refused as error:
        return {"refused": True, "said": str(error)}
    except (MemoryError, RecursionError):
        return {"said": "takes too much memory"}
    except Exception as error:  # whatever a foreign program raises
        return {"said": f"cannot be rendered ({type(error).__name__}: {str(error)[:150]})"}
    return {"text": text}


@lru_cache(maxsize=4)
def _compiled(source: str) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda form: ""
    return environment.from_string(source)


def _serve() -> None:
    """Render what comes on standard input, a line of JSON each, within the limits."""
    import signal

    with contextlib.suppress(ImportError):
        import resource

        import jinja2.sandbox  # noqa: F401  before the limit holds

        for name, most in (("RLIMIT_DATA", MEMORY), ("RLIMIT_CORE", 0)):
            with contextlib.suppress(ValueError, OSError, AttributeError):  # a lower one holds, or there is none
                resource.setrlimit(getattr(resource, name), (most, most))
    alarm = getattr(signal, "alarm", lambda seconds: None)  # ends this process also where its parent was killed
    answers = os.fdopen(1, "wb", closefd=False)
    for line in os.fdopen(0, "rb", closefd=False):
        alarm(SECONDS + 1)
        answer = json.dumps(_rendered(json.loads(line)))
        alarm(0)
        answers.write(answer.encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
