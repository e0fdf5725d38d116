"""What the log of a job says: how far the job is, and how it ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from seqkd.machine.progress import STOPPED

# A line of `machine.progress`.
_PROGRESS = re.compile(
    r"^(?P<title>.+): (?P<done>[\d,]+)/(?P<total>[\d,]+), (?P<rate>[\d,]+ [^,]+?/s)"
    r"(?P<note>.*), (?P<left>[^,]+) left$"
)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is."""

    done: int
    total: int
    rate: str
    note: str
    left: str


def progress_in(log: str) -> JobProgress | None:
    """Return the last progress that a job reported; None if it reported none yet."""
    for line in reversed(last_lines(log, 200)):
        if match := _PROGRESS.match(line):
            done, total = (int(match[name].replace(",", "")) for name in ("done", "total"))
            return JobProgress(done, total, match["rate"], match["note"].strip(), match["left"])
    return None


def was_stopped(log: str) -> bool:
    """Say whether a job ended because somebody, or the scheduler, stopped it: no failure."""
    return any(line.endswith(STOPPED) for line in last_lines(log, 100))


def last_lines(log: str, count: int) -> list[str]:
    """Return the last lines of a log that are not empty; none if there is no log."""
    if not log or not Path(log).is_file():
        return []
    lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-count:]
