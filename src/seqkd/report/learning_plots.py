"""Charts of how models learn and of what distillation did: curves, n-best lists, buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from seqkd.config.table_rows import Key
from seqkd.evaluation.lost_quality import FEWEST_SENTENCES, FEWEST_WORDS
from seqkd.evaluation.results import Results, RowResult, by_architecture
from seqkd.evaluation.text_statistics import Bucket
from seqkd.report.chart import Chart, Point, Series
from seqkd.report.highlights import best_student, sibling, teacher_row
from seqkd.report.labels import LINE
from seqkd.report.material import Material
from seqkd.report.plots import amounts, methods, pruning, quality_size, quality_speed
from seqkd.report.results_table import taught_name
from seqkd.training.manifest import TrainedModel


def charts(material: Material) -> list[Chart]:
    """Return every chart that the material has data for."""
    made = [
        methods(material.analyses[0]),
        quality_size(material),
        quality_speed(material),
        pruning(material),
        *amounts(material),
        *learning_curves(material),
        oracle(material),
        *buckets(material),
    ]
    return [chart for chart in made if chart is not None]


def _named_line(name: str, points: Sequence[Point], colour: int, marker: bool = True) -> Series:
    last = replace(points[-1], label=name, minor=True)
    points = [*points[:-1], last]
    return Series(name=name, points=points, colour=colour % 8, line=True, marker=marker)


def learning_curves(material: Material) -> Iterator[Chart]:
    """Dev BLEU against updates by architecture: first seeds, the stages of a model in a row."""
    results = material.analyses[0]
    drawn = {row.row.model for row in results.rows}
    for architecture, rows in by_architecture(results.rows).items():
        series = []
        for turn, row in enumerate(rows):
            points = _curve(material.trained, (row.row.model, row.row.seeds[0]), drawn)
            if len(points) > 1:
                series.append(_named_line(taught_name(row.row), points, turn, marker=False))
        if series:
            yield Chart(
                name=f"learning-{architecture}",
                x="updates",
                y="dev BLEU",
                series=series,
                height=max(360, LINE * len(series) + 80),  # room for a name each
            )


def _curve(trained: Mapping[Key, TrainedModel], key: Key, drawn: AbstractSet[str]) -> list[Point]:
    """Return the validations of a model, after those of the model that it starts from.

    Of a parent that has a curve of its own only the end is returned: this curve starts there.
    """
    model = trained.get(key)
    if model is None:
        return []
    parent = model.manifest.parent
    before = _curve(trained, (parent, key[1]), drawn) if parent else []
    offset = before[-1].x if before else 0.0
    points = [Point(x=offset + point.update, y=point.dev_bleu) for point in model.curve]
    return (before[-1:] if parent in drawn else before) + points


def oracle(material: Material) -> Chart | None:
    """BLEU of the best of the first K hypotheses."""
    lists = material.diagnostics.nbest if material.diagnostics else []
    series = []
    for turn, nbest in enumerate(lists):
        points = [Point(x=x, y=y) for x, y in zip(nbest.widths, nbest.oracle, strict=True)]
        points[-1] = replace(points[-1], label=f"{points[-1].y:.1f}")
        name = f"{nbest.teacher}, {nbest.search}"
        series.append(Series(name=name, points=points, colour=turn % 8, line=True))
    if not any(len(line.points) > 1 for line in series):
        return None
    return Chart(name="oracle", x="hypotheses, K", y="BLEU", series=series, log=True, height=320)


def buckets(material: Material) -> Iterator[Chart]:
    """BLEU by source length, and F1 by how often a word occurs in training."""
    models = material.diagnostics.models if material.diagnostics else []
    rows = _contrasting(material.analyses[0])
    lengths = {(model.model, model.seed): model.by_length for model in models}
    if series := list(_bucket_lines(rows, lengths, FEWEST_SENTENCES)):
        names = [bucket.name for bucket in models[0].by_length]
        x = "words of the source"
        yield Chart(name="length", x=x, y="BLEU", series=series, categories=names, height=320)
    frequencies = {(model.model, model.seed): model.by_frequency for model in models}
    if series := list(_bucket_lines(rows, frequencies, FEWEST_WORDS)):
        names = [bucket.name for bucket in models[0].by_frequency]
        x = "times in training"
        yield Chart(name="frequency", x=x, y="F1, %", series=series, categories=names, height=320)


def _bucket_lines(
    rows: Sequence[RowResult], buckets: Mapping[Key, Sequence[Bucket]], fewest: int
) -> Iterator[Series]:
    first = [(row, (row.row.model, row.row.seeds[0])) for row in rows]
    measured = [(row, key) for row, key in first if key in buckets]
    for turn, (row, key) in enumerate(measured):
        entries = enumerate(buckets[key])
        points = [Point(x=n, y=bucket.score) for n, bucket in entries if bucket.size >= fewest]
        if len(points) > 1:
            name = f"{row.row.architecture} {taught_name(row.row)}"
            yield _named_line(name, points, (0, 7, 1, 2, 3, 4)[turn % 6])


def _contrasting(results: Results) -> list[RowResult]:
    """Return the teacher, the student without it, Seq-KD and the best student."""
    best = best_student(results)
    if best is None:
        return list(results.rows[:4])
    students = [sibling(results, best, method) for method in ("baseline", "seq-kd")]
    rows = [row for row in (teacher_row(results), *students, best) if row is not None]
    return list({row.row.model: row for row in rows}.values())
