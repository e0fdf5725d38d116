"""Rows of the tables as the report shows them: which to single out, their colours, their speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seqkd.evaluation.results import Results, RowResult, by_architecture
from seqkd.evaluation.speed_files import Setting, Speed
from seqkd.report.material import Material

PRUNED_COLOUR, FORMAT_COLOUR = 2, 3
_ARCHITECTURE_COLOURS = (0, 1, 4, 5, 6, 7)


def all_rows(material: Material) -> list[RowResult]:
    """Return rows of the results table, then those of the other tables."""
    rows = list(material.analyses[0].rows)
    models = {row.row.model for row in rows}
    return rows + [row for row in material.everything.rows if row.row.model not in models]


def colour_of(rows: Sequence[RowResult], row: RowResult) -> int:
    """Return the colour of a row: by what was done to it, else by its architecture."""
    if row.row.format != "fp32":
        return FORMAT_COLOUR
    if row.row.pruned:
        return PRUNED_COLOUR
    place = list(by_architecture(rows)).index(row.row.architecture)
    return _ARCHITECTURE_COLOURS[place % len(_ARCHITECTURE_COLOURS)]


def best_student(results: Results) -> RowResult | None:
    """Return the student with the highest greedy BLEU; None where nobody is taught.

    A student has its teacher in the table and teaches nobody. A model taught by one of its own
    architecture counts only where there is no other.
    """
    rows = results.rows
    architectures: dict[str | None, str] = {row.row.model: row.row.architecture for row in rows}
    teachers = {row.row.teacher for row in rows}
    taught = [row for row in rows if row.row.teacher in architectures]
    students = [row for row in taught if row.row.model not in teachers]
    others = [row for row in students if row.row.architecture != architectures[row.row.teacher]]
    return max(others or students, key=lambda row: bleu(row, "greedy"), default=None)


def teacher_row(results: Results) -> RowResult | None:
    """Return the teacher of the best student; None if that is an ensemble."""
    student = best_student(results)
    teacher = results.config.teacher_of(student.row) if student else None
    return next((row for row in results.rows if teacher and row.row.model == teacher[0]), None)


def teacher_bleu(student: RowResult, search: str) -> float | None:
    """Return the BLEU of the model that taught a student; None if that is an ensemble."""
    taught = student.searches[search].teacher
    return None if taught is None else bleu(student, search) - taught.delta


def sibling(results: Results, row: RowResult, method: str) -> RowResult | None:
    """Return the row of the same architecture that was trained by another method."""
    wanted = (row.row.architecture, method)
    rows = (other for other in results.rows if (other.row.architecture, other.row.method) == wanted)
    return next(rows, None)


def bleu(row: RowResult, search: str) -> float:
    """Return the mean BLEU of a row over its seeds."""
    return row.searches[search].bleu.mean


def comparable_speeds(material: Material) -> Mapping[str, Speed]:
    """Return the speeds that were measured on the teacher's processor, or else on the first."""
    teacher = teacher_row(material.analyses[0])
    speeds = list(material.speeds.values())
    if teacher and teacher.row.model in material.speeds:
        speeds.insert(0, material.speeds[teacher.row.model])
    return {
        speed.model: speed
        for speed in speeds
        if speed.hardware.processor == speeds[0].hardware.processor
    }


def speed_setting(speeds: Mapping[str, Speed]) -> Setting | None:
    """Return the setting that all models share: a GPU or else one thread, the largest batch."""
    settings = [{entry.setting for entry in speed.measurements} for speed in speeds.values()]
    shared = set.intersection(*settings) if settings else set()
    return min(shared, key=lambda s: (s[0] == "cpu", s[1], -s[2]), default=None)
