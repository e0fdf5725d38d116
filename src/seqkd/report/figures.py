"""Draw charts with matplotlib: SVG for the report, SVG and PDF for a paper.

Text stays text and the same chart is the same bytes. One unit of a drawing is a point, which the
report shows as a pixel: text has one size at any width of the screen, because the report holds each
chart twice and shows the one that fits.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from seqkd.files import atomic_path
from seqkd.report.chart import Chart, Point, Series
from seqkd.report.labels import COLUMN, MARKER, place_at_ends, place_inside
from seqkd.report.palette import LIGHT

WIDE, HALF, NARROW, PAPER = 1000, 580, 340, 440  # points
_FONT, _ROW = 12, 24  # size of text, height of a row
_CHARACTER = 7.3  # mean width
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_NOISE = re.compile(r"(?<=\.\d\d)\d+|font-family: [^;]*;? ?")
_STYLE = mpl.RcParams(
    {
        "font.size": _FONT,
        "font.sans-serif": ["DejaVu Sans", "sans-serif"],
        "text.color": LIGHT["soft"],
        "text.parse_math": False,
        "axes.labelcolor": LIGHT["soft"],
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.spines.bottom": False,
        "axes.axisbelow": True,
        "axes.ymargin": 0.08,
        "xtick.bottom": False,
        "ytick.left": False,
        "xtick.color": LIGHT["soft"],
        "ytick.color": LIGHT["soft"],
        "grid.color": LIGHT["faint"],
        "grid.linewidth": 1,
        "legend.frameon": False,
        "legend.borderpad": 0.2,
        "legend.borderaxespad": 0,
        "legend.fontsize": 11,
        "legend.handlelength": 1.9,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.0,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }
)


def save_figures(charts: Sequence[Chart], folder: Path) -> None:
    """Write each chart as `{name}.svg` and `{name}.pdf`."""
    folder.mkdir(parents=True, exist_ok=True)
    for chart in charts:
        with _style(chart, PAPER):
            figure = draw(chart, PAPER)
            for kind, date in (("svg", "Date"), ("pdf", "CreationDate")):
                metadata = {date: None, "Title": chart.name}
                with atomic_path(folder / f"{chart.name}.{kind}") as path:
                    figure.savefig(path, format=kind, metadata=metadata)


def svg(chart: Chart, width: int) -> str:
    """Return a chart as an SVG element whose colours are variables of the page's style."""
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with _style(chart, width):
        draw(chart, width).savefig(buffer, format="svg", metadata=metadata)
    names = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
    text = re.sub("#[0-9a-f]{6}", lambda match: names[match[0]], buffer.getvalue())
    return _for_page(ElementTree.fromstring(text), chart)


def _style(chart: Chart, width: int) -> AbstractContextManager[None]:
    # Ids of markers come from the salt: the same in each run, and others in each chart of a page.
    return mpl.rc_context({**_STYLE, "svg.hashsalt": f"{chart.name} {width}"})


def draw(chart: Chart, width: int) -> Figure:
    """Return a chart as a matplotlib figure `width` points wide."""
    height = _ROW * len(chart.categories) + 54 if chart.rows else chart.height
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained", frameon=False)
    axes = figure.subplots()
    axes.patch.set_visible(False)
    narrow, ticks = width <= NARROW, 8 if width > PAPER else 4
    if chart.rows:
        _name_rows(figure, axes, chart.categories, most=int(width * 0.54 / _CHARACTER))
        _set_axis(axes, "x", chart.y, ticks)
    else:
        _set_axis(axes, "x", chart.x, ticks, chart.categories, chart.log)
        _set_axis(axes, "y", chart.y, 6)
    ends: list[Annotation] = []
    inner: list[Annotation] = []
    for number, series in enumerate(chart.series):
        _draw_series(axes, series, f"series-{number}", chart.rows)
        at_end = series.named_at_end and not narrow
        points = [point for point in series.points if point.label]
        shown = [point for point in points if not (narrow and point.minor)]
        (ends if at_end else inner).extend(
            _add_label(axes, point, LIGHT[f"c{series.colour}"], at_end) for point in shown
        )
    reference = [_draw_reference(axes, *chart.reference, chart.rows)] if chart.reference else []
    if not ends:
        _add_legend(figure, [series for series in chart.series if series.name], width)
    figure.draw_without_rendering()  # settles where everything is
    figure.set_layout_engine("none")
    place_at_ends(axes, ends)
    place_inside(axes, inner, [label.get_window_extent() for label in reference])
    return figure


def _set_axis(
    axes: Axes,
    which: Literal["x", "y"],
    label: str,
    ticks: int,
    categories: Sequence[str] = (),
    log: bool = False,
) -> None:
    target = axes.xaxis if which == "x" else axes.yaxis
    axes.grid(axis=which)
    if which == "x":
        axes.set_xlabel(label, loc="right")
    else:
        axes.set_title(label, loc="left", fontsize=_FONT)
    if categories:
        axes.set_xlim(-0.3, len(categories) - 0.7)
        target.set_ticks(range(len(categories)), categories)
        return
    if log:
        axes.set_xscale("log")
        target.set_major_locator(LogLocator(subs=(1, 2, 5)))
        target.set_minor_locator(NullLocator())
    else:
        target.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    target.set_major_formatter(FuncFormatter(lambda value, _: number_label(value)))


def number_label(value: float) -> str:
    """Return a value of an axis in short: 20k, 1.5, 0.05."""
    for least, unit, name in ((1e6, 1e6, "m"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:.6g}{name}"
    return f"{value:.6g}"


def _name_rows(figure: Figure, axes: Axes, names: Sequence[str], most: int) -> None:
    """Name the rows from the top; headings start at the left edge of the figure."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    edge = blended_transform_factory(figure.transFigure, axes.transData)
    shown = [name if len(name) <= most else name[: most - 1] + "\u2026" for name in names]
    for row, name in enumerate(names):
        if name.endswith(":"):
            shown[row] = ""
            text = axes.text(0, row, name[:-1], transform=edge, va="center", weight="bold")
            text.set(color=LIGHT["ink"], in_layout=False)
    axes.set_yticks(range(len(names)), shown)


def _draw_series(axes: Axes, series: Series, gid: str, rows: bool) -> None:
    colour = LIGHT[f"c{series.colour}"]
    for point in series.points:
        if point.interval:
            bar = ([point.x] * 2, point.interval)
            axes.plot(*(bar[::-1] if rows else bar), color=colour, linewidth=1, alpha=0.45)
    places = ([point.x for point in series.points], [point.y for point in series.points])
    axes.plot(
        *(places[::-1] if rows else places),
        color=colour,
        linestyle=("--" if series.dashed else "-") if series.line else "none",
        linewidth=1.8,
        marker="o" if series.marker else "none",
        markersize=MARKER,
        markerfacecolor=LIGHT["paper"] if series.hollow else colour,
        markeredgecolor=colour if series.hollow else LIGHT["paper"],
        markeredgewidth=1.8 if series.hollow else 1,
        label=series.name or None,
        gid=gid,
        zorder=4 if series.marker else 3,
    )


def _add_label(axes: Axes, point: Point, colour: str, at_end: bool) -> Annotation:
    label = axes.annotate(
        point.label,
        (point.x, point.y),
        xytext=(COLUMN, point.y) if at_end else (MARKER, 0),
        textcoords=axes.get_yaxis_transform() if at_end else "offset points",
        va="center_baseline",
        color=colour,
        annotation_clip=False,
    )
    label.set_in_layout(at_end)
    return label


def _draw_reference(axes: Axes, value: float, label: str, vertical: bool) -> Annotation:
    draw_line = axes.axvline if vertical else axes.axhline
    draw_line(value, color=LIGHT["soft"], linewidth=1, linestyle="--")
    return axes.annotate(
        label,
        (value, 1.0) if vertical else (0.0, value),
        xycoords=axes.get_xaxis_transform() if vertical else axes.get_yaxis_transform(),
        xytext=(-4 if vertical else 4, 4),
        textcoords="offset points",
        ha="right" if vertical else "left",
    )


def _add_legend(figure: Figure, series: Sequence[Series], width: int) -> None:
    """Put a legend of two or more entries above the axes, in as few rows as fit, and make room."""
    for columns in range(len(series), 0, -1) if len(series) > 1 else ():
        legend = figure.legend(loc="outside upper left", ncols=columns)
        box = legend.get_window_extent()
        if box.width <= width or columns == 1:
            figure.set_figheight(figure.get_figheight() + box.height / 72)
            break
        legend.remove()


def _for_page(root: ElementTree.Element, chart: Chart) -> str:
    """Leave out what a page does not need, and add tooltips."""
    for parent in list(root.iter()):
        for child in parent.findall(f"{_SVG}defs"):
            if child[0].tag != f"{_SVG}path":  # the style and the areas to clip to
                parent.remove(child)
    for number, series in enumerate(chart.series):
        uses = root.findall(f".//*[@id='series-{number}']//{_SVG}use")
        for use, point in zip(uses, series.points, strict=False):  # lines alone have no markers
            if point.title:
                ElementTree.SubElement(use, f"{_SVG}title").text = point.title
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {
            key.removeprefix(_XLINK): _NOISE.sub("", " ".join(value.split()))
            for key, value in element.attrib.items()
            if key not in ("clip-path", "transform") and (key != "id" or element.tag == "path")
        }
        element.tail = None
        element.text = element.text.strip() or None if element.text else None
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "style": f"max-width: {box.split()[2]}px"}
    return ElementTree.tostring(root, encoding="unicode")
