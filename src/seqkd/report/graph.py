"""How the models came about, drawn: text, teachers, targets, students, from left to right.

The graph is that of the models and not of the jobs: it is read from each model's manifest, so it
shows what was trained and not what could have been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from statistics import fmean
from typing import Literal, NamedTuple

from seqkd.report.material import Material
from seqkd.report.parts import Part

_WIDTH, _HEIGHT = 168, 36
_GAP_X, _GAP_Y = 46, 14
_LONGEST = 29  # characters that fit into a box
_GOLD = "training text"


class _Link(NamedTuple):
    start: str
    end: str
    kind: Literal["text", "decodes", "weights", "distributions"]


@dataclass(slots=True)
class _Node:
    kind: Literal["text", "targets", "teacher", "student"]
    note: str = ""
    column: int = 0
    row: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A node of the graph; `left` and `top` are where it is drawn."""

    kind: str
    left: int
    top: int
    first: str
    second: str
    note: str
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """A line between two boxes."""

    kind: str
    far: bool
    path: str
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelGraph(Part):
    """Boxes and lines, in pixels."""

    width: int
    height: int
    boxes: Sequence[Box]
    edges: Sequence[Edge]
    box_width: int = field(default=_WIDTH, init=False)
    box_height: int = field(default=_HEIGHT, init=False)


def model_graph(material: Material) -> list[Part]:
    """Return the graph, or nothing if no model was trained."""
    if not material.trained:
        return []
    nodes, links = _build(material)
    _arrange(nodes, links)
    return [_draw(nodes, links)]


def _build(material: Material) -> tuple[dict[str, _Node], list[_Link]]:
    """Return nodes by name, and the links between them."""
    seeds = Counter(model for model, _ in material.trained)
    runs = {model: trained.manifest for (model, _), trained in material.trained.items()}
    teachers = {run.teacher for run in runs.values()}
    nodes = {_GOLD: _Node("text")}
    links: list[_Link] = []
    for model, run in runs.items():
        note = f"{seeds[model]} seeds" if seeds[model] > 1 else ""
        nodes[model] = _Node("teacher" if model in teachers else "student", note)
        text = _GOLD
        if run.teacher and run.targets != "gold":
            text = f"{run.targets} of {run.teacher}"
            nodes[text] = _Node("targets")
            links.append(_Link(run.teacher, text, "decodes"))
        links.append(_Link(text, model, "text"))
        if run.parent:
            links.append(_Link(run.parent, model, "weights"))
        if run.teacher and run.kd_weight:
            links.append(_Link(run.teacher, model, "distributions"))
    known = [link for link in dict.fromkeys(links) if link.start in nodes]
    return nodes, known


def _arrange(nodes: Mapping[str, _Node], links: Sequence[_Link]) -> None:
    """Put each node right of all it came from, and near their rows: fewer lines cross."""
    sources: dict[str, set[str]] = {name: set() for name in nodes}
    for link in links:
        sources[link.end].add(link.start)
    for name in TopologicalSorter(sources).static_order():
        nodes[name].column = max((nodes[source].column + 1 for source in sources[name]), default=0)

    def place(name: str) -> tuple[float, str]:
        return fmean([nodes[source].row for source in sources[name]] or [0]), name

    for members in _by_column(nodes):
        for row, name in enumerate(sorted(members, key=place)):
            nodes[name].row = row


def _by_column(nodes: Mapping[str, _Node]) -> Iterator[list[str]]:
    for column in range(max(node.column for node in nodes.values()) + 1):
        yield [name for name, node in nodes.items() if node.column == column]


def _draw(nodes: Mapping[str, _Node], links: Sequence[_Link]) -> ModelGraph:
    sizes = [len(members) for members in _by_column(nodes)]
    height = max(sizes) * (_HEIGHT + _GAP_Y) + 8
    boxes = {}
    for name, node in nodes.items():
        step = (height - 8) / sizes[node.column]
        first, second = _lines(name, node.kind)
        boxes[name] = Box(
            kind=node.kind,
            left=2 + node.column * (_WIDTH + _GAP_X),
            top=round(4 + step * node.row + (step - _HEIGHT) / 2),
            first=_short(first),
            second=_short(second),
            note=node.note,
            title=name,
        )
    edges = []
    for link in links:
        start, end = boxes[link.start], boxes[link.end]
        x, y, u, v = start.left + _WIDTH, start.top + _HEIGHT // 2, end.left, end.top + _HEIGHT // 2
        edges.append(
            Edge(
                kind=link.kind,
                far=nodes[link.end].column - nodes[link.start].column > 1,
                path=f"M{x} {y}C{x + 30} {y} {u - 30} {v} {u} {v}",
                title=f"{link.start} to {link.end}: {link.kind}",
            )
        )
    return ModelGraph(
        width=len(sizes) * (_WIDTH + _GAP_X) - _GAP_X + 4,
        height=height,
        boxes=list(boxes.values()),
        edges=edges,
    )


def _lines(name: str, kind: str) -> tuple[str, str]:
    """Return what a box says: of a model its architecture, and its stages or the last change."""
    if kind == "text":
        return name, ""
    if kind == "targets":
        targets, _, teacher = name.partition(" of ")
        return targets, f"by {teacher}"
    architecture, _, rest = name.partition(".")
    stages, *others = rest.split(".")
    changes = [field for field in others if not field.startswith("from-")]
    return architecture, ", ".join(changes) or stages.replace("_", " \u203a ")


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "\u2026"
