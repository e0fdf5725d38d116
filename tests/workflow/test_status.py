"""`seqkd status` and the events that it reads: done, running, failed, waiting."""

from __future__ import annotations

import argparse
import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from processes import seqkd
from seqkd.machine import progress
from seqkd.machine.progress import STOPPED
from seqkd.runs.dry_run import Plan
from seqkd.runs.events import (
    FOLDER,
    Event,
    Job,
    Run,
    in_one_line,
    is_running,
    last_run,
    read_run,
)  # fmt: skip
from seqkd.runs.job_log import last_lines, progress_in, was_stopped
from seqkd.steps import status
from workflow_harness import Workspace

SELECT = Job(rule="select", output=("results/x/t.de",), log="results/x/logs/select/t.log")
TRAIN = Job(
    rule="train",
    wildcards={"trained": "m", "seed": "1"},
    output=("results/x/m.safetensors", "results/x/curve.jsonl"),
)
EVENTS = [
    Event(kind="start", time=1.0),
    Event(kind="total", time=1.5, total=3),
    Event(kind="job", time=2.0, job_id=5, job=Job(rule="settings", output=("results/x/a.yaml",))),
    Event(kind="finished", time=2.5, job_id=5),
    Event(kind="progress", time=2.5, done=1, total=3),
    Event(kind="job", time=3.0, job_id=7, job=TRAIN),
    Event(kind="job", time=3.0, job_id=8, job=SELECT),
    Event(kind="failed", time=4.0, job_id=8),
]


def write(path: Path, events: list[Event]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(event.to_line() for event in events), encoding="utf-8")
    return path


def test_events_give_the_state_of_each_job(tmp_path: Path):
    run = read_run(write(tmp_path / "run.jsonl", EVENTS))
    assert run.states == {5: "finished", 7: "running", 8: "failed"}
    assert (run.done, run.total, run.ended) == (1, 3, False)
    assert run.jobs[7] == TRAIN
    assert run.by_output()["results/x/curve.jsonl"] == "running"
    assert TRAIN.title == "train m seed-1"


def test_a_job_that_is_tried_again_is_running():
    run = Run()
    for event in [*EVENTS, Event(kind="job", time=5.0, job_id=8, job=SELECT)]:
        run.add(event)
    assert run.states[8] == "running"


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path):
    path = write(tmp_path / "run.jsonl", EVENTS)
    path.write_text(path.read_text() + '{"kind": "fin')
    assert read_run(path).states[7] == "running"


def test_the_last_run_of_an_experiment_is_found(tmp_path: Path):
    # The clock was set back between the first and the second.
    for place, name in enumerate(("03", "02", "01")):
        path = write(tmp_path / f"2026-01-{name}.jsonl", EVENTS[:2] if name == "01" else EVENTS)
        os.utime(path, (place, place))
    newest = tmp_path / "2026-01-02.jsonl"  # the one after it had nothing to do
    run = last_run(Path("results/x"), tmp_path)
    assert run is not None
    assert run.path == newest
    assert last_run(Path("results/y"), tmp_path) is None


def test_lines_that_a_power_failure_left_are_skipped(tmp_path: Path):
    path = write(tmp_path / "run.jsonl", EVENTS)
    whole = read_run(path)
    path.write_bytes(path.read_bytes() + bytes(80) + b"\n")
    assert read_run(path) == whole


def test_a_run_is_alive_while_its_events_are_locked(tmp_path: Path):
    path = write(tmp_path / "run.jsonl", EVENTS)
    assert not is_running(None)
    assert not is_running(read_run(path))
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert is_running(read_run(path))
        file.write(Event(kind="end", time=9.0).to_line())
        file.flush()
        assert not is_running(read_run(path))


def test_the_last_progress_counts(tmp_path: Path):
    log = tmp_path / "train.log"
    log.write_text(
        "train m: 10/2,000, 5,000 target tokens/s loss 7.100, 1h 03m left\n"
        "epoch 1  update 100  dev BLEU 1.0\n"
        "train m: 1,500/2,000, 6,000 target tokens/s loss 3.100, 2m 05s left\n"
        "epoch 2  update 1,600  dev BLEU 9.0\n"
    )
    last = progress_in(str(log))
    assert last is not None
    assert (last.done, last.total, last.rate, last.note, last.left) == (
        1500, 2000, "6,000 target tokens/s", "loss 3.100", "2m 05s",
    )  # fmt: skip
    assert progress_in(str(tmp_path / "none.log")) is None


def test_progress_as_it_is_really_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    with progress.Progress("decode 1/2", 1000, "sentences") as shown:
        shown.advance(300, 300)
        shown.advance(100, 100, "slow")
        log = tmp_path / "log"
        log.write_text(capsys.readouterr().err)
    last = progress_in(str(log))
    assert last is not None
    assert (last.done, last.total, last.note) == (400, 1000, "slow")


def test_last_lines_skip_empty_ones(tmp_path: Path):
    (tmp_path / "log").write_text("one\n\ntwo\n\nthree\n\n")
    assert last_lines(str(tmp_path / "log"), 2) == ["two", "three"]


def test_a_job_that_was_stopped_is_told_from_one_that_failed(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("seqkd train: file not found: x\n")
    assert not was_stopped(str(log))
    log.write_text(f"epoch 1\nseqkd train: {STOPPED}\n")
    assert was_stopped(str(log))


def test_a_failed_job_is_shown_with_its_log(finished: Workspace):
    (finished.folder / "results/smoke/tables/results.md").unlink()
    # The real step meets the scores of a stand-in.
    assert finished.snakemake(real=True).returncode != 0
    shown = seqkd("status", finished.config, folder=finished.folder)
    assert shown.returncode == 0, shown.stderr
    assert "Stopped after failures" in shown.stdout
    assert "failed: table results" in shown.stdout
    assert "    seqkd table: results/smoke/evaluations/" in shown.stdout


def test_a_finished_experiment_is_finished(finished_once: Workspace):
    shown = seqkd("status", finished_once.config, folder=finished_once.folder)
    assert "Finished" in shown.stdout
    assert "failed:" not in shown.stdout
    run = last_run(Path("results/smoke"), finished_once.folder / ".snakemake" / "seqkd")
    assert run is not None
    assert run.ended
    assert run.done == run.total == len(run.jobs)
    assert set(run.states.values()) == {"finished"}


def test_jobs_that_start_and_end_while_the_plan_is_made_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    later = [
        Event(kind="finished", time=5.0, job_id=7),
        Event(kind="job", time=5.0, job_id=9, job=Job(rule="align", output=("results/x/lexicon",))),
    ]
    path = write(tmp_path / FOLDER / "run.jsonl", EVENTS[:6])
    finished = EVENTS[2].job

    def slow_plan(configs: object) -> Plan:
        write(path, EVENTS[:6] + later)
        return Plan([], [TRAIN, later[1].job, finished])  # the last one's config has changed

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(status, "plan", slow_plan)
    monkeypatch.setattr(
        status, "load", lambda configs: SimpleNamespace(config=SimpleNamespace(experiment="x"))
    )
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        status.run(argparse.Namespace(config=["smoke"], lines=5))
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines()][:12]
    counts = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows if len(row) == 5}
    assert counts["train"] == ["1", "-", "-", "-"]
    assert counts["align"] == ["-", "1", "-", "-"]
    assert counts["settings"] == ["-", "-", "-", "1"]


def test_a_traceback_is_told_by_its_last_line():
    message = (
        'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    run()\n'
        "    ^^^^^\nOSError: [Errno 28] No space left on device\n"
    )
    assert in_one_line(message) == "OSError: [Errno 28] No space left on device"
