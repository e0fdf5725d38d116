"""The resolved entry of one model: all that `seqkd train` needs to know, in one small YAML file.

Written by the workflow as `models/{model}/seed-{seed}/config.yaml`; changing another model's
entry leaves this file, and so this model, untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqkd.errors import SeqkdError
from seqkd.models.architecture import Architecture
from seqkd.schema import from_dict, load_yaml
from seqkd.training_config import ObjectiveConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneConfig:
    """Which weights are cut before a stage trains; they stay zero while it does.

    Source: See et al. (2016); Kim & Rush (2016), sec. 5.2.
    """

    percentage: int
    """Share of all parameters, embeddings included, that is cut."""
    scheme: Literal["class-blind", "class-uniform", "class-distribution"] = "class-blind"
    """Over all weights together, the same share of each, or by each one's standard deviation."""
    criterion: Literal["magnitude", "saliency"] = "magnitude"
    """The smallest weights, or those whose loss matters least (Optimal Brain Damage)."""
    held: bool = False
    """Keep the mask of the parent, which is pruned already, instead of cutting anew."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 0 < self.percentage < 100:
            raise SeqkdError(f"percentage must be in 1 to 99, got {self.percentage}")


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
    prune: PruneConfig | None = None


def load_entry(path: str | Path) -> ModelEntry:
    """Read the entry of one model.

    Raises:
        SeqkdError: if the file is missing or wrong.
    """
    return from_dict(ModelEntry, load_yaml(path), str(path))
