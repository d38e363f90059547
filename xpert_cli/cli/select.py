"""`xpert select` on the command line; its other commands are in app.py."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group

from xpert_cli.cli import views
from xpert_cli.cli.options import (
    MANY,
    MODEL,
    OUTPUT,
    AuthorOpt,
    BaseOpt,
    CacheOpt,
    MeasuredOpt,
    OfflineOpt,
    PlotOpt,
    SummarizerOpt,
    TextArg,
    again,
    base_if_any,
    open_base,
    opened_cache,
    option,
    whole,
    with_output,
    without_effect,
    written_by,
)
from xpert_cli.cli.output import Output, plain
from xpert_cli.cli.written_files import draw, require_picture
from xpert_cli.errors import BadUsage


@with_output(minutes=True, threads=True)
def select(
    out: Output,
    context: typer.Context,
    text: TextArg,
    base: BaseOpt = None,
    cache: CacheOpt = None,
    author: AuthorOpt = None,
    measured_only: MeasuredOpt = False,
    compare: Annotated[
        bool, option("--compare", "Ask the paper's two-answer question; needs a cache with words.", MODEL)
    ] = False,
    summarizer: SummarizerOpt = None,
    check: Annotated[
        bool, option("--check", "Compare what was chosen with the base, on a few of your messages.")
    ] = False,
    top: Annotated[
        int,
        option("--top", "How many adapters to show; those that were chosen always are.", OUTPUT, parser=whole(1, MANY)),
    ] = 5,
    plot: PlotOpt = None,
    offline: OfflineOpt = False,
) -> None:
    """Choose the cached adapter nearest to TEXT, and say why.

    Nearness says how near the first adapter is, 0 to 1, whichever is right. Confidence says how sure it is that the
    first is nearest, if one of them is near at all. Below ten texts neither is to be relied on.
    """
    from xpert_cli.corpus.messages import LEAST_MESSAGES
    from xpert_cli.selection import select

    if compare and (measured_only or plot or check):
        raise BadUsage("--compare goes with none of --measured-only, --plot and --check. Leave one out.")
    if measured_only:
        without_effect(context, "beside --measured-only, which asks no model", "summarizer")
    if plot:
        require_picture(plot, text)
    written = written_by(text, author, out)
    summarizer_model = open_base(summarizer, offline, out) if summarizer else None
    if compare:
        from xpert_cli.paper import compare as by_words

        near = by_words.compare(
            written,
            opened_cache(cache, offline, out),
            open_base(base, offline, out),
            summarizer=summarizer_model,
            progress=out.progress,
        )
        out.show(near, views.compared(near, top))
        out.notes(near.notes)
        return
    adapters = opened_cache(cache, offline, out)
    needed = check or select.needs_model(adapters, measured_only, summarizer_model is not None)
    model = base_if_any(base, needed, offline, out)
    result = select.select(
        written,
        adapters,
        model,
        measured_only=measured_only,
        summarizer=summarizer_model,
        progress=out.progress,
    )
    if plot:
        from xpert_cli.plot import portrait

        draw(portrait.of_selection(result), plot, out)
    more: dict[str, object] = {"plot": plot} if plot else {}
    if check and model is not None:
        from xpert_cli.selection.start_check import check_starts

        starts = check_starts(written, model, result.files, progress=out.progress)
        more["start_check"] = starts
        out.show({**plain(result), **more}, Group(views.selection(result, top), views.starts(starts)))
    else:
        out.show({**plain(result), **more}, views.selection(result, top))
    out.notes(result.notes)
    if result.samples >= LEAST_MESSAGES:
        out.hint(again("finetune", text, base=base, cache=cache, author=author))
