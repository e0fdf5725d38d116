"""Processes of `seqkd` and `snakemake` that start at once.

Importing PyTorch takes two seconds and Snakemake one, and the tests start hundreds of processes. So
a server imports them once and forks for each process, which has its own working directory,
environment, standard files and exit status like any other. `processes` starts the server. As a
program this file is the server (`fork_server.py SOCKET`), or a client that imports little, runs
`seqkd WORDS` and so stands in for it in a workflow (`fork_server.py SOCKET WORDS...`).
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence

IMPORTS = {
    "snakemake": (
        "snakemake.cli", "snakemake.report", "smart_open", "seqkd.config.slices",
        "seqkd.runs.start",
    ),
    "seqkd": (
        "seqkd.steps.decode", "seqkd.steps.diagnose", "seqkd.steps.evaluate", "seqkd.steps.report",
        "seqkd.steps.soft_targets", "seqkd.steps.table", "seqkd.steps.train", "seqkd.steps.vocab",
        "torch._dynamo",  # which PyTorch imports with the first optimiser
    ),
}  # fmt: skip
"""What is imported before the first process of a module."""


def connect(
    address: str,
    module: str,
    words: Sequence[str],
    folder: str = ".",
    files: Sequence[int] = (0, 1, 2),
    env: dict[str, str] | None = None,
) -> socket.socket:
    """Start `python -m MODULE WORDS`; return what `receive` gets its id and its exit status from.

    Args:
        address: the socket of the server.
        module: a key of `IMPORTS`, or one that needs what `seqkd` needs.
        words: arguments.
        folder: the working directory.
        files: file descriptors that become the standard files.
        env: the environment.
    """
    request = [module, *words], os.path.abspath(folder), dict(os.environ if env is None else env)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(address)
    socket.send_fds(connection, [json.dumps(request).encode()], files)
    return connection


def receive(connection: socket.socket) -> int:
    """Return the id of the process, then its exit status: negative for a signal."""
    return int(connection.recv(64))


def serve(address: str) -> None:
    """Fork for each connection until standard input is closed; return in the new processes."""
    import gc
    import importlib
    import select
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(address)
    server.listen(100)
    while server in select.select([server, sys.stdin], [], [])[0]:
        connection, _ = server.accept()
        message, files, *_ = socket.recv_fds(connection, 1 << 20, 3)
        if not message:  # the client was killed
            continue
        words, folder, env = json.loads(message)
        for name in IMPORTS.get(words[0], IMPORTS["seqkd"]):
            importlib.import_module(name)
        if words[0] == "snakemake":
            sys.modules["snakemake.cli"].get_argument_parser()  # imports all plugins
        gc.freeze()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            return _start(connection, files, words, folder, env)
        connection.close()
        for file in files:
            os.close(file)
    os._exit(0)


def _start(
    connection: socket.socket, files: list[int], words: list[str], folder: str, env: dict[str, str]
) -> None:
    """Fork once more: here for the process, there to wait for its end."""
    import runpy

    if pid := os.fork():
        for file in files:
            os.close(file)
        connection.send(str(pid).encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.send(str(status).encode())
        os._exit(0)
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = env.get("PYTHONPATH", "").split(os.pathsep)
    imported = os.path.dirname(os.path.dirname(str(sys.modules["seqkd"].__file__)))
    if words[0] == "snakemake" and imported != sys.path[0]:  # a test's own sources
        for name in [name for name in sys.modules if name.partition(".")[0] == "seqkd"]:
            del sys.modules[name]
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[2:]:
        process = connect(sys.argv[1], "seqkd", sys.argv[2:])
        receive(process)
        sys.exit(receive(process) % 256)
    serve(sys.argv[1])
