"""`xpert runs` and `xpert disk`: the runs of fine-tuning that are kept, and what takes room.

Runs are found in runs.py; what is made of one is made by models/merge.py and models/ollama.py.
"""

from __future__ import annotations

import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xpert_cli import paths, runs
from xpert_cli.cli.options import (
    BaseOpt,
    JsonOpt,
    OfflineOpt,
    OutOpt,
    QuietOpt,
    YesOpt,
    again,
    alone,
    open_base,
    option,
    with_output,
    without_effect,
)
from xpert_cli.cli.output import Output
from xpert_cli.cli.views import pairs, size
from xpert_cli.errors import BadInput, BadUsage

app = typer.Typer(invoke_without_command=True)


def run_names() -> list[str]:
    """The names that a shell completes."""
    return [*runs.NEWEST[:1], *(run.name for run in runs.all_runs())]


RunArg = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name, its first letters, or last.", autocompletion=run_names)
]


@app.callback()
def all_of_them(context: typer.Context, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """List, show, rename, delete and export runs of fine-tuning; alone, list them."""
    if alone(context, json, quiet):
        list_runs(json=json, quiet=quiet)


@app.command("list")
@with_output()
def list_runs(out: Output) -> None:
    """List the runs in xpert's folder, the newest first; not those in a folder of --out."""
    listed = runs.all_runs()
    out.show({"runs": [_fields(run) for run in listed], "folder": runs.runs_dir()}, _listed(listed))
    if not listed:
        out.hint("xpert finetune TEXT")


@app.command()
@with_output()
def show(out: Output, run: RunArg) -> None:
    """Show one run: what it was trained on, from what, and how well it did."""
    chosen = runs.find(run, finished=False)
    out.show(_fields(chosen), _shown(chosen))
    if chosen.finished:
        out.hint(again("chat", adapter=chosen.name))


@app.command()
@with_output()
def rename(
    out: Output, run: RunArg, name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")]
) -> None:
    """Give a run a name that --adapter and --from accept."""
    from xpert_cli.cache.opening import ids_at_hand

    renamed = runs.rename(runs.find(run), name, ids_at_hand())
    out.show(_fields(renamed), Text(f"{renamed.folder.name} is now called {renamed.name}."))


@app.command("rm")
@with_output()
def remove(
    out: Output,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Their names.", autocompletion=run_names)],
    yes: YesOpt = False,
) -> None:
    """Delete runs with everything that is in them."""
    chosen = [runs.find(name, finished=False) for name in names]
    total = sum(run.bytes for run in chosen)
    listed = ", ".join(run.name for run in chosen)
    agree(f"Delete {listed} ({size(total)})?", yes, out)
    for run in chosen:
        runs.remove(run)
    result = {"removed": [run.name for run in chosen], "bytes": total}
    out.show(result, Text(f"deleted {listed}: {size(total)} are free"))


@app.command()
@with_output()
def export(
    o: Output,
    context: typer.Context,
    run: RunArg,
    kind: Annotated[str, typer.Argument(metavar="gguf|peft|ollama|zip", help="What to make of it.")],
    out: OutOpt = None,
    base: BaseOpt = None,
    offline: OfflineOpt = False,
) -> None:
    """Turn a run into a model (gguf), a PEFT folder (peft), a folder for Ollama (ollama), or an archive (zip).

    The archive holds the adapter and its record, and none of your messages.
    """
    if kind not in _EXPORTS:
        raise BadUsage(f"{kind!a} is no form of a run. It can be: {', '.join(_EXPORTS)}.")
    if kind == "zip":
        without_effect(context, "on an archive, which holds no base", "base", "offline")
    chosen = runs.find(run)
    target = out or Path(chosen.name + {"gguf": ".gguf", "zip": ".zip"}.get(kind, f"-{kind}"))
    if target.exists():
        raise BadInput(f"{target} is there already. Choose another name with --out.")
    if kind in ("gguf", "zip"):
        paths.require_place(target)
    if kind == "zip":
        _zip(chosen, target)
    else:
        _EXPORTS[kind](chosen, open_base(base, offline, o), target, o, base is not None)
    fields = {"run": chosen.name, "kind": kind, "out": target, "bytes": _bytes(target)}
    o.show(fields, Text(f"{chosen.name} is in {target} ({size(_bytes(target))})"))
    if kind == "gguf":
        o.hint(again("chat", base=target))
    if kind == "ollama":
        o.hint(f"cd {target} && ollama create {chosen.name} -f Modelfile")


def _gguf(run: runs.Run, base: Any, target: Path, out: Output, chosen: bool) -> None:
    """A model of its own: the merged one that the run made, or one that is made now, for a base that was `chosen`."""
    from xpert_cli.models import merge

    if not chosen and (merged := run.folder / runs.MERGED).is_file():
        with paths.whole(target, "--out") as part:
            shutil.copyfile(merged, part)
    else:
        merge.merge([(run.adapter, 1.0)], base, target, progress=out.progress)


def _peft(run: runs.Run, base: Any, target: Path, out: Output, chosen: bool) -> None:
    """The folder that transformers and peft read."""
    from xpert_cli.models import merge

    if target.suffix == ".gguf":
        raise BadInput(f"{target} names a GGUF file, and peft writes a folder. Choose another name with --out.")
    merge.merge([(run.adapter, 1.0)], base, target, progress=out.progress)


def _ollama(run: runs.Run, base: Any, target: Path, out: Output, chosen: bool) -> None:
    """A folder with the merged model and its Modelfile."""
    from xpert_cli.models import ollama

    paths.writable(target)
    try:
        _gguf(run, base, target / runs.MERGED, out, chosen)
    except BaseException:
        with suppress(OSError):  # what a stopped merge goes on from lies in it
            target.rmdir()
        raise
    with paths.whole(target / "Modelfile", "--out") as part:
        part.write_text(ollama.modelfile(target / runs.MERGED), "utf-8")


def _zip(run: runs.Run, target: Path) -> None:
    """The adapter and its record. Messages, and what the record quotes of them, stay here."""
    import json

    from xpert_cli.foreign.data import read_object

    record = read_object((run.folder / runs.RECORD).read_bytes())
    result = record.get("result")
    if isinstance(result, dict):
        private = ("prompt", "before", "after", "folder", "adapter", "merged", "modelfile")
        record["result"] = {key: value for key, value in result.items() if key not in private}
    with paths.whole(target, "--out") as part, zipfile.ZipFile(part, "w") as archive:
        archive.write(run.adapter, f"{run.name}/{runs.ADAPTER}")
        archive.writestr(f"{run.name}/{runs.RECORD}", json.dumps(record, indent=1) + "\n")


_EXPORTS: dict[str, Any] = {"gguf": _gguf, "peft": _peft, "ollama": _ollama, "zip": _zip}


@with_output()
def disk(
    out: Output,
    context: typer.Context,
    prune: Annotated[bool, option("--prune", "Delete what can be made or fetched again, after asking.")] = False,
    yes: YesOpt = False,
) -> None:
    """Show what takes space in xpert's folder, and delete what can be made or fetched again.

    --prune deletes unfinished runs, merged models (which are made again when they are needed) and what was fetched from
    the Hub. Adapters and your messages stay.
    """
    if not prune:
        without_effect(context, "without --prune, which asks before it deletes", "yes")
    parts = _usage()
    free = shutil.disk_usage(paths.nearest(paths.data_dir())).free
    total = sum(count for _, count, _ in parts)
    spare = [(what, count, files) for what, count, files in parts if files is not None]
    fields = {
        "folder": paths.data_dir(),
        "parts": [{"what": what, "bytes": count, "prunable": files is not None} for what, count, files in parts],
        "bytes": total,
        "free_bytes": free,
    }
    could = sum(count for _, count, _ in spare)
    if not prune:
        out.show(fields, _room(parts, free))
        if could:
            out.hint("xpert disk --prune")
        return
    if could:
        agree(f"Delete {', '.join(what for what, count, _ in spare if count)} ({size(could)})?", yes, out)
        for _, _, files in spare:
            for path in files or ():
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    out.show({**fields, "pruned_bytes": could}, Text(f"{size(could)} were freed; {size(total - could)} are in use"))


def _usage() -> list[tuple[str, int, list[Path] | None]]:
    """(what, bytes, what --prune deletes) of each part of the folder; None where it stays."""
    all_runs, home = runs.all_runs(), paths.data_dir()
    merged = [path for run in all_runs if run.finished and (path := run.folder / runs.MERGED).is_file()]
    begun = [run for run in all_runs if not run.finished]
    merged_bytes = sum(path.stat().st_size for path in merged)
    fetched = [path for name in ("hub", "files") if (path := home / name).is_dir()]
    rest = [path for path in home.glob("*") if path not in fetched and path != runs.runs_dir()]
    return [
        ("adapters and messages of runs", sum(run.bytes for run in all_runs if run.finished) - merged_bytes, None),
        ("merged models of runs", merged_bytes, merged),
        ("unfinished runs", sum(run.bytes for run in begun), [run.folder for run in begun]),
        ("files fetched from the Hub", sum(map(_bytes, fetched)), fetched),
        ("other", sum(map(_bytes, rest)), None),
    ]


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else runs.size_of(path)


def agree(question: str, yes: bool, out: Output) -> None:
    """Go on if the user agrees."""
    if yes:
        return
    if not out.asks:
        raise BadInput("this asks before it deletes, and nobody is there to answer. Say yes beforehand with --yes.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _fields(run: runs.Run) -> dict[str, Any]:
    from xpert_cli.gguf import called

    return {
        "name": run.name,
        "folder": run.folder,
        "finished": run.finished,
        "when": run.when,
        "messages": run.messages,
        "base": called(run.base),
        "loss_base": run.loss_base,
        "loss_before": run.loss_before,
        "loss_after": run.loss_after,
        "started_from": [{"adapter": name, "weight": weight} for name, weight in run.started_from],
        "layers": run.layers,
        "base_layers": run.all_layers,
        "bytes": run.bytes,
    }


def _listed(listed: list[runs.Run]) -> RenderableType:
    if not listed:
        return Text("There are no runs yet.")
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    table.add_row(*(Text(name, "dim") for name in ("run", "when", "messages", "loss", "size")))
    for run in listed:
        loss = "unfinished" if not run.finished else "" if run.loss_after is None else f"{run.loss_after:.3f}"
        table.add_row(Text(run.name), run.when, str(run.messages or ""), loss, size(run.bytes))
    return table


def _shown(run: runs.Run) -> RenderableType:
    from xpert_cli.gguf import called

    started = " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in run.started_from)
    losses = [
        f"{name} {value:.3f}"
        for name, value in (("base", run.loss_base), ("start", run.loss_before), ("end", run.loss_after))
        if value is not None
    ]
    layers = f"the last {run.layers}" + (f" of {run.all_layers}" if run.all_layers else "")
    layers = "" if run.layers is None else f"all {run.layers}" if run.layers == run.all_layers else layers
    rows = [
        ("run", run.name),
        ("ended" if run.finished else "unfinished since", run.when),
        ("base", called(run.base)),
        ("messages", str(run.messages or "")),
        ("started from", started or ("the base model" if run.finished else "")),
        ("trained layers", layers),
        ("loss", ", ".join(losses) and f"{', '.join(losses)} nats a token, on messages held out"),
        ("size", size(run.bytes)),
        ("folder", str(run.folder)),
    ]
    return pairs(rows)


def _room(parts: list[tuple[str, int, list[Path] | None]], free: int) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for what, count, files in parts:
        table.add_row(what, size(count), "--prune frees it" if files is not None and count else "")
    table.add_row(Text("together", "bold"), size(sum(count for _, count, _ in parts)), f"{size(free)} are free")
    return Group(Text(str(paths.data_dir()), "dim"), table)
