"""The report: whole, escaped, without what is missing, and liked by a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from browser import CHROMIUM, Browser
from seqkd.report.plots import _front, _frontier
from synthetic_results import FROM, STUDENT, TEACHER, Synthetic, aim_at, rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    found = Synthetic(tmp_path_factory.mktemp("report") / "synthetic", seeds=(1, 2))
    evil = found.root / "corpus" / "tests" / "test.de"
    lines = evil.read_text().splitlines()
    evil.write_text("\n".join(['<script>alert("x")</script> & so'] * 3 + lines[3:]) + "\n")
    found.diagnose()
    found.report("--figures", str(found.root / "figures"))
    return found


@pytest.fixture(scope="module")
def page(made: Synthetic) -> str:
    return (made.root / "report.html").read_text(encoding="utf-8")


class _Balance(HTMLParser):
    """Checks that what is opened is closed, and gathers ids and links."""

    VOID = frozenset({"meta", "link", "br", "wbr", "path", "rect", "use"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [str(values["id"])] if "id" in values else []
        self.links += [str(values[key]) for key in ("href", "src") if key in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_whole_and_alone(page: str) -> None:
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert all(link.startswith(("#", "data:")) for link in parser.links)
    assert {link[1:] for link in parser.links if link.startswith("#")} <= set(parser.ids)
    assert len(page.encode()) < 3_000_000


def test_every_part_is_there(page: str) -> None:
    for name in (
        *("results", "cost", "learning", "samples", "diagnostics", "corpus", "time"),
        *("provenance", "methods", "quality-size", "quality-speed", "pruning", "oracle"),
        *("learning-teacher", "learning-student", "length", "frequency"),
    ):
        assert f'id="{name}"' in page, name
    for text in (
        *("Seq-KD", "trained on 20,000 pairs", "trained until 24 November 2026"),
        "2 seeds",
        "noise",
        "abc1234",
        "A CPU of some make",
        "near duplicate",
        "5 words or more that are a reference of the training text word for word",
    ):
        assert text in page, text
    assert page.count("<caption>") >= 7
    assert "so not here" not in page


def test_charts_are_described(page: str) -> None:
    for width in ("wide", "narrow"):
        label = "Quality against size. BLEU of beam search of 5; MB"
        assert f'<div class="{width}" role="img" aria-label="{label}' in page


def test_text_of_the_corpus_is_escaped(page: str) -> None:
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page or "alert" not in page


def test_headline_numbers_are_those_of_the_scores(made: Synthetic, page: str) -> None:
    scores = []
    for seed in (1, 2):
        folder = made.root / "evaluations" / "lstm-2x64.nll" / f"seed-{seed}"
        scores.append(json.loads((folder / "test.json").read_text())["searches"]["greedy"]["bleu"])
    row = re.search(r'data-value="student Baseline">(.*?)</tr>', page, re.DOTALL)
    assert row is not None
    values = re.findall(r'data-value="([\d.-]+)"', row.group(1))
    assert float(values[2]) == pytest.approx(sum(scores) / 2, abs=1e-3)


def test_the_best_student_is_compared_with_its_own_teacher(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40)
    teacher, junior, baseline, word_kd, seq_kd = rows((1,))[:5]
    # The teacher teaches a junior one and Word-KD. Seq-KD is better and learns from the junior.
    junior = junior.model_copy(update={"architecture": "junior", "method": "baseline"})
    seq_kd = seq_kd.model_copy(update={"teacher": junior.model})
    made.config("results", [teacher, junior, baseline, word_kd, seq_kd])
    page = made.report(whole=False).read_text(encoding="utf-8")
    scores = made.root / "evaluations" / junior.model / "seed-1" / "test.json"
    goal = json.loads(scores.read_text())["searches"]["beam-5"]["bleu"]
    assert "BLEU, Seq-KD student, greedy" in page
    assert f"its teacher with beam 5: {goal:.1f} (" in page
    made.config("results", [teacher, baseline])
    assert '<div class="tile">' not in made.report(whole=False).read_text(encoding="utf-8")


def test_a_student_is_compared_with_the_seed_that_taught_it(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40, seeds=(1, 2))
    teacher, _, baseline, _, seq_kd = rows((1, 2))[:5]
    pages = []
    for seeds in (2,), (1, 2):
        taught = seq_kd.model_copy(update={"teacher_seeds": seeds})
        made.config("results", [teacher, baseline, taught])
        made.diagnose()
        pages.append(made.report().read_text(encoding="utf-8"))
    folder = made.root / "evaluations" / teacher.model / "seed-2"
    goal = json.loads((folder / "test.json").read_text())["searches"]["beam-5"]["bleu"]
    output = (folder / "test.beam-5.en").read_text(encoding="utf-8").splitlines()
    output = [line for line in output if line not in made.references]
    one, ensemble = (re.sub("</?u>", "", page) for page in pages)
    for text in (
        *(f"its teacher with beam 5: {goal:.1f} (", "teacher, beam 5"),
        *("What distillation lost", "fewer parameters than the teacher", "faster than its teacher"),
        "Teacher, beam 5",
    ):
        assert text in one, text
        assert text not in ensemble, text
    assert any(line in one for line in output)
    assert not any(line in ensemble for line in output)
    for text in "BLEU, Seq-KD student, greedy", "against no distillation", "Baseline student":
        assert text in ensemble, text


def test_a_student_as_large_as_its_teacher_is_not_called_smaller(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40)
    smaller = "fewer parameters than the teacher"
    assert smaller in made.report(whole=False).read_text(encoding="utf-8")
    for path in made.root.glob("evaluations/*/seed-1/test.json"):
        scores = json.loads(path.read_text())
        path.write_text(json.dumps({**scores, "parameters": 900, "nonzero_parameters": 900}))
    page = made.report(whole=False).read_text(encoding="utf-8")
    assert smaller not in page
    assert "BLEU against no distillation, greedy" in page


def test_rows_with_fewer_seeds_are_marked(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40, seeds=(1, 2))
    first, *others = rows((1, 2))
    made.config("results", [first.model_copy(update={"seeds": (1,)}), *others])
    page = made.report(whole=False).read_text(encoding="utf-8")
    marked = re.findall(r"([\w-]+)</span> \[1\]", page)
    assert set(marked) == {"Baseline"}


def test_figures_are_written_for_a_paper(made: Synthetic) -> None:
    names = {path.name for path in (made.root / "figures").iterdir()}
    assert {"methods.svg", "methods.pdf", "quality-size.svg", "pruning.pdf"} <= names


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40)
    page = made.report(whole=False).read_text()
    assert 'id="results"' in page
    for name in ("learning", "quality-speed", "pruning", "diagnostics"):
        assert f'id="{name}"' not in page
    assert "words/s" not in page
    assert "so not shown: speed, learning curves and provenance, diag" in page


def test_speed_is_shown_as_in_its_table(tmp_path: Path) -> None:
    """Also of rows of the results table alone, which has more seeds."""
    made = Synthetic(tmp_path / "synthetic", sentences=40, seeds=(1, 2))
    first, *others = rows((1, 2))
    made.config("results", [first.model_copy(update={"seeds": (1,)}), *others])
    made.config("speed", rows((1,))[:3])
    (made.root / "tables/pruning.yaml").unlink()
    speeds = sorted(made.root.glob("evaluations/*/seed-1/speed.json"))
    measured = ("--speed-config", str(made.root / "tables/speed.yaml"), "--speeds")
    page = made.report(*measured, *map(str, speeds), whole=False).read_text(encoding="utf-8")
    assert "Decoding speed" in page
    lines = made.table("speed", tmp_path)["md"].splitlines()
    timed = [line.strip("|").split("|") for line in lines if line.startswith("| lstm")]
    assert len(timed) == 4 * 3
    for _, *cells in timed:
        assert "".join(f'<td class="right">{cell.strip()}</td>' for cell in cells) in page
    assert "10 models, 1 to 2 seeds each, trained on" in page
    assert "faster than its teacher" in page

    # Of another processor are no ratios, and charts and columns leave it out.
    path = made.root / "evaluations" / TEACHER / "seed-1" / "speed.json"
    plain = path.read_text(encoding="utf-8")
    path.write_text(plain.replace("A CPU of some make", "Another CPU"), encoding="utf-8")
    page = made.report(*measured, *map(str, speeds), whole=False).read_text(encoding="utf-8")
    assert "faster than its teacher" not in page
    assert "words/s: source words per second, greedy, 2 threads" not in page
    assert re.search(
        r"words/s: source words per second, greedy, [^.]*, Another CPU[^.]* alone", page
    )
    assert "Quality against speed" not in page


def test_gains_are_against_what_is_to_be_beaten(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40)
    aim = f"{STUDENT}.seq-kd_seq-inter{FROM}"
    aim_at(made.root / "tables" / "results.yaml", aim)
    page = made.report(whole=False).read_text(encoding="utf-8")
    assert "against Seq-KD+Seq-Inter of lstm-2x64; \u0394 T" in page
    assert "those of \u0394 apart from all others" in page
    greedy = {
        model: json.loads((made.root / f"evaluations/{model}/seed-1/test.json").read_text())
        for model in (aim, f"{STUDENT}.word-kd{FROM}")
    }
    ours, theirs = (
        greedy[model]["searches"]["greedy"]["bleu"] for model in (f"{STUDENT}.word-kd{FROM}", aim)
    )
    row = re.search(r'data-value="student Word-KD">(.*?)</tr>', page, re.DOTALL)
    assert row is not None
    values = re.findall(r'data-value="([\d.-]+)"', row.group(1))
    assert float(values[3]) == pytest.approx(ours - theirs, abs=1e-3)


def test_quality_by_the_amount_of_text_and_the_funnel_of_monolingual_text(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20, seeds=(1, 2))
    path = made.root / "tables" / "results.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    for row, pairs in (data["rows"][4], 10_000), (data["rows"][6], 40_000):
        row |= {"least": f"{STUDENT}.seq-kd{FROM}", "named_teachers": ["lstm-2x256"]}
        manifest = made.root / "models" / row["model"] / "seed-1" / "manifest.json"
        skipped = {"pairs": pairs + 500, "pairs_too_long_or_empty": 500}
        facts = json.loads(manifest.read_text(encoding="utf-8")) | skipped
        manifest.write_text(json.dumps(facts), encoding="utf-8")
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    funnel = [
        {"filter": "repeats", "lines_in": 9, "lines_out": 2, "changed": 0, "samples": [["x", ""]]},
        {"filter": "spaces", "lines_in": 2, "lines_out": 2, "changed": 1, "samples": []},
        {"filter": "copies", "lines_in": 2, "lines_out": 2, "changed": 0, "samples": []},
    ]
    mono = tmp_path / "monolingual-funnel.json"
    mono.write_text(json.dumps(funnel), encoding="utf-8")
    manifests = map(str, made.root.glob("models/*/seed-1/manifest.json"))
    options = ("--monolingual-funnel", str(mono), "--figures", str(made.root / "figures"))
    report = made.report(*options, "--manifests", *manifests, whole=False)
    page = report.read_text(encoding="utf-8")
    assert 'id="amount-test"' in page
    assert "40,000 pairs" in page
    assert "student Seq-KD from lstm-2x256, greedy" in page
    assert "Lines of monolingual text left after each filter" in page
    assert "2 (changed 1)" in page
    assert "Dropped and changed nothing: copies." in page
    assert "Up to 500 of 10,500 pairs were not trained on" in page
    assert (made.root / "figures" / "amount-test.pdf").is_file()


def test_a_page_that_translates_is_linked(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40)
    page = made.report("--page", "translate.html", whole=False).read_text(encoding="utf-8")
    assert '<a href="translate.html">' in page


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    made.scores()[3].unlink()
    with pytest.raises(
        SystemExit, match=r"no scores of lstm-2x64\.word-kd\.from-lstm-2x256, seed 1"
    ):
        made.report()
    assert not (made.root / "report.html").exists()


def test_files_of_nearly_one_size_are_one_cost() -> None:
    points = [(3.770, 30.0), (3.771, 33.0), (3.769, 29.0), (22.0, 40.0), (22.1, 39.0)]
    assert _front(points, smaller=True) == [(3.771, 33.0), (22.0, 40.0)]
    assert len(_frontier([(3.771, 33.0), (22.0, 40.0)], "best for its cost")) == 1
    assert _frontier([(3.771, 33.0)], "best for its cost") == []  # no line, so no name for it


needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@needs_browser
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_fits_without_network_or_errors(
    made: Synthetic, browser: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    browser.open(made.root / "report.html", width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    browser.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate("getComputedStyle(document.body).fontSize") == "16px"
    clipped = browser.evaluate(
        "[...document.querySelectorAll('figure svg')].filter(s => s.getClientRects().length && "
        "[...s.querySelectorAll('text')].some(t => t.getBoundingClientRect().right > "
        "innerWidth + 1 || t.getBoundingClientRect().left < -1)).length"
    )
    assert clipped == 0
    assert browser.problems() == []
    browser.screenshot(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 50_000


@needs_browser
def test_table_sorts_by_keyboard(made: Synthetic, browser: Browser) -> None:
    values = (
        "[...document.querySelectorAll('table.headline tbody tr')]"
        ".map(r => Number(r.cells[3].dataset.value))"
    )
    head = "document.querySelector('table.headline thead').rows[0].cells[3]"
    browser.open(made.root / "report.html", 1400)
    assert browser.evaluate(f"{head}.getAttribute('aria-sort')") == "none"
    browser.evaluate(f"{head}.querySelector('button').focus()")
    browser.press("Enter", 13)
    assert browser.evaluate(f"{head}.getAttribute('aria-sort')") == "descending"
    found = browser.evaluate(values)
    assert isinstance(found, list)
    assert found == sorted(found, reverse=True)
    browser.press("Enter", 13)
    assert browser.evaluate(values) == sorted(found)
    assert "ascending" in str(browser.evaluate("document.getElementById('status').textContent"))
    assert browser.problems() == []


@needs_browser
def test_text_has_contrast_in_both_schemes(made: Synthetic, browser: Browser) -> None:
    """WCAG AA: at least 4.5 to 1 for text, 3 to 1 for marks."""
    names = ["ink", "soft", *(f"c{n}" for n in range(8))]
    script = (
        "(() => { const s = getComputedStyle(document.documentElement); return "
        f"{json.dumps(['paper', *names])}.map(n => s.getPropertyValue('--' + n).trim()); }})()"
    )
    for dark in (False, True):
        browser.open(made.root / "report.html", 1400, dark=dark)
        paper, *colours = browser.evaluate(script)  # type: ignore[misc]
        for name, colour in zip(names, colours, strict=True):
            least = 3.0 if name.startswith("c") else 4.5
            assert _contrast(colour, paper) >= least, (name, dark, _contrast(colour, paper))


def _contrast(first: str, second: str) -> float:
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
