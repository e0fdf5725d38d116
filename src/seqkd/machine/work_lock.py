"""Ensures that only one process does a piece of work, even if its Snakemake was killed.

A killed Snakemake leaves its jobs running, and the next one starts the same jobs again. So training
and decoding hold a lock next to the folder of their unfinished work; the kernel frees it when they
die. A second process waits, and then checks what is left to do. It waits also if the holder does
other work, from an earlier config, input or code: else that would write its result later, as if it
were that of the new config. Only the user can stop it: a message says how.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from seqkd.errors import SeqkdError

_POLL_SECONDS = 0.5
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextlib.contextmanager
def sole_worker(folder: Path, work: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder; on a file system without locks, hold nothing.

    Args:
        folder: of the unfinished work, which need not exist.
        work: what is done, such as a digest of config, inputs and code.
        wait: for the process that holds it; else that is an error.

    Raises:
        SeqkdError: naming the process that holds the lock.
    """
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, poll_interval=_POLL_SECONDS, fallback_to_soft=False)
    waited = False
    while not _acquire(lock):
        holder = _holder(path)
        if not holder or waited:
            continue
        is_same = holder["work"] == work
        differs = "" if is_same else ", with another config, input or code"
        what = f"process {holder['pid']} on {holder['host']} is already doing this{differs}; "
        if not wait:
            raise SeqkdError(
                f"{what}stop it there (kill {holder['pid']}; it saves its state), then run the "
                "same command again"
            )
        waited = True
        then = "resumes from its state" if is_same else "starts at once"
        print(
            f"{what}waiting for it (if you kill {holder['pid']} there, this process {then})",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    try:
        note = {"work": work, "pid": os.getpid(), "host": socket.gethostname()}
        path.write_text(json.dumps(note), encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release: then it may be another's
        lock.release()


def _acquire(lock: FileLock) -> bool:
    """Try for a moment to get the lock; True also where the file system has none."""
    try:
        lock.acquire(timeout=_POLL_SECONDS)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _holder(path: Path) -> dict[str, str]:
    """Return what the holder says of itself; nothing if it has not written it yet."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: str(note[key]) for key in ("work", "pid", "host")}
