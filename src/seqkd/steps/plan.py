"""Show what a run would do: jobs, reuse, hours and disk. It changes nothing.

    seqkd plan                        the default experiment, quick
    seqkd plan multi30k --cores 8     another one, on eight cores
    seqkd plan mine.yaml              your own file
    seqkd plan mine.yaml more.yaml    with an overlay

Hours and disk are estimated from earlier runs of the experiment, with any seed. A job that never
ran counts as the mean of its rule. Rules without any finished job are not estimated.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from seqkd.errors import SeqkdError
from seqkd.runs.dry_run import Plan, plan
from seqkd.runs.events import Job
from seqkd.runs.experiments import find_configs, load
from seqkd.runs.measurements import Estimator, bytes_of, seconds_of

_HOUR = 3_600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("config", nargs="*", help="name or YAML file, then overlays (default: quick)")
    add("--cores", type=int, default=os.cpu_count() or 1, help="jobs at a time (default: all)")


def run(args: argparse.Namespace) -> None:
    """Print the plan."""
    if args.cores < 1:
        raise SeqkdError(f"--cores must be at least 1, got {args.cores}")
    console = Console(highlight=False)
    configs = find_configs(args.config)
    name = load(configs).config.experiment
    jobs = plan(configs)
    seconds = Estimator(jobs.everything, seconds_of)
    console.print(f"Config: {' '.join(map(str, configs))}", soft_wrap=True)
    console.print(_table(jobs, name, seconds))
    if not jobs.needed:
        console.print("Nothing to do: all results are up to date.")
        return
    hours = _sum(jobs.needed, seconds) / _HOUR
    if unknown := _rules_without(jobs.needed, seconds):
        console.print(
            f"Not estimated yet, because none of their jobs has run: {', '.join(unknown)}."
        )
    if hours:
        console.print(
            f"Estimate from earlier runs: about {hours:,.1f} hours of work, "
            f"so at least {hours / args.cores:,.1f} hours with {args.cores} jobs at a time."
        )
    size = _sum(jobs.needed, Estimator(jobs.everything, bytes_of))
    more = size - _sum(jobs.needed, bytes_of)  # what is there already is replaced
    free = shutil.disk_usage(Path()).free
    disk = f"about {_size(more)} more" if size else "not estimated yet"
    console.print(f"Disk: {disk}; {_size(free)} are free.")


def _table(jobs: Plan, name: str, seconds: Estimator) -> Table:
    table = Table(title=name, title_justify="left", show_footer=True)
    counts = jobs.counts()
    table.add_column("jobs of rule", footer="total")
    for heading, place in (("to run", 0), ("reused", 1)):
        total = sum(count[place] for count in counts.values())
        table.add_column(heading, justify="right", footer=f"{total:,}")
    table.add_column("hours", justify="right", footer=_hours(jobs.needed, seconds))
    for rule, (todo, reused) in counts.items():
        hours = _hours([job for job in jobs.needed if job.rule == rule], seconds)
        table.add_row(rule, f"{todo or '-'}", f"{reused or '-'}", hours)
    return table


def _sum(jobs: Sequence[Job], estimate: Callable[[Job], float | None]) -> float:
    return sum(estimate(job) or 0.0 for job in jobs)


def _hours(jobs: Sequence[Job], seconds: Estimator) -> str:
    hours = _sum(jobs, seconds) / _HOUR
    return f"{hours:,.2f}" if hours else ""


def _rules_without(jobs: Sequence[Job], seconds: Estimator) -> list[str]:
    """Return the rules that are measured when they run, and have not run yet."""
    rules = {job.rule for job in jobs if job.benchmark and seconds(job) is None}
    return [rule for rule in dict.fromkeys(job.rule for job in jobs) if rule in rules]


def _size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
