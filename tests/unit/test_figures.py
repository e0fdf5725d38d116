"""Charts: labels that cover nothing, colours of the page, the same bytes each time."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from seqkd.evaluation.diagnostics import NbestDiagnostics
from seqkd.report import figures
from seqkd.report.chart import Chart, Point, Series
from seqkd.report.figures import HALF, NARROW, PAPER, draw, number_label, save_figures, svg
from seqkd.report.labels import apart
from seqkd.report.learning_plots import oracle

CROWD = [
    Point(x=10.0 + n % 2, y=20.0 + 0.2 * n, label=f"model {n}", interval=(19, 22)) for n in range(8)
]


def _chart(points: list[Point], *, log: bool = False) -> Chart:
    return Chart(
        name="crowd",
        x="<x> & more",
        y="BLEU",
        log=log,
        series=[
            Series(name="one", points=points),
            Series(name="two", points=points[:2], line=True, hollow=True, colour=1),
        ],
        reference=(20.0, "teacher"),
    )


def _lines(*names: str) -> Chart:
    series = [
        Series(
            name=name, points=[Point(x=1, y=1), Point(x=2, y=3, label=name, minor=True)], line=True
        )
        for name in names
    ]
    return replace(_chart([]), series=series)


def test_numbers_of_axes_are_short() -> None:
    assert [number_label(v) for v in (0.05, 1500, 20000, 3e6, 0.3 - 0.1)] == [
        *("0.05", "1500", "20k", "3m", "0.2")
    ]


@pytest.mark.parametrize("width", [HALF, NARROW])
def test_drawing_is_well_formed_and_escaped(width: int) -> None:
    root = ElementTree.fromstring(svg(_chart(CROWD), width))
    assert "<x> & more" in {text.text for text in root.iter("text")}
    assert root.get("viewBox") == f"0 0 {width} {float(str(root.get('viewBox')).split()[-1]):g}"
    assert len(list(root.iter("use"))) == 10 + 2  # points and entries of the legend


def test_colours_and_font_are_left_to_the_page() -> None:
    drawn = svg(_chart(CROWD), HALF)
    assert "var(--c0)" in drawn
    assert not re.search(r"#[0-9a-f]{6}|font-family|clip-path|<style", drawn)


def test_points_have_tooltips() -> None:
    points = [Point(x=1, y=2, title="a & b"), Point(x=2, y=3)]
    root = ElementTree.fromstring(svg(_chart(points), HALF))
    assert [title.text for title in root.iter("title")] == ["a & b", "a & b"]  # in both series


def test_ids_differ_between_the_drawings_of_a_page() -> None:
    chart = _chart(CROWD)
    pages = [svg(chart, HALF), svg(chart, NARROW), svg(replace(chart, name="other"), HALF)]
    ids = [set(re.findall(r'id="(\w+)"', page)) for page in pages]
    assert all(ids)
    assert not any(a & b for a, b in combinations(ids, 2))


@pytest.mark.parametrize("width", [HALF, PAPER])
def test_labels_do_not_cover_one_another(width: int) -> None:
    with mpl.rc_context(figures._STYLE):
        axes = draw(_chart(CROWD), width).axes[0]
        shown = [text for text in axes.texts if text.get_visible() and "model" in text.get_text()]
        boxes = [text.get_window_extent() for text in shown]
        area = axes.get_window_extent().padded(0.5)
    assert len({text.get_text() for text in shown}) == 8
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(area.contains(*box.min) and area.contains(*box.max) for box in boxes)


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([], []),
        ([50.0], [50.0]),
        ([10.0, 90.0], [10.0, 90.0]),
        ([50.0, 50.0], [45.0, 55.0]),
        ([50.0, 52.0, 54.0], [42.0, 52.0, 62.0]),
        ([0.0, 0.0], [0.0, 10.0]),
        ([100.0, 100.0], [90.0, 100.0]),
    ],
)
def test_labels_are_apart_and_near_their_lines(wanted: list[float], places: list[float]) -> None:
    assert apart(wanted, 10.0, 0.0, 100.0) == pytest.approx(places)


def test_minor_labels_are_left_out_on_a_narrow_screen() -> None:
    points = [Point(x=1.0, y=2.0, label="shown"), Point(x=3.0, y=4.0, label="hidden", minor=True)]
    assert "hidden" in svg(_chart(points), HALF)
    assert "hidden" not in svg(_chart(points), NARROW)


def test_categories_are_rows_from_the_top() -> None:
    chart = Chart(
        name="rows",
        x="",
        y="BLEU",
        categories=["Group:", "a", "b"],
        rows=True,
        series=[Series(name="s", points=[Point(x=1, y=1), Point(x=2, y=2)])],
    )
    root = ElementTree.fromstring(svg(chart, HALF))
    points = [float(use.get("y", "")) for use in root.iter("use")]
    names = {text.text: text for text in root.iter("text")}
    rows = [float(names[name].get("y", "")) for name in ("Group", "a", "b")]
    assert rows[1:] == pytest.approx(points, abs=5)
    assert rows[1] - rows[0] == pytest.approx(points[1] - points[0], abs=2)
    assert float(names["Group"].get("x", "")) == 0


def test_lines_are_named_at_their_ends_or_in_a_legend() -> None:
    wide, narrow = (svg(_lines("first", "second"), width) for width in (HALF, NARROW))
    for name in ("first", "second"):
        assert wide.count(f">{name}<") == narrow.count(f">{name}<") == 1
    colours = re.findall(r'style="([^"]*)"[^>]*>first<', wide + narrow)
    assert ["var(--c0)" in colour for colour in colours] == [True, False]


@pytest.mark.parametrize("log", [False, True])
def test_paper_figures_are_the_same_bytes_each_time(tmp_path: Path, log: bool) -> None:
    for folder in ("one", "two"):
        save_figures([_chart(CROWD, log=log)], tmp_path / folder)
    for kind in ("svg", "pdf"):
        first, second = (tmp_path / folder / f"crowd.{kind}" for folder in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
    text = (tmp_path / "one" / "crowd.svg").read_text()
    assert "model 7" in text  # text stays text
    assert "&lt;x&gt; &amp; more" in text


def test_lists_of_one_teacher_have_names_of_their_own():
    lists = [
        NbestDiagnostics(
            teacher="lstm/seed-1", search=search, sentences=1, widths=[1, 8], oracle=[20.0, 30.0]
        )
        for search in ("beam-8", "sample-8-seed-1", "beam-8-length-100")
    ]
    chart = oracle(SimpleNamespace(diagnostics=SimpleNamespace(nbest=lists)))
    assert [line.name for line in chart.series] == [
        "lstm/seed-1, beam-8", "lstm/seed-1, sample-8-seed-1", "lstm/seed-1, beam-8-length-100",
    ]  # fmt: skip
