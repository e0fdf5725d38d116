"""Lets Snakemake tell `seqkd.runs.terminal` what happens; `seqkd.runs.launch` asks for it.

Snakemake finds plugins by the name of their package, which is why this one stands by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import cast

from snakemake_interface_logger_plugins.base import LogHandlerBase

from seqkd.runs.planning import Job, plain_error
from seqkd.runs.terminal import Terminal

_TOLD = ("Nothing to be done", "Trying to restart")
_STOPPING = ("Will exit", "Terminating")


class LogHandler(LogHandlerBase):
    """Shows a run on the terminal, in the place of Snakemake's own lines."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Begin to show."""
        self._terminal = Terminal()
        # On a full disk Snakemake cannot write its own log; pages about that would bury the cause.
        logging.raiseExceptions = False

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one event on."""
        event = record.__dict__
        match getattr(event.get("event"), "value", None):
            case "run_info":
                self._terminal.steps(0, int(event["stats"]["total"]))
            case "job_info":
                log = event["log"] or [""]
                self._terminal.started(int(event["jobid"]), _title(event), str(log[0]))
            case "job_finished":
                self._terminal.finished(int(event["job_id"]))
            case "job_error":
                log = event["log"] or [""]
                self._terminal.failed(int(event["jobid"]), _title(event), str(log[0]))
            case "progress":
                self._terminal.steps(int(event["done"]), int(event["total"]))
            case _:
                self._words(record)

    def _words(self, record: logging.LogRecord) -> None:
        """Pass on what is not about a job, where it says more than Snakemake's daily business."""
        words = record.getMessage() if record.msg else ""
        if record.levelno >= logging.ERROR:
            self._terminal.error(plain_error(words))
        elif record.levelno >= logging.WARNING or words.startswith((*_TOLD, *_STOPPING)):
            self._terminal.say(words)
        if words.startswith(_STOPPING):
            self._terminal.stopped()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._terminal.close()
        super().close()


def _title(event: Mapping[str, object]) -> str:
    wildcards = cast("Mapping[str, str]", event.get("wildcards") or {})
    return Job(rule=str(event["rule_name"]), wildcards=wildcards).title
