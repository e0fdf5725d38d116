"""How the models came about, drawn: text, teachers, targets, students, from left to right.

The graph is that of the models and not of the jobs: it is read from each model's own entry, so it
shows what was trained and not what could have been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from seqkd.report.material import Material
from seqkd.training.manifest import TrainingManifest

_WIDTH, _HEIGHT = 168, 36
_GAP_X, _GAP_Y = 46, 14
_GOLD = "training text"


@dataclass(slots=True)
class _Node:
    name: str
    kind: str
    """text, targets, teacher or student."""
    note: str = ""
    column: int = 0
    row: int = 0


def graph(material: Material) -> str:
    """Return the graph as SVG; empty if no model was found."""
    manifests = [model.manifest for model in material.trained.values()]
    models = {manifest.model: manifest for manifest in manifests}
    if not models:
        return ""
    nodes, edges = _build(models, material)
    _columns(nodes, edges)
    return _draw(nodes, edges)


def _build(
    models: Mapping[str, TrainingManifest], material: Material
) -> tuple[dict[str, _Node], list[tuple[str, str, str]]]:
    """Return nodes by name, and edges (from, to, kind)."""
    teachers = {each.teacher for each in models.values() if each.teacher}
    seeds: dict[str, int] = {}
    for model, _ in material.trained:
        seeds[model] = seeds.get(model, 0) + 1
    nodes = {_GOLD: _Node(_GOLD, "text")}
    edges: list[tuple[str, str, str]] = []
    for model, one in models.items():
        kind = "teacher" if model in teachers else "student"
        nodes[model] = _Node(model, kind, f"{seeds[model]} seeds" if seeds[model] > 1 else "")
        learnt = _GOLD
        if one.targets != "gold" and one.teacher:
            learnt = f"{one.targets} of {one.teacher}"
            nodes.setdefault(learnt, _Node(learnt, "targets"))
            edges.append((one.teacher, learnt, "decodes"))
        edges.append((learnt, model, "text"))
        if one.parent:
            edges.append((one.parent, model, "weights"))
        if one.kd_weight and one.teacher:
            edges.append((one.teacher, model, "distributions"))
    known = list(dict.fromkeys(edge for edge in edges if edge[0] in nodes and edge[1] in nodes))
    return nodes, known


def _columns(nodes: dict[str, _Node], edges: list[tuple[str, str, str]]) -> None:
    """Put each node right of all it came from, and spread a column's nodes evenly."""
    for _ in range(len(nodes)):
        moved = False
        for start, end, _kind in edges:
            if start != end and nodes[end].column <= nodes[start].column < len(nodes):
                nodes[end].column = nodes[start].column + 1
                moved = True
        if not moved:
            break
    for column in range(max(node.column for node in nodes.values()) + 1):
        members = [name for name, node in nodes.items() if node.column == column]
        # Near what they came from: fewer lines cross.
        members.sort(key=lambda name: (_mean_row(name, nodes, edges), name))
        for row, name in enumerate(members):
            nodes[name].row = row


def _mean_row(name: str, nodes: dict[str, _Node], edges: list[tuple[str, str, str]]) -> float:
    rows = [nodes[start].row for start, end, _ in edges if end == name and start != name]
    return sum(rows) / len(rows) if rows else 0.0


def _draw(nodes: dict[str, _Node], edges: list[tuple[str, str, str]]) -> str:
    columns = max(node.column for node in nodes.values()) + 1
    heights = [sum(node.column == c for node in nodes.values()) for c in range(columns)]
    height = max(heights) * (_HEIGHT + _GAP_Y) + 8
    width = columns * (_WIDTH + _GAP_X) - _GAP_X + 4

    def place(node: _Node) -> tuple[float, float]:
        room = height - 8
        step = room / heights[node.column]
        top = 4 + step * node.row + (step - _HEIGHT) / 2
        return 2 + node.column * (_WIDTH + _GAP_X), top

    drawn = []
    for start, end, kind in edges:
        (a, b), (c, d) = place(nodes[start]), place(nodes[end])
        x, y, u, v = a + _WIDTH, b + _HEIGHT / 2, c, d + _HEIGHT / 2
        far = " far" if nodes[end].column - nodes[start].column > 1 else ""
        drawn.append(
            f'<path class="edge {kind}{far}" d="M{x:.0f} {y:.0f}C{x + 30:.0f} {y:.0f} '
            f'{u - 30:.0f} {v:.0f} {u:.0f} {v:.0f}"><title>{escape(start)} to {escape(end)}: '
            f"{kind}</title></path>"
        )
    for node in nodes.values():
        drawn.append(_box(node, *place(node)))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Graph of the models">'
        f'<svg class="graph" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" role="img" '
        f'aria-label="How the models came about">{"".join(drawn)}</svg></div>'
        '<ul class="legend"><li><span class="swatch text"></span>learns from this text</li>'
        '<li><span class="swatch decodes"></span>decodes the training text</li>'
        '<li><span class="swatch weights"></span>starts from these weights</li>'
        '<li><span class="swatch distributions"></span>learns from its word distributions</li></ul>'
    )


def _box(node: _Node, left: float, top: float) -> str:
    name, second = node.name, ""
    if node.kind in ("teacher", "student"):
        name, second = _told(node.name)
    elif node.kind == "targets":
        name, _, second = node.name.partition(" of ")
        second = f"by {second}"
    lines = [(name, "name", 15 if second else 22)] + ([(second, "second", 28)] if second else [])
    written = "".join(
        f'<text x="{left + 10:.0f}" y="{top + y:.0f}" class="{kind}">{escape(_short(line))}</text>'
        for line, kind, y in lines
    )
    if node.note:
        written += (
            f'<text x="{left + _WIDTH - 8:.0f}" y="{top + 15:.0f}" class="second" '
            f'text-anchor="end">{escape(node.note)}</text>'
        )
    return (
        f'<g class="node {node.kind}"><rect x="{left:.0f}" y="{top:.0f}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="6"/>{written}<title>{escape(node.name)}</title></g>'
    )


def _told(model: str) -> tuple[str, str]:
    """Return what a model's box says: its architecture, and its stages or what was done last."""
    architecture, _, rest = model.partition(".")
    stages, *others = rest.split(".")
    done = [field for field in others if not field.startswith("from-")]
    return architecture, ", ".join(done) or stages.replace("_", " \u203a ")


def _short(line: str) -> str:
    return line if len(line) <= 29 else line[:28] + "\u2026"
