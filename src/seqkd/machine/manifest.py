"""Manifests: what an artefact was made from, by what code, and at what cost."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from seqkd.files import digest, write_json

_PACKAGES = ("seqkd", "torch", "numpy", "sentencepiece", "sacrebleu", "snakemake")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """The machine that a job ran on."""

    cpu: str
    cores: int
    gpu: str | None

    @property
    def processor(self) -> str:
        """The kind of processor, GPU first: speeds of two kinds are not comparable."""
        return ", ".join(filter(None, [self.gpu, self.cpu]))

    def __str__(self) -> str:
        """Name the processors, GPU first."""
        return f"{self.processor}, {self.cores} cores"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What every manifest holds: inputs, cost, and the code that ran."""

    inputs: Mapping[str, str]
    """Role of an input file -> its sha256."""
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    finished: str
    """UTC, ISO 8601."""
    versions: Mapping[str, str]
    commit: str
    """Of the code, as `git describe` prints it; empty outside git."""


class Cost(NamedTuple):
    """Time that processes took."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


_NOTHING = Cost()


def cost(started: float, earlier: Cost = _NOTHING) -> Cost:
    """Return what this process has taken since `started`, and earlier processes before it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = earlier.seconds + time.time() - started
    return Cost(seconds, earlier.cpu_seconds + usage.ru_utime + usage.ru_stime)


def provenance(
    inputs: Mapping[str, str | Path | None], started: float, earlier: Cost = _NOTHING
) -> Provenance:
    """Return the provenance of what this process has made.

    Args:
        inputs: the input files by role; None values are left out.
        started: `time.time()` when the step began.
        earlier: what processes took that were stopped, and whose work this one continued.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = cost(started, earlier)
    return Provenance(
        inputs={role: digest(file) for role, file in inputs.items() if file is not None},
        seconds=round(spent.seconds, 2),
        cpu_seconds=round(spent.cpu_seconds, 2),
        peak_memory_mb=round(peak_memory_mb(usage), 1),
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        versions=versions(),
        commit=code_commit(),
    )


def peak_memory_mb(usage: resource.struct_rusage) -> float:
    """Return the most memory that was resident, MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return usage.ru_maxrss * unit / (1 << 20)


def write_manifest(
    path: str | Path,
    *,
    inputs: Mapping[str, str | Path | None],
    facts: Mapping[str, object],
    started: float,
) -> None:
    """Write a manifest as JSON."""
    write_json(path, {**facts, **asdict(provenance(inputs, started))})


def roles(role: str, paths: Sequence[Path]) -> dict[str, str | Path | None]:
    """Return the inputs of one role: its name for a single file, numbered names for several."""
    if len(paths) == 1:
        return {role: paths[0]}
    return {f"{role}_{number}": path for number, path in enumerate(paths, start=1)}


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on, and Python's."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def code_commit() -> str:
    """Return the git commit of the code, marked if it was changed since; empty outside git."""
    command = ["git", "-C", os.fspath(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip()
