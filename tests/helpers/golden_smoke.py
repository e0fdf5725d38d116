"""The numbers of the smoke experiment's results table."""

from __future__ import annotations

import csv
from pathlib import Path

from workflow_harness import Workspace

TABLE = Path(__file__).parents[1] / "reference" / "golden" / "smoke.csv"
# Names and counts, which no CPU changes. The header of a model file may lose a field, so the bytes
# of a file are not among them.
EXACT = (
    "experiment", "test_set", "sentences", "subset", "architecture", "label", "method", "model",
    "pruned", "format", "seeds", "parameters", "nonzero_parameters",
)  # fmt: skip
PROBABILITIES = ("mode_probability_mean", "mode_probability_median")
_LEFT_OUT = "signatures"  # name the version of sacrebleu

Rows = list[dict[str, str]]


def table_of(workspace: Workspace) -> Path:
    """Return the path of a run's table."""
    return workspace.folder / "results" / "smoke" / "tables" / "results.csv"


def read(path: Path) -> Rows:
    """Return the rows of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(rows: Rows) -> None:
    """Store the columns that have a value in some row."""
    columns = [name for name in rows[0] if name != _LEFT_OUT and any(row[name] for row in rows)]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
