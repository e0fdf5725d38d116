"""Charts for a paper: the report's charts drawn by matplotlib, as SVG and PDF.

One column of a two-column page is 3.3 inches wide; text stays text, so a journal can edit it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: there is no display

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from seqkd.files import atomic_path
from seqkd.report.chart import COLOURS, Axis, Chart, Series, extent, log_ticks, number_label

_STYLE = mpl.RcParams(
    {
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "svg.hashsalt": "seqkd",  # same chart, same bytes
    }
)


_CHARACTER, _LINE = 4.2, 8.0  # of a label of 7 points, in points


def save_figures(charts: Sequence[Chart], folder: Path) -> None:
    """Write each chart as `{name}.svg` and `{name}.pdf`."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        for chart in charts:
            drawn = draw(chart)
            for kind, when in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
                with atomic_path(folder / f"{chart.name}.{kind}") as temporary:
                    drawn.savefig(temporary, format=kind, bbox_inches="tight", metadata=when)
            plt.close(drawn)


def draw(chart: Chart) -> Figure:
    """Return the chart as a matplotlib figure; close it after use."""
    rows = len(chart.y.categories)
    size = (5.2, 0.9 + 0.19 * rows) if rows else (4.4, 2.9)
    figure, axes = plt.subplots(figsize=size)
    for series in chart.series:
        _draw_series(axes, chart, series)
    for reference in chart.references:
        across = axes.axvline if rows else axes.axhline
        dashes = "--" if reference.dashed else "-"
        across(reference.value, color="#777", lw=0.9, ls=dashes, label=reference.label)
    _set_axis(axes, chart, chart.x, "x")
    _set_axis(axes, chart, chart.y, "y")
    figure.draw_without_rendering()  # settles the limits, and so where points are
    _labels(axes, chart, 72 / figure.dpi)
    named = [series for series in chart.series if series.legend and series.name]
    ends = all(series.line and series.points and series.points[-1].label for series in named)
    if (len(named) > 1 and not ends) or chart.references:
        axes.legend(fontsize=7, loc="best")
    return figure


def _draw_series(axes: Axes, chart: Chart, series: Series) -> None:
    colour = COLOURS[series.colour % len(COLOURS)]
    xs, ys = [p.x for p in series.points], [p.y for p in series.points]
    axes.plot(
        xs,
        ys,
        color=colour,
        linestyle=("--" if series.dashed else "-") if series.line else "none",
        linewidth=1.2,
        marker="none" if series.marker == "none" else "o",
        markersize=4,
        markerfacecolor="white" if series.marker == "hollow" else colour,
        label=series.name if series.legend and series.name else None,
        zorder=3 if series.marker == "none" else 4,
    )
    for point in series.points:
        if point.low is not None and point.high is not None:
            across = bool(chart.y.categories)
            place = [point.low, point.high], [point.y, point.y]
            if not across:
                place = [point.x, point.x], [point.low, point.high]
            axes.plot(*place, color=colour, linewidth=0.8, alpha=0.5, zorder=2)


def _labels(axes: Axes, chart: Chart, scale: float) -> None:
    """Write labels right of their points, moved up or down where one would cover another.

    Args:
        axes: drawn, with their limits settled.
        chart: the points.
        scale: points a pixel.
    """
    taken: list[tuple[float, float, float]] = []  # left, right and middle, in points
    for series in chart.series:
        for point in series.points:
            if not point.label or (point.minor and not series.line):
                continue
            x, y = axes.transData.transform((point.x, point.y)) * scale
            right = x + _CHARACTER * len(point.label)
            shift = next(
                shift
                for shift in _shifts()
                if not any(
                    x < stop and start < right and abs(y + shift - middle) < _LINE
                    for start, stop, middle in taken
                )
            )
            taken.append((x, right, y + shift))
            axes.annotate(
                point.label,
                (point.x, point.y),
                xytext=(6, shift),
                textcoords="offset points",
                va="center",
                color=COLOURS[series.colour % len(COLOURS)],
                fontsize=7,
                annotation_clip=False,
            )


def _shifts() -> Iterator[float]:
    yield 0.0
    for step in itertools.count(1):
        yield from (-step * _LINE / 2, step * _LINE / 2)


def _set_axis(axes: Axes, chart: Chart, axis: Axis, which: str) -> None:
    target = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(axis.label)
    if axis.categories:
        names = [name.rstrip(":") for name in axis.categories]
        (axes.set_xticks if which == "x" else axes.set_yticks)(range(len(names)), names)
        if which == "y":
            axes.set_ylim(len(names) - 0.5, -0.5)
            for tick, name in zip(axes.get_yticklabels(), axis.categories, strict=True):
                tick.set_fontweight("bold" if name.endswith(":") else "normal")
        return
    if axis.log:
        values = [getattr(point, which) for series in chart.series for point in series.points]
        low, high = extent(values, log=True)
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
        target.set_ticks(log_ticks(low, high))
        target.set_minor_formatter(NullFormatter())
    target.set_major_formatter(FuncFormatter(lambda value, _: number_label(round(value, 10))))
