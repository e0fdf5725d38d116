"""What stands in a table, as data: the rows that the workflow works out from an experiment.

The steps `table`, `diagnose` and `report` read the same kind of file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from seqkd.config.schema import from_dict, load_yaml
from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One row: a model with its seeds, and what it is compared with."""

    architecture: str
    """Key of the config's `architectures`, such as `student`."""
    label: str
    """Label of the architecture, such as `lstm-2x64`."""
    method: str
    """Key of the config's `methods`, such as `seq-kd+seq-inter`."""
    model: str
    """Name of the model: the folder below `models/` and `evaluations/`."""
    seeds: tuple[int, ...] = (1,)
    """Seeds that were trained; their mean and spread is what the row shows."""
    baseline: str | None = None
    """The model of the same architecture trained without a teacher; none: no delta."""
    teacher: str | None = None
    """The model that taught this one."""
    against: str | None = None
    """A further model that it is compared with, of whatever architecture."""
    pruned: int = 0
    """Percentage of weights cut."""
    format: str = "fp32"
    """Number format of the model file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableConfig:
    """Rows of one table, and the setting that the table shows."""

    experiment: str
    """Name of the experiment: the folder below `results/`."""
    source: str
    """Source language, for example `de`."""
    target: str
    """Target language."""
    beam: int = 5
    """Width of the beam search that stands beside greedy search."""
    test_sets: tuple[str, ...] = ()
    """Names of the test sets, the main one first."""
    rows: tuple[TableRow, ...] = field(default_factory=tuple)
    """In the order of the table."""


def load_table_config(path: str | Path) -> TableConfig:
    """Read the rows of a table.

    Raises:
        SeqkdError: if the file is missing or wrong, or two rows show the same model.
    """
    config = from_dict(TableConfig, load_yaml(path), str(path))
    models = [row.model for row in config.rows]
    for model in models:
        if models.count(model) > 1:
            raise SeqkdError(f"{path}: the model '{model}' stands in two rows")
    return config
