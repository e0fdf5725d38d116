"""The page: all sections in order, style and script inside, nothing from elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib import resources

from seqkd import __version__
from seqkd.corpus.funnel import corpus_summary
from seqkd.machine.manifest import code_commit
from seqkd.report import details, headline
from seqkd.report.chart import Chart
from seqkd.report.compression_tables import pruning_table, speed_table
from seqkd.report.figures import HALF, WIDE
from seqkd.report.graph import graph
from seqkd.report.html import details as folded
from seqkd.report.html import figure, paper_table, section
from seqkd.report.learning_plots import charts
from seqkd.report.material import Material
from seqkd.report.palette import PALETTE
from seqkd.report.samples import samples


def page(material: Material) -> str:
    """Return the report as one HTML document."""
    made = charts(material)
    sections = list(_sections(material, made))
    results = material.analyses[0]
    config = material.config
    title = f"{config.experiment}: {config.source} \u2192 {config.target}"
    links = "".join(
        f'<a href="#{name}">{escape(heading)}</a>' for name, heading in _headings(sections)
    )
    about = (
        f"{len(config.rows)} models, {_seeds(material)}, trained on "
        f"{corpus_summary(material.funnel)}, {results.sentences:,} test sentences. "
        f"seqkd {__version__}, code {code_commit() or 'unknown'}, "
        f"{time.strftime('%d %B %Y', time.gmtime())}."
    )
    return _template().format(
        title=escape(title),
        style=_style() + _asset("style.css"),
        script=_asset("script.js"),
        about=escape(about),
        links=links,
        tiles=headline.tiles(material),
        sections="".join(sections),
        missing=escape(_missing(material)),
    )


def _missing(material: Material) -> str:
    """Say which parts were left out because the results folder does not hold them."""
    parts = {
        "speed": material.speeds,
        "learning curves and provenance": material.trained,
        "diagnostics": material.diagnostics,
        "times": material.costs,
        "pruned, quantised and timed models": material.further,
    }
    left = [name for name, found in parts.items() if not found]
    told = f"Not in the results folder, so not here: {', '.join(left)}." if left else ""
    if not material.further:
        told += " config/overlays/compression.yaml adds speed, pruning and int8 to an experiment."
    return told.strip()


def _seeds(material: Material) -> str:
    most = max(len(row.seeds) for row in material.config.rows)
    return f"{most} seeds each" if most > 1 else "one seed each"


def _sections(material: Material, made: Sequence[Chart]) -> list[str]:
    drawn = {chart.name: figure(chart, WIDE if chart.y.categories else HALF) for chart in made}
    learning = [drawn[name] for name in drawn if name.startswith("learning-")]
    diagnostics = [drawn.get(name, "") for name in ("oracle", "length", "frequency")]
    further = headline.subset_tables(material)
    found = [
        section(
            "results", "Results", headline.headline(material), drawn["methods"],
            folded("Other test sets, and sentences with no near duplicate in training", further),
        ),
        section(
            "cost", "Size and speed",
            _pair(*(drawn.get(name, "") for name in ("quality-size", "quality-speed", "pruning"))),
            *_cost_tables(material),
        ),
        section("learning", "Learning curves", _pair(*learning)),
        section("samples", "Translations", samples(material),
                lead="Underlined: words the reference does not hold. A sample, not a measure."),
        section("diagnostics", "What distillation did", details.texts(material),
                details.models(material), _pair(*diagnostics)),
        section("corpus", "Corpus", details.funnel(material)),
        section("graph", "How the models came about", graph(material)),
        section("time", "Where the time went", details.time_spent(material)),
        section("provenance", "Provenance", details.provenance(material)),
    ]  # fmt: skip
    return [each for each in found if each]


def _cost_tables(material: Material) -> list[str]:
    """Return the tables of speed and of size, folded."""
    if material.others is None:
        return []
    by_model = {row.row.model: row for row in material.others.rows}
    made = []
    for kind, config in material.further.items():
        rows = [by_model[row.model] for row in config.rows if row.model in by_model]
        chosen = replace(material.others, rows=rows)
        if kind == "speed" and rows:
            speeds = [s for s in material.speeds.values() if s.model in by_model]
            made.append(folded("Decoding speed", paper_table(speed_table(chosen, speeds, ""))))
        elif rows:
            made.append(folded("Sizes", paper_table(pruning_table(chosen, ""))))
    return made


def _pair(*figures: str) -> str:
    shown = [each for each in figures if each]
    return f'<div class="pair">{"".join(shown)}</div>' if shown else ""


def _headings(sections: Sequence[str]) -> list[tuple[str, str]]:
    pattern = re.compile(r'<section id="([^"]+)"><h2>([^<]+)</h2>')
    return [match.groups() for each in sections if (match := pattern.match(each))]  # type: ignore[misc]


def _asset(name: str) -> str:
    return resources.files("seqkd.report").joinpath(name).read_text(encoding="utf-8")


def _template() -> str:
    return _asset("page.html")


def _style() -> str:
    light, dark = ("".join(f"--{n}:{c[t]};" for n, c in PALETTE.items()) for t in (0, 1))
    return f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"
