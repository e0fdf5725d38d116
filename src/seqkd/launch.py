"""Starts Snakemake for `make run`, and clears what a killed run left locked.

Snakemake's own lock outlives a `kill -9` or a power cut, and then the same command fails until
somebody unlocks the folder by hand. Here a lock of the operating system, which dies with its
process, says whether a run is really going on; if none is, the stale one is taken away.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(".snakemake")
_BUSY = 75  # EX_TEMPFAIL of sysexits.h: try again later


def main(arguments: list[str]) -> None:
    """Become Snakemake, unless a run is going on in this folder.

    Args:
        arguments: the words for Snakemake.
    """
    FOLDER.mkdir(exist_ok=True)
    lock = os.open(FOLDER / "seqkd.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another run is going on in this folder; wait for it, or stop it", file=sys.stderr)
        raise SystemExit(_BUSY) from None
    os.set_inheritable(lock, True)  # it must live as long as Snakemake, not as this program
    snakemake = [sys.executable, "-m", "snakemake"]
    if any((FOLDER / "locks").glob("*.lock")):
        print("an earlier run was killed: going on where it stopped", file=sys.stderr)
        unlock = [*snakemake, *arguments, "--unlock", "--quiet", "all"]
        subprocess.run(unlock, check=True, stdout=subprocess.DEVNULL)
    os.execv(sys.executable, [*snakemake, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
