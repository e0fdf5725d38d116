"""Charts of quality: by method, against size, against speed, against pruning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from seqkd.evaluation.results import Results, RowResult, teacher_of
from seqkd.evaluation.speed_files import Speed, SpeedMeasurement, batch_name
from seqkd.report.chart import Axis, Chart, Point, Series
from seqkd.report.material import Material
from seqkd.report.results_table import method_name, row_name
from seqkd.report.tables import megabytes

PRUNED_COLOUR, FORMAT_COLOUR = 2, 3
_ARCHITECTURE_COLOURS = (0, 1, 4, 5, 6, 7)
_SAME_COST = 0.01  # relative difference below which two costs count as equal
_MOST_LABELS = 12  # with more points than that, only the teacher and the best student are named


def all_rows(material: Material) -> list[RowResult]:
    """Return rows of the results table, then those of the other tables."""
    rows = list(material.analyses[0].rows)
    models = {row.row.model for row in rows}
    others = material.others.rows if material.others else []
    return rows + [row for row in others if row.row.model not in models]


def colour_of(rows: Sequence[RowResult], row: RowResult) -> int:
    """Return the colour of a row: by what was done to it, else by its architecture."""
    if row.row.format != "fp32":
        return FORMAT_COLOUR
    if row.row.pruned:
        return PRUNED_COLOUR
    names = list(dict.fromkeys(other.row.architecture for other in rows))
    return _ARCHITECTURE_COLOURS[names.index(row.row.architecture) % len(_ARCHITECTURE_COLOURS)]


def group_of(row: RowResult) -> str:
    """Return the name of a row's group in legends."""
    if row.row.format != "fp32":
        return f"{row.row.architecture}, {row.row.format}"
    return f"{row.row.architecture}, pruned" if row.row.pruned else row.row.architecture


def teacher_row(results: Results) -> RowResult | None:
    """Return the model that taught most of the others."""
    teachers = [name for row in results.rows if (name := teacher_of(results.config, row.row))]
    if not teachers:
        return None
    most = max(dict.fromkeys(teachers), key=teachers.count)
    return next((row for row in results.rows if row.row.model == most), None)


def best_student(results: Results) -> RowResult | None:
    """Return the student with the highest greedy BLEU; None where nobody is taught."""
    teacher = teacher_row(results)
    if teacher is None:
        return None
    students = [row for row in results.rows if row.row.architecture != teacher.row.architecture]
    students = students or [row for row in results.rows if row is not teacher]
    return max(students, key=lambda row: bleu(row, "greedy"), default=None)


def bleu(row: RowResult, search: str) -> float:
    """Return the mean BLEU of a row over its seeds."""
    return row.searches[search].bleu.spread.mean


def _teacher_line(results: Results) -> tuple[float, str] | None:
    teacher = teacher_row(results)
    if teacher is None:
        return None
    return bleu(teacher, results.searches[1]), f"teacher, beam {results.config.beam}"


def methods(results: Results) -> Chart:
    """Greedy and beam search of every method: how much of the beam's gain training took over."""
    greedy, beam = results.searches
    names = {beam: f"beam search of {results.config.beam}", greedy: "greedy"}
    rows: list[str] = []
    lines, points = [], []
    for architecture in dict.fromkeys(row.row.architecture for row in results.rows):
        members = [row for row in results.rows if row.row.architecture == architecture]
        rows.append(f"{architecture[:1].upper()}{architecture[1:]} {members[0].row.label}:")
        places = dict(enumerate(members, len(rows)))
        rows += [row_name(row) for row in members]
        colour = colour_of(results.rows, members[0])
        for place, row in places.items():
            ends = [Point(x=bleu(row, search), y=place) for search in names]
            lines.append(Series(points=ends, colour=colour, line=True, marker=False))
        last = members[-1] is results.rows[-1]
        for search, name in names.items():
            points.append(
                Series(
                    name=name if last else "",
                    points=[_method_point(row, search, y, name) for y, row in places.items()],
                    colour=colour,
                    hollow=search == greedy,
                )
            )
    return Chart(
        name="methods",
        title="What each method gains, with and without beam search",
        caption=f"BLEU on {results.test_set}, {results.sentences:,} sentences. The shorter the "
        "line between the points, the less a model needs beam search. Bars: 95% intervals.",
        x=Axis(label="BLEU"),
        y=Axis(label="", categories=rows),
        series=[*lines, *points],
        reference=_teacher_line(results),
    )


def _method_point(row: RowResult, search: str, y: float, name: str) -> Point:
    score = row.searches[search].bleu
    return Point(
        x=score.spread.mean,
        y=y,
        interval=(score.low, score.high),
        title=f"{row_name(row)}, {name}: {score.spread.mean:.1f} "
        f"({score.low:.1f} to {score.high:.1f})",
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


def _frontier(front: Sequence[tuple[float, float]], name: str = "") -> Series:
    points = [Point(x=x, y=y) for x, y in front]
    return Series(name=name, points=points, colour=7, line=True, marker=False)


def quality_size(material: Material) -> Chart | None:
    """Quality against the bytes of the file."""
    rows = [row for row in all_rows(material) if row.shipped_bytes]
    if len({row.shipped_bytes for row in rows}) < 2:
        return None
    results = material.analyses[0]
    beam = results.searches[1]
    front = _front([(row.shipped_bytes / 1e6, bleu(row, beam)) for row in rows], smaller=True)
    groups: dict[str, list[RowResult]] = {}
    for row in rows:
        groups.setdefault(group_of(row), []).append(row)
    series = [
        Series(
            name=name,
            points=[_size_point(row, beam, front, best_student(results)) for row in members],
            colour=colour_of(results.rows, members[0]),
        )
        for name, members in groups.items()
    ]
    return Chart(
        name="quality-size",
        title="Quality against size",
        caption=f"BLEU of beam search of {results.config.beam}; MB (10^6 bytes) of the "
        "file, vocabularies included; pruned models stored without their zeros. The line "
        "joins the models that no other beats on both.",
        x=Axis(label="file, MB", log=True),
        y=Axis(label="BLEU"),
        series=[_frontier(front, "best for its cost"), *series],
    )


def _size_point(
    row: RowResult, beam: str, front: Sequence[tuple[float, float]], best: RowResult | None
) -> Point:
    size, quality = row.shipped_bytes / 1e6, bleu(row, beam)
    on_front = (size, quality) in front
    compressed = row.row.pruned or row.row.format != "fp32"
    named = on_front or compressed or row is best or row.row.method == "baseline"
    return Point(
        x=size,
        y=quality,
        label=_short(row) if named else "",
        minor=not on_front,
        title=f"{row.row.label} {row_name(row)}: {quality:.1f} BLEU, "
        f"{megabytes(row.shipped_bytes)} MB",
    )


def _short(row: RowResult) -> str:
    if row.row.format != "fp32":
        return row.row.format
    return f"{row.row.pruned}%" if row.row.pruned else method_name(row.row.method)


def speed_setting(speeds: Mapping[str, Speed]) -> tuple[str, int, int] | None:
    """Return device, threads and batch that most models share: one thread, largest batch."""
    settings = [
        {(m.device, m.threads, m.batch) for m in speed.measurements} for speed in speeds.values()
    ]
    shared = set.intersection(*settings) if settings else set()
    return min(shared, key=lambda s: (s[0] == "cpu", s[1], -s[2]), default=None)


def setting_name(setting: tuple[str, int, int]) -> str:
    """Return a setting in words."""
    device, threads, batch = setting
    where = "one GPU" if device.startswith("cuda") else f"{threads} CPU thread"
    where += "s" if threads > 1 and device == "cpu" else ""
    return f"{where}, {batch_name(batch)}"


def timings_of(
    speed: Speed, beam: int, setting: tuple[str, int, int]
) -> list[SpeedMeasurement | None]:
    """Return greedy and beam timing under one setting."""
    device, threads, batch = setting
    return [speed.find(width, batch, threads, device) for width in (1, beam)]


def quality_speed(material: Material) -> Chart | None:
    """Quality against words a second, greedy and beam."""
    setting = speed_setting(material.speeds)
    rows = [row for row in all_rows(material) if row.row.model in material.speeds]
    if setting is None or len(rows) < 2:
        return None
    results = material.analyses[0]
    beam = results.config.beam
    places: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        timings = timings_of(material.speeds[row.row.model], beam, setting)
        places[row.row.model] = {
            search: (timing.words_per_second.median, bleu(row, search))
            for search, timing in zip(results.searches, timings, strict=True)
            if timing is not None
        }
    every_place = [place for of_row in places.values() for place in of_row.values()]
    front = _front(every_place, smaller=False)
    crowded = len(every_place) > _MOST_LABELS
    named = [teacher_row(results), best_student(results)] if crowded else rows
    series = [_frontier(front)]
    for row in rows:
        colour = colour_of(results.rows, row)
        joined = [Point(x=x, y=y) for x, y in places[row.row.model].values()]
        series.append(Series(points=joined, colour=colour, line=True, marker=False, dashed=True))
        for search, (x, y) in places[row.row.model].items():
            words = "greedy" if search == "greedy" else f"beam {beam}"
            point = Point(
                x=x,
                y=y,
                minor=(x, y) not in front,
                label=f"{row.row.architecture} {_short(row)}, {words}" if row in named else "",
                title=f"{row.row.label} {row_name(row)}, {words}: {y:.1f} BLEU, {x:,.0f} words/s",
            )
            series.append(Series(points=[point], colour=colour, hollow=search == "greedy"))
    return Chart(
        name="quality-speed",
        title="Quality against speed",
        caption=f"Source words a second, {setting_name(setting)}. Hollow: greedy search; filled: "
        f"beam search of {beam}. The line joins the models that no other beats on both.",
        x=Axis(label="source words a second", log=True),
        y=Axis(label="BLEU"),
        series=series,
    )


def pruning(material: Material) -> Chart | None:
    """Quality against the share of weights that is cut."""
    results = material.others
    if results is None or not any(row.row.pruned for row in results.rows):
        return None
    families: dict[tuple[str, str], list[RowResult]] = {}
    for row in sorted(results.rows, key=lambda row: row.row.pruned):
        if row.row.format == "fp32":
            families.setdefault((row.row.architecture, row.row.method), []).append(row)
    pruned = {family: rows for family, rows in families.items() if rows[-1].row.pruned}
    series = []
    for turn, ((architecture, method), rows) in enumerate(pruned.items()):
        prefix = f"{architecture} {method_name(method)}, " if len(pruned) > 1 else ""
        for search in results.searches:
            greedy = search == "greedy"
            series.append(
                Series(
                    name=prefix + ("greedy" if greedy else f"beam search of {results.config.beam}"),
                    points=[_pruning_point(row, search) for row in rows],
                    colour=(PRUNED_COLOUR + turn) % 8,
                    line=True,
                    hollow=greedy,
                    dashed=greedy,
                )
            )
    return Chart(
        name="pruning",
        title="Weights cut and quality",
        caption="Share of all weights, embeddings included, that is zero after pruning and "
        "retraining. Bars: 95% intervals.",
        x=Axis(label="weights cut, %"),
        y=Axis(label="BLEU"),
        series=series,
        reference=_teacher_line(material.analyses[0]),
    )


def _pruning_point(row: RowResult, search: str) -> Point:
    score = row.searches[search].bleu
    return Point(
        x=row.row.pruned,
        y=score.spread.mean,
        interval=(score.low, score.high),
        title=f"{row.row.pruned}%: {score.spread.mean:.1f} BLEU",
    )
