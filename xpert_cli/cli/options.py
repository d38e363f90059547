"""Options that several commands share, each defined once, and what their values stand for, opened.

    def run(base: BaseOpt = None, adapter: AdapterOpt = None) -> None:
        with Output() as out:
            model = open_base(base, False, out)
            adapters = open_adapters(adapter, None, False, out, model)

Where --base or --cache is left out, the settings name it. Not here: what names mean (models/bases.py,
cache/opening.py, training/starts.py).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from xpert_cli import platform
from xpert_cli.cli.output import Output
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.foreign import numbers

if TYPE_CHECKING:
    from xpert_cli.cache.catalogue import OpenCache
    from xpert_cli.corpus import Corpus
    from xpert_cli.gguf import BaseModel, WeightedAdapter

# Groups of options in --help.
MODEL, TEXT, DRAWING, OUTPUT, LIMITS = "Model", "What is read", "Answers", "Output", "Limits"


def number(least: float, most: float) -> Callable[[str], float]:
    """What reads an option's value as a number from `least` to `most`; anything else is wrong usage."""
    return _parser(lambda text: numbers.number(text, least, most))


def whole(least: int, most: int) -> Callable[[str], int]:
    """What reads an option's value as a whole number from `least` to `most`; anything else is wrong usage."""
    return _parser(lambda text: numbers.whole(text, least, most))


_Value = TypeVar("_Value")


def _parser(read: Callable[[str], _Value]) -> Callable[[str], _Value]:
    def parse(value: str | _Value) -> _Value:
        if not isinstance(value, str):  # a default
            return value
        try:
            return read(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    parse.__name__ = "NUMBER"  # what help calls the kind of value
    return parse


def adapter_names(incomplete: str) -> list[str]:
    """The names of adapters that a shell completes: runs, aliases, and the caches that are here."""
    from xpert_cli import aliases, runs
    from xpert_cli.cache.opening import ids_at_hand

    here = [
        *runs.NEWEST[:1],
        *(run.name for run in runs.finished_runs()),
        *aliases.all_aliases(),
        *sorted(ids_at_hand()),
    ]
    return [name for name in here if name.startswith(incomplete)]


TextArg = Annotated[
    list[str], typer.Argument(metavar="TEXT...", help="Files or folders with text you wrote; - for standard input.")
]
BaseOpt = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="FILE|ID",
        help="Base model: a GGUF file, its name on the Hub, or an alias.",
        rich_help_panel=MODEL,
    ),
]
CacheOpt = Annotated[
    str | None,
    typer.Option(
        "--cache", metavar="DIR|REPO", help="Adapters to choose from: a folder, or a Hub repo.", rich_help_panel=MODEL
    ),
]
AdapterOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME[=WEIGHT]",
        help="An adapter: a file, a run, an id of the cache, or an alias; repeatable.",
        autocompletion=adapter_names,
        rich_help_panel=MODEL,
    ),
]
AuthorOpt = Annotated[
    list[str] | None,
    typer.Option("--author", metavar="NAME", help="Your name in chats and mail; repeatable.", rich_help_panel=TEXT),
]
SinceOpt = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE", help="Only what was written from this day on.", rich_help_panel=TEXT),
]
UntilOpt = Annotated[
    str | None,
    typer.Option("--until", metavar="DATE", help="Only what was written before this day.", rich_help_panel=TEXT),
]
ExcludeOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="PATTERN", help="Leave out texts that contain this; repeatable.", rich_help_panel=TEXT
    ),
]
ScrubOpt = Annotated[
    bool,
    typer.Option(
        "--scrub", help="Replace names of others, numbers, addresses, links and secrets first.", rich_help_panel=TEXT
    ),
]
GapOpt = Annotated[
    float | None,
    typer.Option(
        "--session-gap",
        metavar="HOURS",
        parser=number(0, 1_000_000),
        help="Hours of silence that end a conversation; 8 by default.",
        rich_help_panel=TEXT,
    ),
]
SeedOpt = Annotated[
    int,
    typer.Option(
        "--seed", parser=whole(0, 2**32 - 1), help="The same seed gives the same result.", rich_help_panel=DRAWING
    ),
]
OfflineOpt = Annotated[
    bool, typer.Option("--offline", help="Use only what was downloaded before.", rich_help_panel=MODEL)
]
OutOpt = Annotated[Path | None, typer.Option("-o", "--out", help="Where to write.", rich_help_panel=OUTPUT)]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.", rich_help_panel=OUTPUT)]
MinutesOpt = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        parser=number(0, 1_000_000),
        help="Stop after so many minutes; the same command then carries on.",
        rich_help_panel=LIMITS,
    ),
]
ThreadsOpt = Annotated[
    int | None,
    typer.Option(
        "--threads",
        parser=whole(1, 512),
        callback=platform.use_threads,
        help="Threads to compute with; by default the fast cores that are free.",
        rich_help_panel=LIMITS,
    ),
]
QuietOpt = Annotated[bool, typer.Option("--quiet", help="Print the result only.", rich_help_panel=OUTPUT)]
TypeOpt = Annotated[str | None, typer.Option("--type", help="Quantization type of what is written.")]
RankOpt = Annotated[int | None, typer.Option("--rank", parser=whole(1, 1024), help="Rank of the adapter written.")]
TopOpt = Annotated[
    int, typer.Option("--top", parser=whole(1, 1_000_000), help="How many to show.", rich_help_panel=OUTPUT)
]
PlotOpt = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE.svg|.html|.png", help="Draw it: axis names and numbers only.", rich_help_panel=OUTPUT
    ),
]
CompareOpt = Annotated[
    bool,
    typer.Option(
        "--compare", help="Ask the paper's two-answer question; needs a cache with words.", rich_help_panel=MODEL
    ),
]
MeasuredOpt = Annotated[
    bool, typer.Option("--measured-only", help="Use measured axes only; needs no model.", rich_help_panel=MODEL)
]
SummarizerOpt = Annotated[
    str | None,
    typer.Option("--summarizer", metavar="FILE|ID", help="The model that describes writing.", rich_help_panel=MODEL),
]
MaxTokensOpt = Annotated[
    int,
    typer.Option(
        "--max-tokens",
        parser=whole(1, 1_000_000),
        help="Most tokens of a message or an answer.",
        rich_help_panel=DRAWING,
    ),
]
SystemOpt = Annotated[
    str | None, typer.Option("--system", help="An instruction that comes first.", rich_help_panel=DRAWING)
]
TemperatureOpt = Annotated[
    float,
    typer.Option(
        "--temperature", parser=number(0, 10), help="0 always takes the likeliest token.", rich_help_panel=DRAWING
    ),
]
TopPOpt = Annotated[
    float,
    typer.Option(
        "--top-p",
        parser=number(0, 1),
        help="Draw from the likeliest tokens that make up this share of probability.",
        rich_help_panel=DRAWING,
    ),
]
MemoryOpt = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Most memory to use, such as 900M or 2G.", rich_help_panel=LIMITS),
]
ContextOpt = Annotated[
    int | None,
    typer.Option(
        "--context",
        parser=whole(64, 10_000_000),
        help="Tokens that the model remembers; 2048, or fewer if memory is short.",
        rich_help_panel=DRAWING,
    ),
]


def written_by(
    text: Sequence[str],
    author: Sequence[str] | None,
    out: Output,
    *,
    since: str | None = None,
    until: str | None = None,
    exclude: Sequence[str] | None = None,
    session_gap: float | None = None,
    scrub: bool = False,
) -> Corpus:
    """The user's own writing in TEXT; what was read and left out is said in one line, and in the JSON under "read"."""
    from xpert_cli import corpus

    wanted = corpus.Wanted.of(since, until, exclude or (), session_gap)
    written = corpus.read(text, author=author, wanted=wanted, progress=out.progress)
    out.note(written.reading.line)
    out.notes(written.reading.notes)
    out.beside["read"] = written.reading
    return scrubbed(written, out) if scrub else written


def scrubbed(written: Corpus, out: Output) -> Corpus:
    """The writing with placeholders for what is private; how many is said, and in the JSON under "scrubbed"."""
    from xpert_cli.corpus.scrub import scrub

    result = scrub(written, out.progress)
    out.note(result.line)
    out.beside["scrubbed"] = result.counts
    return result.corpus


def memory_size(size: str) -> int:
    """Bytes of "900M", "900 MB", "1.5G" or, without a unit, megabytes.

    Raises:
        BadUsage: it says no size.
    """
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([kmg]?)i?b?\s*", size.lower())
    if not match:
        raise BadUsage(f"--memory {size!a} is no size. Write 900M or 2G.")
    return int(float(match[1]) * {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "": 1 << 20}[match[2]])


def open_base(name: str | None, offline: bool, out: Output) -> BaseModel:
    """The model of --base, or the default one."""
    from xpert_cli.models import bases

    return bases.open_base(name, offline=offline, progress=out.progress)


def base_if_any(name: str | None, needed: bool, offline: bool, out: Output) -> BaseModel | None:
    """The model of --base, or the default one; None where that is not here, and what is asked for needs no model."""
    try:
        return open_base(name, offline, out)
    except BadInput:
        if needed or name:
            raise
        out.note("there is no base model here, so writing is counted, and an adapter is tried when it is first used")
        return None


def opened_cache(name: str | None, offline: bool, out: Output) -> OpenCache:
    """The cache of --cache, or the default one."""
    from xpert_cli.cache.opening import find_cache

    opened = find_cache(name, offline=offline, progress=out.progress)
    out.notes(opened.notes)
    return opened


def opened_at_hand(name: str | None, base: BaseModel, out: Output) -> OpenCache | None:
    """The cache of --cache, or the default one, if it is here and for this base."""
    from xpert_cli.cache.opening import cache_at_hand

    opened = cache_at_hand(name, base, out.note, out.progress)
    out.notes(opened.notes if opened else ())
    return opened


def open_adapters(
    specs: Sequence[str] | None, cache: str | None, offline: bool, out: Output, base: BaseModel
) -> list[WeightedAdapter]:
    """The adapters of --adapter for use on a base; the cache is opened only if one of them is an id."""
    from xpert_cli.cache import opening

    with cache_for_ids(cache, offline, out) as opened:
        return opening.open_adapters(specs or (), base, opened)


def alone(context: typer.Context, json: bool, quiet: bool) -> bool:
    """Whether a group of commands was called without one of them: it then lists, and its options are the listing's.

    Raises:
        BadUsage: options stand before a command, which would not see them.
    """
    if context.invoked_subcommand is None:
        return True
    with Output(json=json, quiet=quiet):
        without_effect(context, f"before {context.invoked_subcommand!a}; it belongs behind", "json", "quiet")
    return False


@contextmanager
def cache_for_ids(cache: str | None, offline: bool, out: Output) -> Iterator[Callable[[], OpenCache]]:
    """What opens the cache of --cache where an adapter is named by its id; a note says that none was."""
    used = []

    def opened() -> OpenCache:
        used.append(cache)
        return opened_cache(cache, offline, out)

    yield opened
    if cache and not used:
        out.note(f"--cache {cache} is not used: no --adapter is the id of one of its adapters")


def without_effect(context: typer.Context, why: str, *names: str) -> None:
    """Refuse options that were typed though they change nothing beside the others.

    Args:
        why: completes "--top has no effect ...".
        names: of the command's parameters.

    Raises:
        BadUsage: naming the options.
    """
    typed = [name for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    spelled = [max(one.opts, key=len) for one in context.command.params if one.name in typed]
    if spelled:
        one = len(spelled) == 1
        listed = ", ".join(spelled)
        raise BadUsage(f"{listed} {'has' if one else 'have'} no effect {why}. Leave {'it' if one else 'them'} out.")


def again(command: str, text: Sequence[str] = (), **options: object) -> str:
    """A command line with the user's own arguments, safe to paste; what was read from standard input is read there."""
    each = [(name, one) for name, value in options.items() for one in (value if isinstance(value, list) else [value])]
    words = [word for name, value in each if value is not None for word in (f"--{name}", str(value))]
    line = shlex.join(["xpert", *command.split(), *text, *words])
    return f"{line} < FILE" if "-" in text else line
