"""Progress of long work: a live bar on a terminal, an occasional line in a log."""

from __future__ import annotations

import sys
import time

from rich import progress as rich
from rich.console import Console

LOG_SECONDS = 20.0  # between two lines in a log
STOPPED = "stopped by a signal"
"""The end of the last line in the log of a job that was stopped."""


class Progress:
    """Shows how much is done, how fast it is, and the time left. Use as a context manager.

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
        self._bar = rich.Progress(
            rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(), rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[note]}"),
            console=Console(stderr=True), disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Progress:
        """Start the bar if standard error is a terminal."""
        self._bar.start()
        return self

    def advance(self, steps: int, count: int, note: str = "") -> None:
        """Report `steps` more units of work, which held `count` of what the rate counts."""
        self._done += steps
        self._count += count
        text = f"{self._rate()} {note}".rstrip()
        self._bar.update(self._task, completed=self._done, note=text)
        now = time.monotonic()
        if self._bar.disable and now - self._last >= LOG_SECONDS:
            self._last = now
            pace = (now - self._start) / max(self._done - self._first, 1)
            self._line(f"{text}, {duration((self._total - self._done) * pace)} left")

    def _rate(self) -> str:
        rate = self._count / max(time.monotonic() - self._start, 1e-9)
        return f"{rate:,.0f} {self._unit}/s"

    def _line(self, text: str) -> None:
        self.say(f"{self._title}: {self._done:,}/{self._total:,}, {text}")

    def say(self, text: str) -> None:
        """Print one line without disturbing the bar."""
        self._bar.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the bar; print how long it took."""
        self._bar.stop()
        if kind is None:
            took = duration(time.monotonic() - self._start)
            self._line(f"{self._rate()}, done in {took}")


def duration(seconds: float) -> str:
    """Return a time in words: 2h 05m, or 5m 02s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"
