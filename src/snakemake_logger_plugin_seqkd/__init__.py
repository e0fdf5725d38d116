"""A logger plugin for Snakemake: `snakemake --logger seqkd` shows a run as a live display.

Snakemake finds it by the name of this package. `make run` uses it.
"""

from __future__ import annotations

import logging
import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase

from seqkd.runs.events import event_of
from seqkd.runs.terminal import Terminal


class LogHandler(LogHandlerBase):
    """Replaces Snakemake's own lines on a terminal, unless the user asks for them."""

    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Prepare the display."""
        asked = self.common_settings
        plain = asked.dryrun or asked.quiet or asked.verbose or asked.printshellcmds
        self._terminal = None if plain or not sys.stderr.isatty() else Terminal()
        # On a full disk Snakemake cannot write its log; tracebacks would bury the cause.
        logging.raiseExceptions = False

    @property
    def writes_to_stream(self) -> bool:
        """Whether Snakemake must not print its own lines."""
        return self._terminal is not None

    def emit(self, record: logging.LogRecord) -> None:
        """Show one event or message."""
        if self._terminal is None:
            return
        if event := event_of(record):
            self._terminal.show(event)
        elif record.msg:
            self._terminal.say(record.getMessage(), important=record.levelno >= logging.WARNING)

    def close(self) -> None:
        """Restore the terminal."""
        if self._terminal:
            self._terminal.close()
        super().close()
