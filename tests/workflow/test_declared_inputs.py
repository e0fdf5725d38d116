"""Each step runs in a folder that holds nothing but the inputs that its rule declares."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workflow_harness import REPOSITORY, RealRun, Workspace

NOT_IN_SMOKE = {"fetch", "adopt", "decode_hugging_face", "monolingual", "monolingual_part"}


@dataclass(frozen=True)
class Job:
    """A job of the plan: its rule, its command and its files."""

    rule: str
    command: str
    input: list[str]
    output: list[str]
    log: list[str]

    @property
    def kind(self) -> tuple[object, ...]:
        """Rule and options: `train` with a parent reads other files than `train` without."""
        words = shlex.split(self.command)
        table = words[words.index("--kind") + 1] if "--kind" in words else ""
        return self.rule, table, frozenset(word for word in words if word.startswith("--"))


@dataclass
class Isolation:
    """Runs jobs of a finished run again, each in a folder of its own."""

    finished: Workspace
    folder: Path
    jobs: list[Job]
    done: dict[str, Path] = field(default_factory=dict)
    """Output file -> folder of the job that was run for it."""

    def run(self, job: Job) -> None:
        """Run a job on its declared inputs alone."""
        work = self.folder / f"{job.rule}-{len(self.done)}"
        work.mkdir()
        for path in job.input:
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.origin(path) / path, work / path)
        for path in (*job.output, *job.log):
            (work / path).parent.mkdir(parents=True, exist_ok=True)
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", job.command],
            cwd=work,
            env=self.finished.environment(real=True),
            capture_output=True,
            text=True,
            check=False,
        )
        logs = "".join((work / path).read_text() for path in job.log if (work / path).exists())
        assert run.returncode == 0, f"{job.rule}: {run.stderr}{logs}\n{job.command}"
        assert all((work / path).exists() for path in job.output), job.rule
        self.done |= dict.fromkeys(job.output, work)

    def origin(self, path: str) -> Path:
        """Return the folder that holds a file; temporary ones are made once more."""
        if (self.finished.folder / path).exists():
            return self.finished.folder
        if path not in self.done:
            self.run(next(job for job in self.jobs if path in job.output))
        return self.done[path]


def planned(run: RealRun) -> Iterator[Job]:
    script = Path(__file__).parents[1] / "helpers" / "list_jobs.py"
    command = [
        *(sys.executable, str(script), "--snakefile", str(REPOSITORY / "Snakefile")),
        *("--configfile", str(run.workspace.config), "--cores", "2"),
    ]
    listed = subprocess.run(
        command, cwd=run.workspace.folder, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0, listed.stderr
    for line in listed.stdout.splitlines():
        job = json.loads(line)
        yield Job(job["rule"], job["command"], **job["files"])


def test_steps_read_only_what_their_rules_declare(smoke_run: RealRun, tmp_path: Path):
    jobs = list(planned(smoke_run))
    files = (REPOSITORY / "workflow" / "rules").glob("*.smk")
    rules = {name for path in files for name in re.findall(r"(?m)^rule (\w+):", path.read_text())}
    kinds = {job.kind: job for job in reversed(jobs)}
    assert {job.rule for job in kinds.values()} == rules - NOT_IN_SMOKE
    isolation = Isolation(smoke_run.workspace, tmp_path, jobs)
    for job in kinds.values():
        isolation.run(job)
