"""What Snakemake would do, as data, one JSON line a job: `python -m seqkd.runs.dry_run WORDS`.

Snakemake tells its jobs to its loggers as events (`snakemake_interface_logger_plugins`); this
listens to those of a dry run, so nothing is read out of text meant for people. It runs in a
process of its own (see `planning`), because Snakemake keeps global state.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterable, Mapping


class _Listener(logging.Handler):
    """Prints the events of interest as JSON lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one job, or one error."""
        if getattr(record.__dict__.get("event"), "value", None) == "job_info":
            _print(_job(record.__dict__))
        elif record.levelno >= logging.ERROR:
            _print({"error": record.getMessage()})


def _job(event: Mapping[str, object]) -> dict[str, object]:
    wildcards = event.get("wildcards")
    return {
        "rule": event["rule_name"],
        "wildcards": dict(wildcards) if isinstance(wildcards, Mapping) else {},
        "reason": event.get("reason") or "",
        "input": _texts(event.get("input")),
        "output": _texts(event.get("output")),
        "log": _texts(event.get("log")),
        "benchmark": str(event.get("benchmark") or ""),
        "threads": event.get("threads") or 1,
    }


def _texts(files: object) -> list[str]:
    return [str(file) for file in files] if isinstance(files, Iterable) else []


def _print(value: dict[str, object]) -> None:
    print(json.dumps(value), file=sys.__stdout__)


def main() -> None:
    """Run Snakemake with the words of the command line, as a quiet dry run."""
    from snakemake.cli import main as snakemake

    # Snakemake removes the handlers of its own logger when it starts, but not those above it.
    logging.getLogger().addHandler(_Listener())
    with contextlib.redirect_stdout(sys.stderr):  # where its own words go
        snakemake([*sys.argv[1:], "--dry-run"])


if __name__ == "__main__":
    main()
