"""`xpert cache`: the commands that make, check and list caches of adapters.

    xpert cache build runs/mara runs/okoro terse.gguf -o my-cache
    xpert cache words my-cache

Not here: what they do (verbs/cache.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xpert_cli import paths, views
from xpert_cli.options import (
    BaseOpt,
    CacheOpt,
    JsonOpt,
    OfflineOpt,
    QuietOpt,
    SeedOpt,
    SummarizerOpt,
    again,
    base_file,
    open_catalogue,
)
from xpert_cli.output import Output

app = typer.Typer(no_args_is_help=True)


@app.callback()
def cache() -> None:
    """Make, check and list caches of adapters."""


@app.command()
def build(
    adapter: Annotated[
        list[Path], typer.Argument(metavar="ADAPTER...", help="Adapter files, or folders that xpert finetune wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The cache's folder.")],
    base: BaseOpt = None,
    summarizer: SummarizerOpt = None,
    about: Annotated[
        Path | None, typer.Option("--about", metavar="FILE", help="Markdown for the card: the data, and its terms.")
    ] = None,
    seed: SeedOpt = 0,
    offline: OfflineOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Explain adapters of one base model by what they write, and make a cache of them."""
    from xpert_cli.verbs import cache as verb

    with Output(json=json, quiet=quiet) as o:
        result = verb.build(
            adapter,
            out,
            base_file(base, offline),
            summarizer=base_file(summarizer, offline) if summarizer else None,
            seed=seed,
            about=paths.text(about) if about else "",
            progress=o.progress,
        )
        o.show(result, views.built(result))
        o.notes(result.notes)
        o.hint(again("cache verify", base=base, cache=out))


@app.command()
def verify(
    cache: CacheOpt = None,
    base: BaseOpt = None,
    offline: OfflineOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Fetch every adapter of a cache, and check its digest, its structure and its base."""
    from xpert_cli.verbs import cache as verb

    with Output(json=json, quiet=quiet) as out:
        result = verb.verify(open_catalogue(cache, offline), base_file(base, offline), out.progress)
        out.show(result, views.verified(result))


@app.command()
def words(
    cache: Annotated[Path, typer.Argument(metavar="CACHE_DIR", help="The cache's folder.")],
    base: BaseOpt = None,
    summarizer: SummarizerOpt = None,
    orthogonality: Annotated[
        float, typer.Option("--orthogonality", min=0.0, max=1.0, help="Keep a word whose cosines are all under this.")
    ] = 0.1,
    residual: Annotated[
        float, typer.Option("--residual", min=0.0, max=1.0, help="Enough words leave less than this of an adapter.")
    ] = 0.2,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="Words of an adapter that are looked at, at most.")
    ] = 300,
    offline: OfflineOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Name the styles of a cache's adapters by a summarizer's own words; adapters added later extend them."""
    from xpert_cli.verbs.words import name_words

    with Output(json=json, quiet=quiet) as out:
        result = name_words(
            open_catalogue(str(cache), offline),
            cache,
            base_file(base, offline),
            summarizer=base_file(summarizer, offline) if summarizer else None,
            orthogonality=orthogonality,
            residual=residual,
            candidates=candidates,
            progress=out.progress,
        )
        out.show(result, views.named(result))
        out.notes(result.notes)


@app.command("list")
def listing(
    cache: CacheOpt = None, offline: OfflineOpt = False, json: JsonOpt = False, quiet: QuietOpt = False
) -> None:
    """List the adapters of a cache, and what each writes like."""
    from xpert_cli.verbs import cache as verb

    with Output(json=json, quiet=quiet) as out:
        result = verb.listing(open_catalogue(cache, offline))
        out.show(result, views.listing(result))
