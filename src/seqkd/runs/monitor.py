"""What a run is doing: read from Snakemake's own log of it and from the logs of its jobs.

Nothing is asked of the running processes, so this works from another shell, on a cluster, and
while any number of jobs write. The job's lines of progress are those of `progress`.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(".snakemake")
QUIET_SECONDS = 600.0  # without a sign of life, a run without a held lock counts as stopped
_LOGS = 20  # of Snakemake that are looked at, newest first

_START = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$")
_ERROR = re.compile(r"^Error in rule (\w+):$")
_FIELD = re.compile(r"^    (jobid|output|log): (.*)$")
_FINISHED = re.compile(r"^Finished jobid: (\d+)\b")
_PROGRESS = re.compile(
    r"^(?P<title>.+): (?P<done>[\d,]+)/(?P<total>[\d,]+), (?P<rate>[\d,]+ [^,]+?/s)"
    r"(?P<note>.*), (?P<left>[^,]+) left$"
)

_STOPPING = ("Terminating processes on user request", "Will exit after finishing")

State = Literal["running", "finished", "failed", "stopped"]


@dataclass(slots=True)
class Started:
    """A job that a run has started."""

    rule: str
    output: tuple[str, ...] = ()
    log: str = ""
    state: State = "running"


@dataclass(frozen=True, slots=True)
class Run:
    """One call of Snakemake, from its log."""

    log: Path
    jobs: dict[str, Started]
    """By Snakemake's number of the job."""
    ended: bool
    stopped: bool = False
    """Somebody asked it to stop (Ctrl-C, SIGTERM)."""

    def by_output(self) -> dict[str, Started]:
        """Return the jobs by each file that they make."""
        return {path: job for job in self.jobs.values() for path in job.output}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, from the last such line of its log."""

    done: int
    total: int
    rate: str
    note: str
    left: str

    @property
    def share(self) -> float:
        """Part of the work that is done, 0 to 1."""
        return self.done / max(self.total, 1)


def read_run(lines: Iterable[str], log: Path = Path()) -> Run:
    """Return what a log of Snakemake says about its jobs."""
    jobs: dict[str, Started] = {}
    block: Started | None = None
    failing = ended = stopped = False
    for line in lines:
        if found := _START.match(line) or _ERROR.match(line):
            block, failing = Started(found[1]), bool(_ERROR.match(line))
        elif block is not None and (found := _FIELD.match(line)):
            match found[1]:
                case "output":
                    block.output = tuple(found[2].split(", "))
                case "log":
                    block.log = found[2].partition(" (check ")[0]
                case "jobid" if failing:
                    block.state = "stopped" if stopped else "failed"
                    jobs[found[2]] = block
                case "jobid":
                    jobs[found[2]] = block
        elif found := _FINISHED.match(line):
            jobs.setdefault(found[1], Started("")).state = "finished"
            block = None
        elif line.startswith(_STOPPING):
            stopped = True
        elif line.startswith("Complete log(s):"):
            ended = True
    return Run(log, jobs, ended, stopped)


def last_run(results: Path, folder: Path = FOLDER) -> Run | None:
    """Return the newest run that had to do with a results folder; None if there was none."""
    mark = f"{results.as_posix()}/"
    for path in sorted((folder / "log").glob("*.snakemake.log"), reverse=True)[:_LOGS]:
        text = path.read_text(encoding="utf-8", errors="replace")
        if mark in text:
            return read_run(text.splitlines(), path)
    return None


def is_going_on(run: Run | None, folder: Path = FOLDER) -> bool:
    """Say whether Snakemake is at work in this folder.

    `make run` holds a lock that dies with it. Snakemake called by itself leaves its own lock behind
    when it is killed, so that one counts only while some log is still being written.
    """
    if _is_held(folder / "seqkd.lock"):
        return True
    if run is None or run.ended or not any((folder / "locks").glob("*.lock")):
        return False
    logs = [run.log, *(Path(job.log) for job in run.jobs.values() if job.state == "running")]
    signs = [path.stat().st_mtime for path in logs if path.is_file()]
    return time.time() - max(signs, default=0.0) < QUIET_SECONDS


def _is_held(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def progress_in(log: str) -> Progress | None:
    """Return the progress that a job told last; None if it told none yet."""
    for line in reversed(last_lines(log, 200)):
        if found := _PROGRESS.match(line):
            return Progress(
                int(found["done"].replace(",", "")),
                int(found["total"].replace(",", "")),
                found["rate"],
                found["note"].strip(),
                found["left"],
            )
    return None


def last_lines(log: str, count: int) -> list[str]:
    """Return the last lines of a log that say something; none if there is no log."""
    if not log or not Path(log).is_file():
        return []
    lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-count:]
