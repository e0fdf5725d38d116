"""Numbers of all models on one test set: scores, intervals, comparisons, noise floor.

`analysis` computes them; the results table, the figures and the report show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seqkd.config.table_rows import TableConfig, TableRow
from seqkd.evaluation.significance import NoiseFloor, critical_t

MINUS = "\u2212"


def signed(value: float) -> str:
    """Return a number with its sign and one digit; one that rounds to zero has none."""
    shown = f"{abs(value):.1f}"
    if float(shown) == 0:
        return shown
    return ("+" if value > 0 else MINUS) + shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A model compared with another one."""

    other: str
    delta: float
    """Difference of the means over seeds; BLEU."""
    standard_error: float | None
    """Of that difference by seeds alone (noise floor); None if no model has two seeds."""
    degrees: int | None
    """Degrees of freedom of the standard error."""
    p_bootstrap: float
    p_randomisation: float
    p_corrected: float = 1.0
    """The larger of the two p values, each corrected by Holm over its family of tests."""

    @property
    def within_noise(self) -> bool:
        """Whether seeds alone could make the difference: by a t test at 0.05."""
        if self.standard_error is None or self.degrees is None:
            return False
        return abs(self.delta) < critical_t(self.degrees) * self.standard_error

    @property
    def stars(self) -> str:
        """One for p < 0.05, two for p < 0.01; in brackets if within the noise of seeds."""
        stars = "**" if self.p_corrected < 0.01 else "*" if self.p_corrected < 0.05 else ""
        return f"({stars})" if stars and self.within_noise else stars


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The mean score over seeds, with its interval over test sentences."""

    mean: float
    sd: float | None
    """Over seeds; None for a single one."""
    low: float
    high: float

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """One model under one search."""

    bleu: Measured
    chrf: Measured
    chrf_pp: Measured
    second_bleu: Measured | None = None
    length_ratio: float
    """Words of the output to words of the references."""
    baseline: Comparison | None = None
    teacher: Comparison | None = None
    """With the model that taught it, of one seed."""
    against: Comparison | None = None
    """With the row's model to beat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowResult:
    """One row: a model over its seeds."""

    row: TableRow
    parameters: int
    nonzero_parameters: int
    file_bytes: int
    compressed_bytes: int
    perplexity: float | None
    mode_mean: float | None
    mode_median: float | None
    searches: Mapping[str, SearchResult]
    """By `greedy` and `beam-{K}`."""

    @property
    def shipped_bytes(self) -> int:
        """Bytes of the file to ship: zstd leaves out the zeros of a pruned model."""
        return self.compressed_bytes if self.row.pruned else self.file_bytes


def by_architecture(rows: Iterable[RowResult]) -> dict[str, list[RowResult]]:
    """Return the rows of each architecture, in their order."""
    groups: dict[str, list[RowResult]] = {}
    for row in rows:
        groups.setdefault(row.row.architecture, []).append(row)
    return groups


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """One test set, or a part of it."""

    config: TableConfig
    test_set: str
    sentences: int
    whole: bool
    """All sentences; else those without a near duplicate in training."""
    near_duplicates: int
    """Number of these sentences that have a near duplicate in training."""
    rows: Sequence[RowResult]
    noise: Mapping[str, Mapping[str, NoiseFloor]]
    """By search and architecture, if some model of it has two seeds."""
    comparisons: int
    """Number of tests that the p values are corrected for."""
    aimed: int
    """Number of tests against the models to beat, a family of its own."""
    resamples: int
    signatures: Sequence[str]
    second_bleu: str | None = None
    """In what the second BLEU differs, such as `lc`; None without one."""

    @property
    def searches(self) -> tuple[str, str]:
        """Names of the two searches."""
        return self.config.searches
