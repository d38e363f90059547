"""The command line: every command parses, calls one library function, and prints one result.

    xpert select notes/ chat.txt --author Anna

Heavy imports happen inside the commands, so that --help is quick. Not here: how things look (cli/views.py,
cli/output.py), what they do (the rooms beside cli/).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text
from typer.core import TyperGroup

from xpert_cli import __version__, leftovers, paths
from xpert_cli.cli import views
from xpert_cli.cli.aliases import app as aliases_app
from xpert_cli.cli.cache import app as cache_app
from xpert_cli.cli.chat import chat, run
from xpert_cli.cli.config import app as config_app
from xpert_cli.cli.entry import say_stopped
from xpert_cli.cli.finetune import finetune
from xpert_cli.cli.help import command
from xpert_cli.cli.import_ import import_
from xpert_cli.cli.input import prepare_streams, require_unicode
from xpert_cli.cli.models import app as models_app
from xpert_cli.cli.options import (
    MANY,
    OUTPUT,
    RANK,
    AdapterOpt,
    AuthorOpt,
    BaseOpt,
    CacheOpt,
    MaxTokensOpt,
    MeasuredOpt,
    OfflineOpt,
    OutOpt,
    OverwriteOpt,
    PlotOpt,
    SummarizerOpt,
    TextArg,
    TypeOpt,
    again,
    base_if_any,
    cache_for_ids,
    open_base,
    opened_at_hand,
    opened_cache,
    option,
    whole,
    with_output,
    without_effect,
    written_by,
)
from xpert_cli.cli.output import Output, complain, plain, print_error
from xpert_cli.cli.runs import app as runs_app
from xpert_cli.cli.runs import disk
from xpert_cli.cli.select import select
from xpert_cli.cli.serve import serve
from xpert_cli.cli.written_files import draw, require_picture
from xpert_cli.errors import BadUsage, XpertError


class Group(TyperGroup):
    """All commands, which Typer would end in silence where Ctrl-C comes while they import what they need."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named; with --json, wrong usage is an object too."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Exit(say_stopped(error)) from None
        except Exception as error:
            if "--json" in sys.argv and hasattr(error, "format_message") and not isinstance(error, XpertError):
                print_error(error.format_message())
            raise


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cache_app, name="cache")
app.add_typer(runs_app, name="runs")
app.add_typer(config_app, name="config")
app.add_typer(models_app, name="models")
app.add_typer(aliases_app, name="aliases")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xpert {__version__}")
        raise typer.Exit


@app.callback()
def xpert(
    version: Annotated[bool, option("--version", "Print it.", callback=_version, is_eager=True)] = False,
) -> None:
    """Your own language model: explained from your writing, started from the nearest adapter, run by llama.cpp."""


@app.command()
@with_output()
def demo(out: Output) -> None:
    """Show every step on a sample writer, with the packaged model and cache."""
    from xpert_cli.cli.demo import demo

    demo(out)


@app.command()
@with_output(minutes=True, threads=True)
def convert(
    o: Output,
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A Hugging Face folder, a Hub repo, or a GGUF file.")],
    out: OutOpt = None,
    type: TypeOpt = "Q4_K_M",
    revision: Annotated[str | None, option("--revision", "Branch, tag or commit of a Hub repo.")] = None,
    offline: OfflineOpt = False,
    llama_converter: Annotated[
        bool, option("--llama-converter", "Let llama.cpp's converter run where xpert cannot convert.")
    ] = False,
    overwrite: OverwriteOpt = False,
) -> None:
    """Convert MODEL to one quantized GGUF file."""
    from xpert_cli.models import convert

    if Path(model).expanduser().exists():
        without_effect(context, f"on {model}, which is no Hub repo", "revision")
    kind, permission = type or "Q4_K_M", (lambda what: True) if llama_converter else o.confirm
    result = convert.convert(
        model,
        out,
        kind,
        revision=revision,
        offline=offline,
        overwrite=overwrite,
        permission=permission,
        progress=o.progress,
    )
    o.show(result, views.converted(result))
    o.hint(again("run", ["Hello!"], base=result.out))


@app.command()
@with_output(minutes=True, threads=True)
def summarize(
    out: Output,
    context: typer.Context,
    text: TextArg,
    base: BaseOpt = None,
    cache: CacheOpt = None,
    author: AuthorOpt = None,
    measured_only: MeasuredOpt = False,
    summarizer: SummarizerOpt = None,
    top: Annotated[int, option("--top", "How many to show.", OUTPUT, parser=whole(1, MANY))] = 8,
    plot: PlotOpt = None,
    as_prompt: Annotated[bool, option("--as-prompt", "Print it as an instruction for any assistant.", OUTPUT)] = False,
    offline: OfflineOpt = False,
) -> None:
    """Say in words how TEXT differs from what the base model writes."""
    from xpert_cli.selection import summarize

    if measured_only:
        without_effect(context, "beside --measured-only, which asks no model", "summarizer")
    if as_prompt:
        without_effect(context, "beside --as-prompt, which shows no axes", "top")
    if plot:
        require_picture(plot, text)
    written = written_by(text, author, out)
    result = summarize.summarize(
        written,
        opened_cache(cache, offline, out),
        base_if_any(base, not measured_only, offline, out),
        measured_only=measured_only,
        summarizer=open_base(summarizer, offline, out) if summarizer else None,
        progress=out.progress,
    )
    if plot:
        from xpert_cli.plot import portrait

        draw(portrait.of_summary(result), plot, out)
    fields = {**plain(result), "plot": plot} if plot else plain(result)
    view: RenderableType = views.summary(result, top)
    if as_prompt:
        fields["prompt"] = summarize.as_prompt(result)
        view = Text(fields["prompt"])
    out.show(fields, view)
    out.notes(result.notes)
    out.hint(again("select", text, base=base, cache=cache, author=author))


app.command()(select)
app.command("import")(import_)
app.command()(finetune)
app.command()(run)
app.command()(chat)
app.command()(serve)
app.command()(disk)


@app.command("eval")
@with_output(minutes=True, threads=True)
def evaluate(
    out: Output,
    text: TextArg,
    base: BaseOpt = None,
    adapter: AdapterOpt = None,
    merged: Annotated[Path | None, option("--merged", "A merged model's GGUF file.")] = None,
    cache: CacheOpt = None,
    author: AuthorOpt = None,
    max_tokens: MaxTokensOpt = 512,
    offline: OfflineOpt = False,
) -> None:
    """Measure how well a model with adapters predicts TEXT, beside the base model alone."""
    from xpert_cli.cache import opening
    from xpert_cli.training import evaluate

    written = written_by(text, author, out)
    model = open_base(base, offline, out)
    adapters = opening.open_adapters(adapter or (), model, lambda: opened_cache(cache, offline, out))
    opened = opened_at_hand(cache, model, out)
    result = evaluate.evaluate(
        written, model, adapters, merged, cache=opened, max_tokens=max_tokens, progress=out.progress
    )
    out.show(result, views.evaluation(result))
    out.notes(result.notes)


@app.command()
@with_output(minutes=True, threads=True)
def merge(
    o: Output,
    adapter: AdapterOpt = None,
    base: BaseOpt = None,
    out: OutOpt = None,
    rank: Annotated[int | None, RANK] = None,
    type: TypeOpt = None,
    cache: CacheOpt = None,
    offline: OfflineOpt = False,
    overwrite: OverwriteOpt = False,
) -> None:
    """Merge adapters into one, or with --base into a model of its own."""
    from xpert_cli.cache.opening import find_adapters
    from xpert_cli.models import merge

    model = open_base(base, offline, o) if base else None
    if not adapter:
        raise BadUsage("there is nothing to merge. Name adapters with --adapter FILE=WEIGHT.")
    target = out or Path("merged.gguf")
    with cache_for_ids(cache, offline, o) as opened:
        adapters = find_adapters(adapter, opened)
    files = [file if isinstance(file, Path) else file.path for file, _ in adapters] + ([model.path] if model else [])
    paths.require_unread(target, files)
    if target.suffix == ".gguf" or (target.exists() and not target.is_dir()):
        paths.require_place(target)
    if not overwrite:
        paths.require_new(target)
    result = merge.merge(adapters, model, target, rank=rank, type_name=type, progress=o.progress)
    o.notes(result.notes)
    o.show(result, views.merged(result))
    if result.kind == "model":
        o.hint(again("chat", base=result.out))


@app.command()
@with_output(threads=True)
def doctor(
    out: Output,
    context: typer.Context,
    report: Annotated[
        bool, option("--report", "Describe this machine and its speed, to paste into an issue; nothing personal.")
    ] = False,
) -> None:
    """Say what this machine can run, and what to install for the rest."""
    from xpert_cli.cli import doctor

    if not report:
        without_effect(context, "without --report, which computes", "threads")
    if report:
        machine = doctor.report()
        out.write(machine.text)
        out.show(machine)
        return
    result = doctor.doctor()
    out.show(result, views.diagnosis(result))
    if not result.works:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; any failure is one line on standard error and exit status 1, wrong usage 2."""
    prepare_streams()
    leftovers.clear(paths.notes_dir())
    try:
        require_unicode(sys.argv)
        command(app)(prog_name="xpert")
    except Exception as error:
        if os.environ.get("XPERT_DEBUG"):
            raise
        complain(error)
        sys.exit(2 if isinstance(error, BadUsage) else 1)
