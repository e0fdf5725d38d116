"""Which teacher a stage has: its own, that of the entry, or an ensemble."""

from __future__ import annotations

import re

import pytest

from config_values import put
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import parse_experiment
from seqkd.config.slices import parts, table_of
from seqkd.config.table_rows import TableConfig
from seqkd.errors import SeqkdError
from synthetic_results import TEACHER, rows

TAUGHT_TWICE = {"architecture": "student", "method": "seq-kd"}  # in the fixture `ensemble`


def test_each_stage_may_have_a_teacher_of_its_own(smoke: dict):
    before = Experiment(parse_experiment(smoke)).models
    smoke["architectures"]["junior"] = {"family": "lstm", "layers": 1, "width": 24}
    smoke["models"].insert(0, {"architecture": "junior", "methods": ["baseline"]})
    smoke["methods"]["junior-senior"] = [
        {"targets": "seq-kd", "teacher": "junior"},
        {"targets": "seq-kd", "kd_weight": 0.5},
        {"targets": "gold"},
    ]
    smoke["models"][2]["methods"].append("junior-senior")
    experiment = Experiment(parse_experiment(smoke))
    taught = {name: entry.teacher for (name, _), entry in experiment.models.items()}
    first = "lstm-1x16.seq-kd.from-lstm-1x24"
    second = "lstm-1x16.seq-kd_seq-kd+word-kd.from-lstm-1x24.from-lstm-1x32"
    last = "lstm-1x16.seq-kd_seq-kd+word-kd_nll.from-lstm-1x24.from-lstm-1x32"
    assert (taught[first], taught[second], taught[last]) == ("lstm-1x24.nll", "lstm-1x32.nll", None)
    assert experiment.models[last, 1].parent == second
    assert {**experiment.models, **before} == experiment.models
    order = [name for name, _ in experiment.models]
    assert order.index("lstm-1x24.nll") < order.index(first)
    assert re.fullmatch(parts(experiment), "distilled/lstm-1x24.nll/seed-1/seq-kd/config")
    (row,) = (row for row in experiment.rows if row.model == last)
    assert row.teacher == "lstm-1x32.nll"  # gold has none; the stage before it has


def test_rows_whose_stages_name_the_teacher_are_compared_too(smoke: dict):
    smoke["methods"]["taught"] = [{"targets": "seq-kd", "teacher": "teacher"}]
    smoke["models"][1] = {"architecture": "student", "methods": ["baseline", "taught"]}
    for key in ("pruning", "quantisation", "speed"):
        put(smoke, f"{key}.of", [])
    put(smoke, "web.of", None)
    put(smoke, "evaluation.against", {"architecture": "student", "method": "baseline"})
    rows = {row.method: row for row in Experiment(parse_experiment(smoke)).rows}
    assert rows["taught"].against == rows["baseline"].model == "lstm-1x16.nll"


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"targets": "gold", "teacher": "teacher"}, "takes nothing from a teacher; remove `teach"),
        ({"targets": "seq-kd", "teacher": "teecher"}, "unknown 'teecher' (did you mean 'teacher'"),
        ({"targets": "seq-kd", "teacher_method": "base"}, "teacher_method: unknown 'base'"),
        (
            {"targets": "seq-kd", "teacher": "teacher", "teacher_method": "seq-kd"},
            "the teacher 'teacher' of 'student' is not trained by 'seq-kd'",
        ),
        ({"targets": "seq-kd", "teacher": "student", "teacher_method": "odd"}, "its own teacher"),
        (
            {"targets": "seq-kd", "kd_weight": 0.5, "teacher": "theirs"},
            "teachers.theirs gives translations; Word-KD and guided_alignment by the teacher need",
        ),
    ],
)
def test_a_stage_with_an_impossible_teacher_is_refused(smoke: dict, stage: dict, message: str):
    smoke["teachers"] = {"theirs": {"kind": "file", "translations": "theirs.en"}}
    smoke["methods"]["odd"] = [stage]
    smoke["models"][1]["methods"].append("odd")
    with pytest.raises(SeqkdError, match=re.escape(message)):
        Experiment(parse_experiment(smoke))


@pytest.fixture
def ensemble(smoke: dict) -> dict:
    """Smoke with a second seed of the teacher, and one student that both teach."""
    smoke["models"][0]["seeds"] = [1, 2]
    entry = {"architecture": "student", "teacher": "teacher", "teacher_seeds": [1, 2]}
    smoke["models"].append({**entry, "methods": ["seq-kd", "word-kd"]})
    return smoke


def test_an_ensemble_teaches_beside_its_first_member(ensemble: dict):
    experiment = Experiment(parse_experiment(ensemble))
    both = experiment.models["lstm-1x16.seq-kd.from-lstm-1x32-ensemble-2", 1]
    one = experiment.models["lstm-1x16.seq-kd.from-lstm-1x32", 1]
    assert (both.teacher, both.teacher_seeds) == ("lstm-1x32.nll", (1, 2))
    assert (one.teacher, one.teacher_seeds) == ("lstm-1x32.nll", (1,))
    assert list(experiment.models).index(("lstm-1x32.nll", 2)) < list(experiment.models).index(
        (both.model, 1)
    )


@pytest.mark.parametrize(
    ("seeds", "teacher"), [([1, 2], None), ([2], ("lstm-1x32.nll", 2)), ([1], ("lstm-1x32.nll", 1))]
)
def test_a_row_is_compared_with_the_model_that_taught_it(
    ensemble: dict, seeds: list, teacher: tuple | None
):
    ensemble["models"][2] |= {"teacher_seeds": seeds, "methods": ["labelled"]}
    ensemble["methods"]["labelled"] = [{"targets": "seq-kd", "label": "x"}, {"targets": "gold"}]
    table = table_of(Experiment(parse_experiment(ensemble)), "results")
    rows = {(row.architecture, row.method): row for row in table.rows}
    assert rows["student", "labelled"].teacher_seeds == tuple(seeds)
    assert table.teacher_of(rows["student", "labelled"]) == teacher
    assert table.teacher_of(rows["student", "word-kd"]) == ("lstm-1x32.nll", 1)
    assert table.teacher_of(rows["student", "baseline"]) == ("lstm-1x32.nll", 1)
    assert table.teacher_of(rows["teacher", "baseline+seq-inter"]) == ("lstm-1x32.nll", 1)
    assert table.teacher_of(rows["teacher", "baseline"]) is None


@pytest.mark.parametrize(
    ("stage", "seeds"),
    [({}, (1, 2)), ({"teacher_method": "baseline"}, (1, 2)), ({"teacher": "teacher"}, (1,))],
)
def test_an_ensemble_teaches_all_stages_without_a_teacher_of_their_own(
    ensemble: dict, stage: dict, seeds: tuple
):
    ensemble["methods"]["other"] = [{"targets": "seq-kd", "label": "other", **stage}]
    ensemble["models"][2]["methods"] = ["other"]
    models = Experiment(parse_experiment(ensemble)).models.values()
    assert {x.teacher_seeds for x in models if ".other." in x.model} == {seeds}


def test_rows_that_their_teachers_alone_tell_apart_name_them(ensemble: dict):
    rows = Experiment(parse_experiment(ensemble)).rows
    named = {row.model: row.named_teachers for row in rows if row.named_teachers}
    assert named == {
        f"lstm-1x16.{method}.from-{teacher}": (teacher,)
        for method in ("seq-kd", "word-kd")
        for teacher in ("lstm-1x32", "lstm-1x32-ensemble-2")
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("evaluation.against", TAUGHT_TWICE),
        ("pruning.of", [TAUGHT_TWICE]),
        ("quantisation.of", [TAUGHT_TWICE]),
        ("speed.of", [TAUGHT_TWICE]),
        ("web.of", TAUGHT_TWICE),
        ("models.2.methods", ["of-student"]),
    ],
)
def test_a_reference_to_two_rows_is_refused(ensemble: dict, path: str, value: object):
    by_student = {"teacher": "student", "teacher_method": "seq-kd"}
    ensemble["methods"]["of-student"] = [{"targets": "seq-inter", **by_student}]
    ensemble["architectures"]["junior"] = {"family": "lstm", "layers": 1, "width": 8}
    ensemble["models"].insert(2, {"architecture": "junior", "methods": ["baseline"]})
    put(ensemble, path, value)
    with pytest.raises(SeqkdError, match="'student' with method 'seq-kd' is in several entries"):
        table_of(Experiment(parse_experiment(ensemble)), "speed")


def test_a_member_that_is_not_trained_is_reported(ensemble: dict):
    ensemble["models"][2]["teacher_seeds"] = [1, 3]
    with pytest.raises(
        SeqkdError, match="taught by seed 3 of 'teacher', which is trained with 1, 2"
    ):
        Experiment(parse_experiment(ensemble))


def test_a_baseline_is_compared_with_the_teacher_of_most_rows() -> None:
    teacher, _, baseline, *taught = rows((1,))
    other = teacher.model_copy(update={"model": "other.nll"})
    odd = taught[0].model_copy(update={"teacher": "other.nll"})
    for order in (odd, *taught[1:3]), (*taught[1:3], odd):
        config = TableConfig(
            experiment="x", source="de", target="en", test_sets=("test",),
            rows=(teacher, other, baseline, *order),
        )  # fmt: skip
        assert config.teacher_of(baseline) == (TEACHER, 1)
        assert config.teacher_of(odd) == ("other.nll", 1)
