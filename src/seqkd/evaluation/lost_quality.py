"""What distillation lost: a student and its teacher compared, by what `diagnose` measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seqkd.config.naming import teachers_in
from seqkd.evaluation.diagnostics import Diagnostics, ModelDiagnostics
from seqkd.evaluation.results import signed
from seqkd.evaluation.text_statistics import Bucket

FEWEST_SENTENCES, FEWEST_WORDS = 10, 20
"""Buckets with fewer say nothing."""


def lost_quality(diagnostics: Diagnostics, model: str, seed: int) -> list[str]:
    """Return what a student lost against its teacher, both greedy: a sentence a measure.

    Args:
        diagnostics: of the experiment.
        model: name of the student. Nothing is returned for a model without a teacher, for that of
            an ensemble, or if one of the two was not diagnosed.
        seed: of the student.
    """
    if not teachers_in(model):  # a baseline, whose teacher here is that of its architecture
        return []
    student = diagnostics.of(model, seed)
    teacher = diagnostics.of(student.teacher or "", student.teacher_seed) if student else None
    return list(_sentences(student, teacher)) if student and teacher else []


def _sentences(student: ModelDiagnostics, teacher: ModelDiagnostics) -> Iterator[str]:
    by_length = _differences(student.by_length, teacher.by_length, FEWEST_SENTENCES)
    if by_length:
        yield f"BLEU by words of the source: {by_length}"
    by_frequency = _differences(student.by_frequency, teacher.by_frequency, FEWEST_WORDS)
    if by_frequency:
        yield f"F1 of words by times in training: {by_frequency}"
    if student.copied.size:
        yield (
            f"numbers, codes and emoji copied: {student.copied.score:.1f}% of "
            f"{student.copied.size:,} (teacher {teacher.copied.score:.1f}%)"
        )
    yield (
        f"one to four words three times in a row: in {student.repeated:.1%} of outputs "
        f"(teacher {teacher.repeated:.1%})"
    )
    yield (
        f"length: {student.length_ratio:.3f} of the references (teacher {teacher.length_ratio:.3f})"
    )
    if student.same_as_teacher is not None and student.bleu_to_teacher is not None:
        yield (
            f"agreement: {student.same_as_teacher:.1%} of outputs are the teacher's by beam "
            f"search, word for word; {student.bleu_to_teacher:.1f} BLEU to them"
        )


def _differences(ours: Sequence[Bucket], theirs: Sequence[Bucket], fewest: int) -> str:
    """Return the difference in each bucket that is large enough."""
    return ", ".join(
        f"{own.name}: {signed(own.score - other.score)}"
        for own, other in zip(ours, theirs, strict=True)
        if own.size >= fewest
    )
