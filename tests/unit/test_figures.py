"""Charts: round ticks, labels that do not cover one another, figures for a paper."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkd.report.chart import (
    Axis,
    Chart,
    Point,
    Reference,
    Series,
    extent,
    log_ticks,
    number_label,
    ticks,
)
from seqkd.report.figures import save_figures
from seqkd.report.svg import HALF, NARROW, bars, figure, svg


def _chart(points: list[Point], *, log: bool = False) -> Chart:
    return Chart(
        name="crowd",
        title="A <crowd> & more",
        caption="All at one place.",
        x=Axis(label="x", log=log),
        y=Axis(label="BLEU"),
        series=[
            Series(name="one", points=points),
            Series(name="two", points=points[:2], line=True, marker="hollow", colour=1),
        ],
        references=[Reference(value=20.0, label="teacher", dashed=True)],
    )


CROWD = [
    Point(x=10.0 + n % 2, y=20.0 + 0.2 * n, label=f"model {n}", low=19, high=22) for n in range(8)
]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_within_and_few(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 7
    slack = 1e-6 * max(abs(low), span, 1.0)
    assert all(low - slack <= value <= low + span + slack for value in found)


def test_ticks_are_round() -> None:
    assert ticks(31.2, 35.9) == [32.0, 33.0, 34.0, 35.0]
    assert log_ticks(0.15, 20) == [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    assert log_ticks(1, 1e5) == [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]
    assert [number_label(v) for v in (0.05, 1500, 20000, 3e6)] == ["0.05", "1500", "20k", "3m"]


def test_extent_of_one_value_has_width() -> None:
    for log in (False, True):
        low, high = extent([5.0], log=log)
        assert low < 5.0 < high
    assert extent([]) == (0.0, 1.0)


def test_drawing_is_well_formed_and_escaped() -> None:
    for width in (HALF, NARROW):
        root = ElementTree.fromstring(svg(_chart(CROWD), width))
        assert root.get("aria-label") == "A <crowd> & more. All at one place."
        assert len([node for node in root.iter("circle")]) == 10


def test_labels_do_not_cover_one_another() -> None:
    drawn = svg(_chart(CROWD), HALF)
    found = re.findall(r'<text x="([\d.-]+)" y="([\d.-]+)" class="label c0"', drawn)
    places = [(float(x), float(y)) for x, y in found]
    assert len(places) == 8
    for (a, b), (c, d) in combinations(places, 2):
        assert abs(a - c) > 40 or abs(b - d) >= 12


def test_minor_labels_are_left_out_on_a_narrow_screen() -> None:
    points = [Point(x=1.0, y=2.0, label="shown"), Point(x=3.0, y=4.0, label="hidden", minor=True)]
    assert "hidden" in svg(_chart(points), HALF)
    assert "hidden" not in svg(_chart(points), NARROW)


def test_categories_stand_on_their_rows() -> None:
    chart = Chart(
        name="rows",
        title="Rows",
        caption="",
        x=Axis(label="BLEU"),
        y=Axis(label="", categories=["Group:", "a", "b"]),
        series=[Series(name="s", points=[Point(x=1, y=1), Point(x=2, y=2)])],
    )
    drawn = svg(chart, HALF)
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn)]
    assert heights[1] - heights[0] == pytest.approx(24, abs=0.2)
    assert 'class="group"' in drawn


def test_bars_are_as_long_as_their_values() -> None:
    drawn = bars([("a", 50.0, "50"), ("b", 100.0, "100")], "Bars", ("what", "how many"))
    assert re.findall(r"width:([\d.]+)%", drawn) == ["50.00", "100.00"]


def test_legend_is_left_to_narrow_screens_where_lines_are_named() -> None:
    named = [Series(name=n, points=[Point(x=1, y=1, label=n)], line=True) for n in "ab"]
    chart = Chart(
        name="n", title="N", caption="", x=Axis(label="x"), y=Axis(label="y"), series=named
    )
    assert 'class="legend narrow"' in figure(chart)
    assert 'class="legend"' in figure(_chart(CROWD))


@pytest.mark.parametrize("log", [False, True])
def test_paper_figures_are_the_same_bytes_each_time(tmp_path: Path, log: bool) -> None:
    for folder in ("one", "two"):
        save_figures([_chart(CROWD, log=log)], tmp_path / folder)
    for kind in ("svg", "pdf"):
        first, second = (tmp_path / folder / f"crowd.{kind}" for folder in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    text = (tmp_path / "one" / "crowd.svg").read_text()
    assert "model 7" in text  # text stays text
