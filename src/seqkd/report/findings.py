"""The first line of the report: what was found, in four numbers; and what each model cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from seqkd.evaluation.results import RowResult, signed
from seqkd.evaluation.speed_files import setting_name
from seqkd.report.highlights import (
    all_rows,
    best_student,
    bleu,
    comparable_speeds,
    speed_setting,
    teacher_bleu,
    teacher_row,
)
from seqkd.report.material import Material
from seqkd.report.results_table import row_name
from seqkd.report.tables import PLUS_MINUS, count, megabytes, p_value, ratio

_WORTH_SAYING = 1.05  # times smaller or faster


@dataclass(frozen=True, slots=True)
class Finding:
    """One number, with what it says."""

    value: str
    what: str
    detail: str


def findings(material: Material) -> Iterator[Finding]:
    """Yield the findings: the best student against its teacher and against no distillation."""
    results = material.analyses[0]
    teacher, student = teacher_row(results), best_student(results)
    if student is None:
        return
    width = results.config.beam
    greedy, beam = results.searches
    quality, goal = bleu(student, greedy), teacher_bleu(student, beam)
    yield Finding(
        f"{quality:.1f}",
        f"BLEU, {row_name(student)} student, greedy",
        f"its teacher with beam {width}: {goal:.1f} ({signed(quality - goal)})"
        if goal is not None
        else f"with beam {width}: {bleu(student, beam):.1f}",
    )
    gain, gain_with_beam = (student.searches[search].baseline for search in (greedy, beam))
    if gain is not None and gain_with_beam is not None:
        error = gain.standard_error
        seeds = f", {PLUS_MINUS}{error:.1f} by seeds" if error is not None else ""
        yield Finding(
            signed(gain.delta),
            "BLEU against no distillation, greedy",
            f"p {p_value(gain.p_corrected)} after correction{seeds}; "
            f"with beam {width}: {signed(gain_with_beam.delta)}",
        )
    if teacher is None:
        return
    smaller = teacher.parameters / max(student.nonzero_parameters, 1)
    if smaller >= _WORTH_SAYING:
        yield Finding(
            ratio(smaller),
            "fewer parameters than the teacher",
            f"{count(student.nonzero_parameters)} of {count(teacher.parameters)}; "
            f"{megabytes(student.shipped_bytes)} MB of {megabytes(teacher.shipped_bytes)}",
        )
    yield from _speed_finding(material, teacher, student)


def _speed_finding(material: Material, teacher: RowResult, student: RowResult) -> Iterator[Finding]:
    speeds = comparable_speeds(material)
    timed = [
        row
        for row in (student, *all_rows(material))
        if row.row.model in speeds
        and row.row.architecture == student.row.architecture
        and row is not teacher
    ]
    if not timed:
        return
    greedy, _ = words_per_second(material, timed[0])
    teacher_greedy, teacher_beam = words_per_second(material, teacher)
    setting = speed_setting(speeds)
    if not (setting and greedy and teacher_greedy and teacher_beam):
        return
    if (faster := greedy / teacher_beam) >= _WORTH_SAYING:
        yield Finding(
            ratio(faster),
            "faster than its teacher",
            f"{'' if timed[0] is student else row_name(timed[0]) + ', '}greedy to the teacher's "
            f"beam {material.config.beam}; both greedy: {ratio(greedy / teacher_greedy)}; "
            f"{setting_name(setting)}",
        )


def words_per_second(material: Material, row: RowResult) -> tuple[float | None, float | None]:
    """Return the median speed of greedy and of beam search under the shared setting."""
    speeds = comparable_speeds(material)
    setting = speed_setting(speeds)
    if setting is None or row.row.model not in speeds:
        return None, None
    timings = speeds[row.row.model].timings(setting, material.config.beam)
    greedy, beam = (timing.words_per_second.median if timing else None for timing in timings)
    return greedy, beam


def hours(material: Material, row: RowResult) -> float | None:
    """Return the hours of all stages of the first seed; quantised models cost none."""
    model: str | None = row.row.model
    total, seen = 0.0, set[str]()
    while model and model not in seen:
        seen.add(model)
        trained = material.trained.get((model, row.row.seeds[0]))
        if trained is None:
            break
        run = trained.manifest
        total += (run.seconds if run.hardware.gpu else run.cpu_seconds) / 3600
        model = run.parent
    return total or None
