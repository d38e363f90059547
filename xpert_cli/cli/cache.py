"""`xpert cache`: the commands that make, check, list and publish caches of adapters.

    xpert cache build runs/mara runs/okoro terse.gguf -o my-cache
    xpert cache add runs/zoe --cache anna/styles
    xpert cache publish my-cache anna/styles

Not here: what they do (cache/build.py, cache/verify.py, sharing/publish.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert_cli import corpus, paths
from xpert_cli.cache import signing
from xpert_cli.cli import cache_keys, cache_train, views
from xpert_cli.cli.options import (
    MANY,
    AboutOpt,
    AuthorOpt,
    BaseOpt,
    CacheDirArg,
    CacheOpt,
    JsonOpt,
    OfflineOpt,
    OutDirOpt,
    QuietOpt,
    SeedOpt,
    SummarizerOpt,
    YesOpt,
    again,
    alone,
    number,
    open_base,
    opened_cache,
    option,
    whole,
    with_output,
    without_effect,
)
from xpert_cli.cli.output import Output
from xpert_cli.counts import counted
from xpert_cli.errors import BadInput, BadUsage

if TYPE_CHECKING:
    from xpert_cli.cache.catalogue import OpenCache
    from xpert_cli.gguf import BaseModel

app = typer.Typer(invoke_without_command=True)
TrainedOnOpt = Annotated[
    list[str] | None,
    option(
        "--text", "Text that an adapter was trained on, to be searched for private data; repeatable.", metavar="FILE"
    ),
]
CanariesOpt = Annotated[
    bool | None,
    typer.Option(
        help="With --text: train a second adapter on planted numbers too, and say how well it remembers them. Takes as "
        "long as the run did. Done by default if PyTorch is installed."
    ),
]


@app.callback()
def cache(context: typer.Context, json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Make, check, list and publish caches of adapters; alone, list the one that the settings name."""
    if alone(context, json, quiet):
        listing(json=json, quiet=quiet)


@app.command()
@with_output(minutes=True, threads=True)
def build(
    o: Output,
    adapter: Annotated[
        list[Path], typer.Argument(metavar="ADAPTER...", help="Adapter files, or folders that xpert finetune wrote.")
    ],
    out: OutDirOpt,
    base: BaseOpt = None,
    summarizer: SummarizerOpt = None,
    about: AboutOpt = None,
    index: Annotated[
        bool | None,
        typer.Option(
            help="Write an index, so that devices read only a part of the catalogue; by default from 100 adapters on."
        ),
    ] = None,
    seed: SeedOpt = 0,
    offline: OfflineOpt = False,
) -> None:
    """Explain adapters of one base model by what they write, and make a cache of them."""
    from xpert_cli.cache import build

    result = build.build(
        adapter,
        out,
        open_base(base, offline, o),
        summarizer=open_base(summarizer, offline, o) if summarizer else None,
        seed=seed,
        about=paths.text(about) if about else "",
        indexed=index,
        progress=o.progress,
    )
    o.show(result, views.built(result))
    o.notes(result.notes)
    o.hint(again("cache verify", base=base, cache=out))


app.command()(cache_train.train)


def _require_folder(cache: Path) -> None:
    """Refuse what nothing can be written to, as `embedded`, or a folder of a disk that takes no files."""
    if not cache.is_dir():
        raise BadInput(f"{cache} is no folder. Name the folder of a cache.")
    paths.writable(cache, "")


@app.command()
@with_output()
def verify(
    out: Output,
    cache: CacheOpt = None,
    base: BaseOpt = None,
    answers: Annotated[
        int, option("--answers", "Ask N adapters too: do they write as they say?", parser=whole(0, MANY), metavar="N")
    ] = 0,
    offline: OfflineOpt = False,
) -> None:
    """Fetch every adapter of a cache, and check its digest, its structure and its base."""
    from xpert_cli.cache import verify

    model = open_base(base, offline, out)
    result = verify.verify(opened_cache(cache, offline, out), model, out.progress, ask=answers)
    out.show(result, views.verified(result))
    out.notes(result.notes)


@app.command()
@with_output()
def index(out: Output, cache: CacheDirArg) -> None:
    """Write an index for a cache, so that devices read only a part of it; one that is there is written anew.

    Every adapter is compared with its digest first.
    """
    from xpert_cli.cache.index import to_index

    _require_folder(cache)
    count = to_index(opened_cache(str(cache), True, out), cache, out.progress)
    out.show({"cache": str(cache), "adapters": count}, f"{cache} has an index of {counted(count, 'adapters')}.")
    out.hint(again("cache publish", [str(cache), "OWNER/NAME"]))


@app.command()
@with_output(minutes=True, threads=True)
def words(
    out: Output,
    cache: CacheDirArg,
    base: BaseOpt = None,
    summarizer: SummarizerOpt = None,
    orthogonality: Annotated[
        float,
        option("--orthogonality", "Keep a word if its cosine with every kept word is below this.", parser=number(0, 1)),
    ] = 0.1,
    residual: Annotated[
        float,
        option("--residual", "Stop when the words leave less than this share of an adapter.", parser=number(0, 1)),
    ] = 0.2,
    candidates: Annotated[
        int, option("--candidates", "Most words to try for each adapter.", parser=whole(1, MANY))
    ] = 300,
    offline: OfflineOpt = False,
) -> None:
    """Name the styles of a cache's adapters in words that a summarizer chooses; new adapters may add words."""
    from xpert_cli.paper.name_adapters import name_words

    _require_folder(cache)
    result = name_words(
        opened_cache(str(cache), offline, out),
        cache,
        open_base(base, offline, out),
        summarizer=open_base(summarizer, offline, out) if summarizer else None,
        orthogonality=orthogonality,
        residual=residual,
        candidates=candidates,
        progress=out.progress,
    )
    out.show(result, views.named(result))
    out.notes(result.notes)


@app.command()
@with_output(minutes=True, threads=True)
def add(
    o: Output,
    context: typer.Context,
    adapter: Annotated[
        Path,
        typer.Argument(
            metavar="ADAPTER",
            help="A folder that xpert finetune wrote, a file, or a cache with communities to add.",
        ),
    ],
    cache: Annotated[str, option("--cache", "The cache: a folder, or a Hub repo.", metavar="DIR|REPO")],
    least: Annotated[
        int, option("--least", "Of a cache: only communities of K people or more.", parser=whole(1, MANY), metavar="K")
    ] = 10,
    text: TrainedOnOpt = None,
    canaries: CanariesOpt = None,
    base: BaseOpt = None,
    summarizer: SummarizerOpt = None,
    author: AuthorOpt = None,
    yes: YesOpt = False,
    seed: SeedOpt = 0,
    offline: OfflineOpt = False,
) -> None:
    """Explain one more adapter and add it to a cache: to your folder, or as a pull request to a Hub repo."""
    from xpert_cli.cache import build

    own, communities = Path(cache).is_dir(), (adapter / "catalogue.json").is_file()
    if not own and "/" not in cache:
        raise BadInput(f"{cache} is neither a folder nor a repo OWNER/NAME. Name the cache with --cache.")
    if own:
        _require_folder(Path(cache))
        without_effect(context, f"on {cache}, which is a folder", "text", "canaries", "author", "yes")
    if communities:
        without_effect(context, "on communities, whose adapters are not asked", "summarizer", "seed")
    else:
        without_effect(context, f"on {adapter}, which is no cache", "least")
    model, opened = open_base(base, offline, o), opened_cache(cache, offline, o)
    if communities:
        if not own:
            raise BadInput(f"communities are added to a folder, and {cache} is none. Fetch it, add, publish.")
        from xpert_cli.cache.communities import add_communities

        opened.require(model)
        added = add_communities(_opened(str(adapter), offline, o), opened, Path(cache), least)
        listed = [{"id": one.id, "people": one.count, "explanation": one.entry.explanation} for one in added]
        names = ", ".join(one.id for one in added)
        o.show({"out": cache, "communities": listed}, f"{cache}: added {names}")
        o.hint(again("cache publish", [cache, "OWNER/NAME"]))
        return
    folder = Path(cache) if own else paths.data_dir() / "proposals" / cache.replace("/", "--") / adapter.name
    summarizer_model = open_base(summarizer, offline, o) if summarizer else None
    result = build.add([adapter], opened, folder, model, summarizer=summarizer_model, seed=seed, progress=o.progress)
    o.notes(result.notes)
    if own:
        o.show(result, views.built(result))
        o.hint(again("cache publish", [cache, "OWNER/NAME"]))
        return
    training_text = adapter / "messages.jsonl"
    texts = text or ([str(training_text)] if training_text.exists() else None)
    _send(_opened(str(folder), True, o), cache, o, model, texts, author, canaries, yes, propose=True)
    rmtree(folder)


@app.command()
@with_output()
def publish(
    o: Output,
    context: typer.Context,
    cache: Annotated[str, typer.Argument(metavar="DIR|REPO@REVISION", help="The cache, or a pull request to it.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The Hub repo; made if there is none.")],
    public: Annotated[bool, option("--public", "Let everybody see it.")] = False,
    text: TrainedOnOpt = None,
    canaries: CanariesOpt = None,
    key: Annotated[
        Path | None, option("--key", "Sign with this secret key, made by: xpert cache key", metavar="FILE")
    ] = None,
    days: Annotated[
        int | None, option("--expires", "Days until it expires.", parser=whole(1, 36500), metavar="DAYS")
    ] = None,
    least: Annotated[
        int | None,
        option("--least", "Only communities of K people, and nobody's own.", parser=whole(1, MANY), metavar="K"),
    ] = None,
    license: Annotated[str | None, option("--license", "For the card, as in apache-2.0.")] = None,
    base_model: Annotated[
        str | None, option("--base-model", "For the card: the base model's Hub repo.", metavar="OWNER/NAME")
    ] = None,
    base: BaseOpt = None,
    author: AuthorOpt = None,
    yes: YesOpt = False,
) -> None:
    """Put a cache on the Hub, once you agree: only files that differ; private unless you say --public."""
    if not text:
        without_effect(context, "without --text", "base", "author", "canaries")
    fields = {"license": license, "base_model": base_model}
    metadata = {name: value for name, value in fields.items() if value}
    model = open_base(base, False, o) if text else None
    secret = signing.read_key(key) if key else None
    options = {"public": public, "key": secret, "days": days, "metadata": metadata}
    opened = _opened(cache, False, o)
    if least is None:
        _send(opened, repo, o, model, text, author, canaries, yes, **options)
        return
    from xpert_cli.cache.communities import at_least

    folder = paths.data_dir() / "proposals" / f"least-{repo.replace('/', '--')}"
    rmtree(folder, ignore_errors=True)
    at_least(opened, least, paths.writable(folder, "XPERT_HOME"))
    _send(_opened(str(folder), True, o), repo, o, model, text, author, canaries, yes, **options)
    rmtree(folder)


def _opened(name: str, offline: bool, out: Output) -> OpenCache:
    """A cache that its owner is about to publish, whose signature is made anew."""
    from xpert_cli.cache.catalogue import open_cache
    from xpert_cli.hub.sources import open_source

    return open_cache(open_source(name, offline=offline, progress=out.progress), trusted=False)


def _send(
    opened: OpenCache,
    repo: str,
    out: Output,
    base: BaseModel | None,
    text: list[str] | None,
    author: list[str] | None,
    canaries: bool | None,
    yes: bool,
    **options: Any,
) -> None:
    """Look through what adapters were trained on, show what would be sent, ask, and send it."""
    from xpert_cli.sharing import publish

    if out.quiet and not yes:
        raise BadUsage("--quiet shows nothing to say yes to. Say --yes with it, or leave it out.")
    checked = {}
    twins = publish.can_train() if canaries is None else canaries
    for one in text or ():
        written = corpus.read([one], author=author)
        groups = (group.entry for group in opened.communities)
        entry = publish.trained_on(written, (*opened.entries, *groups))
        recipe = entry.provenance.get("recipe") if twins else None
        assert base is not None
        text_check = publish.look_through(
            written, opened.open_adapter(entry.id), base, recipe=recipe, progress=out.progress
        )
        out.note(views.text_check(entry.id, text_check))
        checked[entry.id] = text_check.checks
    draft = publish.prepare(opened, repo, checked=checked, **options)
    out.note(views.draft(draft))
    if not yes and (out.json or not sys.stdin.isatty() or not typer.confirm("Publish?", err=True)):
        raise BadInput(f"nothing was sent to {repo}. Say yes, or --yes, to publish.")
    receipt = publish.send(draft, progress=out.progress)
    out.show(receipt, views.receipt(receipt))
    out.hint(again("select", ["TEXT"], cache=repo))


app.command()(cache_keys.key)
app.command()(cache_keys.trust)


@app.command("list")
@with_output()
def listing(out: Output, cache: CacheOpt = None, offline: OfflineOpt = False) -> None:
    """List the adapters of a cache, and what each writes like."""
    from xpert_cli.cache import verify

    result = verify.listing(opened_cache(cache, offline, out))
    out.show(result, views.listing(result))
