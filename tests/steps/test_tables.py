"""The tables: numbers in the right cells, all three renderings, honest about one seed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from seqkd.artefacts import read_json
from seqkd.config.schema import load
from seqkd.config.table_rows import TableConfig
from seqkd.corpus.test_sets import load_test_set
from seqkd.evaluation.analysis import OutputStatistics, analyse
from seqkd.evaluation.results import Comparison, signed
from seqkd.evaluation.score_files import Evaluations
from seqkd.evaluation.significance import bleu_metric, corpus_scores
from seqkd.evaluation.speed_files import Speed
from seqkd.report.compression_tables import speed_table
from seqkd.report.results_table import method_name, results_tables
from seqkd.report.tables import (
    Table,
    count,
    latex_escape,
    megabytes,
    to_csv,
    to_latex,
    to_markdown,
)
from synthetic_results import FROM, STUDENT, TEACHER, Synthetic, aim_at, rows


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return Synthetic(tmp_path_factory.mktemp("one") / "synthetic")


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return Synthetic(tmp_path_factory.mktemp("three") / "synthetic", seeds=(1, 2, 3))


def test_results_table_says_what_was_measured(one_seed: Synthetic, tmp_path: Path) -> None:
    texts = one_seed.table("results", tmp_path)
    records = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert [r["subset"] for r in records] == ["all"] * 10 + ["no-near-duplicate"] * 10
    seq_kd = next(r for r in records if r["model"] == f"{STUDENT}.seq-kd{FROM}")
    folder = one_seed.root / "evaluations" / seq_kd["model"] / "seed-1"
    scores = json.loads((folder / "test.json").read_text())["searches"]
    assert float(seq_kd["greedy_bleu"]) == pytest.approx(scores["greedy"]["bleu"], abs=1e-3)
    assert float(seq_kd["beam_5_chrf"]) == pytest.approx(scores["beam-5"]["chrf"], abs=1e-3)
    assert float(seq_kd["greedy_bleu_low"]) < scores["greedy"]["bleu"]
    assert float(seq_kd["greedy_bleu_high"]) > scores["greedy"]["bleu"]
    baseline = next(r for r in records if r["model"] == f"{STUDENT}.nll")
    delta = float(seq_kd["greedy_bleu"]) - float(baseline["greedy_bleu"])
    assert float(seq_kd["greedy_vs_baseline_delta"]) == pytest.approx(delta, abs=1e-3)
    assert seq_kd["greedy_bleu_sd"] == ""
    assert "One seed each" in texts["md"]
    assert "\n- Stars: * p < 0.05, ** p" in texts["md"]  # Markdown reads "- * p" as two lists
    assert "trained on 20,000 pairs of invented words; code " in texts["md"]
    assert "signature: BLEU nrefs:1" in texts["md"]
    assert max(map(len, texts["md"].splitlines())) <= 120
    assert r"\toprule" in texts["tex"]


def test_second_block_scores_only_sentences_without_near_duplicate(
    one_seed: Synthetic, tmp_path: Path
) -> None:
    texts = one_seed.table("results", tmp_path)
    record = list(csv.DictReader(io.StringIO(texts["csv"])))[10]
    test = load_test_set(one_seed.root / "corpus/tests/test.json")
    output = one_seed.root / "evaluations" / TEACHER / "seed-1" / "test.greedy.en"
    lines = output.read_text().splitlines()
    kept = [n for n in range(len(lines)) if n % 9]
    assert int(record["sentences"]) == len(kept)
    metric = bleu_metric()
    statistics = metric.extract([lines[n] for n in kept], [test.references[n] for n in kept])
    assert float(record["greedy_bleu"]) == pytest.approx(
        float(corpus_scores(metric, [statistics])[0]), abs=1e-3
    )
    assert "no near duplicate in training" in texts["md"]


def test_a_test_set_that_is_all_in_training_is_named(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    path = made.root / "corpus/tests/test.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | {"near_duplicates": list(range(20))}
    path.write_text(json.dumps(facts), encoding="utf-8")
    texts = made.table("results", tmp_path)
    assert "Each of these sentences has a near duplicate in training" in texts["md"]
    assert "name 'test' in corpus.decontaminate" in " ".join(texts["md"].split())


def test_seeds_give_spread_and_noise_floor(three_seeds: Synthetic, tmp_path: Path) -> None:
    texts = three_seeds.table("results", tmp_path)
    record = next(csv.DictReader(io.StringIO(texts["csv"])))
    assert record["seeds"] == "1 2 3"
    assert float(record["greedy_bleu_sd"]) > 0
    words = " ".join(texts["md"].split())
    assert (
        "noise floor, from the sd of one training on test, pooled by architecture: teacher" in words
    )
    assert "4 degrees of freedom; student" in words
    assert "16 degrees of freedom)" in words
    assert max(map(len, texts["md"].splitlines())) <= 120
    assert "|  sd |" in texts["md"]


def test_the_noise_floor_of_students_knows_nothing_of_their_teacher(three_seeds: Synthetic) -> None:
    config = load(TableConfig, three_seeds.root / "tables" / "results.yaml")
    outputs = OutputStatistics(
        config,
        Evaluations(three_seeds.scores()),
        load_test_set(three_seeds.root / "corpus/tests/test.json"),
    )
    results = analyse(outputs, resamples=100)
    squares: dict[str, list[float]] = {"teacher": [], "student": []}
    for row in results.rows:
        sd = row.searches["greedy"].bleu.sd
        assert sd is not None
        squares[row.row.architecture].append(sd**2)
    variances = {name: sum(each) / len(each) for name, each in squares.items()}
    floors = results.noise["greedy"]
    assert {name: floor.sd**2 for name, floor in floors.items()} == pytest.approx(variances)
    student = results.rows[-1].searches["greedy"]
    assert student.baseline is not None
    assert student.teacher is not None
    assert student.baseline.standard_error == pytest.approx((2 * variances["student"] / 3) ** 0.5)
    error = (variances["student"] / 3 + variances["teacher"]) ** 0.5  # one seed taught
    assert student.teacher.standard_error == pytest.approx(error)


def test_students_are_compared_with_the_seed_that_taught_them(
    three_seeds: Synthetic, tmp_path: Path
) -> None:
    path = three_seeds.root / "tables" / "results.yaml"
    plain, chosen = path.read_text(encoding="utf-8"), rows((1, 2, 3))
    for place, seeds in (3, (2,)), (4, (1, 2, 3)):
        chosen[place] = chosen[place].model_copy(update={"teacher_seeds": seeds})
    three_seeds.config("results", chosen)
    texts = three_seeds.table("results", tmp_path)
    path.write_text(plain, encoding="utf-8")

    def bleu(model: str, seed: int) -> float:
        scores = three_seeds.root / "evaluations" / model / f"seed-{seed}" / "test.json"
        return float(json.loads(scores.read_text())["searches"]["beam-5"]["bleu"])

    records = {r["model"]: r for r in csv.DictReader(io.StringIO(texts["csv"])) if r["perplexity"]}
    for place, seed in (3, 2), (5, 1):  # the second is taught by the first seed, as by default
        model = chosen[place].model
        delta = sum(bleu(model, n) for n in (1, 2, 3)) / 3 - bleu(TEACHER, seed)
        found = float(records[model]["beam_5_vs_teacher_delta"])
        assert found == pytest.approx(delta, abs=1e-3)
    assert records[chosen[4].model]["beam_5_vs_teacher_delta"] == ""
    seq_kd = next(line for line in texts["md"].splitlines() if line.startswith("| Seq-KD "))
    assert [cell.strip() for cell in seq_kd.split("|")][-4] == "-"


def test_stars_within_the_noise_of_seeds_stand_in_brackets() -> None:
    def stars(delta: float, error: float | None, p: float, degrees: int = 60) -> str:
        return Comparison(
            other="", delta=delta, standard_error=error, degrees=degrees, p_bootstrap=p,
            p_randomisation=p, p_corrected=p,
        ).stars  # fmt: skip

    assert stars(-1.0, 0.4, 0.001) == "**"
    assert stars(-1.0, 0.6, 0.001) == "(**)"
    assert stars(1.0, 0.6, 0.03) == "(*)"
    assert stars(1.0, 0.6, 0.3) == ""
    assert stars(0.1, None, 0.03) == "*"
    # With few seeds, chance alone makes larger differences.
    assert stars(-1.0, 0.4, 0.001, degrees=4) == "(**)"
    assert stars(-1.0, 0.3, 0.001, degrees=4) == "**"


def test_rows_are_compared_with_what_is_to_be_beaten(
    three_seeds: Synthetic, tmp_path: Path
) -> None:
    path = three_seeds.root / "tables" / "results.yaml"
    plain, aim = path.read_text(encoding="utf-8"), f"{STUDENT}.seq-kd_seq-inter{FROM}"
    aim_at(path, aim)
    texts = three_seeds.table("results", tmp_path)
    path.write_text(plain, encoding="utf-8")
    records = {r["model"]: r for r in csv.DictReader(io.StringIO(texts["csv"])) if r["perplexity"]}
    bleu = {model: float(record["greedy_bleu"]) for model, record in records.items()}
    for model, record in records.items():
        compared = model.startswith(STUDENT) and model != aim
        found = record["greedy_vs_aim_delta"]
        assert (
            float(found) == pytest.approx(bleu[model] - bleu[aim], abs=1e-3) if compared else True
        )
        assert bool(found) == bool(record["beam_5_vs_aim_p_corrected"]) == compared
    # Seven tests for each search are a family of their own: they are what the table asks.
    assert (
        "for the 14 comparisons of \u0394 and, apart from them, for the other 34 comparisons"
        in " ".join(texts["md"].split())
    )
    assert "against Seq-KD+Seq-Inter of lstm-2x64" in " ".join(texts["md"].split())
    assert max(map(len, texts["md"].splitlines())) <= 126


def test_speed_table_has_both_ratios(one_seed: Synthetic, tmp_path: Path) -> None:
    texts = one_seed.table("speed", tmp_path)
    records = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert max(map(len, texts["md"].splitlines())) <= 120
    student = next(
        r
        for r in records
        if r["model"] == f"{STUDENT}.nll"
        and (r["threads"], r["batch"], r["beam"]) == ("1", "1", "1")
    )
    assert float(student["ratio_like_for_like"]) == pytest.approx(6200 / 900, rel=1e-3)
    assert float(student["ratio_to_beam"]) == pytest.approx(6200 / 900 * 4.3, rel=1e-3)
    assert "2 threads, up to 2,000 lines together" in texts["md"]
    assert "A CPU of some make" in texts["md"]


def test_speed_is_compared_with_the_teacher_wherever_it_stands(
    one_seed: Synthetic, tmp_path: Path
) -> None:
    chosen = list(reversed(load(TableConfig, one_seed.root / "tables" / "speed.yaml").rows))
    config = one_seed.config("speed-reversed", chosen)
    config.rename(one_seed.root / "tables" / "reversed.yaml")
    outputs = OutputStatistics(
        load(TableConfig, one_seed.root / "tables" / "reversed.yaml"),
        Evaluations(one_seed.scores(chosen)),
        load_test_set(one_seed.root / "corpus/tests/test.json"),
    )
    speeds = [read_json(Speed, path.with_name("speed.json")) for path in one_seed.scores(chosen)]
    table = speed_table(analyse(outputs, resamples=100), speeds, "")
    teacher = [record for record in table.records if record["model"] == TEACHER]
    assert all(record["ratio_like_for_like"] == 1.0 for record in teacher)
    assert "Ratios to lstm-2x256 Baseline: " in " ".join(table.notes)


def test_speeds_of_different_processors_have_no_ratio(one_seed: Synthetic, tmp_path: Path) -> None:
    path = one_seed.root / "evaluations" / TEACHER / "seed-1" / "speed.json"
    plain = path.read_text(encoding="utf-8")
    path.write_text(plain.replace("A CPU of some make", "Another CPU"), encoding="utf-8")
    texts = one_seed.table("speed", tmp_path)
    path.write_text(plain, encoding="utf-8")
    for record in csv.DictReader(io.StringIO(texts["csv"])):
        is_teacher = record["model"] == TEACHER
        assert bool(record["ratio_like_for_like"]) == is_teacher
        assert record["processor"].startswith("Another CPU" if is_teacher else "A CPU of some make")
    blocks = texts["md"].split("\n| **")[1:]
    assert any(
        block.startswith("1 thread, one sentence at a time, Another CPU") for block in blocks
    )
    assert all(("Baseline" in block) for block in blocks)
    assert "No ratio to speeds of another processor." in texts["md"]


def test_without_a_teacher_the_notes_name_the_first_row(
    one_seed: Synthetic, tmp_path: Path
) -> None:
    chosen = [row.model_copy(update={"teacher": None}) for row in rows((1,))[3:5]]
    for kind, note in ("speed", "Ratios to"), ("pruning", "all weights of"):
        path = one_seed.root / "tables" / f"{kind}.yaml"
        plain = path.read_text(encoding="utf-8")
        one_seed.config(kind, chosen)
        text = " ".join(one_seed.table(kind, tmp_path)["md"].split())
        path.write_text(plain, encoding="utf-8")
        assert f"{note} lstm-2x64 Word-KD" in text
        assert "the teacher" not in text


def test_quantised_models_add_nothing_to_the_noise_floor(three_seeds: Synthetic) -> None:
    config = load(TableConfig, three_seeds.root / "tables" / "pruning.yaml")
    trained = [row for row in config.rows if row.format == "fp32"]
    assert len(trained) < len(config.rows)
    results = analyse(
        OutputStatistics(
            config,
            Evaluations(three_seeds.scores(config.rows)),
            load_test_set(three_seeds.root / "corpus/tests/test.json"),
        ),
        resamples=100,
    )
    for floor in results.noise["greedy"].values():
        assert floor.degrees > 0
    degrees = sum(floor.degrees for floor in results.noise["greedy"].values())
    assert degrees == sum(len(row.seeds) - 1 for row in trained)


def test_pruning_table_counts_what_is_left(one_seed: Synthetic, tmp_path: Path) -> None:
    texts = one_seed.table("pruning", tmp_path)
    records = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert [r["pruned"] for r in records] == ["0", "0", "50", "80", "85", "90", "0"]
    assert float(records[3]["ratio_parameters"]) == pytest.approx(4_612_000 / 86_200, rel=1e-4)
    assert float(records[0]["ratio_bytes"]) == 1.0
    # A pruned model is shipped compressed, to 3.6 bytes for 1.2 times its share of weights here.
    assert float(records[3]["ratio_bytes"]) == pytest.approx(
        4_612_000 * 4 / (431_000 * 3.6 * 0.24), rel=1e-4
    )
    assert int(records[3]["file_bytes"]) == int(records[3]["parameters"]) * 4 == 431_000 * 4
    assert max(map(len, texts["md"].splitlines())) <= 120
    assert "int8" in texts["md"]


def test_a_missing_score_is_named(one_seed: Synthetic, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no scores of lstm-2x256\.nll, seed 1, on test"):
        one_seed.table("results", tmp_path, one_seed.scores()[1:])
    assert not (tmp_path / "t.csv").exists()


def test_hypotheses_of_another_length_are_refused(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    path = made.scores()[2].with_name("test.greedy.en")
    path.write_text(path.read_text() + "one more\n")
    with pytest.raises(SystemExit, match="21 lines for 20 sentences"):
        made.table("results", tmp_path)


def test_the_table_says_its_setting_and_its_comparisons(one_seed: Synthetic) -> None:
    test = load_test_set(one_seed.root / "corpus/tests/test.json")
    config = TableConfig(
        experiment="synthetic",
        source="de",
        target="en",
        test_sets=("test",),
        rows=tuple(rows((1,))),
    )
    outputs = OutputStatistics(config, Evaluations(one_seed.scores()), test)
    results = analyse(outputs, resamples=200)
    # Greedy and beam: 1 teacher row and 7 students against a baseline, 1 and 8 against the teacher.
    assert results.comparisons == 2 * (8 + 9)
    text = to_markdown(results_tables([results], "Experiment synthetic; code abc1234.")[0])
    assert "code abc1234" in text
    assert "for the 34" in " ".join(text.split())
    assert config.teacher_of(config.rows[0]) is None
    assert config.teacher_of(config.rows[2]) == (TEACHER, 1)


TINY = Table(
    title="A & B",
    caption=["100% of it_"],
    columns=["model", "BLEU", "BLEU"],
    blocks={"Teacher": [["a|b", "1.0  ", "2.0"]], "Student": [["c", "10.0* ", "2.0"]]},
    notes=["more"],
    records=[{"model": "a,b", "bleu": 1.23456789, "none": None}],
    label="tiny",
)


def test_renderings_escape_what_their_format_means() -> None:
    assert r"a\|b" in to_markdown(TINY)
    assert '"a,b",1.23457,' in to_csv([TINY])
    assert r"A \& B. 100\% of it\_ more" in to_latex(TINY)
    assert latex_escape("\\^") == r"\textbackslash{}\textasciicircum{}"


def test_groups_are_rows_of_their_own() -> None:
    assert to_markdown(TINY).splitlines()[4:10] == [
        "| model       |   BLEU | BLEU |",
        "|:------------|-------:|-----:|",
        "| **Teacher** |        |      |",
        r"| a\|b        |  1.0   |  2.0 |",
        "| **Student** |        |      |",
        "| c           | 10.0*  |  2.0 |",
    ]
    lines = to_latex(TINY).splitlines()
    start = lines.index(r"\toprule")
    assert lines[start + 1 : start + 8] == [
        r"model & BLEU & BLEU \\",
        r"\midrule",
        r"\multicolumn{3}{l}{\textbf{Teacher}} \\",
        r"a\textbar{}b & 1.0   & 2.0 \\",
        r"\midrule",
        r"\multicolumn{3}{l}{\textbf{Student}} \\",
        r"c & 10.0*  & 2.0 \\",
    ]


def test_numbers_are_shown_short() -> None:
    assert [count(n) for n in (950, 431_000, 4_612_000, 84_800_000)] == [
        "950",
        "431k",
        "4.6m",
        "85m",
    ]
    assert [signed(x) for x in (0.04, -0.04, 1.25, -2.0)] == ["0.0", "0.0", "+1.2", "\u22122.0"]
    assert [megabytes(n) for n in (431_000, 18_400_000, 340_000_000)] == ["0.43", "18.4", "340"]
    assert method_name("seq-kd+word-kd+seq-inter") == "Seq-KD+Word-KD+Seq-Inter"


def test_rows_that_their_teachers_alone_tell_apart_name_them(tmp_path: Path) -> None:
    made = Synthetic(tmp_path, sentences=20)
    chosen = rows(made.seeds)
    chosen[4] = chosen[4].model_copy(update={"named_teachers": ("file",)})
    chosen[5] = chosen[5].model_copy(update={"named_teachers": ("file", "lstm-2x256")})
    made.config("results", chosen)
    table = made.table("results", tmp_path)["md"]
    assert "| Seq-KD from file " in table
    assert "| Baseline+Seq-Inter from file and lstm-2x256 " in table
    assert "| Seq-KD+Seq-Inter " in table
