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
    without_effect,
)
from xpert_cli.cli.output import Output

TRAINING, COMMUNITIES, WORKERS = "Training", "Communities", "Workers"


def train(
    context: typer.Context,
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
        str,
        typer.Option(
            "--engine",
            metavar="local|ray",
            help="Where workers run: in processes on this machine, or on a Ray cluster.",
            rich_help_panel=WORKERS,
        ),
    ] = "local",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            parser=whole(1, 1_024),
            help="How many workers train at the same time; one a core by default.",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            parser=whole(1, 512),
            help="Threads that each worker computes with.",
            rich_help_panel=WORKERS,
        ),
    ] = 1,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            help="Address of the Ray cluster; by default one is started on this machine.",
            rich_help_panel=WORKERS,
        ),
    ] = "",
    work: Annotated[
        Path | None,
        typer.Option("--work", metavar="DIR", help="Folder that keeps what is done; DIR.work beside --out by default."),
    ] = None,
    communities: Annotated[
        str,
        typer.Option(
            "--communities",
            metavar="average|text|none",
            help="How a community's adapter is made: as the average of its people's, or by training on their text.",
            rich_help_panel=COMMUNITIES,
        ),
    ] = "average",
    least: Annotated[
        int,
        typer.Option(
            "--least",
            parser=whole(1, 1_000_000),
            help="Fewest people that make a community.",
            rich_help_panel=COMMUNITIES,
        ),
    ] = 10,
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            help="Name of the community of everybody; smaller ones add a number to it.",
            rich_help_panel=COMMUNITIES,
        ),
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
            help="Training steps for each writer; by default two passes over the messages.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    community_steps: Annotated[
        int,
        typer.Option(
            "--community-steps",
            parser=whole(1, 1_000_000),
            help="Training steps on a community's text, with --communities text.",
            rich_help_panel=TRAINING,
        ),
    ] = 128,
    rank: Annotated[
        int, typer.Option("--rank", parser=whole(1, 1024), help="Rank of each adapter.", rich_help_panel=TRAINING)
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
            help="Most tokens of a message, with its prompt.",
            rich_help_panel=TRAINING,
        ),
    ] = 256,
    most: Annotated[
        int | None,
        typer.Option(
            "--most",
            parser=whole(4, 1_000_000),
            help="Most messages of a writer that are used; all by default.",
            rich_help_panel=TRAINING,
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
    from xpert_cli.training.many import Settings, check, train_cache
    from xpert_cli.training.writer import How

    with Output(json=json, quiet=quiet, minutes=minutes) as o:
        if writers.is_dir():
            without_effect(context, f"on {writers}, a folder of which each entry is a writer", "column")
        if engine == "local":
            without_effect(context, "without --engine ray", "address")
        if communities != "text":
            without_effect(context, "without --communities text", "community_steps")
        if communities == "none":
            without_effect(context, "beside --communities none", "least", "prefix")
        if not people and communities == "text":
            without_effect(context, "beside --no-people; communities have --community-steps", "steps")
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
        check(out, work_folder, model, settings)
        result = train_cache(
            find_writers(writers, work_folder / "texts", column), out, work_folder, model, settings, o.progress
        )
        o.show(result, views.trained_cache(result))
        o.notes(result.notes)
        o.hint(again("cache verify", base=base, cache=out))
