"""The entry of one model: everything that `seqkd train` needs to know, in one small YAML file.

The workflow writes it to `models/{model}/seed-{seed}/config.yaml`. Changes to other models leave
the file, and so this model, untouched.
"""

from __future__ import annotations

from seqkd.config.architecture import AnyArchitecture
from seqkd.config.schema import Section
from seqkd.config.training import ObjectiveConfig, PruneConfig, TrainingConfig


class ModelEntry(Section):
    """One model of the experiment: an architecture after one stage of training."""

    model: str
    """Name, as in results/{experiment}/models/{model}."""
    seed: int
    """Seed of all random numbers."""
    architecture: AnyArchitecture
    training: TrainingConfig
    targets: str
    """The target side: `gold` or the name of an entry of `targets`."""
    objective: ObjectiveConfig
    parent: str | None = None
    """Model whose weights this stage starts from; none: random weights."""
    teacher: str | None = None
    """Model that made the targets or gives the soft targets."""
    teacher_seeds: tuple[int, ...] = ()
    """Seeds of the teacher; several are an ensemble, none is no teacher."""
    prune: PruneConfig | None = None

    @property
    def wants_top_k(self) -> bool:
        """Whether Word-KD reads stored distributions."""
        return self.objective.kd_weight > 0 and self.objective.soft_targets == "top-k"

    @property
    def wants_teacher(self) -> bool:
        """Whether the teacher runs alongside, for Word-KD or for its attention."""
        word_kd = self.objective.kd_weight > 0 and not self.wants_top_k
        return word_kd or self.training.guided_by("teacher") is not None

    @property
    def wants_lexicon(self) -> bool:
        """Whether alignments come from the aligner."""
        return self.training.guided_by("aligner") is not None
