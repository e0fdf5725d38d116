"""What a run shows on a terminal: a line for each finished job, below them what is going on.

Jobs write to logs of their own, and only this writes to the terminal: any number of them may run
side by side, here or on a cluster, and none writes over another. What a running job last told its
log (`progress`) stands beside its name.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from seqkd.machine.progress import duration
from seqkd.runs.monitor import last_lines, progress_in

_WORTH_A_LINE = 1.0  # seconds: shorter jobs pass without one
_SHOWN = 12  # running jobs; a cluster may have hundreds
_FAILED_LINES = 5
_BAR = 16


@dataclass(slots=True)
class _Running:
    title: str
    log: str
    start: float


class Terminal:
    """The display of one run.

    Args:
        console: where it is shown; standard error when left out.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._running: dict[int, _Running] = {}
        self._failed: set[int] = set()
        self._done = self._total = 0
        self._stopped = self._closed = False
        self._errors: list[str] = []
        self._start = time.monotonic()
        # What others print meanwhile, such as the table at the end, comes out above the display.
        self._live = Live(
            console=self._console,
            get_renderable=self._picture,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()

    def steps(self, done: int, total: int) -> None:
        """Say how many jobs of how many are done."""
        self._done, self._total = done, total
        if 0 < total == done:
            self._live.stop()  # the table that follows has the terminal to itself

    def started(self, number: int, title: str, log: str) -> None:
        """Add a job; its log tells how far it is."""
        self._running[number] = _Running(title, log, time.monotonic())

    def finished(self, number: int) -> None:
        """Take a job away and say how long it took."""
        job = self._running.pop(number, None)
        if job is None:
            return
        seconds = time.monotonic() - job.start
        if seconds >= _WORTH_A_LINE:
            self._console.print(f"{_clock(seconds)}  {escape(job.title)}", soft_wrap=True)

    def failed(self, number: int, title: str, log: str) -> None:
        """Say that a job failed, and why."""
        known = self._running.pop(number, None)
        if self._stopped or number in self._failed:
            return  # what is stopped has not failed
        self._failed.add(number)
        show_failure(self._console, known.title if known else title, log, _FAILED_LINES)

    def stopped(self) -> None:
        """Say that the run ends before its time because somebody asked it to."""
        self._stopped = True

    def say(self, words: str) -> None:
        """Print words above the display."""
        self._console.print(escape(words), soft_wrap=True)

    def error(self, words: str) -> None:
        """Keep what went wrong for the end: it matters if no job has told of it by then."""
        self._errors.append(words)

    def close(self) -> None:
        """Take the display away and say how the run ended."""
        if self._closed:
            return
        self._closed = True
        self._live.stop()
        if self._failed:
            count = f"{len(self._failed)} job{'s' if len(self._failed) > 1 else ''} failed"
            self._console.print(
                f"[bold red]{count}[/], {self._done} of {self._total} steps are done and kept. "
                "Mend the cause and give the same command again.",
                soft_wrap=True,
            )
        elif self._errors and not self._stopped:
            for words in dict.fromkeys(filter(None, self._errors)):
                self._console.print(f"[bold red]error:[/] {escape(words)}", soft_wrap=True)
        elif self._stopped:
            self._console.print(
                f"Stopped at {self._done} of {self._total} steps. The same command goes on here.",
                soft_wrap=True,
            )

    def _picture(self) -> Table:
        """Return the running jobs and the whole."""
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(width=_BAR)
        table.add_column(no_wrap=True, overflow="ellipsis")
        jobs = list(self._running.values())
        for job in jobs[:_SHOWN]:
            table.add_row(Text(job.title), *_told(job))
        if len(jobs) > _SHOWN:
            table.add_row(Text(f"and {len(jobs) - _SHOWN} more"), "", "")
        if self._total:
            table.add_row(
                Text(f"{self._done} of {self._total} steps", style="bold"),
                ProgressBar(self._total, self._done, width=_BAR),
                duration(time.monotonic() - self._start),
            )
        return table


def _told(job: _Running) -> tuple[ProgressBar | str, str]:
    """Return how far a job is, as a bar and in words."""
    told = progress_in(job.log)
    if told is None:
        return "", duration(time.monotonic() - job.start)
    return ProgressBar(told.total, told.done, width=_BAR), f"{told.left} left, {told.rate}"


def _clock(seconds: float) -> str:
    return f"{duration(seconds):>8}"


def show_failure(console: Console, title: str, log: str, lines: int) -> None:
    """Print which job failed, and the last lines of its log."""
    console.print(f"[bold red]failed:[/] {escape(title)}", soft_wrap=True)
    empty = "(its log is empty: it was killed, or never started, or the disk is full)"
    for line in last_lines(log, lines) or [empty]:
        console.print(f"    {escape(line)}", soft_wrap=True)
    if log:
        console.print(f"    log: {escape(log)}", soft_wrap=True)
