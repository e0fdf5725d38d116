"""What a run shows on a terminal: jobs side by side, failures once, and how it ended."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from seqkd.runs.terminal import Terminal
from workflow_harness import REPOSITORY, Workspace, make_workspace

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def terminal(shown: io.StringIO) -> Terminal:
    return Terminal(Console(file=shown, force_terminal=True, width=100, highlight=False))


def plain(shown: io.StringIO) -> str:
    return CONTROL.sub("", shown.getvalue())


def picture(terminal: Terminal) -> list[str]:
    """The lines below all others, as they would be drawn now."""
    console = Console(file=io.StringIO(), width=100)
    console.print(terminal._picture())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_jobs_side_by_side_have_a_line_each(terminal: Terminal, tmp_path: Path):
    for name, done in (("one", 250), ("two", 750)):
        log = tmp_path / f"{name}.log"
        log.write_text(f"train {name}: {done}/1,000, 5,000 target tokens/s loss 7.1, 2m 03s left\n")
        terminal.started(done, f"train {name} seed-1", str(log))
    terminal.started(3, "decode three", str(tmp_path / "none.log"))
    terminal.steps(7, 56)
    one, two, three, whole = picture(terminal)
    assert one.startswith("train one seed-1")
    assert "2m 03s left, 5,000 target tokens/s" in one
    assert two.startswith("train two seed-1")
    assert three.split() == ["decode", "three", "0m", "00s"]
    assert whole.startswith("7 of 56 steps")
    terminal.close()


def test_hundreds_of_jobs_do_not_flood_the_screen(terminal: Terminal):
    for number in range(300):
        terminal.started(number, f"decode {number}", "")
    assert len(picture(terminal)) == 13
    assert "and 288 more" in picture(terminal)[-1]
    terminal.close()


def test_only_what_took_time_leaves_a_line(
    terminal: Terminal, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    terminal.started(1, "settings", "")
    terminal.started(2, "train [a]", "")
    now = 100.5
    terminal.finished(1)
    now = 175.0
    terminal.finished(2)
    terminal.finished(99)  # never heard of it
    terminal.close()
    lines = [line.strip() for line in plain(shown).splitlines() if line.strip()]
    assert "1m 15s  train [a]" in lines
    assert not any(line.endswith("s  settings") for line in lines)


def test_a_failure_is_told_once_with_the_end_of_its_log(
    terminal: Terminal, shown: io.StringIO, tmp_path: Path
):
    log = tmp_path / "vocab.log"
    log.write_text("reading\nseqkd vocab: too little text [for this]\n")
    terminal.steps(3, 9)
    terminal.started(4, "vocab", str(log))
    for _ in range(2):
        terminal.failed(4, "vocab", str(log))
    terminal.error("Exiting because a job execution failed.")
    terminal.close()
    terminal.close()
    told = plain(shown)
    assert told.count("failed: vocab") == 1
    assert "    seqkd vocab: too little text [for this]" in told
    assert "Exiting because" not in told
    assert told.count("1 job failed, 3 of 9 steps are done and kept.") == 1


def test_what_is_stopped_has_not_failed(terminal: Terminal, shown: io.StringIO):
    terminal.steps(3, 9)
    terminal.started(4, "train", "")
    terminal.stopped()
    terminal.failed(4, "train", "")
    terminal.error("Exiting because a job execution failed.")
    terminal.close()
    assert "failed" not in plain(shown)
    assert "The same command goes on here." in plain(shown)


def test_a_run_that_was_stopped_says_how_to_go_on(terminal: Terminal, shown: io.StringIO):
    terminal.steps(3, 9)
    terminal.stopped()
    terminal.close()
    assert "Stopped at 3 of 9 steps. The same command goes on here." in plain(shown)


def test_an_error_before_any_job_is_told(terminal: Terminal, shown: io.StringIO):
    terminal.error("seeds: expected a list [of numbers]")
    terminal.close()
    assert "error: seeds: expected a list [of numbers]" in plain(shown)


def on_a_terminal(workspace: Workspace, *arguments: str) -> tuple[int, str]:
    """Start as `make run` does, on a pseudo terminal; return exit status and what it showed."""
    master, slave = pty.openpty()
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(workspace._stand_in()), os.environ["PATH"]]),
        "PYTHONPATH": str(REPOSITORY / "src"),
        "TERM": "xterm",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "seqkd.runs.launch", "--snakefile", str(REPOSITORY / "Snakefile"),
         "--configfile", str(workspace.config), "--cores", "2", *arguments],
        stdout=slave, stderr=slave, cwd=workspace.folder, env=environment,
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


@pytest.mark.workflow
def test_a_run_on_a_terminal(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    status, told = on_a_terminal(workspace, "--until", "corpus")
    assert status == 0, told
    assert "steps" in told
    assert "reason:" not in told
    assert list((workspace.folder / ".snakemake" / "log").glob("*.log"))  # what `status` reads
    assert "Stopped" not in told  # as far as was asked


@pytest.mark.workflow
def test_a_mistake_in_the_config_is_told_on_a_terminal(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    workspace.edit_config(architectures__student__dropuot=0.1)
    status, told = on_a_terminal(workspace)
    assert status == 1
    words = [line for line in told.splitlines() if "dropuot" in line]
    assert words == ["error: architectures.student.dropuot: unknown key (did you mean 'dropout'?)"]
