"""`seqkd status`: done, running, failed, waiting, read from logs."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from command_line import seqkd
from seqkd.runs.monitor import is_going_on, last_lines, last_run, progress_in, read_run
from workflow_harness import Workspace

LOG = """\
[Tue Nov 24 08:04:29 2026]
localrule settings:
    output: results/x/corpus/config.yaml
    log: results/x/logs/settings/corpus/config.log
    jobid: 5
[Tue Nov 24 08:04:29 2026]
Finished jobid: 5 (Rule: settings)
1 of 69 steps (1%) done
rule train:
    input: a
    output: results/x/models/m/seed-1/model.safetensors, results/x/models/m/seed-1/curve.jsonl
    log: results/x/logs/train/m/seed-1.log
    jobid: 7
rule select:
    output: results/x/distilled/t.de
    log: results/x/logs/select/t.log
    jobid: 8
Error in rule select:
    message: None
    jobid: 8
    output: results/x/distilled/t.de
    log: results/x/logs/select/t.log (check log file(s) for error details)
"""


def test_a_log_tells_the_state_of_each_job():
    run = read_run(LOG.splitlines())
    assert {number: job.state for number, job in run.jobs.items()} == {
        "5": "finished", "7": "running", "8": "failed",
    }  # fmt: skip
    assert run.jobs["8"].log == "results/x/logs/select/t.log"
    assert run.by_output()["results/x/models/m/seed-1/curve.jsonl"].rule == "train"
    assert not run.ended


def test_a_job_that_is_tried_again_is_running():
    again = "rule select:\n    output: results/x/distilled/t.de\n    jobid: 8\n"
    assert read_run((LOG + again).splitlines()).jobs["8"].state == "running"


def test_a_job_that_was_stopped_has_not_failed():
    words = "Terminating processes on user request, this might take some time.\n"
    run = read_run(LOG.replace("Error in rule", f"{words}Error in rule").splitlines())
    assert run.stopped
    assert run.jobs["8"].state == "stopped"
    assert not read_run(LOG.splitlines()).stopped


def test_the_last_progress_counts(tmp_path: Path):
    log = tmp_path / "train.log"
    log.write_text(
        "train m: 10/2,000, 5,000 target tokens/s loss 7.100, 1h 03m left\n"
        "epoch 1  update 100  dev BLEU 1.0\n"
        "train m: 1,500/2,000, 6,000 target tokens/s loss 3.100, 2m 05s left\n"
        "epoch 2  update 1,600  dev BLEU 9.0\n"
    )
    told = progress_in(str(log))
    assert told is not None
    assert (told.share, told.rate, told.note, told.left) == (
        0.75, "6,000 target tokens/s", "loss 3.100", "2m 05s",
    )  # fmt: skip
    assert progress_in(str(tmp_path / "none.log")) is None


def test_progress_as_it_is_really_written(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    from seqkd.machine import progress

    shown = progress.Progress("decode 1/2", 1000, "sentences")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "LOG_SECONDS", 0.0)
        with shown:
            shown.advance(300, 300)
            shown.advance(100, 100, "slow")
            log = tmp_path / "log"
            log.write_text(capsys.readouterr().err)
    told = progress_in(str(log))
    assert told is not None
    assert (told.done, told.total, told.note) == (400, 1000, "slow")


def test_last_lines_skip_empty_ones(tmp_path: Path):
    (tmp_path / "log").write_text("one\n\ntwo\n\nthree\n\n")
    assert last_lines(str(tmp_path / "log"), 2) == ["two", "three"]


def _run_folder(folder: Path) -> Path:
    (folder / ".snakemake/log").mkdir(parents=True)
    (folder / ".snakemake/locks").mkdir()
    log = folder / ".snakemake/log/2026-11-24T080428.062992.snakemake.log"
    log.write_text(LOG)
    return log


def test_a_held_lock_means_that_a_run_is_going_on(tmp_path: Path):
    _run_folder(tmp_path)
    run = last_run(Path("results/x"), tmp_path / ".snakemake")
    assert run is not None
    assert last_run(Path("results/y"), tmp_path / ".snakemake") is None
    assert not is_going_on(run, tmp_path / ".snakemake")
    with (tmp_path / ".snakemake/seqkd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_going_on(run, tmp_path / ".snakemake")
    assert not is_going_on(run, tmp_path / ".snakemake")


def test_a_lock_left_by_a_killed_run_is_not_believed_for_long(tmp_path: Path):
    log = _run_folder(tmp_path)
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    run = last_run(Path("results/x"), tmp_path / ".snakemake")
    assert is_going_on(run, tmp_path / ".snakemake")
    os.utime(log, (time.time() - 3600, time.time() - 3600))
    assert not is_going_on(run, tmp_path / ".snakemake")


@pytest.mark.workflow
def test_a_failed_job_is_shown_with_its_log(finished: Workspace):
    (finished.folder / "results/smoke/tables/results.md").unlink()
    # The real step meets the scores of a stand-in.
    assert finished.snakemake(real=True).returncode != 0
    told = seqkd("status", finished.config, folder=finished.folder)
    assert told.returncode == 0, told.stderr
    assert "Stopped, with failures" in told.stdout
    assert "failed: table results" in told.stdout
    assert "    seqkd table: results/smoke/evaluations/" in told.stdout


@pytest.mark.workflow
def test_a_finished_experiment_is_finished(finished_once: Workspace):
    told = seqkd("status", finished_once.config, folder=finished_once.folder)
    assert "Finished" in told.stdout
    assert "failed:" not in told.stdout
