"""Show the state of an experiment: done, running (rate, time left), failed (why), waiting.

    seqkd status                     the default experiment, quick
    seqkd status multi30k            another one, by name or YAML file
    seqkd status a.yaml b.yaml       a file with an overlay
    watch -n 30 seqkd status         every 30 seconds

It only reads, so you can call it at any time and from any shell, even while a cluster runs jobs.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seqkd.errors import SeqkdError
from seqkd.runs.dry_run import Plan, plan
from seqkd.runs.events import Job, Run, State, is_running, last_run
from seqkd.runs.experiments import find_configs, load
from seqkd.runs.job_log import last_lines, progress_in, was_stopped
from seqkd.runs.terminal import show_failure

_STATES = ("done", "running", "failed", "waiting")
_SILENT_SECONDS = 300


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "config", nargs="*", help="name or YAML file, then overlays (default: quick)"
    )
    parser.add_argument(
        "--lines", type=int, default=5, help="lines to show of a failed job's log (default: 5)"
    )


def run(args: argparse.Namespace) -> None:
    """Print the state of the experiment."""
    if args.lines < 1:
        raise SeqkdError(f"--lines must be at least 1, got {args.lines}")
    console = Console(highlight=False)
    configs = find_configs(args.config)
    name = load(configs).config.experiment
    last = last_run(Path("results", name))
    alive = is_running(last)
    jobs = plan(configs)
    known = last.by_output() if last else {}
    states = {id(job): _state(job, known, alive) for job in jobs.needed}
    console.print(_counts(name, jobs, states))
    console.print(_headline(jobs, last, alive, "failed" in states.values()))
    if running := [job for job in jobs.needed if states[id(job)] == "running"]:
        console.print(_running(running))
    for job in jobs.needed:
        if states[id(job)] == "failed":
            show_failure(console, job.title, job.log, args.lines)


def _state(job: Job, known: dict[str, State], alive: bool) -> str:
    """Return the state of a job that is still needed, by what the last run says of its outputs."""
    state = next((known[path] for path in job.output if path in known), None)
    if state == "running" and alive:
        return "running"
    return "failed" if state == "failed" and not was_stopped(job.log) else "waiting"


def _counts(name: str, jobs: Plan, states: dict[int, str]) -> Table:
    counts = {rule: Counter(done=reused) for rule, (_, reused) in jobs.counts().items()}
    for job in jobs.needed:
        counts[job.rule][states[id(job)]] += 1
    table = Table(title=f"results/{name}", title_justify="left", show_footer=True)
    table.add_column("jobs of rule", footer="total")
    for state in _STATES:
        total = sum(count[state] for count in counts.values())
        table.add_column(state, justify="right", footer=f"{total:,}")
    for rule, count in counts.items():
        table.add_row(rule, *(f"{count[state] or '-'}" for state in _STATES))
    return table


def _headline(jobs: Plan, last: Run | None, alive: bool, failed: bool) -> str:
    if not jobs.needed:
        return "Finished: all results are up to date."
    if alive:
        return "Running."
    if failed:
        return "Stopped after failures. Fix the cause and run the same command again."
    if last is None:
        return f"Never started in {Path.cwd()}."
    how = "stopped" if last.ended else "was killed"
    return f"Not running: the last run {how}. Run the same command again to continue."


def _running(jobs: list[Job]) -> Table:
    table = Table(title="running", title_justify="left")
    for heading in ("job", "done", "rate", "left", "now"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        if progress := progress_in(job.log):
            share = f"{progress.done / max(progress.total, 1):.0%}"
            note = f"{progress.note}{_silence(job.log)}"
            table.add_row(escape(job.title), share, progress.rate, progress.left, escape(note))
        else:
            line = "".join(last_lines(job.log, 1)) or "starting"
            table.add_row(escape(job.title), "", "", "", escape(line))
    return table


def _silence(log: str) -> str:
    """Return a remark if a log has been silent for minutes: its job may be dead."""
    seconds = time.time() - os.path.getmtime(log)
    return f" (silent for {seconds / 60:.0f} minutes)" if seconds > _SILENT_SECONDS else ""
