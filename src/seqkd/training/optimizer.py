"""The optimiser: made from the config, and its step by clipped gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from seqkd.config.training import TrainingConfig


def make_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """Return the optimiser; fused kernels make one pass over the weights an update."""
    optimizer = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.AdamW
    return optimizer(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def clipped_step(optimizer: Optimizer, divisor: float, max_norm: float) -> None:
    """Update the weights by their summed gradients: divided by `divisor`, then clipped.

    Args:
        optimizer: of all weights.
        divisor: tokens or sentences of the update.
        max_norm: longer gradients are rescaled to this norm; 0: never.
    """
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    scale = torch.tensor(divisor, device=gradients[0].device)
    if max_norm:
        norm: Tensor = nn.utils.get_total_norm(gradients, foreach=True) / divisor
        scale *= (norm / max_norm).clamp_(min=1.0)
    # The fused optimisers divide by it on the way, which saves a pass over all gradients.
    optimizer.grad_scale = scale  # type: ignore[attr-defined]
    optimizer.step()
