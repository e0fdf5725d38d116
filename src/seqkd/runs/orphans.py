"""Slurm jobs that outlived the Snakemake that submitted them.

When the controller is killed (`kill -9`, a rebooted login node), its jobs live on. A new controller
knows nothing of them and would submit the same jobs once more, so that two write the same files.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "seqkd_"  # slurm-jobname-prefix of profiles/slurm
_POLL_SECONDS = 1.0
_RECORDS = ("metadata", "incomplete")
_LONGEST_NAME = 254  # of a file, less the @ that marks a folder


def orphans(folder: Path) -> list[str]:
    """Return the ids of this user's queued and running jobs that were submitted from a folder.

    The list is empty where there is no Slurm. The job in which this very process runs is none.
    """
    if shutil.which("squeue") is None:
        return []
    queue = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i %j %Z"], capture_output=True, text=True
    )
    if queue.returncode != 0:  # Slurm's commands are there, but no cluster is
        return []
    jobs = (line.split(" ", 2) for line in queue.stdout.splitlines())
    ours = os.environ.get("SLURM_JOB_ID")
    here = str(folder.resolve())
    return [
        number
        for number, name, place in jobs
        if name.startswith(_PREFIX) and str(Path(place).resolve()) == here and number != ours
    ]


def cancel(folder: Path) -> int:
    """Cancel the orphans of a folder, wait until they are gone, and return how many there were.

    Slurm sends SIGTERM first, on which training and decoding save what they have.
    """
    found = orphans(folder)
    if found:
        subprocess.run(["scancel", *found], check=True)
    while orphans(folder):
        time.sleep(_POLL_SECONDS)
    return len(found)


def without_history(snakemake_folder: Path) -> Iterator[str]:
    """Yield outputs that jobs finished after their controller was killed.

    Snakemake keeps them, but has no record of the code and settings that they were made with, so
    that a later change of these would go unseen.

    Args:
        snakemake_folder: `.snakemake`, with the locks of the killed run still in it.
    """
    for lock in sorted((snakemake_folder / "locks").glob("*.output.lock")):
        for name in lock.read_text(encoding="utf-8").splitlines():
            path = _record(name)
            noted = any((snakemake_folder / kind / path).exists() for kind in _RECORDS)
            if Path(name).exists() and not noted:
                yield name


def _record(name: str) -> Path:
    """Return where Snakemake 9 keeps what it knows of a file, in `metadata` or `incomplete`."""
    code = base64.urlsafe_b64encode(name.encode()).decode()
    *folders, last = (code[k : k + _LONGEST_NAME] for k in range(0, len(code), _LONGEST_NAME))
    return Path(*("@" + folder for folder in folders), last)
