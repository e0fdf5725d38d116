"""What a chart shows, as data; `figures.py` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point, with an interval of its quality if there is one."""

    x: float
    y: float
    label: str = ""
    minor: bool = False
    """Drop the label on a narrow screen."""
    title: str = ""
    """Tooltip."""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points of one colour."""

    name: str = ""
    """In the legend; without a name there is no entry."""
    points: Sequence[Point]
    colour: int = 0
    """0 to 7: `c0` to `c7` of the palette."""
    line: bool = False
    marker: bool = True
    hollow: bool = False
    dashed: bool = False

    @property
    def named_at_end(self) -> bool:
        """Whether the name stands at the end of the line, where the chart has room for it."""
        return self.line and bool(self.points) and self.points[-1].label == self.name != ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis; with categories, value n is the n-th of them, from the top."""

    label: str
    log: bool = False
    categories: Sequence[str] = ()
    """One that ends in a colon is a heading."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One chart. Quality is on the y axis, or on the x axis if y has categories."""

    name: str
    """Of its files."""
    title: str
    caption: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    reference: tuple[float, str] | None = None
    """A quality that is marked across the chart, and its label."""
    height: int = 360
