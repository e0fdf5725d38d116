"""Place the labels of a chart so that they cover neither one another nor its points."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from seqkd.report.palette import LIGHT

LINE = 14  # height of a label, in points
MARKER = 9  # diameter of a point
COLUMN = 1.02  # where the column of names right of the axes starts, in widths of the axes

Position = npt.NDArray[np.float64]


def place_at_ends(axes: Axes, labels: list[Annotation]) -> None:
    """Put labels in a column right of the axes, each as near the end of its line as can be."""
    labels.sort(key=lambda label: label.xy[1])
    ends = [axes.transData.transform(label.xy) for label in labels]
    area = axes.get_window_extent()
    heights = apart([y for _, y in ends], LINE, area.y0, area.y1)
    for label, (x, y), height in zip(labels, ends, heights, strict=True):
        label.xyann = (COLUMN, axes.transData.inverted().transform((x, height))[1])
        if area.x1 - x > MARKER or abs(height - y) > LINE / 2:
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


def place_inside(axes: Axes, labels: Sequence[Annotation], taken: list[Bbox]) -> None:
    """Move labels to free places, best near their points; hide those without room."""
    area = axes.get_window_extent()
    lines = []
    for line in axes.lines:
        if line.get_linestyle() != "None":
            lines.append(line.get_path().transformed(line.get_transform()))
        if line.get_marker() == "o":
            for x, y in axes.transData.transform(line.get_xydata()):
                taken.append(Bbox.from_bounds(x, y, 0, 0).padded(MARKER / 2))
    for label in labels:
        point = axes.transData.transform(label.xy)
        box = label.get_window_extent()
        right, width = box.x0, box.width
        lefts = (right, right - width - 2 * MARKER, point[0] - width / 2, area.x0, area.x1 - width)
        shifts = sorted((turn * LINE / 2 for turn in range(-14, 15)), key=abs)
        places = [Bbox.from_bounds(x, box.y0 + y, width, box.height) for y in shifts for x in lefts]
        free = [place for place in places if _is_free(place, area, taken)]
        label.set_visible(bool(free))
        if free:
            place = min(free, key=lambda place: _cost(place, point, lines))
            taken.append(place)
            label.xyann = (place.x0 - point[0], label.xyann[1] + place.y0 - box.y0)
            near = np.clip(point, place.min, place.max)
            if np.hypot(*(near - point)) > 1.5 * MARKER:
                _add_leader(axes, label, near)


def _is_free(place: Bbox, area: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = np.all(place.min >= area.min) and np.all(place.max <= area.max)
    return bool(inside) and not place.count_overlaps(taken)


def _cost(place: Bbox, point: Position, lines: Sequence[Path]) -> float:
    """Return the distance to the point; covering a line costs as much as two lines of text."""
    covered = sum(line.intersects_bbox(place, filled=False) for line in lines)
    distance = np.hypot(*(np.clip(point, place.min, place.max) - point))
    return max(float(distance), 1.5 * MARKER) + 2 * LINE * covered


def _add_leader(axes: Axes, label: Annotation, end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-", "color": LIGHT["line"], "shrinkA": 0, "shrinkB": 0}
    leader = axes.annotate("", label.xy, end, textcoords="figure pixels", arrowprops=style)
    leader.set(zorder=2, annotation_clip=False)
