"""What a run shows on a terminal: jobs side by side, failures once, and how it ended."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from processes import Process
from seqkd.machine.progress import STOPPED
from seqkd.runs.events import Event, Job, event_of
from seqkd.runs.terminal import Terminal
from workflow_harness import REPOSITORY, Workspace, make_workspace

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Screen:
    """A terminal and what appeared on it."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        console = Console(file=self.file, force_terminal=True, width=100, highlight=False)
        self.terminal = Terminal(console)
        self.now = time.time()

    def show(self, kind: str, **values: object) -> None:
        self.terminal.show(Event(kind=kind, time=self.now, **values))  # type: ignore[arg-type]

    def begin(self, total: int, done: int = 0) -> None:
        self.show("start")
        self.show("total", total=total)
        self.show("progress", done=done, total=total)

    def job(self, number: int, rule: str, log: object = "", **wildcards: str) -> None:
        self.show("job", job_id=number, job=Job(rule=rule, wildcards=wildcards, log=str(log)))

    def picture(self) -> list[str]:
        """The lines below all others, as they would be drawn now."""
        console = Console(file=io.StringIO(), width=100)
        console.print(self.terminal.picture())
        return console.file.getvalue().splitlines()  # type: ignore[attr-defined]

    def text(self) -> str:
        return CONTROL.sub("", self.file.getvalue())


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_jobs_side_by_side_have_a_line_each(screen: Screen, tmp_path: Path):
    screen.begin(56, done=7)
    for name, done in (("one", 250), ("two", 750)):
        log = tmp_path / f"{name}.log"
        log.write_text(f"train {name}: {done}/1,000, 5,000 target tokens/s loss 7.1, 2m 03s left\n")
        screen.job(done, "train", log, trained=name, seed="1")
    screen.job(3, "decode", tmp_path / "none.log", teacher="three")
    one, two, three, whole = screen.picture()
    assert one.startswith("train one seed-1")
    assert "2m 03s left, 5,000 target tokens/s" in one
    assert two.startswith("train two seed-1")
    assert three.split() == ["decode", "three", "0m", "00s"]
    assert whole.startswith("7 of 56 jobs")
    screen.terminal.close()


def test_hundreds_of_jobs_do_not_flood_the_screen(screen: Screen):
    for number in range(300):
        screen.job(number, "decode")
    assert len(screen.picture()) == 13
    assert "and 288 more" in screen.picture()[-1]
    screen.terminal.close()


def test_only_what_took_time_leaves_a_line(screen: Screen):
    screen.job(1, "settings")
    screen.job(2, "train", trained="[a]")
    screen.now += 0.5
    screen.show("finished", job_id=1)
    screen.now += 74.5
    screen.show("finished", job_id=2)
    screen.show("finished", job_id=99)  # never heard of it
    screen.terminal.close()
    lines = [line.strip() for line in screen.text().splitlines() if line.strip()]
    assert "1m 15s  train [a]" in lines
    assert not any(line.endswith("s  settings") for line in lines)


def test_a_failure_is_shown_once_with_the_end_of_its_log(screen: Screen, tmp_path: Path):
    log = tmp_path / "vocab.log"
    log.write_text("reading\nseqkd vocab: too little text [for this]\n")
    screen.begin(9, done=3)
    screen.job(4, "vocab", log)
    for _ in range(2):
        screen.show("failed", job_id=4)
    screen.show("error", message="Exiting because a job execution failed.")
    screen.terminal.close()
    screen.terminal.close()
    assert screen.text().count("failed: vocab") == 1
    assert "    seqkd vocab: too little text [for this]" in screen.text()
    assert "Exiting because" not in screen.text()
    assert "1 job failed, 3 of 9 jobs are done." in screen.text()


def test_what_is_stopped_has_not_failed(screen: Screen, tmp_path: Path):
    log = tmp_path / "train.log"
    log.write_text(f"seqkd train: {STOPPED}\n")
    screen.begin(9, done=3)
    screen.job(4, "train", log)
    screen.show("failed", job_id=4)
    screen.show("error", message="Exiting because a job execution failed.")
    screen.terminal.close()
    assert "failed" not in screen.text()
    assert "Stopped at 3 of 9 jobs. Run the same command to continue." in screen.text()


def test_an_error_before_any_job_is_shown(screen: Screen):
    screen.terminal.say("Building DAG of jobs...", important=False)
    screen.show("start")
    screen.show("error", message="seeds: expected a list [of numbers]")
    screen.terminal.close()
    assert "error: seeds: expected a list [of numbers]" in screen.text()
    assert "Building" not in screen.text()


def test_nothing_to_be_done_is_said(screen: Screen):
    screen.show("start")
    screen.terminal.close()
    assert "Nothing to do" in screen.text()


def test_without_a_run_everything_is_shown(screen: Screen, capsys: pytest.CaptureFixture[str]):
    screen.terminal.say("Congratulations, your workflow is in a good condition!", important=False)
    screen.terminal.close()
    assert "Congratulations" in capsys.readouterr().err


def test_errors_of_snakemake_lose_their_frames():
    message = 'WorkflowError in file "common.smk", line 37:\nseeds: empty\n  File "x", line 1, in y'
    record = logging.LogRecord("snakemake", logging.ERROR, "", 0, message, (), None)
    event = event_of(record)
    assert event is not None
    assert event.message == "seeds: empty"


def on_a_terminal(workspace: Workspace, *arguments: str) -> tuple[int, str]:
    """Start as `make run` does, on a pseudo terminal; return exit status and what it showed."""
    master, slave = pty.openpty()
    process = Process(
        "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--configfile", workspace.config,
        "--cores", 2, "--logger", "seqkd", *arguments,
        folder=workspace.folder, env=workspace.environment() | {"TERM": "xterm"}, terminal=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 1 << 16)
        except OSError:  # the other end was closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    return process.wait(), CONTROL.sub("", shown.decode())


def test_a_run_on_a_terminal(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    status, shown = on_a_terminal(workspace, "--until", "corpus")
    assert status == 0, shown
    assert "jobs" in shown
    assert "reason:" not in shown
    assert "Stopped" not in shown  # as far as was asked
    status, shown = on_a_terminal(workspace, "--until", "corpus")
    assert status == 0
    assert "Nothing to do: all results are up to date." in shown


def test_a_mistake_in_the_config_is_shown_on_a_terminal(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    workspace.edit_config(architectures__student__dropuot=0.1)
    status, shown = on_a_terminal(workspace)
    assert status == 1
    words = [line for line in shown.splitlines() if "dropuot" in line]
    message = "architectures.student: unknown key 'dropuot' (did you mean 'dropout'?)"
    assert words == [f"error: {message}"]


def test_other_commands_speak_for_themselves(tmp_path: Path):
    status, shown = on_a_terminal(make_workspace(tmp_path), "--lint")
    assert status == 0
    assert "Congratulations" in shown
