"""N-best files: round trips, merging, and every way in which a shard can be wrong."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, read_lines
from seqkd.translation.nbest import (
    Candidate,
    Record,
    ShardHeader,
    from_line,
    merge,
    read_block,
    read_nbest,
    source_digest,
    to_line,
    write_shard,
)

SOURCES = [f"source line {i}" for i in range(23)]
SHA = hashlib.sha256(b"source").hexdigest()
BLOCK = 4
HEADER = ShardHeader(
    models=("m",), source=SHA, search={"beam": 2, "n_best": 2}, block=BLOCK, shard=1, shards=3,
    arithmetic="float32", code="c",
)  # fmt: skip


def record(i: int) -> Record:
    hypotheses = (Candidate(-0.5, f"text {i}", (5, i)), Candidate(-1.25, "other", (6,)))
    return Record(i, hypotheses, source_digest(SOURCES[i]))


def write_shards(folder: Path, shards: int = 3) -> list[Path]:
    paths = []
    for number in range(1, shards + 1):
        ids = [i for i in range(len(SOURCES)) if i // BLOCK % shards == number - 1]
        header = dataclasses.replace(HEADER, shard=number, shards=shards)
        paths.append(folder / f"{number}-of-{shards}.jsonl.zst")
        write_shard(paths[-1], header, [to_line(record(i)) for i in ids])
    return paths


def change(path: Path, edit) -> None:
    lines = list(read_lines(path))
    with atomic_text(path) as file:
        file.writelines(line + "\n" for line in edit(lines))


@given(
    st.lists(
        st.tuples(
            st.floats(-1000, 0).map(lambda x: round(x, 6)),
            st.text(st.characters(codec="utf-8", exclude_characters="\n")),
            st.lists(st.integers(0, 60_000)).map(tuple),
        ),
        max_size=5,
    )
)
def test_records_survive_a_round_trip(hypotheses):
    before = Record(7, tuple(Candidate(*h) for h in hypotheses), "0a")
    line = to_line(before)
    assert "\n" not in line
    assert from_line(line, "here") == before


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 6])
def test_merged_lists_do_not_depend_on_the_shards(tmp_path, shards):
    lines = list(merge(write_shards(tmp_path, shards), SOURCES, SHA))
    assert lines == [to_line(record(i)) for i in range(len(SOURCES))]


def test_more_shards_than_blocks_leave_empty_ones(tmp_path):
    assert len(list(merge(write_shards(tmp_path, 8), SOURCES, SHA))) == len(SOURCES)


def refused(paths: list[Path], match: str) -> None:
    with pytest.raises(SeqkdError, match=match):
        list(merge(paths, SOURCES, SHA))


def test_swapped_arguments_are_named(tmp_path):
    one, two, three = write_shards(tmp_path)
    refused([one, three, two], r"3-of-3.jsonl.zst holds shard 3 of 3 where shard 2 belongs")


def test_swapped_files_are_named(tmp_path):
    one, two, three = write_shards(tmp_path)
    two.rename(tmp_path / "x")
    three.rename(two)
    (tmp_path / "x").rename(three)
    refused([one, two, three], r"2-of-3.jsonl.zst holds shard 3 of 3 where shard 2 belongs")


def test_a_missing_shard_is_named(tmp_path):
    one, _, three = write_shards(tmp_path)
    refused([one, three], "shard 2 of 3 is missing")


def test_a_missing_file_is_named(tmp_path):
    one, two, three = write_shards(tmp_path)
    two.unlink()
    refused([one, two, three], "file not found: .*2-of-3")


def test_a_shard_given_twice_is_named(tmp_path):
    one, two, _ = write_shards(tmp_path)
    refused([one, two, two], "shard 2 of 3 is given twice")


def test_a_truncated_shard_is_named(tmp_path):
    paths = write_shards(tmp_path)
    change(paths[1], lambda lines: lines[:-2])
    refused(paths, r"shard 2 of 3 \(.*\) is truncated: it ends before sentence 18")


def test_a_truncated_file_is_named(tmp_path):
    paths = write_shards(tmp_path)
    data = paths[2].read_bytes()
    paths[2].write_bytes(data[: len(data) // 2])
    refused(paths, "3-of-3")


def test_a_dropped_line_is_named(tmp_path):
    paths = write_shards(tmp_path)
    change(paths[0], lambda lines: lines[:2] + lines[3:])
    refused(paths, r"shard 1 of 3 \(.*\) lacks sentence 1: expected 1, got 2")


def test_a_doubled_line_is_named(tmp_path):
    paths = write_shards(tmp_path)
    change(paths[0], lambda lines: [*lines[:2], *lines[1:]])
    refused(paths, r"shard 1 of 3 \(.*\) repeats or misplaces sentence 0")


def test_a_line_too_many_is_named(tmp_path):
    paths = write_shards(tmp_path)
    change(paths[2], lambda lines: [*lines, to_line(record(3)._replace(id=23))])
    refused(paths, r"shard 3 of 3 \(.*\) has sentence 23 after the last of 23")


@pytest.mark.parametrize(
    ("difference", "match"),
    [
        ({"models": ("other",)}, "shard 2 of 3 .* different model"),
        ({"search": {"beam": 9}}, "shard 2 of 3 .* different search"),
        ({"block": 7}, "shard 2 of 3 .* different block"),
        ({"source": "other"}, "shard 2 of 3 .* different source"),
        ({"code": "older"}, "shard 2 of 3 .* different code"),
        ({"shards": 4}, "is one of 4 shards"),
    ],
)
def test_a_shard_of_something_else_is_named(tmp_path, difference, match):
    paths = write_shards(tmp_path)
    header = dataclasses.replace(HEADER, **{"shard": 2} | difference)
    change(paths[1], lambda lines: [header.to_line(), *lines[1:]])
    refused(paths, match)


def test_another_source_text_is_refused(tmp_path):
    paths = write_shards(tmp_path)
    with pytest.raises(SeqkdError, match="a different source text"):
        list(merge(paths, SOURCES, "0" * 64))
    with pytest.raises(SeqkdError, match="sentence 1 has a different source line"):
        list(merge(paths, [SOURCES[0], *SOURCES[2:], "x"], SHA))


def test_files_without_header_are_refused(tmp_path):
    paths = write_shards(tmp_path)
    change(paths[0], lambda lines: lines[1:])
    refused(paths, "no header")


def test_reading_checks_ids_and_sources(tmp_path):
    path = tmp_path / "nbest.jsonl.zst"
    with atomic_text(path) as file:
        file.writelines(to_line(record(i)) + "\n" for i in range(len(SOURCES)))
    pairs = list(read_nbest(path, SOURCES))
    assert pairs == [(source, record(i)) for i, source in enumerate(SOURCES)]
    for wrong, match in (
        (SOURCES[:-1], "more records than the 22 lines"),
        ([*SOURCES, "x"], "ends after 23 records"),
        (SOURCES[::-1], "different source line"),
    ):
        with pytest.raises(SeqkdError, match=match):
            list(read_nbest(path, wrong))
    change(path, lambda lines: [lines[1], lines[0], *lines[2:]])
    with pytest.raises(SeqkdError, match="expected id 0, got 1"):
        list(read_nbest(path, SOURCES))


def test_lists_from_elsewhere_need_no_source_digest(tmp_path):
    path = tmp_path / "foreign.jsonl"
    path.write_text('{"id": 0, "nbest": [[-1, "a lamp", [4]]]}\n', encoding="utf-8")
    ((_, found),) = read_nbest(path, ["eine Lampe"])
    assert found.hypotheses == (Candidate(-1.0, "a lamp", (4,)),)
    path.write_text('{"id": 0, "nbest": "a lamp"}\n', encoding="utf-8")
    for wrong in ("5, [4]", "null, [4]", '"\\ud800", [4]', '"a lamp", "xyz"'):
        with pytest.raises(SeqkdError, match="not an n-best record"):
            from_line(f'{{"id": 0, "nbest": [[-1, {wrong}]]}}', "x")
    with pytest.raises(SeqkdError, match="not an n-best record"):
        list(read_nbest(path, ["eine Lampe"]))


def test_blocks_are_trusted_only_if_they_are_ours(tmp_path):
    path, ids = tmp_path / "0.jsonl.zst", range(4, 8)
    lines = [to_line(record(i)) for i in ids]
    assert read_block(path, HEADER, ids, SOURCES[4:8]) == []
    write_shard(path, HEADER, lines)
    assert read_block(path, HEADER, ids, SOURCES[4:8]) == lines
    assert read_block(path, HEADER, range(5, 9), SOURCES[5:9]) == []
    assert read_block(path, HEADER, ids, SOURCES[5:9]) == []
    for difference in ({"models": ("x",)}, {"code": "x"}, {"arithmetic": "x"}, {"search": {}}):
        other = dataclasses.replace(HEADER, **difference)
        assert read_block(path, other, ids, SOURCES[4:8]) == []
    change(path, lambda written: written[:-1])
    assert read_block(path, HEADER, ids, SOURCES[4:8]) == []
    path.write_bytes(b"damaged")
    assert read_block(path, HEADER, ids, SOURCES[4:8]) == []
