"""Artefacts: what a class writes it reads, and anything else is one clear line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from seqkd.artefacts import read_json, read_json_lines
from seqkd.errors import SeqkdError
from seqkd.files import write_json


@dataclass(frozen=True)
class Inner:
    values: tuple[float, ...]


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    inner: dict[str, Inner]
    note: str | None


WHOLE = Outer("\u00e4", 3, {"x": Inner((1.5, 2))}, None)


def test_what_is_written_is_read(tmp_path: Path):
    write_json(tmp_path / "a.json", [WHOLE, WHOLE])
    assert read_json(list[Outer], tmp_path / "a.json") == [WHOLE, WHOLE]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "count": 3, "note": null}', "inner: missing"),
        ('{"name": "a", "count": 3, "inner": {"x": {}}, "note": null}', "inner.x.values: missing"),
        ('{"name": "a", "count": "3", "inner": {}, "note": null}', "count: should be an integer"),
        ('{"name": "a", "count": 3.5, "inner": {}, "note": null}', "count: should be an integer"),
        ('{"name": "a", ', "Invalid JSON: EOF"),
        ("", "Invalid JSON: EOF"),
    ],
)
def test_a_missing_or_wrong_key_is_named(text: str, message: str, tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SeqkdError, match=f"a.json: {message}") as caught:
        read_json(Outer, path)
    assert "\n" not in str(caught.value)


def test_lines_are_numbered(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"values": [1]}\n{"value": [1]}\n')
    with pytest.raises(SeqkdError, match=r"a.jsonl, line 2: values: missing"):
        read_json_lines(Inner, path)
    with pytest.raises(SeqkdError, match="file not found"):
        read_json_lines(Inner, tmp_path / "b.jsonl")


# ---------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_its_target_is_written(there: bool, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "a.json", tmp_path / "b.json"
    link.symlink_to(Path("disk", "a.json"))
    if there:
        target.write_text("old")
    write_json(link, 7)
    assert link.is_symlink()
    assert target.read_text() == "7\n"
    assert list(target.parent.iterdir()) == [target]


def test_a_file_keeps_its_mode(tmp_path: Path):
    path = tmp_path / "a.json"
    path.touch(0o600)
    write_json(path, 7)
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    write_json(path, 7)
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode


def test_what_is_no_regular_file_is_refused_as_an_output(tmp_path: Path):
    ends = os.openpty()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, Path(os.ttyname(ends[1]))):
        kind = path.stat().st_mode
        with pytest.raises(SeqkdError, match=f"{path} is no regular file"):
            write_json(path, 7)
        assert path.stat().st_mode == kind
    for end in ends:
        os.close(end)


def test_what_standard_output_is_appended_to_is_not_replaced(tmp_path: Path):
    path = tmp_path / "all.txt"
    path.write_text("old\n")
    program = "from seqkd.files import write_json; write_json('/dev/stdout', 7)"
    with path.open("a") as file:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=file, stderr=subprocess.PIPE, check=False
        )
    assert b"/dev/stdout is standard output" in done.stderr
    assert path.read_text() == "old\n"
