"""The rows of a table, which the workflow derives from an experiment.

The steps `table`, `diagnose` and `report` read them.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from seqkd.config.header import Languages, Named
from seqkd.config.schema import Section

Key: TypeAlias = tuple[str, int]
"""A model's name and seed."""


class TableRow(Section):
    """One row: a model with its seeds, and the models that it is compared with."""

    architecture: str
    """Key of the config's `architectures`, such as `student`."""
    label: str
    """Label of the architecture, such as `lstm-2x500`."""
    method: str
    """Key of the config's `methods`, such as `seq-kd+seq-inter`."""
    model: str
    """Name of the model: its folder in `models/` and `evaluations/`."""
    seeds: tuple[int, ...] = (1,)
    """Seeds behind the mean and spread in the row."""
    baseline: str | None = None
    """The same architecture trained without a teacher; none: no difference is shown."""
    teacher: str | None = None
    """Teacher of this model, in the last stage that has one."""
    teacher_seeds: tuple[int, ...] = ()
    """Seeds of the teacher that taught it; several are an ensemble."""
    named_teachers: tuple[str, ...] = ()
    """Labels of its teachers, where another row has the same architecture and method."""
    against: str | None = None
    """A further model to compare with, of any architecture."""
    least: str | None = None
    """Of rows that differ in their amount of monolingual text alone, the model with the least."""
    pruned: int = 0
    """Percentage of pruned weights."""
    format: str = "fp32"
    """Number format of the model file."""


class TableConfig(Languages, Named):
    """A table: its rows and what they have in common."""

    beam: int = 5
    """Beam size of the second search; the first is greedy."""
    test_sets: tuple[str, ...] = ()
    """Names of the test sets, the main one first."""
    rows: tuple[TableRow, ...] = ()
    """Rows in the order of the table."""

    @property
    def searches(self) -> tuple[str, str]:
        """Names of the two searches."""
        return "greedy", f"beam-{self.beam}"

    def teacher_of(self, row: TableRow) -> Key | None:
        """Return the model that taught a row; for a baseline, most other rows of its architecture.

        None if the table has no such model: an ensemble is none.
        """
        same = [other for other in self.rows if other.architecture == row.architecture]
        models = {(other.model, seed) for other in self.rows for seed in other.seeds}
        taught = Counter(
            (other.teacher, other.teacher_seeds[0])
            for other in ([row] if row.teacher else same)
            if other.teacher not in (None, row.model) and len(other.teacher_seeds) == 1
        )
        return next((key for key, _ in taught.most_common() if key in models), None)
