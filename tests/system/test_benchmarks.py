"""The benchmarks start, and their table is right; what they measure is no matter for tests."""

from __future__ import annotations

import csv
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import table

    return table


@pytest.mark.parametrize(
    "name",
    [
        "peers",
        "rooflines",
        "growth",
        "planning",
        "scale",
        "word_kd",
        "learning",
        "copying",
        "quality",
        "in_page",
    ],
)
def test_help_says_what_is_compared(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert f"python benchmarks/{name}.py" in capsys.readouterr().out


def test_ratios_are_taken_within_rounds(table, tmp_path: Path) -> None:
    # The machine was half as fast in the second round; the ratios do not see it.
    runs = [
        table.Measurement(
            system=system, round=number, tokens=rate * 10, cpu=10.0, wall=20.0, peak_mb=peak
        )
        for number, slow in enumerate((1, 2))
        for system, rate, peak in (("ours", 6000 / slow, 400), ("peer", 2000 / slow, 800))
    ]
    markdown = table.write(tmp_path, "made-up", runs, "ours", {"hardware": "none"})
    assert "| peer | 1,500 (1,000 to 2,000) | 750 (500 to 1,000) | 800 | 3.00 |" in markdown
    assert "- hardware: none" in markdown
    assert len(json.loads((tmp_path / "made-up.json").read_text())["runs"]) == 4


def test_by_the_clock_idle_time_counts(table, tmp_path: Path) -> None:
    runs = [
        table.Measurement(system=system, round=0, tokens=1000, cpu=10.0, wall=wall, peak_mb=1)
        for system, wall in (("ours", 5.0), ("peer", 20.0))
    ]
    markdown = table.write(tmp_path, "made-up", runs, "ours", {}, by_clock=True)
    assert "ours is faster by (clock)" in markdown
    assert "| peer | 100 | 50 | 1 | 4.00 |" in markdown


def test_copies_that_run_at_once_count_together(table, tmp_path: Path, monkeypatch) -> None:
    import systems
    from job import RESULT, Job

    def execute(command: list[str], threads: int, log: Path) -> tuple[list[str], float]:
        wall = 4.0 if log.parent.name == "work-1" else 2.0
        return [RESULT + json.dumps({"tokens": 100, "cpu": 2.0, "wall": wall})], 50.0

    monkeypatch.setattr(systems, "execute", execute)
    workshops = [systems.Workshop(tmp_path, copy) for copy in range(2)]
    found = systems.run("seqkd-fp32", workshops, Job(action="train", data=str(tmp_path)), 0)
    assert (found.tokens, found.cpu, found.wall, found.peak_mb) == (200, 4.0, 4.0, 100.0)


def test_curves_of_seeds_become_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import learning

    for seed, scores in enumerate(([10.0, 30.0], [26.0, 31.0], [1.0, 2.0])):
        folder = tmp_path / "models" / "lstm-2x64.nll" / f"seed-{seed}"
        folder.mkdir(parents=True)
        lines = [
            json.dumps({"epoch": n, "update": n * 10, "dev_bleu": bleu})
            for n, bleu in enumerate(scores, start=1)
        ]
        (folder / "curve.jsonl").write_text("\n".join(lines), encoding="utf-8")
    row = learning.summary(learning.curves(tmp_path), 25).loc["lstm-2x64.nll"].to_dict()
    assert row == {
        "seeds": 3, "learned": 2, "dev BLEU": 21.0, "sd": 16.5, "least": 2.0,
        "updates to 25": 15, "epochs to 25": 1.5,
    }  # fmt: skip
    # Seeds that fail alike have not learned.
    assert learning.summary(learning.curves(tmp_path), 40).loc["lstm-2x64.nll", "learned"] == 0


TINY = [
    "--sizes", "2x16", "--precisions", "fp32", "--vocab", "60", "--beams", "1,5", "--square", "64",
    "--batch-tokens", "80", "--updates", "6", "--sentences", "16", "--pairs", "200",
]  # fmt: skip


def gpu(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--folder", str(folder), *TINY, *options])
    runpy.run_path(str(BENCHMARKS / "gpu.py"), run_name="__main__")


def test_the_gpu_program_leaves_its_figures_in_files(monkeypatch, tmp_path: Path, capsys) -> None:
    gpu(monkeypatch, tmp_path, "--device", "cpu")
    rows = list(csv.DictReader((tmp_path / "gpu.csv").read_text().splitlines()))
    assert [(row["action"], row["batch"], row["beam"]) for row in rows] == [
        ("train", "64", "0"), ("train", "80", "0"), ("search", "0", "1"), ("search", "0", "5"),
    ]  # fmt: skip
    assert all(float(row["tokens/s"]) > 0 < float(row["peak MiB"]) for row in rows)
    assert {path.name for path in tmp_path.glob("*.txt")} == {
        "profile-train.txt", "profile-search.txt",
    }  # fmt: skip
    assert "all points measured" in capsys.readouterr().out
    gpu(monkeypatch, tmp_path, "--device", "cpu", "--minutes", "0")
    assert "no time for: [Point(action='train'" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_that_is_said(monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"sees no GPU.*Nothing was measured"):
        gpu(monkeypatch, tmp_path)
    assert not (tmp_path / "gpu.csv").exists()


def test_scale_measures_every_step(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "scale.py", "--pairs", "3000", "--folder", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.findall(r"^([a-z-]+)", done.stdout, flags=re.M)
    assert set(steps) >= {"corpus", "vocab", "align", "train", "decode", "merge", "select"}
