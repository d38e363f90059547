"""`xpert aliases`: short names for base models, adapters, runs and mixtures (aliases.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from xpert_cli import aliases, runs
from xpert_cli.cli.options import JsonOpt, QuietOpt, alone, with_output
from xpert_cli.cli.output import Output
from xpert_cli.cli.views import unbroken
from xpert_cli.errors import BadInput

app = typer.Typer(invoke_without_command=True)


def names() -> list[str]:
    """The names that a shell completes."""
    return list(aliases.all_aliases())


NameArg = Annotated[str, typer.Argument(metavar="NAME", help="The alias.", autocompletion=names)]


@app.callback()
def all_of_them(context: typer.Context, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Give short names to base models, adapters, runs and mixtures; alone, list them."""
    if alone(context, json, quiet):
        list_aliases(json=json, quiet=quiet)


@app.command("list")
@with_output()
def list_aliases(out: Output) -> None:
    """List the aliases, and what they stand for."""
    meanings = aliases.all_aliases()
    widest = max(map(len, meanings), default=0)
    lines = "\n".join(f"{name:<{widest}}  {meaning}" for name, meaning in meanings.items())
    out.show({"aliases": meanings}, unbroken(lines) if meanings else Text("There are no aliases yet."))
    if not meanings:
        out.hint("xpert aliases set NAME MEANING")


@app.command("set")
@with_output()
def set_alias(
    out: Output,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The alias.")],
    meaning: Annotated[
        str, typer.Argument(metavar="MEANING", help="A base model, an adapter, a run, or a mixture as in A=0.6+B=0.4.")
    ],
) -> None:
    """Let NAME stand for MEANING in --base, --adapter, --from, and as a model of the server."""
    from xpert_cli.cache.opening import ids_at_hand
    from xpert_cli.hub.known import known

    if known(name):
        raise BadInput(f"{name!r} cannot be an alias: a base model is called so. Choose another name.")
    ids = ids_at_hand()
    full = _checked(meaning, ids)
    stands_for = aliases.add(name, full, ids)
    out.show({"name": name, "meaning": stands_for}, Text(f"{name} stands for {stands_for}"))


@app.command("rm")
@with_output()
def remove(out: Output, name: NameArg) -> None:
    """Take an alias away; what it stood for stays."""
    meaning = aliases.remove(name)
    out.show({"removed": name, "meaning": meaning}, Text(f"{name} stands no more for {meaning}"))


def _checked(meaning: str, ids: set[str]) -> str:
    """What an alias is to stand for, with whole paths of files; it is an error now if there is nothing of that name."""
    from xpert_cli.cache.opening import mixture
    from xpert_cli.hub.known import known
    from xpert_cli.hub.names import on_hub

    if aliases.target(meaning) is not None:
        return meaning
    parts = mixture(meaning)
    if len(parts) == 1 and parts[0][1] == 1.0:
        name = parts[0][0]
        if known(name) or (on_hub(name) is not None and not Path(name).expanduser().exists()):
            return name
    return "+".join(_part(name, ids) + (f"={weight:g}" if weight != 1 else "") for name, weight in parts)


def _part(name: str, ids: set[str]) -> str:
    path = Path(name).expanduser()
    if path.exists():
        return str(path.resolve())
    if name in runs.NEWEST or runs.named(name.removeprefix("run:")) or name.removeprefix("cache:") in ids:
        return name
    raise BadInput(
        f"{name!a} is no file, no run, no adapter of the cache and no base model. "
        "`xpert runs list` and `xpert cache list` name what is here."
    )
