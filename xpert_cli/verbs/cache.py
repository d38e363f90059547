"""`xpert cache`: make a cache of adapters, check one, list one.

    built = build([Path("runs/mara"), Path("terse.gguf")], Path("cache"), base)

Building lets base and adapters answer the probes, explains the answers on the style axes, and writes the catalogue
last. Answers are kept while it runs, so an interrupted build goes on where it was. Not here: opening a cache
(steps/catalogue.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpert_cli import paths
from xpert_cli.doors import gguf
from xpert_cli.doors.llama import Model
from xpert_cli.errors import BadInput, BadModel
from xpert_cli.maths.adapters import Adapter
from xpert_cli.maths.space import Floats, Readings, Space, pooled
from xpert_cli.steps import explain
from xpert_cli.steps.catalogue import ANSWERS, CATALOGUE, Catalogue, Entry, write_cache

Progress = Callable[[str, float], None]
ANSWER_TOKENS = 256
TEMPERATURE = 0.7
SEQUENCES = 16
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
    base: Path,
    *,
    summarizer: Path | None = None,
    about: str = "",
    seed: int = 0,
    progress: Progress = lambda message, fraction: None,
) -> Built:
    """Explain adapters of one base and write them as a cache.

    Args:
        adapters: adapter GGUF files, or run folders of `xpert finetune`; the id is the file's or folder's name.
        summarizer: the model behind the described axes; the base by default.
        about: Markdown for the card: what the adapters were trained on, and under which terms.

    Raises:
        BadInput: two adapters of one id, or an id that cannot be a file name.
        CacheMismatch: an adapter is for another base.
    """
    began = time.monotonic()
    out = paths.writable(out)
    files = _named(adapters)
    for path in files.values():
        gguf.check_adapter(gguf.read_header(path), gguf.read_header(base))
    answers = answer_probes(base, files, out, seed, progress)
    axes, basis = explain.axes_of(summarizer or base)
    readings = []
    for done, texts in enumerate(answers.values()):
        progress("explaining the answers", done / len(answers))
        readings.append(explain.read(texts, basis, summarizer or base, asked=len(texts)))
    loaded = {name: gguf.read_adapter(path) for name, path in files.items()}
    claims = [explain.source_mean(adapter, axes, basis) for adapter in loaded.values()]
    space, shown, told = placed(axes, basis, readings, claims)
    entries = [_entry(name, files[name], loaded[name], out, space, shown[i], told[i]) for i, name in enumerate(files)]
    _write_answers(out / ANSWERS, answers[""])
    with paths.whole(out / "README.md") as part:
        part.write_text(_card(gguf.base_info(base).name, about, entries), "utf-8")
    write_cache(out, _told(base, summarizer or base, basis, entries), space, shown, told)
    (out / _PENDING).unlink(missing_ok=True)
    agreement = [_agreement(space, shown[i], told[i]) for i in range(len(entries))]
    adopted = [
        Adopted(entry.id, entry.file, entry.sha256, entry.bytes, entry.explanation, agreed)
        for entry, agreed in zip(entries, agreement, strict=True)
    ]
    doubtful = [one.id for one in adopted if one.agreement is not None and one.agreement < CLAIMED]
    notes = tuple(f"the answers of {name} do not show the style it claims to be trained on" for name in doubtful)
    return Built(str(out), tuple(adopted), tuple(axis.name for axis in axes), notes, time.monotonic() - began)


def _named(adapters: Sequence[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in adapters:
        name = path.stem if path.is_file() else path.name
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", name) or name in files:
            raise BadInput(
                f"{path}: {name!r} cannot be an adapter's id here. Rename it: letters, digits and dashes, once each."
            )
        files[name] = path / "adapter.gguf" if path.is_dir() else path
    if not files:
        raise BadInput("a cache needs at least one adapter. Name adapter files or run folders.")
    return files


_PENDING = "answers.part.json"


def answer_probes(
    base: Path, files: Mapping[str, Path], out: Path, seed: int, progress: Progress
) -> dict[str, list[str]]:
    """Answers of the base ("" in the result) and of every adapter to the probes, sampled with fixed seeds.

    What is done is kept in a file in `out`, so that an interrupted call goes on.
    """
    probes = explain.probes()
    setting = {"probes": probes, "seed": seed, "base": gguf.fingerprint(base), "tokens": ANSWER_TOKENS}
    kept = _pending(out / _PENDING, setting)
    wanted = {"": None, **files}
    with Model(base, context=SEQUENCES * (ANSWER_TOKENS + 128), sequences=SEQUENCES) as model:
        asked = [model.chat(probe) for probe in probes]
        for done, (name, path) in enumerate(wanted.items()):
            key = paths.digest(path) if path else "base"
            if key not in kept:
                model.apply([(path, 1.0)] if path else [])

                def tell(part: float, done: int = done, name: str = name) -> None:
                    progress(f"answers of {name or 'the base model'}", (done + part) / len(wanted))

                tokens = model.answers(
                    asked, max_tokens=ANSWER_TOKENS, temperature=TEMPERATURE, seed=seed, progress=tell
                )
                kept[key] = [model.detokenize(answer) for answer in tokens]
                with paths.whole(out / _PENDING) as part:
                    part.write_text(json.dumps({"setting": setting, "answers": kept}), "utf-8")
    return {name: kept[paths.digest(path) if path else "base"] for name, path in wanted.items()}


def _pending(path: Path, setting: Mapping[str, Any]) -> dict[str, list[str]]:
    """Answers an interrupted build left behind, if they were made under the same setting."""
    try:
        left = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(left["answers"]) if left.get("setting") == json.loads(json.dumps(setting)) else {}


def placed(
    axes: Sequence[Any], basis: explain.Basis, readings: Sequence[Readings], claims: Sequence[Floats | None]
) -> tuple[Space, Floats, Floats]:
    """The space of a cache, and the shifts of its adapters by their answers and by their training text."""
    spread, precision = pooled([one.values for one in readings])
    reference = np.nan_to_num(readings[0].mean)
    answered = np.array([one.mean for one in readings[1:]])
    known = [i for i, claim in enumerate(claims) if claim is not None]
    gap = np.zeros(len(axes))
    if known:
        gap = np.nan_to_num(Readings(np.array([claims[i] - answered[i] for i in known])).mean)
    space = Space(tuple(axes), basis.astype(np.float16).astype(np.float32), reference, gap, spread, precision)
    shown = np.array([space.shift(mean, writing=False) for mean in answered])
    nothing = np.full(len(axes), np.nan)
    told = np.array([nothing if claim is None else space.shift(claim, writing=True) for claim in claims])
    return space, shown, told


def _agreement(space: Space, shown: Floats, told: Floats) -> float | None:
    return None if np.isnan(told).all() else float(space.shares(np.nan_to_num(told), shown).sum())


def _entry(name: str, path: Path, adapter: Adapter, out: Path, space: Space, shown: Floats, told: Floats) -> Entry:
    """Copy one adapter into the cache and describe it."""
    target = out / "adapters" / f"{name}.gguf"
    if path.resolve() != target.resolve():
        with paths.whole(target) as part:
            part.write_bytes(path.read_bytes())
    brought = not np.isnan(told).all()
    return Entry(
        id=name,
        file=f"adapters/{name}.gguf",
        sha256=paths.digest(target),
        bytes=target.stat().st_size,
        rank=adapter.rank,
        alpha=adapter.alpha,
        explanation=explain.sentence(space, np.nan_to_num(told) if brought else shown, subject="writes"),
        provenance=_provenance(path),
        explained_by=("answers", "source") if brought else ("answers",),
    )


def _provenance(path: Path) -> dict[str, Any]:
    """What a finished run tells of itself: steps, messages, losses, recipe."""
    record = path.parent / "run.json"
    if path.name != "adapter.gguf" or not record.exists():
        return {}
    try:
        run = json.loads(record.read_text("utf-8"))
        result = {
            key: run["result"][key] for key in ("steps", "messages", "held_out", "tokens", "loss_before", "loss_after")
        }
        return {"data": run["data"], "recipe": run["recipe"], **result}
    except (ValueError, KeyError) as error:
        raise BadModel(f"{record}: not the record of a finished run ({error}). Fine-tune again.") from error


def _told(base: Path, summarizer: Path, basis: explain.Basis, entries: Sequence[Entry]) -> dict[str, Any]:
    info = gguf.base_info(base)
    return {
        "base": {
            "name": info.name,
            "architecture": info.architecture,
            "fingerprint": info.fingerprint,
            "files": [paths.digest(base)],
        },
        "summarizer": {
            "fingerprint": gguf.fingerprint(summarizer),
            "questions": explain.questions_digest(basis),
            "words": explain.WORDS,
        },
        "probes": explain.probes_digest(),
        "adapters": [asdict(entry) for entry in entries],
    }


def _write_answers(path: Path, answers: Sequence[str]) -> None:
    lines = (
        json.dumps({"prompt": p, "response": r}, ensure_ascii=False)
        for p, r in zip(explain.probes(), answers, strict=True)
    )
    with paths.whole(path) as part:
        part.write_text("\n".join(lines) + "\n", "utf-8")


def _card(base: str, about: str, entries: Sequence[Entry]) -> str:
    """The cache's model card, with the front matter that the Hub reads."""
    rows = []
    for entry in entries:
        ran = entry.provenance
        losses = f"{ran['loss_before']:.3f} → {ran['loss_after']:.3f}" if ran else "not told"
        rows.append(f"| {entry.id} | {entry.explanation} | {ran.get('messages', 'not told')} | {losses} |")
    front = "base_model_relation: adapter\nlibrary_name: gguf\ntags: [xpert, lora, gguf]"
    return "\n".join(
        [
            f"---\nbase_model: {json.dumps(base)}\n{front}\n---\n",
            f"# LoRA adapters of {base}\n",
            f"A cache of {len(entries)} adapters for `xpert select`.\n",
            f"{about.strip()}\n" if about.strip() else "",
            "An explanation counts in standard deviations of single texts, from the base model's own answers.",
            "Losses are nats a response token on held-out messages, before and after training.\n",
            "| adapter | explanation | messages | loss |\n|---|---|---|---|",
            *rows,
            "",
        ]
    )


@dataclass(frozen=True)
class Verified:
    """A cache whose files were all read, digested, and checked against its base's description."""

    cache: str
    adapters: int
    bytes: int
    seconds: float


def verify(cache: Catalogue, base: Path, progress: Progress = lambda message, fraction: None) -> Verified:
    """Fetch every adapter of a cache and check digest, structure and base.

    Raises:
        CacheMismatch, BadModel: naming the first file that is wrong.
    """
    began = time.monotonic()
    cache.require(base)
    header = gguf.read_header(base)
    for done, entry in enumerate(cache.entries):
        progress(entry.id, done / len(cache.entries))
        gguf.check_adapter(gguf.read_header(cache.fetch(entry.id)), header)
    total = sum(entry.bytes for entry in cache.entries)
    return Verified(cache.source.name, len(cache.entries), total, time.monotonic() - began)


@dataclass(frozen=True)
class Listing:
    """What a cache holds, from its catalogue alone."""

    cache: str
    base: str
    catalogue: str
    adapters: tuple[Entry, ...]


def listing(cache: Catalogue) -> Listing:
    """The adapters of a cache in the catalogue's order."""
    return Listing(cache.source.name, str(cache.base["name"]), CATALOGUE, cache.entries)
