"""Runs Snakemake on the real Snakefile in a scratch folder, and lists the jobs of a dry run."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import yaml

from processes import environment, run_text, write_seqkd

REPOSITORY = Path(__file__).resolve().parents[2]
SMOKE = REPOSITORY / "config" / "experiments" / "smoke.yaml"
_JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)
_FIELD = re.compile(r"^    (\w+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """One planned job: its rule, its wildcards in order, and why it runs."""

    rule: str
    wildcards: str
    reason: str


@dataclass(frozen=True)
class Workspace:
    """A working directory, the sources, and an experiment file."""

    folder: Path
    sources: Path
    config: Path

    def snakemake(
        self, *arguments: str, real: bool = False, **variables: str
    ) -> CompletedProcess[str]:
        """Run the experiment; its steps are the real ones, or stand-ins that only write files."""
        return self.call(
            *("--snakefile", str(REPOSITORY / "Snakefile")),
            *("--configfile", str(self.config)),
            *arguments,
            real=real,
            **variables,
        )

    def call(self, *arguments: str, real: bool = False, **variables: str) -> CompletedProcess[str]:
        """Call `snakemake` in the working directory."""
        env = self.environment(real=real) | variables
        return run_text("snakemake", "--cores", "2", *arguments, folder=self.folder, env=env)

    def environment(self, *, real: bool = False) -> dict[str, str]:
        """Return an environment in which `seqkd` is the real program or its stand-in."""
        script = self.folder.parent / ("real-bin" if real else "bin") / "seqkd"
        script.parent.mkdir(exist_ok=True)
        if real:
            write_seqkd(script)
        else:
            fake = Path(__file__).parent / "fake_seqkd.py"
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{fake}" "$@"\n')
            script.chmod(0o755)
        path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
        return environment(PATH=path, PYTHONPATH=str(self.sources))

    def run(self, *arguments: str) -> None:
        """Run everything with stand-ins."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stderr + done.stdout

    def plan(self, *arguments: str) -> list[Job]:
        """Return the jobs that a run would do now, except `all`."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        # A dry run prints jobs on one stream, other lines on the other.
        text = done.stdout + done.stderr
        jobs = []
        for rule, body in _JOB.findall(text):
            fields = dict(_FIELD.findall(body))
            jobs.append(Job(rule, fields.get("wildcards", ""), fields.get("reason", "")))
        assert jobs or "Nothing to be done" in text, text
        return [job for job in jobs if job.rule != "all"]

    def edit_config(self, **changes: object) -> None:
        """Overlay `changes` on the experiment file; two underscores join a path of keys."""
        config = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        for path, value in changes.items():
            *folders, last = path.split("__")
            target = config
            for key in folders:
                target = target.setdefault(key, {})
            target[last] = value
        self.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def experiment(self) -> dict:
        """Return the experiment file."""
        return yaml.safe_load(self.config.read_text(encoding="utf-8"))

    def copy(self, folder: Path) -> Workspace:
        """Return a copy of all but the sources, times included, so that nothing looks newer."""
        shutil.copytree(self.folder, folder / "work", symlinks=True)
        shutil.copy2(self.config, folder / self.config.name)
        return Workspace(folder / "work", self.sources, folder / self.config.name)

    def with_own_sources(self) -> Workspace:
        """Return the same with a copy of the sources that may be changed."""
        sources = self.folder.parent / "src"
        shutil.copytree(self.sources, sources, ignore=shutil.ignore_patterns("*.egg-info"))
        return dataclasses.replace(self, sources=sources)


def make_workspace(folder: Path, config: Path = SMOKE) -> Workspace:
    """Return a fresh workspace for one experiment, with the sentences of the smoke corpus."""
    work = folder / "work"
    shutil.copytree(REPOSITORY / "tests" / "data", work / "tests" / "data")
    shutil.copy2(config, folder / config.name)
    return Workspace(work, REPOSITORY / "src", folder / config.name)


@dataclass(frozen=True)
class RealRun:
    """A workspace in which the real steps ran, and what Snakemake said."""

    workspace: Workspace
    done: CompletedProcess[str]


def run_smoke_in_fp32(folder: Path) -> RealRun:
    """Run the smoke experiment with the real steps, in fp32 whatever the CPU has.

    A config sets the precision of training alone. Translation takes bf16 where oneDNN says that the
    CPU multiplies it, and with this limit it never does.
    """
    workspace = make_workspace(folder)
    workspace.edit_config(training__precision="fp32")
    return RealRun(workspace, workspace.snakemake(real=True, ONEDNN_MAX_CPU_ISA="AVX2"))
