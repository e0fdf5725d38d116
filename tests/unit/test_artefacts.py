"""Artefacts: what a class writes it reads, and anything else is one clear line."""

from __future__ import annotations

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
