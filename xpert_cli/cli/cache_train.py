"""`xpert cache train` on the command line; the other commands of `xpert cache` are in cache.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert_cli import paths
from xpert_cli.cli import views
from xpert_cli.cli.options import (
    BaseOpt,
    JsonOpt,
    MinutesOpt,
    OfflineOpt,
    QuietOpt,
    SeedOpt,
    again,
    number,
    open_base,
    whole,
)
from xpert_cli.cli.output import Output

TRAINING, COMMUNITIES, WORKERS = "Training", "Communities", "Workers"


def train(
    writers: Annotated[
        Path,
        typer.Argument(
            metavar="WRITERS",
            help="A folder with a file or folder for each writer, or one table (JSONL, CSV, Parquet) of all.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The cache's folder.")],
    base: BaseOpt = None,
    column: Annotated[
        str | None, typer.Option("--author-column", metavar="NAME", help="The table's column that names the writer.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="local|ray", help="Where workers run.", rich_help_panel=WORKERS)
    ] = "local",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", parser=whole(1, 1_024), help="Workers; one a core unless you say.", rich_help_panel=WORKERS
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", parser=whole(1, 512), help="Threads of a worker.", rich_help_panel=WORKERS)
    ] = 1,
    address: Annotated[
        str,
        typer.Option("--address", help="Of a Ray cluster; one on this machine by default.", rich_help_panel=WORKERS),
    ] = "",
    work: Annotated[
        Path | None,
        typer.Option("--work", metavar="DIR", help="Where what is done is kept; CACHE.work unless you say."),
    ] = None,
    communities: Annotated[
        str,
        typer.Option(
            "--communities",
            metavar="average|text|none",
            help="A community's adapter: the average of its people's, or trained on their text.",
            rich_help_panel=COMMUNITIES,
        ),
    ] = "average",
    least: Annotated[
        int,
        typer.Option(
            "--least", parser=whole(1, 1_000_000), help="People of a community, at least.", rich_help_panel=COMMUNITIES
        ),
    ] = 10,
    prefix: Annotated[
        str, typer.Option("--prefix", help="What communities are called.", rich_help_panel=COMMUNITIES)
    ] = "people",
    people: Annotated[
        bool,
        typer.Option("--people/--no-people", help="Train an adapter for each writer.", rich_help_panel=COMMUNITIES),
    ] = True,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            parser=whole(1, 1_000_000),
            help="Of each writer: two passes unless you say.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    community_steps: Annotated[
        int,
        typer.Option(
            "--community-steps", parser=whole(1, 1_000_000), help="Of a community's text.", rich_help_panel=TRAINING
        ),
    ] = 128,
    rank: Annotated[
        int, typer.Option("--rank", parser=whole(1, 1024), help="Of each adapter.", rich_help_panel=TRAINING)
    ] = 8,
    learning_rate: Annotated[
        float,
        typer.Option("--learning-rate", parser=number(0, 1), help="Peak learning rate.", rich_help_panel=TRAINING),
    ] = 1e-3,
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            parser=whole(1, 1_000_000),
            help="Of a message, its prompt included.",
            rich_help_panel=TRAINING,
        ),
    ] = 256,
    most: Annotated[
        int | None,
        typer.Option(
            "--most", parser=whole(4, 1_000_000), help="Messages of a writer, at most.", rich_help_panel=TRAINING
        ),
    ] = None,
    about: Annotated[
        Path | None, typer.Option("--about", metavar="FILE", help="Markdown for the card: the data, and its terms.")
    ] = None,
    seed: SeedOpt = 0,
    offline: OfflineOpt = False,
    minutes: MinutesOpt = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Train adapters for many writers, and make a cache of them; the same command goes on, and adds writers."""
    from xpert_cli.corpus.writers import find_writers
    from xpert_cli.training.many import Settings, train_cache
    from xpert_cli.training.writer import How

    with Output(json=json, quiet=quiet, minutes=minutes) as o:
        how = How(
            base="",
            rank=rank,
            steps=steps,
            community_steps=community_steps,
            learning_rate=learning_rate,
            max_tokens=max_tokens,
            most=most,
            seed=seed,
            threads=threads,
            adapters=people,
        )
        settings = Settings(
            how=how,
            engine=engine,
            jobs=jobs,
            communities=communities,
            least=least,
            prefix=prefix,
            about=paths.text(about) if about else "",
            address=address,
        )
        model = open_base(base, offline, o)
        work_folder = work or out.absolute().with_name(f"{out.absolute().name}.work")
        result = train_cache(
            find_writers(writers, work_folder / "texts", column), out, work_folder, model, settings, o.progress
        )
        o.show(result, views.trained_cache(result))
        o.notes(result.notes)
        o.hint(again("cache verify", base=base, cache=out))
