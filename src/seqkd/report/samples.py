"""Translations side by side: where distillation helped most, where it hurt most, and any others."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from seqkd.evaluation.results import Results, RowResult
from seqkd.evaluation.sentence_scores import Segment, similarity
from seqkd.report.html import details
from seqkd.report.material import Material
from seqkd.report.plots import best_student, teacher_row
from seqkd.report.results_table import method_name
from seqkd.text import tokenise

_EACH = 4
_LONGEST = 320  # characters of a source that is shown


def samples(material: Material) -> str:
    """Return a dozen sentences with the outputs of telling models."""
    results = material.analyses[0]
    shown = _models(results)
    if len(shown) < 2:
        return ""
    outputs = {}
    for name, row, search in shown:
        model, seed = row.row.model, row.row.seeds[0]
        evaluation = material.evaluations.get(model, seed, results.test_set)
        outputs[name] = evaluation.hypotheses(search)
    references = material.test.references
    before, after = list(outputs)[-2], list(outputs)[-1]
    gains = _gains(outputs[before], outputs[after], references)
    usable = [n for n, line in enumerate(material.test.sources) if 0 < len(line) <= _LONGEST]
    ordered = sorted(usable, key=lambda n: (gains[n], n))
    lost, won = ordered[:_EACH], ordered[: -_EACH - 1 : -1]
    rest = [n for n in usable if n not in {*lost, *won}]
    step = max(1, len(rest) // _EACH)
    groups = (
        (f"Where {after} gains most over {before}", [n for n in won if gains[n] > 0], True),
        (f"Where {after} loses most", [n for n in lost if gains[n] < 0], False),
        (f"Every {step}th sentence", rest[step // 2 :: step][:_EACH], False),
    )
    made = []
    for title, chosen, opened in groups:
        cards = "".join(_card(material, outputs, n) for n in chosen)
        if cards:
            block = details(title, f'<div class="cards">{cards}</div>')
            made.append(block.replace("<details>", "<details open>") if opened else block)
    return "".join(made)


def _models(results: Results) -> list[tuple[str, RowResult, str]]:
    """Return teacher, the student without one, and the best student: name, row, search."""
    greedy, beam = results.searches
    teacher, best = teacher_row(results), best_student(results)
    chosen: list[tuple[str, RowResult, str]] = []
    if teacher is not None:
        chosen.append((f"Teacher, beam {results.config.beam}", teacher, beam))
    if best is not None:
        for row in results.rows:
            if (row.row.architecture, row.row.method) == (best.row.architecture, "baseline"):
                chosen.append(("Baseline student", row, greedy))
        chosen.append((f"{method_name(best.row.method)} student", best, greedy))
    return chosen


def _gains(before: Sequence[str], after: Sequence[str], references: Sequence[str]) -> list[float]:
    """Return by how much each sentence is nearer its reference; sentence chrF."""
    measure = similarity("chrf")
    gains = []
    for first, second, reference in zip(before, after, references, strict=True):
        target = measure.reference(Segment(reference, ()))
        scores = [
            measure.score(measure.hypothesis(Segment(x, ())), target) for x in (first, second)
        ]
        gains.append(scores[1] - scores[0])
    return gains


def _card(material: Material, outputs: dict[str, list[str]], number: int) -> str:
    reference = material.test.references[number]
    config = material.config
    lines = [
        _line("Source", escape(material.test.sources[number]), config.source),
        _line("Reference", escape(reference), config.target),
    ]
    for name, texts in outputs.items():
        lines.append(_line(name, _marked(texts[number], reference), config.target))
    near = " \u00b7 near duplicate in training" if number in material.test.near_duplicates else ""
    content = f"<h4>Sentence {number + 1}{near}</h4><dl>{''.join(lines)}</dl>"
    return f'<article class="card">{content}</article>'


def _line(name: str, content: str, language: str) -> str:
    return (
        f'<div><dt>{escape(name)}</dt><dd lang="{escape(language)}" dir="auto">'
        f"{content or '<em>nothing</em>'}</dd></div>"
    )


def _marked(line: str, reference: str) -> str:
    """Return a translation with the words underlined that the reference does not hold."""
    known = set(tokenise(reference))
    words = []
    for word in line.split():
        strange = [token for token in tokenise(word) if token not in known]
        words.append(f"<u>{escape(word)}</u>" if strange else escape(word))
    return " ".join(words)
