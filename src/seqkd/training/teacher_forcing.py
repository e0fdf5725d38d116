"""The loss of one batch under teacher forcing: for training and for validation."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from seqkd.models.build import Model
from seqkd.training.batching import Batch
from seqkd.training.divergences import Soft
from seqkd.training.losses import Losses, Objective, projected_loss


def batch_losses(
    model: Model,
    batch: Batch,
    soft: Soft | None = None,
    objective: Objective | None = None,
    guide: Callable[[Tensor], Tensor] | None = None,
) -> Losses:
    """Return the summed losses of a batch on the model's device; see `losses.projected_loss`.

    `guide` returns the term that guided attention adds to the objective, from the attention
    (B, T, S).
    """
    if guide is None:
        hidden_BTD = model.hidden(batch.src_BS, batch.length_B, batch.tgt_in_BT)
        return _projected(model, batch, hidden_BTD, soft, objective)
    hidden_BTD, attention_BTS = model.hidden_and_attention(
        batch.src_BS, batch.length_B, batch.tgt_in_BT
    )
    losses = _projected(model, batch, hidden_BTD, soft, objective)
    return losses._replace(objective=losses.objective + guide(attention_BTS))


def _projected(
    model: Model, batch: Batch, hidden_BTD: Tensor, soft: Soft | None, objective: Objective | None
) -> Losses:
    return projected_loss(
        batch.real_positions(hidden_BTD),
        model.output_weight_VD,
        model.output_bias_V,
        batch.target_N,
        soft,
        objective,
    )
