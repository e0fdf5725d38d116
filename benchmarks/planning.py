"""How long Snakemake takes before any work: a plan of 2,000 jobs, and a finished experiment.

  python benchmarks/planning.py
  python benchmarks/planning.py --seeds 550 --rounds 1   # 20,000 jobs; no limit is checked

The plan is the smoke experiment with many seeds, of which nothing is built: `snakemake -n`. The
finished experiment is the default one, its steps replaced by stand-ins that write files in no time:
`snakemake` finds nothing to do. The exit status is 1 if either takes longer than it may.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from seqkd.machine.manifest import peak_memory_mb
from seqkd.machine.runtime import hardware

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "helpers"))
from workflow_harness import Workspace, make_workspace  # noqa: E402

SEEDS = 55
PLAN_SECONDS, FINISHED_SECONDS = 15.0, 6.0


def main() -> None:
    """Measure both; print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each; the median counts")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the plan: 36 jobs each")
    args = parser.parse_args()
    rounds = args.rounds
    with tempfile.TemporaryDirectory() as folder:
        many = make_workspace(Path(folder, "many"))
        many.edit_config(seeds=list(range(1, args.seeds + 1)))
        plans = [plan(many) for _ in range(rounds)]
        default = REPOSITORY / "config" / "experiments" / "quick.yaml"
        finished = make_workspace(Path(folder, "finished"), default)
        finished.run()
        idle = median(rounds, finished.run)
    jobs, planned, cpu, memory = (statistics.median(x) for x in zip(*plans, strict=True))
    print(f"| what | seconds, median of {rounds} | at most |", "|---|---|---|", sep="\n")
    print(
        f"| `snakemake -n`, {jobs:,.0f} jobs, nothing built | {planned:.1f} | {PLAN_SECONDS:.0f} |"
    )
    print(f"| `snakemake`, default experiment finished | {idle:.1f} | {FINISHED_SECONDS:.0f} |")
    print("", f"- of a plan: {cpu:.1f} CPU seconds, {memory:,.0f} MiB", f"- {hardware()}", sep="\n")
    slow = planned > PLAN_SECONDS or idle > FINISHED_SECONDS
    raise SystemExit(int(slow and args.seeds == SEEDS))


def plan(workspace: Workspace) -> tuple[int, float, float, float]:
    """Do a dry run; return its jobs, seconds by the clock, CPU seconds, and most memory in MiB."""
    words = ["--snakefile", REPOSITORY / "Snakefile", "--configfile", workspace.config, "-n"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *map(str, words)],
            cwd=workspace.folder, env=workspace.environment(), stdout=output,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        output.seek(0)
        jobs = sum(line.startswith(("rule ", "localrule ", "checkpoint ")) for line in output)
    if process.returncode:
        raise SystemExit(f"snakemake -n: exit status {process.returncode}")
    return jobs, seconds, usage.ru_utime + usage.ru_stime, peak_memory_mb(usage)


def median(rounds: int, work: Callable[[], object]) -> float:
    """Return the median of the seconds that some work takes."""
    seconds = []
    for _ in range(rounds):
        started = time.monotonic()
        work()
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
