"""`seqkd plan`: jobs, reuse, what earlier runs took; and the dry run behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from processes import seqkd
from seqkd.runs.dry_run import plan
from seqkd.runs.events import Job
from seqkd.runs.measurements import Estimator, bytes_of, seconds_of
from workflow_harness import REPOSITORY, SMOKE, Workspace, make_workspace


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_a_plan_shows_what_runs_and_what_is_reused(finished: Workspace):
    finished.edit_config(seeds=[1, 2])
    shown = seqkd("plan", finished.config, "--cores", 2, folder=finished.folder)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    rows = {row[0]: row[1:] for line in lines if len(row := cells(line)) == 4}
    assert rows["vocab"][:2] == ["-", "1"]
    assert rows["train"][:2] == ["12", "12"]
    assert list(rows).index("vocab") < list(rows).index("train") < list(rows).index("table")
    assert "hours with 2 jobs at a time" in shown.stdout
    assert "Disk: " in shown.stdout


def test_files_that_are_replaced_need_no_more_disk(finished: Workspace):
    finished.edit_config(training__epochs=3)
    shown = seqkd("plan", finished.config, folder=finished.folder)
    assert "Disk: about 0 MB more; " in shown.stdout


def test_a_finished_experiment_has_nothing_to_do(finished: Workspace):
    shown = seqkd("plan", finished.config, folder=finished.folder)
    assert "Nothing to do" in shown.stdout


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_overlays_count(verb: str, finished: Workspace):
    (finished.folder / "more.yaml").write_text("seeds: [1, 2]\n", encoding="utf-8")
    shown = seqkd(verb, finished.config, "more.yaml", folder=finished.folder)
    assert shown.returncode == 0, shown.stderr
    rows = {row[0]: row[1:] for line in shown.stdout.splitlines() if len(row := cells(line)) > 3}
    assert sorted(rows["train"])[-2:] == ["12", "12"]


def test_a_run_without_a_file_of_its_name_asks_for_its_files(finished: Workspace):
    (finished.folder / "results" / "quick-ko-en").mkdir()
    shown = seqkd("status", "quick-ko-en", folder=finished.folder)
    assert shown.stderr == (
        "seqkd status: no quick-ko-en.yaml here; name the files that results/quick-ko-en was run "
        "with\n"
    )


def test_a_dry_run_gives_jobs_as_data(finished: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(finished.folder)
    (finished.folder / "results/smoke/tables/results.md").unlink()
    jobs = plan([finished.config])
    assert {job.rule for job in jobs.needed} == {"table"}
    table = next(job for job in jobs.needed if job.rule == "table")
    assert "results/smoke/tables/results.md" in table.output
    assert len(jobs.everything) > 60


def test_a_new_experiment_has_no_estimate_and_leaves_no_trace(tmp_path: Path):
    (tmp_path / "tests").symlink_to(SMOKE.parents[2] / "tests")
    shown = seqkd("plan", "smoke", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "Not estimated yet, because none of their jobs has run: " in shown.stdout
    assert "hours of work" not in shown.stdout
    assert not (tmp_path / "results").exists()
    kept = [path.name for path in (tmp_path / ".snakemake" / "seqkd").glob("*")]
    assert kept == ["digests.json"]  # spares reading the user's files again


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_a_folder_that_imports_the_workflow_has_a_plan(tmp_path: Path, snakefile: str):
    workspace = make_workspace(tmp_path)
    path = workspace.folder / snakefile
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"""
rule own:
    output: "own.txt"
module seqkd:
    snakefile: "{REPOSITORY}/workflow/Snakefile"
    config: config
use rule * from seqkd
""",
        encoding="utf-8",
    )
    for verb in ("plan", "status"):
        shown = seqkd(verb, workspace.config, folder=workspace.folder)
        assert shown.returncode == 0, shown.stderr
        assert "own" in [row[0] for line in shown.stdout.splitlines() if (row := cells(line))]


def test_an_error_of_snakemake_is_one_line(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    (workspace.folder / "tests/data/smoke/smoke.de").unlink()
    shown = seqkd("plan", workspace.config, folder=workspace.folder)
    assert shown.returncode == 1
    (line,) = shown.stderr.splitlines()
    assert line.startswith("seqkd plan: file not found: ")
    assert "tests/data/smoke/smoke.de" in line
    assert line.endswith("(input of rule corpus; paths in a config start at the current folder)")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("multi30", "did you mean 'multi30k'?"),
        ("nowhere.yaml", "file not found: nowhere.yaml"),
    ],
)
def test_an_unknown_experiment_is_an_error(word: str, message: str, tmp_path: Path):
    shown = seqkd("plan", word, folder=tmp_path)
    assert shown.returncode == 1
    assert message in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_a_mistake_in_the_config_is_one_line(tmp_path: Path):
    config = tmp_path / "mine.yaml"
    config.write_text(SMOKE.read_text().replace("evaluation:", "evaluatoin:"))
    shown = seqkd("plan", config, folder=tmp_path)
    assert shown.stderr == "seqkd plan: unknown key 'evaluatoin' (did you mean 'evaluation'?)\n"


def train(seed: int) -> Job:
    return Job(rule="train", benchmark=f"benchmarks/train/m/seed-{seed}.jsonl", output=(f"{seed}",))


def test_a_job_costs_what_it_cost_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "benchmarks/train/m"
    folder.mkdir(parents=True)
    (folder / "seed-1.jsonl").write_text('{"s": 40.0}\n')
    (folder / "seed-2.jsonl").write_text('{"s": 60.0}\n')
    (folder / "seed-4.jsonl").write_text("")  # as after a full disk
    (folder / "seed-5.jsonl").write_text('{"s": 8')
    seconds = Estimator([train(1), train(2)], seconds_of)
    assert seconds(train(3)) == 50.0  # the same model with another seed
    assert seconds(Job(rule="train", benchmark="benchmarks/train/other/seed-1.jsonl")) == 50.0
    assert seconds(Job(rule="decode", benchmark="benchmarks/decode/1-of-2.jsonl")) is None


def test_disk_follows_from_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("1").write_bytes(b"x" * 300)
    Path("2").write_bytes(b"x" * 100)
    size = Estimator([train(1), train(2), train(3)], bytes_of)
    assert [size(train(seed)) for seed in (1, 3)] == [300.0, 200.0]
