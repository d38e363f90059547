"""A person among adapters on the axes of style: who is near, where the two agree, and where they differ.

    Path("me.svg").write_text(drawn(of_selection(selection)), "utf-8")

A row an axis, its two ends in words, the base model in the middle. The person is on the upper line of a row, the
adapters are on the lower one, and a line joins the person to what was chosen: a mixture is a ring around its middle. A
score compares directions from the base: on the same side of it both agree, however far they are. Holds axis names, ids
and numbers, and nothing that anybody wrote. Not here: files (files.py), the page around it (page.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from xpert_cli.counts import counted
from xpert_cli.plot.svg import Scale, clean, document, fitted, label, ticks, width_of, wrapped
from xpert_cli.selection.project import AxisPosition

if TYPE_CHECKING:
    from xpert_cli.selection.select import Selection
    from xpert_cli.selection.summarize import Summary

WIDE, NARROW = 960, 360  # pixels: a page or a screen, and a phone
LISTED = 10  # adapters in the ranking
ERRORS = 2  # standard errors on either side of a person's mark
LANE = 22  # between the two lines of a row
SHAPES = ("m0-8l8 8-8 8-8-8z", "m-6.5-6.5h13v13h-13z", "m0-8l8 14h-16z")  # diamond, square, triangle
Mark = Callable[[float, float], str]


@dataclass(frozen=True)
class Portrait:
    """What is drawn.

    Attributes:
        title, told, facts: the verdict, why, and what it rests on.
        places: one row each; their adapters are in the order of `ids`.
        ids, scores: of the adapters drawn, nearest first; none without a cache to choose from.
        parts: indices into `ids` of what was chosen, and their weights; of the nearest where nothing fits.
        near: whether those fit.
        total: adapters there are.
    """

    title: str
    explanation: str
    facts: str
    places: tuple[AxisPosition, ...]
    ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    parts: tuple[tuple[int, float], ...] = ()
    near: bool = True
    total: int = 0


def of_selection(result: Selection) -> Portrait:
    """The portrait of a writer beside the adapters nearest to them."""
    best, nearest = result.ranking[0], result.ranking[: max([LISTED, *(len(p.adapters) for p in result.places)])]
    title = {
        "best": f"Nearest: {best.adapter}, score {signed(best.score, 2)}",
        "mixture": f"Nearest: a mixture of {len(result.selected)} adapters",
        "community": f"Nearest: the people of {best.adapter}, score {signed(best.score, 2)}",
    }.get(result.verdict, "No adapter is near")
    ids = tuple(one.adapter for one in nearest)
    chosen = tuple((ids.index(one.adapter), one.weight) for one in result.selected)
    return Portrait(
        title,
        re.sub(r"(?<![\w-])-(?=\d)", "−", result.explanation),
        f"{counted(result.samples, 'texts')}, confidence {result.confidence:.2f}",
        result.places,
        ids,
        tuple(one.score for one in nearest),
        chosen or ((0, 1.0),),
        bool(result.selected),
        len(result.ranking),
    )


def of_summary(result: Summary) -> Portrait:
    """The portrait of a writer alone."""
    places = tuple(AxisPosition(axis.low, axis.high, axis.value, axis.error) for axis in result.axes if axis.shown)
    explanation = re.sub(r"(?<![\w-])-(?=\d)", "−", result.explanation)
    return Portrait("How you write", explanation, counted(result.samples, "texts"), places)


def drawn(portrait: Portrait, width: int = WIDE) -> str:
    """The portrait as SVG of `width` pixels: WIDE has the ranking beside the axes, NARROW below them."""
    return document(portrait.title, _description(portrait), *_drawing(portrait, width))


def for_any_screen(portrait: Portrait) -> str:
    """The portrait as one SVG that is wide, and narrow where it is opened by itself on a phone."""
    return document(portrait.title, _description(portrait), *_drawing(portrait, WIDE), phone=_drawing(portrait, NARROW))


def _drawing(portrait: Portrait, width: int) -> tuple[list[str], float, float]:
    """What is drawn, and its width and height."""
    edge, gap = (28, 44) if width >= WIDE else (16, 0)
    ranking_width = 250 if gap and portrait.ids else 0
    left, right = edge, width - edge - (ranking_width + gap if ranking_width else 0)
    parts, top = _head(portrait, edge, width - edge)
    axes, bottom = _axes(portrait, left, right, top)
    ranking: list[str] = []
    if portrait.ids:
        corner = (right + gap, top) if ranking_width else (edge, bottom + 36)
        ranking, end = _ranking(portrait, corner[0], width - edge, corner[1])
        bottom = max(bottom, end)
    return [*parts, *axes, *ranking], width, bottom + 20


def part_name(portrait: Portrait, index: int, weight: float) -> str:
    """An adapter that is part of the answer, with its weight in a mixture."""
    mixed = f"{weight:.2f} of " if len(portrait.parts) > 1 else ""
    return mixed + portrait.ids[index]


def _head(portrait: Portrait, left: float, right: float) -> tuple[list[str], float]:
    """Title, explanation and key, and where the next thing may begin."""
    parts, y = [], 36.0
    for line in wrapped(portrait.title, right - left, 3, 18):
        parts.append(label(left, y, line, kind="title"))
        y += 24
    for line in [*wrapped(portrait.explanation, right - left, 5), fitted(portrait.facts, right - left)]:
        parts.append(label(left, y, line))
        y += 19
    key, end = _key(portrait, left, right, y + 8)
    return parts + key, end


def _key(portrait: Portrait, left: float, right: float, y: float) -> tuple[list[str], float]:
    """What the marks stand for, side by side as far as there is room."""
    parts, x = [], left
    for mark, name, kind in _keys(portrait):
        lines = wrapped(name, right - left - 24, 2)
        room = 24 + max(map(width_of, lines))
        if x > left and x + room > right:
            x, y = left, y + 22
        parts += [mark(x + 10, y - 4.5), *(label(x + 24, y + 17 * n, line, kind=kind) for n, line in enumerate(lines))]
        x, y = x + room + 20, y + 17 * (len(lines) - 1)
    return parts, y + 30


def _keys(portrait: Portrait) -> Iterator[tuple[Mark, str, str]]:
    """Marks, what they stand for, and the class of those words."""
    yield _you, f"you, ± {ERRORS} standard errors", "dark"
    for order, (index, weight) in enumerate(portrait.parts):
        yield partial(_part, portrait.near, order), part_name(portrait, index, weight), "strong"
    if len(portrait.parts) > 1 and portrait.near:
        yield _mixture, "the mixture of these", "strong"
    others, rest = len(portrait.ids) - len(portrait.parts), portrait.total - len(portrait.parts)
    if others > 0:
        yield _other, counted(rest, "other adapters") if others == rest else f"{others} nearest of {rest:,} others", ""
    yield _base, "the base model", ""
    if portrait.ids:
        yield _way, "where your line crosses the base, you and the adapter differ", ""


def _axes(portrait: Portrait, left: float, right: float, top: float) -> tuple[list[str], float]:
    """The rows, over a scale that they share, and where they end."""
    ends = [(place.value - ERRORS * place.error, place.value + ERRORS * place.error) for place in portrait.places]
    values = [abs(v) for pair in ends for v in pair] + [abs(v) for place in portrait.places for v in place.adapters]
    reach = max([1.0, *values])
    scale = Scale(-reach, reach, left + 10, right - 10)
    marks = [mark for mark in ticks(-reach, reach, 6) if abs(mark) <= reach]
    rows, y = [], top
    for place in portrait.places:
        row, y = _row(portrait, place, scale, y)
        rows += row
    grid = [f'<path class="{"base" if not m else "grid"}" d="M{scale(m):.1f} {top:.1f}V{y:.1f}"/>' for m in marks]
    numbers = [label(scale(m), y + 17, signed(m, 0 if marks[1] - marks[0] >= 1 else 1), "middle") for m in marks]
    unit = label((left + right) / 2, y + 37, "standard deviations from the base model", "middle")
    return [*grid, *rows, *numbers, unit], y + 37


def _row(portrait: Portrait, place: AxisPosition, scale: Scale, top: float) -> tuple[list[str], float]:
    """One axis: its words, the person above, the adapters below; and where it ends."""
    left, right = scale.start - 10, scale.end + 10
    words = [wrapped(end, (right - left) / 2 - 12, 3, 13.5) for end in _ends(place)]
    sides = ((left, words[0], "start", place.value < 0), (right, words[1], "end", place.value > 0))
    parts = []
    for x, lines, anchor, strong in sides:
        for number, line in enumerate(lines):
            parts.append(label(x, top + 14 + 16 * number, line, anchor, "dark" if strong else ""))
    y = top + 14 + 16 * (max(map(len, words)) - 1) + 17
    below = y + LANE if place.adapters else y
    you, low, high = (scale(place.value + ERRORS * n * place.error) for n in (0, -1, 1))
    parts.append(f'<path class="axis" d="M{left:.1f} {below:.1f}H{right:.1f}"/>')
    chosen = {index: order for order, (index, _) in enumerate(portrait.parts)}
    for index, value in enumerate(place.adapters):
        if index not in chosen:
            parts.append(_with_title(_other(scale(value), below), f"{portrait.ids[index]}: {signed(value)}"))
    mixed = sum(weight * place.adapters[index] for index, weight in portrait.parts) if place.adapters else 0.0
    several = len(portrait.parts) > 1 and portrait.near and bool(place.adapters)
    nearest = [mixed] if several else [place.adapters[index] for index in chosen] if place.adapters else []
    ways = [(scale(value), below) for value in nearest] or [(scale(0), y)]
    parts += [f'<path class="way" d="M{you:.1f} {y:.1f}L{x:.1f} {end:.1f}"/>' for x, end in ways]
    parts.append(f'<path class="error" d="M{low:.1f} {y:.1f}H{high:.1f}"/>')
    for index, order in chosen.items() if place.adapters else ():
        mark = _part(portrait.near, order, scale(place.adapters[index]), below)
        parts.append(_with_title(mark, f"{portrait.ids[index]}: {signed(place.adapters[index])}"))
    if several:
        parts.append(_with_title(_mixture(scale(mixed), below), f"the mixture: {signed(mixed)}"))
    parts.append(_with_title(_you(you, y), f"you: {signed(place.value)} ± {ERRORS * place.error:.1f}"))
    return parts, below + 24


def _ranking(portrait: Portrait, left: float, right: float, top: float) -> tuple[list[str], float]:
    """The best scores as bars, and where they end."""
    parts = [label(left, top + 14, "How alike: at most 1", kind="dark")]
    shown = list(zip(portrait.ids, portrait.scores, strict=True))[:LISTED]
    scale = Scale(min(0.0, *(score for _, score in shown)), 1.0, left, right - 52)
    chosen = {index for index, _ in portrait.parts}
    y = top + 40
    for index, (name, score) in enumerate(shown):
        kind = "strong" if index in chosen else ""
        start, end = sorted((scale(0), scale(score)))
        bar = f'<rect class="{"part" if kind else "bar"}" x="{start:.1f}" y="{y + 6:.1f}" '
        bar += f'width="{max(end - start, 1):.1f}" height="9" rx="2"/>'
        parts += [
            label(left, y, fitted(name, right - left), kind=kind),
            _with_title(bar, f"{name}: {signed(score, 2)}"),
        ]
        parts.append(f'<path class="axis" d="M{scale(0):.1f} {y + 4:.1f}v13"/>')
        parts.append(label(right, y + 15, signed(score, 2), "end", kind))
        y += 38
    if portrait.total > len(shown):
        parts.append(label(left, y, f"and {portrait.total - len(shown):,} more"))
    else:
        y -= 22
    return parts, y


def _description(portrait: Portrait) -> str:
    """The picture in sentences."""
    sentences = [portrait.explanation, f"{portrait.facts[0].upper()}{portrait.facts[1:]}."]
    for place in portrait.places:
        low, high = _ends(place)
        adapters = [f"{portrait.ids[i]} {signed(place.adapters[i])}" for i, _ in portrait.parts if place.adapters]
        sentences.append(f"From {low} to {high}: {', '.join([f'you {signed(place.value)}', *adapters])}.")
    return " ".join(sentences)


def _ends(place: AxisPosition) -> tuple[str, str]:
    """The words for both ends of an axis, without a first word that they share."""
    (low, _, low_rest), (high, _, high_rest) = place.low.partition(" "), place.high.partition(" ")
    return (low_rest, high_rest) if low == high and low_rest and high_rest else (place.low, place.high)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a true minus; zero has none."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if not float(text) else text.replace("-", "−")


def _with_title(mark: str, content: str) -> str:
    """A mark that says what it is when it is pointed at."""
    return f"{mark[:-2]}><title>{clean(content)}</title></{mark[1 : mark.index(' ')]}>"


def _you(x: float, y: float) -> str:
    return f'<circle class="you" cx="{x:.1f}" cy="{y:.1f}" r="7"/>'


def _part(near: bool, order: int, x: float, y: float) -> str:
    return f'<path class="{"part" if near else "far"}" d="M{x:.1f} {y:.1f}{SHAPES[order % len(SHAPES)]}"/>'


def _mixture(x: float, y: float) -> str:
    return f'<circle class="mixture" cx="{x:.1f}" cy="{y:.1f}" r="10"/>'


def _other(x: float, y: float) -> str:
    return f'<circle class="other" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _way(x: float, y: float) -> str:
    return f'<path class="way" d="M{x - 8:.1f} {y - 5:.1f}l16 10"/>'


def _base(x: float, y: float) -> str:
    return f'<path class="base" d="M{x:.1f} {y - 9:.1f}v18"/>'
