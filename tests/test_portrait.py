"""The picture of a person among adapters: marks where the numbers are, no overlaps, no quotes, any kind of file."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Browser
from command import MARA, OKORO, called, xpert

from xpert_cli import corpus
from xpert_cli.cache.catalogue import Chosen, open_cache
from xpert_cli.errors import BadInput, CannotWrite, MissingExtra
from xpert_cli.hub import sources
from xpert_cli.plot import files, loss_curve
from xpert_cli.plot.page import page
from xpert_cli.plot.portrait import NARROW, WIDE, Portrait, drawn, of_selection, of_summary, signed
from xpert_cli.plot.svg import fitted, width_of, wrapped
from xpert_cli.selection.project import AxisPosition, Projection
from xpert_cli.selection.select import Ranked, Selection, select
from xpert_cli.selection.summarize import AxisReading, Summary
from xpert_cli.style.space import Readings

SVG = "{http://www.w3.org/2000/svg}"
WORDS = ("in shorter words", "in longer words")
SELECTION = Selection(
    selected=(Chosen("terse", 1.0),),
    ranking=(Ranked("terse", 0.9, ()), Ranked("florid", -0.4, ())),
    verdict="best",
    confidence=0.97,
    samples=20,
    explanation="Like terse, you write in shorter words.",
    notes=(),
    downloaded_bytes=0,
    seconds=0.1,
    places=(
        AxisPosition(*WORDS, -2.0, 0.25, (-1.0, 4.0)),
        AxisPosition("more formal", "more casual", 3.0, 0.5, (3.0, 0.0)),
    ),
)
SUMMARY = Summary(
    samples=1,
    axes=(
        AxisReading("word length", "measured", -2.0, 0.5, *WORDS, "in shorter words", "“a secret quote”", True),
        AxisReading("emoji", "measured", -1.0, 0.5, "fewer emoji", "more emoji", "fewer emoji", "“another”", False),
    ),
    explanation="Compared with the base model you write in shorter words (-2.0).",
    notes=(),
    seconds=0.1,
)


def found(svg: str, name: str, kind: str = "") -> list[ElementTree.Element]:
    """The elements of a picture with a name and, if given, a class."""
    return [one for one in ElementTree.fromstring(svg).iter(SVG + name) if kind in ("", one.get("class"))]


def numbers(element: ElementTree.Element, name: str) -> tuple[float, ...]:
    return tuple(map(float, re.findall(r"-?\d+\.?\d*", element.get(name) or "")))


def tips(svg: str, name: str, kind: str) -> list[str]:
    """What the marks of a class say when pointed at; those of the key say nothing."""
    return [tip.text or "" for mark in found(svg, name, kind) if (tip := mark.find(SVG + "title")) is not None]


def marks(svg: str, name: str, kind: str) -> list[ElementTree.Element]:
    return [mark for mark in found(svg, name, kind) if mark.find(SVG + "title") is not None]


def many(count: int, name: str = "adapter") -> Selection:
    """A selection among `count` adapters, all of a long name, the first 60 of them in its places."""
    ranking = tuple(Ranked(f"{name}-{n}", 0.9 - 0.8 * n / count, ()) for n in range(count))
    lying = tuple(2 - 4 * n / count for n in range(min(count, 60)))
    place = AxisPosition(f"with fewer {'quite ' * 20}rare words", "with more rare words", 1.2, 0.3, lying)
    chosen = (Chosen(f"{name}-0", 1.0),)
    return dataclasses.replace(SELECTION, selected=chosen, ranking=ranking, places=(place,) * 10)


# -- marks lie where the numbers say


def test_marks_lie_where_the_numbers_say():
    svg = drawn(of_selection(SELECTION))
    # The farthest mark, at 4 (the person's whisker ends there too), lies 10 pixels inside the rows, from 28 to 638.
    x = {value: 333 + value * 295 / 4 for value in (-2.5, -2, -1.5, -1, 0, 2, 3, 4)}
    people, parts, others = marks(svg, "circle", "you"), marks(svg, "path", "part"), marks(svg, "circle", "other")
    assert [numbers(one, "cx")[0] for one in people] == pytest.approx([x[-2], x[3]], abs=0.06)
    assert [numbers(one, "d")[0] for one in parts] == pytest.approx([x[-1], x[3]], abs=0.06)
    assert [numbers(one, "cx")[0] for one in others] == pytest.approx([x[4], x[0]], abs=0.06)
    whiskers = [numbers(one, "d") for one in found(svg, "path", "error")]
    assert [(low, high) for low, _, high in whiskers] == [
        pytest.approx((x[-2.5], x[-1.5]), abs=0.06),
        pytest.approx((x[2], x[4]), abs=0.06),
    ]
    heights = [numbers(one, "cy")[0] for one in people]
    assert [numbers(one, "cy")[0] - height for one, height in zip(others, heights, strict=True)] == [22, 22]
    ways = [numbers(one, "d") for one in found(svg, "path", "way") if "L" in (one.get("d") or "")]
    assert [(way[0], way[2]) for way in ways] == [
        pytest.approx((x[-2], x[-1]), abs=0.06),
        pytest.approx((x[3], x[3]), abs=0.06),
    ]
    (base,) = (one for one in found(svg, "path", "base") if "V" in (one.get("d") or ""))
    assert numbers(base, "d")[0] == pytest.approx(x[0])


def test_marks_say_what_they_are():
    svg = drawn(of_selection(SELECTION))
    assert tips(svg, "circle", "you") == ["you: −2.0 ± 0.5", "you: +3.0 ± 1.0"]
    assert tips(svg, "path", "part") == ["terse: −1.0", "terse: +3.0"]
    assert tips(svg, "circle", "other") == ["florid: +4.0", "florid: 0.0"]
    assert tips(svg, "rect", "bar") == ["florid: −0.40"]


def test_the_end_that_the_person_is_at_stands_out():
    svg = drawn(of_selection(SELECTION))
    texts = {one.text: one.get("class") for one in found(svg, "text")}
    assert (texts["shorter words"], texts["longer words"]) == ("dark", None)
    assert (texts["formal"], texts["casual"]) == (None, "dark")


def test_scores_are_bars_from_zero():
    svg = drawn(of_selection(SELECTION))
    # From -0.4 to 1 are 198 of the 250 pixels beside the axes; the rest is for the numbers.
    (best,), (worst,) = marks(svg, "rect", "part"), marks(svg, "rect", "bar")
    unit, zero = 198 / 1.4, 682 + 198 * 0.4 / 1.4
    assert (numbers(best, "x")[0], numbers(best, "width")[0]) == pytest.approx((zero, 0.9 * unit), abs=0.06)
    assert (numbers(worst, "x")[0], numbers(worst, "width")[0]) == pytest.approx((682, 0.4 * unit), abs=0.06)


def test_a_summary_shows_the_person_alone_and_what_says_something_of_its_own():
    svg = drawn(of_summary(SUMMARY))
    assert tips(svg, "circle", "you") == ["you: −2.0 ± 1.0"]
    assert found(svg, "path", "part") == found(svg, "circle", "other") == found(svg, "rect", "bar") == []
    (way,) = found(svg, "path", "way")
    assert [numbers(way, "d")[n] for n in (0, 2)] == pytest.approx([480 - 442 * 2 / 3, 480], abs=0.06)
    assert {"How you write", "1 text", "shorter words", "longer words"} <= {one.text for one in found(svg, "text")}


def test_a_standard_error_is_never_zero_and_infinite_where_nothing_was_read():
    values = np.array([[1.0, 5.0, np.nan, np.nan], [3.0, 5.0, 7.0, np.nan]])
    space = SimpleNamespace(spread=np.array([2.0, 1.0, 1.0, 1.0]))
    error = Projection((), space, np.ones(4, np.bool_), Readings(values), ()).error  # type: ignore[arg-type]
    assert error == pytest.approx([math.sqrt(0.5 + 1) / 2, 0.5, 1.0, math.inf])


@pytest.mark.model
def test_a_selection_tells_where_its_first_adapters_lie(base):
    cache = open_cache(sources.open_source(sources.EMBEDDED))
    result = select(corpus.read([MARA]), cache, base, measured_only=True)
    ids, axes = [entry.id for entry in cache.entries], [(axis.low, axis.high) for axis in cache.space.axes]
    order = [ids.index(one.adapter) for one in result.ranking]
    assert len(result.places) == 10
    for place in result.places:
        column = axes.index((place.low, place.high))
        assert place.adapters == tuple(cache.coordinates[order, column])
        assert 0 < place.error < 1


# -- the verdict


@pytest.mark.parametrize(
    ("verdict", "selected", "title", "kind", "named"),
    [
        ("best", ("terse",), "Nearest: terse, score +0.90", "part", ["terse"]),
        (
            "mixture",
            ("terse", "florid"),
            "Nearest: a mixture of 2 adapters",
            "part",
            ["0.50 of terse", "0.50 of florid"],
        ),
        ("none", (), "No adapter is near", "far", ["terse"]),
    ],
)
def test_the_title_says_the_verdict(verdict, selected, title, kind, named):
    chosen = tuple(Chosen(name, 1.0 / len(selected)) for name in selected)
    svg = drawn(of_selection(dataclasses.replace(SELECTION, verdict=verdict, selected=chosen)))
    root = ElementTree.fromstring(svg)
    assert (root.get("role"), root.get("aria-label"), root[0].text) == ("img", title, title)
    assert {one.text for one in found(svg, "text", "strong")} >= set(named)
    assert len(marks(svg, "path", kind)) == 2 * len(named)
    assert len({(one.get("d") or "").partition("m")[2] for one in marks(svg, "path", kind)}) == len(named)


def test_it_is_told_to_those_who_cannot_see_it():
    assert ElementTree.fromstring(drawn(of_selection(SELECTION)))[1].text == (
        "Like terse, you write in shorter words. 20 texts, confidence 0.97. "
        "From shorter words to longer words: you −2.0, terse −1.0. From formal to casual: you +3.0, terse +3.0."
    )


# -- any number of adapters, any length of names


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["adapter", "very-" * 18 + "long", "W" * 94, "長い名前" * 20])
@pytest.mark.parametrize("count", [1, 8, 200, 1000])
def test_no_text_overlaps_another_or_the_edge(count, name, width):
    boxes = []
    for one in found(drawn(of_selection(many(count, name)), width), "text"):
        size = 18 if one.get("class") == "title" else 13
        across, (x,), (y,) = width_of(one.text, size), numbers(one, "x"), numbers(one, "y")
        left = x - {"start": 0, "middle": across / 2, "end": across}[one.get("text-anchor")]
        boxes.append((left, left + across, y - 0.75 * size, y + 0.2 * size))
    assert all(left >= 0 and right <= width for left, right, _, _ in boxes)
    overlapping = [
        (a, b) for a, b in combinations(boxes, 2) if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
    ]
    assert overlapping == []


@pytest.mark.parametrize(
    ("count", "dots", "key", "rest"),
    [
        (1, 0, None, None),
        (2, 1, "1 other adapter", None),
        (8, 7, "7 other adapters", None),
        (200, 59, "59 nearest of 199 others", "and 190 more"),
        (1000, 59, "59 nearest of 999 others", "and 990 more"),
    ],
)
def test_at_most_sixty_adapters_are_drawn_and_that_is_said(count, dots, key, rest):
    svg = drawn(of_selection(many(count)))
    texts = {one.text for one in found(svg, "text")}
    assert len(marks(svg, "circle", "other")) == 10 * dots
    assert {one for one in texts if re.search("other", one)} == ({key} if key else set())
    assert {one for one in texts if re.search("more$", one)} == ({rest} if rest else set())
    assert len(marks(svg, "rect", "part")) + len(marks(svg, "rect", "bar")) == min(count, 10)


def test_everything_drawn_has_a_colour_in_both_modes():
    svg = drawn(of_selection(many(12)))
    light, dark = (found(svg, "style")[0].text or "").split("@media (prefers-color-scheme:dark){")
    used = {one.get("class") for one in ElementTree.fromstring(svg).iter()} - {None}
    for mode in (light, dark):
        assert used <= set(re.findall(r"^\.(\w+)\{", mode, re.MULTILINE))


# -- whose words it holds


def test_text_is_escaped_and_nothing_is_fetched():
    bad = '</svg><script>alert("x")</script>&\x00'
    places = (AxisPosition(f"with {bad}", f"without {bad}", 1.0, 0.1, (1.0,)),)
    result = dataclasses.replace(
        SELECTION, selected=(Chosen(bad, 1.0),), ranking=(Ranked(bad, 0.5, ()),), explanation=bad, places=places
    )
    svg, html = drawn(of_selection(result)), page(of_selection(result))
    assert found(svg, "script") == []
    for made in (svg, html):
        assert "<script" not in made
        assert set(re.findall(r"\w+://[^\"\s]*", made)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"url\(|@import|href=|src=", made)


@pytest.mark.model
@pytest.mark.parametrize("command", ["summarize", "select"])
def test_no_word_of_the_writer_is_in_a_picture(monkeypatch, capsys, tmp_path, base, command):
    text, secret = tmp_path / "text.txt", "zyzzogeton quokkas zugzwang"
    text.write_text("\n\n".join(f"Look, {n} {secret} danced! They cannot stop, can they?" for n in range(6)), "utf-8")
    for suffix in (".svg", ".html"):
        drawing = tmp_path / f"me{suffix}"
        status, _, _ = called(monkeypatch, capsys, command, str(text), "--measured-only", "--plot", str(drawing))
        assert status == 0
        assert "exclamation" in drawing.read_text("utf-8")
        assert not any(word in drawing.read_text("utf-8") for word in [*secret.split(), "danced"])


def test_a_summary_s_quotes_are_left_out():
    portrait = of_summary(SUMMARY)
    assert "secret" not in drawn(portrait) + page(portrait)


# -- as a page


class _Tags(HTMLParser):
    """What is open, and the text of every cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open += [] if tag == "meta" else [tag]
        self.cells += [""] if tag in ("td", "th") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_data(self, data: str) -> None:
        if self.open[-1:] in (["td"], ["th"]):
            self.cells[-1] += data


def test_a_page_holds_the_picture_for_both_screens_and_the_numbers():
    html = page(of_selection(SELECTION))
    told = _Tags(html)
    assert told.open == []
    assert [int(width) for width in re.findall(r'<svg [^>]* width="(\d+)"', html)] == [960, 360]
    assert told.cells == [
        *("you write", "you", "terse"),
        *("in shorter words", "−2.0 ± 0.5", "−1.0"),
        *("more casual", "+3.0 ± 1.0", "+3.0"),
        *("adapter", "score", "terse", "+0.90", "florid", "−0.40"),
    ]
    assert _Tags(page(of_summary(SUMMARY))).cells == ["you write", "you", "in shorter words", "−2.0 ± 1.0"]


# -- words and numbers


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        ("in shorter words", "in longer words", ("shorter words", "longer words")),
        ("more formal", "more casual", ("formal", "casual")),
        ("with less", "for more", ("with less", "for more")),
        ("plain", "plain indeed", ("plain", "plain indeed")),
    ],
)
def test_a_first_word_that_both_ends_share_is_left_out(low, high, ends):
    svg = drawn(Portrait("", "", "1 text", (AxisPosition(low, high, 1.0, 0.5),)))
    assert [one.text for one in found(svg, "text") if one.get("y") == found(svg, "text", "dark")[1].get("y")] == [*ends]


def test_numbers_are_signed_and_zero_is_not():
    assert [signed(value) for value in (1.25, -0.96, 0.04, -0.04, 0.0)] == ["+1.2", "−1.0", "0.0", "0.0", "0.0"]


def test_text_is_fitted_and_wrapped():
    assert fitted("aaaa", 4 * 13 * 0.62) == "aaaa"
    assert fitted("aaaaaa", 4 * 13 * 0.62) == "aa…"
    assert wrapped("one two three", 60, 2) == ["one two", "three"]
    assert wrapped("plain-old-words", 70, 2) == ["plain-old-", "words"]
    assert wrapped("in “-tion” or more", 75, 3) == ["in “-tion”", "or more"]
    assert wrapped("aaaa bbbb cccc", 40, 2)[-1].endswith("…")


# -- files


@pytest.fixture
def portrait() -> Portrait:
    return of_selection(SELECTION)


@pytest.mark.parametrize(("name", "begins"), [("a.svg", "<svg "), ("c.HTML", "<!doctype html>")])
def test_the_suffix_says_what_is_written(portrait, tmp_path, name, begins):
    files.check(tmp_path / name)
    files.write(portrait, tmp_path / name)
    assert (tmp_path / name).read_text("utf-8").startswith(begins)
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_a_png_is_twice_as_fine_and_shows_its_words(portrait, tmp_path):
    pytest.importorskip("resvg_py")
    files.check(tmp_path / "me.png")
    sizes = []
    for title in ("Nearest: terse", ""):
        files.write(dataclasses.replace(portrait, title=title), tmp_path / "me.png")
        content = (tmp_path / "me.png").read_bytes()
        assert (content[:8], int.from_bytes(content[16:20], "big")) == (b"\x89PNG\r\n\x1a\n", 1920)
        sizes.append(len(content))
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize(("name", "told"), [("me.gif", "not .gif"), ("me", "not a file without a suffix")])
def test_another_suffix_names_the_three(tmp_path, name, told):
    with pytest.raises(BadInput, match=f"{told}. Name it FILE.svg, FILE.html or FILE.png."):
        files.check(tmp_path / name)


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(CannotWrite, match=r"me.svg: .*file is no folder. Choose another place with --plot\."):
        files.check(tmp_path / "file" / "me.svg")
    with pytest.raises(CannotWrite, match="it is a folder"):
        files.check(tmp_path / "folder.svg")


def test_a_png_without_resvg_or_fonts_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtra, match=r"pip install 'xpert-cli\[png\]'"):
        files.check(tmp_path / "me.png")
    drawing_nothing = SimpleNamespace(svg_to_bytes=lambda svg_string, zoom: b"the same")
    monkeypatch.setitem(sys.modules, "resvg_py", drawing_nothing)
    with pytest.raises(BadInput, match="no font was found"):
        files.check(tmp_path / "me.png")


# -- on the command line


@pytest.mark.model
@pytest.mark.parametrize("command", ["summarize", "select"])
def test_json_names_the_picture_where_one_is_asked_for(monkeypatch, capsys, tmp_path, base, command):
    arguments = [command, MARA, "--measured-only", "--json"]
    status, out, _ = called(monkeypatch, capsys, *arguments)
    assert (status, "plot" in json.loads(out)) == (0, False)
    drawing = tmp_path / "me.svg"
    status, out, err = called(monkeypatch, capsys, *arguments, "--plot", str(drawing))
    assert (status, json.loads(out)["plot"], err) == (0, str(drawing), "")
    rows = marks(drawing.read_text("utf-8"), "circle", "you")
    assert len(rows) == 2 * {"summarize": 8, "select": 10}[command]  # for a page, and for a phone


@pytest.mark.model
def test_a_selection_s_picture_needs_no_extra(tmp_path, base):
    drawing = tmp_path / "me.html"
    done = xpert("select", MARA, "--measured-only", "--plot", str(drawing), hide=("llama_cpp", "resvg_py", "torch"))
    assert (done.returncode, drawing.exists()) == (0, True)


@pytest.mark.parametrize("command", ["summarize", "select"])
def test_a_picture_that_cannot_be_drawn_is_one_line_before_the_work(monkeypatch, capsys, tmp_path, command):
    monkeypatch.setattr(
        f"xpert_cli.selection.{command}.{command}", lambda *given, **more: pytest.fail("it worked first")
    )
    status, out, err = called(monkeypatch, capsys, command, MARA, "--plot", str(tmp_path / "me.jpg"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: --plot draws SVG, HTML or PNG, not .jpg.")


def test_a_mixture_has_a_mark_of_its_own_and_the_picture_explains_itself():
    portrait = of_selection(SELECTION)
    mixed = dataclasses.replace(portrait, parts=((0, 0.75), (1, 0.25)), near=True)
    svg = drawn(mixed)
    places = [0.75 * place.adapters[0] + 0.25 * place.adapters[1] for place in mixed.places]
    told = [f"the mixture: {signed(value)}" for value in places]
    assert re.findall("<title>(the mixture: [^<]*)</title>", svg) == told
    assert "the mixture of these" in svg
    assert svg.count('class="way"') == len(mixed.places) + 1  # one line a row, and the one of the key
    assert "Score: 1" not in svg
    assert "the mixture" not in drawn(dataclasses.replace(portrait, parts=((0, 1.0),)))
    assert 'style="max-width:100%;height:auto"' in svg


@pytest.mark.parametrize("command", ["select", "summarize", "finetune"])
def test_a_picture_never_takes_the_place_of_what_is_read(tmp_path, monkeypatch, capsys, command):
    text = tmp_path / "mine.svg"
    text.write_bytes(Path(MARA).read_bytes())
    for source in (text, tmp_path):
        status, _, err = called(monkeypatch, capsys, command, str(source), "--plot", str(text))
        assert status == 1
        assert "is among the files to read, and would be lost. Name another file with --plot." in " ".join(err.split())
    assert text.read_bytes() == Path(MARA).read_bytes()


def test_the_first_reason_is_among_the_rows(base):
    cache = open_cache(sources.open_source("embedded"))
    axes = {axis.name: (axis.low, axis.high) for axis in cache.space.axes}
    for name in (MARA, OKORO):
        written = corpus.read([name])
        result = select(written, cache, base, measured_only=True)
        first = next(reason for reason in result.ranking[0].reasons if reason.share > 0 and reason.axis in axes)
        assert axes[first.axis] in [(place.low, place.high) for place in result.places]


@pytest.mark.parametrize("name", ["me.svg", "loss.svg"])
def test_a_phone_shows_a_picture_whose_words_can_be_read(tmp_path, name):
    files.write(of_selection(SELECTION), tmp_path / "me.svg")
    curve = loss_curve([(0, 3.4), (10, 3.0), (20, 2.8)], 3.5, 20, "Held-out loss")
    (tmp_path / "loss.svg").write_text(curve, "utf-8")
    size = (
        "[...document.querySelectorAll('text')].filter(one => one.getBoundingClientRect().width).map(one => "
        "parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a * visualViewport.scale)"
    )
    width = "document.documentElement.getBoundingClientRect().width * visualViewport.scale"
    with Browser(tmp_path) as browser:
        for across, least, mobile in ((390, 12.0, True), (1280, 12.9, False)):
            screen = {"width": across, "height": 844, "screenWidth": across, "screenHeight": 844}
            browser.call("Emulation.setDeviceMetricsOverride", **screen, deviceScaleFactor=1, mobile=mobile)
            browser.call("Page.navigate", url=(tmp_path / name).as_uri())
            browser.wait(f"location.href.endsWith('{name}') && document.readyState === 'complete' && {size}.length")
            assert min(browser.value(size)) >= least
            assert browser.value(width) <= across + 0.5
        assert browser.errors == []
        around = tmp_path / "page.html"  # inside a page it is the wide one, whatever the screen
        around.write_text(f'<!doctype html><img src="{name}" width="390">', "utf-8")
        screen = {"width": 390, "height": 844, "screenWidth": 390, "screenHeight": 844}
        browser.call("Emulation.setDeviceMetricsOverride", **screen, deviceScaleFactor=1, mobile=True)
        browser.call("Page.navigate", url=around.as_uri())
        browser.wait("document.querySelector('img') && document.querySelector('img').complete")
        root = ElementTree.fromstring((tmp_path / name).read_text("utf-8"))
        ratio = float(root.get("height") or 0) / float(root.get("width") or 1)
        drawn_as = "(one => one.height / one.width)(document.querySelector('img').getBoundingClientRect())"
        assert browser.value(drawn_as) == pytest.approx(ratio, abs=0.01)
