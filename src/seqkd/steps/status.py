"""Show how an experiment stands: done, running (rate, time left), failed (why), waiting.

    seqkd status                     the default experiment, home-assistant
    seqkd status multi30k            another one, by name or YAML file
    watch -n 30 seqkd status         again and again

It only reads, so it may be called at any time, from any shell, also while a cluster is at work.
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

from seqkd.runs.monitor import Run, Started, is_going_on, last_lines, last_run, progress_in
from seqkd.runs.planning import Job, Plan, find_config, in_order, load, plan
from seqkd.runs.terminal import show_failure

_STATES = ("done", "running", "failed", "waiting")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("experiment", nargs="?", help="name or YAML file (default: home-assistant)")
    parser.add_argument("--lines", type=int, default=5, help="of a failed job's log (default: 5)")


def run(args: argparse.Namespace) -> None:
    """Print how the experiment stands."""
    console = Console(highlight=False)
    config = find_config(args.experiment)
    name = load(config).config.experiment
    last = last_run(Path("results", name))
    going_on = is_going_on(last)
    planned = plan(config)
    states = _states(planned, last, going_on)
    console.print(_counts(name, planned, states))
    console.print(_headline(planned, states, last, going_on))
    if running := [job for job in planned.needed if states[_key(job)] == "running"]:
        console.print(_running(running))
    for job in planned.needed:
        if states[_key(job)] == "failed":
            show_failure(console, job.title, job.log[0] if job.log else "", args.lines)


def _key(job: Job) -> str:
    return job.output[0] if job.output else job.title


def _states(planned: Plan, last: Run | None, going_on: bool) -> dict[str, str]:
    """Return the state of each job that is still needed."""
    started = last.by_output() if last else {}
    states = {}
    for job in planned.needed:
        known: Started | None = next((started[p] for p in job.output if p in started), None)
        state = "waiting"
        if known is not None and known.state == "failed":
            state = "failed"
        elif known is not None and known.state == "running" and going_on:
            state = "running"
        states[_key(job)] = state
    return states


def _counts(name: str, planned: Plan, states: dict[str, str]) -> Table:
    found: dict[str, Counter[str]] = {}
    for rule, (_, reused) in planned.counts().items():
        found[rule] = Counter(done=reused)
    for job in planned.needed:
        found[job.rule][states[_key(job)]] += 1
    table = Table(title=f"results/{name}", title_justify="left", show_footer=True)
    table.add_column("jobs of rule", footer="total")
    for state in _STATES:
        total = sum(counts[state] for counts in found.values())
        table.add_column(state, justify="right", footer=f"{total:,}")
    for rule in in_order({rule: 1 for rule in found}):
        table.add_row(rule, *(f"{found[rule][state] or '-'}" for state in _STATES))
    return table


def _headline(planned: Plan, states: dict[str, str], last: Run | None, going_on: bool) -> str:
    if not planned.needed:
        return "Finished: everything is there and up to date."
    if going_on:
        return "A run is going on."
    if "failed" in states.values():
        return "Stopped, with failures. Mend the cause and give the same command again."
    if last is None:
        return f"Never started, in {Path.cwd()}."
    if last.stopped:
        return "Stopped on request. The same command goes on where it stopped."
    if not last.ended:
        return "The last run was killed. The same command goes on where it stopped."
    return "Nothing is running; some jobs are to be done."


def _running(jobs: list[Job]) -> Table:
    table = Table(title="running", title_justify="left")
    for heading in ("job", "done", "rate", "left", "now"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        log = job.log[0] if job.log else ""
        told = progress_in(log)
        if told is None:
            said = last_lines(log, 1)
            table.add_row(escape(job.title), "", "", "", escape(said[0] if said else "starting"))
            continue
        note = f"{told.note}{_age(log)}"
        table.add_row(escape(job.title), f"{told.share:.0%}", told.rate, told.left, escape(note))
    return table


def _age(log: str) -> str:
    """Return a remark if a log has been silent for minutes: its job may be dead."""
    minutes = (time.time() - os.path.getmtime(log)) / 60
    return f" (silent for {minutes:.0f} minutes)" if minutes > 5 else ""
