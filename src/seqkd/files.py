"""Reading and writing files: compressed text, atomic outputs, digests.

Outputs are atomic: written to a temporary file in the same folder, flushed to disk and renamed.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import fcntl
import glob
import gzip
import hashlib
import io
import itertools
import json
import lzma
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TextIO

from seqkd.errors import SeqkdError
from seqkd.unpacking import Reader, is_packed, unpacked

_PART = ".part"
_BUFFER_BYTES = 1 << 16
_LONGEST_LINE_BYTES = 1 << 26
_FIRST = 10  # lines that show whether a file is a table
_WIDE_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:"
_ISO_2022_RE = re.compile(rb"\x1b\$(?:[@AB]|\)C)")  # Japanese, Chinese and Korean in 7 bits
_MARKUP_RE = re.compile(rb"\s*<(?:!doctype html|\?xml |tmx |srcset |refset )", re.IGNORECASE)
_TWICE_LINES = 3  # fewer may be meant


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` on success, else remove it.

    A symbolic link stays one: its target is written. A file that is there keeps its mode.

    Raises:
        SeqkdError: if `path` is there and no regular file, such as a device or a pipe, or is one of
            the standard files of this process (`/dev/stdout`, or its input).
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise SeqkdError(f"{path} is no regular file; name a file for the output")
    for number, name in enumerate(("input", "output", "error")):
        if _is_open_as(path, number):
            raise SeqkdError(f"{path} is standard {name}; name another file")
    path = Path(os.path.realpath(path))
    with temporary_path(path) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
        temporary.chmod(mode)
        temporary.replace(path)


def _is_open_as(path: Path, number: int) -> bool:
    with contextlib.suppress(OSError):  # not there, or closed
        return os.path.samestat(path.stat(), os.fstat(number))
    return False


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


def parts_of(path: Path) -> Iterator[Path]:
    """Return the temporary files of `path`, of running and of killed processes."""
    return path.parent.glob(f".{glob.escape(path.name)}.*{_PART}")


def _remove_abandoned(path: Path) -> None:
    for old in parts_of(path):
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
            import zstandard  # Snakemake reads YAML by this module, perhaps without the package

            return zstandard.open(path, "wb")  # type: ignore[no-any-return]
        case _:
            return path.open("wb")


def open_bytes(path: str | Path) -> Reader:
    """Open a file for reading bytes, decompressed as its content says (see `unpacking`).

    Raises:
        SeqkdError: if there is no such file, or it is an archive.
    """
    path = Path(path)
    check_file(path)
    return unpacked(io.BufferedReader(io.FileIO(path), _BUFFER_BYTES), str(path))


def check_file(path: str | Path) -> None:
    """Verify that a path can be read from; a pipe can.

    Raises:
        SeqkdError: if there is nothing, or a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise SeqkdError(f"{path} is a folder; expected a file")
    if not path.exists():
        raise SeqkdError(f"file not found: {path}")


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file without line feeds; only LF ends a line.

    A byte order mark at the start is dropped.

    Raises:
        SeqkdError: if the file is missing or damaged, or not in UTF-8.
    """
    with open_bytes(path) as file:
        check_encoding(file.peek(_BUFFER_BYTES), str(path))
        yield from decoded_lines(file, str(path))


def read_given_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a file that the user gave, as `read_lines` does.

    Raises:
        SeqkdError: also if it looks like a web page, or encoded twice. Files derived from it are
            not checked: their lines may be reordered, so their first lines prove nothing.
    """
    with open_bytes(path) as file:
        check_text(file.peek(_BUFFER_BYTES), str(path))
        yield from decoded_lines(file, str(path))


def read_sentences(path: str | Path) -> Iterator[str]:
    """Yield the lines of a file that the user gave, with one sentence each.

    Raises:
        SeqkdError: as `read_given_lines`, and if its first lines all have a tab: then it is a
            table.
    """
    lines = read_given_lines(path)
    first = list(itertools.islice(lines, _FIRST))
    if first and all("\t" in line for line in first):
        columns = first[0].count("\t") + 1
        raise SeqkdError(
            f"{path}: has {columns} columns separated by tabs; expected one sentence per line (to "
            f"read a table, use provider files with `tsv` and `columns`, or `column`)"
        )
    yield from first
    yield from lines


def read_parallel(
    src: Path, tgt: Path, read: Callable[[Path], Iterator[str]] = read_lines
) -> Iterator[tuple[str, str]]:
    """Yield the lines of two files side by side.

    Raises:
        SeqkdError: with both counts if one has more lines than the other; if one cannot be read.
    """
    src_lines, tgt_lines = read(src), read(tgt)
    for number, (src_line, tgt_line) in enumerate(itertools.zip_longest(src_lines, tgt_lines)):
        if src_line is None or tgt_line is None:
            longer = number + 1 + sum(1 for _ in (src_lines if tgt_line is None else tgt_lines))
            counts = (number, longer) if src_line is None else (longer, number)
            raise SeqkdError(
                f"not parallel: {src} has {counts[0]} lines but {tgt} has {counts[1]}; "
                f"line n of one must be the translation of line n of the other"
            )
        yield src_line, tgt_line


def decoded_lines(file: IO[bytes], name: str) -> Iterator[str]:
    """Yield the lines of an open text file.

    Raises:
        SeqkdError: if one is not UTF-8, has a NUL, or is longer than 64 MiB, or lines end in CR.
    """
    for number, raw in enumerate(iter(lambda: file.readline(_LONGEST_LINE_BYTES + 1), b""), 1):
        where = f"{name}, line {number}"
        if len(raw) > _LONGEST_LINE_BYTES:
            raise SeqkdError(f"{where}: longer than 64 MiB; expected one sentence a line")
        if number == 1:
            check_line_ends(raw, name)
        if b"\0" in raw:
            raise SeqkdError(
                f"{where}: a NUL (byte {raw.index(0)}), which text never has; the file is damaged "
                f"or not in UTF-8: convert it (iconv -t UTF-8), or remove the line"
            )
        raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        try:
            yield raw.removesuffix(b"\n").decode("utf-8")
        except UnicodeDecodeError as error:
            raise SeqkdError(
                f"{where}: not valid UTF-8 (byte {error.start}); convert the file first: "
                f"iconv -f ENCODING -t UTF-8"
            ) from None


def check_text(head: bytes, name: str) -> None:
    """Refuse what is no text of sentences in UTF-8, from its first bytes.

    Raises:
        SeqkdError: with the name of what it is instead.
    """
    check_encoding(head, name)
    if _MARKUP_RE.match(head.removeprefix(codecs.BOM_UTF8)):
        raise SeqkdError(f"{name}: a page or document in HTML or XML; expected one sentence a line")
    if encoding := _encoded_twice_by(head):
        raise SeqkdError(
            f"{name}: encoded in UTF-8 twice, as in 'fÃ¼r' for 'für'; convert it: "
            f"iconv -f UTF-8 -t {encoding}"
        )


def check_encoding(head: bytes, name: str) -> None:
    """Refuse what is not in UTF-8, from its first bytes.

    Raises:
        SeqkdError: with the name of what it is instead.
    """
    if encoding := _wide_encoding(head):
        raise SeqkdError(f"{name}: {encoding}, not UTF-8; convert it: iconv -f {encoding} -t UTF-8")
    if head.startswith(_LFS_POINTER):
        raise _is_lfs_pointer(name)
    if _ISO_2022_RE.search(head):
        raise SeqkdError(
            f"{name}: ISO-2022, not UTF-8; convert it: iconv -f ISO-2022-JP (or -KR, -CN) -t UTF-8"
        )


def check_line_ends(first: bytes, name: str) -> None:
    """Refuse a text whose lines end in CR alone, so that it reads as one line without a line feed.

    This needs the whole line: the beginning of a long one, or of a pipe, proves nothing.

    Raises:
        SeqkdError: if more than one CR is in the line, and no line feed.
    """
    if first.count(b"\r") > 1 and not first.endswith(b"\n"):
        raise SeqkdError(f"{name}: lines end in CR alone; convert it: tr '\\r' '\\n'")


def is_compressed(path: Path) -> bool:
    """Return whether `open_bytes` decompresses a file."""
    with path.open("rb") as file:
        return is_packed(file.read(16))


def refuse_lfs_pointer(path: Path) -> None:
    """Raise SeqkdError if a file is only a pointer of Git LFS."""
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise _is_lfs_pointer(str(path))


def _is_lfs_pointer(name: str) -> SeqkdError:
    return SeqkdError(f"{name}: a pointer of Git LFS, not the file itself; run git lfs pull")


def _encoded_twice_by(head: bytes) -> str | None:
    """Return what most lines with other than ASCII, which are UTF-8, were taken for, if so."""
    lines = [line for line in head.split(b"\n")[:-1] if not line.isascii()]
    for encoding in ("CP1252", "LATIN1"):
        twice = 0
        for line in lines:
            with contextlib.suppress(UnicodeError):
                line.decode("utf-8").encode(encoding).decode("utf-8")
                twice += 1
        if twice >= _TWICE_LINES and 2 * twice > len(lines):
            return encoding
    return None


def _wide_encoding(head: bytes) -> str | None:
    """Return the name of UTF-16 or UTF-32, by its mark or by where NULs are."""
    for mark, encoding in _WIDE_MARKS.items():
        if head.startswith(mark):
            return encoding
    zeros = [head[place::4].count(0) for place in range(4)]
    quarter = len(head) // 4
    outer = sorted((zeros[0], zeros[3]))
    if min(zeros[1:3]) > 0.9 * quarter > 0 and outer[1] > 0.9 * quarter > 9 * outer[0]:
        return "UTF-32LE" if zeros[3] > zeros[0] else "UTF-32BE"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    wide_feeds = head.count(b"\n\0" if odd > even else b"\0\n")
    feeds = head.count(b"\n")
    # A single NUL, and no line feed so far, may be a stray one at the start of a pipe.
    dense = 5 * max(even, odd) > len(head) and (wide_feeds or (not feeds and even + odd > 1))
    wide = dense or 2 * wide_feeds > feeds
    if wide and max(even, odd) > 8 * min(even, odd):
        return "UTF-16LE" if odd > even else "UTF-16BE"
    return None


def digest(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal.

    Raises:
        SeqkdError: if there is no such file.
    """
    check_file(path)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: object) -> None:
    """Write plain values or dataclasses as indented JSON; see `artefacts.read_json`."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=dataclasses.asdict)
    with atomic_text(path) as file:
        file.write(f"{text}\n")
