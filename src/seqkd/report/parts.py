"""What a section of the report is made of, as plain data; each part has a template of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqkd.report.chart import Chart


class Part:
    """Anything that a section shows."""

    __slots__ = ()

    @property
    def template(self) -> str:
        """Name of its template."""
        return f"{type(self).__name__.lower()}.html.j2"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table; without a value it is empty, and sorted last."""

    text: str = ""
    value: float | str | None = None
    """What it is sorted by."""
    sub: str = ""
    """Small print below."""
    kind: str = ""
    """CSS class: `method`, `sure`, `unsure`, `code`."""
    about: str = ""
    """Tooltip."""
    colour: int | None = None
    """Of a dot before the text."""

    @classmethod
    def number(cls, value: float | None, form: str = ".1f") -> Cell:
        """Return a cell of one number, empty if there is none."""
        return cls() if value is None else cls(f"{value:{form}}", value)


@dataclass(frozen=True, slots=True)
class Head:
    """The heading of a column."""

    title: str
    about: str = ""
    """Tooltip, and a line of the glossary."""
    left: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Rows under a heading of their own."""

    title: str = ""
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid(Part):
    """A table that scrolls sideways where it must; the first cell heads its row."""

    caption: str
    heads: Sequence[Head]
    blocks: Sequence[Block]
    notes: Sequence[str] = ()
    sortable: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart, drawn for a wide and for a narrow screen."""

    chart: Chart
    wide: str
    narrow: str


@dataclass(frozen=True, slots=True)
class Drawings(Part):
    """Charts, two in a row where they fit; one alone takes the whole width."""

    drawings: Sequence[Drawing]


@dataclass(frozen=True, slots=True)
class Bars(Part):
    """A table whose second column is a bar."""

    caption: str
    heads: tuple[str, str]
    rows: Sequence[tuple[str, float, str]]
    """Name, value, and the text after the bar."""


@dataclass(frozen=True, slots=True)
class Note(Part):
    """Small print."""

    text: str


@dataclass(frozen=True, slots=True)
class Code(Part):
    """Text as it is in a file."""

    text: str


@dataclass(frozen=True, slots=True)
class Folded(Part):
    """Parts that open on demand."""

    title: str
    parts: Sequence[Part]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Facts(Part):
    """Names and values."""

    facts: Sequence[tuple[str, str]]
