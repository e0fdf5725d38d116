"""All that changes while a model trains; a checkpoint holds exactly this."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seqkd.config.training import TrainingConfig
from seqkd.models.build import Model
from seqkd.training.manifest import Validation
from seqkd.training.optimizer import make_optimizer

Weights = dict[str, Tensor]
"""Parameter name -> a copy of its value, on the CPU."""


@dataclass
class WeightSelection:
    """Selects the final weights: those of the best validation, or the mean of the last few."""

    best_score: float = -math.inf
    best_update: int = 0
    stalled: int = 0
    """Validations since the best one."""
    best: Weights = field(default_factory=dict)
    recent: list[Weights] = field(default_factory=list)

    def add(self, model: Model, result: Validation, config: TrainingConfig) -> bool:
        """Take the weights of a validation into account; return whether it is the best so far."""
        score = {
            "bleu": result.dev_bleu, "perplexity": -result.dev_perplexity, "last": math.inf,
        }[config.best]  # fmt: skip
        is_best = score > self.best_score or config.best == "last"
        self.stalled += 1
        if is_best:
            self.best_score, self.best_update, self.stalled = score, result.update, 0
            self.best = _copy(model)
        if config.average_checkpoints > 1:
            self.recent = [*self.recent, _copy(model)][-config.average_checkpoints :]
        return is_best

    def is_out_of_patience(self, config: TrainingConfig) -> bool:
        """Return whether training should stop early."""
        return bool(config.patience) and self.stalled >= config.patience

    @torch.no_grad()
    def load_into(self, model: Model) -> None:
        """Set the model's weights to the selected ones."""
        for name, parameter in model.named_parameters():
            recent = [weights[name] for weights in self.recent]
            parameter.copy_(torch.stack(recent).mean(0) if recent else self.best[name])


@dataclass
class TrainingState:
    """How far training is: the model, its optimiser, and the position in the data."""

    model: Model
    optimizer: torch.optim.Optimizer
    selection: WeightSelection = field(default_factory=WeightSelection)
    curve: list[Validation] = field(default_factory=list)
    epoch: int = 0
    """Finished epochs."""
    position: int = 0
    """Finished batches of the current epoch."""
    update: int = 0
    loss_sum: float = 0.0
    """Objective since the last validation, nats."""
    token_count: int = 0
    """Target tokens since the last validation."""

    @classmethod
    def start(cls, model: Model, config: TrainingConfig) -> TrainingState:
        """Return the state before the first update."""
        return cls(model, make_optimizer(model, config))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        return {
            **vars(self),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "selection": vars(self.selection),
            "curve": [dataclasses.asdict(result) for result in self.curve],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.model.load_state_dict(saved.pop("model"))
        self.optimizer.load_state_dict(saved.pop("optimizer"))
        self.selection = WeightSelection(**saved.pop("selection"))
        self.curve = [Validation(**result) for result in saved.pop("curve")]
        for name, value in saved.items():
            setattr(self, name, value)


def _copy(model: Model) -> Weights:
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters()}
