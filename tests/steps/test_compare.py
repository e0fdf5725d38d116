"""`seqkd compare`: two models or two experiments, with significance."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from processes import seqkd
from seqkd.errors import SeqkdError
from seqkd.evaluation import comparison
from seqkd.evaluation.comparison import compare, experiment_models, find_model, load_side
from synthetic_results import STUDENT, TEACHER, Synthetic

SEQ_KD = f"{STUDENT}.seq-kd.from-lstm-2x256"
RESAMPLES = 500


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two experiments")
    Synthetic(folder / "results" / "first", sentences=120, seeds=(1, 2))
    shutil.copytree(folder / "results" / "first", folder / "results" / "second")
    shutil.rmtree(folder / "results" / "second" / "evaluations" / f"{STUDENT}.nll")
    (folder / "results" / "third").mkdir()
    return folder


def test_a_better_model_is_surely_better(place: Path):
    results = place / "results" / "first"
    sides = [load_side(results, model, "test") for model in (f"{STUDENT}.nll", SEQ_KD)]
    assert all(sides)
    greedy, beam = compare(*sides, RESAMPLES)  # type: ignore[arg-type]
    assert (greedy.search, beam.search) == ("greedy", "beam-5")
    assert greedy.delta > 3
    assert greedy.p_values == pytest.approx([1 / (RESAMPLES + 1)] * 2)
    assert greedy.bleu[0] == pytest.approx(
        sum(each.searches["greedy"].bleu for each in sides[0].evaluations) / 2  # type: ignore[union-attr]
    )


def test_a_model_is_no_better_than_itself(place: Path):
    side = load_side(place / "results" / "first", SEQ_KD, "test")
    for each in compare(side, side, RESAMPLES):  # type: ignore[arg-type]
        assert (each.delta, each.p_values) == (0.0, (1.0, 1.0))


def test_other_test_sentences_have_no_p(place: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(place / "results" / "first", other)
    path = other / "corpus" / "tests" / "test.en"
    path.write_text(path.read_text(encoding="utf-8").replace("a", "e", 1), encoding="utf-8")
    one = load_side(place / "results" / "first", SEQ_KD, "test")
    two = load_side(other, SEQ_KD, "test")
    assert all(x.p_values is None for x in compare(one, two, RESAMPLES))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "seed"),
    [
        (f"first/{TEACHER}", None),
        (f"results/first/models/{TEACHER}/seed-2", 2),
        (f"first/evaluations/{TEACHER}/", None),
    ],
)
def test_a_model_is_found_however_it_is_written(word: str, seed: int | None, place: Path):
    results = place / "results"
    assert find_model(results, word) == (results / "first", TEACHER, seed)


def test_two_models_side_by_side(place: Path):
    printed = seqkd("compare", f"first/{STUDENT}.nll", f"first/{SEQ_KD}", folder=place)
    assert printed.returncode == 0, printed.stderr
    for word in ("BLEU greedy", "BLEU beam-5", "chrF", "perplexity", "p(t = y^)", "seed 1, 2"):
        assert word in printed.stdout


def test_without_p_the_reason_is_said(place: Path, tmp_path: Path):
    for name in "first", "other":
        shutil.copytree(place / "results" / "first", tmp_path / "results" / name)
    shutil.rmtree(tmp_path / "results" / "other" / "corpus")
    for words in (f"first/{SEQ_KD}", f"other/{SEQ_KD}"), ("first", "other"):
        printed = seqkd("compare", *words, "--resamples", RESAMPLES, folder=tmp_path)
        assert "No p-values: the two test sets differ, or one was deleted." in printed.stdout


def test_two_seeds_of_a_model(place: Path):
    printed = seqkd("compare", f"first/{SEQ_KD}/seed-1", f"first/{SEQ_KD}/seed-2", folder=place)
    assert f"A: {SEQ_KD} of first, seed 1\n" in printed.stdout
    assert f"B: {SEQ_KD} of first, seed 2\n" in printed.stdout


def test_two_experiments_row_by_row(place: Path):
    printed = seqkd("compare", "first", "results/second/", "--resamples", RESAMPLES, folder=place)
    assert printed.returncode == 0, printed.stderr
    assert f"Only in first: {STUDENT}.nll" in printed.stdout
    assert "p, Holm" in printed.stdout
    assert printed.stdout.count("1.000") >= 2 * 14  # equal on both sides


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((SEQ_KD, SEQ_KD), "in several experiments (first, second); write EXPERIMENT/"),
        ((f"first/{STUDENT}.nl", TEACHER), f"did you mean '{STUDENT}.nll'?"),
        ((f"first/{TEACHER}/seed-7", f"first/{TEACHER}"), "no scores for that seed"),
        ((f"first/{TEACHER}", f"first/{TEACHER}", "--test-set", "tset"), "no test set 'tset'"),
        (("first", "second", "--resamples", "5"), "--resamples must be at least 100"),
        (("first", "third"), "third has no evaluated models yet"),
        (("third", "results/first"), "third has no evaluated models yet"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], message: str, place: Path):
    printed = seqkd("compare", *words, folder=place)
    assert printed.returncode == 1
    assert message in printed.stderr
    assert len(printed.stderr.splitlines()) == 1


def test_p_between_experiments_is_corrected_in_both_tests(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    from rich.console import Console

    from seqkd.evaluation.comparison import Difference
    from seqkd.steps.compare import _experiment_table

    sure = Difference("greedy", (1.0, 2.0), (1.0, 2.0), (0.001, 0.004))
    doubtful = Difference("beam-5", (1.0, 2.0), (1.0, 2.0), (0.01, 0.2))
    Console(width=100).print(_experiment_table("t", [("m", sure), ("m", doubtful)]))
    printed = capsys.readouterr().out
    assert "0.008" in printed  # the larger of 2 * 0.001 and 2 * 0.004
    assert "0.200" in printed


def test_what_an_earlier_config_made_is_not_compared(place: Path, tmp_path: Path):
    results = tmp_path / "results" / "mine"
    shutil.copytree(place / "results" / "first", results)
    for table in results.glob("tables/*.yaml"):
        config = yaml.safe_load(table.read_text(encoding="utf-8"))
        rows = [row for row in config["rows"] if row["model"] != f"{STUDENT}.nll"]
        config["rows"] = [{**row, "seeds": [1]} for row in rows]
        table.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert load_side(results, SEQ_KD, "test").seeds == [1]  # type: ignore[union-attr]
    assert load_side(results, SEQ_KD, "test", seed=2).seeds == [2]  # type: ignore[union-attr]
    assert f"{STUDENT}.nll" not in experiment_models(results)
    assert SEQ_KD in experiment_models(results)
    assert load_side(results, f"{STUDENT}.nll", "test").seeds == [1, 2]  # type: ignore[union-attr]
    for path in results.glob(f"evaluations/{SEQ_KD}/seed-1/test.*"):
        shutil.copy2(path, path.with_name(path.name.replace("test", "removed")))
    assert comparison.test_sets_of(results, SEQ_KD) == ["test"]


def test_scores_older_than_the_test_set_have_no_p(place: Path, tmp_path: Path):
    mine = tmp_path / "mine"
    shutil.copytree(place / "results" / "first", mine)
    references = mine / "corpus" / "tests" / "test.en"
    lines = references.read_text(encoding="utf-8").splitlines()
    references.write_text("".join(f"{line}\n" for line in reversed(lines)), encoding="utf-8")
    sides = [load_side(mine, model, "test") for model in (f"{STUDENT}.nll", SEQ_KD)]
    with pytest.raises(SeqkdError, match="scores are older than the test set"):
        compare(*sides, RESAMPLES)  # type: ignore[arg-type]
