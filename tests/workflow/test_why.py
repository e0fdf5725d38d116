"""`seqkd why`: reasons in words, followed back to where they begin."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from command_line import seqkd
from seqkd.runs.planning import Job
from seqkd.steps.why import own_reasons
from workflow_harness import Workspace

TABLE = "results/smoke/tables/results.md"


def reasons(text: str) -> list[str]:
    return list(own_reasons(Job(rule="train", reason=text)))


def test_what_only_follows_has_no_reason_of_its_own():
    assert reasons("Input files updated by another job: a, b") == []
    assert reasons("Missing output files: x; Input files updated by another job: a") == []


def test_missing_and_changed_files_are_named():
    assert reasons("Missing output files: x, y") == ["missing: x, y"]
    assert reasons("Updated input files: a") == ["changed since: a"]


def test_changed_code_is_told_apart_from_changed_settings():
    code = 'Params have changed since last execution: before: "aaaaaaaaaaaa" now: "bbbbbbbbbbbb"'
    assert reasons(code) == ["the code behind this step was changed"]
    setting = "Params have changed since last execution: before: 16 now: 8"
    assert reasons(setting) == ["was 16, is 8"]


def test_a_changed_config_is_told_by_key():
    before, now = (rf'"model: m\narchitecture:\n  dropout: {x}\nseed: 1"' for x in (0.0, 0.3))
    text = f"Params have changed since last execution: before: {before} now: {now}"
    assert reasons(text) == ["architecture.dropout: was 0.0, is 0.3"]


@pytest.mark.workflow
def test_an_up_to_date_file_is_told(finished_once: Workspace):
    told = seqkd("why", TABLE, "--config", finished_once.config, folder=finished_once.folder)
    assert told.stdout == f"{TABLE} is there and up to date: nothing would be made.\n"


@pytest.mark.workflow
def test_causes_are_found_and_grouped(finished: Workspace):
    finished.edit_config(architectures__student__dropout=0.3)
    told = seqkd("why", TABLE, "--config", finished.config, folder=finished.folder)
    assert "architecture.dropout: was 0.0, is 0.3" in told.stdout
    assert told.stdout.count("architecture.dropout") == 1
    assert "more would run because they read what those make" in told.stdout


@pytest.mark.workflow
def test_a_changed_source_text_is_the_one_cause(finished: Workspace):
    path = finished.folder / "tests/data/smoke/smoke.de"
    path.write_text(path.read_text(encoding="utf-8") + "Noch ein Satz.\n", encoding="utf-8")
    os.utime(path, (time.time() + 5, time.time() + 5))
    told = seqkd("why", TABLE, "--config", finished.config, folder=finished.folder)
    assert told.stdout.splitlines()[1:3] == [
        "corpus",
        "    changed since: tests/data/smoke/smoke.de",
    ]
    assert len(told.stdout.splitlines()) == 4


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("results/smoke/nowhere.txt", "nothing in this experiment makes results/smoke/nowhere.txt"),
        ("README.md", "expected a file below results/EXPERIMENT/"),
    ],
)
def test_other_files_are_refused(file: str, message: str, finished_once: Workspace):
    told = seqkd("why", file, "--config", finished_once.config, folder=finished_once.folder)
    assert told.returncode == 1
    assert message in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_the_experiment_is_found_by_the_folder(tmp_path: Path):
    told = seqkd("why", "results/multi30/report.html", folder=tmp_path)
    assert "did you mean 'multi30k'?" in told.stderr
