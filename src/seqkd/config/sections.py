"""The small parts of an experiment, each of one kind of step: what is stored, scored, timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class RowConfig:
    """One row of the table, by its architecture and method."""

    architecture: str
    """Key of `architectures`."""
    method: str
    """Key of `methods`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftTargetsConfig:
    """Where the teacher's word distributions for Word-KD come from."""

    kind: Literal["top-k", "alongside"] = "top-k"
    """Stored once for all students (top-k), or from the teacher run beside each student; a stage
    may choose for itself by `soft_targets`."""
    k: int = 16
    """Words kept of each distribution; the kept mass is in the manifest."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.k < 1:
            raise SeqkdError(f"k must be at least 1, got {self.k}")


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantisationConfig:
    """Smaller number formats of finished models."""

    of: tuple[RowConfig, ...] = ()
    """Rows whose models are quantised."""
    formats: tuple[Literal["int8", "bf16", "fp16"], ...] = ()
    """Each becomes a model of its own, evaluated and timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingConfig:
    """Decoding of the training text by teachers."""

    shards: int = 2
    """Jobs that one decoding is split into; never changes a result, never triggers a rerun."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.shards < 1:
            raise SeqkdError(f"shards must be at least 1, got {self.shards}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """Scoring of every model on every test set."""

    beam: int = 5
    """Width of the beam search that stands beside greedy search in the table."""
    against: RowConfig | None = None
    """A row that all taught rows are compared with, beside their baseline: what is to be beaten."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.beam < 2:
            raise SeqkdError(
                f"beam must be at least 2 (greedy is always measured), got {self.beam}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedConfig:
    """Measuring of decoding speed (Table 2)."""

    of: tuple[RowConfig, ...] = ()
    """Rows whose first seed is timed, and their quantised forms."""
