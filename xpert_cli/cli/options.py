"""Options that several commands share, each defined once, and the files that their values stand for.

    def run(base: BaseOpt = None, adapter: AdapterOpt = None) -> None:
        adapter_files(adapter, cache, offline)          # [(Path("terse.gguf"), 0.5)] for --adapter terse.gguf=0.5

Where --base or --cache is left out, it is None here and comes from paths.default.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Sequence
from functools import cache as once
from pathlib import Path
from typing import Annotated, Any

import typer

from xpert_cli import paths
from xpert_cli.cli.output import Output
from xpert_cli.errors import BadInput, XpertError

TextArg = Annotated[
    list[str], typer.Argument(metavar="TEXT...", help="Files or folders with text you wrote; - for standard input.")
]
BaseOpt = Annotated[
    str | None, typer.Option("--base", metavar="FILE|ID", help="Base model: a GGUF file, or its name on the Hub.")
]
CacheOpt = Annotated[
    str | None, typer.Option("--cache", metavar="DIR|REPO", help="Adapters to choose from: a folder, or a Hub repo.")
]
AdapterOpt = Annotated[
    list[str] | None,
    typer.Option("--adapter", metavar="FILE|ID[=WEIGHT]", help="An adapter, from a file or the cache; repeatable."),
]
AuthorOpt = Annotated[str | None, typer.Option("--author", help="Your name in a chat export.")]
SeedOpt = Annotated[int, typer.Option("--seed", help="The same seed gives the same result.")]
OfflineOpt = Annotated[bool, typer.Option("--offline", help="Use only what was downloaded before.")]
OutOpt = Annotated[Path | None, typer.Option("-o", "--out", help="Where to write.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
MinutesOpt = Annotated[
    float | None, typer.Option("--minutes", min=0.0, help="Stop after so long; the same command then goes on.")
]
QuietOpt = Annotated[bool, typer.Option("--quiet", help="Print the result only.")]
TypeOpt = Annotated[str | None, typer.Option("--type", help="Quantization type of what is written.")]
RankOpt = Annotated[int | None, typer.Option("--rank", min=1, help="Rank of the adapter written.")]
TopOpt = Annotated[int, typer.Option("--top", min=1, help="How many to show.")]
PlotOpt = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.svg|.html|.png", help="Draw it: axis names and numbers only.")
]
CompareOpt = Annotated[
    bool, typer.Option("--compare", help="Ask the paper's two-answer question; needs a cache with words.")
]
MeasuredOpt = Annotated[bool, typer.Option("--measured-only", help="Use measured axes only; needs no model.")]
SummarizerOpt = Annotated[
    str | None, typer.Option("--summarizer", metavar="FILE|ID", help="The model that describes writing.")
]
MaxTokensOpt = Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens at most of a message or answer.")]
SystemOpt = Annotated[str | None, typer.Option("--system", help="An instruction that comes first.")]
TemperatureOpt = Annotated[float, typer.Option("--temperature", min=0.0, help="0 always takes the likeliest token.")]
TopPOpt = Annotated[float, typer.Option("--top-p", min=0.0, max=1.0, help="Draw from this share of probability.")]
MemoryOpt = Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Memory at most, as in 900M or 2G.")]
ContextOpt = Annotated[
    int | None,
    typer.Option("--context", min=64, help="Tokens that are remembered; 2048, fewer where memory is short."),
]


def weighted(spec: str) -> tuple[str, float]:
    """Name and weight of FILE|ID[=WEIGHT]; the weight is 1 where none is given.

    Raises:
        BadInput: what follows the last = is no number, and there is no such file.
    """
    name, sign, tail = spec.rpartition("=")
    if not sign or Path(spec).exists():
        return spec, 1.0
    try:
        weight = float(tail)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight) or not name:
        raise BadInput(f"--adapter {spec}: {tail!a} is no weight. Write FILE=0.5, or FILE alone.")
    return name, weight


def memory_size(told: str) -> int:
    """Bytes of "900M", "900 MB", "1.5G" or, without a unit, megabytes.

    Raises:
        BadInput: it says no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)i?b?\s*", told.lower())
    if not match:
        raise BadInput(f"--memory {told!a} is no size. Write 900M or 2G.")
    return int(float(match[1]) * {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "": 1 << 20}[match[2]])


def is_file_name(name: str) -> bool:
    """Whether --adapter or --from names a file or folder, and not an id of the cache."""
    return name.endswith(".gguf") or "/" in name or os.sep in name or Path(name).exists()


def base_file(name: str | None, offline: bool, out: Output) -> Path:
    """The GGUF file of --base, or of the default base model; one that did not come with xpert stands a trial first."""
    from xpert_cli.hub.sources import PACKAGED_BASE, find_base

    name = name or paths.default("base")
    base = find_base(name, offline=offline, progress=out.progress)
    if name.lower() != PACKAGED_BASE:
        from xpert_cli.llama.trial_load import try_base

        try_base(base)
    return base


def open_catalogue(name: str | None, offline: bool, out: Output) -> Any:
    """The cache of --cache, or the default one."""
    from xpert_cli.cache.catalogue import open_cache
    from xpert_cli.hub.sources import open_source

    catalogue = open_cache(open_source(name or paths.default("cache"), offline=offline, progress=out.progress))
    out.notes(catalogue.notes)
    return catalogue


def known_catalogue(start: str, name: str | None, base: Path, offline: bool, out: Output) -> Any:
    """The cache that --from chooses from; where it needs none, the one that is here and for this base, or None.

    Without one a new adapter's style is told on the axes of its base alone, and caches cannot place it by its text.
    """
    if not (start in ("base", "last") or is_file_name(start)):
        return open_catalogue(name, offline, out)
    from xpert_cli.gguf import read_header

    read_header(base)  # a base that is none is no matter of the cache
    try:
        catalogue = open_catalogue(name, True, out)
        catalogue.require(base)
    except XpertError as error:
        out.note(f"going on without a cache: {error}")
        return None
    return catalogue


def adapter_files(
    specs: Sequence[str] | None, cache: str | None, offline: bool, out: Output, base: Path | None = None
) -> list[tuple[Path, float]]:
    """The files and weights of --adapter options; the cache is opened only if one of them is an id.

    With a `base` they are for llama.cpp, and each has to stand a trial first.
    """
    catalogue = once(lambda: open_catalogue(cache, offline, out))
    found = []
    for spec in specs or ():
        name, weight = weighted(spec)
        path = adapter_file(name) if is_file_name(name) else catalogue().fetch(name)
        found.append((_admitted(path, base) if base else path, weight))
    return found


def adapter_file(name: str) -> Path:
    """The adapter that a file or a run's folder is."""
    return Path(name, "adapter.gguf") if Path(name, "adapter.gguf").is_file() else Path(name)


def _admitted(path: Path, base: Path) -> Path:
    from xpert_cli.cache.screening import admitted

    return admitted(path, base)


def starting_points(start: str, written: Any, base: Path, catalogue: Any, out: Output) -> list[tuple[str, Path, float]]:
    """(adapter, file, weight) of what --from means."""
    if start == "base":
        return []
    if start == "last":
        path = last_run()
        return [(str(path), path, 1.0)]
    if start == "selection":
        from xpert_cli.selection.select import select as choose

        chosen = choose(written, catalogue, base, progress=out.progress)
        out.note(chosen.explanation if chosen.selected else f"{chosen.explanation} Starting from the base model.")
        return [(c.adapter, path, w) for c, (path, w) in zip(chosen.selected, chosen.files, strict=True)]
    path = adapter_file(start) if is_file_name(start) else catalogue.fetch(start)
    return [(start, path, 1.0)]


def last_run() -> Path:
    """The adapter file of the newest finished run; run.json is what a run writes last."""
    finished = sorted(paths.data_dir().glob("runs/*/run.json"), key=lambda path: path.stat().st_mtime)
    if not finished:
        raise BadInput("there is no earlier run to go on from. Leave --from out.")
    return finished[-1].parent / "adapter.gguf"


def earlier_messages() -> Any:
    """The messages that the newest finished run learnt from; None where it kept none."""
    from xpert_cli import corpus

    kept = last_run().with_name("messages.jsonl")
    return corpus.read([str(kept)]) if kept.exists() else None


def again(command: str, text: Sequence[str] = (), **options: object) -> str:
    """A command line with the user's own arguments, safe to paste."""
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["xpert", *command.split(), *text, *given])
