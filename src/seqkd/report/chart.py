"""What a figure shows, as data, without saying how it is drawn.

The report draws charts as SVG that follows the page's colours (`report/svg.py`); for a paper they
are drawn by matplotlib (`figures.py`). Both show the same points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#B8860B",
    "#56B4E9",
    "#7A5195",
    "#6B6B6B",
)
"""Told apart under all common kinds of colour blindness (after Okabe & Ito 2008)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point, with an interval in y or x where there is one."""

    x: float
    y: float
    label: str = ""
    """Written beside the point."""
    minor: bool = False
    """Its label is left out where there is little room."""
    title: str = ""
    """Told when pointed at."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Points of one colour."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    """Place in `COLOURS`."""
    line: bool = False
    marker: Literal["filled", "hollow", "none"] = "filled"
    dashed: bool = False
    legend: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis; with categories, value n means the n-th of them, from the top."""

    label: str
    log: bool = False
    categories: Sequence[str] = ()
    percent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A line across the chart at one value of the axis that measures quality."""

    value: float
    label: str
    dashed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One figure."""

    name: str
    """Of its files."""
    title: str
    caption: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    references: Sequence[Reference] = ()
    height: int = 360


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round values within the range, 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(s * power for s in (1, 2, 5, 10) if span / (s * power) <= count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten within the range; the powers alone over 3 decades."""
    wide = math.log10(high / low) > 3
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [s * 10.0**n for n in powers for s in ((1,) if wide else (1, 2, 5))]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


def extent(values: Sequence[float], log: bool = False, margin: float = 0.06) -> tuple[float, float]:
    """Return a range around the values with some room on both sides."""
    if not values:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** margin, 1.15)
        return low / room, high * room
    room = max((high - low) * margin, 1e-9 + 0.02 * abs(high))
    return low - room, high + room


def number_label(value: float) -> str:
    """Return an axis value short: 20k, 1.5, 0.05."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}m"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:g}"
