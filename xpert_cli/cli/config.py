"""`xpert config`: the settings in config.ini, read and changed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from xpert_cli import paths
from xpert_cli.cli.options import JsonOpt, QuietOpt
from xpert_cli.cli.output import Output

app = typer.Typer(no_args_is_help=True, help="Read and change the settings that options fall back to.")
NameArg = Annotated[
    str, typer.Argument(metavar="NAME", help="A setting, as `xpert config list` names it.", autocompletion=paths.names)
]


@app.command("list")
def list_settings(json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """List all settings, and where each value comes from."""
    with Output(json=json, quiet=quiet) as out:
        settings = {name: paths.default(name) for name in paths.names()}
        fields = {"file": paths.config_file(), "settings": settings}
        out.show(fields, _listed(settings))


@app.command()
def get(name: NameArg, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Print the value of a setting."""
    with Output(json=json, quiet=quiet) as out:
        value = paths.default(paths.known(name))
        out.show({name: value}, Text(value))


@app.command("set")
def set_value(
    name: NameArg,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value; an empty one gives the default back.")],
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Change a setting in config.ini."""
    with Output(json=json, quiet=quiet) as out:
        paths.set_default(name, value)
        now = paths.default(name)
        out.show({name: now, "file": paths.config_file()}, Text(f"{name} = {now}"))


def _listed(settings: dict[str, str]) -> RenderableType:
    own = paths.own_settings()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for name, value in settings.items():
        table.add_row(name, Text(value), str(paths.config_file()) if name in own else "default")
    return table
