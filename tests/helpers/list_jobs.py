"""Prints each job of a dry run as a line of JSON: `python list_jobs.py WORDS`."""

import contextlib
import json
import logging
import sys


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event = record.__dict__
        if getattr(event.get("event"), "value", None) == "job_info" and event["shellcmd"]:
            job = {
                "rule": event["rule_name"],
                "command": event["shellcmd"],
                "files": {
                    name: [str(x) for x in event[name] or []] for name in ("input", "output", "log")
                },
            }
            print(json.dumps(job), file=sys.__stdout__)


if __name__ == "__main__":
    from snakemake.cli import main

    logging.getLogger().addHandler(_Listener())
    with contextlib.redirect_stdout(sys.stderr):
        main([*sys.argv[1:], "--dry-run", "--forceall", "--printshellcmds"])
