"""What starts a step again and what must not: each a dry run on a finished experiment."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
import yaml

from workflow_harness import Job, Workspace

pytestmark = pytest.mark.workflow

TEACHER = "lstm-1x32.nll"
TABLES = {"table", "diagnose", "report"}


def rules(jobs: list[Job]) -> set[str]:
    return {job.rule for job in jobs}


def trained(jobs: list[Job]) -> set[str]:
    return {job.wildcards for job in jobs if job.rule == "train"}


def models(jobs: list[Job], rule: str) -> set[str]:
    return {job.wildcards.split("=")[1].split(",")[0] for job in jobs if job.rule == rule}


def settings(jobs: list[Job]) -> set[str]:
    return {job.wildcards.removeprefix("part=") for job in jobs if job.rule == "settings"}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_finished_run_has_nothing_to_do(finished: Workspace):
    assert finished.plan() == []


def test_a_new_test_set_adds_only_its_own_jobs(finished: Workspace):
    finished.edit_config(
        corpus__test_sets__other={
            "provider": "files",
            "src": "tests/data/smoke/smoke.de",
            "tgt": "tests/data/smoke/smoke.en",
        }
    )
    plan = finished.plan()
    assert rules(plan) == {"settings", "test_set", "evaluate"} | TABLES
    assert all("test_set=other" in job.wildcards for job in plan if job.rule == "evaluate")
    assert settings(plan) == {
        "corpus/tests/other", "tables/results", "tables/speed", "tables/pruning",
    }  # fmt: skip


def test_a_new_student_adds_only_its_own_jobs(finished: Workspace):
    finished.edit_config(
        architectures__tiny={"family": "lstm", "layers": 1, "width": 8},
        models=[
            *finished.experiment()["models"],
            {"architecture": "tiny", "teacher": "teacher", "methods": ["baseline", "seq-kd"]},
        ],
    )
    plan = finished.plan()
    assert models(plan, "train") == {"lstm-1x8.nll", "lstm-1x8.seq-kd.from-lstm-1x32"}
    assert models(plan, "evaluate") == models(plan, "train")
    assert rules(plan) == {"settings", "train", "evaluate"} | TABLES


def test_a_new_method_adds_only_its_own_jobs(finished: Workspace):
    config = finished.experiment()
    config["models"][1]["methods"].append("twice")
    finished.edit_config(
        models=config["models"],
        methods={"twice": [{"targets": "seq-kd"}, {"targets": "seq-kd", "label": "again"}]},
    )
    plan = finished.plan()
    assert models(plan, "train") == {"lstm-1x16.seq-kd_again.from-lstm-1x32"}
    assert rules(plan) == {"settings", "train", "evaluate"} | TABLES


def test_a_new_seed_adds_only_its_own_jobs(finished: Workspace):
    finished.edit_config(seeds=[1, 2])
    plan = finished.plan()
    assert all("seed=2" in wildcards for wildcards in trained(plan))
    assert all("seed=2" in job.wildcards for job in plan if job.rule == "evaluate")
    # All students learn from the first seed of their teacher: nothing is decoded again.
    assert not rules(plan) & {"decode", "merge", "select", "soft_targets", "corpus", "vocab"}


def test_a_dropout_reruns_the_cone_of_that_architecture(finished: Workspace):
    finished.edit_config(architectures__student__dropout=0.3)
    plan = finished.plan()
    assert all(name.startswith("lstm-1x16.") for name in models(plan, "train"))
    assert len(models(plan, "train")) == 10
    assert not rules(plan) & {"decode", "merge", "select", "soft_targets", "corpus", "vocab"}


def test_training_of_one_stage_reruns_the_models_that_have_it(finished: Workspace):
    stages = [{"targets": "gold", "kd_weight": 0.5, "training": {"epochs": 3}}]
    finished.edit_config(methods={"word-kd": stages, "word-kd+seq-inter": None})
    config = finished.experiment()
    del config["methods"]["word-kd+seq-inter"]
    config["models"][1]["methods"].remove("word-kd+seq-inter")
    finished.edit_config(methods=config["methods"], models=config["models"])
    plan = finished.plan()
    assert models(plan, "train") == {"lstm-1x16.word-kd.from-lstm-1x32"}
    assert models(plan, "evaluate") == {"lstm-1x16.word-kd.from-lstm-1x32"}


def test_removing_a_student_makes_only_the_tables_again(finished: Workspace):
    config = finished.experiment()
    config["models"][1]["methods"].remove("word-kd")
    finished.edit_config(models=config["models"])
    assert rules(finished.plan()) == {"settings"} | TABLES


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"decoding": {"shards": 3}}, id="more shards"),
        pytest.param({"decoding": {"shards": 1}}, id="fewer shards"),
        pytest.param({"device": "cpu"}, id="device"),
        pytest.param({"device": "cuda"}, id="device of a cluster"),
        pytest.param({"save_minutes": 0}, id="how often state is saved"),
    ],
)
def test_the_way_of_running_never_triggers(finished: Workspace, change: dict[str, object]):
    finished.edit_config(**change)
    assert finished.plan() == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--set-threads", "train=2", "evaluate=2"], id="threads"),
        pytest.param(["--set-resources", "train:mem_mb=9000"], id="memory"),
        pytest.param(["--set-resources", "train:runtime=9"], id="time"),
        pytest.param(["--set-resources", "train:device=cuda", "train:gpu=1"], id="gpu"),
        pytest.param(["--set-resources", "train:processes=2"], id="processes"),
        pytest.param(["--set-scatter", "decode=5"], id="scatter"),
        pytest.param(["--cores", "1"], id="cores"),
    ],
)
def test_the_command_line_never_triggers(finished: Workspace, arguments: list[str]):
    assert finished.plan(*arguments) == []


def test_without_a_profile_another_shard_count_reruns_the_merge(finished: Workspace):
    """The triggers are part of the profiles; Snakemake's own include the set of input files."""
    finished.edit_config(decoding={"shards": 3})
    assert "merge" in rules(finished.plan("--workflow-profile", "none"))


def test_reordering_the_config_triggers_nothing(finished: Workspace):
    config = finished.experiment()
    flipped = {key: config[key] for key in reversed(config)}
    flipped["architectures"] = dict(reversed(config["architectures"].items()))
    finished.config.write_text(yaml.safe_dump(flipped, sort_keys=False), encoding="utf-8")
    assert finished.plan() == []


def test_another_shard_count_does_not_hide_a_change_of_the_decoder(finished: Workspace):
    finished.edit_config(decoding={"shards": 3})
    step = finished.sources / "seqkd" / "steps" / "decode.py"
    step.write_text(step.read_text(encoding="utf-8") + "\nTRIED = 1\n", encoding="utf-8")
    plan = finished.plan()
    assert len([job for job in plan if job.rule == "decode"]) == 6
    assert {"merge", "select", "soft_targets", "train"} <= rules(plan)


def test_a_retrained_teacher_is_decoded_again_with_another_shard_count(finished: Workspace):
    finished.edit_config(decoding={"shards": 3}, architectures__teacher__dropout=0.1)
    plan = finished.plan()
    assert len([job for job in plan if job.rule == "decode"]) == 6
    assert len(models(plan, "evaluate")) == 11  # all but the student that nobody taught


def test_a_comment_triggers_nothing(finished: Workspace):
    for path in (finished.sources / "seqkd").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\n# A remark.\n", encoding="utf-8")
    assert finished.plan() == []


def test_a_changed_constant_reruns_that_step_and_what_follows(finished: Workspace):
    step = finished.sources / "seqkd" / "steps" / "select_targets.py"
    step.write_text(step.read_text(encoding="utf-8") + "\nTRIED = 1\n", encoding="utf-8")
    plan = finished.plan()
    assert {"select", "train", "evaluate"} <= rules(plan)
    assert not rules(plan) & {"corpus", "vocab", "decode", "merge", "fetch", "test_set"}
    assert TEACHER not in models(plan, "train")
    assert "lstm-1x16.word-kd.from-lstm-1x32" not in models(plan, "train")


def test_a_change_of_the_tables_code_reruns_the_tables_only(finished: Workspace):
    step = finished.sources / "seqkd" / "steps" / "table.py"
    step.write_text(step.read_text(encoding="utf-8") + "\nTRIED = 1\n", encoding="utf-8")
    assert rules(finished.plan()) == {"table", "report"}


def test_a_changed_command_line_table_triggers_nothing(finished: Workspace):
    edit(finished.sources / "seqkd" / "cli.py", "SystemExit(2)", "SystemExit(3)")
    edit(finished.sources / "seqkd" / "__init__.py", "0.1.0", "9.9.9")
    assert finished.plan() == []


def test_a_touched_input_with_the_same_content_triggers_nothing(finished: Workspace):
    later = time.time() + 5
    for name in ("tests/data/smoke/smoke.de", f"results/smoke/models/{TEACHER}/seed-1/config.yaml"):
        os.utime(finished.folder / name, (later, later))
    assert finished.plan() == []


def test_a_changed_input_reruns_all_that_follows(finished: Workspace):
    path = finished.folder / "tests/data/smoke/smoke.de"
    path.write_text("Ein anderer Satz.\n", encoding="utf-8")
    later = time.time() + 5
    os.utime(path, (later, later))
    plan = finished.plan()
    assert {"corpus", "vocab", "train", "evaluate"} <= rules(plan)


def test_a_deleted_model_is_made_again_with_its_cone(finished: Workspace):
    model = "lstm-1x16.seq-kd.from-lstm-1x32"
    (finished.folder / f"results/smoke/models/{model}/seed-1/model.safetensors").unlink()
    plan = finished.plan()
    assert models(plan, "train") == {
        model,
        "lstm-1x16.seq-kd_seq-inter.from-lstm-1x32",
        "lstm-1x16.seq-kd_seq-inter+word-kd.from-lstm-1x32",
        "lstm-1x16.seq-kd_seq-inter.from-lstm-1x32.pruned-80-stage-1",
        "lstm-1x16.seq-kd_seq-inter.from-lstm-1x32.pruned-80",
    }
    assert rules(plan) == {"train", "quantize", "evaluate", "speed"} | TABLES


def test_deleted_scores_are_made_again_alone(finished: Workspace):
    model = "lstm-1x16.seq-kd.from-lstm-1x32"
    (finished.folder / f"results/smoke/evaluations/{model}/seed-1/test.json").unlink()
    plan = finished.plan()
    assert rules(plan) == {"evaluate"} | TABLES
    assert models(plan, "evaluate") == {model}


def test_distilled_text_may_be_deleted_to_save_space(finished: Workspace):
    shutil.rmtree(finished.folder / "results/smoke/distilled")
    assert finished.plan() == []


def test_a_deleted_table_is_made_again_alone(finished: Workspace):
    (finished.folder / "results/smoke/tables/results.md").unlink()
    assert rules(finished.plan()) <= {"table", "report"}


def test_another_vocabulary_under_a_finished_model_retrains_it(finished: Workspace):
    path = finished.folder / "results/smoke/vocab/tgt.vocab"
    path.write_text("another\n", encoding="utf-8")
    later = time.time() + 5
    os.utime(path, (later, later))
    plan = finished.plan()
    assert len(models(plan, "train")) == 12
    assert len(models(plan, "evaluate")) == 12


def test_translations_of_a_retrained_model_are_never_scored(finished: Workspace):
    path = finished.folder / f"results/smoke/models/{TEACHER}/seed-1/model.safetensors"
    path.write_text("retrained\n", encoding="utf-8")
    later = time.time() + 5
    os.utime(path, (later, later))
    plan = finished.plan()
    assert TEACHER in models(plan, "evaluate")
    assert TEACHER not in models(plan, "train")
    assert {"decode", "merge", "select", "soft_targets"} <= rules(plan)


def test_a_dry_run_says_why(finished: Workspace):
    finished.edit_config(architectures__student__dropout=0.3)
    reasons = {job.reason for job in finished.plan() if job.rule == "settings"}
    assert all("Params have changed" in reason for reason in reasons)
