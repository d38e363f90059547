"""Measured style axes: named statistics of one text, the part of an explanation that needs no language model.

    measure("Oh wow, you did it! 🎉")              # (axes,) float64, NaN: the text says nothing about it
    readings_on(["emoji", "commas"], texts)       # (texts, 2), matched by name
    evidence(texts, "emoji", +1)                  # "“Oh wow, you did it! 🎉”"

Readings are bounded (see `axes`), do not depend on the order of texts, and are the same on every machine. Axes that
need English words are NaN for other languages. Does not cover: reference statistics, metrics, distances.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from xpert_cli import counts
from xpert_cli.style.axes import TABLE
from xpert_cli.style.chat import CHAT
from xpert_cli.style.formula import MeasuredAxis, Rule, digest
from xpert_cli.style.languages import LANGUAGES
from xpert_cli.style.sentences import Sample, cut, sentences, words

__all__ = [
    "ENGLISH",
    "MEASURED",
    "SAME",
    "MeasuredAxis",
    "cut",
    "evidence",
    "measure",
    "measure_all",
    "sentences",
    "words",
]

MEASURED: tuple[MeasuredAxis, ...] = tuple(axis for axis, _ in TABLE)
ENGLISH = frozenset(axis.name for axis, rule in TABLE if rule.english)  # axes that only English words show
LEAST_SPREAD = 0.05  # of the range of an axis of chats, set on training turns: 0.25 costs 8 points among 50 people
LEAST_OTHER = 0.1  # of the range of an axis of another language: a cache may know few such texts
# Of one habit, whatever their correlation in a cache: both in an explanation would say it twice.
SAME = tuple(
    map(
        frozenset,
        (
            ("bare line ends", "full stops at line ends"),
            ("exclamations", "exclamations at line ends"),
            ("questions", "questions at line ends"),
            ("emoji", "emoji at line ends"),
            ("dashes", "ellipses"),
            ("word length", "letters a word"),
            ("interjection openings", "greetings"),
            ("capital letters", "small letters at the start"),
            ("capital letters", "shouting"),
            ("intensifiers", "just and really"),
        ),
    )
)
_WIDEST = 90  # characters of a quoted line
_OMITTED = "\ufffc"  # stands for what a quoted line leaves out, until it is shown: an ellipsis would be counted
_REFERENCE = re.compile(r"\b(?:pp?|nos?|nr|figs?|vols?|ch|eds?|eqs?|secs?|ca|approx|al|art|par)\.$", re.IGNORECASE)
_TYPICAL = 12  # words; of lines that show an axis equally well, the one nearest to this is quoted


def measure(text: str) -> NDArray[np.float64]:
    """The readings of one text on every axis.

    Returns:
        (axes,) in the order of MEASURED, each within its axis' bounds. NaN where the text gives no evidence: an
        English-only axis and another language (or under 5 words), too few sentences or words for the statistic.
    """
    sample = Sample(text)
    values = np.array([_reading(rule, sample) for _, rule in TABLE], np.float64)
    return np.clip(values, [rule.floor for _, rule in TABLE], [rule.ceiling for _, rule in TABLE])


def measure_all(texts: Iterable[str]) -> NDArray[np.float64]:
    """`measure` of each text: (texts, axes); (0, axes) for none."""
    return np.array([measure(text) for text in texts], dtype=np.float64).reshape(-1, len(TABLE))


def readings_on(
    names: Sequence[str], texts: Sequence[str], progress: Callable[[float], None] = lambda fraction: None
) -> NDArray[np.float64]:
    """(texts, names) readings on the axes of these names, wherever they stand in the table; NaN for unknown names."""
    at = {axis.name: index for index, (axis, _) in enumerate(TABLE)}
    columns = [column for column, name in enumerate(names) if name in at]
    measured = [at[names[column]] for column in columns]
    rows = np.full((len(texts), len(names)), np.nan)
    for number, text in enumerate(texts):
        if number % 200 == 0:
            progress(number / len(texts))
        rows[number, columns] = measure(text)[measured]
    return rows


def least_spreads(names: Sequence[str]) -> NDArray[np.float64]:
    """(names,) standard deviations of single texts that axes count as having at least; 0 for axes of prose.

    Habits of chats are all or nothing in prose, which hardly varies on them: without a bound a text in small letters
    would lie twenty standard deviations from it, and nothing else would count.
    """
    at = {axis.name: LEAST_SPREAD * (rule.ceiling - rule.floor) for axis, rule in CHAT}
    at |= {axis.name: LEAST_OTHER * rule.ceiling for axis, rule in LANGUAGES}
    return np.array([at.get(name, 0.0) for name in names], np.float64)


def digests() -> Mapping[str, str]:
    """What each axis counts, by the axis's name: see `style.axes.digest`."""
    return {axis.name: digest(axis, rule) for axis, rule in TABLE}


def evidence(texts: Sequence[str], name: str, sign: int) -> str:
    """The line of `texts` that best shows the high (`sign` > 0) or low end of the axis `name`, in quotation marks.

    At most 90 characters, shortened at a word's end; for lengths the number of words follows. Empty if nothing in the
    texts shows it, there is no such axis, or its end is that something is not there. The order of the texts does not
    matter.
    """
    known = {axis.name: (axis, rule) for axis, rule in TABLE}
    if name not in known:
        return ""
    described, rule = known[name]
    if sign <= 0 and described.absence:
        return ""
    counted = described.length or described.name == "sentence length"
    ranked: list[tuple[float, int, int, str, int]] = []
    for sample in map(Sample, set(texts)):
        if np.isnan(_reading(rule, sample)):
            continue
        for piece in _pieces(sample, rule):
            shown = _shortened(_with_links(piece, sample.raw))
            # What is hidden by shortening is no evidence, except for a length, which is told in words.
            read = sample if rule.unit == "text" else Sample(piece if counted else shown.replace(_OMITTED, " "))
            size = len(sample.tokens if rule.unit == "text" else Sample(piece).tokens)
            value = float(np.clip(rule.read(read), rule.floor, rule.ceiling))
            if value > rule.floor or (sign <= 0 and value == rule.floor):
                # The checksum keeps one line from being quoted for every axis that it lacks.
                variety = crc32(f"{described.name}{shown}".encode())
                ranked.append((-value if sign > 0 else value, abs(size - _TYPICAL) // 4, variety, shown, size))
    if not ranked:
        return ""
    *_, shown, size = min(ranked)
    shown = shown.replace(_OMITTED, "…")
    return f"“{shown}” ({counts.counted(size, 'words')})" if counted else f"“{shown}”"


def _reading(rule: Rule, sample: Sample) -> float:
    usable = sample.lines and (sample.english or not rule.english)
    return rule.read(sample) if usable else float("nan")


def _pieces(sample: Sample, rule: Rule) -> list[str]:
    """What may be quoted for a rule: the text's opening, lines, or sentences; short ones only for want of others."""
    if rule.unit == "text":
        return (sample.sentences or sample.lines)[:1]
    pieces = sample.lines if rule.unit == "line" else _joined(sample.sentences) or sample.lines
    return [piece for piece in pieces if len(words(piece)) >= 5] or pieces


def _joined(pieces: Sequence[str]) -> list[str]:
    """Sentences, those that were split behind an abbreviation of a reference joined again: "(see p." and "8)"."""
    whole: list[str] = []
    for piece in pieces:
        if whole and _REFERENCE.search(whole[-1]) and piece[0] in "0123456789([":
            whole[-1] += f" {piece}"
        else:
            whole.append(piece)
    return whole


def _with_links(piece: str, text: str) -> str:
    """A sentence of a text with a sign where a link was taken out of it, so that it is quoted as it is written."""
    if "http" not in text:
        return piece
    written = r"\s+(?:https?://\S+\s+)*".join(map(re.escape, piece.split()[:_WIDEST]))
    match = re.search(written, text)
    return re.sub(r"https?://\S+", _OMITTED, match[0]) if match and "http" in match[0] else piece


def _shortened(line: str) -> str:
    line = " ".join(line.split())
    if line.count("“") != line.count("”") or line.count('"') % 2:
        line = line.strip('“”"')
    if len(line) <= _WIDEST:
        return line
    head = line[: _WIDEST - 1]
    return (head.rsplit(" ", 1)[0] if " " in head else head).rstrip(",;:-–— ") + _OMITTED
