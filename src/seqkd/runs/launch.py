"""Starts Snakemake for `make run`, and clears what a killed run left locked.

Snakemake's own lock outlives a `kill -9` or a power cut, and then the same command fails until
somebody unlocks the folder by hand. Here a lock of the operating system, which dies with its
process, says whether a run is really going on; if none is, the stale one is taken away.

On a terminal the run is shown by `seqkd.runs.terminal`: what is going on, and a line for each
finished job. Elsewhere, and for dry runs and the like, Snakemake speaks for itself.

On Slurm the jobs of a killed run live on. As long as there are any, nothing is started;
`--cancel-orphans` as the first word cancels them (training saves its state) and goes on.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

from seqkd.runs.orphans import cancel, orphans, without_history

FOLDER = Path(".snakemake")
_BUSY = 75  # EX_TEMPFAIL of sysexits.h: try again later
_DISPLAY = ("--logger", "seqkd")
# With these words somebody asks Snakemake for something else than a run, or for its own lines.
_OTHERWISE = re.compile(
    r"-[a-zA-Z]*[npqh]|--(dry-?run|quiet|verbose|logger|printshellcmds|lint|list.*|dag|rulegraph|"
    r"(detailed-)?summary|report|help)(=.*)?"
)


def main(arguments: list[str]) -> None:
    """Become Snakemake, unless a run, or a job of a killed run, is going on in this folder.

    Args:
        arguments: the words for Snakemake; before them `--cancel-orphans` if so wished.
    """
    for name in _config_files(arguments):
        if not Path(name).is_file():
            _say(f"file not found: {name}")
            raise SystemExit(1)
    FOLDER.mkdir(exist_ok=True)
    lock = os.open(FOLDER / "seqkd.lock", os.O_RDWR | os.O_CREAT, 0o666)
    alone = True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("another run is going on in this folder; wait for it, or stop it")
        raise SystemExit(_BUSY) from None
    except OSError:  # no locks on this file system: Snakemake's own must do
        alone = False
    if arguments[:1] == ["--cancel-orphans"]:
        arguments = arguments[1:]
        if cancelled := cancel(Path.cwd()):
            _say(f"cancelled {cancelled} jobs of an earlier run")
    elif left := orphans(Path.cwd()):
        _say(
            f"jobs of an earlier run are still queued or running: {' '.join(left)}; wait for them, "
            "or start again with --cancel-orphans as the first word"
        )
        raise SystemExit(_BUSY)
    os.set_inheritable(lock, True)  # it must live as long as Snakemake, not as this program
    snakemake = [sys.executable, "-m", "snakemake"]
    if alone and any((FOLDER / "locks").glob("*.lock")):
        _say("an earlier run was killed: going on where it stopped")
        for name in without_history(FOLDER):
            _say(f"{name}: finished after that and kept; later changes of its code go unseen")
        unlock = [*snakemake, *arguments, "--unlock", "--quiet", "all"]
        if subprocess.run(unlock, check=False, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(1)  # Snakemake has said why, such as a mistake in the config
    display = _DISPLAY if sys.stderr.isatty() and not _asks_otherwise(arguments) else ()
    os.execv(sys.executable, [*snakemake, *arguments, *display])


def _config_files(arguments: list[str]) -> list[str]:
    """Return the words behind --configfile."""
    for place, word in enumerate(arguments):
        if word in ("--configfile", "--configfiles"):
            rest = arguments[place + 1 :]
            return list(itertools.takewhile(lambda each: not each.startswith("-"), rest))
    return []


def _asks_otherwise(arguments: list[str]) -> bool:
    return any(_OTHERWISE.fullmatch(word) for word in arguments)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
