"""Evenly spread shares of a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqkd.cli import main
from seqkd.corpus.subset import is_taken


@pytest.mark.parametrize("percent", [0, 7, 29, 50, 100])
def test_a_share_is_spread_evenly(percent: int):
    taken = [is_taken(number, percent) for number in range(1000)]
    assert sum(taken) == 10 * percent
    for start in range(0, 1000, 100):
        assert sum(taken[start : start + 100]) == percent


def subset(folder: Path, percent: int) -> tuple[list[str], list[str]]:
    for side in ("de", "en"):
        lines = "".join(f"{side} {number}\n" for number in range(7))
        (folder / f"train.{side}").write_text(lines, encoding="utf-8")
    main(
        ["subset", "--src", f"{folder}/train.de", "--tgt", f"{folder}/train.en",
         "--percent", str(percent),
         "--output-src", f"{folder}/share.de", "--output-tgt", f"{folder}/share.en"]
    )  # fmt: skip
    de, en = ((folder / f"share.{side}").read_text().splitlines() for side in ("de", "en"))
    return de, en


def test_both_sides_keep_the_same_lines(tmp_path: Path):
    assert subset(tmp_path, 50) == (["de 1", "de 3", "de 5"], ["en 1", "en 3", "en 5"])
    assert [len(side) for side in subset(tmp_path, 100)] == [7, 7]


def test_a_share_is_a_percentage(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"--percent must be between 1 and 100, got 0"):
        subset(tmp_path, 0)
    with pytest.raises(SystemExit, match="too few lines for a share of 1 %"):
        subset(tmp_path, 1)
