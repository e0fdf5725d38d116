"""Digests of the user's files, kept between runs: a file is read again only when it has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

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
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return "missing"
        if time.time_ns() - stat.st_ctime_ns > _TICK_NS:
            self._known[key] = [*state, digest]
            self._save()
        return digest

    def _save(self) -> None:
        # Not by `seqkd.files`: Snakemake may run where the package's dependencies are missing.
        part = self._path.with_suffix(f".{os.getpid()}.part")
        with contextlib.suppress(OSError):  # a cache is no reason to fail
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self._known), encoding="utf-8")
            part.replace(self._path)
