"""Charts as SVG that takes its colours from the page, so it follows dark mode.

Each chart is drawn twice, wide and narrow, and the page shows the one that fits: text keeps its
size on a phone. Labels stand beside their points; where they would cover one another they move.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from statistics import fmean

from seqkd.report.chart import Axis, Chart, Point, Series, extent, log_ticks, number_label, ticks

WIDE, HALF, NARROW = 1000, 580, 340
_CHARACTER = 6.9  # mean width of a character at 12 px, rather too much than too little
_LINE = 14.0  # height of a label
_ROW = 24  # height of a category
_RADIUS = 4.5


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(slots=True)
class _Scale:
    """From values to pixels."""

    axis: Axis
    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        if self.axis.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.stop - self.start)

    def ticks(self, count: int) -> list[float]:
        if self.axis.categories:
            return [float(n) for n in range(len(self.axis.categories))]
        if self.axis.log:
            values = log_ticks(self.low, self.high)
            # Three digits stay within the two percent that the ends leave.
            ends = [float(f"{value:.3g}") for value in (self.low * 1.02, self.high * 0.98)]
            return values if len(values) > 1 else ends
        return ticks(self.low, self.high, count)

    def label(self, value: float) -> str:
        if self.axis.categories:
            return self.axis.categories[int(value)]
        return f"{100 * value:g}%" if self.axis.percent else number_label(value)


@dataclass(slots=True)
class _Canvas:
    """A chart being drawn."""

    chart: Chart
    width: int
    height: int
    x: _Scale
    y: _Scale
    parts: list[str] = field(default_factory=list)
    taken: list[_Box] = field(default_factory=list)

    @property
    def narrow(self) -> bool:
        return self.width <= NARROW

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )


def figure(chart: Chart, width: int = HALF) -> str:
    """Return the chart as an HTML figure with its caption and legend.

    Args:
        chart: what is drawn.
        width: of the drawing for wide screens.
    """
    shown = [series for series in chart.series if series.legend and series.name]
    keys = "".join(
        f'<li class="c{series.colour}"><svg viewBox="0 0 22 12" aria-hidden="true">'
        f"{_key(series)}</svg>{escape(series.name)}</li>"
        for series in shown
    )
    # Where each line is named at its end, a legend is needed only on a narrow screen.
    direct = all(map(_named_at_end, shown))
    kind = "legend narrow" if direct else "legend"
    legend = f'<ul class="{kind}">{keys}</ul>' if len(shown) > 1 else ""
    return (
        f'<figure class="chart" id="{escape(chart.name)}"><h3>{escape(chart.title)}</h3>{legend}'
        f'<div class="wide">{svg(chart, width)}</div><div class="narrow">{svg(chart, NARROW)}</div>'
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
    )


def _key(series: Series) -> str:
    dash = ' class="line dashed"' if series.dashed else ' class="line"'
    line = f'<path d="M1 6H21"{dash}/>' if series.line else ""
    return line + ("" if series.marker == "none" else _marker(11, 6, series.marker))


def svg(chart: Chart, width: int) -> str:
    """Return one drawing of the chart, `width` pixels wide."""
    canvas = _layout(chart, width)
    _axes(canvas)
    _references(canvas)
    for series in chart.series:
        _series(canvas, series)
    if not canvas.narrow:
        _end_labels(canvas, [series for series in chart.series if _named_at_end(series)])
    for series in chart.series:
        if canvas.narrow or not _named_at_end(series):
            _labels(canvas, series)
    return (
        f'<svg viewBox="0 0 {width} {canvas.height}" style="max-width:{width}px" role="img" '
        f'aria-label="{escape(chart.title)}. {escape(chart.caption)}">{"".join(canvas.parts)}</svg>'
    )


def _layout(chart: Chart, width: int) -> _Canvas:
    """Work out margins and scales."""
    narrow = width <= NARROW
    points = [point for series in chart.series for point in series.points]
    categories = chart.y.categories
    longest = max(map(len, categories), default=0)
    left = min(longest * _CHARACTER + 14, width * 0.52) if categories else 44.0
    ends = [
        len(series.points[-1].label) for series in chart.series if series.line and series.points
    ]
    right = 16.0 + (max(ends, default=0) * _CHARACTER if not narrow else 0)
    height = _ROW * len(categories) + 66 if categories else chart.height - (60 if narrow else 0)
    bounds = [value for p in points for value in (p.low, p.high) if value is not None]
    across = [reference.value for reference in chart.references]
    quality_x = bool(categories)
    xs = [p.x for p in points] + (bounds + across if quality_x else [])
    ys = [p.y for p in points] + ([] if quality_x else bounds + across)
    x_low, x_high = extent(xs, chart.x.log)
    y_low, y_high = extent(ys, chart.y.log)
    if categories:
        y_low, y_high = len(categories) - 0.5, -0.5
    if chart.x.categories:
        x_low, x_high = -0.3, len(chart.x.categories) - 0.7
    return _Canvas(
        chart,
        width,
        height,
        _Scale(chart.x, x_low, x_high, left, width - right),
        _Scale(chart.y, y_low, y_high, height - 44.0, 22.0),
    )


def _axes(canvas: _Canvas) -> None:
    chart, x, y = canvas.chart, canvas.x, canvas.y
    for value in x.ticks(4 if canvas.narrow else 8):
        place = x(value)
        canvas.parts.append(f'<path class="grid" d="M{place:.1f} {y.stop}V{y.start}"/>')
        canvas.text(place, y.start + 17, x.label(value), "tick", "middle")
    if chart.y.categories:
        for number, name in enumerate(chart.y.categories):
            if name.endswith(":"):
                canvas.text(2, y(number) + 4, name[:-1], "group")
            else:
                canvas.text(x.start - 10, y(number) + 4, _cut(name, x.start), "tick", "end")
    else:
        for value in y.ticks(6):
            place = y(value)
            canvas.parts.append(f'<path class="grid" d="M{x.start} {place:.1f}H{x.stop}"/>')
            canvas.text(x.start - 7, place + 4, y.label(value), "tick", "end")
        canvas.text(2, 11, chart.y.label, "axis")
    canvas.text(x.stop, y.start + 36, chart.x.label, "axis", "end")


def _cut(name: str, room: float) -> str:
    most = int((room - 10) / _CHARACTER)
    return name if len(name) <= most else name[: most - 1] + "\u2026"


def _references(canvas: _Canvas) -> None:
    x, y = canvas.x, canvas.y
    for turn, reference in enumerate(canvas.chart.references):
        kind = "reference dashed" if reference.dashed else "reference"
        if canvas.chart.y.categories:
            place = x(reference.value)
            canvas.parts.append(f'<path class="{kind}" d="M{place:.1f} {y.stop - 4}V{y.start}"/>')
            anchor = "end" if turn % 2 == 0 else "start"
            canvas.text(place + (-4 if anchor == "end" else 4), 13, reference.label, "note", anchor)
        else:
            place = y(reference.value)
            canvas.parts.append(f'<path class="{kind}" d="M{x.start} {place:.1f}H{x.stop}"/>')
            canvas.text(x.start + 4, place - 5, reference.label, "note")
            wide = len(reference.label) * _CHARACTER
            canvas.taken.append(_Box(x.start, place - 16, x.start + wide, place + 3))


def _series(canvas: _Canvas, series: Series) -> None:
    x, y = canvas.x, canvas.y
    drawn = []
    places = [(x(point.x), y(point.y)) for point in series.points]
    if series.line and len(places) > 1:
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        kind = "line dashed" if series.dashed else "line"
        drawn.append(f'<path class="{kind}" d="M{path}"/>')
    for point, (a, b) in zip(series.points, places, strict=True):
        if point.low is not None and point.high is not None:
            drawn.append(_interval(canvas, point.low, point.high, a, b))
        if series.marker != "none":
            drawn.append(_marker(a, b, series.marker, point.title))
            near = _RADIUS + 1
            canvas.taken.append(_Box(a - near, b - near, a + near, b + near))
    canvas.parts.append(f'<g class="c{series.colour}">{"".join(drawn)}</g>')


def _interval(canvas: _Canvas, low: float, high: float, a: float, b: float) -> str:
    """Return the bar of an interval, along the axis that measures quality."""
    if canvas.chart.y.categories:
        path = f"M{canvas.x(low):.1f} {b:.1f}H{canvas.x(high):.1f}"
    else:
        path = f"M{a:.1f} {canvas.y(low):.1f}V{canvas.y(high):.1f}"
    return f'<path class="bar" d="{path}"/>'


def _marker(x: float, y: float, kind: str, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}">{told}</circle>'


def _named_at_end(series: Series) -> bool:
    return series.line and bool(series.points) and series.points[-1].label == series.name != ""


def _end_labels(canvas: _Canvas, lines: Sequence[Series]) -> None:
    """Write the names of lines in a column right of the drawing, each as near its end as can be."""
    ordered = sorted(lines, key=lambda series: canvas.y(series.points[-1].y))
    ends = [(canvas.x(s.points[-1].x), canvas.y(s.points[-1].y)) for s in ordered]
    left = canvas.x.stop + 8
    places = apart([b for _, b in ends], _LINE, canvas.y.stop, canvas.y.start)
    for series, (a, b), place in zip(ordered, ends, places, strict=True):
        if left - a > 3 * _RADIUS or abs(place - b) > _LINE / 2:
            path = f"M{a:.1f} {b:.1f}L{left - 3:.1f} {place:.1f}"
            canvas.parts.append(f'<path class="leader" d="{path}"/>')
        canvas.text(left, place + 4.5, series.name, f"label c{series.colour}")


def apart(wanted: Sequence[float], gap: float, first: float, last: float) -> list[float]:
    """Return places in the order of those wanted, `gap` apart, as near to them as can be.

    Args:
        wanted: ascending.
        gap: between neighbours, at least.
        first: smallest place allowed.
        last: largest place allowed; if there is no room for all, they begin at `first`.
    """
    # Pool adjacent violators: what is too close becomes a block around its mean.
    blocks: list[list[float]] = []
    for turn, value in enumerate(wanted):
        blocks.append([value - turn * gap])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            last_block = blocks.pop()
            blocks[-1] += last_block
    bases = [fmean(block) for block in blocks for _ in block]
    most = last - (len(wanted) - 1) * gap
    return [max(first, min(base, most)) + turn * gap for turn, base in enumerate(bases)]


def _labels(canvas: _Canvas, series: Series) -> None:
    """Write the labels of a series where there is room."""
    for point in series.points:
        if not point.label or (canvas.narrow and point.minor):
            continue
        a, b = canvas.x(point.x), canvas.y(point.y)
        wide = len(point.label) * _CHARACTER
        for side, shift in _offsets(series.line and not canvas.narrow):
            left = a + 9 if side == "right" else a - 9 - wide
            box = _Box(left, b + shift - 7, left + wide, b + shift + 6)
            inside = left >= canvas.x.start and left + wide <= canvas.width + 2
            inside = inside and box.top >= 12 and box.bottom <= canvas.y.start + 4
            if inside and not any(box.meets(other) for other in canvas.taken):
                _place(canvas, series, point, box, side, abs(shift) > 8)
                break


def _offsets(right_only: bool) -> Iterator[tuple[str, float]]:
    for step in range(14):
        for shift in dict.fromkeys((-step * _LINE / 2, step * _LINE / 2)):
            yield "right", shift
            if not right_only:
                yield "left", shift


def _place(
    canvas: _Canvas, series: Series, point: Point, box: _Box, side: str, leader: bool
) -> None:
    canvas.taken.append(box)
    middle = (box.top + box.bottom) / 2
    if leader:
        edge = box.left - 2 if side == "right" else box.right + 2
        start = f"{canvas.x(point.x):.1f} {canvas.y(point.y):.1f}"
        canvas.parts.append(f'<path class="leader" d="M{start}L{edge:.1f} {middle:.1f}"/>')
    canvas.text(box.left, middle + 4.5, point.label, f"label c{series.colour}")


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
