"""Show what a run would do, before it does it: jobs, reuse, hours, disk. Nothing is changed.

    seqkd plan                                   the default experiment, home-assistant
    seqkd plan multi30k --cores 8                another one, on eight cores
    seqkd plan mine.yaml --pairs 2000000         your own file; the size of a corpus not here yet
    seqkd plan kim-rush-wmt14 --no-probe         jobs only, at once

Hours come from the benchmark files of earlier runs where a job, or the same job with another seed,
ran before; else from a probe of this machine (some seconds of training and search on random
words). They are good to a factor of two: enough to tell minutes from days.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from seqkd.config.expansion import Experiment
from seqkd.errors import SeqkdError
from seqkd.runs.planning import Job, Plan, find_config, load, plan, wall_seconds

_DAY = 86_400.0
_HOUR = 3_600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("experiment", nargs="?", help="name or YAML file (default: home-assistant)")
    add("--cores", type=int, default=os.cpu_count() or 1, help="jobs side by side (default: all)")
    add("--pairs", type=int, help="training pairs, where the corpus is not here yet")
    add("--device", default="auto", help="what is probed: auto, cpu or cuda (default: auto)")
    add("--no-probe", action="store_true", help="count jobs only; estimate nothing")


def run(args: argparse.Namespace) -> None:
    """Print the plan."""
    if args.cores < 1 or (args.pairs is not None and args.pairs < 1):
        raise SeqkdError("--cores and --pairs must be at least 1")
    console = Console(highlight=False)
    config = find_config(args.experiment)
    experiment = load(config)
    planned = plan(config)
    console.print(f"Config: {config}", soft_wrap=True)
    console.print(_table(planned, experiment.config.experiment))
    if not planned.needed:
        console.print("Nothing to do: everything is there and up to date.")
    elif not args.no_probe:
        _estimate(console, planned, experiment, args)


def _table(planned: Plan, name: str) -> Table:
    table = Table(title=name, title_justify="left", show_footer=True)
    counts = planned.counts()
    table.add_column("jobs of rule", footer="total")
    for heading, place in (("to run", 0), ("reused", 1)):
        total = sum(count[place] for count in counts.values())
        table.add_column(heading, justify="right", footer=f"{total:,}")
    for rule, (todo, reused) in counts.items():
        table.add_row(rule, f"{todo:,}" if todo else "-", f"{reused:,}" if reused else "-")
    return table


def _estimate(
    console: Console, planned: Plan, experiment: Experiment, args: argparse.Namespace
) -> None:
    # PyTorch takes seconds to import, so only where it is needed.
    from seqkd.machine.runtime import hardware, set_up
    from seqkd.runs.estimates import Estimator, measure_text
    from seqkd.runs.probe import Probe, Setting

    device = set_up(1, args.device)
    text = measure_text(experiment, args.pairs)
    config = experiment.config
    setting = Setting(
        src_vocab=config.vocab.size,
        tgt_vocab=config.vocab.size,
        src_tokens=text.src_tokens,
        tgt_tokens=text.tgt_tokens,
        top_k=min(config.soft_targets.k, config.vocab.size),
    )
    console.print(
        f"Training text: {text.pairs:,} pairs ({text.origin}). "
        "Jobs that never ran are probed now ..."
    )
    estimator = Estimator(experiment, text, Probe(setting, device))
    seconds = {id(job): estimator.seconds(job) for job in planned.needed}
    wall = wall_seconds(planned.needed, lambda job: seconds[id(job)], args.cores)
    console.print(_costs(planned.needed, seconds, "GPU" if device.type == "cuda" else "CPU"))
    machine = hardware(device)
    used = ", ".join(f"{count} jobs from {what}" for what, count in estimator.sources.items())
    console.print(f"Estimated on {machine.gpu or machine.cpu}: {used}.")
    console.print(f"About {_time(wall)} with {args.cores} jobs side by side, longest chain first.")
    disk = estimator.gigabytes(planned.needed)
    parts = ", ".join(f"{kind} {_size(size)}" for kind, size in disk.items())
    state = estimator.state_gigabytes(planned.needed, args.cores)
    console.print(
        f"Disk: {_size(sum(disk.values()))} ({parts or 'little'}), "
        f"and up to {_size(state)} for the state of running trainings."
    )
    if config.device == "cuda" and device.type != "cuda":
        console.print("This experiment asks for GPUs and none is here: its real hours are fewer.")
    if wall > _DAY:
        console.print(
            f"[bold yellow]This means {wall / _DAY:,.0f} days or more.[/] To make it less: "
            "fewer pairs (corpus.limit), smaller models, fewer rows and seeds, more cores "
            "or a cluster (docs/hpc.md)."
        )


def _costs(jobs: Sequence[Job], seconds: dict[int, float], unit: str) -> Table:
    table = Table(title=f"{unit} hours", title_justify="left", show_footer=True)
    sums: dict[str, float] = {}
    for job in jobs:
        sums[job.rule] = sums.get(job.rule, 0.0) + seconds[id(job)]
    table.add_column("rule", footer="total")
    table.add_column("hours", justify="right", footer=f"{sum(sums.values()) / _HOUR:,.2f}")
    small = 0.005 * _HOUR
    for rule, cost in sorted(sums.items(), key=lambda item: -item[1]):
        if cost >= small:
            table.add_row(rule, f"{cost / _HOUR:,.2f}")
    rest = sum(cost for cost in sums.values() if cost < small)
    table.add_row("all others", f"{rest / _HOUR:,.2f}")
    return table


def _time(seconds: float) -> str:
    if seconds < 5_400:
        return f"{max(1, round(seconds / 60))} minutes"
    return f"{seconds / _HOUR:,.1f} hours" if seconds < 2 * _DAY else f"{seconds / _DAY:,.1f} days"


def _size(gigabytes: float) -> str:
    return f"{gigabytes:,.1f} GB" if gigabytes >= 1 else f"{1000 * gigabytes:,.0f} MB"
