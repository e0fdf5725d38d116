"""Lines as bytes from files and standard input, of bounded length, promptly where someone waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import IO

MAX_BYTES = 1 << 20
"""Bytes of one line that are kept; what follows up to the line feed is dropped."""

_QUEUE_LINES = 4000
_PATIENCE_S = 0.02  # a sender that pauses this long waits for its answer


def byte_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines without their line feeds; only LF ends a line, and a CR before it goes with it.

    A line longer than `MAX_BYTES` comes as one byte more than that, so that it can be told.
    """
    while line := file.readline(MAX_BYTES + 1):
        if not line.endswith(b"\n") and len(line) > MAX_BYTES:
            while (rest := file.readline(MAX_BYTES)) and not rest.endswith(b"\n"):
                pass
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def prompt_chunks(file: IO[bytes], largest: int) -> Iterator[list[bytes]]:
    """Yield lines in groups: what has come by now, without waiting for what has not.

    A person who types a line, or a program that waits for an answer, gets it at once; from a
    sender that keeps sending, groups are as large as they may be.

    Args:
        file: read in a thread of its own.
        largest: lines of a group at most.
    """
    arrived: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE_LINES)

    def read() -> None:
        try:
            for line in byte_lines(file):
                arrived.put(line)
            arrived.put(None)
        except BaseException as error:  # handed over to the thread that can report it
            arrived.put(error)

    threading.Thread(target=read, daemon=True).start()
    open_ = True
    while open_:
        group: list[bytes] = []
        while len(group) < largest:
            try:
                item = arrived.get(timeout=_PATIENCE_S if group else None)
            except queue.Empty:
                break
            if isinstance(item, BaseException):
                raise item
            if item is None:
                open_ = False
                break
            group.append(item)
        if group:
            yield group
