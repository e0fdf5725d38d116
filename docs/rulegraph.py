"""Draws the rule graph for the pages: snakemake --rulegraph | python docs/rulegraph.py | dot -Tsvg.

Snakemake draws an edge wherever a rule reads a file of another. Left out here are `all`, `settings`
(which feeds nearly every rule) and edges that other paths imply. Teacher and student are one rule;
it is drawn twice, so that the graph runs from left to right. Colours follow workflow/rules/*.smk.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import networkx

RULES = Path(__file__).resolve().parents[1] / "workflow" / "rules"
OMITTED = {"all", "settings"}
OPTIONAL = {"align", "subset", "soft_targets", "quantize"}  # their paths imply no edge
TEACHER, STUDENTS = r"train\nteacher", r"train\nstudents"
COLOURS = {
    "corpus": "#a6cee3",
    "vocab": "#a6cee3",
    "align": "#a6cee3",
    "train": "#fdbf6f",
    "decode": "#b2df8a",
    "distil": "#b2df8a",
    "compress": "#cab2d6",
    "evaluate": "#fb9a99",
    "report": "#e5d8bd",
}
# Grey edges and filled boxes are legible on a white page and on a dark one.
STYLE = """\
rankdir=LR; bgcolor=transparent; nodesep=0.22; ranksep=0.22; pad=0.1;
node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontsize=13,
      fontcolor="#1b1f24", color="#57606a", margin="0.08,0.06", height=0.4];
edge [color="#8b949e", penwidth=1.5, arrowsize=0.7];"""


def read(dot: str) -> networkx.DiGraph:
    """Return the graph that Snakemake printed."""
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', dot))
    graph = networkx.DiGraph((names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", dot))
    graph.remove_nodes_from(OMITTED)
    return graph


def unroll(graph: networkx.DiGraph) -> networkx.DiGraph:
    """Return the graph without cycles: what comes of one model trains the next."""
    cycle = next(
        rules for rules in networkx.strongly_connected_components(graph) if "train" in rules
    )
    unrolled = networkx.DiGraph([(TEACHER, STUDENTS)])
    for start, end in graph.edges:
        if start == "train":
            start = TEACHER if end in cycle else STUDENTS
        if end == "train":
            end = STUDENTS if start in cycle else TEACHER
        if start != STUDENTS or end != STUDENTS:
            unrolled.add_edge(start, end)
    return unrolled


def is_implied(graph: networkx.DiGraph, start: str, end: str) -> bool:
    """Say whether another path leads from one rule to another."""
    others = graph.copy()
    others.remove_edge(start, end)
    others.remove_nodes_from(OPTIONAL - {start, end})
    return bool(networkx.has_path(others, start, end))


def colour(rule: str) -> str:
    """Return the colour of the file that a rule is in."""
    name = rule.partition("\\")[0]
    for path in RULES.glob("*.smk"):
        if re.search(rf"^rule {name}:", path.read_text(encoding="utf-8"), re.MULTILINE):
            return COLOURS[path.stem]
    raise SystemExit(f"no rule {name} in {RULES}")


def main() -> None:
    """Read Snakemake's graph from standard input and print ours."""
    graph = unroll(read(sys.stdin.read()))
    edges = [edge for edge in graph.edges if not is_implied(graph, *edge)]
    lines = [f'"{rule}" [fillcolor="{colour(rule)}"];' for rule in sorted(graph)]
    lines += [f'"{start}" -> "{end}";' for start, end in sorted(edges)]
    print("digraph rules {", STYLE, *lines, "}", sep="\n")


if __name__ == "__main__":
    main()
