"""`xpert models`: base models worth using with what they take on this machine, and those that were fetched.

What they take is worked out in training/bases.py; names and places are in hub/known.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xpert_cli.cli.options import JsonOpt, OfflineOpt, QuietOpt, YesOpt, again, alone, with_output
from xpert_cli.cli.output import Output
from xpert_cli.cli.runs import agree
from xpert_cli.cli.views import size
from xpert_cli.errors import BadInput

if TYPE_CHECKING:
    from xpert_cli.training.bases import Base, Bases

app = typer.Typer(invoke_without_command=True)


def names() -> list[str]:
    """The names that a shell completes."""
    from xpert_cli.hub.known import KNOWN

    return [one.name for one in KNOWN]


NameArg = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A name that `xpert models` lists, or owner/name:FILE.", autocompletion=names),
]


@app.callback()
def models(context: typer.Context, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """List base models worth using: size, memory to run and to fine-tune on this machine, licence, caches.

    Memory is that of a conversation of 2,048 tokens, and of fine-tuning at rank 8 on messages of 256 tokens in the
    leanest layout. Nothing is fetched for it: figures of a model that is not here follow from its published sizes.
    """
    if not alone(context, json, quiet):
        return
    from xpert_cli.training import bases

    with Output(json=json, quiet=quiet) as out:
        bases_found = bases.worth_using()
        out.show(bases_found, _listed(bases_found))
        out.notes(bases_found.notes)
        out.hint("xpert models pull NAME")


@app.command("list")
@with_output()
def list_models(out: Output) -> None:
    """List the base models on this machine: those that were fetched, and the one that came with xpert."""
    from xpert_cli.training import bases

    here = bases.on_this_machine()
    out.show(here, _listed(here) if here.models else Text("There are no base models here yet."))
    out.notes(here.notes)


@app.command()
@with_output()
def pull(out: Output, name: NameArg, offline: OfflineOpt = False) -> None:
    """Fetch a base model from the Hub, check it, and try it in a process of its own."""
    from xpert_cli.models.bases import open_base

    base = open_base(name, offline=offline, progress=out.progress)
    count = base.path.stat().st_size
    out.show(
        {"name": name, "file": base.path, "bytes": count, "base": base.info},
        Text(f"{base.path}\n{size(count)}, {base.info.name}"),
    )
    out.hint(again(f"config set base {name}"))


@app.command()
@with_output()
def rm(out: Output, name: NameArg, yes: YesOpt = False) -> None:
    """Delete a base model that was fetched."""
    from xpert_cli.hub.kept import kept_models
    from xpert_cli.training.bases import named

    called = {one: {named(one).name, one.address.lower(), one.repo.lower()} for one in kept_models()}
    matching = [one for one, names in called.items() if name.lower() in names]
    if not matching:
        raise BadInput(f"{name} was not fetched by xpert. List what is here with: xpert models list")
    if len(matching) > 1:
        listed = ", ".join(one.address for one in matching)
        raise BadInput(f"{len(matching)} files of {name} are here. Name one: {listed}")
    count = matching[0].path.stat().st_size
    agree(f"Delete {matching[0].address} ({size(count)})?", yes, out)
    matching[0].remove()
    out.show({"name": name, "file": matching[0].path, "freed_bytes": count}, Text(f"{size(count)} were freed"))


def _listed(bases: Bases) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    for _ in range(3):
        table.add_column(justify="right", no_wrap=True)
    table.add_row(*(Text(title, "dim") for title in ("base model", "file", "to run", "to fine-tune")))
    for base in bases.models:
        tune = "" if base.finetune_bytes is None else size(base.finetune_bytes)
        table.add_row(Text(base.name), size(base.bytes), size(base.run_bytes), tune)
        table.add_row(Text(f"  {_about(base)}", "dim"))
    free = [] if bases.free_memory is None else [Text(f"{size(bases.free_memory)} of memory are free", "dim")]
    return Group(table, *free)


def _about(base: Base) -> str:
    """Licence, whether it is here, and its caches."""
    caches = [f"cache: {', '.join(base.caches)}"] if base.caches else []
    return ", ".join([*([base.licence] if base.licence else []), *(["here"] if base.here else []), *caches])
