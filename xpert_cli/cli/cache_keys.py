"""`xpert cache key` and `xpert cache trust`; the other commands of `xpert cache` are in cache.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert_cli import paths
from xpert_cli.cache import signing
from xpert_cli.cli import views
from xpert_cli.cli.options import again, with_output
from xpert_cli.cli.output import Output
from xpert_cli.cli.written_files import written_place


@with_output()
def key(
    out: Output,
    path: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Where; in your settings by default.", parser=written_place("FILE")),
    ] = None,
) -> None:
    """Make a key that your caches are signed with, and show the public one."""
    target = path or paths.config_file().with_name("signing.key")
    pair = signing.make_key(target)
    out.show({"secret": str(target), "public": pair.public}, views.unbroken(pair.public))
    out.note(f"The secret key is in {target}: keep it safe, and keep a copy. The public one is for your readers.")
    out.hint(again("cache publish", ["DIR", "OWNER/NAME"], key=target))


@with_output()
def trust(
    out: Output,
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A cache on the Hub.")],
    public_key: Annotated[str, typer.Argument(metavar="KEY", help="Its publisher's public key, or: unsigned")],
) -> None:
    """Accept only this key for a cache from now on."""
    from xpert_cli.cache.trust import trust as pin

    pin(repo, public_key)
    out.show({"cache": repo, "key": public_key}, views.unbroken(f"{repo}: {public_key}"))
