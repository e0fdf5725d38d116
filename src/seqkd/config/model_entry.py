"""The resolved entry of one model: all that `seqkd train` needs to know, in one small YAML file.

Written by the workflow as `models/{model}/seed-{seed}/config.yaml`; changing another model's
entry leaves this file, and so this model, untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seqkd.config.architecture import Architecture
from seqkd.config.pruning import PruneConfig
from seqkd.config.schema import from_dict, load_yaml
from seqkd.config.training import ObjectiveConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """One model of the experiment: an architecture after one stage of training."""

    model: str
    """Name, as in results/{experiment}/models/{model}."""
    seed: int
    """Start of every random generator of this model."""
    architecture: Architecture
    training: TrainingConfig
    targets: str
    """What stands on the target side: `gold` or the name of an entry of `targets`."""
    objective: ObjectiveConfig
    parent: str | None = None
    """Model whose weights this stage starts from; none: fresh weights."""
    teacher: str | None = None
    """Model that made the targets or gives the soft targets."""
    teacher_seed: int | None = None
    """Which seed of the teacher that was."""
    ensemble: tuple[int, ...] = ()
    """Further seeds of the teacher, if several taught together."""
    prune: PruneConfig | None = None

    @property
    def teacher_seeds(self) -> tuple[int, ...]:
        """All seeds of the teacher; none without a teacher."""
        return () if self.teacher_seed is None else (self.teacher_seed, *self.ensemble)

    @property
    def wants_top_k(self) -> bool:
        """Whether Word-KD reads stored distributions."""
        return self.objective.kd_weight > 0 and self.objective.soft_targets == "top-k"

    @property
    def wants_teacher(self) -> bool:
        """Whether Word-KD runs the teacher beside the student."""
        return self.objective.kd_weight > 0 and not self.wants_top_k


def load_entry(path: str | Path) -> ModelEntry:
    """Read the entry of one model.

    Raises:
        SeqkdError: if the file is missing or wrong.
    """
    return from_dict(ModelEntry, load_yaml(path), str(path))
