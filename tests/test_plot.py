"""The loss curve as SVG: well-formed, told in words, round ticks, and marks where the numbers are."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from xpert_cli.plot.loss import BOTTOM, LEFT, RIGHT, TOP, loss_curve
from xpert_cli.plot.svg import Scale, ticks

CURVE = ((0, 3.4), (10, 3.0), (20, 2.8), (30, 2.9))
NAME = "{http://www.w3.org/2000/svg}"


def drawn(svg: str, name: str, kind: str = "") -> list[ElementTree.Element]:
    """The elements of a picture with a name and, if given, a class."""
    return [one for one in ElementTree.fromstring(svg).iter(NAME + name) if kind in ("", one.get("class"))]


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in drawn(svg, "text")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (2.76, 3.44, [2.6, 2.8, 3.0, 3.2, 3.4, 3.6]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 30, [0, 10, 20, 30]),
        (-1.2, 0.9, [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0]),
        (0, 937, [0, 200, 400, 600, 800, 1000]),
    ],
)
def test_ticks_are_round_and_enclose(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_of_counts_are_whole():
    assert ticks(0, 3, 6, least=1) == [0, 1, 2, 3]
    assert ticks(0, 0, 6, least=1) == [0, 1]


def test_a_scale_is_straight():
    scale = Scale(2, 4, 100, 0)
    assert (scale(2), scale(3.5), scale(4)) == (100, 25, 0)


def test_the_curve_lies_where_its_numbers_say():
    svg = loss_curve(CURVE, 3.5, 20, "Mine")
    points = [tuple(map(float, place.split(","))) for place in drawn(svg, "polyline")[0].get("points").split()]
    # From 2.6 to 3.6 nats is the plot's height, and 30 steps its width.
    expected = [
        (LEFT + (RIGHT - LEFT) * step / 30, BOTTOM - (BOTTOM - TOP) * (loss - 2.6) / 1.0) for step, loss in CURVE
    ]
    assert [x for x, _ in points] == pytest.approx([x for x, _ in expected], abs=0.06)
    assert [y for _, y in points] == pytest.approx([y for _, y in expected], abs=0.06)
    assert len(drawn(svg, "circle", "point")) == 4
    (best,) = drawn(svg, "circle", "best")
    assert (float(best.get("cx")), float(best.get("cy"))) == points[2]
    (base,) = drawn(svg, "path", "base")
    height = float(re.match(rf"M{LEFT} ([\d.]+)H{RIGHT}$", base.get("d"))[1])
    assert height == pytest.approx(BOTTOM - (BOTTOM - TOP) * 0.9, abs=0.06)


def test_axes_have_round_numbers_and_units():
    found = texts(loss_curve(CURVE, 3.5, 20, "Mine"))
    assert {"2.6", "2.8", "3.0", "3.2", "3.4", "3.6", "0", "10", "20", "30"} <= set(found)
    assert {"Mine", "held-out loss, nats a token", "step", "base model 3.500", "best 2.800, step 20"} <= set(found)


def test_it_is_told_to_those_who_cannot_see_it():
    svg = loss_curve(CURVE, 3.5, 20, "Mine")
    root = ElementTree.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "Mine")
    assert [root[0].tag, root[1].tag] == [NAME + "title", NAME + "desc"]
    assert root[0].text == "Mine"
    assert root[1].text == (
        "The base model's loss is 3.500 nats a token. Held-out loss goes from 3.400 at step 0 to 2.900 at step 30. "
        "It is lowest at step 20: 2.800."
    )


def test_text_is_escaped_and_nothing_is_fetched():
    title = 'R&D <script>alert("x")</script>\x00\n'
    svg = loss_curve(CURVE, 3.5, 20, title)
    assert drawn(svg, "script") == []
    assert ElementTree.fromstring(svg)[0].text == 'R&D <script>alert("x")</script>'
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|href", svg)


def test_both_modes_have_a_colour_for_everything():
    style = drawn(loss_curve(CURVE, 3.5, 20, "Mine"), "style")[0].text
    light, dark = style.split("@media (prefers-color-scheme:dark){")
    selectors = set(re.findall(r"^([.\w]+)\{", light, re.MULTILINE))
    assert selectors == set(re.findall(r"^([.\w]+)\{", dark, re.MULTILINE))
    used = {f".{one.get('class')}" for one in ElementTree.fromstring(loss_curve(CURVE, 3.5, 20, "")).iter()}
    assert used - {".None"} <= selectors


@pytest.mark.parametrize(
    ("curve", "base", "best", "points"),
    [
        ((), 3.5, 0, 0),
        ((), math.nan, 0, 0),
        (((0, 2.9),), 2.9, 0, 1),
        (((0, 2.9), (5, math.nan), (10, math.inf), (15, 3.0)), 2.9, 5, 2),
        (((0, 2.9), (10, 2.9)), math.nan, 10, 2),
    ],
)
def test_little_to_show_is_still_a_picture(curve, base, best, points):
    svg = loss_curve(curve, base, best, "Mine")
    assert len(drawn(svg, "circle", "point")) == points
    assert len(drawn(svg, "path", "base")) == math.isfinite(base)
    assert len(drawn(svg, "circle", "best")) == (best in {step for step, loss in curve if math.isfinite(loss)})
    assert "nan" not in svg.replace("nats", "")
    assert "inf" not in svg
