"""Source lines in chunks: of bounded length and number, promptly where someone waits for them."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from seqkd.files import check_encoding, check_line_ends, open_bytes
from seqkd.unpacking import Reader, unpacked

MAX_BYTES = 1 << 20
"""Bytes of one line that are read; the rest of the line is dropped."""
CHUNK_LINES = 2000
"""Lines that are held, sorted by length and translated together: bounds memory and delay."""

_CHUNK_CHARACTERS = 1 << 20
_QUEUE_LINES = 4000
_PATIENCE_S = 0.02  # a sender that pauses this long waits for its answer

Line = TypeVar("Line", bound=str | bytes)


class Chunk(NamedTuple):
    """Lines of one file that are translated together."""

    name: str
    """Of the file, for messages."""
    first: int
    """Number of the first line in its file, from 1."""
    lines: Sequence[bytes]


def read_chunks(paths: Sequence[Path]) -> Iterator[Chunk]:
    """Yield the lines of files in order; `-` is standard input."""
    for path in paths:
        is_stdin = str(path) == "-"
        name = "standard input" if is_stdin else str(path)
        with _standard_input() if is_stdin else open_bytes(path) as file:
            # Waits for the first bytes of a pipe, not for a full buffer.
            check_encoding(file.peek(1 if is_stdin else 1 << 16), name)
            # Chunks of a regular file do not depend on timing, so neither does rounding.
            regular = not is_stdin or stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)
            arriving = byte_lines(file, name)
            chunks = chunked(arriving) if regular else prompt_chunks(arriving, CHUNK_LINES)
            first = 1
            for lines in chunks:
                yield Chunk(name, first, lines)
                first += len(lines)


@contextlib.contextmanager
def _standard_input() -> Iterator[Reader]:
    """Yield standard input as `open_bytes` opens a file."""
    os.set_blocking(sys.stdin.fileno(), True)  # else a pause of the sender looks like the end
    stream = io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), 1 << 16)
    yield unpacked(stream, "standard input")


def chunked(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines in chunks, bounded in lines and characters."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) == CHUNK_LINES or size >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def byte_lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield lines without their line feeds; only LF ends a line, and a CR before it is dropped.

    A line longer than `MAX_BYTES` comes as one byte more than that, so that it can be reported.

    Raises:
        SeqkdError: with the file's name, if all is one line with more than one CR.
    """
    is_first = True
    while line := file.readline(MAX_BYTES + 1):
        end = line
        if not line.endswith(b"\n") and len(line) > MAX_BYTES:
            while (end := file.readline(MAX_BYTES)) and not end.endswith(b"\n"):
                pass
        if is_first and not end.endswith(b"\n"):
            check_line_ends(line, name)
        is_first = False
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def prompt_chunks(lines: Iterator[bytes], largest: int) -> Iterator[list[bytes]]:
    """Yield the lines that have arrived, without waiting for more.

    A person who types a line, or a program that waits for an answer, gets it at once; a sender that
    keeps sending gets chunks as large as they may be.

    Args:
        lines: read in a thread of its own.
        largest: lines of a chunk at most.
    """
    arrived: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUE_LINES)

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
            arrived.put(None)
        except BaseException as error:  # handed over to the thread that can report it
            arrived.put(error)

    threading.Thread(target=read, daemon=True).start()
    is_open = True
    while is_open:
        chunk: list[bytes] = []
        while len(chunk) < largest:
            try:
                item = arrived.get(timeout=_PATIENCE_S if chunk else None)
            except queue.Empty:
                break
            if isinstance(item, BaseException):
                raise item
            if item is None:
                is_open = False
                break
            chunk.append(item)
        if chunk:
            yield chunk
