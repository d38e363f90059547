"""The held-out loss of a fine-tuning run as a picture.

    Path("loss.svg").write_text(loss_curve(run.curve, run.loss_base, run.best_step, "My messages"), "utf-8")

Not here: losses of several runs side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from xpert_cli.plot.svg import FIT, Scale, document, fitted, label, ticks

WIDTH, HEIGHT = 420, 340  # that a phone shows without shrinking its words
LEFT, RIGHT, TOP, BOTTOM = 60, 400, 84, 284  # of the plot inside the picture


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
    parts = [_y_axis(y, values, "held-out loss, nats a token"), _x_axis(x, steps, "step")]
    if math.isfinite(base):
        parts.append(f'<path class="base" d="M{LEFT} {y(base):.1f}H{RIGHT}"/>')
        parts.append(label(RIGHT - 4, y(base) - 8, f"base model {base:.3f}", "end"))
    parts.append(f'<polyline class="curve" points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in places)}"/>')
    parts += [f'<circle class="point" cx="{px:.1f}" cy="{py:.1f}" r="3.5"/>' for px, py in places]
    best = dict(points).get(best_step)
    if best is not None:
        parts.append(_best(x(best_step), y(best), f"best {best:.3f}, step {best_step}"))
    head = label(20, 34, fitted(title, WIDTH - 40, 18), kind="title")
    return document(title, _caption(points, base, best, best_step), [FIT, head, *parts], WIDTH, HEIGHT)


def _best(x: float, y: float, content: str) -> str:
    """The mark of the best step, its words below it where there is room, and inside the plot."""
    anchor = "start" if x < LEFT + 90 else "end" if x > RIGHT - 90 else "middle"
    below = y + 24 if y + 32 < BOTTOM else y - 14
    return f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="6.5"/>\n' + label(x, below, content, anchor, "strong")


def _caption(points: Sequence[tuple[int, float]], base: float, best: float | None, best_step: int) -> str:
    sentences = [f"The base model's loss is {base:.3f} nats a token."] if math.isfinite(base) else []
    if points:
        (first, before), (last, after) = points[0], points[-1]
        sentences.append(f"Held-out loss goes from {before:.3f} at step {first} to {after:.3f} at step {last}.")
    if best is not None:
        sentences.append(f"It is lowest at step {best_step}: {best:.3f}.")
    return " ".join(sentences)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """What to enclose: the values with a little air, of which there is some even around a single one."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = max(0.06 * (high - low), 0.005)
    return low - air, high + air


def _x_axis(scale: Scale, marks: Sequence[float], name: str) -> str:
    """The line below the plot, its round values, and what they count."""
    parts = [f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>']
    for mark in marks:
        parts.append(f'<path class="axis" d="M{scale(mark):.1f} {BOTTOM}v5"/>')
        parts.append(label(scale(mark), BOTTOM + 20, _number(mark, marks), "middle"))
    parts.append(label((LEFT + RIGHT) / 2, BOTTOM + 42, name, "middle"))
    return "\n".join(parts)


def _y_axis(scale: Scale, marks: Sequence[float], name: str) -> str:
    """A line across the plot at each round value, and their unit above."""
    parts = []
    for mark in marks:
        parts.append(f'<path class="grid" d="M{LEFT} {scale(mark):.1f}H{RIGHT}"/>')
        parts.append(label(LEFT - 10, scale(mark) + 4.5, _number(mark, marks), "end"))
    parts.append(label(20, TOP - 22, name))
    return "\n".join(parts)


def _number(value: float, among: Sequence[float]) -> str:
    """A tick's value with as many decimals as its neighbours differ in."""
    step = min(abs(b - a) for a, b in pairwise(among))
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
