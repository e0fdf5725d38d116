"""Runs with teachers that were not trained here: a file of translations, a Hugging Face model."""

from __future__ import annotations

from pathlib import Path

import yaml

from workflow_harness import make_workspace


def test_foreign_teachers_teach_and_new_files_of_theirs_teach_again(tmp_path: Path):
    workspace = make_workspace(tmp_path / "place")
    translations = workspace.folder / "theirs.en"
    translations.write_text("the lamp\n", encoding="utf-8")
    model = workspace.folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    methods = ["baseline", "seq-kd", "seq-kd+seq-inter"]
    workspace.edit_config(
        teachers={
            "file": {"kind": "file", "translations": "theirs.en"},
            "hub": {"kind": "hugging-face", "folder": "model", "prefix": "say it: "},
        },
        models=[
            {"architecture": "student", "teacher": "file", "methods": methods},
            {"architecture": "student", "teacher": "hub", "methods": methods[1:]},
        ],
        pruning={}, quantisation={}, speed={}, web={},
    )  # fmt: skip
    workspace.run()
    results = workspace.folder / "results" / "smoke"
    assert sorted(path.name for path in (results / "distilled/file/seed-0").iterdir()) == [
        "beam-2", "beam-4-share-50", "seq-inter", "seq-kd",
    ]  # fmt: skip
    assert (results / "distilled/hub/seed-0/beam-4-share-50/nbest.jsonl.zst").is_file()
    assert (results / "models" / "lstm-1x16.seq-kd_seq-inter.from-file").is_dir()
    assert workspace.plan() == []
    rows = yaml.safe_load((results / "tables" / "results.yaml").read_text("utf-8"))["rows"]
    assert [(row["method"], *row["named_teachers"]) for row in rows] == [
        ("baseline",), ("seq-kd", "file"), ("seq-kd+seq-inter", "file"), ("seq-kd", "hub"),
        ("seq-kd+seq-inter", "hub"),
    ]  # fmt: skip

    right = workspace.experiment()["teachers"]
    workspace.edit_config(teachers=right | {"file": {"kind": "file", "translations": "wrong.en"}})
    refused = workspace.snakemake("--dry-run")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "file not found: wrong.en (paths in a config start" in refused.stderr + refused.stdout
    (results / "distilled").rename(results / "elsewhere")  # removed to free the disk
    assert workspace.snakemake("--dry-run").returncode == 1
    (results / "elsewhere").rename(results / "distilled")
    workspace.edit_config(teachers=right)

    translations.write_text("the light\n", encoding="utf-8")
    plan = workspace.plan()
    assert {"adopt", "select", "train", "table"} <= {job.rule for job in plan}
    trained = {job.wildcards.split(",")[0] for job in plan if job.rule == "train"}
    assert trained == {
        "trained=lstm-1x16.seq-kd.from-file", "trained=lstm-1x16.seq-kd_seq-inter.from-file",
    }  # fmt: skip

    (model / "model.safetensors").write_text("other weights", encoding="utf-8")
    (model / "config.json").write_text('{"other": 1}', encoding="utf-8")
    rules = {job.rule for job in workspace.plan()}
    assert {"decode_hugging_face", "merge", "select", "train"} <= rules
    workspace.edit_config(decoding={"shards": 3})  # another count has shards without a history
    rules = {job.rule for job in workspace.plan()}
    assert {"decode_hugging_face", "merge", "select", "train"} <= rules
