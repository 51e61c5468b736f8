"""A report as one HTML file: sections with tables and pictures; it needs no network, no scripts and no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape

import cv2

from ros2_raxels.evaluation.report.tables import Table
from ros2_raxels.recordings.image_codec import ImageArray


class Mark(Enum):
    """How a value compares with another."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"

    @staticmethod
    def of(own: str, other: str, higher_is_better: bool) -> Mark:
        """From the numbers as shown: equal digits count as equal."""
        difference = float(own) - float(other)
        if difference == 0 or difference != difference:
            return Mark.SAME
        return Mark.BETTER if (difference > 0) is higher_is_better else Mark.WORSE


_SIGNS = {Mark.BETTER: "▲", Mark.WORSE: "▼", Mark.SAME: ""}


@dataclass(frozen=True)
class Picture:
    """A PNG.

    Attributes:
        png: the file.
        caption: what it shows.
        narrow: shown three to a row.
    """

    png: bytes
    caption: str
    narrow: bool = False

    @staticmethod
    def of(image: ImageArray, caption: str) -> Picture:
        """A narrow one, of an image (H, W, 3) RGB uint8."""
        png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
        return Picture(png, caption, narrow=True)


@dataclass(frozen=True)
class Card:
    """A headline number.

    Attributes:
        name, value: of the number.
        beside: what it is compared with, in words.
        mark: how it compares.
    """

    name: str
    value: str
    beside: str = ""
    mark: Mark = Mark.SAME


@dataclass(frozen=True)
class Grid:
    """A table that needs the width of a page.

    Attributes:
        groups: names of groups of columns and how many columns each spans.
        rows: header first; the last row sums up the others.
        marks: by row and column of `rows`.
    """

    groups: Sequence[tuple[str, int]]
    rows: Table
    marks: Mapping[tuple[int, int], Mark]


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: of the part.
        table: for a terminal, and for the page where there is no grid.
        note: how to read it.
        cards, pictures: shown above the table.
        grid: shown in place of the table.
    """

    title: str
    table: Table
    note: str = ""
    cards: Sequence[Card] = ()
    pictures: Sequence[Picture] = ()
    grid: Grid | None = None


def page(title: str, lead: str, sections: Sequence[Section], facts: Mapping[str, str]) -> str:
    """The HTML.

    Args:
        title: of the page.
        lead: what was measured, in a line or two.
        sections: in order.
        facts: further facts by name, shown at the end.
    """
    links = "".join(f'<a href="#part{k}">{escape(s.title)}</a>' for k, s in enumerate(sections))
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    parts = "\n".join(_section(f"part{k}", section) for k, section in enumerate(sections))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p>{escape(lead)}</p><nav>{links}</nav></header>
<main>
{parts}
<dl>{terms}</dl>
</main>
</body>
</html>
"""


def _section(anchor: str, section: Section) -> str:
    return "\n".join(
        [
            f'<section id="{anchor}"><h2>{escape(section.title)}</h2>',
            *([f'<p class="note">{escape(section.note)}</p>'] if section.note else []),
            *([f'<div class="cards">{"".join(map(_card, section.cards))}</div>'] if section.cards else []),
            *map(_figure, section.pictures),
            *_table(section.grid or Grid((), section.table, {})),
            "</section>",
        ]
    )


def _card(card: Card) -> str:
    value = f"<b>{escape(card.value)}</b>{_sign(card.mark)}"
    return (
        f'<div class="card {card.mark.value}"><span>{escape(card.name)}</span>{value}<i>{escape(card.beside)}</i></div>'
    )


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    caption = escape(picture.caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    narrow = _class(*["narrow"] * picture.narrow)
    return f"<figure{narrow}>{image}<figcaption>{caption}</figcaption></figure>"


def _table(grid: Grid) -> Iterator[str]:
    if not grid.rows:
        return
    header, *rows = grid.rows
    starts = _group_starts(grid.groups)
    columns = enumerate(zip(*rows, strict=True))
    words = {k for k, column in columns if k > 0 and any(text[:1].isalpha() for text in column)}
    yield '<div class="scroll"><table>\n<thead>'
    if grid.groups:
        spans = (f'<th colspan="{span}" class="group">{escape(name)}</th>' for name, span in grid.groups)
        yield f"<tr>{''.join(spans)}</tr>"
    classes = [[*["first"] * (k in starts), *["words"] * (k in words)] for k in range(len(header))]
    heads = (f'<th scope="col"{_class(*classes[k])}>{escape(name)}</th>' for k, name in enumerate(header))
    yield f"<tr>{''.join(heads)}</tr></thead>\n<tbody>"
    for number, row in enumerate(rows, 1):
        cells = (_cell(text, grid.marks.get((number, k)), classes[k]) for k, text in enumerate(row) if k > 0)
        total = _class(*["total"] * (len(grid.groups) > 0 and number == len(rows)))
        yield f'<tr{total}><th scope="row">{escape(row[0])}</th>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def _group_starts(groups: Sequence[tuple[str, int]]) -> set[int]:
    """Columns at which a group begins, except the first group."""
    ends = [sum(span for _, span in groups[: k + 1]) for k in range(len(groups))]
    return set(ends[:-1])


def _class(*names: str) -> str:
    return f' class="{" ".join(names)}"' if names else ""


def _cell(text: str, mark: Mark | None, classes: Sequence[str]) -> str:
    marked = [mark.value] if mark else []
    return f"<td{_class(*classes, *marked)}>{escape(text)}{_sign(mark) if mark else ''}</td>"


def _sign(mark: Mark) -> str:
    """In addition to the colour, for those who cannot see it; of fixed width, so that digits stay aligned."""
    return f'<span class="sign">{_SIGNS[mark]}</span>'


_STYLE = """
:root { --ink: #1d2330; --muted: #667085; --line: #e4e7ec; --good: #146c3c; --bad: #b3261e; --blue: #1f6fb2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 15px/1.5 system-ui, "DejaVu Sans", Arial, sans-serif; }
header, main { max-width: 1280px; margin: 0 auto; padding: 0 28px; }
header { padding-top: 36px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
header p { margin: 0 0 18px; color: var(--muted); }
nav { display: flex; flex-wrap: wrap; gap: 6px 18px; padding: 10px 0; border: solid var(--line); border-width: 1px 0; }
nav a { color: var(--blue); text-decoration: none; font-size: 14px; }
nav a:hover { text-decoration: underline; }
section { padding: 26px 0 10px; }
h2 { font-size: 20px; margin: 0 0 6px; }
.note { max-width: 80ch; margin: 0 0 14px; color: var(--muted); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px; margin: 14px 0 22px; }
.card { border: 1px solid var(--line); border-top: 3px solid #98a2b3; border-radius: 6px; padding: 10px 14px 12px; }
.card span, .card i { display: block; color: var(--muted); font-size: 13px; font-style: normal; }
.card b { font-size: 26px; line-height: 1.35; font-variant-numeric: tabular-nums; }
.card .sign { display: inline; margin-left: 6px; font-size: 14px; }
.card.better { border-top-color: var(--good); }
.card.worse { border-top-color: var(--bad); }
figure { margin: 14px 0 22px; }
figure img { display: block; max-width: 100%; height: auto; }
figure.narrow { display: inline-block; vertical-align: top; width: 31%; margin-right: 2%; }
figcaption { max-width: 80ch; margin-top: 6px; color: var(--muted); font-size: 13.5px; }
.scroll { overflow-x: auto; margin: 10px 0 18px; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; text-align: right; vertical-align: top; white-space: nowrap; }
thead th { color: var(--muted); font-weight: 600; white-space: normal; vertical-align: bottom; min-width: 5ch; }
thead tr:last-child th { border-bottom: 1.5px solid #98a2b3; }
thead th.group { text-align: center; color: var(--ink); border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; }
tbody th { font-weight: 500; }
tbody tr { border-bottom: 1px solid var(--line); }
tbody tr:hover { background: #f6f8fb; }
tr.total { border-top: 1.5px solid #98a2b3; font-weight: 700; }
tr.total th { font-weight: 700; }
td.words, th.words { text-align: left; white-space: normal; min-width: 17ch; max-width: 60ch; }
.first { border-left: 1px solid var(--line); }
.sign { display: inline-block; width: 1.3em; font-size: 9px; }
td.better, .better .sign { color: var(--good); }
td.worse, .worse .sign { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 30px 0 40px; padding-top: 18px;
  border-top: 1px solid var(--line); font-size: 13.5px; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { nav { display: none; } section { break-inside: avoid; } .scroll { overflow: visible; } }
"""
