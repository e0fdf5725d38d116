"""The page: all sections in order, in one HTML file with its style and script."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined

from seqkd import __version__
from seqkd.corpus.funnel import corpus_summary
from seqkd.machine.manifest import code_commit
from seqkd.report import details
from seqkd.report.chart import Chart
from seqkd.report.compression_tables import pruning_table, speed_table
from seqkd.report.figures import HALF, NARROW, WIDE, svg
from seqkd.report.graph import model_graph
from seqkd.report.headline import findings, headline, subset_tables
from seqkd.report.material import Material
from seqkd.report.palette import PALETTE
from seqkd.report.parts import Block, Cell, Drawing, Drawings, Folded, Grid, Head, Part
from seqkd.report.samples import samples
from seqkd.report.tables import Table

_TEMPLATES = Environment(
    loader=PackageLoader("seqkd.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    title: str
    parts: Sequence[Part]
    lead: str = ""


def page(material: Material, charts: Sequence[Chart]) -> str:
    """Return the report as one HTML document."""
    results, config = material.analyses[0], material.config
    seeds = max(len(row.seeds) for row in config.rows)
    about = (
        f"{len(config.rows)} models, {f'{seeds} seeds each' if seeds > 1 else 'one seed each'}, "
        f"trained on {corpus_summary(material.funnel)}, {results.sentences:,} test sentences. "
        f"seqkd {__version__}, code {code_commit() or 'unknown'}, "
        f"{time.strftime('%d %B %Y', time.gmtime())}."
    )
    return _TEMPLATES.get_template("page.html.j2").render(
        title=f"{config.experiment}: {config.source} \u2192 {config.target}",
        about=about,
        findings=list(findings(material)),
        sections=[section for section in _sections(material, charts) if section.parts],
        missing=_missing(material),
        palette=PALETTE,
    )


def _missing(material: Material) -> str:
    """Name the parts that are left out because the results folder does not have them."""
    parts = {
        "speed": material.speeds,
        "learning curves and provenance": material.trained,
        "diagnostics": material.diagnostics,
        "times": material.costs,
        "pruned, quantised and timed models": material.further,
    }
    absent = [name for name, data in parts.items() if not data]
    sentences = [f"Not in the results folder, so not here: {', '.join(absent)}."] if absent else []
    if not material.further:
        sentences.append(
            "config/overlays/compression.yaml adds speed, pruning and int8 to an experiment."
        )
    return " ".join(sentences)


def _sections(material: Material, charts: Sequence[Chart]) -> Iterator[_Section]:
    drawn = {chart.name: _draw(chart) for chart in charts}
    subsets = "Other test sets, and sentences with no near duplicate in training"
    results = [headline(material), *_drawings(drawn, "methods")]
    yield _Section("results", "Results", [*results, *_fold(subsets, subset_tables(material))])
    cost = _drawings(drawn, "quality-size", "quality-speed", "pruning")
    yield _Section("cost", "Size and speed", [*cost, *_cost_tables(material)])
    learning = _drawings(drawn, *(name for name in drawn if name.startswith("learning-")))
    yield _Section("learning", "Learning curves", learning)
    lead = "Underlined: words that are not in the reference. A sample, not a measure."
    yield _Section("samples", "Translations", samples(material), lead)
    effects = [*details.texts(material), *details.models(material)]
    effects += _drawings(drawn, "oracle", "length", "frequency")
    yield _Section("diagnostics", "What distillation did", effects)
    yield _Section("corpus", "Corpus", details.funnel(material))
    yield _Section("graph", "How the models came about", model_graph(material))
    yield _Section("time", "Where the time went", details.time_spent(material))
    yield _Section("provenance", "Provenance", details.provenance(material))


def _draw(chart: Chart) -> Drawing:
    width = WIDE if chart.y.categories else HALF
    return Drawing(chart, svg(chart, width), svg(chart, NARROW))


def _drawings(drawn: Mapping[str, Drawing], *names: str) -> list[Part]:
    shown = [drawn[name] for name in names if name in drawn]
    return [Drawings(shown)] if shown else []


def _fold(title: str, parts: Sequence[Part]) -> list[Part]:
    return [Folded(title, parts)] if parts else []


def _cost_tables(material: Material) -> Iterator[Part]:
    """Yield the tables of speed and of size, folded."""
    if material.others is None:
        return
    by_model = {row.row.model: row for row in material.others.rows}
    for kind, config in material.further.items():
        rows = [by_model[row.model] for row in config.rows if row.model in by_model]
        chosen = replace(material.others, rows=rows)
        if kind == "speed" and rows:
            speeds = [speed for speed in material.speeds.values() if speed.model in by_model]
            yield Folded("Decoding speed", [_paper_table(speed_table(chosen, speeds, ""))])
        elif rows:
            yield Folded("Sizes", [_paper_table(pruning_table(chosen, ""))])


def _paper_table(table: Table) -> Grid:
    return Grid(
        caption=table.title,
        heads=[Head(column.title, left=column.align == "left") for column in table.columns],
        blocks=[
            Block(title=block.title, rows=[[Cell(text) for text in row] for row in block.rows])
            for block in table.blocks
        ],
        notes=[*table.caption, *table.notes],
    )
