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
    results = Path("results", name)
    before = _known(last_run(results))
    jobs = plan(configs)
    last = last_run(results)  # again: while the plan was made, jobs started and finished
    alive = is_running(last)
    known = _known(last)
    states = {id(job): _state(job, before, known, alive) for job in jobs.needed}
    console.print(_counts(name, jobs, states))
    console.print(_headline({*states.values()} - {"done"}, last, alive))
    if running := [job for job in jobs.needed if states[id(job)] == "running"]:
        console.print(_running(running))
    for job in jobs.needed:
        if states[id(job)] == "failed":
            show_failure(console, job.title, job.log, args.lines)


def _known(run: Run | None) -> dict[str, State]:
    return run.by_output() if run else {}


def _state(job: Job, before: dict[str, State], known: dict[str, State], alive: bool) -> str:
    """Return the state of a job by what the last run said of its outputs before and after a plan.

    The plan says that the job is needed.
    """
    path = next((path for path in job.output if path in known), "")
    state = known.get(path)
    if state == "running" and alive:
        return "running"
    if state == "finished" and before.get(path) != "finished":
        return "done"
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


def _headline(states: set[str], last: Run | None, alive: bool) -> str:
    if not states:
        return "Finished: all results are up to date."
    if alive:
        return "Running."
    if "failed" in states:
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
