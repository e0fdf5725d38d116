"""What starts a step again and what must not: each a dry run on a finished experiment."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from workflow_harness import Job, Workspace

TEACHER = "lstm-1x32.nll"
TABLES = {"table", "diagnose", "report", "export_web"}  # what says something about all models


def rules(jobs: list[Job]) -> set[str]:
    return {job.rule for job in jobs}


def trained(jobs: list[Job]) -> set[str]:
    return {job.wildcards for job in jobs if job.rule == "train"}


def models(jobs: list[Job], rule: str) -> set[str]:
    return {job.wildcards.split("=")[1].split(",")[0] for job in jobs if job.rule == rule}


def settings(jobs: list[Job]) -> set[str]:
    return {job.wildcards.removeprefix("part=") for job in jobs if job.rule == "settings"}


def edit(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1)
    assert count, path
    path.write_text(text, encoding="utf-8")


def add_test_set(workspace: Workspace) -> None:
    for name in ("other.de", "other.en"):
        (workspace.folder / name).write_text("Lampe 7\n", encoding="utf-8")
    workspace.edit_config(
        corpus__test_sets__other={"provider": "files", "src": "other.de", "tgt": "other.en"}
    )


def test_a_new_test_set_adds_only_its_own_jobs(finished: Workspace):
    add_test_set(finished)
    plan = finished.plan()
    assert rules(plan) == {"settings", "test_set", "evaluate", "export_web"} | TABLES
    assert all("test_set=other" in job.wildcards for job in plan if job.rule == "evaluate")
    assert settings(plan) == {
        "corpus/tests/other", "tables/results", "tables/speed", "tables/pruning",
    }  # fmt: skip


def test_a_renamed_held_out_test_set_trains_nothing_again(finished: Workspace):
    finished.edit_config(corpus__test_sets={"held-out": {"held_out": 20}})
    plan = finished.plan()
    assert rules(plan) == {"settings", "test_set", "evaluate", "speed", "export_web"} | TABLES


def test_a_new_student_and_a_new_method_add_only_their_own_jobs(finished: Workspace):
    models_before = finished.experiment()["models"]
    models_before[1]["methods"].append("twice")
    tiny = {"architecture": "tiny", "teacher": "teacher", "methods": ["baseline", "seq-kd"]}
    finished.edit_config(
        architectures__tiny={"family": "lstm", "layers": 1, "width": 8},
        models=[*models_before, tiny],
        methods={"twice": [{"targets": "seq-kd"}, {"targets": "seq-kd", "label": "again"}]},
    )
    plan = finished.plan()
    assert models(plan, "train") == {
        "lstm-1x8.nll", "lstm-1x8.seq-kd.from-lstm-1x32", "lstm-1x16.seq-kd_again.from-lstm-1x32",
    }  # fmt: skip
    assert models(plan, "evaluate") == models(plan, "train")
    assert rules(plan) == {"settings", "train", "evaluate"} | TABLES


def test_a_new_seed_adds_only_its_own_jobs(finished: Workspace):
    finished.edit_config(seeds=[1, 2])
    plan = finished.plan()
    assert all("seed=2" in wildcards for wildcards in trained(plan))
    assert all("seed=2" in job.wildcards for job in plan if job.rule == "evaluate")
    # All students learn from the first seed of their teacher: nothing is decoded again.
    assert not rules(plan) & {"decode", "merge", "select", "soft_targets", "corpus", "vocab"}


def add_monolingual(workspace: Workspace, **targets: object) -> None:
    """Give an experiment monolingual text, and a student for each of some targets."""
    path = workspace.folder / "mono.de"
    path.write_text("".join(f"Satz {number}\n" for number in range(9)), encoding="utf-8")
    models = workspace.experiment()["models"]
    names = [name for name in targets if name not in models[1]["methods"]]
    models[1]["methods"] += names
    workspace.edit_config(
        corpus__monolingual=[{"provider": "files", "src": "mono.de"}],
        decoding={"monolingual_part": 4},
        models=models,
    )
    for name, monolingual in targets.items():
        workspace.edit_config(
            **{
                f"targets__{name}": {"rule": "one-best", "beam": 2, "monolingual": monolingual},
                f"methods__{name}": [{"targets": name}],
            }
        )


def test_monolingual_text_adds_only_its_own_jobs_and_more_of_it_only_the_rest(finished: Workspace):
    add_monolingual(finished, more={"sentences": 6})
    plan = finished.plan()
    assert rules(plan) == {
        "settings", "monolingual", "monolingual_part", "decode", "merge", "select", "train",
        "evaluate",
    } | TABLES  # fmt: skip
    assert models(plan, "train") == {"lstm-1x16.more.from-lstm-1x32"} == models(plan, "evaluate")
    lists = {job.wildcards.partition("nbest=")[2] for job in plan if job.rule == "merge"}
    assert lists == {"beam-2-monolingual-part-1", "beam-2-monolingual-part-2"}
    assert sum(job.rule == "decode" for job in plan) == 4  # two shards of each part
    add_test_set(finished)
    finished.run()
    assert finished.plan() == []

    sets = finished.experiment()["corpus"]["test_sets"]
    finished.edit_config(corpus__test_sets=dict(reversed(sets.items())))
    assert rules(finished.plan()) & {"speed", "monolingual"} == {"speed"}  # the first is timed
    finished.edit_config(corpus__test_sets={"test": sets["test"]})
    assert "monolingual" in rules(finished.plan())
    finished.edit_config(corpus__test_sets=sets)

    add_monolingual(finished, most={"sentences": 9, "alone": True})
    plan = finished.plan()
    assert not rules(plan) & {"monolingual", "corpus", "vocab"}
    assert models(plan, "train") == {"lstm-1x16.most.from-lstm-1x32"}
    parts = {job.wildcards for job in plan if job.rule == "monolingual_part"}
    lists = {job.wildcards.partition("nbest=")[2] for job in plan if job.rule == "merge"}
    assert (parts, lists) == ({"part=3"}, {"beam-2-monolingual-part-3"})
    selected = [job.wildcards for job in plan if job.rule == "select"]
    assert selected == [f"teacher={TEACHER}, seed=1, targets=most"]
    finished.run()

    add_monolingual(finished, soft={"sentences": 4, "beam": 3})
    finished.edit_config(methods__soft=[{"targets": "soft", "kd_weight": 0.5}])
    plan = finished.plan()
    assert not rules(plan) & {"monolingual", "monolingual_part"}
    lists = {job.wildcards.partition("nbest=")[2] for job in plan if job.rule == "merge"}
    assert lists == {"beam-3-monolingual-part-1"}
    assert models(plan, "train") == {"lstm-1x16.soft+word-kd.from-lstm-1x32"}
    (finished.folder / "mono.de").write_text("Ein anderer Satz\n", encoding="utf-8")
    plan = finished.plan()
    assert {"monolingual", "monolingual_part", "decode", "select"} <= rules(plan)
    assert not rules(plan) & {"corpus", "vocab", "align", "test_set"}
    assert TEACHER not in models(plan, "train")


def test_a_dropout_reruns_the_cone_of_that_architecture(finished: Workspace):
    finished.edit_config(architectures__student__dropout=0.3)
    plan = finished.plan()
    assert all(name.startswith("lstm-1x16.") for name in models(plan, "train"))
    assert len(models(plan, "train")) == 10
    assert not rules(plan) & {"decode", "merge", "select", "soft_targets", "corpus", "vocab"}
    reasons = {job.reason for job in plan if job.rule == "settings"}
    assert all("Params have changed" in reason for reason in reasons)


@pytest.mark.parametrize("guided", [None, {"epochs": 1}])
def test_other_guided_alignment_retrains_what_starts_from_random_weights(
    guided: dict | None, finished: Workspace
):
    finished.edit_config(architectures__student__training={"guided_alignment": guided})
    plan = finished.plan()
    assert "align" not in rules(plan)
    changed = settings(plan)
    assert "models/lstm-1x16.nll/seed-1/config" in changed
    assert "models/lstm-1x16.nll_seq-inter.from-lstm-1x32/seed-1/config" not in changed
    assert f"models/{TEACHER}/seed-1/config" not in changed


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


def test_no_way_of_running_triggers(finished: Workspace):
    """Where and by how many an experiment runs, and in which order its keys stand."""
    config = {**finished.experiment(), "decoding": {"shards": 3}, "device": "cuda"}
    reversed_keys = {key: config[key] for key in reversed(config)} | {"save_minutes": 0}
    reversed_keys["architectures"] = dict(reversed(config["architectures"].items()))
    finished.config.write_text(yaml.safe_dump(reversed_keys, sort_keys=False), encoding="utf-8")
    assert finished.plan() == []
    assert finished.plan(
        *("--cores", "1", "--set-scatter", "decode=1", "--set-threads", "train=2", "evaluate=2"),
        *("--set-resources", "train:mem_mb=9000", "train:runtime=9", "train:device=cpu"),
        *("train:gpu=1", "train:processes=2"),
    ) == []  # fmt: skip


def test_without_a_profile_another_shard_count_reruns_the_merge(finished: Workspace):
    """The triggers are part of the profiles; Snakemake's own include the set of input files."""
    finished.edit_config(decoding={"shards": 3})
    assert "merge" in rules(finished.plan("--workflow-profile", "none"))


def test_another_shard_count_does_not_hide_a_change_of_the_decoder(editable: Workspace):
    editable.edit_config(decoding={"shards": 3})
    step = editable.sources / "seqkd" / "steps" / "decode.py"
    step.write_text(step.read_text(encoding="utf-8") + "\nTRIED = 1\n", encoding="utf-8")
    plan = editable.plan()
    assert len([job for job in plan if job.rule == "decode"]) == 6
    assert {"merge", "select", "soft_targets", "train"} <= rules(plan)


def test_a_retrained_teacher_is_decoded_again_with_another_shard_count(finished: Workspace):
    finished.edit_config(decoding={"shards": 3}, architectures__teacher__dropout=0.1)
    plan = finished.plan()
    assert len([job for job in plan if job.rule == "decode"]) == 6
    assert len(models(plan, "evaluate")) == 11  # all but the student that nobody taught


def test_comments_messages_and_unused_code_trigger_nothing(editable: Workspace):
    """The experiment searches for all its n-best lists and draws none."""
    package = editable.sources / "seqkd"
    edit(package / "steps/train.py", 'help="', 'help="in other words: ')
    edit(package / "machine/progress.py", "done in", "finished in")
    edit(package / "machine/gpu_slots.py", r"_POLL_SECONDS = [\d.]+", "_POLL_SECONDS = 9")
    edit(package / "machine/work_lock.py", "already doing this", "doing the same")
    edit(package / "search/logits.py", "not finite", "no numbers")
    edit(package / "search/sampling.py", r"(?m)^(_[A-Z_]+) = \d+", r"\1 = 99")
    edit(package / "cli.py", r"SystemExit\(2\)", "SystemExit(3)")
    edit(package / "__init__.py", "0.1.0", "9.9.9")
    for path in package.rglob("*.py"):
        if "templates" not in path.parts:  # a program that is written out as it is
            with path.open("a", encoding="utf-8") as file:
                file.write("\n# A remark.\n")
    assert editable.plan() == []


def test_a_changed_loss_reruns_training_and_what_follows(editable: Workspace):
    edit(editable.sources / "seqkd/training/losses.py", "\n\n\n", "\n\nSCALE = 1.5\n\n\n")
    plan = editable.plan()
    assert {"train", "decode", "select", "evaluate", "table", "report"} <= rules(plan)
    assert not rules(plan) & {"settings", "fetch", "corpus", "test_set", "vocab"}
    assert len(models(plan, "train")) == 12


def test_a_changed_constant_reruns_that_step_and_what_follows(editable: Workspace):
    step = editable.sources / "seqkd" / "steps" / "select_targets.py"
    step.write_text(step.read_text(encoding="utf-8") + "\nTRIED = 1\n", encoding="utf-8")
    plan = editable.plan()
    assert {"select", "train", "evaluate"} <= rules(plan)
    assert not rules(plan) & {"corpus", "vocab", "decode", "merge", "fetch", "test_set"}
    assert TEACHER not in models(plan, "train")
    assert "lstm-1x16.word-kd.from-lstm-1x32" not in models(plan, "train")


def test_a_change_of_the_tables_code_reruns_the_tables_only(editable: Workspace):
    step = editable.sources / "seqkd" / "steps" / "table.py"
    step.write_text(step.read_text(encoding="utf-8") + "\nTRIED = 1\n", encoding="utf-8")
    assert rules(editable.plan()) == {"table"}


def test_touched_inputs_and_deleted_distilled_text_trigger_nothing(finished: Workspace):
    later = time.time() + 5
    for name in ("tests/data/smoke/smoke.de", f"results/smoke/models/{TEACHER}/seed-1/config.yaml"):
        os.utime(finished.folder / name, (later, later))
    shutil.rmtree(finished.folder / "results/smoke/distilled")
    assert finished.plan() == []


def test_an_older_file_with_other_content_behind_a_link_reruns_what_follows(finished: Workspace):
    path = finished.folder / "tests/data/smoke/smoke.de"
    same = path.with_name("same.de")
    path.rename(same)
    path.symlink_to(same.name)
    assert finished.plan() == []  # a link to the same content
    other = path.with_name("other.de")
    other.write_text("Ein anderer Satz.\n", encoding="utf-8")
    os.utime(other, (0, 0))
    path.unlink()
    path.symlink_to(other.name)
    assert {"corpus", "vocab", "train", "evaluate"} <= rules(finished.plan())


def test_a_wrong_path_never_keeps_the_text_of_the_right_one(finished: Workspace):
    (source,) = finished.experiment()["corpus"]["train"]
    for wrong in "wrong.de", "resources/wrong.de":
        finished.edit_config(corpus__train=[source | {"src": wrong}])
        refused = finished.snakemake("--dry-run")
        assert refused.returncode == 1
        message = f"file not found: {wrong} (paths in a config start"
        assert message in refused.stderr + refused.stdout
    finished.edit_config(corpus__train=[source])
    (finished.folder / source["src"]).unlink()  # what was made of it is still right
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
    assert rules(plan) == {"train", "quantize", "evaluate", "speed", "export_web"} | TABLES


def test_deleted_scores_are_made_again_alone(finished: Workspace):
    model = "lstm-1x16.seq-kd.from-lstm-1x32"
    (finished.folder / f"results/smoke/evaluations/{model}/seed-1/test.json").unlink()
    plan = finished.plan()
    assert rules(plan) == {"evaluate"} | TABLES
    assert models(plan, "evaluate") == {model}


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


def test_another_licence_or_model_makes_the_page_again(finished: Workspace):
    finished.edit_config(web__licence="MIT")
    assert rules(finished.plan()) == {"export_web"}
    finished.edit_config(web={"of": {"architecture": "teacher", "method": "baseline"}})
    plan = finished.plan()
    assert {"quantize", "evaluate", "export_web"} <= rules(plan) <= {
        "settings", "quantize", "evaluate", "export_web"
    } | TABLES  # fmt: skip
    assert models(plan, "quantize") == {TEACHER}


@pytest.mark.parametrize("section", ["pruning", "speed", "quantisation"])
def test_a_removed_section_leaves_the_report(section: str, finished: Workspace):
    experiment = finished.experiment()
    finished.config.write_text(
        yaml.safe_dump({key: value for key, value in experiment.items() if key != section}),
        encoding="utf-8",
    )
    plan = finished.plan()
    assert "report" in rules(plan) <= TABLES | {"settings"}
