"""The `methods` and `models` sections: stages of training, and which models go through which."""

from __future__ import annotations

from typing import NamedTuple, Self

from pydantic import model_validator

from seqkd.config.header import Word
from seqkd.config.naming import BASELINE
from seqkd.config.schema import DistinctNonEmpty, NonNegative, Section
from seqkd.config.training import ObjectiveConfig, TrainingConfig
from seqkd.errors import SeqkdError


class StageConfig(ObjectiveConfig):
    """One stage of a method: its targets and its loss, (1 - kd_weight) NLL + kd_weight Word-KD."""

    targets: str
    """`gold`, or the name of an entry of `targets`."""
    label: Word | None = None
    """Replaces the computed name of the stage, to distinguish stages with the same targets."""
    teacher: str | None = None
    """Teacher of this stage, a key of `architectures` (its first seed teaches) or of `teachers`;
    null: that of the entry of `models`."""
    teacher_method: str | None = None
    """Method of that teacher; null: `baseline`, or for the teacher of the entry of `models` the
    method there."""
    training: TrainingConfig = TrainingConfig()
    """Overrides of the general and of the architecture's `training`."""

    @model_validator(mode="after")
    def _check_word_kd(self) -> Self:
        for key in ObjectiveConfig.model_fields:
            if key in self.model_fields_set and not self.kd_weight and key != "kd_weight":
                raise SeqkdError(f"{key} needs kd_weight: without it there is no Word-KD")
        return self


class RowConfig(Section):
    """One row of the table, identified by its architecture and method."""

    architecture: str
    """Key of `architectures`."""
    method: str
    """Key of `methods`."""


class ModelsConfig(Section):
    """An architecture trained by some methods."""

    architecture: str
    """Key of `architectures`."""
    methods: DistinctNonEmpty[str]
    """Keys of `methods`; each is a row of the table."""
    teacher: str | None = None
    """The teacher: a key of `architectures` (its own for self-distillation) or of `teachers`."""
    teacher_method: str = BASELINE
    """Method of the teacher; it must be among the methods of the teacher's own entry."""
    teacher_seeds: DistinctNonEmpty[NonNegative] | None = None
    """Seeds of the teacher that form an ensemble; null: the first seed alone."""
    seeds: DistinctNonEmpty[NonNegative] | None = None
    """Seeds of this entry; null: the general ones."""

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        for key in ("teacher_method", "teacher_seeds"):
            if key in self.model_fields_set and self.teacher is None:
                raise SeqkdError(f"{key} needs teacher")
        return self

    def teacher_of(self, stage: StageConfig) -> Teaching | None:
        """Return who teaches a stage, if it has a teacher."""
        if stage.teacher is not None:
            return Teaching(stage.teacher, stage.teacher_method or BASELINE)
        if self.teacher is None:
            return None
        method = stage.teacher_method or self.teacher_method
        return Teaching(self.teacher, method, self.teacher_seeds)


class Teaching(NamedTuple):
    """Who teaches a stage."""

    teacher: str
    """Key of `architectures` or of `teachers`."""
    method: str
    seeds: tuple[int, ...] | None = None
    """An ensemble; null: the first seed alone."""
