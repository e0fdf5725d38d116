"""The page: one HTML file with its style, script and charts, written by the templates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from seqkd import __version__
from seqkd.corpus.funnel import corpus_summary
from seqkd.evaluation.analysis import INTERVAL_RESAMPLES
from seqkd.evaluation.lost_quality import lost_quality
from seqkd.evaluation.results import signed
from seqkd.evaluation.speed_files import setting_name
from seqkd.languages import standard_code
from seqkd.machine.manifest import code_commit
from seqkd.machine.progress import duration
from seqkd.report.chart import Chart
from seqkd.report.compression_tables import pruning_table, speed_table
from seqkd.report.figures import HALF, NARROW, WIDE, svg
from seqkd.report.findings import findings, hours, words_per_second
from seqkd.report.highlights import (
    all_rows,
    best_student,
    colour_of,
    comparable_speeds,
    speed_setting,
)
from seqkd.report.material import Material
from seqkd.report.palette import PALETTE
from seqkd.report.results_table import (
    aim_name,
    gain,
    method_name,
    noise_note,
    percent,
    row_name,
    second_note,
    seeds_mark,
    taught_name,
)
from seqkd.report.samples import samples
from seqkd.report.tables import Table, count, counted, megabytes, p_value
from seqkd.templates import templates_of

_SECTIONS = {
    "results": "Results",
    "cost": "Size and speed",
    "learning": "Learning curves",
    "samples": "Translations",
    "diagnostics": "What distillation did",
    "corpus": "Corpus",
    "time": "Where the time went",
    "provenance": "Provenance",
}


_TEMPLATES = templates_of("seqkd.report")
_TEMPLATES.filters |= {
    "count": count,
    "counted": counted,
    "duration": duration,
    "megabytes": megabytes,
    "method_name": method_name,
    "p_value": p_value,
    "percent": percent,
    "row_name": row_name,
    "signed": signed,
    "taught_name": taught_name,
}


def page(material: Material, charts: Sequence[Chart]) -> str:
    """Return the report as one HTML document."""
    results = material.analyses[0]
    student, lost = best_student(results), list[str]()
    if student is not None and material.diagnostics is not None:
        lost = lost_quality(material.diagnostics, student.row.model, student.row.seeds[0])
    context = {
        "material": material,
        "config": material.config,
        "results": results,
        "rows": all_rows(material),
        "languages": [standard_code(code) for code in material.config.languages],
        "findings": list(findings(material)),
        "aim": aim_name(results),
        "gain": gain,
        "noise": noise_note(results),
        "second_note": second_note(results),
        "colour_of": partial(colour_of, results.rows),
        "seeds_mark": partial(seeds_mark, results),
        "setting": _speed_setting(material),
        "other_resamples": INTERVAL_RESAMPLES,
        "words_per_second": partial(words_per_second, material),
        "hours": partial(hours, material),
        "charts": {chart.name: _draw(chart) for chart in charts},
        "tables": dict(_cost_tables(material)),
        "samples": samples(material),
        "student": student,
        "lost": lost,
    }
    bodies = {
        name: _TEMPLATES.get_template(f"{name}.html.j2").render(context).strip()
        for name in _SECTIONS
    }
    return _TEMPLATES.get_template("page.html.j2").render(
        context,
        sections=[(name, title, bodies[name]) for name, title in _SECTIONS.items() if bodies[name]],
        corpus=corpus_summary(material.funnel),
        version=__version__,
        commit=code_commit() or "unknown",
        finished=_finished(material),
        palette=PALETTE,
    )


def _speed_setting(material: Material) -> str:
    """Say how the speeds of the column and the chart were measured; empty if there are none."""
    speeds = comparable_speeds(material)
    if (setting := speed_setting(speeds)) is None:
        return ""
    measured_on = {speed.hardware.processor for speed in speeds.values()}
    others = len(speeds) < len(material.speeds)
    return setting_name(setting) + (f", {measured_on.pop()} alone" if others else "")


def _finished(material: Material) -> str:
    """Return the day the last model was trained: the same report whenever it is written."""
    days = [model.manifest.finished for model in material.trained.values()]
    return f"{datetime.fromisoformat(max(days)):%d %B %Y}" if days else ""


def _draw(chart: Chart) -> tuple[str, str]:
    return svg(chart, WIDE if chart.rows else HALF), svg(chart, NARROW)


def _cost_tables(material: Material) -> Iterator[tuple[str, Table]]:
    """Yield the tables of speed and of size by their titles."""
    for kind, results in material.further.items():
        models = [row.row.model for row in results.rows]
        speeds = [material.speeds[model] for model in models if model in material.speeds]
        if kind == "pruning":
            yield "Sizes", pruning_table(results, "")
        elif speeds:
            yield "Decoding speed", speed_table(results, speeds, "")
