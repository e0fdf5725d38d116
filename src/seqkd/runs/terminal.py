"""What a run shows on a terminal: a line for each finished job, and below them the running ones.

Jobs write to logs of their own; only this writes to the terminal. The last progress that a job
reported in its log is shown next to its name, wherever it runs.
"""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from seqkd.machine.progress import duration
from seqkd.runs.events import Event, Run
from seqkd.runs.job_log import last_lines, progress_in, was_stopped

_SHORT_SECONDS = 1.0  # jobs that take less pass without a line
_ROWS = 12  # running jobs; a cluster may have hundreds
_FAILED_LINES = 5
_BAR_WIDTH = 16


class Terminal:
    """The display of one run.

    Args:
        console: where it is shown (default: standard error).
    """

    def __init__(self, console: Console | None = None) -> None:
        self.run = Run()
        self._console = console or Console(stderr=True, highlight=False)
        self._began: float | None = None
        self._failed: set[int] = set()
        self._early: list[str] = []
        self._closed = False
        # What others print, such as the table at the end, appears above the display.
        self._live = Live(
            console=self._console,
            get_renderable=self.picture,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def show(self, event: Event) -> None:
        """Take an event into account."""
        self.run.add(event)
        match event.kind:
            case "start":
                self._began = event.time
                self._early.clear()
            case "total":
                self._live.start()
            case "finished":
                self._finished(event)
            case "failed":
                self._failure(event.job_id)
            case "progress" if event.done == event.total:
                self._live.stop()  # the table that follows has the terminal to itself

    def say(self, words: str, *, important: bool) -> None:
        """Print what Snakemake says, but not its small talk while it runs jobs."""
        if important:
            self._console.print(escape(words), soft_wrap=True)
        elif self._began is None:
            self._early.append(words)

    def close(self) -> None:
        """Remove the display and say how the run ended, once."""
        if self._closed:
            return
        self._closed = True
        self._live.stop()
        run = self.run
        for words in self._early:  # no run, but for example `snakemake --lint`
            print(words, file=sys.stderr)
        if self._failed:
            jobs = "1 job" if len(self._failed) == 1 else f"{len(self._failed)} jobs"
            self._print(
                f"[bold red]{jobs} failed[/], {run.done} of {run.total} jobs are done. "
                "Fix the cause and run the same command again."
            )
            return
        if not any(was_stopped(run.jobs[number].log) for number in run.with_state("failed")):
            for message in dict.fromkeys(run.errors):
                self._print(f"[bold red]error:[/] {escape(message)}")
        if run.errors and run.done < run.total:
            self._print(
                f"Stopped at {run.done} of {run.total} jobs. Run the same command to continue."
            )
        elif self._began and not (run.total or run.errors):
            self._print("Nothing to do: all results are up to date.")

    def _finished(self, event: Event) -> None:
        """Print how long a job took."""
        seconds = event.time - self.run.started.get(event.job_id, event.time)
        if seconds >= _SHORT_SECONDS:
            title = self.run.jobs[event.job_id].title
            self._print(f"{duration(seconds):>8}  {escape(title)}")

    def _failure(self, number: int) -> None:
        """Print which job failed and why, once; a job that was stopped has not failed."""
        job = self.run.jobs.get(number)
        if job is None or number in self._failed or was_stopped(job.log):
            return
        self._failed.add(number)
        show_failure(self._console, job.title, job.log, _FAILED_LINES)

    def _print(self, markup: str) -> None:
        self._console.print(markup, soft_wrap=True)

    def picture(self) -> Table:
        """Return the running jobs and the progress of the whole run."""
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(width=_BAR_WIDTH)
        table.add_column(no_wrap=True, overflow="ellipsis")
        run = self.run
        numbers = run.with_state("running")
        for number in numbers[:_ROWS]:
            bar, words = _progress_of(run.jobs[number].log, run.started[number])
            table.add_row(Text(run.jobs[number].title), bar, words)
        if len(numbers) > _ROWS:
            table.add_row(Text(f"and {len(numbers) - _ROWS} more"), "", "")
        if run.total:
            table.add_row(
                Text(f"{run.done} of {run.total} jobs", style="bold"),
                ProgressBar(run.total, run.done, width=_BAR_WIDTH),
                duration(time.time() - (self._began or time.time())),
            )
        return table


def _progress_of(log: str, start: float) -> tuple[ProgressBar | str, str]:
    """Return how far a job is, as a bar and in words."""
    progress = progress_in(log)
    if progress is None:
        return "", duration(time.time() - start)
    bar = ProgressBar(progress.total, progress.done, width=_BAR_WIDTH)
    return bar, f"{progress.left} left, {progress.rate}"


def show_failure(console: Console, title: str, log: str, lines: int) -> None:
    """Print which job failed, and the last lines of its log."""
    console.print(f"[bold red]failed:[/] {escape(title)}", soft_wrap=True)
    empty = "(the log is empty: the job was killed, or never started, or the disk is full)"
    for line in last_lines(log, lines) or [empty]:
        console.print(f"    {escape(line)}", soft_wrap=True)
    if log:
        console.print(f"    log: {escape(log)}", soft_wrap=True)
