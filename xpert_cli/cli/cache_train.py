"""`xpert cache train` on the command line; the other commands of `xpert cache` are in cache.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert_cli import paths
from xpert_cli.cli import views
from xpert_cli.cli.options import (
    LEARNING_RATE,
    MANY,
    RANK,
    TRAINING,
    AboutOpt,
    BaseOpt,
    MaxTokensOpt,
    OfflineOpt,
    OutDirOpt,
    SeedOpt,
    again,
    memory_size,
    open_base,
    option,
    whole,
    with_output,
    without_effect,
)
from xpert_cli.cli.output import Output
from xpert_cli.cli.written_files import written_place

COMMUNITIES, WORKERS = "Communities", "Workers"


@with_output(minutes=True)
def train(
    o: Output,
    context: typer.Context,
    writers: Annotated[
        Path,
        typer.Argument(
            metavar="WRITERS",
            help="A folder with a file or folder for each writer, or one table (JSONL, CSV, Parquet) of all.",
        ),
    ],
    out: OutDirOpt,
    base: BaseOpt = None,
    column: Annotated[
        str | None, option("--author-column", "The table's column that names the writer.", metavar="NAME")
    ] = None,
    engine: Annotated[
        str,
        option(
            "--engine",
            "Where workers run: in processes on this machine, or on a Ray cluster.",
            WORKERS,
            metavar="local|ray",
        ),
    ] = "local",
    jobs: Annotated[
        int | None,
        option(
            "--jobs", "How many workers train at the same time; one a core by default.", WORKERS, parser=whole(1, 1024)
        ),
    ] = None,
    threads: Annotated[
        int, option("--threads", "Threads that each worker computes with.", WORKERS, parser=whole(1, 512))
    ] = 1,
    memory: Annotated[
        str | None, option("--memory", "Most memory for each worker, such as 900M or 2G.", WORKERS, metavar="SIZE")
    ] = None,
    address: Annotated[
        str, option("--address", "Address of the Ray cluster; by default one is started on this machine.", WORKERS)
    ] = "",
    work: Annotated[
        Path | None,
        option(
            "--work",
            "Folder that keeps what is done; DIR.work beside --out by default.",
            metavar="DIR",
            parser=written_place("--work"),
        ),
    ] = None,
    communities: Annotated[
        str,
        option(
            "--communities",
            "How a community's adapter is made: as the average of its people's, or by training on their text.",
            COMMUNITIES,
            metavar="average|text|none",
        ),
    ] = "average",
    least: Annotated[
        int, option("--least", "Fewest people that make a community.", COMMUNITIES, parser=whole(1, MANY))
    ] = 10,
    prefix: Annotated[
        str, option("--prefix", "Name of the community of everybody; smaller ones add a number to it.", COMMUNITIES)
    ] = "people",
    people: Annotated[bool, option("--people/--no-people", "Train an adapter for each writer.", COMMUNITIES)] = True,
    steps: Annotated[
        int | None,
        option(
            "--steps",
            "Training steps for each writer; by default two passes over the messages.",
            TRAINING,
            parser=whole(1, MANY),
        ),
    ] = None,
    community_steps: Annotated[
        int,
        option(
            "--community-steps",
            "Training steps on a community's text, with --communities text.",
            TRAINING,
            parser=whole(1, MANY),
        ),
    ] = 128,
    rank: Annotated[int, RANK] = 8,
    learning_rate: Annotated[float, LEARNING_RATE] = 1e-3,
    max_tokens: MaxTokensOpt = 256,
    most: Annotated[
        int | None,
        option("--most", "Most messages of a writer that are used; all by default.", TRAINING, parser=whole(4, MANY)),
    ] = None,
    about: AboutOpt = None,
    seed: SeedOpt = 0,
    offline: OfflineOpt = False,
) -> None:
    """Train adapters for many writers, and make a cache of them; the same command goes on, and adds writers."""
    from xpert_cli.corpus.writers import find_writers
    from xpert_cli.training.folders import require_folders, texts_folder
    from xpert_cli.training.many import Settings, check, train_cache
    from xpert_cli.training.writer import How

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
        memory=None if memory is None else memory_size(memory),
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
    work_folder = work or out.absolute().with_name(f"{out.absolute().name}.work")
    require_folders(writers, out, work_folder)
    model = open_base(base, offline, o)
    check(out, work_folder, model, settings)
    result = train_cache(
        find_writers(writers, texts_folder(work_folder, "texts"), column),
        out,
        work_folder,
        model,
        settings,
        o.progress,
    )
    o.show(result, views.trained_cache(result))
    o.notes(result.notes)
    o.hint(again("cache verify", base=base, cache=out))
