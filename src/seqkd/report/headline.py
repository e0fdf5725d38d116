"""The top of the report: what was found, in four numbers, and the table of all models."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from seqkd.evaluation.results import Comparison, Measured, Results, RowResult
from seqkd.report.html import Cell, Head, figure_cell, name_of, notes, plain, table
from seqkd.report.material import Material
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


def tiles(material: Material) -> str:
    """Return the findings: the best student against its teacher and against no distillation."""
    made = "".join(
        f'<div class="tile"><p class="value">{escape(value)}</p><p class="what">{escape(what)}</p>'
        f'<p class="small">{escape(small)}</p></div>'
        for value, what, small in _findings(material)
    )
    return f'<div class="tiles">{made}</div>' if made else ""


def _findings(material: Material) -> Iterator[tuple[str, str, str]]:
    results = material.analyses[0]
    teacher, student = teacher_row(results), best_student(results)
    if teacher is None or student is None:
        return
    greedy, beam = results.searches
    ours, theirs = student.searches[greedy], teacher.searches[beam]
    gap = ours.bleu.spread.mean - theirs.bleu.spread.mean
    yield (
        f"{ours.bleu.spread.mean:.1f}",
        f"BLEU, {row_name(student)} student, greedy",
        f"its teacher with beam {results.config.beam}: {theirs.bleu.spread.mean:.1f} "
        f"({signed(gap)})",
    )
    gains = [student.searches[search].baseline for search in results.searches]
    if gains[0] is not None and gains[1] is not None:
        yield (
            signed(gains[0].delta),
            "BLEU gained by distillation, greedy",
            f"with beam {results.config.beam}: {signed(gains[1].delta)}; {_significance(gains[0])}",
        )
    yield (
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


def _speed_finding(
    material: Material, teacher: RowResult, student: RowResult
) -> Iterator[tuple[str, str, str]]:
    setting = speed_setting(material.speeds)
    known = material.speeds
    if setting is None or teacher.row.model not in known:
        return
    timed = [student] if student.row.model in known else []
    timed = timed or [r for r in all_rows(material) if r.row.model in known and r is not teacher]
    if not timed:
        return
    beam = material.config.beam
    ours = timings_of(known[timed[0].row.model], beam, setting)
    theirs = timings_of(known[teacher.row.model], beam, setting)
    if ours[0] is None or theirs[0] is None or theirs[1] is None:
        return
    yield (
        f"{ours[0].words_per_second.median / theirs[1].words_per_second.median:.0f}{_TIMES}",
        "faster than its teacher",
        f"{'' if timed[0] is student else row_name(timed[0]) + ', '}greedy to the teacher's beam "
        f"{beam}; both greedy: "
        f"{ours[0].words_per_second.median / theirs[0].words_per_second.median:.1f}{_TIMES}; "
        f"{setting_name(setting)}",
    )


def headline(material: Material) -> str:
    """Return the sortable table of every model, with its notes."""
    results = material.analyses[0]
    rows = [_cells(material, row) for row in all_rows(material)]
    setting = speed_setting(material.speeds)
    whole = table(
        f"{results.config.experiment}, {results.test_set}: {results.sentences:,} sentences",
        list(_heads(material)),
        rows,
        sortable=True,
        kind="headline",
    )
    return whole + notes(list(_notes(results, setting)))


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
    yield Head("model", align="left")
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
        yield Head("GPU h" if _on_gpu(material) else "CPU h", "training of this model's own stages")


def _on_gpu(material: Material) -> bool:
    return any(model.manifest.hardware.gpu for model in material.trained.values())


def _cells(material: Material, row: RowResult) -> list[Cell]:
    results = material.analyses[0]
    greedy, beam = (row.searches[search] for search in results.searches)
    colour = colour_of(results.rows, row)
    name = (
        f'<span class="chip c{colour}"></span>{name_of(row_name(row))}'
        f'<span class="sub">{escape(row.row.architecture)} {escape(row.row.label)}</span>'
    )
    cells = [
        Cell(name, f"{row.row.architecture} {row_name(row)}"),
        Cell(count(row.nonzero_parameters), row.nonzero_parameters),
        Cell(megabytes(row.shipped_bytes), row.shipped_bytes),
        _score(greedy.bleu),
        _delta(gain(results, greedy)),
        _score(beam.bleu),
        _delta(gain(results, beam)),
        _delta(beam.teacher),
        _score(greedy.chrf),
        _score(beam.chrf),
        figure_cell(row.perplexity),
        plain("") if row.mode_mean is None else Cell(percent(row.mode_mean), row.mode_mean),
    ]
    if material.speeds:
        cells.append(_words(material, row))
    if material.trained:
        cells.append(_hours(material, row))
    return cells


def _score(measured: Measured) -> Cell:
    mean, sd = measured.spread.mean, measured.spread.sd
    spread = f", sd {sd:.1f}" if sd is not None else ""
    return Cell(
        f'{mean:.1f}<span class="sub">{measured.low:.1f}\u2013{measured.high:.1f}{spread}</span>',
        round(mean, 4),
    )


def _delta(comparison: Comparison | None) -> Cell:
    if comparison is None:
        return Cell("\u2013", None)
    p = comparison.p_corrected
    error = comparison.standard_error
    noise = f"{PLUS_MINUS}{error:.1f} noise" if error is not None else f"p {_p(p)}"
    kind = "sure" if p < 0.05 and not comparison.within_noise else "unsure"
    title = (
        f"against {comparison.other}: paired bootstrap p {_p(comparison.p_bootstrap)}, approximate "
        f"randomisation p {_p(comparison.p_randomisation)}, corrected p {_p(p)}"
    )
    return Cell(
        f'<span class="{kind}" title="{escape(title)}">{signed(comparison.delta)}'
        f'{comparison.stars}</span><span class="sub">{noise}</span>',
        round(comparison.delta, 4),
    )


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _words(material: Material, row: RowResult) -> Cell:
    setting = speed_setting(material.speeds)
    speed = material.speeds.get(row.row.model)
    if setting is None or speed is None:
        return Cell("", None)
    timing = timings_of(speed, material.config.beam, setting)[0]
    if timing is None:
        return Cell("", None)
    words = timing.words_per_second.median
    return Cell(f"{words:,.0f}", words)


def _hours(material: Material, row: RowResult) -> Cell:
    """Return the hours of all stages of the first seed; quantised models cost none."""
    seed = row.row.seeds[0]
    model: str | None = row.row.model
    hours, seen = 0.0, set[str]()
    while model and model not in seen:
        seen.add(model)
        trained = material.trained.get((model, seed))
        if trained is None:
            break
        run = trained.manifest
        hours += (run.seconds if run.hardware.gpu else run.cpu_seconds) / 3600
        model = run.parent
    return Cell(f"{hours:.2f}", hours) if hours else Cell("", None)


def subset_tables(material: Material) -> str:
    """Return the tables of the other test sets and of the sentences without near duplicate."""
    return "".join(_compact(results) for results in material.analyses[1:])


def _compact(results: Results) -> str:
    part = "" if results.whole else " with no near duplicate in training"
    beam = results.config.beam
    heads = [Head("model", align="left"), Head("BLEU K=1"), Head(DELTA)]
    heads += [Head(f"BLEU K={beam}"), Head(DELTA), Head(f"{DELTA} T")]
    rows = []
    for row in results.rows:
        greedy, searched = (row.searches[search] for search in results.searches)
        name = (
            f'<span class="chip c{colour_of(results.rows, row)}"></span>{name_of(row_name(row))}'
            f'<span class="sub">{escape(row.row.architecture)} {escape(row.row.label)}</span>'
        )
        rows.append(
            [
                *(Cell(name), _score(greedy.bleu), _delta(gain(results, greedy))),
                *(_score(searched.bleu), _delta(gain(results, searched)), _delta(searched.teacher)),
            ]
        )
    return table(f"{results.test_set}: {results.sentences:,} sentences{part}", heads, rows)
