"""Charts of quality: by method, against size, against speed, against pruning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from seqkd.evaluation.results import Results, RowResult, teacher_of
from seqkd.evaluation.speed_files import Speed, Timing, batch_name
from seqkd.report.chart import Axis, Chart, Point, Reference, Series
from seqkd.report.material import Material
from seqkd.report.results_table import method_name, row_name
from seqkd.report.tables import megabytes

PRUNED_COLOUR, FORMAT_COLOUR = 2, 3
_ARCHITECTURE_COLOURS = (0, 1, 4, 5, 6, 7)
_SAME = 0.01  # relative difference of costs that is none
_MOST_LABELS = 12  # more points than that are not all named


def all_rows(material: Material) -> list[RowResult]:
    """Return rows of the results table, then those of the other tables."""
    rows = list(material.analyses[0].rows)
    known = {row.row.model for row in rows}
    others = material.others.rows if material.others else []
    return rows + [row for row in others if row.row.model not in known]


def colour_of(material_rows: Sequence[RowResult], row: RowResult) -> int:
    """Return the colour of a row: by what was done to it, else by its architecture."""
    if row.row.format != "fp32":
        return FORMAT_COLOUR
    if row.row.pruned:
        return PRUNED_COLOUR
    names = list(dict.fromkeys(each.row.architecture for each in material_rows))
    return _ARCHITECTURE_COLOURS[names.index(row.row.architecture) % len(_ARCHITECTURE_COLOURS)]


def group_of(row: RowResult) -> str:
    """Return the name of a row's group in legends."""
    if row.row.format != "fp32":
        return f"{row.row.architecture}, {row.row.format}"
    return f"{row.row.architecture}, pruned" if row.row.pruned else row.row.architecture


def teacher_row(results: Results) -> RowResult | None:
    """Return the model that taught most of the others."""
    teachers = [teacher_of(results.config, row.row) for row in results.rows]
    known = [name for name in teachers if name is not None]
    if not known:
        return None
    most = max(dict.fromkeys(known), key=known.count)
    return next((row for row in results.rows if row.row.model == most), None)


def methods(results: Results) -> Chart:
    """Greedy and beam search of every method: how much of the beam's gain training took over."""
    categories: list[str] = []
    places: dict[str, int] = {}
    for architecture in dict.fromkeys(row.row.architecture for row in results.rows):
        rows = [row for row in results.rows if row.row.architecture == architecture]
        categories.append(f"{architecture[:1].upper()}{architecture[1:]} {rows[0].row.label}:")
        for row in rows:
            places[row.row.model] = len(categories)
            categories.append(row_name(row))
    greedy, beam = results.searches
    series = []
    for row in results.rows:
        ends = [row.searches[s].bleu.spread.mean for s in (greedy, beam)]
        place = float(places[row.row.model])
        series.append(
            Series(
                name="",
                points=[Point(x=value, y=place) for value in ends],
                colour=colour_of(results.rows, row),
                line=True,
                marker="none",
                legend=False,
            )
        )
    names = {greedy: "greedy", beam: f"beam search of {results.config.beam}"}
    last = results.rows[-1].row.architecture
    for architecture in dict.fromkeys(row.row.architecture for row in results.rows):
        rows = [row for row in results.rows if row.row.architecture == architecture]
        for search in (beam, greedy):
            series.append(
                Series(
                    name=names[search],
                    points=[_method_point(row, search, places, names) for row in rows],
                    colour=colour_of(results.rows, rows[0]),
                    marker="hollow" if search == greedy else "filled",
                    legend=architecture == last,
                )
            )
    teacher = teacher_row(results)
    across = []
    if teacher is not None:
        across = [
            Reference(
                value=teacher.searches[beam].bleu.spread.mean,
                label=f"teacher, beam {results.config.beam}",
                dashed=True,
            )
        ]
    return Chart(
        name="methods",
        title="What each method gains, with and without beam search",
        caption=f"BLEU on {results.test_set}, {results.sentences:,} sentences. The shorter the "
        "line between the points, the less a model needs beam search. Bars: 95% intervals.",
        x=Axis(label="BLEU"),
        y=Axis(label="", categories=categories),
        series=series,
        references=across,
    )


def _method_point(
    row: RowResult, search: str, places: Mapping[str, int], names: Mapping[str, str]
) -> Point:
    bleu = row.searches[search].bleu
    return Point(
        x=bleu.spread.mean,
        y=float(places[row.row.model]),
        low=bleu.low,
        high=bleu.high,
        title=f"{row_name(row)}, {names[search]}: {bleu.spread.mean:.1f} "
        f"({bleu.low:.1f} to {bleu.high:.1f})",
    )


def _front(points: Sequence[tuple[float, float]], smaller: bool) -> list[tuple[float, float]]:
    """Return the points that no other beats on both axes, by cost ascending.

    Costs within a percent count as the same: files of one architecture differ by a few bytes.
    """
    front: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda p: (p[0] if smaller else -p[0], -p[1])):
        if front and quality <= front[-1][1]:
            continue
        if front and math.isclose(cost, front[-1][0], rel_tol=_SAME):
            front.pop()
        front.append((cost, quality))
    return sorted(front)


def quality_size(material: Material) -> Chart | None:
    """Quality against the bytes of the file."""
    rows = [row for row in all_rows(material) if row.shipped_bytes]
    if len({row.shipped_bytes for row in rows}) < 2:
        return None
    results = material.analyses[0]
    beam = results.searches[1]
    points = [(row.shipped_bytes / 1e6, row.searches[beam].bleu.spread.mean) for row in rows]
    front = _front(points, smaller=True)
    series = [_frontier(front)]
    best = best_student(results)
    for group in dict.fromkeys(map(group_of, rows)):
        members = [n for n, row in enumerate(rows) if group_of(row) == group]
        marks = [
            Point(
                x=points[n][0],
                y=points[n][1],
                label=_short(rows[n]) if _worth_a_label(rows[n], best, points[n] in front) else "",
                minor=points[n] not in front,
                title=f"{rows[n].row.label} {row_name(rows[n])}: {points[n][1]:.1f} BLEU, "
                f"{megabytes(rows[n].shipped_bytes)} MB",
            )
            for n in members
        ]
        series.append(
            Series(name=group, points=marks, colour=colour_of(results.rows, rows[members[0]]))
        )
    return Chart(
        name="quality-size",
        title="Quality against size",
        caption=f"BLEU of beam search of {results.config.beam}; MB (10^6 bytes) of the "
        "file, vocabularies included; pruned models stored without their zeros. The line "
        "joins the models that no other beats on both.",
        x=Axis(label="file, MB", log=True),
        y=Axis(label="BLEU"),
        series=series,
    )


def _frontier(front: Sequence[tuple[float, float]]) -> Series:
    return Series(
        name="best for its cost",
        points=[Point(x=x, y=y) for x, y in front],
        colour=7,
        line=True,
        marker="none",
    )


def _worth_a_label(row: RowResult, best: RowResult | None, on_front: bool) -> bool:
    plain = not row.row.pruned and row.row.format == "fp32"
    return on_front or row is best or row.row.method == "baseline" or not plain


def _short(row: RowResult) -> str:
    if row.row.format != "fp32":
        return row.row.format
    return f"{row.row.pruned}%" if row.row.pruned else method_name(row.row.method)


def speed_setting(speeds: Mapping[str, Speed]) -> tuple[str, int, int] | None:
    """Return device, threads and batch that most models share: one thread, largest batch."""
    settings = [
        {(t.device, t.threads, t.batch) for t in speed.timings} for speed in speeds.values()
    ]
    shared = set.intersection(*settings) if settings else set()
    return min(shared, key=lambda s: (s[0] == "cpu", s[1], -s[2]), default=None)


def setting_name(setting: tuple[str, int, int]) -> str:
    """Return a setting in words."""
    device, threads, batch = setting
    where = "one GPU" if device.startswith("cuda") else f"{threads} CPU thread"
    where += "s" if threads > 1 and device == "cpu" else ""
    return f"{where}, {batch_name(batch)}"


def timings_of(speed: Speed, beam: int, setting: tuple[str, int, int]) -> list[Timing | None]:
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
    found = []
    for row in rows:
        timings = timings_of(material.speeds[row.row.model], beam, setting)
        for search, timing in zip(results.searches, timings, strict=True):
            if timing is not None:
                quality = row.searches[search].bleu.spread.mean
                found.append((row, search, timing.words_per_second, quality))
    front = _front([(x, y) for _, _, x, y in found], smaller=False)
    telling = (teacher_row(results), best_student(results))
    crowded = len(found) > _MOST_LABELS
    series = [_frontier(front)]
    for row in rows:
        own = [(search, x, y) for each, search, x, y in found if each is row]
        colour = colour_of(results.rows, row)
        name = f"{row.row.architecture} {_short(row)}"
        joined = [Point(x=x, y=y) for _, x, y in own]
        series.append(
            Series(name="", points=joined, colour=colour, line=True, marker="none", dashed=True,
                   legend=False)
        )  # fmt: skip
        for search, x, y in own:
            greedy = search == "greedy"
            words = "greedy" if greedy else f"beam {beam}"
            point = Point(
                x=x, y=y, minor=(x, y) not in front,
                label="" if crowded and row not in telling else f"{name}, {words}",
                title=f"{row.row.label} {row_name(row)}, {words}: {y:.1f} BLEU, {x:,.0f} words/s",
            )  # fmt: skip
            series.append(
                Series(name=name, points=[point], colour=colour,
                       marker="hollow" if greedy else "filled", legend=False)
            )  # fmt: skip
    return Chart(
        name="quality-speed",
        title="Quality against speed",
        caption=f"Source words a second, {setting_name(setting)}. Hollow: greedy search; filled: "
        f"beam search of {beam}.",
        x=Axis(label="source words a second", log=True),
        y=Axis(label="BLEU"),
        series=series,
    )


def pruning(material: Material) -> Chart | None:
    """Quality against the share of weights that is cut."""
    results = material.others
    pruned = [row for row in results.rows if row.row.pruned] if results else []
    if results is None or not pruned:
        return None
    series = []
    families = dict.fromkeys((row.row.architecture, row.row.method) for row in pruned)
    for turn, (architecture, method) in enumerate(families):
        members = [
            row
            for row in results.rows
            if (row.row.architecture, row.row.method) == (architecture, method)
            and row.row.format == "fp32"
        ]
        members.sort(key=lambda row: row.row.pruned)
        for search in results.searches:
            greedy = search == "greedy"
            name = "greedy" if greedy else f"beam search of {results.config.beam}"
            prefix = f"{architecture} {method_name(method)}, " if len(families) > 1 else ""
            points = [
                Point(
                    x=float(row.row.pruned), y=row.searches[search].bleu.spread.mean,
                    low=row.searches[search].bleu.low, high=row.searches[search].bleu.high,
                    title=f"{row.row.pruned}%: {row.searches[search].bleu.spread.mean:.1f} BLEU",
                )
                for row in members
            ]  # fmt: skip
            series.append(
                Series(name=prefix + name, points=points, colour=PRUNED_COLOUR + turn, line=True,
                       marker="hollow" if greedy else "filled", dashed=greedy)
            )  # fmt: skip
    teacher = teacher_row(material.analyses[0])
    across = []
    if teacher is not None:
        value = teacher.searches[results.searches[1]].bleu.spread.mean
        label = f"teacher, beam {results.config.beam}"
        across = [Reference(value=value, label=label, dashed=True)]
    return Chart(
        name="pruning",
        title="Weights cut and quality",
        caption="Share of all weights, embeddings included, that is zero after pruning and "
        "retraining. Bars: 95% intervals.",
        x=Axis(label="weights cut, %"),
        y=Axis(label="BLEU"),
        series=series,
        references=across,
    )


def best_student(results: Results) -> RowResult | None:
    """Return the student with the highest greedy BLEU; None where nobody is taught."""
    teacher = teacher_row(results)
    if teacher is None:
        return None
    students = [row for row in results.rows if row.row.architecture != teacher.row.architecture]
    students = students or [row for row in results.rows if row is not teacher]
    return max(students, key=lambda row: row.searches["greedy"].bleu.spread.mean, default=None)
