"""What happens when a run starts: its events are recorded, and what a killed run left is found.

The workflow calls this (`workflow/rules/common.smk`), so it holds however Snakemake is started.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from seqkd.errors import SeqkdError
from seqkd.runs.events import FOLDER, WHERE_PATHS_START, Recorder

_PREFIX = "seqkd_"  # slurm-jobname-prefix of profiles/slurm
EVENTS_VARIABLE = "SEQKD_EVENTS"  # the file in which a dry run is recorded
_held: list[IO[bytes]] = []  # open files: the locks of this process


def start_run(logger: logging.Logger, results: Path, *, dry_run: bool) -> bool:
    """Record a run and claim its folder; return whether no other run is alive there.

    A dry run claims nothing, and is recorded only if SEQKD_EVENTS names a file for that.
    """
    if not dry_run:
        logger.addHandler(Recorder(FOLDER / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S.%f}.jsonl"))
        return claim_folder(results)
    if path := os.environ.get(EVENTS_VARIABLE):
        logger.addHandler(Recorder(Path(path)))
    return False


def claim_folder(results: Path, snakemake: Path = FOLDER.parent) -> bool:
    """Lock the working directory; return whether no other run is alive there.

    Snakemake's own lock outlives a `kill -9` or a power failure. Every run holds a lock of the
    operating system too, which dies with its process: if no other run holds one, Snakemake's lock
    on this experiment is stale and is removed. Where the file system has no locks, it stays, and
    `snakemake --unlock` removes it.
    """
    try:
        path = snakemake / FOLDER.name / "lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")  # NFS: a shared lock needs reading, an exclusive one writing
        _held.append(file)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    except OSError:
        return True  # as far as can be known
    if alone:
        _remove_stale_locks(results, snakemake / "locks")
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_SH)
    return alone


def _remove_stale_locks(results: Path, folder: Path) -> None:
    locks = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.lock")}
    if f"\n{results.as_posix()}/" in "\n".join(["", *locks.values()]):
        for path in locks:
            path.unlink()
        print("Removed the lock of a killed run; this one continues it.", file=sys.stderr)


def is_outdated(part: Path, text: str) -> bool:
    """Return whether an earlier run wrote a part of the config that is different now."""
    return part.is_file() and part.read_text(encoding="utf-8").rstrip() != text


def refuse_missing(files: Iterable[Path]) -> None:
    """Refuse to start if files do not exist from which an earlier run may have made another result.

    Snakemake would keep that result: it drops a job whose input is missing if its output exists.

    Raises:
        SeqkdError: naming the files.
    """
    if missing := sorted(str(path) for path in files if not path.exists()):
        raise SeqkdError(f"file not found: {', '.join(missing)} ({WHERE_PATHS_START})")


def refuse_orphans() -> None:
    """Refuse to start next to Slurm jobs of a killed run.

    They outlive a killed Snakemake. A new one knows nothing of them and would submit the same jobs
    again, so that two jobs write the same files.

    Raises:
        SeqkdError: naming the jobs.
    """
    if jobs := " ".join(_orphans(Path.cwd())):
        raise SeqkdError(
            f"Slurm jobs of a killed run are still queued or running: {jobs}. Cancel them "
            f"(scancel {jobs}; training and decoding save what they have) or wait for them, then "
            "run the same command again."
        )


def _orphans(folder: Path) -> list[str]:
    """Return the ids of this user's queued and running Slurm jobs that a folder's runs submitted.

    The job in which this process runs does not count.
    """
    if shutil.which("squeue") is None:
        return []
    queue = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i %j %Z"], capture_output=True, text=True
    )
    if queue.returncode:  # Slurm is installed, but no cluster answers
        return []
    jobs = (line.split(" ", 2) for line in queue.stdout.splitlines())
    here, ours = folder.resolve(), os.environ.get("SLURM_JOB_ID")
    return [
        number
        for number, name, place in jobs
        if name.startswith(_PREFIX) and Path(place).resolve() == here and number != ours
    ]
