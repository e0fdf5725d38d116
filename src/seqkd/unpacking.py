"""Bytes of files from outside, decompressed: the content tells how, never the name."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from seqkd.errors import SeqkdError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Small: a few can unpack to a thousand times as much, and damage is reported where it is.
_READ_BYTES = 1 << 10
_LONGEST_WINDOW = 1 << 31  # of zstd --ultra --long=31
_ZSTD_SKIPPED = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))
_TAR_MARKS, _TAR_MARK_AT = (b"ustar\0", b"ustar  \0"), 257


Reader: TypeAlias = "io.BufferedReader[Any]"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _zstd() -> _Decompressor:
    import zstandard  # Snakemake reads YAML by this module, perhaps without the package

    return zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW).decompressobj()


def _damage() -> tuple[type[Exception], ...]:
    from zstandard import ZstdError

    return EOFError, zlib.error, lzma.LZMAError, OSError, ValueError, ZstdError


class _Format(NamedTuple):
    name: str
    starts: tuple[bytes, ...]
    decompressor: Callable[[], _Decompressor]


_FORMATS = (
    _Format("gzip", (b"\x1f\x8b",), lambda: zlib.decompressobj(wbits=31)),
    _Format("xz", (b"\xfd7zXZ\0",), lzma.LZMADecompressor),
    _Format("lzma", (b"\x5d\0\0",), lzma.LZMADecompressor),
    _Format(
        "bzip2",
        tuple(b"BZh%d%s" % (n, m) for n in range(1, 10) for m in (b"1AY&SY", b"\x17rE8P\x90")),
        bz2.BZ2Decompressor,
    ),
    _Format(
        "zstd",
        (b"\x28\xb5\x2f\xfd", *_ZSTD_SKIPPED),
        _zstd,
    ),
)
_LONGEST_START = max(len(start) for known in _FORMATS for start in known.starts)
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x04\x22\x4d\x18": "lz4 data",
    b"LZIP\x01": "lzip data",
    b"\x1f\x9d": "compress (.Z) data",
}


def unpacked(file: Reader, name: str) -> Reader:
    """Return the bytes of an open file, decompressed as its first bytes say, as often as they do.

    gzip, xz, lzma, bzip2 and zstd are known, of several members or frames, and padded.

    Args:
        file: at its start; closed with what is returned.
        name: of the file, for messages.

    Raises:
        SeqkdError: at once for an archive, and while reading from a damaged or truncated file.
    """
    head = file.peek(_TAR_MARK_AT + max(map(len, _TAR_MARKS)))
    for start, archive in _ARCHIVES.items():
        if head.startswith(start):
            raise SeqkdError(f"{name}: {archive}; unpack it and name the file in it")
    if head.startswith(_TAR_MARKS, _TAR_MARK_AT):
        raise SeqkdError(f"{name}: a tar archive; unpack it and name the file in it")
    packing = _format_of(head)
    if packing is None:
        return file
    return unpacked(io.BufferedReader(_Unpacked(file, name, packing), 1 << 16), name)


def is_packed(head: bytes) -> bool:
    """Return whether a file with these first bytes is decompressed by `unpacked`."""
    return _format_of(head) is not None


def _format_of(head: bytes) -> _Format | None:
    return next((known for known in _FORMATS if head.startswith(known.starts)), None)


class _Unpacked(io.RawIOBase):
    """Decompressed bytes; members and frames follow each other, zero bytes between and after."""

    def __init__(self, file: IO[bytes], name: str, packing: _Format) -> None:
        super().__init__()
        self._file, self._name, self._packing = file, name, packing
        self._member: _Decompressor | None = None
        self._ready = memoryview(b"")
        self._lines = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill `buffer` as far as data are at hand; 0 at the end."""
        while not self._ready:
            try:
                content = self._next()
            except _damage() as error:
                raise SeqkdError(
                    f"{self._name}: damaged or truncated after line {self._lines} "
                    f"({self._packing.name}: {error}); get or make the file again"
                ) from None
            if content is None:
                return 0
            self._ready = memoryview(content)
            self._lines += content.count(b"\n")
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._ready))
        view[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _next(self) -> bytes | None:
        """Return more decompressed bytes, perhaps none yet; None at the end of the file."""
        member = self._member
        if member is not None and not member.eof:
            if packed := self._file.read(_READ_BYTES):
                return member.decompress(packed)
            raise EOFError("it ends too early")
        rest = b"" if member is None else member.unused_data.lstrip(b"\0")
        while len(rest) < _LONGEST_START and (packed := self._file.read(_READ_BYTES)):
            rest = (rest + packed).lstrip(b"\0")
        if not rest:
            return None
        if not rest.startswith(self._packing.starts):
            raise EOFError("other data after its end")
        self._member = self._packing.decompressor()
        return self._member.decompress(rest)

    def close(self) -> None:
        self._file.close()
        super().close()
