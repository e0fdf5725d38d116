"""The user's files count by content, whatever their date or path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seqkd import files
from seqkd.machine import digest_cache
from seqkd.machine.digest_cache import DigestCache


def test_a_file_that_changed_a_moment_ago_is_read_again(tmp_path: Path):
    cache, text = tmp_path / "c.json", tmp_path / "a.txt"
    text.write_text("one")
    DigestCache(cache).digest(text)
    assert not cache.exists()  # `two`, written within the same tick, has the same size and date


def test_content_counts_and_neither_date_nor_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digest_cache, "_TICK_NS", 0)
    cache, text, link = tmp_path / "c.json", tmp_path / "a.txt", tmp_path / "link"
    text.write_text("one")
    link.symlink_to(text)
    first = DigestCache(cache).digest(link)
    assert first == files.digest(text)
    os.utime(text, (0, 0))
    assert DigestCache(cache).digest(link) == first
    with monkeypatch.context() as patch:
        patch.setattr(files, "digest", None)  # not read again
        assert DigestCache(cache).digest(link) == first
    older = tmp_path / "b.txt"
    older.write_text("two")
    os.utime(older, (0, 0))
    older.replace(text)  # same size, same date, other content
    assert DigestCache(cache).digest(link) == files.digest(text) != first
    link.unlink()
    assert DigestCache(cache).digest(link) == "missing"


@pytest.mark.parametrize("content", ["", "[1]", '{"x": 3}', "\x00"])
def test_a_damaged_cache_is_empty(tmp_path: Path, content: str):
    cache, text = tmp_path / "c.json", tmp_path / "a.txt"
    cache.write_text(content)
    text.write_text("one")
    assert DigestCache(cache).digest(text) == files.digest(text)
