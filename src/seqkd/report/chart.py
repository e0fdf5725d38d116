"""What a chart shows, as data; `figures.py` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point, with an interval of y if there is one."""

    x: float
    y: float
    interval: tuple[float, float] | None = None
    label: str = ""
    minor: bool = False
    """Drop the label on a narrow screen."""
    title: str = ""
    """Tooltip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points of one colour."""

    points: Sequence[Point]
    name: str = ""
    """In the legend; without a name there is no entry."""
    colour: int = 0
    """0 to 7: `c0` to `c7` of the palette."""
    line: bool = False
    marker: bool = True
    hollow: bool = False
    dashed: bool = False

    @property
    def named_at_end(self) -> bool:
        """Whether the last label is the name of the line."""
        return self.line and bool(self.points) and self.points[-1].label == self.name != ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One chart, named as its files are."""

    name: str
    x: str
    """Label of the axis of x."""
    y: str
    series: Sequence[Series]
    log: bool = False
    """Whether x is drawn on a logarithmic scale."""
    categories: Sequence[str] = ()
    """Names of x = 0, 1, ..."""
    rows: bool = False
    """Draw categories from top to bottom and y from left to right; a colon ends a heading."""
    reference: tuple[float, str] | None = None
    """A y that is marked across the chart, and its label."""
    height: int = 360
