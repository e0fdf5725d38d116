"""A table of a paper, and its three renderings: CSV, Markdown and LaTeX.

Cells of Markdown and LaTeX are text, decided where the table is built. CSV has its own, fuller
columns: programs read it, people read the other two.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import tabulate

from seqkd.evaluation.results import MINUS

PLUS_MINUS = "\u00b1"
DELTA = "\u0394"
TIMES = "\u00d7"
TERMINAL = 118  # columns that notes are wrapped to

tabulate.MIN_PADDING = 0  # of headings; cells are wide enough


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table: caption above, blocks of rows, notes below, and records for programs."""

    title: str
    caption: Sequence[str]
    columns: Sequence[str]
    """Headings; the first column is aligned left, the others right."""
    blocks: Mapping[str, Sequence[Sequence[str]]]
    """Heading of a group -> its rows."""
    notes: Sequence[str]
    records: Sequence[Mapping[str, object]]
    """Rows of the CSV."""
    label: str
    """Of the LaTeX table."""


def to_csv(tables: Sequence[Table]) -> str:
    """Return the records of all tables as one CSV, numbers to six digits."""
    frame = pd.DataFrame([record for table in tables for record in table.records])
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def to_markdown(table: Table) -> str:
    """Return Markdown that is also easy to read in a terminal."""
    body = _frame(table, lambda cell: cell.replace("|", r"\|"), lambda title: f"**{title}**")
    sides = ["left", *["right"] * (len(table.columns) - 1)]
    grid = body.to_markdown(
        index=False,
        tablefmt="pipe",
        disable_numparse=True,
        preserve_whitespace=True,  # blanks in place of stars keep the numbers aligned
        colalign=sides,
    )
    # Two spaces keep the line break in rendered Markdown.
    paragraphs = [f"## {table.title}", "  \n".join(table.caption), grid, _items(table.notes)]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _items(notes: Sequence[str]) -> str:
    return "\n".join(
        textwrap.fill(
            note, TERMINAL, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
        )
        for note in notes
    )


def to_latex(table: Table) -> str:
    """Return a LaTeX table; it needs the package booktabs."""
    width = len(table.columns)
    empty = " & " * (width - 1)

    def heading(title: str) -> str:
        rule = "" if title == next(iter(table.blocks)) else "\\midrule\n"
        return rf"{rule}\multicolumn{{{width}}}{{l}}{{\textbf{{{latex_escape(title)}}}}}"

    body = _frame(table, latex_escape, heading)
    body.columns = body.columns.map(latex_escape)
    text: str = body.style.hide(axis="index").to_latex(
        hrules=True,
        column_format="l" + "r" * (width - 1),
        caption=latex_escape(" ".join([f"{table.title}.", *table.caption, *table.notes])),
        label=f"tab:{table.label}",
        environment="table*",
        position="t",
        position_float="centering",
    )
    return "% needs \\usepackage{booktabs}\n" + text.replace(f"}}}}{empty}", "}}")


def _frame(
    table: Table, escape: Callable[[str], str], heading: Callable[[str], str]
) -> pd.DataFrame:
    """Return the cells, each block below a row of its heading."""
    rows: list[Sequence[str]] = []
    for title, block in table.blocks.items():
        rows.append([heading(title), *[""] * (len(table.columns) - 1)])
        rows += [[escape(cell) for cell in row] for row in block]
    return pd.DataFrame(rows, columns=list(table.columns))


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        PLUS_MINUS: r"$\pm$",
        MINUS: r"$-$",
        DELTA: r"$\Delta$",
        TIMES: r"$\times$",
        **{character: rf"\{character}" for character in "&%$#_{}"},
    }
)


def latex_escape(text: str) -> str:
    """Return text with everything escaped that LaTeX would take for a command."""
    return text.translate(_LATEX)


def p_value(p: float) -> str:
    """Return a p-value with its relation sign."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def count(value: float) -> str:
    """Return a large number short: 221m, 4.6m, 480k."""
    if value >= 1e7:
        return f"{value / 1e6:.0f}m"
    if value >= 999_500:  # rounds to a million
        return f"{value / 1e6:.1f}m"
    return f"{value / 1e3:.0f}k" if value >= 1e3 else f"{value:.0f}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 sentence, 1,000 sentences."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ratio(value: float) -> str:
    """Return a factor with two or three digits."""
    return f"{value:.0f}{TIMES}" if value >= 20 else f"{value:.1f}{TIMES}"


def megabytes(value: float) -> str:
    """Return bytes in MB (10^6) with three digits."""
    mb = value / 1e6
    return f"{mb:.0f}" if mb >= 100 else f"{mb:.1f}" if mb >= 10 else f"{mb:.2f}"
