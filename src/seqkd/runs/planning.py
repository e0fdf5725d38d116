"""Which jobs an experiment still needs, asked of Snakemake by a dry run.

Snakemake decides; this module only asks and counts. It runs from the folder that holds `results`
and uses the Snakefile there, or that of the checkout this package was installed from.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqkd.config.expansion import Experiment
from seqkd.config.experiment import load_experiment
from seqkd.config.schema import load_yaml
from seqkd.errors import SeqkdError, nearest

_CHECKOUT = Path(__file__).resolve().parents[3]
DEFAULT_EXPERIMENT = "home-assistant"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job of the workflow."""

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    """Why it would run, in Snakemake's words."""
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    benchmark: str = ""
    threads: int = 1

    @property
    def title(self) -> str:
        """The rule and what sets this job apart."""
        words = [f"seed-{v}" if k == "seed" else v for k, v in self.wildcards.items()]
        return " ".join([self.rule, *words])


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of an experiment, and those that a run would do now."""

    everything: Sequence[Job]
    needed: Sequence[Job]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return, by rule in the order of the work, how many jobs would run and are reused."""
        needed = Counter(job.rule for job in self.needed)
        total = Counter(job.rule for job in self.everything) | needed
        return {rule: (needed[rule], total[rule] - needed[rule]) for rule in in_order(total)}


ORDER = (
    *("fetch", "settings", "corpus", "test_set", "vocab", "train", "cut", "decode", "merge"),
    *("select", "soft_targets", "quantize", "evaluate", "speed", "table", "diagnose", "report"),
)


def in_order(rules: Mapping[str, int]) -> list[str]:
    """Return rules in the order of the work; unknown ones last."""
    return sorted(rules, key=lambda rule: (ORDER.index(rule) if rule in ORDER else 99, rule))


def snakefile() -> Path:
    """Return the Snakefile of the working directory, or else of the checkout.

    Raises:
        SeqkdError: if there is neither.
    """
    for folder in (Path(), _CHECKOUT):
        if (folder / "Snakefile").is_file():
            return folder / "Snakefile"
    raise SeqkdError("no Snakefile here; run this from the folder that you cloned")


def results_folder(folder: Path = Path("results")) -> Path:
    """Return the folder of all experiments.

    Raises:
        SeqkdError: if there is none here.
    """
    if not folder.is_dir():
        raise SeqkdError(f"no {folder}/ in {Path.cwd()}: go to the folder that the run was made in")
    return folder


def find_config(name: str | None) -> Path:
    """Return the file of an experiment, given the file itself or the experiment's name.

    Raises:
        SeqkdError: if there is none.
    """
    name = name or DEFAULT_EXPERIMENT
    name = name.removeprefix("results/").rstrip("/")
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise SeqkdError(f"file not found: {name}")
    known: dict[str, Path] = {}
    shipped = Path("config", "experiments")
    for folder in (Path(), shipped, snakefile().parent / shipped):
        # Of several files for one experiment, the one of its name is meant.
        for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem != name):
            known.setdefault(_experiment_of(path), path)
    if name in known:
        return known[name]
    known.pop("", None)
    raise SeqkdError(
        f"no experiment '{name}' here or in config/experiments{nearest(name, known)}; "
        "give its YAML file if it lies elsewhere"
    )


def _experiment_of(path: Path) -> str:
    """Return the experiment that a YAML file says it is; empty if it is none."""
    try:
        data = load_yaml(path)
    except SeqkdError:
        return ""
    return str(data.get("experiment", "")) if isinstance(data, Mapping) else ""


def load(config: Path) -> Experiment:
    """Read an experiment with the defaults laid under it."""
    return Experiment(load_experiment(snakefile().parent / "config" / "default.yaml", config))


def plan(config: Path, *targets: str) -> Plan:
    """Ask Snakemake for the jobs behind `targets`, or behind the whole experiment.

    Raises:
        SeqkdError: what Snakemake says is wrong.
    """
    # Two questions, asked side by side: which jobs there are, and which of them would run.
    asked = [_ask(config, targets, "--forceall"), _ask(config, targets)]
    everything, needed = map(_answer, asked)
    return Plan(everything, needed)


def _ask(config: Path, targets: Sequence[str], *words: str) -> subprocess.Popen[str]:
    command = [
        *(sys.executable, "-m", "seqkd.runs.dry_run"),
        *("--snakefile", str(snakefile())),
        *("--cores", str(os.cpu_count() or 1)),
        *words,
        *targets,
        *("--configfile", str(config)),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _answer(process: subprocess.Popen[str]) -> list[Job]:
    printed, complaints = process.communicate()
    jobs, errors = [], []
    for line in printed.splitlines():
        data = json.loads(line)
        if "error" in data:
            errors.append(plain_error(data["error"]))
        elif data["rule"] != "all":
            jobs.append(_job(data))
    if process.returncode or errors:
        raise SeqkdError("; ".join(errors) or complaints.strip() or "Snakemake failed")
    return jobs


def _job(data: Mapping[str, object]) -> Job:
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Job(**values)  # type: ignore[arg-type]


def plain_error(message: str) -> str:
    """Return the line of Snakemake's message that says what is wrong."""
    if found := re.search(r"SeqkdError: (.*)", message):
        return found[1]
    if found := re.search(r"No rule to produce (\S+)", message):
        return f"nothing in this experiment makes {found[1]}"
    if found := re.search(r"affected files:\s+(.*)", message, re.DOTALL):
        return f"file not found: {', '.join(found[1].split())} (seen from {Path.cwd()})"
    lines = message.splitlines()
    if lines[:1] == ["Traceback (most recent call last):"]:
        return lines[-1]
    if len(lines) > 1 and re.match(r"\w+(Error|Exception) in ", lines[0]):
        lines = lines[1:]
    return " ".join(line.strip() for line in lines if not line.startswith("  File "))


def wall_seconds(jobs: Sequence[Job], seconds: Callable[[Job], float], cores: int) -> float:
    """Return how long jobs take on so many cores, each job on one, the longest chains first.

    Args:
        jobs: with their inputs and outputs, from which the order follows.
        seconds: of one job.
        cores: jobs that run side by side.
    """
    maker = {path: n for n, job in enumerate(jobs) for path in job.output}
    needs = [
        {maker[path] for path in job.input if path in maker} - {n} for n, job in enumerate(jobs)
    ]
    feeds: list[list[int]] = [[] for _ in jobs]
    for n, sources in enumerate(needs):
        for source in sources:
            feeds[source].append(n)
    cost = [seconds(job) for job in jobs]
    tail = _chains(cost, feeds)
    waiting = [len(sources) for sources in needs]
    ready = [(-tail[n], n) for n, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < cores:
            _, n = heapq.heappop(ready)
            heapq.heappush(running, (now + cost[n], n))
        now, done = heapq.heappop(running)
        for n in feeds[done]:
            waiting[n] -= 1
            if not waiting[n]:
                heapq.heappush(ready, (-tail[n], n))
    return now


def _chains(cost: Sequence[float], feeds: Sequence[Sequence[int]]) -> list[float]:
    """Return for each job the length of the longest chain that starts with it."""
    tail: dict[int, float] = {}
    for first in range(len(cost)):
        stack = [first]
        while stack:
            n = stack[-1]
            todo = [m for m in feeds[n] if m not in tail]
            if todo and n not in tail:
                stack.extend(todo)
                continue
            stack.pop()
            tail[n] = cost[n] + max((tail[m] for m in feeds[n]), default=0.0)
    return [tail[n] for n in range(len(cost))]
