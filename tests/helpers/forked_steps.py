"""Steps as real processes that start at once: a server imports PyTorch and forks for each."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.process import BaseProcess
from pathlib import Path

BLOCK = 10
"""Lines decoded as one unit, so that little text has many."""
_WAIT_SECONDS = 120
# The steps, and what PyTorch imports late, when the first optimiser is made.
_IMPORTED = ["seqkd.steps.decode", "seqkd.steps.merge", "seqkd.steps.train", "torch._dynamo"]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(_IMPORTED)


def start(folder: Path, *words: object) -> BaseProcess:
    """Start `seqkd WORDS` in a folder; what it says goes to `told.PID` there."""
    process = _server.Process(target=_run, args=(folder, [str(word) for word in words]))
    process.start()
    return process


def ended(process: BaseProcess) -> int:
    """Wait for the end and return the exit status, negative for a signal."""
    process.join(_WAIT_SECONDS)
    assert process.exitcode is not None, "waited in vain for a step"
    return process.exitcode


def told(folder: Path, process: BaseProcess) -> str:
    """Return what a process has said."""
    path = folder / f"told.{process.pid}"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _run(folder: Path, words: list[str]) -> None:
    from seqkd import cli
    from seqkd.steps import decode

    os.chdir(folder)
    os.dup2(os.open(f"told.{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o666), 2)
    decode.BLOCK = BLOCK
    cli.main(words)
