"""How the models came about: text, teachers, targets and students, from left to right.

The graph is that of the models and not of the jobs: it is read from each model's manifest, so it
shows what was trained and not what could have been.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from statistics import fmean
from typing import Literal, NamedTuple

from seqkd.report.material import Material

WIDTH, HEIGHT = 168, 36  # of a box, in pixels
_GAP_X, _GAP_Y = 46, 14
_LONGEST = 29  # characters that fit into a box
_GOLD = "training text"


@dataclass(slots=True)
class Node:
    """A text, the targets that a teacher wrote, a teacher or a student."""

    name: str
    kind: Literal["text", "targets", "teacher", "student"]
    note: str = ""
    left: int = 0
    top: int = 0

    @property
    def lines(self) -> tuple[str, str]:
        """What its box says: of a model its architecture, and its stages or the last change."""
        if self.kind == "text":
            return self.name, ""
        if self.kind == "targets":
            targets, _, teacher = self.name.partition(" of ")
            return targets, _short(f"by {teacher}")
        architecture, _, rest = self.name.partition(".")
        stages, *others = rest.split(".")
        changes = [field for field in others if not field.startswith("from-")]
        return architecture, _short(", ".join(changes) or stages.replace("_", " \u203a "))


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "\u2026"


class Link(NamedTuple):
    """What a node is made from."""

    start: str
    end: str
    kind: Literal["text", "decodes", "weights", "distributions"]


@dataclass(slots=True)
class ModelGraph:
    """Nodes by name, and the links between them, in pixels."""

    nodes: dict[str, Node] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    width: int = 0
    height: int = 0


def model_graph(material: Material) -> ModelGraph | None:
    """Return the graph, or None if no model was trained."""
    if not material.trained:
        return None
    seeds = Counter(model for model, _ in material.trained)
    runs = {model: trained.manifest for (model, _), trained in material.trained.items()}
    teachers = {run.teacher for run in runs.values()}
    nodes = {_GOLD: Node(_GOLD, "text")}
    links: dict[Link, None] = {}
    for model, run in runs.items():
        note = f"{seeds[model]} seeds" if seeds[model] > 1 else ""
        nodes[model] = Node(model, "teacher" if model in teachers else "student", note)
        text = _GOLD
        if run.teacher and run.targets != "gold":
            text = f"{run.targets} of {run.teacher}"
            nodes[text] = Node(text, "targets")
            links[Link(run.teacher, text, "decodes")] = None
        links[Link(text, model, "text")] = None
        if run.parent:
            links[Link(run.parent, model, "weights")] = None
        if run.teacher and run.kd_weight:
            links[Link(run.teacher, model, "distributions")] = None
    graph = ModelGraph(nodes, [link for link in links if link.start in nodes])
    _arrange(graph)
    return graph


def _arrange(graph: ModelGraph) -> None:
    """Put each node right of all that it came from, and near their rows: fewer lines cross."""
    sources: dict[str, set[str]] = {name: set() for name in graph.nodes}
    for link in graph.links:
        sources[link.end].add(link.start)
    columns: list[list[str]] = []
    column_of: dict[str, int] = {}
    for name in TopologicalSorter(sources).static_order():
        column_of[name] = max((column_of[source] + 1 for source in sources[name]), default=0)
    for name in graph.nodes:
        columns += [[] for _ in range(column_of[name] + 1 - len(columns))]
        columns[column_of[name]].append(name)
    room = max(map(len, columns)) * (HEIGHT + _GAP_Y)
    row_of: dict[str, int] = {}
    for column, names in enumerate(columns):
        names.sort(key=lambda name: (fmean([row_of[s] for s in sources[name]] or [0]), name))
        step = room / len(names)
        for row, name in enumerate(names):
            row_of[name] = row
            graph.nodes[name].left = 2 + column * (WIDTH + _GAP_X)
            graph.nodes[name].top = round(4 + step * row + (step - HEIGHT) / 2)
    graph.width = len(columns) * (WIDTH + _GAP_X) - _GAP_X + 4
    graph.height = room + 8
