"""`xpert finetune` on the command line; its other commands are in app.py."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpert_cli import corpus, paths, platform
from xpert_cli.cli import views
from xpert_cli.cli.options import (
    LEARNING_RATE,
    LIMITS,
    MANY,
    RANK,
    TRAINING,
    AuthorOpt,
    BaseOpt,
    CacheOpt,
    ExcludeOpt,
    GapOpt,
    MaxTokensOpt,
    MinutesOpt,
    OfflineOpt,
    OutOpt,
    ScrubOpt,
    SeedOpt,
    SinceOpt,
    TextArg,
    TypeOpt,
    UntilOpt,
    adapter_names,
    again,
    memory_size,
    number,
    open_base,
    opened_at_hand,
    opened_cache,
    option,
    scrubbed,
    whole,
    with_output,
    without_effect,
    written_by,
)
from xpert_cli.cli.output import Output
from xpert_cli.cli.written_files import require_apart, written_place
from xpert_cli.errors import BadUsage

if TYPE_CHECKING:
    from xpert_cli.corpus import Corpus
    from xpert_cli.training.finetune import Losses, Settings

ENGINES = ("xpert", "peft")


@with_output(threads=True)
def finetune(
    o: Output,
    context: typer.Context,
    text: TextArg,
    start: Annotated[
        str,
        option(
            "--from",
            "Where to start: a run, an id of the cache, an alias. What select chooses, unless you say.",
            TRAINING,
            metavar="base|last|NAME|FILE",
            autocompletion=adapter_names,
        ),
    ] = "selection",
    base: BaseOpt = None,
    cache: CacheOpt = None,
    author: AuthorOpt = None,
    out: OutOpt = None,
    steps: Annotated[
        int | None,
        option(
            "--steps",
            "Optimizer steps; by default two passes over the messages, but at least 30.",
            TRAINING,
            parser=whole(1, MANY),
        ),
    ] = None,
    minutes: MinutesOpt = None,
    memory: Annotated[
        str | None, option("--memory", "Most memory to use, such as 900M or 2G.", LIMITS, metavar="SIZE")
    ] = None,
    condition: Annotated[
        str | None,
        option(
            "--while", "Train only while this command succeeds, and pause while it fails.", TRAINING, metavar="COMMAND"
        ),
    ] = None,
    wake_lock: Annotated[
        bool, option("--wake-lock", "Keep a phone computing while its screen is off.", TRAINING)
    ] = False,
    rank: Annotated[int | None, RANK] = None,
    layers: Annotated[
        int | None,
        option(
            "--layers",
            "Layers to train, counted from the last; three quarters for few messages from an adapter, else all.",
            TRAINING,
            parser=whole(1, 1024),
        ),
    ] = None,
    learning_rate: Annotated[float | None, LEARNING_RATE] = None,
    max_tokens: MaxTokensOpt = 512,
    held_out: Annotated[
        float, option("--held-out", "Share of the messages kept for measuring.", TRAINING, parser=number(0, 1))
    ] = 0.2,
    engine: Annotated[
        str,
        option(
            "--engine",
            "peft: transformers and peft, for a folder of safetensors that xpert does not train itself.",
            TRAINING,
            metavar="xpert|peft",
        ),
    ] = "xpert",
    type: TypeOpt = None,
    plot: Annotated[
        Path | None, option("--plot", "Draw the held-out loss.", metavar="FILE.svg", parser=written_place("--plot"))
    ] = None,
    export: Annotated[
        str | None, option("--export", "Write a Modelfile beside the merged model.", metavar="ollama")
    ] = None,
    since: SinceOpt = None,
    until: UntilOpt = None,
    exclude: ExcludeOpt = None,
    session_gap: GapOpt = None,
    scrub: ScrubOpt = False,
    seed: SeedOpt = 0,
    overwrite: Annotated[bool, option("--overwrite", "Train into a folder with a finished run.")] = False,
    offline: OfflineOpt = False,
) -> None:
    """Train an adapter on TEXT, starting from the nearest cached adapter, and merge it into a model.

    A run that was stopped, by Ctrl-C or by a flat battery, carries on when the same command is typed again.
    """
    from xpert_cli.llama.samples import require_room
    from xpert_cli.llama.vocabulary import Vocabulary
    from xpert_cli.training import finetune, plan, prepare, starts
    from xpert_cli.training.stopping import Stopped

    if export not in (None, "ollama"):
        raise BadUsage(f"--export {export!a} is unknown. It can be: ollama.")
    if plot and plot.suffix != ".svg":
        raise BadUsage(f"--plot draws SVG, not {plot.suffix or 'a file without a suffix'}. Name it FILE.svg.")
    if plot:
        paths.require_place(plot, "--plot")
        paths.require_unread(plot, map(Path, text), "--plot")
    settings = finetune.Settings(
        steps=steps,
        rank=rank,
        layers=layers,
        learning_rate=learning_rate,
        max_tokens=max_tokens,
        held_out=held_out,
        seed=seed,
        type_name=type,
        for_ollama=export == "ollama",
        out=out,
        overwrite=overwrite,
    )
    if out is None:
        without_effect(context, "without --out: a run gets a folder of its own", "overwrite")
    else:
        require_apart(out, text)
    if engine not in ENGINES:
        raise BadUsage(f"--engine {engine!a} is unknown. It can be: {', '.join(ENGINES)}.")
    reading = partial(
        written_by,
        text,
        author,
        o,
        since=since,
        until=until,
        exclude=exclude,
        session_gap=session_gap,
        scrub=scrub,
    )
    if engine == "peft":
        values: dict[str, object] = {
            "--cache": cache,
            "--memory": memory,
            "--minutes": minutes,
            "--while": condition,
            "--type": type,
            "--layers": layers,
        }
        values |= {"--export": export, "--from": None if start == "selection" else start}
        values |= {"--plot": plot, "--wake-lock": wake_lock or None, "--offline": offline or None}
        if unused := [name for name, value in values.items() if value is not None]:
            raise BadUsage(f"--engine peft takes no {', '.join(unused)}. Leave it out.")
        _with_peft(reading, base, settings, o)
        return
    limit, began = memory_size(memory) if memory is not None else None, time.monotonic()

    def budget() -> finetune.Budget:
        """What is left of it: selecting takes some of the time."""
        return finetune.Budget(
            seconds=None if minutes is None else max(0.0, 60 * minutes - (time.monotonic() - began)),
            memory=limit,
            may_run=platform.succeeds(condition) if condition else lambda: True,
        )

    budget()  # one out of range is refused now
    prepare.check(settings)
    corpus.Wanted.of(since, until, exclude or (), session_gap)  # what is wrong usage anyway is said first
    plan.require()  # before selecting, which takes a while too
    written = reading()
    model = open_base(base, offline, o)
    with Vocabulary(model) as vocabulary:
        require_room(vocabulary, max_tokens)
    chosen = starts.needs_cache(start)
    opened = opened_cache(cache, offline, o) if chosen else opened_at_hand(cache, model, o)
    begin = starts.find_start(start, written, model, opened, o.progress)
    if begin.why:
        o.note(begin.why)
    if scrub and begin.earlier:
        begin = replace(begin, earlier=scrubbed(begin.earlier, o))
    awake = platform.wake_lock(o.note) if wake_lock else nullcontext()
    try:
        with awake:
            result = finetune.finetune(
                written, model, opened, begin, settings, budget(), progress=o.progress, note=o.note
            )
    except Stopped:
        o.note("With --minutes 0 the same command ends here, with the best adapter so far.")
        raise
    if plot:
        _draw(result.losses, plot)
    o.show(result, views.finetuned(result))
    o.notes(result.notes)
    if result.files.modelfile:
        o.hint(shlex.join(["ollama", "create", "mine", "-f", result.files.modelfile]))
    o.hint(again("chat", base=base, adapter=result.files.adapter))


def _with_peft(reading: Callable[[], Corpus], base: str | None, settings: Settings, o: Output) -> None:
    from xpert_cli.training import peft_engine

    if base is None:
        raise BadUsage("--engine peft trains a folder of safetensors. Name one with --base.")
    peft_engine.require(Path(base))
    result = peft_engine.train_with_peft(reading(), Path(base), settings, o.progress)
    o.show(result, views.trained_with_peft(result))
    o.hint(again("merge", base="BASE.gguf", adapter=result.adapter, out="model.gguf"))


def _draw(losses: Losses, path: Path) -> None:
    from xpert_cli.plot import loss_curve

    with paths.whole(path, "--plot") as part:
        part.write_text(loss_curve(losses.curve, losses.loss_base, losses.best_step, "Held-out loss"), "utf-8")
    paths.share(path)
