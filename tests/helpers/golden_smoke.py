"""The numbers of the smoke experiment's results table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from workflow_harness import Workspace

TABLE = Path(__file__).parents[1] / "reference" / "golden" / "smoke.csv"
_LEFT_OUT = ["signatures"]  # name the version of sacrebleu


def table_of(workspace: Workspace) -> Path:
    """Return the path of a run's table."""
    return workspace.folder / "results" / "smoke" / "tables" / "results.csv"


def read(path: Path) -> pd.DataFrame:
    """Return the columns of a table that have a value in some row."""
    table = pd.read_csv(path, dtype={"file_bytes": float})  # so that it may differ a little
    return table.drop(columns=_LEFT_OUT, errors="ignore").dropna(axis=1, how="all")


def write(table: pd.DataFrame) -> None:
    """Store a table."""
    table.to_csv(TABLE, index=False, lineterminator="\n")
