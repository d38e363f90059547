"""The formats that are read, one module a family; a file is of the first family that knows its structure.

    parse(file).kind == "WhatsApp chat"

A new family is a module with `read(file) -> Parsed | None`, None for files that are not its own, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from xpert_cli.corpus.formats import (
    assistants,
    discord,
    documents,
    mail,
    messengers,
    meta,
    prose,
    records,
    slack,
    social,
    subtitles,
    telegram,
    transcripts,
    whatsapp,
)
from xpert_cli.corpus.formats import tables as tabular
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.turns import Parsed

FAMILIES: tuple[Callable[[File], Parsed | None], ...] = (
    documents.read,  # binary files first: they are no text
    mail.read,
    subtitles.read,
    assistants.read,
    telegram.read,
    discord.read,
    meta.read,
    slack.read,
    social.read,
    records.read,  # any other JSON
    tabular.read,
    messengers.read,
    whatsapp.read,
    transcripts.read,
    prose.read,  # any other text
)

EMPTY = "empty file"


def parse(file: File) -> Parsed:
    """What a file holds.

    Raises:
        BadInput: it is of no kind that is read; with what was seen, and the way out.
        MissingExtra: an optional package would be needed.
    """
    if not file.head.strip() and not file.data.strip():
        return Parsed(EMPTY)
    for read in FAMILIES:
        parsed = read(file)
        if parsed is not None:
            return parsed
    return Parsed("text")
