"""Small pieces of HTML: escaped text, tables that sort, cells that carry their value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from seqkd.report.chart import Chart
from seqkd.report.figures import NARROW, svg
from seqkd.report.tables import Table


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: HTML as shown, and the value that it is sorted by."""

    html: str
    value: float | str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """One heading; `about` explains it when pointed at and to screen readers."""

    title: str
    about: str = ""
    align: Literal["left", "right"] = "right"


def plain(text: str) -> Cell:
    """Return a cell of plain text."""
    return Cell(escape(text), text)


def name_of(method: str) -> str:
    """Return a method's name as HTML that breaks after `+` only."""
    return escape(method).replace("-", "&#8209;").replace("+", "+<wbr>")


def figure_cell(value: float | None, form: str = ".1f", after: str = "") -> Cell:
    """Return a cell of one number, empty if there is none."""
    return Cell("", None) if value is None else Cell(f"{value:{form}}{after}", value)


def table(
    caption: str,
    heads: Sequence[Head],
    rows: Sequence[Sequence[Cell]],
    *,
    sortable: bool = False,
    kind: str = "",
) -> str:
    """Return a table in a box of its own that scrolls sideways where it must.

    Args:
        caption: what it shows.
        heads: headings; the first column heads its rows.
        rows: cells; the first of each heads the row.
        sortable: whether headings are buttons.
        kind: further class of the table.
    """
    kinds = f"{kind} sortable" if sortable else kind
    return _frame(caption, heads, "".join(_row(row, heads) for row in rows), kinds)


def _frame(caption: str, heads: Sequence[Head], body: str, kind: str = "") -> str:
    top = "".join(_head(head, "sortable" in kind) for head in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(head: Head, sortable: bool) -> str:
    about = f' title="{escape(head.about)}"' if head.about else ""
    title = escape(head.title)
    if sortable:
        title = f'<button type="button"{about}>{title}<span aria-hidden="true"></span></button>'
        about = ' aria-sort="none"'
    return f'<th scope="col" class="{head.align}"{about}>{title}</th>'


def _row(row: Sequence[Cell], heads: Sequence[Head]) -> str:
    cells = []
    for place, (cell, head) in enumerate(zip(row, heads, strict=True)):
        value = "" if cell.value is None else f' data-value="{escape(str(cell.value))}"'
        tag = 'th scope="row"' if place == 0 else "td"
        cells.append(f'<{tag} class="{head.align}"{value}>{cell.html}</{tag.split()[0]}>')
    return f"<tr>{''.join(cells)}</tr>"


def paper_table(made: Table) -> str:
    """Return a table of the paper as HTML, its notes below."""
    heads = [Head(column.title, align=column.align) for column in made.columns]
    body = []
    for block in made.blocks:
        if block.title:
            body.append(
                f'<tr class="group-row"><th scope="rowgroup" colspan="{len(heads)}">'
                f"{escape(block.title)}</th></tr>"
            )
        body += [_row([Cell(escape(cell)) for cell in row], heads) for row in block.rows]
    return _frame(made.title, heads, "".join(body)) + notes([*made.caption, *made.notes])


def section(name: str, title: str, *parts: str, lead: str = "") -> str:
    """Return a section with its heading; empty if it has no parts."""
    content = "".join(part for part in parts if part)
    if not content:
        return ""
    intro = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section id="{name}"><h2>{escape(title)}</h2>{intro}{content}</section>'


def details(title: str, content: str) -> str:
    """Return content that opens on demand."""
    if not content:
        return ""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def glossary(heads: Sequence[Head]) -> str:
    """Return what headings mean, for those who cannot point at them."""
    return notes([f"{head.title}: {head.about}" for head in heads if head.about])


def notes(lines: Sequence[str]) -> str:
    """Return small print as a list."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{items}</ul>' if items else ""


def figure(chart: Chart, width: int) -> str:
    """Return a chart with its title and caption.

    Args:
        chart: what is drawn.
        width: of the drawing for wide screens.
    """
    return (
        f'<figure class="chart" id="{escape(chart.name)}"><h3>{escape(chart.title)}</h3>'
        f'<div class="wide">{svg(chart, width)}</div><div class="narrow">{svg(chart, NARROW)}</div>'
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
    )


def bars(rows: Sequence[tuple[str, float, str]], caption: str, heads: tuple[str, str]) -> str:
    """Return a table whose second column is a bar; it needs no drawing and fits any width.

    Args:
        rows: name, value, and what is written at the end of the bar.
        caption: of the table.
        heads: headings of both columns.
    """
    most = max((value for _, value, _ in rows), default=0) or 1
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><span class="bar-row"><span>'
        f'<span class="bar-fill" style="width:{100 * value / most:.2f}%"></span></span>'
        f"<span>{escape(note)}</span></span></td></tr>"
        for name, value, note in rows
    )
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    return (
        f'<table class="bars"><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
