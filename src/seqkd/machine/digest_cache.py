"""Digests of the user's files, kept between runs: a file is read again only when it has changed."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from seqkd import files
from seqkd.errors import SeqkdError

_TICK_NS = 2_000_000_000  # the coarsest clock of a file system


class DigestCache:
    """sha256 of files, in one JSON file.

    A digest is reused while device, inode, size, and the times of change of content and of inode
    (which no program can set) are the same, so an older file with other content is never missed.
    The digest of a file that changed a moment ago is not kept: it could change again within one
    tick of the file system's clock.
    """

    def __init__(self, path: Path) -> None:
        """Read the cache; one that cannot be read is empty."""
        self._path = path
        self._known: dict[str, list[object]] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(path.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def digest(self, path: Path) -> str:
        """Return the sha256 of the content of a file, through links, or `missing`."""
        try:
            stat = path.stat()
        except OSError:
            return "missing"
        key = str(path.resolve())
        state = [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        known = self._known.get(key)
        if isinstance(known, list) and known[:-1] == state:
            return str(known[-1])
        try:
            digest = files.digest(path)
        except (OSError, SeqkdError):
            return "missing"
        if time.time_ns() - stat.st_ctime_ns > _TICK_NS:
            self._known[key] = [*state, digest]
            with contextlib.suppress(OSError):  # a cache is no reason to fail
                files.write_json(self._path, self._known)
        return digest
