"""A piece of work is done by one process at a time, though its Snakemake was killed meanwhile.

A killed Snakemake leaves its jobs running, and the next one starts the same jobs again. So training
and decoding hold a lock in the folder of their unfinished work, which the kernel frees when they
die, however they die. Who finds it held waits if the holder does the same work, and then looks what
is left to do; if the holder does other work, of a config, input or code that has changed since,
its result is wanted no longer, and only the user can stop it: an error says how.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from seqkd.errors import SeqkdError

_FILE = "lock"
_POLL_SECONDS = 0.5
_OTHER_WORK = "what stood here before, by another config, input or code"


@contextlib.contextmanager
def sole_worker(folder: Path, work: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a folder; yield whether another process held it, and so may be finished.

    The folder is made, and removed at the end if nothing else is in it. Where the file system has
    no locks, nothing is held.

    Args:
        folder: of the unfinished work.
        work: what is done, such as a digest of config, inputs and code.
        wait: for a process that does the same work; else it is an error too.

    Raises:
        SeqkdError: naming the process that holds the lock.
    """
    path = folder / _FILE
    waited = False
    while (file := _lock(path)) is None:
        holder = _holder(path)
        if holder and (holder["work"] != work or not wait):
            what = "this very work" if holder["work"] == work else _OTHER_WORK
            raise SeqkdError(
                f"process {holder['pid']} on {holder['host']} still does {what}; stop it there "
                f"(kill {holder['pid']}: what it has is saved), or wait for it, and start again"
            )
        if holder and not waited:
            waited = True
            print(
                f"process {holder['pid']} on {holder['host']} is at this very work; waiting for it "
                f"(kill {holder['pid']} there, and this one goes on from what it saved)",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        time.sleep(_POLL_SECONDS)
    try:
        note = json.dumps({"work": work, "pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(file, 0)
        os.pwrite(file, note.encode(), 0)
        yield waited
    finally:
        if _is_at(path, file):  # else the folder was cleared, and the next worker may be there
            path.unlink()
            with contextlib.suppress(OSError):
                folder.rmdir()
        os.close(file)


def _lock(path: Path) -> int | None:
    """Return the open file of a lock that is ours now, or None if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:  # the holder is just removing the folder
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:
        return file  # no locks on this file system: as good as it gets
    if _is_at(path, file):
        return file
    os.close(file)  # its last holder had just removed it: no lock that others would see
    return None


def _is_at(path: Path, file: int) -> bool:
    """Say whether the open file is the one that stands at the path now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> dict[str, str]:
    """Return what the holder says of itself; nothing if it has not written it yet."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: str(note[key]) for key in ("work", "pid", "host")}
