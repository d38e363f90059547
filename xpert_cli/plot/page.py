"""A portrait as a web page: one file that fetches nothing, for a phone as for a large screen, with its numbers below.

    Path("me.html").write_text(page(of_selection(selection)), "utf-8")

Not here: the picture itself (portrait.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from xpert_cli.plot.portrait import ERRORS, NARROW, WIDE, Portrait, drawn, part_name, signed
from xpert_cli.plot.svg import clean

SIZES = {"wide": WIDE, "narrow": NARROW}
HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body{{margin:0 auto;max-width:1200px;background:#fff;color:#1c2530;font:15px/1.45 system-ui,-apple-system,sans-serif}}
svg{{display:block;width:100%;height:auto;margin:0 auto}}
.wide{{display:none}}
.narrow svg{{max-width:480px}}
.numbers{{display:flex;flex-wrap:wrap;align-items:start;gap:24px 64px;padding:24px 16px 48px;overflow-x:auto}}
table{{border-collapse:collapse}}
caption{{text-align:left;font-weight:600;padding:8px 0}}
th,td{{text-align:left;font-weight:400;padding:4px 0 4px 16px;border-bottom:1px solid #e4e8ed;vertical-align:top}}
th:first-child{{padding-left:0}}
td,thead th+th{{text-align:right;font-variant-numeric:tabular-nums}}
td{{white-space:nowrap}}
thead th{{font-size:13px;color:#5b6773}}
@media(min-width:720px){{.wide{{display:block}}.narrow{{display:none}}.numbers{{padding:24px 32px 48px}}}}
@media(prefers-color-scheme:dark){{
body{{background:#12171e;color:#e8edf2}}
th,td{{border-color:#262e38}}
thead th{{color:#9ba8b5}}
}}
</style>
</head>
<body>
<main>
"""


def page(portrait: Portrait) -> str:
    """The portrait as HTML: drawn for a large screen and for a phone, one of which is seen, and its numbers below."""
    pictures = [f'<div class="{name}">\n{drawn(portrait, width)}</div>' for name, width in SIZES.items()]
    columns = ["you write", "you", *(part_name(portrait, index, weight) for index, weight in portrait.parts)]
    rows = [
        [place.high if place.value > 0 else place.low, f"{signed(place.value)} ± {ERRORS * place.error:.1f}"]
        + [signed(place.adapters[index]) for index, _ in portrait.parts]
        for place in portrait.places
    ]
    tables = [_table("Standard deviations from the base model", columns, rows)]
    if portrait.ids:
        scores = [[name, signed(score, 2)] for name, score in zip(portrait.ids, portrait.scores, strict=True)]
        left_out = portrait.total - len(scores)
        nearest = f", the {len(scores)} nearest of {portrait.total:,}" if left_out else ""
        tables.append(_table(f"Adapters{nearest}", ["adapter", "score"], scores))
    head = HEAD.format(title=clean(portrait.title))
    return "\n".join([head, *pictures, '<div class="numbers">', *tables, "</div>\n</main>\n</body>\n</html>\n"])


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is words."""
    head = "".join(f'<th scope="col">{clean(column)}</th>' for column in columns)
    lines = [
        f'<tr><th scope="row">{clean(name)}</th>' + "".join(f"<td>{clean(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in rows
    ]
    named = f"<caption>{clean(caption)}</caption>\n<thead><tr>{head}</tr></thead>"
    return "\n".join(["<table>", named, "<tbody>", *lines, "</tbody>", "</table>"])
