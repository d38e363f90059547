"""`xpert cache build` and `xpert cache add`: explain adapters by what they write, and put them in a cache.

    built = build([Path("runs/mara"), Path("terse.gguf")], Path("cache"), base)
    added = add([Path("runs/okoro")], open_cache(source), Path("cache"), base)

Adapters answer the probes, their answers are placed on the style axes, and the catalogue is written last. Where none
brings its training text's place, they also score each other's answers. What is done is kept while it runs, so an
interrupted call goes on where it was. Adding leaves the space, and all that is in it, as it was. Not here: asking the
adapters (cache/answers.py), opening a cache (cache/catalogue.py), publishing one (sharing/publish.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli import gguf, paths
from xpert_cli.cache import card
from xpert_cli.cache.answers import answer_probes, drop
from xpert_cli.cache.catalogue import ANSWERS, OpenCache
from xpert_cli.cache.communities import write_communities
from xpert_cli.cache.entries import Entry, is_id
from xpert_cli.cache.gains import Gains, gains
from xpert_cli.cache.index import add_to_index, made_with, members_of, write_in_schema
from xpert_cli.cache.indexed import LISTED, IndexedCache
from xpert_cli.cache.opening import adapter_path
from xpert_cli.cache.outliers import traits
from xpert_cli.cache.screening import require_new, require_own
from xpert_cli.cache.write import write_cache
from xpert_cli.errors import BadInput, BadModel, CacheMismatch
from xpert_cli.foreign.data import read_object
from xpert_cli.gguf import AdapterFile, BaseModel
from xpert_cli.resume import PartialResults
from xpert_cli.style import described
from xpert_cli.style.likelihood import blended, fitted
from xpert_cli.style.measured import least_spreads
from xpert_cli.style.space import Axis, Floats, Readings, Scatter, Space, joined, measured, pooled, rounded, shrunk

Progress = Callable[[str, float], None]
PRIOR, MOST_TEXTS = 100, 1000  # texts that answers count for in what people's texts vary by, and one adapter's at most
UNKNOWN = 0.9  # of the identity in the metric where the gap is not known: chosen on tuning rows, flat from 0.8 to 0.95
FEWEST = 4  # adapters without training text whose gains on each other's answers are worth their time
LARGE = 100  # adapters from which on a cache gets an index
CLAIMED = 0.2  # smallest cosine between what an adapter's answers show and what it claims of its training text


@dataclass(frozen=True)
class Adopted:
    """One adapter of a cache that was built."""

    id: str
    file: str
    sha256: str
    bytes: int
    explanation: str
    agreement: float | None


@dataclass(frozen=True)
class Built:
    """A cache that was built; `agreement` is the cosine of an adapter's answers and its claimed training text."""

    out: str
    adapters: tuple[Adopted, ...]
    axes: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float


def build(
    adapters: Sequence[Path],
    out: Path,
    base: BaseModel | Path,
    *,
    summarizer: BaseModel | Path | None = None,
    about: str = "",
    indexed: bool | None = None,
    seed: int = 0,
    progress: Progress = lambda message, fraction: None,
) -> Built:
    """Explain adapters of one base and write them as a cache.

    Args:
        adapters: adapter GGUF files, or run folders of `xpert finetune`; the id is the file's or folder's name.
        summarizer: the model behind the described axes; the base by default.
        about: Markdown for the card: what the adapters were trained on, and under which terms.
        indexed: write an index (schema 2), of which devices read a few cells; by default from LARGE adapters on.

    Raises:
        BadInput: two adapters of one id or of the same bytes, an id that is no file name, or `out` is another cache.
        CacheMismatch: an adapter is for another base.
    """
    began = time.monotonic()
    base = BaseModel.open(base)
    summarizer_model = BaseModel.open(summarizer) if summarizer else base
    require_new(files := _named(adapters, base))
    require_own(out, files)
    out = paths.writable(out)
    answers = answer_probes(base, files, out, seed, progress)
    axes, basis = described.axes_of(summarizer_model)
    readings = _read(answers, axes, basis, summarizer_model, progress)
    sources = [described.read_source(one.adapter, axes, basis) for one in files.values()]
    means, writings = [one.mean for one in sources], [one.texts for one in sources if one.texts]
    space, answer_coordinates = build_space(axes, basis, readings, means, writings)
    training_coordinates = claimed(space, sources)
    by = ["answers"]
    if np.isnan(training_coordinates).all() and len(files) >= FEWEST:
        by.append("likelihood")
        scored = gains(base, files, answers, progress)
        answer_coordinates = _by_gains(space, answer_coordinates, dict(zip(answers, readings, strict=True)), scored)
    entries = [
        _entry(one, out, space, answer_coordinates[i], training_coordinates[i], by)
        for i, one in enumerate(files.values())
    ]
    _write_answers(out / ANSWERS, answers[""])
    info = base.info
    with paths.whole(out / card.FILE) as part:
        part.write_text(card.write_card(info.name, about, entries), "utf-8")
    by_what = {
        "base": {
            "name": info.name,
            "architecture": info.architecture,
            "fingerprint": info.fingerprint,
            "files": [paths.digest(base.path)],
        },
        "summarizer": {
            "fingerprint": summarizer_model.fingerprint,
            "questions": described.questions_digest(basis),
            "words": described.WORDS,
        },
        "probes": described.probes_digest(),
    }
    indexed = indexed if indexed is not None else len(entries) >= LARGE
    write_in_schema(out, by_what, entries, space, answer_coordinates, training_coordinates, progress, indexed=indexed)
    drop(out)
    return _built(out, entries, space, answer_coordinates, training_coordinates, began)


def add(
    adapters: Sequence[Path],
    cache: OpenCache,
    out: Path,
    base: BaseModel | Path,
    *,
    summarizer: BaseModel | Path | None = None,
    seed: int = 0,
    progress: Progress = lambda message, fraction: None,
) -> Built:
    """Explain adapters in the space of a cache, and write them with its catalogue to a folder.

    Nothing that is in the cache is read or moved: `out` may be its folder, or one with the new files alone. Only an
    adapter that does not tell of its training text answers the probes: whether the others write as they say,
    `cache.verify` asks.

    Raises:
        BadInput: an id or a file that the cache has already.
        CacheMismatch: an adapter or the cache is for another base, or it was explained otherwise.
    """
    began = time.monotonic()
    base = BaseModel.open(base)
    summarizer_model = BaseModel.open(summarizer) if summarizer else base
    cache.require(base)
    _require_alike(cache, summarizer_model)
    require_new(files := _named(adapters, base), cache)
    out = paths.writable(out, "")
    space = cache.space
    sources = [described.read_source(one.adapter, space.axes, space.basis) for one in files.values()]
    training_coordinates = claimed(space, sources)
    answer_coordinates = np.zeros_like(training_coordinates)
    places = zip(files.items(), training_coordinates, strict=True)
    silent = {name: file for (name, file), place in places if np.isnan(place).all()}
    if silent:
        answers = answer_probes(base, silent, out, seed, progress, plain=False)
        readings = _read(answers, space.axes, space.basis, summarizer_model, progress)
        answer_coordinates[[name in silent for name in files]] = [
            space.shift(one.mean, writing=False) for one in readings
        ]
    new = [
        _entry(one, out, space, answer_coordinates[i], training_coordinates[i], ["answers"] if name in silent else [])
        for i, (name, one) in enumerate(files.items())
    ]
    count = cache.size + len(new)
    entries = [*(cache.entries if count <= LISTED else ()), *new]
    readme = cache.source.optional(card.FILE)
    text = paths.text(readme) if readme else ""
    with paths.whole(out / card.FILE) as part:
        part.write_text(card.update_card(text, entries, {}, count, cache.communities), "utf-8")
    if cache.communities:
        write_communities(out, cache.communities, space.axes)
    if isinstance(cache, IndexedCache):
        add_to_index(out, cache, made_with(cache), members_of(new, answer_coordinates, training_coordinates))
    else:
        both = (cache.answer_coordinates, answer_coordinates), (cache.training_coordinates, training_coordinates)
        write_cache(out, made_with(cache), [*cache.entries, *new], space, *map(np.concatenate, both))
    drop(out)
    return _built(out, new, space, answer_coordinates, training_coordinates, began)


def _require_alike(cache: OpenCache, summarizer: BaseModel) -> None:
    """Refuse to explain in a space that was made with other probes, questions or another summarizer."""
    own = described.probes_digest(), described.questions_digest(cache.space.basis), summarizer.fingerprint
    if own != (cache.probes, cache.summarizer["questions"], cache.summarizer["fingerprint"]):
        raise CacheMismatch(
            f"{cache.source.name} was explained with another summarizer or other probes. "
            "Name its summarizer with --summarizer, or build the cache anew: xpert cache build"
        )
    same = described.understood(cache.space.axes)
    if other := [axis.name for axis, known in zip(cache.space.axes, same, strict=True) if not known]:
        raise CacheMismatch(
            f"{cache.source.name} counts {', '.join(other[:4])} otherwise than this version of xpert. "
            "Use the version it was built with, or build the cache anew: xpert cache build"
        )


def _read(
    answers: Mapping[str, list[str]], axes: Sequence[Axis], basis: described.Basis, model: BaseModel, progress: Progress
) -> list[Readings]:
    digests = [(axis.name, axis.digest) for axis in axes]
    partial = PartialResults(
        "readings", model.fingerprint, described.questions_digest(basis), digests, list(answers.values())
    )
    done, values = partial.load() or (0, np.empty((0, 0)))
    readings = [Readings(part) for part in np.split(values, done)] if done else []
    for texts in list(answers.values())[done:]:
        progress("explaining the answers", len(readings) / len(answers))
        readings.append(described.read(texts, axes, basis, model, most=len(texts)))
        partial.keep(len(readings), np.concatenate([one.values for one in readings]))
    partial.drop()
    return readings


def _built(
    out: Path,
    entries: Sequence[Entry],
    space: Space,
    answer_coordinates: Floats,
    training_coordinates: Floats,
    began: float,
) -> Built:
    agreement = [_agreement(space, answer_coordinates[i], training_coordinates[i]) for i in range(len(entries))]
    adopted = [
        Adopted(entry.id, entry.file, entry.sha256, entry.bytes, entry.explanation, agreed)
        for entry, agreed in zip(entries, agreement, strict=True)
    ]
    doubtful = [one.id for one in adopted if one.agreement is not None and one.agreement < CLAIMED]
    notes = tuple(f"the answers of {name} do not show the style it claims to be trained on" for name in doubtful)
    return Built(str(out), tuple(adopted), tuple(axis.name for axis in space.axes), notes, time.monotonic() - began)


def _named(adapters: Sequence[Path], base: BaseModel) -> dict[str, AdapterFile]:
    """The adapters by their ids, each checked against the base."""
    files: dict[str, Path] = {}
    for path in adapters:
        name = path.stem if path.is_file() else path.name
        if not is_id(name) or name in files:
            raise BadInput(
                f"{path}: {name!r} cannot be an adapter's id here. Rename it: letters, digits and dashes, once each."
            )
        files[name] = adapter_path(str(path))
    if not files:
        raise BadInput("a cache needs at least one adapter. Name adapter files or run folders.")
    opened = {name: AdapterFile.open(path, name) for name, path in files.items()}
    for adapter in opened.values():
        gguf.check_adapter(adapter, base)
    return opened


def build_space(
    axes: Sequence[Axis],
    basis: described.Basis,
    readings: Sequence[Readings],
    claims: Sequence[Floats | None],
    writings: Sequence[Scatter] = (),
) -> tuple[Space, Floats]:
    """The space of a cache, and the shifts of its adapters by their answers.

    What is measured is scaled as people's texts vary where adapters tell of that, for it is people who are compared.
    Where none does, what people's texts and answers differ in anyway is an error of unknown direction, and directions
    that answers hardly vary along must not count for most: the metric is drawn towards the identity.

    Args:
        readings: of the base's answers, then of each adapter's.
        claims: (axes,) mean readings of what each adapter was trained on.
        writings: how the texts that adapters were trained on differ on the measured axes.
    """
    spread, precision = _metric(axes, readings, writings)
    spread = np.maximum(spread, least_spreads([axis.name for axis in axes]))
    # Where the base answers in another language than people write in, they are compared with each other alone.
    reference = np.nan_to_num(
        np.where(np.isnan(readings[0].mean), _of_people(axes, claims, writings), readings[0].mean)
    )
    answered = np.array([one.mean for one in readings[1:]])
    known = [i for i, claim in enumerate(claims) if claim is not None]
    if known:
        gap = np.nan_to_num(Readings(np.array([claims[i] - answered[i] for i in known])).mean)
    else:
        gap, precision = np.zeros(len(axes)), shrunk(np.asarray(np.linalg.inv(precision), np.float64), UNKNOWN)
    rows = basis.astype(np.float16).astype(np.float32)
    space = Space(tuple(axes), rows, reference, gap, spread, rounded(precision))
    return space, np.array([space.shift(mean, writing=False) for mean in answered])


def _of_people(axes: Sequence[Axis], claims: Sequence[Floats | None], writings: Sequence[Scatter]) -> Floats:
    """(axes,) mean reading of what people wrote, NaN where nobody says anything."""
    mean = Readings(np.array([one for one in claims if one is not None]).reshape(-1, len(axes))).mean
    if writings:
        mean[measured(axes)] = Readings(np.array([one.mean for one in writings])).mean
    return mean


def _metric(axes: Sequence[Axis], readings: Sequence[Readings], writings: Sequence[Scatter]) -> tuple[Floats, Floats]:
    """Spread and precision: of measured axes within what people wrote, of described ones within answers.

    Answers stand in for PRIOR texts, which is what a cache of few adapters of few messages rests on.
    """
    answers = [one.scatter for one in readings]
    if not writings:
        return pooled(answers)
    counted = measured(axes)
    prior = [one.on(counted).weighing(1 + PRIOR / len(answers)) for one in answers]
    own = [one.weighing(min(one.samples, MOST_TEXTS)) for one in writings]
    return joined(pooled([*prior, *own]), pooled([one.on(~counted) for one in answers]), counted)


def claimed(space: Space, sources: Sequence[described.Source]) -> Floats:
    """(adapters, axes) shifts of what adapters tell of their training text; NaN where one tells nothing."""
    return np.array([described.source_position(space, source) for source in sources])


def _agreement(space: Space, answer: Floats, training: Floats) -> float | None:
    """None where one of the two is not known."""
    known = answer.any() and not np.isnan(training).all()
    return float(space.shares(np.nan_to_num(training), answer).sum()) if known else None


def _by_gains(space: Space, answer_coordinates: Floats, readings: Mapping[str, Readings], scored: Gains) -> Floats:
    """(adapters, axes) shifts of the adapters' answers, turned towards what they make more probable."""
    references = np.array([readings[author].values[probe] for author, probe in scored.texts])
    prompts = [probe for _, probe in scored.texts]
    shifts = fitted(space.shift(references, writing=False), scored.values, prompts, space.precision)
    return blended(answer_coordinates, shifts, space)


def _entry(
    adapter: AdapterFile,
    out: Path,
    space: Space,
    answer_coordinates: Floats,
    training_coordinates: Floats,
    by: Sequence[str],
) -> Entry:
    """Copy one adapter into the cache and describe it."""
    target = out / "adapters" / f"{adapter.name}.gguf"
    if adapter.path.resolve() != target.resolve():
        with paths.whole(target) as part:
            part.write_bytes(adapter.path.read_bytes())
    has_training_text = not np.isnan(training_coordinates).all()
    return Entry(
        id=adapter.name,
        file=f"adapters/{adapter.name}.gguf",
        sha256=paths.digest(target),
        bytes=target.stat().st_size,
        rank=adapter.adapter.rank,
        alpha=adapter.adapter.alpha,
        explanation=described.sentence(
            space, np.nan_to_num(training_coordinates) if has_training_text else answer_coordinates, subject="writes"
        ),
        provenance=_provenance(adapter.path),
        explained_by=(*by, "source") if has_training_text else tuple(by),
        traits={name: round(value, 6) for name, value in traits(adapter.adapter).items()},
    )


def _provenance(path: Path) -> dict[str, Any]:
    """What a finished run tells of itself: steps, messages, losses, recipe."""
    record = path.parent / "run.json"
    if path.name != "adapter.gguf" or not record.exists():
        return {}
    try:
        run = read_object(record.read_bytes())
        keys = ("steps", "messages", "held_out", "tokens", "loss_before", "loss_after")
        result = {key: run["result"][key] for key in keys}
        return {"data": run["data"], "recipe": run["recipe"], **result}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{record}: not the record of a finished run ({error}). Fine-tune again.") from error


def _write_answers(path: Path, answers: Sequence[str]) -> None:
    lines = (
        json.dumps({"prompt": p, "response": r}, ensure_ascii=False)
        for p, r in zip(described.probes(), answers, strict=True)
    )
    with paths.whole(path) as part:
        part.write_text("\n".join(lines) + "\n", "utf-8")
