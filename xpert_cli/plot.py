"""Pictures of results: SVG text that needs nothing else, for a browser or a README, in light and in dark mode.

    Path("loss.svg").write_text(loss_curve(run.curve, run.loss_base, run.best_step, "My messages"), "utf-8")

`Scale`, `ticks`, `x_axis`, `y_axis`, `label` and `document` are what a picture is made of. Not here: tables and bars in
the terminal (views.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 692, 84, 364  # of the plot inside the picture
# Colours stand in classes and not in variables, which some viewers of SVG do not know.
STYLE = """\
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#5b6773;stroke:#fff;stroke-width:4;\
stroke-linejoin:round;paint-order:stroke}
.title{font-size:17px;font-weight:600;fill:#1c2530}
.strong{font-weight:600;fill:#c2410c}
.paper{fill:#fff}
.grid{stroke:#e4e8ed}
.axis{stroke:#9aa5b1}
.base{stroke:#5b6773;stroke-width:1.5;stroke-dasharray:6 5}
.curve{fill:none;stroke:#2563eb;stroke-width:2.5;stroke-linejoin:round}
.point{fill:#fff;stroke:#2563eb;stroke-width:2}
.best{fill:#c2410c;stroke:#fff;stroke-width:2}
@media (prefers-color-scheme:dark){
text{fill:#9ba8b5;stroke:#12171e}
.title{fill:#e8edf2}
.strong{fill:#ffab66}
.paper{fill:#12171e}
.grid{stroke:#262e38}
.axis{stroke:#55616e}
.base{stroke:#9ba8b5}
.curve{stroke:#74a9ff}
.point{fill:#12171e;stroke:#74a9ff}
.best{fill:#ffab66;stroke:#12171e}
}"""


@dataclass(frozen=True)
class Scale:
    """A straight map of values from `low` to `high` onto places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5, least: float = 0.0) -> list[float]:
    """Round values, about `count` steps of 1, 2 or 5 times a power of ten, that enclose `low` to `high`.

    Args:
        least: the smallest step; 1 for what is counted.
    """
    wanted = max((high - low) / count, least, abs(high) * 1e-9, 1e-12)
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]


def label(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    """A text at a place; `anchor` is the end of it that lies there: start, middle or end."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{_clean(content)}</text>'


def x_axis(scale: Scale, marks: Sequence[float], name: str) -> str:
    """The line below the plot, its round values, and what they count."""
    parts = [f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>']
    for mark in marks:
        parts.append(f'<path class="axis" d="M{scale(mark):.1f} {BOTTOM}v5"/>')
        parts.append(label(scale(mark), BOTTOM + 20, _number(mark, marks), "middle"))
    parts.append(label((LEFT + RIGHT) / 2, BOTTOM + 42, name, "middle"))
    return "\n".join(parts)


def y_axis(scale: Scale, marks: Sequence[float], name: str) -> str:
    """A line across the plot at each round value, and their unit above."""
    parts = []
    for mark in marks:
        parts.append(f'<path class="grid" d="M{LEFT} {scale(mark):.1f}H{RIGHT}"/>')
        parts.append(label(LEFT - 10, scale(mark) + 4.5, _number(mark, marks), "end"))
    parts.append(label(20, TOP - 22, name))
    return "\n".join(parts)


def document(title: str, description: str, parts: Sequence[str]) -> str:
    """The whole picture: `parts` on paper, under a title; `description` is for those who cannot see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{_clean(title)}">'
    )
    told = f"<title>{_clean(title)}</title>\n<desc>{_clean(description)}</desc>\n<style>\n{STYLE}\n</style>"
    paper = f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="12"/>'
    return "\n".join([head, told, paper, label(20, 34, title, kind="title"), *parts, "</svg>\n"])


def loss_curve(curve: Sequence[tuple[int, float]], base: float, best_step: int, title: str) -> str:
    """The held-out loss of a run, step by step, beside the base model's.

    Args:
        curve: (step, nats a token); what is not finite is left out.
        base: the base model's loss, a dashed line.
        best_step: which of the curve's steps was kept.
    """
    points = [(step, loss) for step, loss in curve if math.isfinite(loss)]
    losses = [loss for _, loss in points] + ([base] if math.isfinite(base) else [])
    steps, values = ticks(0, max([step for step, _ in points], default=1), 6, 1), ticks(*_range(losses))
    x, y = Scale(0, steps[-1], LEFT, RIGHT), Scale(values[0], values[-1], BOTTOM, TOP)
    places = [(x(step), y(loss)) for step, loss in points]
    parts = [y_axis(y, values, "held-out loss, nats a token"), x_axis(x, steps, "step")]
    if math.isfinite(base):
        parts.append(f'<path class="base" d="M{LEFT} {y(base):.1f}H{RIGHT}"/>')
        parts.append(label(RIGHT - 4, y(base) - 8, f"base model {base:.3f}", "end"))
    parts.append(f'<polyline class="curve" points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in places)}"/>')
    parts += [f'<circle class="point" cx="{px:.1f}" cy="{py:.1f}" r="3.5"/>' for px, py in places]
    best = dict(points).get(best_step)
    if best is not None:
        parts.append(_best(x(best_step), y(best), f"best {best:.3f}, step {best_step}"))
    return document(title, _told(points, base, best, best_step), parts)


def _best(x: float, y: float, content: str) -> str:
    """The mark of the best step, its words below it where there is room, and inside the plot."""
    anchor = "start" if x < LEFT + 90 else "end" if x > RIGHT - 90 else "middle"
    below = y + 24 if y + 32 < BOTTOM else y - 14
    return f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="6.5"/>\n' + label(x, below, content, anchor, "strong")


def _told(points: Sequence[tuple[int, float]], base: float, best: float | None, best_step: int) -> str:
    told = [f"The base model's loss is {base:.3f} nats a token."] if math.isfinite(base) else []
    if points:
        (first, before), (last, after) = points[0], points[-1]
        told.append(f"Held-out loss goes from {before:.3f} at step {first} to {after:.3f} at step {last}.")
    if best is not None:
        told.append(f"It is lowest at step {best_step}: {best:.3f}.")
    return " ".join(told)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """What to enclose: the values with a little air, of which there is some even around a single one."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = max(0.06 * (high - low), 0.005)
    return low - air, high + air


def _number(value: float, among: Sequence[float]) -> str:
    """A tick's value with as many decimals as its neighbours differ in."""
    step = min(abs(b - a) for a, b in pairwise(among))
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _clean(content: str) -> str:
    """Text as XML allows it."""
    return escape(" ".join("".join(c if c.isprintable() else " " for c in content).split()))
