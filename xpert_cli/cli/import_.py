"""`xpert import`: what people really have, written in one normal form that can be looked at, edited and kept.

One JSON object a line: {"messages": [..., {"role": "assistant", "content": what the user wrote}], "time", "source"}.
"""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

from xpert_cli import paths
from xpert_cli.cli.options import (
    AuthorOpt,
    ExcludeOpt,
    GapOpt,
    OverwriteOpt,
    ScrubOpt,
    SinceOpt,
    TextArg,
    UntilOpt,
    again,
    option,
    with_output,
    written_by,
)
from xpert_cli.cli.output import Output
from xpert_cli.cli.written_files import written_place
from xpert_cli.errors import BadInput


@with_output(minutes=True)
def import_(
    o: Output,
    text: TextArg,
    author: AuthorOpt = None,
    out: Annotated[
        Path, option("--out", "Where to write.", short="-o", metavar="FILE", parser=written_place("--out"))
    ] = Path("messages.jsonl"),
    since: SinceOpt = None,
    until: UntilOpt = None,
    exclude: ExcludeOpt = None,
    session_gap: GapOpt = None,
    scrub: ScrubOpt = False,
    overwrite: OverwriteOpt = False,
) -> None:
    """Read chats, mail, documents and data sets, and write your own messages in one form that every command takes."""
    from xpert_cli import corpus

    if out.is_dir():
        raise BadInput(f"-o {out} is a folder. Name a file, such as {out / 'messages.jsonl'}.")
    paths.require_unread(out, map(Path, text), "-o")
    paths.require_place(out)
    if not overwrite:
        paths.require_new(out, "-o")
    written = written_by(
        text, author, o, since=since, until=until, exclude=exclude, session_gap=session_gap, scrub=scrub
    )
    with paths.whole(out, "--out") as part:
        part.chmod(0o600)
        with part.open("w", encoding="utf-8") as file:
            for number, message in enumerate(written.messages):
                if number % 1000 == 0:
                    o.progress("writing", number / len(written))
                file.write(json_module.dumps(corpus.record(message), ensure_ascii=False) + "\n")
    out.chmod(0o600)
    o.show({"out": str(out), "messages": len(written)})
    o.note(f"written to {out}, which you alone can read")
    o.hint(again("summarize", [str(out)]))
