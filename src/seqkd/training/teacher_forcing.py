"""The loss of one batch under teacher forcing: for training, for validation and for saliency."""

from __future__ import annotations

from seqkd.models.build import Model
from seqkd.training.batching import Batch
from seqkd.training.divergences import Soft
from seqkd.training.losses import Losses, Objective, projected_loss


def batch_losses(
    model: Model, batch: Batch, soft: Soft | None = None, objective: Objective | None = None
) -> Losses:
    """Return the summed losses of a batch on the model's device; see `losses.projected_loss`."""
    hidden_BTD = model.hidden(batch.src_BS, batch.length_B, batch.tgt_in_BT)
    return projected_loss(
        batch.real_positions(hidden_BTD),
        model.output_weight_VD,
        model.output_bias_V,
        batch.target_N,
        soft,
        objective,
    )
