"""Progress of long work: a live bar on a terminal, a quiet line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

LOG_SECONDS = 20.0  # between two lines in a log
STOPPED = "stopped by a signal"
"""The end of the last line in the log of a job that was stopped."""


class Progress:
    """Shows how far, how fast and how long still. Use as a context manager.

    Args:
        title: what is being done, such as `train lstm-2x64`.
        total: units of work in all.
        unit: name of what the rate counts, such as `tokens`.
        done: units already done by an earlier run that was stopped.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done, self._first = done, done
        self._count = 0
        self._start = self._last = time.monotonic()
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        """Start the bar if standard error is a terminal."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(
                self._title, total=self._total, completed=self._done, note=""
            )
        return self

    def advance(self, steps: int, count: int, note: str = "") -> None:
        """Report `steps` more units of work, which held `count` of what the rate counts."""
        self._done += steps
        self._count += count
        now = time.monotonic()
        rate = self._count / max(now - self._start, 1e-9)
        text = f"{rate:,.0f} {self._unit}/s {note}".rstrip()
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, note=text)
        elif now - self._last >= LOG_SECONDS:
            self._last = now
            self._line(f"{text}, {duration(self._remaining(now))} left")

    def _remaining(self, now: float) -> float:
        done = self._done - self._first
        return (self._total - self._done) * (now - self._start) / max(done, 1)

    def _line(self, text: str) -> None:
        print(f"{self._title}: {self._done:,}/{self._total:,}, {text}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print one line without disturbing the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the bar; say how long it took."""
        if self._bar is not None:
            self._bar.stop()
        if kind is None:
            seconds = time.monotonic() - self._start
            rate = self._count / max(seconds, 1e-9)
            self._line(f"{rate:,.0f} {self._unit}/s, done in {duration(seconds)}")


def duration(seconds: float) -> str:
    """Return a time in words: 2h 05m, or 5m 02s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"
