"""Runs `seqkd` and `snakemake` as processes of their own, as a user does."""

from __future__ import annotations

import atexit
import functools
import io
import os
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import fork_server

_WAIT_SECONDS = 1800


@functools.cache
def server() -> str:
    """Start a fork server, which ends with this process; return its address."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    address = Path(folder.name, "socket")
    command = [sys.executable, fork_server.__file__, str(address)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment())
    atexit.register(process.kill)
    while not address.exists():
        assert process.poll() is None
        time.sleep(0.01)
    return str(address)


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of this process with changes, and lines that are wide enough."""
    return {**os.environ, "COLUMNS": "200", **changes}


def write_seqkd(path: Path) -> None:
    """Write a program that does what `seqkd` does, but starts at once."""
    command = shlex.join([sys.executable, "-I", "-S", fork_server.__file__, server()])
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


class Process:
    """A running `python -m MODULE WORDS`."""

    def __init__(
        self,
        module: str,
        *words: object,
        folder: Path,
        data: bytes = b"",
        env: Mapping[str, str] | None = None,
        terminal: int | None = None,
    ) -> None:
        """Start it.

        Args:
            module: `seqkd`, `snakemake`, or a module of the tests that imports `seqkd`.
            words: arguments.
            folder: the working directory.
            data: what standard input has.
            env: the environment (default: `environment()`).
            terminal: file descriptor that becomes all standard files.
        """
        self._files = [io.FileIO(os.memfd_create(name), "r+") for name in ("in", "out", "err")]
        os.pwrite(self._files[0].fileno(), data, 0)
        files = [file.fileno() for file in self._files] if terminal is None else [terminal] * 3
        self._connection = fork_server.connect(
            server(), module, [*map(str, words)], str(folder), files, dict(env or environment())
        )
        self.pid = fork_server.receive(self._connection)

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return not select.select([self._connection], [], [], 0)[0]

    def wait(self) -> int:
        """Wait for the end; return the exit status, negative for a signal."""
        self._connection.settimeout(_WAIT_SECONDS)
        return fork_server.receive(self._connection)

    def output(self, number: int) -> bytes:
        """Return what it has written to standard output (1) or standard error (2)."""
        file = self._files[number].fileno()
        return os.pread(file, os.fstat(file).st_size, 0)

    @property
    def stderr(self) -> str:
        """What it has written to standard error."""
        return self.output(2).decode()


def run(
    module: str,
    *words: object,
    folder: Path,
    data: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> CompletedProcess[bytes]:
    """Run `python -m MODULE WORDS` to its end; see `Process`."""
    process = Process(module, *words, folder=folder, data=data, env=env)
    status = process.wait()
    return CompletedProcess([module, *words], status, process.output(1), process.output(2))


def run_text(
    module: str,
    *words: object,
    folder: Path,
    input: str = "",
    env: Mapping[str, str] | None = None,
) -> CompletedProcess[str]:
    """Run the same with text instead of bytes."""
    done = run(module, *words, folder=folder, data=input.encode(), env=env)
    return CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def seqkd(*words: object, folder: Path, input: str = "") -> CompletedProcess[str]:
    """Run `seqkd WORDS` in a folder."""
    return run_text("seqkd", *words, folder=folder, input=input)
