"""What the config expands to."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from config_values import put
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import parse_experiment
from seqkd.config.model_entry import ModelEntry
from seqkd.config.schema import load, overlay
from seqkd.config.slices import table_of, tables
from seqkd.config.sources import user_file
from seqkd.errors import SeqkdError


def test_numbers_may_be_written_as_everybody_writes_them(smoke: dict):
    put(smoke, "training.learning_rate", "4e-3")  # what PyYAML makes of 4e-3
    put(smoke, "seeds", ["1", "2"])  # what Snakemake's --config makes of [1, 2]
    put(smoke, "vocab.joint", "false")
    config = parse_experiment(smoke)
    assert config.vocab.joint is False
    assert config.training.learning_rate == 0.004
    assert config.seeds == (1, 2)


def test_a_file_may_have_a_tilde_in_its_name():
    assert user_file("./~nobodyxx") == Path("~nobodyxx")


@pytest.mark.parametrize("absent", [(), ("speed",), ("speed", "pruning")])
def test_quantised_models_are_in_a_table(smoke: dict, absent: tuple[str, ...]):
    for section in absent:
        del smoke[section]
    experiment = Experiment(parse_experiment(smoke))
    assert experiment.quantised_rows
    assert "speed" in tables(experiment.config)
    shown = {row.model for row in table_of(experiment, "speed").rows}
    assert {row.model for row in experiment.quantised_rows} <= shown


def test_training_is_laid_over_in_the_order_general_architecture_stage(smoke: dict):
    smoke["training"] = {"epochs": 1, "learning_rate": 0.1, "patience": 1}
    smoke["architectures"]["student"]["training"] = {"epochs": 2, "learning_rate": 0.2}
    smoke["methods"]["seq-kd"] = [{"targets": "seq-kd", "training": {"epochs": 3}}]
    config = parse_experiment(smoke)
    training = config.training_of("student", config.methods["seq-kd"][0])
    assert (training.epochs, training.learning_rate, training.patience) == (3, 0.2, 1)


@pytest.mark.parametrize(
    ("general", "architecture", "stage", "expected"),
    [
        ({"weight": 0.25, "epochs": 7}, {}, {"decay": 0.9}, (0.25, 7, 0.9)),
        ({"weight": 0.25}, {"weight": 0.5, "epochs": 7}, {"epochs": 3}, (0.5, 3, 1.0)),
        ({}, {"weight": 0.25}, {}, (0.25, 2, 1.0)),
        ({"weight": 0.25}, None, {"decay": 0.9}, (1.0, 2, 0.9)),
        ({"weight": 0.25}, {"epochs": 7}, None, None),
    ],
)
def test_sections_of_training_are_laid_over_key_by_key(
    smoke: dict, general: dict, architecture: dict | None, stage: dict | None, expected: tuple
):
    smoke["training"]["guided_alignment"] = general
    smoke["architectures"]["student"]["training"] = {"guided_alignment": architecture}
    smoke["methods"]["baseline"][0]["training"] = {"guided_alignment": stage}
    config = parse_experiment(smoke)
    guided = config.training_of("student", config.methods["baseline"][0]).guided_alignment
    assert (guided and (guided.weight, guided.epochs, guided.decay)) == expected


def test_only_fresh_weights_are_guided(smoke: dict):
    guided = {"guided_alignment": {"epochs": 1}}
    smoke["architectures"]["student"]["training"] = guided
    smoke["methods"]["seq-kd+seq-inter"][1]["training"] = {"epochs": 3}
    name = "lstm-1x16.seq-kd_seq-inter.from-lstm-1x32"
    models = Experiment(parse_experiment(copy.deepcopy(smoke))).models
    assert models[name, 1].training.guided_alignment is None
    assert models[models[name, 1].parent, 1].training.guided_alignment is not None
    smoke["methods"]["seq-kd+seq-inter"][1]["training"] = guided
    models = Experiment(parse_experiment(smoke)).models
    assert models[name, 1].training.guided_alignment is not None


def test_only_fresh_weights_are_guided_by_the_aligner(smoke: dict):
    models = Experiment(parse_experiment(smoke)).models
    guided = {name for (name, _), entry in models.items() if entry.wants_lexicon}
    assert guided == {name for (name, _), entry in models.items() if entry.parent is None}


def test_an_architecture_may_switch_guided_alignment_off(smoke: dict):
    smoke["architectures"]["student"]["training"] = {"guided_alignment": None}
    models = Experiment(parse_experiment(smoke)).models
    guided = {name for (name, _), entry in models.items() if entry.wants_lexicon}
    assert guided == {"lstm-1x32.nll"}


@pytest.mark.parametrize("family", ["lstm", "transformer"])
@pytest.mark.parametrize(("joint", "tied"), [(True, "all"), (False, False)])
def test_word_vectors_are_one_table_where_the_vocabulary_is_joint(
    joint: bool, tied: str | bool, family: str, smoke: dict
):
    smoke["vocab"]["joint"] = joint
    smoke["architectures"]["student"] = {"family": family, "layers": 1, "width": 16}
    config = parse_experiment(smoke)
    assert config.architecture_of("student").tie_embeddings == tied
    smoke["architectures"]["student"]["tie_embeddings"] = True
    assert parse_experiment(smoke).architecture_of("student").tie_embeddings is True


def test_word_vectors_of_another_width_are_not_tied(smoke: dict):
    smoke["architectures"]["student"]["embedding"] = 8
    assert parse_experiment(smoke).architecture_of("student").tie_embeddings is False


def test_one_table_for_two_vocabularies_is_refused(smoke: dict):
    smoke["vocab"]["joint"] = False
    smoke["architectures"]["student"]["tie_embeddings"] = "all"
    with pytest.raises(
        SeqkdError, match=r"architectures.student.tie_embeddings: all needs a joint"
    ):
        parse_experiment(smoke)


def test_a_stage_may_learn_the_attention_of_its_teacher(smoke: dict):
    stage = {
        "targets": "gold",
        "label": "attention",
        "training": {"guided_alignment": {"by": "teacher"}},
    }
    smoke["methods"]["attention"] = [stage]
    smoke["models"][1]["methods"].append("attention")
    entry = Experiment(parse_experiment(smoke)).models["lstm-1x16.attention.from-lstm-1x32", 1]
    assert entry.wants_teacher
    assert entry.teacher == "lstm-1x32.nll"


def test_attention_of_a_teacher_with_a_general_weight_of_zero_is_refused(smoke: dict):
    smoke["training"]["guided_alignment"] = {"weight": 0}
    stage = {"targets": "gold", "training": {"guided_alignment": {"by": "teacher"}}}
    smoke["methods"]["attention"] = [{**stage, "label": "attention"}]
    smoke["models"][1]["methods"].append("attention")
    with pytest.raises(
        SeqkdError, match=r"training of 'student' on 'gold': guided_alignment.weight is 0"
    ):
        Experiment(parse_experiment(smoke))


def test_attention_of_a_teacher_needs_a_teacher(smoke: dict):
    smoke["training"]["guided_alignment"] = {"by": "teacher"}
    with pytest.raises(SeqkdError, match="has no teacher to guide its attention"):
        Experiment(parse_experiment(smoke))


def test_shared_stages_are_trained_once(smoke: dict):
    experiment = Experiment(parse_experiment(smoke))
    assert len(experiment.rows) == 10
    # Two pruned models, of which one is the way to the other, and every stage a model of a row.
    assert len(experiment.models) == 12
    fine = experiment.models["lstm-1x16.seq-kd_seq-inter.from-lstm-1x32", 1]
    assert fine.parent == "lstm-1x16.seq-kd.from-lstm-1x32"
    assert (fine.teacher, fine.teacher_seeds) == ("lstm-1x32.nll", (1,))


def test_who_waits_longest_goes_first(smoke: dict):
    dependants = Experiment(parse_experiment(smoke)).dependants
    assert max(dependants, key=dependants.__getitem__) == ("lstm-1x32.nll", 1)
    assert dependants["lstm-1x16.nll", 1] == 1
    assert dependants["lstm-1x16.word-kd_seq-inter.from-lstm-1x32", 1] == 0


def test_the_second_stage_keeps_the_zeros_of_the_first(smoke: dict):
    smoke["pruning"]["cuts"] = 3
    models = Experiment(parse_experiment(smoke)).models
    name = "lstm-1x16.seq-kd_seq-inter.from-lstm-1x32.pruned-80"
    first, second = models[f"{name}-stage-1", 1], models[name, 1]
    assert first.prune is not None
    assert second.prune is not None
    assert (first.prune.cuts, second.prune.cuts) == (3, 1)
    assert first.prune.percentage == second.prune.percentage == 80
    assert second.parent == first.model


def test_rows_know_their_baseline_and_teacher(smoke: dict):
    rows = {(r.architecture, r.method): r for r in Experiment(parse_experiment(smoke)).rows}
    assert rows["student", "seq-kd"].baseline == "lstm-1x16.nll"
    assert rows["student", "seq-kd"].teacher == "lstm-1x32.nll"
    assert rows["student", "baseline"].baseline is None
    assert rows["teacher", "baseline+seq-inter"].teacher == "lstm-1x32.nll"


def test_taught_rows_know_what_is_to_be_beaten(smoke: dict):
    put(smoke, "evaluation.against", {"architecture": "student", "method": "seq-kd"})
    rows = {(r.architecture, r.method): r for r in Experiment(parse_experiment(smoke)).rows}
    aim = rows["student", "seq-kd"]
    assert {row.against for row in rows.values() if row is not aim} == {aim.model}
    smoke["models"][0].pop("teacher")
    smoke["models"][0]["methods"] = ["baseline"]
    rows = {(r.architecture, r.method): r for r in Experiment(parse_experiment(smoke)).rows}
    assert rows["teacher", "baseline"].against is None
    assert rows["student", "baseline"].against == aim.model
    put(smoke, "evaluation.against", {"architecture": "student", "method": "mbr"})
    with pytest.raises(SeqkdError, match="'student' with method 'mbr' is not among `models`"):
        Experiment(parse_experiment(smoke))


def test_a_student_learns_from_the_first_seed_of_its_teacher(smoke: dict):
    smoke["seeds"] = [3, 4]
    models = Experiment(parse_experiment(smoke)).models
    assert {entry.teacher_seeds for entry in models.values() if entry.teacher} == {(3,)}


def test_an_entry_survives_its_file(smoke: dict, tmp_path: Path):
    for entry in Experiment(parse_experiment(smoke)).models.values():
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(entry.model_dump(mode="json")), encoding="utf-8")
        loaded = load(ModelEntry, path)
        assert isinstance(loaded, ModelEntry)
        assert loaded == entry


def test_rows_that_differ_in_their_amount_of_monolingual_text_alone_are_marked(smoke: dict):
    smoke["corpus"]["monolingual"] = [{"provider": "files", "src": "mono.de"}]
    added = {
        "twice": {"beam": 2, "monolingual": {"sentences": 20}},
        "much": {"beam": 2, "monolingual": {"sentences": 90, "drop": 0.1}},
        "alone": {"beam": 2, "monolingual": {"sentences": 90, "alone": True}},
        "other": {"beam": 3, "monolingual": {"sentences": 90}},
    }
    for name, target in added.items():
        smoke["targets"][name] = {"rule": "one-best", **target}
        smoke["methods"][name] = [{"targets": name, "training": {"epoch_updates": 7}}]
    smoke["models"][1]["methods"] += added
    experiment = Experiment(parse_experiment(smoke))
    marked = {row.method: row.least for row in experiment.rows if row.least}
    least = "lstm-1x16.seq-kd.from-lstm-1x32"
    assert marked == {"seq-kd": least, "twice": least, "much": least}


def test_amounts_of_text_are_compared_under_one_teacher(smoke: dict):
    smoke["corpus"]["monolingual"] = [{"provider": "files", "src": "mono.de"}]
    smoke["targets"]["much"] = {"rule": "one-best", "beam": 2, "monolingual": {"sentences": 90}}
    smoke["methods"]["much"] = [{"targets": "much"}]
    smoke["models"][0]["seeds"] = [1, 2]
    entry = {"architecture": "student", "teacher": "teacher", "methods": ["seq-kd", "much"]}
    smoke["models"][1:] = [entry, {**entry, "teacher_seeds": [1, 2]}]
    smoke |= {"pruning": {}, "quantisation": {}, "speed": {}, "web": {}}
    marked = {row.model: row.least for row in Experiment(parse_experiment(smoke)).rows if row.least}
    one, both = "from-lstm-1x32", "from-lstm-1x32-ensemble-2"
    assert marked == {
        f"lstm-1x16.{targets}.{teacher}": f"lstm-1x16.seq-kd.{teacher}"
        for targets in ("seq-kd", "much")
        for teacher in (one, both)
    }


@pytest.mark.parametrize("null", [None, "null"])  # a word from Snakemake's --config
def test_null_removes_a_section_and_an_entry(smoke: dict, null: str | None):
    removed = {
        **dict.fromkeys(("pruning", "quantisation", "speed", "web"), null),
        "vocab": {"size": null},
        "architectures": {"student": null},
        "methods": {"word-kd": null},
        "targets": {"seq-inter": null},
        "models": [{"architecture": "teacher", "methods": ["baseline"]}],
    }
    for name in list(smoke["methods"]):
        if any(stage["targets"] == "seq-inter" for stage in smoke["methods"][name]):
            removed["methods"][name] = null
    config = parse_experiment(overlay(smoke, removed))
    assert config.vocab.size is None
    assert config.architectures.keys() == {"teacher"}
    assert "seq-inter" not in config.targets
    assert config.methods.keys() == {"baseline", "seq-kd", "seq-kd+word-kd"}


def test_only_students_of_word_kd_know_where_soft_targets_come_from(smoke: dict):
    before = Experiment(parse_experiment(smoke)).models
    smoke["soft_targets"] = {"kind": "alongside"}
    after = Experiment(parse_experiment(smoke)).models
    changed = {name for (name, _), entry in after.items() if entry != before[name, entry.seed]}
    assert changed
    assert all("word-kd" in name for name in changed)


def test_an_overlap_that_only_flags_leaves_the_training_text(smoke: dict):
    for kind, same in (("exact", True), ("near", False)):
        smoke["corpus"] |= {"decontamination": kind, "near_duplicate": 0.7}
        before = parse_experiment(smoke).parallel_corpus.for_training()
        smoke["corpus"]["near_duplicate"] = 0.5
        after = parse_experiment(smoke).parallel_corpus
        assert (after.for_training() == before) is same
        assert after.for_test_set("test").near_duplicate == 0.5
