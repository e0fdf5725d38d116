"""The benchmarks start, and their table is right; what they measure is no matter for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import table

    return table


@pytest.mark.parametrize("name", ["peers", "rooflines", "growth", "planning", "scale", "word_kd"])
def test_help_says_what_is_compared(name: str) -> None:
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert f"python benchmarks/{name}.py" in shown.stdout


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
    row = json.loads((tmp_path / "made-up.json").read_text())["rows"][1]
    assert row["ratio"] == {"median": 3.0, "low": 3.0, "high": 3.0}
    assert table.read_runs(tmp_path / "made-up.json") == runs
