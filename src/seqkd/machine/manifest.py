"""The manifest beside an artefact: what it was made from, by what, and at what cost."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqkd.files import digest, write_json

_PACKAGES = ("seqkd", "torch", "numpy", "sentencepiece", "sacrebleu", "snakemake")


def write_manifest(
    path: str | Path,
    *,
    inputs: Mapping[str, str | Path | None],
    facts: Mapping[str, object],
    started: float,
) -> None:
    """Write a manifest as JSON.

    Args:
        path: where to.
        inputs: the input files by role; their sha256 is recorded. None values are left out.
        facts: counts, settings and digests worth keeping.
        started: `time.time()` when the step began.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    write_json(
        path,
        {
            **facts,
            "inputs": {role: digest(file) for role, file in inputs.items() if file is not None},
            "seconds": round(time.time() - started, 2),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": _versions(),
            "commit": code_commit(),
        },
    )


def roles(role: str, paths: Sequence[Path]) -> dict[str, str | Path | None]:
    """Return the inputs of one role: its name for a single file, numbered names for several."""
    if len(paths) == 1:
        return {role: paths[0]}
    return {f"{role}_{number}": path for number, path in enumerate(paths, start=1)}


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_commit() -> str:
    """Return the git commit of the code, marked if it was changed since; empty outside git."""
    command = ["git", "-C", os.fspath(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip()
