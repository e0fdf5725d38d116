"""Draw charts with matplotlib: SVG for the report, SVG and PDF for a paper.

Text stays text and the same chart is the same bytes. One unit of a drawing is a point, which the
report shows as a pixel: text has one size at any width of the screen, because the report holds each
chart twice and shows the one that fits.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as MatplotlibPath
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox, blended_transform_factory

from seqkd.files import atomic_path
from seqkd.report.chart import Axis, Chart, Series
from seqkd.report.palette import LIGHT

WIDE, HALF, NARROW, PAPER = 1000, 580, 340, 440  # points
_FONT, _LINE, _ROW = 12, 14, 24  # size of text, height of a label and of a category
_CHARACTER = 7.3  # mean width
_MARKER = 9  # diameter
_COLUMN = 1.02  # where the column of names right of the axes starts, in widths of the axes
Place = npt.NDArray[np.float64]
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
        "legend.borderpad": 0,
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
        for kind, date in (("svg", "Date"), ("pdf", "CreationDate")):
            with atomic_path(folder / f"{chart.name}.{kind}") as path:
                _save(chart, PAPER, path, kind, {date: None, "Title": chart.title})


def svg(chart: Chart, width: int) -> str:
    """Return a chart as an SVG element whose colours are variables of the page's style."""
    buffer = io.StringIO()
    _save(chart, width, buffer, "svg", dict.fromkeys(("Creator", "Date", "Format", "Type")))
    names = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
    text = re.sub("#[0-9a-f]{6}", lambda match: names[match[0]], buffer.getvalue())
    return _for_page(ElementTree.fromstring(text), chart, width)


def _save(
    chart: Chart, width: int, target: Path | io.StringIO, kind: str, metadata: dict[str, str | None]
) -> None:
    # Ids of markers come from the salt: the same in each run, and others in each chart of a page.
    with mpl.rc_context(_STYLE), mpl.rc_context({"svg.hashsalt": f"{chart.name} {width}"}):
        draw(chart, width).savefig(target, format=kind, metadata=metadata)


def draw(chart: Chart, width: int) -> Figure:
    """Return a chart as a matplotlib figure `width` points wide."""
    rows = len(chart.y.categories)
    height = _ROW * rows + 54 if rows else chart.height
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained", frameon=False)
    axes = figure.subplots()
    axes.patch.set_visible(False)
    axes.grid(axis="x" if rows else "both")
    axes.set_xlabel(chart.x.label, loc="right")
    axes.set_title(chart.y.label, loc="left", fontsize=_FONT)
    narrow = width <= NARROW
    ends: list[Annotation] = []
    inner: list[Annotation] = []
    for number, series in enumerate(chart.series):
        _draw_series(axes, series, f"series-{number}", across=rows > 0)
        at_end = series.named_at_end and not narrow
        (ends if at_end else inner).extend(_labels(axes, series, narrow, at_end))
    reference = [_draw_reference(axes, *chart.reference, rows > 0)] if chart.reference else []
    _set_axis(axes, "x", chart.x, 4 if narrow else 8)
    _set_axis(axes, "y", chart.y, 6)
    if rows:
        _name_rows(figure, axes, chart.y.categories, most=int(width * 0.54 / _CHARACTER))
    if not ends:
        _add_legend(figure, [series for series in chart.series if series.name], width)
    figure.draw_without_rendering()  # settles where everything is
    figure.set_layout_engine("none")
    _place_at_end(axes, ends)
    _place_inside(axes, inner, [label.get_window_extent() for label in reference])
    return figure


def _draw_series(axes: Axes, series: Series, gid: str, across: bool) -> None:
    colour = LIGHT[f"c{series.colour}"]
    for point in series.points:
        if point.interval:
            ends = (point.interval, [point.y] * 2) if across else ([point.x] * 2, point.interval)
            axes.plot(*ends, color=colour, linewidth=1, alpha=0.45, zorder=2)
    axes.plot(
        [point.x for point in series.points],
        [point.y for point in series.points],
        color=colour,
        linestyle=("--" if series.dashed else "-") if series.line else "none",
        linewidth=1.8,
        marker="o" if series.marker else "none",
        markersize=_MARKER,
        markerfacecolor=LIGHT["paper"] if series.hollow else colour,
        markeredgecolor=colour if series.hollow else LIGHT["paper"],
        markeredgewidth=1.8 if series.hollow else 1,
        label=series.name or None,
        gid=gid,
        zorder=4 if series.marker else 3,
    )


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


def _set_axis(axes: Axes, which: Literal["x", "y"], axis: Axis, ticks: int) -> None:
    target = axes.xaxis if which == "x" else axes.yaxis
    if axis.categories:
        target.set_ticks(range(len(axis.categories)), axis.categories)
        axes.set(**{f"{which}lim": (-0.3, len(axis.categories) - 0.7)})
        return
    if axis.log:
        axes.set(**{f"{which}scale": "log"})
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


def _add_legend(figure: Figure, series: Sequence[Series], width: int) -> None:
    """Put a legend of two or more entries above the axes, in as few rows as fit, and make room."""
    for columns in range(len(series), 0, -1) if len(series) > 1 else ():
        legend = figure.legend(loc="outside upper left", ncols=columns)
        box = legend.get_window_extent()
        if box.width <= width or columns == 1:
            figure.set_figheight(figure.get_figheight() + box.height / 72)
            break
        legend.remove()


def _labels(axes: Axes, series: Series, narrow: bool, at_end: bool) -> Iterator[Annotation]:
    """Yield a label right of each point that has one."""
    for point in series.points:
        if point.label and not (narrow and point.minor):
            label = axes.annotate(
                point.label,
                (point.x, point.y),
                xytext=(_COLUMN, point.y) if at_end else (_MARKER, 0),
                textcoords=axes.get_yaxis_transform() if at_end else "offset points",
                va="center_baseline",
                color=LIGHT[f"c{series.colour}"],
                annotation_clip=False,
            )
            label.set_in_layout(at_end)
            yield label


def _place_at_end(axes: Axes, labels: list[Annotation]) -> None:
    """Put labels in a column right of the axes, each as near the end of its line as can be."""
    labels.sort(key=lambda label: label.xy[1])
    ends = [axes.transData.transform(label.xy) for label in labels]
    area = axes.get_window_extent()
    heights = apart([y for _, y in ends], _LINE, area.y0, area.y1)
    for label, (x, y), height in zip(labels, ends, heights, strict=True):
        label.xyann = (_COLUMN, axes.transData.inverted().transform((x, height))[1])
        if area.x1 - x > _MARKER or abs(height - y) > _LINE / 2:
            _add_leader(axes, label, (area.x1 + 5, height))


def apart(wanted: Sequence[float], gap: float, first: float, last: float) -> list[float]:
    """Return places in the order of those wanted, `gap` apart, as near to them as can be.

    Args:
        wanted: ascending.
        gap: between neighbours, at least.
        first: smallest place allowed.
        last: largest place allowed; if there is no room for all, they begin at `first`.
    """
    # Pool adjacent violators: labels that are too close become a block around their mean.
    blocks: list[list[float]] = []
    for turn, value in enumerate(wanted):
        blocks.append([value - turn * gap])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            last_block = blocks.pop()
            blocks[-1] += last_block
    bases = [fmean(block) for block in blocks for _ in block]
    most = last - (len(wanted) - 1) * gap
    return [max(first, min(base, most)) + turn * gap for turn, base in enumerate(bases)]


def _place_inside(axes: Axes, labels: Sequence[Annotation], taken: list[Bbox]) -> None:
    """Move labels to where they cover nothing, best near their points; hide those without room."""
    area = axes.get_window_extent()
    paths = []
    for line in axes.lines:
        if line.get_linestyle() != "None":
            paths.append(line.get_path().transformed(line.get_transform()))
        if line.get_marker() == "o":
            for x, y in axes.transData.transform(line.get_xydata()):
                taken.append(Bbox.from_bounds(x, y, 0, 0).padded(_MARKER / 2))
    for label in labels:
        point = axes.transData.transform(label.xy)
        box = label.get_window_extent()
        right, width = box.x0, box.width
        lefts = (right, right - width - 2 * _MARKER, point[0] - width / 2, area.x0, area.x1 - width)
        shifts = sorted((turn * _LINE / 2 for turn in range(-14, 15)), key=abs)
        places = [Bbox.from_bounds(x, box.y0 + y, width, box.height) for y in shifts for x in lefts]
        free = [place for place in places if _is_free(place, area, taken)]
        label.set_visible(bool(free))
        if free:
            place = min(free, key=lambda place: _cost(place, point, paths))
            taken.append(place)
            label.xyann = (place.x0 - point[0], label.xyann[1] + place.y0 - box.y0)
            near = np.clip(point, place.min, place.max)
            if np.hypot(*(near - point)) > 1.5 * _MARKER:
                _add_leader(axes, label, near)


def _is_free(place: Bbox, area: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = np.all(place.min >= area.min) and np.all(place.max <= area.max)
    return bool(inside) and not place.count_overlaps(taken)


def _cost(place: Bbox, point: Place, lines: Sequence[MatplotlibPath]) -> float:
    """Return the distance to the point; covering a line costs as much as two lines of text."""
    covered = sum(line.intersects_bbox(place, filled=False) for line in lines)
    distance = np.hypot(*(np.clip(point, place.min, place.max) - point))
    return max(float(distance), 1.5 * _MARKER) + 2 * _LINE * covered


def _add_leader(axes: Axes, label: Annotation, end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-", "color": LIGHT["line"], "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", label.xy, xytext=end, textcoords="figure pixels", arrowprops=style, zorder=2,
                  annotation_clip=False)  # fmt: skip


def _for_page(root: ElementTree.Element, chart: Chart, width: int) -> str:
    """Leave out what a page does not need, and add tooltips and a description."""
    for parent in list(root.iter()):
        for child in parent.findall(f"{_SVG}defs"):
            if child[0].tag != f"{_SVG}path":  # the style and the areas to clip to
                parent.remove(child)
    tooltips = {f"series-{n}": [p.title for p in s.points] for n, s in enumerate(chart.series)}
    for element in root.iter():
        for use, title in zip(
            element.iter(f"{_SVG}use"), tooltips.get(element.get("id", ""), ()), strict=False
        ):
            if title:
                ElementTree.SubElement(use, "title").text = title
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {
            key.removeprefix(_XLINK): _NOISE.sub("", " ".join(value.split()))
            for key, value in element.attrib.items()
            if key not in ("clip-path", "transform") and (key != "id" or element.tag == "path")
        }
        element.tail = None
        element.text = element.text.strip() or None if element.text else None
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "style": f"max-width: {width}px",
        "role": "img",
        "aria-label": f"{chart.title}. {chart.caption}",
    }
    return ElementTree.tostring(root, encoding="unicode")
