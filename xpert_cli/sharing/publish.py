"""`xpert cache publish`, and what comes before it: looking through training text, signing, and what would be sent.

    check = look_through(corpus, adapter, base)            # what is private in it, and what the adapter remembers of it
    draft = prepare(cache, "anna/styles", key=key, checked={"mara": check.checks})
    draft.names, draft.bytes                               # nothing was sent so far
    send(draft)

The folder itself is not changed: its catalogue gets version, publisher and the digests of all files on the way. Not
here: asking the user (cli/cache.py), the Hub (sharing/upload.py), making a cache (cache/build.py).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from xpert_cli import gguf, paths
from xpert_cli.cache import card, communities, signing
from xpert_cli.cache.catalogue import ANSWERS, COORDINATES, OpenCache
from xpert_cli.cache.cells import ROOT, cells_file
from xpert_cli.cache.entries import Entry
from xpert_cli.cache.indexed import BASIS, LISTED, SPACE, IndexedCache
from xpert_cli.cache.names import NAMES, TABLE
from xpert_cli.cache.trust import SIGNATURE, Published
from xpert_cli.cache.write import LISTED_FILES, described, encoded, encoded_indexed
from xpert_cli.corpus import Corpus, Message
from xpert_cli.corpus import private_data as private
from xpert_cli.errors import BadInput, CacheMismatch
from xpert_cli.foreign.data import read_object
from xpert_cli.gguf import AdapterFile, BaseModel
from xpert_cli.hub.files import CATALOGUE
from xpert_cli.hub.sources import open_source
from xpert_cli.llama.model import Vocabulary
from xpert_cli.llama.samples import tokenized
from xpert_cli.paper import word_index
from xpert_cli.sharing import memorization, upload

Progress = Callable[[str, float], None]
HELD_OUT = 0.1  # of the messages, which a twin is not trained on
MOST = 10_000  # files of a folder, by the Hub's documentation on repository limits
_SIDE_FILES = (COORDINATES, SPACE, BASIS, ANSWERS, word_index.FILE, communities.FILE, card.FILE, CATALOGUE)
INDEX = (
    COORDINATES,
    SPACE,
    BASIS,
    ANSWERS,
    word_index.FILE,
    communities.FILE,
    card.FILE,
    SIGNATURE,
    CATALOGUE,
)  # put there together, after the adapters


@dataclass(frozen=True)
class TextCheck:
    """What a training text holds that may be private, and what its adapter remembers; `checks` goes to the card."""

    findings: tuple[private.Finding, ...]
    checks: Mapping[str, Any]

    json_omit: ClassVar[tuple[str, ...]] = ("checks",)


def look_through(
    corpus: Corpus,
    adapter: AdapterFile,
    base: BaseModel | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    progress: Progress = lambda message, fraction: None,
) -> TextCheck:
    """Look for secrets and personal data in a training text, and ask its adapter for it.

    Args:
        recipe: the adapter's own, for a twin trained with canaries; without it their exposure is not measured.

    Raises:
        MissingExtra: what looks for them, or what trains the twin, is not installed.
    """
    base = BaseModel.open(base)
    progress("looking for personal data", 0.0)
    findings = private.scan([f"{message.prompt}\n{message.response}" for message in corpus.messages])
    verbatim = memorization.longest_verbatim(base, adapter, corpus.messages, progress=progress)
    record: dict[str, Any] = {
        "data": corpus.digest,
        "findings": len(findings),
        "kinds": dict(sorted(Counter(finding.kind for finding in findings).items())),
        "verbatim": verbatim.adapter,
        "verbatim_base": verbatim.base,
        "messages": verbatim.messages,
    }
    if recipe is not None:
        messages, checks = corpus.split(HELD_OUT, 0)
        with paths.scratch() as folder:
            train = partial(_twin, base, checks, recipe, folder, progress)
            bits = memorization.exposure(base, messages.messages, train, progress=progress)
        record |= {
            "exposure": round(bits.most, 2),
            "exposure_base": round(bits.base_most, 2),
            "canaries": bits.canaries,
        }
    return TextCheck(findings, record)


def can_train() -> bool:
    """Whether a twin can be trained here: what fine-tuning needs is installed."""
    return find_spec("torch") is not None


def _twin(
    base: BaseModel,
    held: Corpus,
    recipe: Mapping[str, Any],
    folder: Path,
    progress: Progress,
    messages: Sequence[Message],
) -> AdapterFile:
    """An adapter trained on messages, from the base and with all its steps, as a recipe says."""
    from xpert_cli.training.checkpoints import Checkpoints
    from xpert_cli.training.loop import Recipe, train
    from xpert_cli.training.plan import Work, plan_for

    names = {field.name for field in fields(Recipe)}
    steps = int(recipe["steps"])
    how = Recipe(**{**{n: v for n, v in recipe.items() if n in names}, "evaluate_every": steps, "patience": 0})
    with Vocabulary(base) as model:
        samples, checks = (
            tokenized(model, part, int(recipe["max_tokens"])) for part in (Corpus(tuple(messages)), held)
        )
    longest = max(len(tokens) for tokens, _ in (*samples, *checks))
    plan = plan_for(base.header, Work(longest, how.batch, how.rank, how.layers), limit=None)
    decoder = plan.open(base)
    identity = {"base": base.fingerprint, "data": [list(one) for one in samples], "recipe": how.to_json()}
    keep = Checkpoints(paths.data_dir() / "unfinished" / "twin", identity)
    trained = train(
        decoder,
        samples,
        checks,
        how,
        pack=plan.pack,
        keep=keep,
        progress=lambda done: progress("training a twin with canaries", done.step / steps),
    )
    keep.clear()
    gguf.write_adapter(replace(trained.adapter, metadata={}), folder / "twin.gguf")
    return AdapterFile.open(folder / "twin.gguf")


def trained_on(corpus: Corpus, entries: Sequence[Entry]) -> Entry:
    """The adapter, a person's or a community's, that says it was trained on a text.

    Raises:
        CacheMismatch: none does.
    """
    for entry in entries:
        if entry.provenance.get("data", {}).get("digest") == corpus.digest:
            return entry
    raise CacheMismatch(
        f"no adapter here was trained on this text ({corpus.digest[:12]}…). "
        "Name the files that xpert finetune was given, with the same --author, or the run's messages.jsonl."
    )


@dataclass(frozen=True)
class Draft:
    """What would be sent, and where to.

    Attributes:
        names: files that the repo has not, or has otherwise.
        signed_by: public key; "" for none.
        unchecked: adapters whose training text was not looked through.
    """

    repo: str
    private: bool
    version: int
    names: tuple[str, ...]
    bytes: int
    signed_by: str
    unchecked: tuple[str, ...]
    contents: Mapping[str, upload.Content]
    remote: upload.Remote | None
    propose: bool

    json_omit: ClassVar[tuple[str, ...]] = ("contents", "remote")


def prepare(
    cache: OpenCache,
    repo: str,
    *,
    public: bool = False,
    propose: bool = False,
    key: signing.Key | None = None,
    days: int | None = None,
    checked: Mapping[str, Mapping[str, Any]] | None = None,
    metadata: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Draft:
    """Gather what a repo has to get so that it is this cache.

    Args:
        public: for a repo that everybody can see.
        propose: open a pull request; without a signature, which is the publisher's.
        key: signs the catalogue.
        days: the catalogue expires after so many.
        checked: what `look_through` told, by adapter.
        metadata: keys of the card's front matter.

    Raises:
        BadInput: the repo is public and this was not asked for, or one is to be changed that is not there.
        CacheMismatch: a file of the cache is not what its catalogue says.
    """
    remote = upload.look(repo)
    before = _before(repo, remote)
    if remote and not remote.private and not (public or propose):
        raise BadInput(f"{repo} is public: everybody could see the adapters. Say --public if that is right.")
    if propose and before is None:
        raise BadInput(f"there is no cache {repo} on the Hub to add to. Make one with: xpert cache publish")
    if before and before.get("key") and key is None and not propose:
        raise BadInput(f"{repo} is signed, and devices refuse it without a signature. Sign with --key FILE.")
    others: dict[str, Path] = {}
    if isinstance(cache, IndexedCache):
        others, index_entries = _of_index(cache, remote.files if remote else {})
        entries = [replace(e, checked=(checked or {}).get(e.id, e.checked)) for e in index_entries]
    else:
        entries = [replace(e, checked=(checked or {}).get(e.id, e.checked)) for e in cache.entries]
    groups = [
        replace(one, entry=replace(one.entry, checked=(checked or {}).get(one.id, one.entry.checked)))
        for one in cache.communities
    ]
    everything = [*entries, *(one.entry for one in groups)]
    known = remote.files if remote else {}
    if len({e.file for e in entries} | {name for name in known if name.startswith("adapters/")}) > MOST:
        raise BadInput(
            f"a folder on the Hub holds {MOST} files; {cache.source.name} has more. "
            "Put many adapters into one: xpert cache index"
        )
    contents: dict[str, upload.Content] = {
        entry.file: cache.fetch(entry.id) if entry.offset is None else cache.source.file(entry.file)
        for entry in everything
        if known.get(entry.file) != entry.sha256
    }
    if links := [name for name in (*contents, *others, *_SIDE_FILES) if cache.source.leads_outside(name)]:
        raise CacheMismatch(f"{cache.source.name}: {links[0]} is a link out of the cache. Put the file itself there.")
    side_files = (ANSWERS, word_index.FILE, *(() if isinstance(cache, IndexedCache) else (COORDINATES,)))
    listed = {name: path for name in side_files if (path := cache.source.optional(name))}
    readme = cache.source.optional(card.FILE)
    contents |= others | listed
    text = readme.read_text("utf-8") if readme else ""
    contents[card.FILE] = card.update_card(text, entries, metadata or {}, cache.size, groups).encode()
    version = (before or {}).get("version", 0) + 1
    by = Published(key.public if key else "", version, *_times(now or datetime.now(timezone.utc), days))
    elsewhere = {name: cache.source.known[name] for name in LISTED_FILES if name in cache.source.known}
    files = {name: {"sha256": digest, "bytes": size} for name, (digest, size) in elsewhere.items()}
    files |= {name: described(path) for name, path in listed.items() if name != COORDINATES}
    if groups:
        listing = contents[communities.FILE] = communities.encoded(groups, cache.space.axes)
        files[communities.FILE] = {"sha256": hashlib.sha256(listing).hexdigest(), "bytes": len(listing)}
    data = contents[CATALOGUE] = _catalogue(cache, entries, files, by)
    if key is not None:
        contents[SIGNATURE] = signing.sign(data, key, f"{repo} version {version}").encode()
    names = upload.changed(contents, remote)
    return Draft(
        repo=repo,
        private=remote.private if remote else not public,
        version=version,
        names=tuple(names),
        bytes=sum(upload.size_of(contents[name]) for name in names),
        signed_by=by.key,
        unchecked=tuple(entry.id for entry in everything if not entry.checked),
        contents=contents,
        remote=remote,
        propose=propose,
    )


def send(draft: Draft, message: str = "", progress: Progress = lambda message, fraction: None) -> upload.Receipt:
    """Upload what was prepared: adapters first, catalogue and what belongs to it last, in one commit.

    Raises:
        BadInput: no permission, somebody else's commit in between, or the Hub cannot be reached.
    """
    return upload.upload(
        draft.repo,
        draft.contents,
        last=[*INDEX, *(name for name in draft.contents if name.startswith("index/"))],
        message=message or f"Version {draft.version}",
        remote=draft.remote,
        private=draft.private,
        propose=draft.propose,
        progress=progress,
    )


def _before(repo: str, remote: upload.Remote | None) -> dict[str, Any] | None:
    """What the repo's catalogue says of its publisher; None where there is no cache yet."""
    if remote is None or CATALOGUE not in remote.files:
        return None
    try:
        contents = read_object(open_source(f"{repo}@{remote.commit}").file(CATALOGUE).read_bytes())
        return dict(contents.get("published", {}))
    except (ValueError, TypeError) as error:
        raise CacheMismatch(
            f"{repo}: its catalogue.json is damaged ({error}). Mend or remove it there first."
        ) from error


def _times(now: datetime, days: int | None) -> tuple[str, str]:
    now = now.replace(microsecond=0)
    return now.isoformat(), "" if days is None else (now + timedelta(days=days)).isoformat()


def _catalogue(cache: OpenCache, entries: Sequence[Entry], files: Mapping[str, Any], by: Published) -> bytes:
    """catalogue.json with its publisher, what was checked, and the digests of all files beside the adapters."""
    contents = read_object(cache.source.file(CATALOGUE).read_bytes())
    more = {"files": files, "published": asdict(by)}
    if isinstance(cache, IndexedCache):
        checks = {entry.id: dict(entry.checked) for entry in entries if entry.checked}
        return encoded_indexed({**contents, **more, "checked": {**cache.checked, **checks}})
    for one, entry in zip(contents["adapters"], entries, strict=True):
        one |= {"checked": dict(entry.checked)} if entry.checked else {}
    return encoded({**contents, **more})


def _of_index(cache: IndexedCache, remote_files: Mapping[str, str]) -> tuple[dict[str, Path], list[Entry]]:
    """The files of an index that are at hand, and the entries of cells that a repo has not.

    A repo has the adapters of the cells that it has: they are sent before. Where all are few, all are looked at.
    """
    names = {number: cells_file(int(number)) for number in sorted(set(cache.cells.files.tolist()))}
    local = {name: path for name in names.values() if (path := cache.source.optional(name))}
    if missing := [name for name in names.values() if name not in local and name not in remote_files]:
        raise CacheMismatch(f"{cache.source.name}: the cache has no file {missing[0]}. Get the cache anew.")
    new = {name for name in upload.changed(local, upload.Remote("", True, remote_files)) if name in local}
    cells = [cell for cell, number in enumerate(cache.cells.files.tolist()) if names[number] in new]
    entries = list(cache.entries) if cache.size <= LISTED and len(local) == len(names) else cache.entries_of(cells)
    return local | {name: cache.source.file(name) for name in (ROOT, SPACE, BASIS, NAMES, TABLE)}, entries
