"""What pictures are made of: SVG text that needs nothing else, for a browser or a README, in light and in dark mode.

    Path("note.svg").write_text(document("A note", "It says hello.", [label(20, 34, "Hello")], 200, 60), "utf-8")

How wide a text is drawn is estimated, on the wide side, because no font is at hand. Not here: the pictures themselves,
and tables and bars in the terminal (cli/views.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

# Colours stand in classes and not in variables, which some viewers of SVG do not know.
STYLE = """\
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,"Liberation Sans","DejaVu Sans","Noto Sans",\
sans-serif;fill:#5b6773;stroke:#fff;stroke-width:4;stroke-linejoin:round;paint-order:stroke}
.title{font-size:17px;font-weight:600;fill:#1c2530}
.strong{font-weight:600;fill:#c2410c}
.dark{font-weight:600;fill:#1c2530}
.paper{fill:#fff}
.grid{stroke:#e4e8ed}
.axis{stroke:#9aa5b1}
.base{stroke:#5b6773;stroke-width:1.5;stroke-dasharray:6 5}
.curve{fill:none;stroke:#2563eb;stroke-width:2.5;stroke-linejoin:round}
.point{fill:#fff;stroke:#2563eb;stroke-width:2}
.best{fill:#c2410c;stroke:#fff;stroke-width:2}
.you{fill:#2563eb;stroke:#fff;stroke-width:1.5}
.error{stroke:#2563eb;stroke-width:5;stroke-linecap:round;opacity:.4}
.way{stroke:#2563eb;stroke-width:1.5;opacity:.6}
.part{fill:#c2410c;stroke:#fff;stroke-width:1.5}
.far{fill:#fff;stroke:#c2410c;stroke-width:2}
.mixture{fill:none;stroke:#c2410c;stroke-width:2.5}
.other{fill:#7b8896;opacity:.45}
.bar{fill:#b6c0ca}
@media (prefers-color-scheme:dark){
text{fill:#9ba8b5;stroke:#12171e}
.title{fill:#e8edf2}
.strong{fill:#ffab66}
.dark{fill:#e8edf2}
.paper{fill:#12171e}
.grid{stroke:#262e38}
.axis{stroke:#55616e}
.base{stroke:#9ba8b5}
.curve{stroke:#74a9ff}
.point{fill:#12171e;stroke:#74a9ff}
.best{fill:#ffab66;stroke:#12171e}
.you{fill:#74a9ff;stroke:#12171e}
.error{stroke:#74a9ff}
.way{stroke:#74a9ff}
.part{fill:#ffab66;stroke:#12171e}
.far{fill:#12171e;stroke:#ffab66}
.mixture{stroke:#ffab66}
.other{fill:#8795a3}
.bar{fill:#3a4552}
}"""

# A browser on a phone lays a picture out for a page of 980 pixels and then shrinks it, so that only the size of the
# device says what the reader has before them. Inside an <img> that size is 0.
ON_A_PHONE = "@media (min-device-width:1px) and (max-device-width:600px)"
FIT = f"<style>{ON_A_PHONE}{{:root{{width:100%!important;max-width:none!important;height:auto!important}}}}</style>"


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
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{clean(content)}</text>'


def width_of(content: str, size: float = 13) -> float:
    """About how many pixels wide a text is, in a wide sans-serif font."""
    return size * sum(map(_share_of_size, content))


def _share_of_size(character: str) -> float:
    for group, share in (("ijlt.,:;'|!()-· ", 0.38), ("mwMW@%—…", 0.95)):
        if character in group:
            return share
    return 1.1 if east_asian_width(character) in "WF" else 0.75 if character.isupper() else 0.62


def fitted(content: str, width: float, size: float = 13) -> str:
    """The text, its end cut off and an ellipsis put there if it is wider than `width` pixels."""
    if width_of(content, size) <= width:
        return content
    while content and width_of(f"{content}…", size) > width:
        content = content[:-1]
    return f"{content.rstrip()}…"


def wrapped(content: str, width: float, most: int, size: float = 13) -> list[str]:
    """The text on at most `most` lines of `width` pixels, broken at spaces and after hyphens inside words."""
    lines = [""]
    for word in re.split(r"(?<=\s)(?=\S)|(?<=\w-)(?=\w)", content):
        if lines[-1] and len(lines) < most and width_of(lines[-1] + word.rstrip(), size) > width:
            lines.append("")
        lines[-1] += word
    return [fitted(line.strip(), width, size) for line in lines]


def document(
    title: str,
    description: str,
    parts: Sequence[str],
    width: float,
    height: float,
    phone: tuple[Sequence[str], float, float] | None = None,
) -> str:
    """The whole picture: `parts` on paper; title and description are for those who cannot see it.

    Args:
        phone: parts, width and height of another drawing, which is seen in place of the first where the file is opened
            by itself on a phone. A picture inside a page does not know the screen and shows the first.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" preserveAspectRatio="xMidYMin" style="max-width:100%;height:auto" role="img" '
        f'aria-label="{clean(title)}">'
    )
    head_parts = f"<title>{clean(title)}</title>\n<desc>{clean(description)}</desc>\n<style>\n{STYLE}\n</style>"
    wide = [_paper(width, height), *parts]
    if phone is None:
        return "\n".join([head, head_parts, *wide, "</svg>\n"])
    others, narrow_width, down = phone
    rules = f":root{{height:{100 * down / narrow_width:.2f}vw!important}}.large{{display:none}}.small{{display:inline}}"
    return "\n".join(
        [
            *[head, head_parts, FIT, f"<style>.small{{display:none}}{ON_A_PHONE}{{{rules}}}</style>"],
            *['<g class="large">', *wide, "</g>"],
            *[
                f'<g class="small" transform="scale({width / narrow_width:.4f})">',
                _paper(narrow_width, down),
                *others,
                "</g>",
            ],
            "</svg>\n",
        ]
    )


def _paper(width: float, height: float) -> str:
    return f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="12"/>'


def clean(content: str) -> str:
    """Text as XML allows it."""
    return escape(" ".join("".join(c if c.isprintable() else " " for c in content).split()))
