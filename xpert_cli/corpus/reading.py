"""The user's own writing, read from files, folders or standard input.

    corpus = read(["notes/", "chat.txt"], author="Anna")
    train, held = corpus.split(0.2, seed=0)

What a file may hold: `formats`. Does not cover: archives, word-processor files and PDF. It holds files whole in memory.
"""

from __future__ import annotations

import codecs
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from xpert_cli.corpus.formats import Message, parse
from xpert_cli.errors import BadInput

__all__ = ["Corpus", "Message", "read"]

SUFFIXES = (".txt", ".md", ".jsonl", ".json")
PASSAGE = 100  # words; counts in shorter pieces read low, as of what is rare, more than most hold none
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Corpus:
    """A person's messages, in the order they were read; duplicates are kept."""

    messages: tuple[Message, ...]

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def texts(self) -> tuple[str, ...]:
        """What the user wrote, without the prompts."""
        return tuple(message.response for message in self.messages)

    @property
    def passages(self) -> tuple[str, ...]:
        """The pieces that style is read from: messages, and paragraphs of plain text joined to PASSAGE words."""
        found: list[tuple[str, str]] = []  # text, and the file whose next paragraph may join it
        for message in self.messages:
            file = message.source.rpartition(":")[0] if message.prose else ""
            if file and found and found[-1][1] == file and len(found[-1][0].split()) < PASSAGE:
                found[-1] = f"{found[-1][0]}\n\n{message.response}", file
            else:
                found.append((message.response, file))
        return tuple(text for text, _ in found)

    @property
    def shows_length(self) -> bool:
        """Whether every text is a message, so that its length is the writer's choice."""
        return not any(message.prose for message in self.messages)

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 that depends neither on the order of messages nor on where they were read."""
        return hashlib.sha256("\n".join(sorted(message.key() for message in self.messages)).encode()).hexdigest()

    def split(self, held_out: float, seed: int) -> tuple[Corpus, Corpus]:
        """Training and held-out messages, each in an order that does not depend on the order of reading.

        A message's own hash decides its side, so it stays there when others come and go, and equal messages stay
        together; the share held out is therefore only about `held_out`. Two different messages give at least one on
        each side; copies of a single one are all for training.

        Raises:
            BadInput: `held_out` is not between 0 and 1.
        """
        if not 0 < held_out < 1:
            raise BadInput(f"the share held out must lie between 0 and 1, not {held_out}. Try 0.2.")
        keyed = sorted(((message.key(seed), message) for message in self.messages), key=lambda pair: pair[0])
        keys = sorted({key for key, _ in keyed})
        below = sum(int(key, 16) < held_out * 2.0**256 for key in keys)
        held = set(keys[: min(max(below, 1), len(keys) - 1)])
        return (
            Corpus(tuple(message for key, message in keyed if key not in held)),
            Corpus(tuple(message for key, message in keyed if key in held)),
        )


def read(sources: Sequence[str], *, author: str | None = None, stdin: IO[bytes] | None = None) -> Corpus:
    """Everything the user wrote in `sources`: files, folders (their .txt, .md, .jsonl, .json) and "-", standard input.

    Args:
        author: whose messages count in a conversation; needed for chat exports, "assistant" where turns have roles.
            Where nothing is a conversation it has no effect.
        stdin: what "-" stands for, instead of the process's own standard input.

    Raises:
        BadInput: a file is missing, empty, binary, in another encoding, broken, of unknown fields, or without anything
            usable; or a conversation has no messages by `author`. Inside a folder a file without text is passed over.
    """
    messages: list[Message] = []
    for source in dict.fromkeys(filter(None, sources)):
        files = {name: _decode(name, data) for name, data in _open(source, stdin)}
        found = [message for name, text in files.items() for message in parse(name, text, author)]
        if not any(text.strip() for text in files.values()):
            raise BadInput(f"{_shown(source)} is empty. Give a file with text you wrote.")
        if not found:
            left_out = "fragments under three words, code, quotes and media notices are left out"
            raise BadInput(f"{_shown(source)} holds no usable text ({left_out}). Give a file with text you wrote.")
        messages += found
    if not messages:
        raise BadInput("no text was given. Name files or folders with text you wrote, or - for standard input.")
    return Corpus(tuple(messages))


def _shown(source: str) -> str:
    """`source` on one line, and short should it be text in the place of a path."""
    return "standard input" if source == "-" else " ".join(source[:200].split())


def _open(source: str, stdin: IO[bytes] | None) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file behind `source`."""
    path = Path(source)
    try:
        if source == "-":
            yield _shown(source), (stdin or sys.stdin.buffer).read()
        elif path.is_dir():
            for file in _texts_in(path):
                yield str(file), file.read_bytes()
        else:
            yield source, path.read_bytes()
    except OSError as error:
        name = _shown(str(error.filename or source))
        raise BadInput(f"{name} cannot be read: {error.strerror}. Check the path and its permissions.") from error


def _texts_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if paths := [path for path in found if not _hidden(path.relative_to(folder))]:
        return paths
    raise BadInput(f"{folder} holds no {', '.join(SUFFIXES)} file. Name the files with text you wrote.")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _decode(name: str, data: bytes) -> str:
    """`data` as text with \\n line ends: UTF-8, or what its byte order mark says."""
    bom, encoding = next((pair for pair in _BOMS if data.startswith(pair[0])), (b"", "utf-8"))
    zero = -1 if bom else data.find(b"\0")
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_text(name, data, len(bom) + error.start if zero < 0 else zero) from error
    if zero >= 0:
        raise _not_text(name, data, zero)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_text(name: str, data: bytes, at: int) -> BadInput:
    line = data.count(b"\n", 0, at) + 1
    kind = "a binary file" if data[at] == 0 else "another encoding, or a binary file"
    return BadInput(f"{name}:{line}: byte {at} (0x{data[at]:02x}) is not text: {kind}. Save it as UTF-8 text.")
