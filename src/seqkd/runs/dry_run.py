"""Which jobs an experiment still needs: Snakemake decides, in a dry run that is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.errors import SeqkdError
from seqkd.runs.events import Job, in_one_line, read_run
from seqkd.runs.experiments import snakefile
from seqkd.runs.start import EVENTS_VARIABLE


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of an experiment, in an order in which they can run, and those to run now."""

    everything: Sequence[Job]
    needed: Sequence[Job]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return how many jobs of each rule would run and are reused, in the order of the work."""
        needed = Counter(job.rule for job in self.needed)
        total = Counter(job.rule for job in self.everything) | needed
        return {rule: (needed[rule], total[rule] - needed[rule]) for rule in total}


def plan(configs: Sequence[Path]) -> Plan:
    """Ask Snakemake for the jobs of an experiment, given its file and those of its overlays.

    Raises:
        SeqkdError: what Snakemake reports as wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Two dry runs at the same time: which jobs there are, and which of them would run.
        questions = [
            _DryRun(configs, Path(folder, "everything"), "--forceall"),
            _DryRun(configs, Path(folder, "needed")),
        ]
        everything, needed = (question.jobs() for question in questions)
    return Plan(everything, needed)


class _DryRun:
    """A dry run in a process of its own: Snakemake keeps global state."""

    def __init__(self, configs: Sequence[Path], events: Path, *options: str) -> None:
        self._events = events
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(snakefile())),
            *("--configfile", *map(str, configs), "--cores", str(os.cpu_count() or 1)),
            *("--dry-run", "--quiet", "all", *options),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, EVENTS_VARIABLE: str(events)},
        )  # fmt: skip

    def jobs(self) -> list[Job]:
        """Return the jobs in the order in which they could run, but for `all`."""
        output, _ = self._process.communicate()
        run = read_run(self._events) if self._events.exists() else None
        if self._process.returncode or run is None:
            raise SeqkdError("; ".join(run.errors if run else ()) or in_one_line(output))
        return [job for job in run.jobs.values() if job.rule != "all"]
