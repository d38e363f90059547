"""`xpert config`: the settings in config.ini, read and changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from xpert_cli import paths, settings
from xpert_cli.cli.options import JsonOpt, QuietOpt, alone, with_output
from xpert_cli.cli.output import Output
from xpert_cli.errors import BadInput

app = typer.Typer(invoke_without_command=True)
_BASES = "a GGUF file, a name that `xpert models` lists, an alias, or owner/name on the Hub"
NameArg = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A setting, as `xpert config list` names it.", autocompletion=settings.names),
]


@app.callback()
def all_of_them(context: typer.Context, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Read and change the settings that options fall back to; alone, list them."""
    if alone(context, json, quiet):
        list_settings(json=json, quiet=quiet)


@app.command("list")
@with_output()
def list_settings(out: Output) -> None:
    """List all settings, and where each value comes from."""
    values = {name: settings.default(name) for name in settings.names()}
    fields = {"file": paths.config_file(), "settings": values}
    out.show(fields, _listed(values))


@app.command()
@with_output()
def get(out: Output, name: NameArg) -> None:
    """Print the value of a setting."""
    value = settings.default(settings.known(name))
    out.show({name: value}, Text(value))


@app.command("set")
@with_output()
def set_value(
    out: Output,
    name: NameArg,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value; an empty one gives the default back.")],
) -> None:
    """Change a setting in config.ini."""
    settings.set_default(settings.known(name), _checked(name, value.strip()))
    now = settings.default(name)
    out.show({name: now, "file": paths.config_file()}, Text(f"{name} = {now}"))


def _checked(name: str, value: str) -> str:
    """What a setting is to say, with the whole path of a file; it is an error now if there is nothing of that name.

    Raises:
        BadInput: neither a file or folder, nor a name that can be looked up.
    """
    from xpert_cli import aliases
    from xpert_cli.hub.known import known
    from xpert_cli.hub.names import on_hub
    from xpert_cli.hub.sources import EMBEDDED

    if not value or name not in ("base", "cache"):
        return value
    path = Path(value).expanduser()
    if value != EMBEDDED and (path.is_dir() if name == "cache" else path.is_file()):
        return str(path.resolve())
    by_name = value == EMBEDDED if name == "cache" else known(value) or aliases.target(value)
    named = None if path.exists() else on_hub(value)
    if by_name or (named is not None and not named.repo.endswith(".gguf")):
        return value
    can_be = f"a folder, owner/name on the Hub, or {EMBEDDED}" if name == "cache" else _BASES
    raise BadInput(f"{value!a} is no {'cache' if name == 'cache' else 'base model'} here. Give {can_be}.")


def _listed(values: dict[str, str]) -> RenderableType:
    own = settings.own_settings()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for name, value in values.items():
        table.add_row(name, Text(value), str(paths.config_file()) if name in own else "default")
    return table
