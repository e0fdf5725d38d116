"""The top of the report: what was found, in four numbers, and the table of all models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from seqkd.evaluation.results import Comparison, Measured, Results, RowResult
from seqkd.report.material import Material
from seqkd.report.parts import Block, Cell, Grid, Head
from seqkd.report.plots import (
    all_rows,
    best_student,
    colour_of,
    setting_name,
    speed_setting,
    teacher_row,
    timings_of,
)
from seqkd.report.results_table import aim_name, gain, noise_note, percent, row_name
from seqkd.report.tables import DELTA, PLUS_MINUS, count, megabytes, signed

_TIMES = "\u00d7"


@dataclass(frozen=True, slots=True)
class Finding:
    """One number of the first line, with what it says."""

    value: str
    what: str
    detail: str


def findings(material: Material) -> Iterator[Finding]:
    """Yield the findings: the best student against its teacher and against no distillation."""
    results = material.analyses[0]
    teacher, student = teacher_row(results), best_student(results)
    if teacher is None or student is None:
        return
    width = results.config.beam
    greedy, beam = (student.searches[search] for search in results.searches)
    quality = greedy.bleu.spread.mean
    taught_by = teacher.searches[results.searches[1]].bleu.spread.mean
    yield Finding(
        f"{quality:.1f}",
        f"BLEU, {row_name(student)} student, greedy",
        f"its teacher with beam {width}: {taught_by:.1f} ({signed(quality - taught_by)})",
    )
    if greedy.baseline is not None and beam.baseline is not None:
        yield Finding(
            signed(greedy.baseline.delta),
            "BLEU gained by distillation, greedy",
            f"with beam {width}: {signed(beam.baseline.delta)}; {_significance(greedy.baseline)}",
        )
    yield Finding(
        f"{teacher.parameters / max(student.nonzero_parameters, 1):.1f}{_TIMES}",
        "fewer parameters than the teacher",
        f"{count(student.nonzero_parameters)} of {count(teacher.parameters)}; "
        f"{megabytes(student.shipped_bytes)} MB of {megabytes(teacher.shipped_bytes)}",
    )
    yield from _speed_finding(material, teacher, student)


def _significance(comparison: Comparison) -> str:
    error = comparison.standard_error
    seeds = f", {PLUS_MINUS}{error:.1f} by seeds" if error is not None else ""
    return f"p {_p(comparison.p_corrected)} after correction{seeds}"


def _speed_finding(material: Material, teacher: RowResult, student: RowResult) -> Iterator[Finding]:
    setting = speed_setting(material.speeds)
    timed = [row for row in (student, *all_rows(material)) if row.row.model in material.speeds]
    timed = [row for row in timed if row is not teacher]
    if setting is None or teacher.row.model not in material.speeds or not timed:
        return
    beam = material.config.beam
    greedy, _ = timings_of(material.speeds[timed[0].row.model], beam, setting)
    teacher_greedy, teacher_beam = timings_of(material.speeds[teacher.row.model], beam, setting)
    if greedy is None or teacher_greedy is None or teacher_beam is None:
        return
    words = greedy.words_per_second.median
    yield Finding(
        f"{words / teacher_beam.words_per_second.median:.0f}{_TIMES}",
        "faster than its teacher",
        f"{'' if timed[0] is student else row_name(timed[0]) + ', '}greedy to the teacher's beam "
        f"{beam}; both greedy: {words / teacher_greedy.words_per_second.median:.1f}{_TIMES}; "
        f"{setting_name(setting)}",
    )


def headline(material: Material) -> Grid:
    """Return the sortable table of every model, with its notes."""
    results = material.analyses[0]
    setting = speed_setting(material.speeds)
    return Grid(
        caption=f"{results.config.experiment}, {results.test_set}: {results.sentences:,} sentences",
        heads=list(_heads(material)),
        blocks=[Block(rows=[list(_cells(material, row)) for row in all_rows(material)])],
        notes=list(_notes(results, setting)),
        sortable=True,
        kind="headline",
    )


def _notes(results: Results, setting: tuple[str, int, int] | None) -> Iterator[str]:
    beam = results.config.beam
    yield (
        f"K=1: greedy search; K={beam}: beam search of {beam}. Under a score: its 95% interval "
        f"over test sentences ({results.resamples:,} bootstrap resamples)."
    )
    yield (
        f"{DELTA}: against {aim_name(results)}; {DELTA} T: against the teacher, "
        f"K={beam}. * p < 0.05, ** p < 0.01 by both paired bootstrap and approximate "
        "randomisation, corrected after Holm for all comparisons of the table"
        + (f", those of {DELTA} apart from all others." if results.aimed else ".")
    )
    yield noise_note(results)
    yield "CPU h: CPU hours of training, all stages of one seed, without teacher and decoding."
    if setting is not None:
        yield f"words/s: source words a second, greedy, {setting_name(setting)}."
    yield from results.signatures


def _heads(material: Material) -> Iterator[Head]:
    beam, aim = material.config.beam, aim_name(material.analyses[0])
    yield Head("model", left=True)
    yield Head("params", "weights that are not zero")
    yield Head("MB", "of the file, 10^6 bytes; pruned models without their zeros")
    yield Head("BLEU K=1", "greedy search")
    yield Head(DELTA, f"greedy, against {aim}")
    yield Head(f"BLEU K={beam}", f"beam search of {beam}")
    yield Head(DELTA, f"beam {beam}, against {aim}")
    yield Head(f"{DELTA} T", f"beam {beam}, against the teacher's beam {beam}")
    yield Head("chrF K=1", "greedy search")
    yield Head(f"chrF K={beam}", f"beam search of {beam}")
    yield Head("PPL", "perplexity on the references")
    yield Head("p(t=y^)", "probability of the greedy output")
    if material.speeds:
        yield Head("words/s", "greedy")
    if material.trained:
        gpu = any(model.manifest.hardware.gpu for model in material.trained.values())
        yield Head("GPU h" if gpu else "CPU h", "training of this model's own stages")


def _cells(material: Material, row: RowResult) -> Iterator[Cell]:
    results = material.analyses[0]
    greedy, beam = (row.searches[search] for search in results.searches)
    yield _model(results, row)
    yield Cell(count(row.nonzero_parameters), row.nonzero_parameters)
    yield Cell(megabytes(row.shipped_bytes), row.shipped_bytes)
    yield _score(greedy.bleu)
    yield _delta(gain(results, greedy))
    yield _score(beam.bleu)
    yield _delta(gain(results, beam))
    yield _delta(beam.teacher)
    yield _score(greedy.chrf)
    yield _score(beam.chrf)
    yield Cell.number(row.perplexity)
    yield Cell() if row.mode_mean is None else Cell(percent(row.mode_mean), row.mode_mean)
    if material.speeds:
        yield Cell.number(_words_per_second(material, row), ",.0f")
    if material.trained:
        yield Cell.number(_hours(material, row) or None, ".2f")


def _model(results: Results, row: RowResult) -> Cell:
    return Cell(
        row_name(row),
        f"{row.row.architecture} {row_name(row)}",
        sub=f"{row.row.architecture} {row.row.label}",
        kind="method",
        colour=colour_of(results.rows, row),
    )


def _score(measured: Measured) -> Cell:
    mean, sd = measured.spread.mean, measured.spread.sd
    spread = f", sd {sd:.1f}" if sd is not None else ""
    interval = f"{measured.low:.1f}\u2013{measured.high:.1f}"
    return Cell(f"{mean:.1f}", round(mean, 4), sub=interval + spread)


def _delta(comparison: Comparison | None) -> Cell:
    if comparison is None:
        return Cell("\u2013")
    p = comparison.p_corrected
    error = comparison.standard_error
    return Cell(
        signed(comparison.delta) + comparison.stars,
        round(comparison.delta, 4),
        sub=f"{PLUS_MINUS}{error:.1f} noise" if error is not None else f"p {_p(p)}",
        kind="sure" if p < 0.05 and not comparison.within_noise else "unsure",
        about=f"against {comparison.other}: paired bootstrap p {_p(comparison.p_bootstrap)}, "
        f"approximate randomisation p {_p(comparison.p_randomisation)}, corrected p {_p(p)}",
    )


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _words_per_second(material: Material, row: RowResult) -> float | None:
    setting = speed_setting(material.speeds)
    if setting is None or row.row.model not in material.speeds:
        return None
    greedy, _ = timings_of(material.speeds[row.row.model], material.config.beam, setting)
    return greedy.words_per_second.median if greedy else None


def _hours(material: Material, row: RowResult) -> float:
    """Return the hours of all stages of the first seed; quantised models cost none."""
    model: str | None = row.row.model
    hours, seen = 0.0, set[str]()
    while model and model not in seen:
        seen.add(model)
        trained = material.trained.get((model, row.row.seeds[0]))
        if trained is None:
            break
        run = trained.manifest
        hours += (run.seconds if run.hardware.gpu else run.cpu_seconds) / 3600
        model = run.parent
    return hours


def subset_tables(material: Material) -> list[Grid]:
    """Return the tables of the other test sets and of the sentences without near duplicate."""
    return [_compact(results) for results in material.analyses[1:]]


def _compact(results: Results) -> Grid:
    part = "" if results.whole else " with no near duplicate in training"
    titles = ["BLEU K=1", DELTA, f"BLEU K={results.config.beam}", DELTA, f"{DELTA} T"]
    rows = []
    for row in results.rows:
        greedy, beam = (row.searches[search] for search in results.searches)
        rows.append(
            [
                *(_model(results, row), _score(greedy.bleu), _delta(gain(results, greedy))),
                *(_score(beam.bleu), _delta(gain(results, beam)), _delta(beam.teacher)),
            ]
        )
    return Grid(
        caption=f"{results.test_set}: {results.sentences:,} sentences{part}",
        heads=[Head("model", left=True), *map(Head, titles)],
        blocks=[Block(rows=rows)],
    )
