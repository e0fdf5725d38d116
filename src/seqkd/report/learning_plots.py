"""Charts of how models learn and of what distillation did: curves, n-best lists, buckets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from seqkd.evaluation.diagnostics import Bucket
from seqkd.evaluation.results import RowResult
from seqkd.report.chart import Axis, Chart, Point, Series
from seqkd.report.material import Key, Material
from seqkd.report.plots import (
    best_student,
    methods,
    pruning,
    quality_size,
    quality_speed,
    teacher_row,
)
from seqkd.report.results_table import method_name
from seqkd.training.manifest import TrainedModel


def charts(material: Material) -> list[Chart]:
    """Return every chart that the material has data for."""
    made = [
        methods(material.analyses[0]),
        quality_size(material),
        quality_speed(material),
        pruning(material),
        *learning_curves(material),
        oracle(material),
        *buckets(material),
    ]
    return [chart for chart in made if chart is not None]


def learning_curves(material: Material) -> Iterator[Chart]:
    """Dev BLEU against updates by architecture: first seeds, the stages of a model in a row."""
    rows = material.analyses[0].rows
    drawn = {row.row.model for row in rows}
    for architecture in dict.fromkeys(row.row.architecture for row in rows):
        series = []
        for turn, row in enumerate(r for r in rows if r.row.architecture == architecture):
            points = _curve(material.trained, (row.row.model, row.row.seeds[0]), drawn)
            if len(points) > 1:
                name = method_name(row.row.method)
                points[-1] = replace(points[-1], label=name, minor=True)
                series.append(
                    Series(name=name, points=points, colour=turn % 8, line=True, marker=False)
                )
        if series:
            yield Chart(
                name=f"learning-{architecture}",
                title=f"Learning curves: {architecture}",
                caption="BLEU of greedy translations of dev against updates; the stages of a model "
                "follow one another.",
                x=Axis(label="updates"),
                y=Axis(label="dev BLEU"),
                series=series,
            )


def _curve(trained: Mapping[Key, TrainedModel], key: Key, drawn: AbstractSet[str]) -> list[Point]:
    """Return the validations of a model, after those of the model that it starts from.

    Of a model that has a curve of its own, only the end: the curve of this one goes on from there.
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
    if material.diagnostics is None:
        return None
    series = []
    for turn, entry in enumerate(material.diagnostics.nbest):
        points = [Point(x=x, y=y) for x, y in zip(entry.widths, entry.oracle, strict=True)]
        points[-1] = replace(points[-1], label=f"{points[-1].y:.1f}")
        name = f"{entry.teacher}, beam {entry.beam}"
        series.append(Series(name=name, points=points, colour=turn % 8, line=True))
    if not any(len(each.points) > 1 for each in series):
        return None
    return Chart(
        name="oracle",
        title="What the teacher's n-best list holds",
        caption="BLEU on training references if the best of the first K hypotheses were always "
        "chosen: the room that Seq-Inter's selection has.",
        x=Axis(label="hypotheses, K", log=True),
        y=Axis(label="BLEU"),
        series=series,
        height=320,
    )


def buckets(material: Material) -> Iterator[Chart | None]:
    """BLEU by source length, and F1 by how often a word stood in training."""
    if material.diagnostics is None:
        return
    models = material.diagnostics.models
    yield _bucket_chart(
        material, {model.model: model.by_length for model in models}, "length",
        "Quality by sentence length",
        "BLEU of greedy translations by words of the source sentence; parts under 10 sentences are "
        "left out.", "words of the source", "BLEU", 10,
    )  # fmt: skip
    yield _bucket_chart(
        material, {model.model: model.by_frequency for model in models}, "frequency",
        "Quality by rarity of words",
        "F1 of the words of the reference in greedy translations, by how often the word stands in "
        "the training text.", "times in training", "F1, %", 20,
    )  # fmt: skip


def _bucket_chart(
    material: Material, buckets: Mapping[str, Sequence[Bucket]],
    name: str, title: str, caption: str, x: str, y: str, least: int,
) -> Chart | None:  # fmt: skip
    chosen = [row for row in _telling(material) if row.row.model in buckets]
    names: list[str] = []
    series = []
    for turn, row in enumerate(chosen):
        entries = buckets[row.row.model]
        names = [entry.name for entry in entries]
        points = [
            Point(x=float(n), y=entry.score)
            for n, entry in enumerate(entries)
            if entry.size >= least
        ]
        if len(points) > 1:
            label = f"{row.row.architecture} {method_name(row.row.method)}"
            points[-1] = replace(points[-1], label=label, minor=True)
            colour = (0, 7, 1, 2, 3, 4)[turn % 6]
            series.append(Series(name=label, points=points, colour=colour, line=True))
    if not series:
        return None
    return Chart(
        name=name, title=title, caption=caption, x=Axis(label=x, categories=names),
        y=Axis(label=y), series=series, height=320,
    )  # fmt: skip


def _telling(material: Material) -> list[RowResult]:
    """Return the teacher, the student without it, Seq-KD and the best student."""
    results = material.analyses[0]
    teacher, best = teacher_row(results), best_student(results)
    chosen = [teacher]
    for method in ("baseline", "seq-kd"):
        chosen.append(
            next(
                (
                    row
                    for row in results.rows
                    if best is not None
                    and (row.row.architecture, row.row.method) == (best.row.architecture, method)
                ),
                None,
            )
        )
    unique = {row.row.model: row for row in [*chosen, best] if row is not None}
    return list(unique.values()) or list(results.rows[:4])
