"""The workflow as a whole: plans, messages, speed of planning, one run of everything for real."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seqkd.config.expansion import Experiment
from seqkd.config.experiment import load_experiment
from workflow_harness import REPOSITORY, SMOKE, RealRun, Workspace, make_workspace

DEFAULT = REPOSITORY / "config" / "default.yaml"
EXPERIMENTS = sorted((REPOSITORY / "config" / "experiments").glob("*.yaml"))
TEXTS = ("train", "dev", "test", "newstest2013", "newstest2014")


@pytest.fixture
def with_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of text that some experiments expect from their user."""
    for name in ("WMT14_DIR", "IWSLT15_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("MULTI30K_DIR", raising=False)
    for stem in TEXTS:
        for language in ("de", "en", "th"):
            (tmp_path / f"{stem}.{language}").touch()


@pytest.mark.usefixtures("with_texts")
@pytest.mark.parametrize("config", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_can_be_planned(config: Path, tmp_path: Path):
    workspace = make_workspace(tmp_path / "place", config)
    plan = workspace.plan()
    trained = sorted(job.wildcards for job in plan if job.rule == "train")
    models = Experiment(load_experiment(DEFAULT, config)).models
    assert trained == sorted(f"trained={name}, seed={seed}" for name, seed in models)
    assert all(job.reason for job in plan)


@pytest.mark.parametrize("config", [[], ["--config", "experiment=another-name"]])
def test_the_default_experiment_needs_no_config_file(tmp_path: Path, config: list[str]):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
         "--directory", str(tmp_path), "--cores", "1", "--dry-run", "--quiet", "rules",
         *config],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "quick.yaml" in done.stdout + done.stderr


def test_a_mistake_in_the_config_is_reported_in_one_line(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    workspace.edit_config(architectures__student__dropuot=0.1)
    done = workspace.snakemake("--dry-run")
    assert done.returncode == 1
    message = "architectures.student: unknown key 'dropuot' (did you mean 'dropout'?)"
    printed = done.stdout + done.stderr
    assert message in printed.splitlines()
    assert "Traceback" not in printed


def test_a_missing_variable_is_named_before_any_job(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    workspace.edit_config(corpus__train=[{"provider": "files", "tsv": "${NOWHERE}/text.tsv"}])
    done = workspace.snakemake("--dry-run")
    assert done.returncode == 1
    assert "the environment variable NOWHERE is not set" in done.stdout + done.stderr


def test_a_run_ends_with_its_table(finished: Workspace):
    table = finished.folder / "results" / "smoke" / "tables" / "results.md"
    text = table.read_text(encoding="utf-8")
    table.unlink()
    assert text in finished.snakemake().stdout
    for name in ("speed.md", "pruning.md", "results.csv", "results.tex", "../report.html"):
        assert (table.parent / name).is_file()


def test_the_beam_that_is_timed_is_that_of_the_tables(finished_once: Workspace):
    measured = list((finished_once.folder / "results/smoke/evaluations").rglob("speed.json"))
    assert measured
    assert {path.read_text(encoding="utf-8") for path in measured} == {"beam 2"}


def test_a_second_run_does_nothing(finished_once: Workspace):
    """The path of this run has a space in it."""
    assert " " in str(finished_once.folder)
    again = finished_once.snakemake()
    assert "Nothing to be done" in again.stdout + again.stderr


def test_shards_and_unfinished_state_are_gone_at_the_end(finished_once: Workspace):
    distilled = finished_once.folder / "results" / "smoke" / "distilled"
    assert list(distilled.rglob("nbest.jsonl.zst"))
    assert not list(distilled.rglob("*-of-*"))


def test_every_path_of_a_model_follows_the_grammar(finished_once: Workspace):
    from seqkd.config.naming import MODEL

    folders = (finished_once.folder / "results" / "smoke" / "models").iterdir()
    assert all(re.fullmatch(MODEL, folder.name) for folder in folders)


def test_the_workflow_is_parsed_with_what_snakemake_installs():
    """Under `--sdm conda` only the jobs have the package's dependencies."""
    text = (REPOSITORY / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    imports = re.findall(r"^from seqkd.*$", text, re.MULTILINE)
    program = "\n".join(
        [*imports, "import sys; print(*{name.split('.')[0] for name in sys.modules})"]
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert not modules & {
        "filelock",
        "numpy",
        "pandas",
        "rich",
        "safetensors",
        "torch",
        "zstandard",
    }


def test_rules_keep_to_the_house_style():
    workflow = REPOSITORY / "workflow"
    for path in [workflow / "Snakefile", *(workflow / "rules").glob("*.smk")]:
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""'), path
        assert not re.search(r"^\s+(run|message):", text, re.MULTILINE), path
        if path.name not in ("Snakefile", "common.smk", "inputs.smk"):
            rules = re.findall(r"^rule (\w+):\n    (.*)", text, re.MULTILINE)
            assert all(line.startswith('"""') for _, line in rules), path
            assert len(re.findall(r"^    log:", text, re.MULTILINE)) == len(rules), path
            assert len(re.findall(r"code=\w*code\(", text)) + len(
                re.findall(r"^    shell:\n        (?!\"\"\"\n        seqkd|#)", text, re.MULTILINE)
            ) >= len(rules), path
    assert len((workflow / "Snakefile").read_text().splitlines()) <= 60


def test_no_rule_file_is_too_long_and_every_rule_is_in_the_picture():
    files = sorted((REPOSITORY / "workflow" / "rules").glob("*.smk"))
    text = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert {name for name in text if text[name].count("\n") > 150} <= {"inputs.smk"}
    rules = set(re.findall(r"^rule (\w+):", "\n".join(text.values()), re.MULTILINE))
    picture = (REPOSITORY / "docs" / "rulegraph.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r"<title>(\w+)", picture))
    # `make rulegraph` leaves out what feeds every rule, teachers that were not trained here, and
    # text that the default experiment does not have.
    elsewhere = {"settings", "adopt", "decode_hugging_face", "monolingual", "monolingual_part"}
    assert rules - drawn == elsewhere


def test_a_retry_of_what_resumes_requests_no_more_time():
    """The limit of a partition would keep it waiting for ever."""
    text = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    resuming = [rule for rule in text.split("\nrule ") if "exec seqkd" in rule]  # it gets signals
    assert len(resuming) == 3
    assert not [rule for rule in resuming if "runtime=growing" in rule]


def test_a_target_that_no_model_has_is_refused_in_one_line(tmp_path: Path):
    target = "results/smoke/models/lstm-1x16.nll/seed-2/model.safetensors"
    refused = make_workspace(tmp_path).snakemake("--dry-run", "--quiet", "all", "--", target)
    message = (
        "models/lstm-1x16.nll/seed-2/model.safetensors: this config has no 'lstm-1x16.nll/seed-2' "
        "(did you mean 'lstm-1x16.nll/seed-1'?)"
    )
    assert message in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr + refused.stdout
    done = make_workspace(tmp_path / "old").snakemake("--cleanup-metadata", target)
    assert message not in done.stderr + done.stdout  # files of models that are gone


def test_the_slurm_profile_is_read(tmp_path: Path):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    workspace = make_workspace(tmp_path)
    assert workspace.plan("--workflow-profile", str(REPOSITORY / "profiles" / "slurm"))


def test_the_environment_of_conda_has_the_pins_of_the_lock():
    lock = dict(
        line.split("==")
        for line in (REPOSITORY / "requirements.lock").read_text().splitlines()
        if "==" in line
    )
    import yaml

    packages = yaml.safe_load((REPOSITORY / "envs" / "seqkd.yaml").read_text())["dependencies"]
    names = {"pytorch": "torch"}
    for package in packages:
        name, _, version = package.partition(" =")
        if name != "python":
            assert lock[names.get(name, name)] == version, package


def test_the_lock_has_exact_versions_of_all_that_the_package_needs():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", pin) for pin in pins)
    locked = {pin.split("==")[0] for pin in pins}
    assert {re.split(r"[<>=\[]", name)[0].lower() for name in wanted} <= locked
    assert not [name for name in locked if name.startswith(("nvidia", "triton"))]


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_tests_that_share_a_run_share_a_process(request: pytest.FixtureRequest):
    assert "@" in request.node.nodeid  # pytest-xdist adds the group


DEPLOYED = """
configfile: "config/config.yaml"


module seqkd:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from seqkd
"""


def test_another_folder_imports_the_workflow_as_a_module(tmp_path: Path):
    """`snakedeploy` writes such a Snakefile into an empty folder, and copies config/."""
    workspace = make_workspace(tmp_path / "deployed here")
    snakefile = REPOSITORY / "workflow" / "Snakefile"
    for name, text in {
        "workflow/Snakefile": DEPLOYED.format(snakefile=snakefile),
        "config/config.yaml": SMOKE.read_text(encoding="utf-8"),
    }.items():
        path = workspace.folder / name
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
    table = "results/smoke/evaluations/lstm-1x16.seq-kd.from-lstm-1x32/seed-1/test.json"
    done = workspace.call(table)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (workspace.folder / table).is_file()
    dry_run = workspace.call("--dry-run", "--quiet", "rules")
    assert re.search(r"^report +1$", dry_run.stdout, re.MULTILINE), dry_run.stdout + dry_run.stderr

    path = workspace.folder / "workflow" / "Snakefile"
    plain = path.read_text()
    path.write_text(
        plain.replace("    config:\n", '    pathvars:\n        results="out",\n    config:\n')
    )
    dry_run = workspace.call("all", "--dry-run", "--printshellcmds")
    assert dry_run.returncode == 0, dry_run.stdout + dry_run.stderr
    assert " --benchmarks out/smoke/benchmarks" in dry_run.stdout
    assert "results/" not in dry_run.stdout
    path.write_text(plain)

    path = workspace.folder / "config" / "config.yaml"
    path.write_text(path.read_text().replace("tests/data/smoke/smoke.de", "later.de"))
    assert "file not found: later.de" in workspace.call("--dry-run").stdout
    making = 'rule text:\n    output: "later.{language}"\n    shell: "echo Text > {output}"\n'
    path = workspace.folder / "workflow" / "Snakefile"
    path.write_text(making + path.read_text())
    dry_run = workspace.call("all", "--dry-run", "--quiet", "rules")
    assert re.search(r"^text +1$", dry_run.stdout, re.MULTILINE), dry_run.stdout + dry_run.stderr


def test_a_page_shows_the_model_that_taught_its_own(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    teacher, student = workspace.experiment()["models"]
    teacher["seeds"] = [1, 2, 3]
    for seeds, scores in ([2], "lstm-1x32.nll/seed-2/test.json"), ([1, 3], None):
        workspace.edit_config(models=[teacher, {**student, "teacher_seeds": seeds}])
        done = workspace.snakemake("--dry-run", "--printshellcmds")
        found = re.findall(r"--teacher-scores \S+/evaluations/(\S+)", done.stdout + done.stderr)
        assert found == ([scores] if scores else [])
        assert " --web " in done.stdout + done.stderr


def test_texts_and_lists_of_different_teachers_have_different_names(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    teacher, student = workspace.experiment()["models"]
    teacher["seeds"] = [1, 2, 3]
    entries = [teacher, student]
    for name, seeds in ("of-second", [2]), ("of-all", [1, 2, 3]):
        workspace.edit_config(**{f"methods__{name}": [{"targets": "seq-kd", "label": name}]})
        entries.append({**student, "teacher_seeds": seeds, "methods": [name]})
    workspace.edit_config(models=entries)
    done = workspace.snakemake("--dry-run", "--printshellcmds")
    (words,) = re.findall(r"--targets (.*) --teachers (.*) --text-src", done.stdout + done.stderr)
    targets, teachers = map(str.split, words)
    assert len(targets) == len(teachers) == len({*zip(targets, teachers, strict=True)}) == 4
    assert {name for name in teachers if "seed-1+2+3" in name} == {"lstm-1x32.nll/seed-1+2+3"}


def test_a_plan_may_have_two_thousand_jobs(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    workspace.edit_config(seeds=list(range(1, 56)))
    assert len(workspace.plan()) > 2000


def test_smoke_end_to_end(smoke_run: RealRun):
    """Every step for real; then there is nothing left to do."""
    workspace, done = smoke_run.workspace, smoke_run.done
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    results = workspace.folder / "results" / "smoke"
    table = (results / "tables" / "results.md").read_text(encoding="utf-8")
    assert table.strip() in done.stdout
    for row in ("baseline", "word-kd", "seq-kd+seq-inter"):
        assert row in (results / "tables" / "results.csv").read_text(encoding="utf-8")
    scores = [json.loads(path.read_text()) for path in results.glob("evaluations/*/*/test.json")]
    assert len(scores) == 12
    assert not list(results.rglob("state"))
    assert workspace.snakemake("--dry-run", real=True).stdout.count("rule ") == 0
