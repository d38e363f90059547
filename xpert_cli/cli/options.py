"""Options that several commands share, each defined once, and what their values stand for, opened.

    @with_output(threads=True)
    def run(out: Output, base: BaseOpt = None, adapter: AdapterOpt = None) -> None:
        model = open_base(base, False, out)
        adapters = open_adapters(adapter, None, False, out, model)

Where --base or --cache is left out, the settings name it. Not here: what names mean (models/bases.py,
cache/opening.py, training/starts.py).
"""

from __future__ import annotations

import functools
import inspect
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from xpert_cli import platform
from xpert_cli.cli.output import Output
from xpert_cli.cli.written_files import written_place
from xpert_cli.errors import BadInput, BadUsage
from xpert_cli.foreign import numbers

if TYPE_CHECKING:
    from xpert_cli.cache.catalogue import OpenCache
    from xpert_cli.corpus import Corpus
    from xpert_cli.gguf import BaseModel, WeightedAdapter

# Groups of options in --help.
MODEL, TEXT, TRAINING, DRAWING, OUTPUT, LIMITS = "Model", "What is read", "Training", "Answers", "Output", "Limits"
MANY = 1_000_000  # what a count may be at most where nothing else bounds it

_Value = TypeVar("_Value")


def option(name: str, help: str, panel: str | None = None, *, short: str | None = None, **more: Any) -> Any:
    """An option for `Annotated`: its name and short name, its line and its group in --help, and more for Typer."""
    return typer.Option(*filter(None, (short, name)), help=help, rich_help_panel=panel, **more)


def number(least: float, most: float) -> Callable[[str], float]:
    """What reads an option's value as a number from `least` to `most`; anything else is wrong usage."""
    return _parser(lambda text: numbers.number(text, least, most))


def whole(least: int, most: int) -> Callable[[str], int]:
    """What reads an option's value as a whole number from `least` to `most`; anything else is wrong usage."""
    return _parser(lambda text: numbers.whole(text, least, most))


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
AuthorOpt = Annotated[
    list[str] | None, option("--author", "Your name in chats and mail; repeatable.", TEXT, metavar="NAME")
]
SinceOpt = Annotated[str | None, option("--since", "Only what was written from this day on.", TEXT, metavar="DATE")]
UntilOpt = Annotated[str | None, option("--until", "Only what was written before this day.", TEXT, metavar="DATE")]
ExcludeOpt = Annotated[
    list[str] | None, option("--exclude", "Leave out texts that contain this; repeatable.", TEXT, metavar="PATTERN")
]
ScrubOpt = Annotated[
    bool, option("--scrub", "Replace names of others, numbers, addresses, links and secrets first.", TEXT)
]
GapOpt = Annotated[
    float | None,
    option(
        "--session-gap",
        "Hours of silence that end a conversation; 8 by default.",
        TEXT,
        metavar="HOURS",
        parser=number(0, MANY),
    ),
]

BaseOpt = Annotated[
    str | None,
    option("--base", "Base model: a GGUF file, its name on the Hub, or an alias.", MODEL, metavar="FILE|ID"),
]
CacheOpt = Annotated[
    str | None, option("--cache", "Adapters to choose from: a folder, or a Hub repo.", MODEL, metavar="DIR|REPO")
]
CacheDirArg = Annotated[Path, typer.Argument(metavar="CACHE_DIR", help="The cache's folder.")]
AdapterOpt = Annotated[
    list[str] | None,
    option(
        "--adapter",
        "An adapter: a file, a run, an id of the cache, or an alias; repeatable.",
        MODEL,
        metavar="NAME[=WEIGHT]",
        autocompletion=adapter_names,
    ),
]
SummarizerOpt = Annotated[
    str | None, option("--summarizer", "The model that describes writing.", MODEL, metavar="FILE|ID")
]
MeasuredOpt = Annotated[bool, option("--measured-only", "Use measured axes only; needs no model.", MODEL)]
OfflineOpt = Annotated[bool, option("--offline", "Use only what was downloaded before.", MODEL)]

RANK = option("--rank", "Rank of an adapter that is written.", TRAINING, parser=whole(1, 1024))
LEARNING_RATE = option("--learning-rate", "Peak learning rate.", TRAINING, parser=number(0, 1))

SystemOpt = Annotated[str | None, option("--system", "An instruction that comes first.", DRAWING)]
MaxTokensOpt = Annotated[
    int,
    option(
        "--max-tokens", "Most tokens of a message with its prompt, or of an answer.", DRAWING, parser=whole(1, MANY)
    ),
]
TemperatureOpt = Annotated[
    float, option("--temperature", "0 always takes the likeliest token.", DRAWING, parser=number(0, 10))
]
TopPOpt = Annotated[
    float,
    option(
        "--top-p",
        "Draw from the likeliest tokens that make up this share of probability.",
        DRAWING,
        parser=number(0, 1),
    ),
]
ContextOpt = Annotated[
    int | None,
    option(
        "--context",
        "Tokens that the model remembers; 2048, or fewer if memory is short.",
        DRAWING,
        parser=whole(64, 10_000_000),
    ),
]
SeedOpt = Annotated[int, option("--seed", "The same seed gives the same result.", DRAWING, parser=whole(0, 2**32 - 1))]

TypeOpt = Annotated[str | None, option("--type", "Quantization type of what is written.")]
OutOpt = Annotated[Path | None, option("--out", "Where to write.", OUTPUT, short="-o", parser=written_place("--out"))]
OutDirOpt = Annotated[
    Path, option("--out", "The cache's folder.", OUTPUT, short="-o", metavar="DIR", parser=written_place("--out"))
]
OverwriteOpt = Annotated[bool, option("--overwrite", "Write to a file that is there already.", OUTPUT)]
AboutOpt = Annotated[Path | None, option("--about", "Markdown for the card: the data, and its terms.", metavar="FILE")]
PlotOpt = Annotated[
    Path | None,
    option(
        "--plot",
        "Draw it: axis names and numbers only.",
        OUTPUT,
        metavar="FILE.svg|.html|.png",
        parser=written_place("--plot"),
    ),
]
YesOpt = Annotated[bool, option("--yes", "Do not ask.", short="-y")]

MinutesOpt = Annotated[
    float | None,
    option(
        "--minutes", "Stop after so many minutes; the same command then carries on.", LIMITS, parser=number(0, MANY)
    ),
]
ThreadsOpt = Annotated[
    int | None,
    option(
        "--threads",
        "Threads to compute with; by default the fast cores that are free.",
        LIMITS,
        parser=whole(1, 512),
        callback=platform.use_threads,
    ),
]
JsonOpt = Annotated[bool, option("--json", "Print the result as one JSON object.", OUTPUT)]
QuietOpt = Annotated[bool, option("--quiet", "Print the result only.", OUTPUT)]


def with_output(
    *, minutes: bool = False, threads: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command --json and --quiet, and in place of them hands it an Output as its first argument.

    Args:
        minutes: give it --minutes too, after which the Output ends the command.
        threads: give it --threads too.
    """
    shared: dict[str, tuple[Any, Any]] = {"json": (JsonOpt, False), "quiet": (QuietOpt, False)}
    if threads:
        shared = {"threads": (ThreadsOpt, None), **shared}
    if minutes:
        shared = {"minutes": (MinutesOpt, None), **shared}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**values: Any) -> None:
            options = {name: values.pop(name) for name in shared}
            options.pop("threads", None)  # its callback has set them
            with Output(**options) as out:
                command(out, **values)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        more = [inspect.Parameter(name, kind, default=value, annotation=of) for name, (of, value) in shared.items()]
        run.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
        vars(run)["__signature__"] = inspect.Signature([*own, *more])
        return run

    return decorate


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
    out.extra_fields["read"] = written.reading
    return scrubbed(written, out) if scrub else written


def scrubbed(written: Corpus, out: Output) -> Corpus:
    """The writing with placeholders for what is private; how many is said, and in the JSON under "scrubbed"."""
    from xpert_cli.corpus.scrub import scrub

    result = scrub(written, out.progress)
    out.note(result.line)
    out.extra_fields["scrubbed"] = result.counts
    return result.corpus


def memory_size(size: str) -> int:
    """Bytes of "900M", "900 MB", "1.5G", "1T" or, without a unit, megabytes.

    Raises:
        BadUsage: it says no size.
    """
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([kmgt]?)i?b?\s*", size.lower())
    if not match:
        raise BadUsage(f"--memory {size!a} is no size: a number with K, M, G or T, such as 900M or 2G.")
    return int(float(match[1]) * {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "": 1 << 20}[match[2]])


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
