"""What a run does, as events, recorded from Snakemake's logger: one file a run, one JSON line each.

`seqkd status` and `seqkd plan` read these files; the display on a terminal builds on a `Run` too.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from pydantic import TypeAdapter

FOLDER = Path(".snakemake", "seqkd")
"""In the working directory of a run: the events of all runs, and a lock."""

WHERE_PATHS_START = "paths in a config start at the current folder"

State = Literal["running", "finished", "failed"]
Kind = Literal["start", "total", "job", "finished", "failed", "progress", "error", "end"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job of the workflow."""

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    output: tuple[str, ...] = ()
    log: str = ""
    benchmark: str = ""

    @property
    def title(self) -> str:
        """The rule and the values of its wildcards."""
        values = (f"seed-{v}" if k == "seed" else v for k, v in self.wildcards.items())
        return " ".join([self.rule, *values])


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event of a run.

    Attributes:
        kind: what happened; `start` and `end` belong to the run, `total` says how many jobs it has.
        time: in seconds since 1970.
        job_id: Snakemake's number of the job that it concerns.
        job: set where a job starts.
        done: jobs finished so far; total: jobs in all.
        message: of an error that is not a job's own.
    """

    kind: Kind
    time: float
    job_id: int = -1
    job: Job | None = None
    done: int = 0
    total: int = 0
    message: str = ""

    def to_line(self) -> str:
        """Return the event as a line of JSON."""
        return _EVENTS.dump_json(self).decode() + "\n"

    @staticmethod
    def from_line(line: str) -> Event:
        """Return the event that a line of JSON holds."""
        return _EVENTS.validate_json(line)


_EVENTS = TypeAdapter(Event)


def event_of(record: logging.LogRecord) -> Event | None:
    """Return the event that a log record of Snakemake announces; None for all other records."""
    data, now = record.__dict__, record.created
    match getattr(data.get("event"), "value", None):
        case "workflow_started":
            return Event(kind="start", time=now)
        case "run_info":
            return Event(kind="total", time=now, total=int(data["stats"]["total"]))
        case "job_info":
            job = Job(
                rule=data["rule_name"],
                wildcards=dict(data["wildcards"] or {}),
                output=tuple(data["output"]),
                log=next(iter(data["log"]), ""),
                benchmark=data["benchmark"] or "",
            )
            return Event(kind="job", time=now, job_id=int(data["jobid"]), job=job)
        case "job_finished":
            return Event(kind="finished", time=now, job_id=int(data["job_id"]))
        case "job_error":
            return Event(kind="failed", time=now, job_id=int(data["jobid"]))
        case "progress":
            done, total = int(data["done"]), int(data["total"])
            return Event(kind="progress", time=now, done=done, total=total)
    if record.levelno >= logging.ERROR:
        return Event(kind="error", time=now, message=in_one_line(record.getMessage()))
    return None


def in_one_line(message: str) -> str:
    """Return an error of Snakemake in one line, without where it was raised."""
    if "Traceback (most recent call last)" in message:
        message = message.rstrip().splitlines()[-1]
    noise = ("  File ", "Using workflow specific profile ")
    lines = [line.strip() for line in message.splitlines() if not line.startswith(noise)]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    lines = [line for line in lines if line]
    words = " ".join(lines)
    match = re.match(r"Missing input files for (rule \w+):", words)
    if match and "affected files:" in lines:
        files = ", ".join(lines[lines.index("affected files:") + 1 :])
        return f"file not found: {files} (input of {match[1]}; {WHERE_PATHS_START})"
    return words


class Recorder(logging.Handler):
    """Writes the events of a run to a file, which stays locked while the run is alive."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path.absolute()
        self._file: TextIO | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event, if the record is one."""
        if event := event_of(record):
            with contextlib.suppress(OSError):  # a full disk must not end the run
                self._write(event)

    def _write(self, event: Event) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # NFS gives a shared lock only to who may read.
            self._file = self._path.open("a+", encoding="utf-8", buffering=1)
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self._file.write(event.to_line())

    def close(self) -> None:
        """Write that the run ended."""
        if self._file:
            with contextlib.suppress(OSError):
                self._write(Event(kind="end", time=time.time()))
            self._file.close()
            self._file = None
        super().close()


@dataclass(slots=True)
class Run:
    """The state of a run after some of its events."""

    path: Path = Path()
    jobs: dict[int, Job] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    started: dict[int, float] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    errors: list[str] = field(default_factory=list)
    ended: bool = False

    def add(self, event: Event) -> None:
        """Take one more event into account."""
        match event.kind:
            case "total":
                self.total = event.total
            case "job" if event.job:
                self.jobs[event.job_id] = event.job
                self.states[event.job_id] = "running"
                self.started[event.job_id] = event.time
            case "finished" | "failed":
                self.states[event.job_id] = event.kind
            case "progress":
                self.done, self.total = event.done, event.total
            case "error":
                self.errors.append(event.message)
            case "end":
                self.ended = True

    def with_state(self, state: State) -> list[int]:
        """Return the numbers of the jobs that are running, finished or failed."""
        return [number for number in self.jobs if self.states[number] == state]

    def by_output(self) -> dict[str, State]:
        """Return the state of the job behind each file."""
        return {path: self.states[n] for n, job in self.jobs.items() for path in job.output}


def read_run(path: Path) -> Run:
    """Return the run whose events a file holds."""
    run = Run(path)
    for line in _complete_lines(path):
        with contextlib.suppress(ValueError):  # a power failure leaves NULs
            run.add(Event.from_line(line))
    return run


def _complete_lines(path: Path) -> Iterable[str]:
    """Return the lines of a file without one that is just being written."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return (line for line in lines if line.endswith("\n"))


def last_run(results: Path, folder: Path = FOLDER) -> Run | None:
    """Return the newest run that made files in an experiment's folder; None if there was none."""
    mark = f'"{results.as_posix()}/'
    for path in sorted(folder.glob("*.jsonl"), key=os.path.getmtime, reverse=True):
        if mark in path.read_text(encoding="utf-8"):
            return read_run(path)
    return None


def is_running(run: Run | None) -> bool:
    """Say whether a run is alive: it keeps its file of events locked.

    Where the file system has no locks, a run counts as alive until it says that it ended.
    """
    if run is None or run.ended:
        return False
    # NFS gives an exclusive lock only to who may write.
    with run.path.open("r+b" if os.access(run.path, os.W_OK) else "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
