"""`seqkd plan`: jobs, reuse, estimates; and the dry run behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from command_line import seqkd
from seqkd.config.architecture import LstmConfig
from seqkd.config.training import ObjectiveConfig, TrainingConfig
from seqkd.runs.estimates import Estimator, Text, measure_text
from seqkd.runs.planning import Job, find_config, load, plain_error, plan, wall_seconds
from seqkd.runs.probe import Probe, Setting
from seqkd.training import trainer
from workflow_harness import SMOKE, Workspace

SMALL = LstmConfig(layers=1, width=16)


@pytest.fixture(scope="module")
def probe() -> Probe:
    setting = Setting(src_vocab=50, tgt_vocab=50, src_tokens=4.0, tgt_tokens=4.0, top_k=4)
    return Probe(setting, torch.device("cpu"))


@pytest.mark.workflow
def test_a_plan_tells_what_runs_and_what_is_reused(finished: Workspace):
    finished.edit_config(seeds=[1, 2])
    told = seqkd("plan", finished.config, "--no-probe", folder=finished.folder)
    assert told.returncode == 0, told.stderr
    rows = {
        cells[0]: cells[1:] for line in told.stdout.splitlines() if len(cells := _cells(line)) == 3
    }
    assert rows["vocab"] == ["-", "1"]
    assert rows["train"] == ["12", "12"]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│ ").split("│")]


@pytest.mark.workflow
def test_a_finished_experiment_has_nothing_to_do(finished: Workspace):
    told = seqkd("plan", finished.config, folder=finished.folder)
    assert "Nothing to do" in told.stdout


@pytest.mark.workflow
def test_a_dry_run_gives_jobs_as_data(finished: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(finished.folder)
    (finished.folder / "results/smoke/tables/results.md").unlink()
    planned = plan(finished.config)
    assert {job.rule for job in planned.needed} == {"table", "report"}
    table = next(job for job in planned.needed if job.rule == "table")
    assert "results/smoke/tables/results.md" in table.output
    assert len(planned.everything) > 60


@pytest.mark.workflow
def test_a_new_experiment_is_estimated(tmp_path: Path):
    (tmp_path / "tests").symlink_to(SMOKE.parents[2] / "tests")
    told = seqkd("plan", "smoke", "--device", "cpu", "--cores", 2, folder=tmp_path)
    assert told.returncode == 0, told.stderr
    for word in ("CPU hours", "a probe of this machine", "Disk:", "2 jobs side by side"):
        assert word in told.stdout
    assert "days" not in told.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("multi30", "did you mean 'multi30k'?"),
        ("nowhere.yaml", "file not found: nowhere.yaml"),
    ],
)
def test_an_unknown_experiment_is_told(word: str, message: str, tmp_path: Path):
    told = seqkd("plan", word, folder=tmp_path)
    assert told.returncode == 1
    assert message in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_mistake_in_the_config_is_one_line(tmp_path: Path):
    config = tmp_path / "mine.yaml"
    config.write_text(SMOKE.read_text().replace("evaluation:", "evaluatoin:"))
    told = seqkd("plan", config, folder=tmp_path)
    assert told.stderr == "seqkd plan: evaluatoin: unknown key (did you mean 'evaluation'?)\n"


def test_errors_of_snakemake_lose_their_frames():
    message = 'WorkflowError in file "common.smk", line 37:\nseeds: empty\n  File "x", line 1, in y'
    assert plain_error(message) == "seeds: empty"


def test_jobs_side_by_side_take_the_longest_chain_first():
    chain = [Job(rule="a", output=("1",)), Job(rule="b", input=("1",), output=("2",))]
    others = [Job(rule="c", output=(f"c{n}",)) for n in range(2)]
    assert wall_seconds([*others, *chain], lambda job: 1.0, 1) == 4
    # On two cores the chain starts at once, and the others fill the second core.
    assert wall_seconds([*others, *chain], lambda job: 1.0, 2) == 2
    assert wall_seconds([], lambda job: 1.0, 2) == 0


def test_a_long_chain_of_jobs_is_no_problem():
    chain = [Job(rule="a", input=(str(n),), output=(str(n + 1),)) for n in range(5_000)]
    assert wall_seconds(chain, lambda job: 1.0, 8) == 5_000


def test_a_probe_measures_and_remembers(probe: Probe):
    seconds = probe.seconds_a_pair(SMALL, TrainingConfig(), ObjectiveConfig(), None)
    assert seconds > 0
    assert probe.seconds_a_pair(SMALL, TrainingConfig(), ObjectiveConfig(), None) == seconds
    beam = probe.seconds_a_sentence(SMALL, 8)
    assert probe.seconds_a_sentence(SMALL, 8) == beam > 0


def test_a_probe_does_not_stop_among_the_short_batches(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
):
    lengths = []
    plan = trainer.plan_batches

    def spied(data, *args, **options):
        batches = plan(data, *args, **options)
        lengths.append([float(data.tgt.lengths[batch].mean()) for batch in batches])
        return batches

    monkeypatch.setattr(trainer, "plan_batches", spied)
    config = TrainingConfig(curriculum_epochs=1, batch_sentences=48)
    probe.seconds_a_pair(SMALL, config, ObjectiveConfig(), None)
    assert lengths[0] != sorted(lengths[0])


def test_word_kd_is_probed_with_its_soft_targets(probe: Probe):
    for kind in ("top-k", "alongside"):
        objective = ObjectiveConfig(kd_weight=0.5, soft_targets=kind)
        assert probe.seconds_a_pair(SMALL, TrainingConfig(), objective, SMALL) > 0


def test_disk_follows_from_sizes(probe: Probe):
    text = Text(pairs=1_000, src_tokens=4.0, tgt_tokens=4.0, origin="")
    estimator = Estimator(load(find_config("smoke")), text, probe)
    soft = Job(rule="soft_targets", wildcards={"targets": "gold"})
    assert estimator.gigabytes([soft]) == {
        "top-k distributions": pytest.approx(1e-9 * 1_000 * 5 * 8 * 6)
    }
    model = Job(rule="train", wildcards={"trained": "lstm-1x16.nll", "seed": "1"})
    weights = probe.parameters(load(find_config("smoke")).models["lstm-1x16.nll", 1].architecture)
    assert estimator.gigabytes([model]) == {"models": pytest.approx(4e-9 * weights)}


def test_a_job_that_ran_before_costs_what_it_cost(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/smoke/benchmarks/train/lstm-1x16.nll"
    folder.mkdir(parents=True)
    (folder / "seed-1.jsonl").write_text('{"s": 40.0}\n')
    (folder / "seed-2.jsonl").write_text('{"s": 60.0}\n')
    text = Text(pairs=1_000, src_tokens=4.0, tgt_tokens=4.0, origin="")
    estimator = Estimator(load(find_config("smoke")), text, probe)
    job = Job(
        rule="train",
        wildcards={"trained": "lstm-1x16.nll", "seed": "3"},
        benchmark="results/smoke/benchmarks/train/lstm-1x16.nll/seed-3.jsonl",
    )
    assert estimator.seconds(job) == 50.0


def test_text_is_counted_in_local_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(SMOKE.parents[2])
    experiment = load(find_config("smoke"))
    lines = Path("tests/data/smoke/smoke.de").read_text(encoding="utf-8").count("\n")
    if not Path("results/smoke/corpus").exists():
        assert measure_text(experiment, None).pairs == lines
    assert measure_text(experiment, 7).pairs == 7
