"""Charts of quality: by method, against size, speed, pruning and the amount of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from seqkd.evaluation.results import Results, RowResult, by_architecture
from seqkd.report.chart import Chart, Point, Series
from seqkd.report.highlights import (
    PRUNED_COLOUR,
    all_rows,
    best_student,
    bleu,
    colour_of,
    comparable_speeds,
    speed_setting,
    teacher_bleu,
    teacher_row,
)
from seqkd.report.material import Material
from seqkd.report.results_table import row_name, taught_name
from seqkd.report.tables import megabytes

_SAME_COST = 0.01  # relative difference below which two costs count as equal
_MOST_LABELS = 12  # with more points than that, only the teacher and the best student are named


def _point(row: RowResult, search: str, x: float, detail: str) -> Point:
    quality = bleu(row, search)
    title = f"{row.row.label} {row_name(row)}, {_words(search)}: {quality:.1f} BLEU{detail}"
    return Point(x=x, y=quality, title=title)


def _words(search: str) -> str:
    return search.replace("-", " ")


def _point_with_interval(row: RowResult, search: str, x: float) -> Point:
    score = row.searches[search].bleu
    point = _point(row, search, x, f" ({score.low:.1f} to {score.high:.1f})")
    return replace(point, interval=(score.low, score.high))


def _search_names(results: Results) -> dict[str, str]:
    greedy, beam = results.searches
    return {beam: f"beam search of {results.config.beam}", greedy: "greedy"}


def _by_search(
    results: Results,
    rows: Sequence[RowResult],
    name: str,
    colour: int,
    point: Callable[[RowResult, str], Point],
) -> Iterator[Series]:
    """Yield a curve through rows for each search, that of greedy search dashed."""
    for search, words in _search_names(results).items():
        greedy = search == results.searches[0]
        yield Series(
            name=f"{name}{words}",
            points=sorted((point(row, search) for row in rows), key=lambda point: point.x),
            colour=colour,
            line=True,
            hollow=greedy,
            dashed=greedy,
        )


def _teacher_line(results: Results) -> tuple[float, str] | None:
    student = best_student(results)
    quality = teacher_bleu(student, results.searches[1]) if student else None
    return None if quality is None else (quality, f"teacher, beam {results.config.beam}")


def methods(results: Results) -> Chart:
    """Greedy and beam search of every method: how much of the beam's gain training took over."""
    names = _search_names(results)
    categories: list[str] = []
    lines, points = [], []
    for architecture, rows in by_architecture(results.rows).items():
        categories.append(f"{architecture[:1].upper()}{architecture[1:]} {rows[0].row.label}:")
        places = list(enumerate(rows, len(categories)))
        categories += [row_name(row) for row in rows]
        colour = colour_of(results.rows, rows[0])
        for place, row in places:
            ends = [Point(x=place, y=bleu(row, search)) for search in names]
            lines.append(Series(points=ends, colour=colour, line=True, marker=False))
        last = rows[-1] is results.rows[-1]
        for search, name in names.items():
            found = [_point_with_interval(row, search, place) for place, row in places]
            hollow = search == results.searches[0]
            name = name if last else ""
            points.append(Series(name=name, points=found, colour=colour, hollow=hollow))
    return Chart(
        name="methods",
        x="",
        y="BLEU",
        series=[*lines, *points],
        categories=categories,
        rows=True,
        reference=_teacher_line(results),
    )


def _front(points: Sequence[tuple[float, float]], smaller: bool) -> list[tuple[float, float]]:
    """Return the points that no other beats on both axes, by cost ascending.

    Costs within a percent count as the same: files of one architecture differ by a few bytes.
    """
    front: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda p: (p[0] if smaller else -p[0], -p[1])):
        if front and quality <= front[-1][1]:
            continue
        if front and math.isclose(cost, front[-1][0], rel_tol=_SAME_COST):
            front.pop()
        front.append((cost, quality))
    return sorted(front)


def _frontier(front: Sequence[tuple[float, float]], name: str = "") -> list[Series]:
    points = [Point(x=x, y=y) for x, y in front]
    line = Series(name=name, points=points, colour=7, line=True, marker=False)
    return [line] if len(points) > 1 else []


def quality_size(material: Material) -> Chart | None:
    """Quality against the bytes of the file."""
    rows = [row for row in all_rows(material) if row.shipped_bytes]
    if len({row.shipped_bytes for row in rows}) < 2:
        return None
    results = material.analyses[0]
    beam, best = results.searches[1], best_student(results)
    front = _front([(row.shipped_bytes / 1e6, bleu(row, beam)) for row in rows], smaller=True)
    groups: dict[str, Series] = {}
    for row in rows:
        detail = f", {megabytes(row.shipped_bytes)} MB"
        point = _point(row, beam, row.shipped_bytes / 1e6, detail)
        on_front = (point.x, point.y) in front
        compressed = row.row.pruned or row.row.format != "fp32"
        if on_front or compressed or row is best or row.row.method == "baseline":
            point = replace(point, label=_short(row), minor=not on_front)
        name = _group(row)
        points = [*groups[name].points, point] if name in groups else [point]
        groups[name] = Series(name=name, points=points, colour=colour_of(results.rows, row))
    return Chart(
        name="quality-size",
        x="file, MB",
        y="BLEU",
        series=[*_frontier(front, "best for its cost"), *groups.values()],
        log=True,
    )


def _short(row: RowResult) -> str:
    if row.row.format != "fp32":
        return row.row.format
    return f"{row.row.pruned}%" if row.row.pruned else taught_name(row.row)


def _group(row: RowResult) -> str:
    if row.row.format != "fp32":
        return f"{row.row.architecture}, {row.row.format}"
    return f"{row.row.architecture}, pruned" if row.row.pruned else row.row.architecture


def quality_speed(material: Material) -> Chart | None:
    """Quality against words per second, greedy and beam."""
    speeds = comparable_speeds(material)
    setting = speed_setting(speeds)
    rows = [row for row in all_rows(material) if row.row.model in speeds]
    if setting is None or len(rows) < 2:
        return None
    results = material.analyses[0]
    series, measured = [], []
    for row in rows:
        timings = speeds[row.row.model].timings(setting, results.config.beam)
        points = []
        for search, timing in zip(results.searches, timings, strict=True):
            if timing is not None:
                speed = timing.words_per_second.median
                points.append(_point(row, search, speed, f", {speed:,.0f} words/s"))
                measured.append((row, search, points[-1]))
        colour = colour_of(results.rows, row)
        series.append(Series(points=points, colour=colour, line=True, marker=False, dashed=True))
    front = _front([(point.x, point.y) for _, _, point in measured], smaller=False)
    crowded = len(measured) > _MOST_LABELS
    named = [teacher_row(results), best_student(results)] if crowded else rows
    for row, search, point in measured:
        if row in named or (not any(named) and (point.x, point.y) in front):
            label = f"{row.row.architecture} {_short(row)}, {_words(search)}"
            point = replace(point, label=label, minor=(point.x, point.y) not in front)
        colour = colour_of(results.rows, row)
        series.append(Series(points=[point], colour=colour, hollow=search == "greedy"))
    return Chart(
        name="quality-speed",
        x="source words per second",
        y="BLEU",
        series=[*_frontier(front), *series],
        log=True,
    )


def pruning(material: Material) -> Chart | None:
    """Quality against the share of weights that is cut."""
    results = material.everything
    if not any(row.row.pruned for row in results.rows):
        return None
    families: dict[str, list[RowResult]] = {}
    for row in sorted(results.rows, key=lambda row: row.row.pruned):
        if row.row.format == "fp32":
            family = f"{row.row.architecture} {taught_name(row.row)}"
            families.setdefault(family, []).append(row)
    pruned = {family: rows for family, rows in families.items() if rows[-1].row.pruned}
    series: list[Series] = []
    for turn, (family, rows) in enumerate(pruned.items()):
        prefix = f"{family}, " if len(pruned) > 1 else ""
        series += _by_search(results, rows, prefix, (PRUNED_COLOUR + turn) % 8, _point_by_pruned)
    return Chart(
        name="pruning",
        x="weights cut, %",
        y="BLEU",
        series=series,
        reference=_teacher_line(material.analyses[0]),
    )


def _point_by_pruned(row: RowResult, search: str) -> Point:
    return _point_with_interval(row, search, row.row.pruned)


def amounts(material: Material) -> Iterator[Chart]:
    """Quality against the amount of distilled text, at methods that differ in nothing else.

    A chart for each test set: more text may help on one and not on another.
    """
    for results in material.analyses:
        series = _by_amount(material, results) if results.whole else []
        if series:
            yield Chart(
                name=f"amount-{results.test_set}",
                x="pairs of training text",
                y="BLEU",
                series=series,
                reference=_teacher_line(results),
            )


def _by_amount(material: Material, results: Results) -> list[Series]:
    curves: dict[str, list[RowResult]] = {}
    for row in results.rows:
        if row.row.least is not None and (row.row.model, row.row.seeds[0]) in material.trained:
            curves.setdefault(row.row.least, []).append(row)
    by_model = {row.row.model: row.row for row in results.rows}
    series: list[Series] = []
    for least, rows in curves.items():
        curve = f"{rows[0].row.architecture} {taught_name(by_model[least])}, "
        colour = colour_of(results.rows, rows[0])
        series += _by_search(results, rows, curve, colour, partial(_point_by_pairs, material))
    return series


def _point_by_pairs(material: Material, row: RowResult, search: str) -> Point:
    """Return a row at its number of training pairs, with one standard deviation over seeds."""
    pairs = material.trained[row.row.model, row.row.seeds[0]].manifest.used_pairs
    score = row.searches[search].bleu
    point = _point(row, search, pairs, f", {pairs:,} pairs")
    if score.sd is None:
        return point
    return replace(point, interval=(score.mean - score.sd, score.mean + score.sd))
