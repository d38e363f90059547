"""Placing texts on the style axes: measured ones by counting, described ones by asking a language model.

    readings = read(texts, axes, basis, base)      # (texts, axes), measured axes matched by name

The question is asked about one text at a time and nothing is generated: an axis is read from the hidden state where the
answer's adjective would come. Not here: what readings mean against a base model (style/space.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

from xpert_cli import gguf, paths, platform
from xpert_cli.errors import BadModel, CacheMismatch
from xpert_cli.gguf import BaseModel
from xpert_cli.gguf.adapter import Adapter, Metadata
from xpert_cli.llama.layers import layered_states, separable
from xpert_cli.llama.memory import Layout, fitted
from xpert_cli.llama.model import Model, Vocabulary
from xpert_cli.resume import PartialResults
from xpert_cli.style.measured import MEASURED, SAME, cut, digests, evidence, readings_on
from xpert_cli.style.space import Axis, Floats, Readings, Scatter, Space, measured

Basis = npt.NDArray[np.float32]
NO_BASIS: Basis = np.empty((0, 0), np.float32)  # of measured axes alone
WORDS = 60  # words of a text that the question shows
ASKED = 20  # texts the question is asked about: more have not made selection better
LOOKED_AT = 200  # texts at most that a quote is looked for in
ALIKE = 0.5  # correlation above which two axes say the same to a reader
CONTEXT, LEAST_CONTEXT = 4096, 1024  # tokens; several questions share them
SEQUENCES = 16
MARGIN = 256 << 20  # bytes of free memory left to all but a summarizer's weights
ROOM = 1 << 30  # bytes for the weights that are worked on, where the system does not tell of its memory
READING = "float32"  # in the digest of questions: readings of quantized weights differ from these


@cache
def packaged_question(file: str) -> tuple[str, str]:
    """A question with its places for texts, and how the answer begins."""
    question, _, answer = (paths.packaged("prompts") / file).read_text("utf-8").partition("\n---\n")
    return question.strip(), answer.strip()


def prompts() -> tuple[str, str]:
    """The one-text question with its place for the text, and how the answer begins."""
    return packaged_question("question.txt")


@lru_cache(maxsize=1)
def probes() -> tuple[str, ...]:
    """The general prompts that a base model and its adapters answer to be explained."""
    lines = (paths.packaged("prompts") / "probes.txt").read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def measured_axes() -> tuple[Axis, ...]:
    """The named text statistics of this version, each with the digest of what it counts."""
    counting = digests()
    return tuple(Axis(one.name, "measured", one.low, one.high, one.length, counting[one.name]) for one in MEASURED)


def understood(axes: Sequence[Axis]) -> npt.NDArray[np.bool_]:
    """(axes,) which of them mean here what they meant where they come from.

    Described axes always do, their model is compared elsewhere. A measured one does where this version has an axis of
    its name that counts the same; one without a digest is taken by its name.
    """
    counting = digests()

    def same(axis: Axis) -> bool:
        return axis.name in counting and axis.digest in ("", counting[axis.name])

    return np.array([axis.kind != "measured" or same(axis) for axis in axes], np.bool_)


def worded(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The same axes, those that are `understood` in this version's words: a better wording serves old caches too."""
    own = {axis.name: axis for axis in measured_axes()}
    known = [same and axis.kind == "measured" for axis, same in zip(axes, understood(axes), strict=True)]
    return tuple(
        replace(axis, low=own[axis.name].low, high=own[axis.name].high) if same else axis
        for axis, same in zip(axes, known, strict=True)
    )


def adjectives() -> tuple[tuple[str, str], ...]:
    """(low, high) adjective of every described axis."""
    lines = (paths.packaged("prompts") / "adjectives.txt").read_text("utf-8").splitlines()
    pairs = (line.split("|") for line in lines if "|" in line and not line.startswith("#"))
    return tuple((low.strip(), high.strip()) for low, high in pairs)


def described_axes(summarizer: BaseModel | Path) -> tuple[tuple[Axis, ...], Basis]:
    """The adjective pairs as axes of a summarizer, and their (axes, hidden) basis.

    A row is the output embedding of the high adjective's first token less that of the low one's, so that its product
    with the final hidden state is the log-odds of the two as the next word. Pairs that this vocabulary cannot tell
    apart are left out.
    """
    summarizer = BaseModel.open(summarizer)
    header = summarizer.header
    name = "output.weight" if "output.weight" in header.tensors else "token_embd.weight"
    with Vocabulary(summarizer) as model:
        firsts = [tuple(model.tokenize(f" {word}")[0] for word in pair) for pair in adjectives()]

    def row(token: int) -> Basis:  # the whole matrix can be a fifth of the model
        return np.asarray(gguf.tensor(header, name, slice(token, token + 1))[0])

    axes, rows = [], []
    for (low, high), (a, b) in zip(adjectives(), firsts, strict=True):
        if a != b:
            axes.append(Axis(f"{low}–{high}", "described", f"more {low}", f"more {high}"))
            rows.append(row(b) - row(a))
    return tuple(axes), np.array(rows, np.float32) if rows else NO_BASIS


def axes_of(summarizer: BaseModel | Path) -> tuple[tuple[Axis, ...], Basis]:
    """All axes, measured then described, and the basis of the described ones."""
    described, basis = described_axes(summarizer)
    return measured_axes() + described, basis


def questions_digest(basis: Basis) -> str:
    """What described readings depend on besides the summarizer: question, word cap, basis, and how it is asked."""
    rounded = basis.astype("<f2").tobytes()
    return hashlib.sha256("\0".join([*prompts(), str(WORDS), READING]).encode() + rounded).hexdigest()


def read(
    texts: Sequence[str],
    axes: Sequence[Axis],
    basis: Basis,
    summarizer: BaseModel | Path | None,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
    *,
    most: int = ASKED,
) -> Readings:
    """Readings of texts on axes.

    Args:
        axes: the measured ones are matched by name, wherever they stand; NaN on those that are not `understood`.
        basis: (described, hidden) rows for the summarizer's hidden states, in the order of the described axes.
        summarizer: the GGUF to ask; None leaves described readings NaN.
        most: texts the question is asked about, at most, chosen by their hash; counting is done on all.
    """
    known = [axis.name if same else "" for axis, same in zip(axes, understood(axes), strict=True)]
    counting = partial(progress, "counting in your text")
    values, counted = readings_on(known, texts, counting), measured(axes)
    if summarizer is not None and len(basis) and texts:
        chosen = sorted(range(len(texts)), key=lambda i: hashlib.sha256(texts[i].encode()).digest())[:most]
        hidden = states([texts[i] for i in chosen], summarizer, progress)
        if hidden.shape[1] != basis.shape[1]:
            raise CacheMismatch("the cache's described axes are not of this summarizer's size. Get the cache anew.")
        values[np.array(chosen)[:, None], np.flatnonzero(~counted)] = hidden.astype(np.float64) @ basis.T.astype(
            np.float64
        )
    return Readings(values)


_latest: dict[tuple[object, ...], npt.NDArray[np.float32]] = {}  # the last texts: select after summarize


def states(
    texts: Sequence[str],
    summarizer: BaseModel | Path,
    progress: Callable[[str, float], None] = lambda message, fraction: None,
) -> npt.NDArray[np.float32]:
    """(texts, hidden) final hidden states where the adjective that describes a text would come.

    The last texts' states are kept as a whole: their last bits depend on which texts were read together.
    """
    summarizer = BaseModel.open(summarizer)
    key = (*paths.identity(summarizer.path), *texts)
    if key not in _latest:
        hidden = _hidden_states(texts, summarizer, progress)
        _latest.clear()
        _latest[key] = hidden
    return _latest[key]


def _hidden_states(
    texts: Sequence[str], summarizer: BaseModel, progress: Callable[[str, float], None]
) -> npt.NDArray[np.float32]:
    """(texts, hidden) what `states` returns."""
    identity = paths.identity(summarizer.path)
    if separable(summarizer.header):
        with Vocabulary(summarizer) as vocabulary:
            prompts = questions(texts, vocabulary)
        partial, room = PartialResults("states", *identity, prompts), platform.available_memory()
        memory = ROOM if room is None else max(0, room - MARGIN) // 4
        hidden = layered_states(summarizer.header, prompts, memory=memory, progress=progress, partial=partial)
    else:
        with Model(summarizer, context=CONTEXT, sequences=SEQUENCES, least=LEAST_CONTEXT, shared=True) as model:
            prompts = questions(texts, model)
            partial = PartialResults("states", *identity, prompts)
            hidden = model.states(prompts, lambda part: progress("reading your text", part), partial)
    partial.drop()
    return hidden


def questions(texts: Sequence[str], vocabulary: Vocabulary) -> list[list[int]]:
    """What a summarizer is asked about texts, up to the adjective, as tokens."""
    question, answer = prompts()
    tail = vocabulary.tokenize(answer)
    return [vocabulary.chat(question.replace("{text}", cut(text, WORDS))) + tail for text in texts]


def memory_note(summarizer: BaseModel) -> str:
    """What a summarizer must do without where memory is short, for people; empty if it is not."""
    if separable(summarizer.header):
        return ""
    return fitted(summarizer.header, Layout(CONTEXT, SEQUENCES), least=LEAST_CONTEXT, shared=True).note


def probes_digest() -> str:
    """What answers depend on besides the models: the probes."""
    return hashlib.sha256("\n".join(probes()).encode()).hexdigest()


def strongest(space: Space, shift: Floats, count: int) -> list[int]:
    """Indices of the axes with the largest shifts, none of which says what a stronger one listed says."""
    chosen: list[int] = []
    for index in map(int, np.argsort(-np.abs(shift), kind="stable")):
        named = space.axes[index].named and shift[index]
        if len(chosen) < count and named and not any(repeats(space, index, other) for other in chosen):
            chosen.append(index)
    return chosen


def repeats(space: Space, one: int, other: int) -> bool:
    """Whether two axes say the same to a reader, as an axis and itself."""
    same = {space.axes[one].name, space.axes[other].name}
    return len(same) == 1 or same in SAME or bool(abs(space.correlation[one, other]) >= ALIKE)


def sentence(space: Space, shift: Floats, subject: str = "you write", count: int = 4) -> str:
    """An explanation in words: the strongest shifts, signed, in pooled standard deviations."""
    phrases = [f"{space.axes[i].words(shift[i])} ({shift[i]:+.1f})" for i in strongest(space, shift, count)]
    if not phrases:
        return f"{subject} much like the base model"
    return f"{subject} {', '.join(phrases)}"


def source_metadata(readings: Readings, axes: Sequence[Axis], basis: Basis) -> dict[str, Metadata]:
    """What an adapter tells about its training text: mean readings, and the scatter of the measured ones; no text."""
    counted = readings.scatter.on(measured(axes))
    return {
        "xpert.source.axes": "\n".join(axis.name for axis in axes),
        "xpert.source.digests": "\n".join(axis.digest for axis in axes),
        "xpert.source.mean": [float(value) for value in readings.mean],
        "xpert.source.samples": len(readings),
        "xpert.source.questions": questions_digest(basis),
        "xpert.source.known": [float(count) for count in counted.known],
        "xpert.source.scatter": [float(value) for value in counted.squares[np.tril_indices(len(counted.known))]],
    }


def source_scatter(adapter: Adapter, axes: Sequence[Axis]) -> Scatter | None:
    """What the adapter tells of how its training texts differ, on the measured axes, matched by name.

    None if it tells nothing of that; on axes that it does not tell of, no text is known.

    Raises:
        BadModel: no texts can have what it tells.
    """
    metadata, source = adapter.metadata, _source(adapter)
    counted, squares = metadata.get("xpert.source.known"), metadata.get("xpert.source.scatter")
    measured_axes = [axis for axis in axes if axis.kind == "measured"]
    if not source or not isinstance(counted, list) or not isinstance(squares, list):
        return None
    size, samples, known = len(counted), metadata.get("xpert.source.samples"), np.array(counted, np.float64)
    if isinstance(samples, int) and size <= len(source) and len(squares) == size * (size + 1) // 2:
        lower = np.zeros((size, size))
        lower[np.tril_indices(size)] = squares
        whole = lower + np.tril(lower, -1).T
        possible = size > 0 and known.min() >= 0 and known.max() <= samples and bool(np.isfinite(whole).all())
        if possible and np.linalg.eigvalsh(whole).min() >= -1e-5 * np.trace(whole):
            return _placed(
                Scatter(samples, known, np.array([mean for *_, mean in source[:size]]), whole), source, measured_axes
            )
    raise BadModel("an adapter tells of training texts what no texts can be. Leave it out, or fine-tune it again.")


def _placed(scatter: Scatter, source: Sequence[tuple[str, str, float]], axes: Sequence[Axis]) -> Scatter | None:
    """A scatter on the axes wanted, by name; None if none of them is told."""
    at = [next((i for i, one in enumerate(source[: len(scatter.known)]) if _same(one, axis)), -1) for axis in axes]
    present = np.array([i >= 0 for i in at], np.bool_)
    if not present.any():
        return None
    rows = [i for i in at if i >= 0]
    known, mean, squares = np.zeros(len(at)), np.full(len(at), np.nan), np.zeros((len(at), len(at)))
    known[present], mean[present] = scatter.known[rows], scatter.mean[rows]
    squares[np.ix_(present, present)] = scatter.squares[np.ix_(rows, rows)]
    return Scatter(scatter.samples, known, mean, squares)


def _same(described: tuple[str, str, float], axis: Axis) -> bool:
    """Whether what an adapter tells of is this axis: by name, and by what both count where both say it."""
    name, digest, _ = described
    return name == axis.name and (not digest or not axis.digest or digest == axis.digest)


def _source(adapter: Adapter) -> list[tuple[str, str, float]]:
    """Name, digest and mean reading of each axis that an adapter tells of; none if it tells them wrongly."""
    names, mean = adapter.metadata.get("xpert.source.axes"), adapter.metadata.get("xpert.source.mean")
    if not isinstance(names, str) or not isinstance(mean, list) or len(names.split("\n")) != len(mean):
        return []
    digests = adapter.metadata.get("xpert.source.digests")
    counting = digests.split("\n") if isinstance(digests, str) else []
    if len(counting) != len(mean):
        counting = [""] * len(mean)
    return list(zip(names.split("\n"), counting, mean, strict=True))


def source_mean(adapter: Adapter, axes: Sequence[Axis], basis: Basis) -> npt.NDArray[np.float64] | None:
    """(axes,) mean readings of the adapter's training text, NaN on axes it does not tell; None if it tells none.

    Described readings count only if they answer the same question on the same basis, measured ones only if both count
    the same.
    """
    by_name = {name: (name, digest, value) for name, digest, value in _source(adapter)}
    same = adapter.metadata.get("xpert.source.questions") == questions_digest(basis)

    def value(axis: Axis) -> float:
        one = by_name.get(axis.name)
        usable = one is not None and (_same(one, axis) if axis.kind == "measured" else same)
        return one[2] if one is not None and usable else np.nan

    values = [value(axis) for axis in axes]
    return None if np.isnan(values).all() else np.array(values, np.float64)


@dataclass(frozen=True, eq=False)
class Source:
    """What an adapter tells of its training text on some axes: mean readings, and how texts differ; None: nothing."""

    mean: npt.NDArray[np.float64] | None
    texts: Scatter | None


def read_source(adapter: Adapter, axes: Sequence[Axis], basis: Basis) -> Source:
    """What an adapter tells of its training text on these axes (`source_mean`, `source_scatter`)."""
    return Source(source_mean(adapter, axes, basis), source_scatter(adapter, axes))


def source_position(space: Space, source: Source) -> Floats:
    """(axes,) shift of what an adapter tells of its training text on a space's axes; NaN where it tells nothing.

    Axes that few of the texts show are drawn to 0, as those of a user are (`Space.position`). An adapter that does not
    tell how many of its texts show an axis is taken as it is.
    """
    if source.mean is None:
        return np.full(len(space.axes), np.nan)
    share = np.ones(len(space.axes))
    if source.texts is not None:
        share[measured(space.axes)] = source.texts.believed
    return np.asarray(space.shift(source.mean, writing=True) * share)


def quote(texts: Sequence[str], axis: Axis, value: float, column: Floats, used: Container[str] = ()) -> str:
    """One line of the texts that shows the end of an axis that `value` points to; `column` is their readings.

    A described axis is shown by a line that is not `used` for another, or by none. Of many texts, the LOOKED_AT whose
    readings go furthest that way are looked through; of equal ones any, by checksum.
    """
    if axis.kind == "measured":
        if len(texts) > LOOKED_AT:
            sums = np.array([crc32(text.encode("utf-8", "replace")) for text in texts])
            furthest = np.lexsort((sums, column if value <= 0 else -column))[:LOOKED_AT]
            texts = [texts[index] for index in furthest]
        return evidence(texts, axis.name, 1 if value > 0 else -1)
    order = np.argsort(np.nan_to_num(-column if value > 0 else column, nan=np.inf), kind="stable")
    quotes = (_quoted(texts[index]) for index in order if not np.isnan(column[index]))
    return next((one for one in quotes if one not in used), "")


def _quoted(text: str) -> str:
    """The first line of a text that is more than a few words, at most 90 characters of it."""
    line = " ".join(next((line for line in text.splitlines() if len(line.split()) > 4), text).split())
    return f"“{line if len(line) <= 90 else line[:89].rsplit(' ', 1)[0] + '…'}”"
