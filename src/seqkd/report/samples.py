"""Translations side by side: where distillation helped most, where it hurt most, and any others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seqkd.config.table_rows import Key
from seqkd.evaluation.results import Results
from seqkd.evaluation.sentence_scores import Segment, similarity
from seqkd.languages import standard_code
from seqkd.report.highlights import best_student, sibling
from seqkd.report.material import Material
from seqkd.report.results_table import taught_name
from seqkd.text import pieces_of, tokenise

_SHOWN = 4
_LONGEST = 320  # characters of a source that is shown


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a sentence."""

    name: str
    language: str
    pieces: Sequence[tuple[str, bool]]
    """Text that adds up to the line, each with whether it has a token not in the reference."""


@dataclass(frozen=True, slots=True)
class Card:
    """All versions of one sentence."""

    title: str
    lines: Sequence[Version]


def samples(material: Material) -> dict[str, list[Card]]:
    """Return a dozen sentences by group, with the outputs of teacher, baseline, best student."""
    results = material.analyses[0]
    models = _models(results)
    if len(models) < 2:
        return {}
    outputs = {
        name: material.evaluations.get(*key, results.test_set).hypotheses(search)
        for name, (key, search) in models.items()
    }
    before, after = list(outputs)[-2:]
    gains = _gains(outputs[before], outputs[after], material.test.references)
    usable = [n for n, line in enumerate(material.test.sources) if 0 < len(line) <= _LONGEST]
    ordered = sorted(usable, key=lambda n: (gains[n], n))
    lost, won = ordered[:_SHOWN], ordered[: -_SHOWN - 1 : -1]
    rest = [n for n in usable if n not in {*lost, *won}]
    step = max(1, len(rest) // _SHOWN)
    groups = {
        f"Where {after} gains most over {before}": [n for n in won if gains[n] > 0],
        f"Where {after} loses most": [n for n in lost if gains[n] < 0],
        "Others, evenly spaced": rest[step // 2 :: step][:_SHOWN],
    }
    return {
        title: [_card(material, outputs, number) for number in numbers]
        for title, numbers in groups.items()
        if numbers
    }


def _models(results: Results) -> dict[str, tuple[Key, str]]:
    """Return teacher, the student without one, and the best student, each with its search."""
    greedy, beam = results.searches
    best = best_student(results)
    if best is None:
        return {}
    models = {}
    if teacher := results.config.teacher_of(best.row):
        models[f"Teacher, beam {results.config.beam}"] = (teacher, beam)
    students = {"Baseline student": sibling(results, best, "baseline")}
    students[f"{taught_name(best.row)} student"] = best
    for name, student in students.items():
        if student is not None:
            models[name] = ((student.row.model, student.row.seeds[0]), greedy)
    return models


def _gains(before: Sequence[str], after: Sequence[str], references: Sequence[str]) -> list[float]:
    """Return by how much each sentence is nearer its reference; sentence chrF."""
    measure = similarity("chrf")

    def score(line: str, reference: str) -> float:
        return measure.score(
            measure.hypothesis(Segment(line, ())), measure.reference(Segment(reference, ()))
        )

    return [
        score(second, reference) - score(first, reference)
        for first, second, reference in zip(before, after, references, strict=True)
    ]


def _card(material: Material, outputs: Mapping[str, Sequence[str]], number: int) -> Card:
    config, test = material.config, material.test
    source, reference = test.sources[number], test.references[number]
    near = " \u00b7 near duplicate in training" if number in test.near_duplicates else ""
    lines = [
        Version("Source", standard_code(config.source), [(source, False)]),
        Version("Reference", standard_code(config.target), [(reference, False)]),
    ]
    tokens = set(tokenise(reference))
    for name, texts in outputs.items():
        pieces = [(x, not tokens.issuperset(tokenise(x))) for x in pieces_of(texts[number])]
        lines.append(Version(name, standard_code(config.target), _joined(pieces)))
    return Card(f"Sentence {number + 1}{near}", lines)


def _joined(pieces: Iterable[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Join neighbouring pieces that are underlined alike; spaces are never underlined alone."""
    return [
        ("".join(piece for piece, _ in run), is_new)
        for is_new, run in itertools.groupby(pieces, key=lambda piece: piece[1])
    ]
