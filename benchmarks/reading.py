"""How long does it take, and in how much memory, to read and count very many messages?

    python -m benchmarks reading

Exports of invented messages are written below --out and read by `xpert summarize --measured-only` and `xpert import`,
each in a process of its own, whose peak memory the system tells (wait4). Reads --out.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.report import table
from benchmarks.run import Run, say
from benchmarks.store import Record
from xpert_cli.errors import BadInput

MESSAGES, BYTES = 100_000, 200_000_000
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30)  # words of a message
ENDS = ("", "", ".", "!", " 😂", "?", " é")
SYLLABLES = ("ba", "den", "fi", "gor", "hal", "ik", "jo", "kem", "lu", "min", "no", "pra", "qui", "ros", "ta", "wen")
COMMON = (
    *("the", "I", "you", "and", "to", "it", "is", "so", "was", "we", "not", "have", "that", "in", "do", "but", "what"),
    *("haha", "ok", "maybe", "really", "tomorrow", "going", "think"),
)


def messages() -> Iterator[str]:
    """Invented messages without end, the same each time."""
    draw = random.Random(0)
    while True:
        words = [
            draw.choice(COMMON) if draw.random() < 0.6 else "".join(draw.choices(SYLLABLES, k=draw.randint(1, 3)))
            for _ in range(draw.choice(SIZES))
        ]
        yield " ".join(words) + draw.choice(ENDS)


def telegram(path: Path, enough: Callable[[int, int], bool]) -> int:
    """A chat as Telegram exports it; how many messages it has."""
    texts, number = messages(), 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{\n "name": "Tove",\n "type": "personal_chat",\n "id": 1,\n "messages": [\n')
        while not enough(number, file.tell() if number % 1000 == 0 else 0):
            name, key = (("Ilse", "user1"), ("Tove", "user2"))[number % 3 == 0]
            text = next(texts)
            fields = {"id": number, "type": "message", "date": "2024-05-06T10:01:00"}
            fields |= {"date_unixtime": str(1_700_000_000 + 200 * number), "from": name, "from_id": key}
            fields |= {"text": text, "text_entities": [{"type": "plain", "text": text}]}
            mark = ",\n" if number else ""
            file.write(mark + json.dumps(fields, indent=1, ensure_ascii=False))
            number += 1
        file.write("\n ]\n}\n")
    return number


def lines(path: Path, enough: Callable[[int, int], bool]) -> int:
    """Questions and answers as JSON lines."""
    texts, number = messages(), 0
    with path.open("w", encoding="utf-8") as file:
        while not enough(number, 0):
            record = {"prompt": next(texts), "response": next(texts)}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            number += 1
    return number


def whatsapp(path: Path, enough: Callable[[int, int], bool]) -> int:
    """A chat as WhatsApp exports it."""
    texts, number = messages(), 0
    with path.open("w", encoding="utf-8") as file:
        while not enough(number, 0):
            when = time.gmtime(1_700_000_000 + 200 * number)
            name = ("Ilse", "Tove")[number % 3 == 0]
            file.write(f"{time.strftime('%d/%m/%y, %H:%M', when)} - {name}: {next(texts)}\n")
            number += 1
    return number


KINDS = {
    "JSON lines": (lines, lambda count, size: count == MESSAGES),
    "WhatsApp": (whatsapp, lambda count, size: count == MESSAGES),
    "Telegram": (telegram, lambda count, size: count == MESSAGES),
    "Telegram, 200 MB": (telegram, lambda count, size: size >= BYTES),
}


def size(run: Run) -> str:
    """Seconds and peak memory of reading and counting."""
    rows = []
    for name, (write, enough) in KINDS.items():
        path = run.store.file(f"{name.replace(' ', '-').replace(',', '')}.{'txt' if write is whatsapp else 'json'}")

        def measure(path: Path = path, write: Callable[..., int] = write, enough: object = enough) -> Record:
            say(f"writing {path.name}")
            count, author = write(path, enough), [] if write is lines else ["--author", "Ilse"]
            out = run.store.file("read.jsonl")
            record: Record = {"messages": count, "bytes": path.stat().st_size}
            record["summarize"] = _run("summarize", str(path), *author, "--measured-only", "--json", "--quiet")
            record["import"] = _run("import", str(path), *author, "-o", str(out), "--overwrite", "--quiet")
            out.unlink()
            path.unlink()
            return record

        seen = run.store.record(name, {"messages": MESSAGES, "bytes": BYTES}, measure)
        cells = [cell for command in ("summarize", "import") for cell in seen[command]]
        rows.append((name, f"{seen['messages']:,}", f"{seen['bytes'] / 1e6:.0f}", *cells))
    head = ("export", "messages", "MB", "summarize, s", "MB of memory", "import, s", "MB of memory")
    return table(head, rows)


def _run(*arguments: str) -> tuple[str, str]:
    """Seconds and peak megabytes of a command."""
    say(f"xpert {' '.join(arguments)}")
    began = time.monotonic()
    command = [sys.executable, "-m", "xpert_cli", *arguments]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, nowhere, 1)])
    _, status, usage = os.wait4(pid, 0)
    os.close(nowhere)
    if status:
        raise BadInput(f"xpert {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}.")
    return (
        f"{time.monotonic() - began:.0f}",
        f"{usage.ru_maxrss / (1 << 20 if sys.platform == 'darwin' else 1 << 10):.0f}",
    )


PARTS = {"size": size}
