"""A table of a paper as data, and its three renderings: CSV, Markdown and LaTeX.

What a cell says is decided where the table is built; here only alignment and escaping.
CSV carries its own, fuller columns, because programs read it and people read the other two.
"""

from __future__ import annotations

import csv
import io
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

PLUS_MINUS = "\u00b1"
MINUS = "\u2212"
DELTA = "\u0394"
DAGGER = "\u2020"
TERMINAL = 118  # columns that notes are wrapped to


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and the side its cells are aligned to."""

    title: str
    align: Literal["left", "right"] = "right"


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under a heading of their own."""

    title: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table: caption above, blocks of rows, notes below, and records for programs."""

    title: str
    caption: Sequence[str]
    columns: Sequence[Column]
    blocks: Sequence[Block]
    notes: Sequence[str] = ()
    records: Sequence[Mapping[str, object]] = field(default_factory=tuple)
    label: str = "results"
    """Of the LaTeX table."""


def to_csv(table: Table) -> str:
    """Return the records as CSV: numbers in full, an empty cell for what there is not."""
    names = list(dict.fromkeys(name for record in table.records for name in record))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    for record in table.records:
        writer.writerow({name: _plain(value) for name, value in record.items()})
    return buffer.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value


def to_markdown(table: Table) -> str:
    """Return Markdown that reads well as it stands on a terminal."""
    body = [row for block in table.blocks for row in _block_rows(block, len(table.columns))]
    widths = [
        max(3, _width(column.title), *(_width(row[place]) for row in body), 0)
        for place, column in enumerate(table.columns)
    ]
    lines = [f"## {table.title}", ""]
    if table.caption:
        lines += [*_paragraph(table.caption), ""]
    lines.append(_markdown_row([column.title for column in table.columns], widths, table.columns))
    rules = [
        "-" * width if column.align == "left" else "-" * (width - 1) + ":"
        for column, width in zip(table.columns, widths, strict=True)
    ]
    lines.append("| " + " | ".join(rules) + " |")
    lines += [_markdown_row(row, widths, table.columns) for row in body]
    if table.notes:
        lines += ["", *(_item(note) for note in table.notes)]
    return "\n".join(lines) + "\n"


def _item(note: str) -> str:
    return textwrap.fill(
        note, TERMINAL, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
    )


def _paragraph(lines: Sequence[str]) -> list[str]:
    # Two spaces at the end keep the line break in rendered Markdown.
    return [line + "  " if n < len(lines) - 1 else line for n, line in enumerate(lines)]


def _block_rows(block: Block, width: int) -> list[list[str]]:
    head = [[f"**{block.title}**"] + [""] * (width - 1)] if block.title else []
    return head + [[cell.replace("|", "\\|") for cell in row] for row in block.rows]


def _markdown_row(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    padded = [
        cell + " " * (width - _width(cell))
        if column.align == "left"
        else " " * (width - _width(cell)) + cell
        for cell, width, column in zip(cells, widths, columns, strict=True)
    ]
    return "| " + " | ".join(padded) + " |"


def _width(cell: str) -> int:
    """Columns that a text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in cell)
    marks = sum(unicodedata.combining(character) > 0 for character in cell)
    return len(cell) + wide - marks


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    PLUS_MINUS: r"$\pm$",
    MINUS: r"$-$",
    DELTA: r"$\Delta$",
    DAGGER: r"$\dagger$",
    "\u00d7": r"$\times$",
    "\u2192": r"$\rightarrow$",
    "|": r"\textbar{}",
}


def to_latex(table: Table) -> str:
    """Return a LaTeX table; it needs the package booktabs."""
    columns = "".join("l" if column.align == "left" else "r" for column in table.columns)
    width = len(table.columns)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}[t]",
        r"\centering\small",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(latex_escape(column.title) for column in table.columns) + r" \\",
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            lines.append(
                rf"\multicolumn{{{width}}}{{l}}{{\textbf{{{latex_escape(block.title)}}}}} \\"
            )
        lines += [" & ".join(map(latex_escape, row)) + r" \\" for row in block.rows]
    about = latex_escape(" ".join([table.title + ".", *table.caption, *table.notes]))
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{about}}}",
        rf"\label{{tab:{table.label}}}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def latex_escape(cell: str) -> str:
    """Return text with everything escaped that LaTeX would take for a command."""
    return "".join(_LATEX.get(character, character) for character in cell)


def signed(value: float, digits: int = 1) -> str:
    """Return a number with its sign; one that rounds to nothing has none."""
    shown = f"{abs(value):.{digits}f}"
    if float(shown) == 0:
        return shown
    return ("+" if value > 0 else MINUS) + shown


def count(value: float) -> str:
    """Return a large number short: 221m, 4.6m, 480k."""
    if value >= 1e7:
        return f"{value / 1e6:.0f}m"
    if value >= 1e6:
        return f"{value / 1e6:.1f}m"
    return f"{value / 1e3:.0f}k" if value >= 1e3 else f"{value:.0f}"


def megabytes(value: float) -> str:
    """Return bytes in MB (10^6) with three digits."""
    mb = value / 1e6
    return f"{mb:.0f}" if mb >= 100 else f"{mb:.1f}" if mb >= 10 else f"{mb:.2f}"
