"""Reading and writing files: compressed text, atomic outputs, digests.

Outputs are atomic: written to a temporary file in the same folder, flushed to disk and renamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import gzip
import hashlib
import io
import json
import lzma
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

import zstandard

from seqkd.errors import SeqkdError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PART = ".part"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` on success, else remove it."""
    with temporary_path(path) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)


@contextlib.contextmanager
def temporary_path(path: str | Path) -> Iterator[Path]:
    """Yield a new file in the folder of `path`; remove it in the end.

    Files that killed processes left for the same `path` are removed first. The file of a running
    process is locked; the kernel frees the lock when the process dies.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    handle, temporary = _locked_file(path)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _locked_file(path: Path) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PART, dir=path.parent)
        with contextlib.suppress(OSError):  # no locks on this file system: nothing is removed
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # removed as abandoned before it was locked


def _remove_abandoned(path: Path) -> None:
    for old in path.parent.glob(f".{glob.escape(path.name)}.*{_PART}"):
        with contextlib.suppress(OSError):
            handle = os.open(old, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                old.unlink()
            finally:
                os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def atomic_text(path: str | Path) -> Iterator[TextIO]:
    """Yield a UTF-8, LF text file that becomes `path` (.gz, .xz, .zst compress) on success."""
    suffix = Path(path).suffix
    with atomic_path(path) as temporary, _open_write(temporary, suffix) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
        yield text
        text.flush()
        text.detach()


def _open_write(path: Path, suffix: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    match suffix:
        case ".gz":
            # No time stamp: same content, same bytes.
            return gzip.GzipFile(path, "wb", mtime=0)  # type: ignore[return-value]
        case ".xz":
            return lzma.open(path, "wb")
        case ".zst":
            return zstandard.open(path, "wb")  # type: ignore[no-any-return]
        case _:
            return path.open("wb")


def open_bytes(path: str | Path) -> IO[bytes]:
    """Open a file for reading bytes, decompressed according to its suffix.

    Raises:
        SeqkdError: if the file does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise SeqkdError(f"file not found: {path}")
    match path.suffix:
        case ".gz":
            return gzip.open(path, "rb")  # type: ignore[return-value]
        case ".xz":
            return lzma.open(path, "rb")
        case ".zst":
            return io.BufferedReader(_ZstdFile(path), 1 << 16)
        case _:
            return path.open("rb")


class _ZstdFile(io.RawIOBase):
    """Bytes of a .zst file; unlike `zstandard.open`, it detects a truncated file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(b"")
        self._started = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill `buffer`; raise EOFError if the file ends inside a frame."""
        while not self._ready:
            packed = self._frame.unused_data
            if self._frame.eof:  # a file may hold several frames
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._started = False
            packed = packed or self._file.read(1 << 16)
            if not packed:
                if self._started:
                    raise EOFError("compressed file ended before its end-of-stream marker")
                return 0
            self._started = True
            self._ready = memoryview(self._frame.decompress(packed))
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._ready))
        view[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file without line feeds; only LF ends a line.

    Raises:
        SeqkdError: if the file is missing, is not valid UTF-8, or its compression is damaged.
    """
    number = 0
    try:
        with open_bytes(path) as file:
            for raw in io.BufferedReader(file, 1 << 20):  # type: ignore[type-var]
                number += 1
                yield raw.rstrip(b"\n").decode("utf-8")
    except UnicodeDecodeError as error:
        raise SeqkdError(
            f"{path}, line {number}: not valid UTF-8 (byte {error.start}); convert the file first"
        ) from None
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError) as error:
        raise SeqkdError(f"{path}: damaged or truncated after line {number}: {error}") from None


def digest(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal.

    Raises:
        SeqkdError: if the file does not exist.
    """
    if not Path(path).is_file():
        raise SeqkdError(f"file not found: {path}")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: object) -> None:
    """Write plain values or dataclasses as indented JSON; see `artefacts.read_json`."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=dataclasses.asdict)
    with atomic_text(path) as file:
        file.write(f"{text}\n")
