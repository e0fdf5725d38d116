"""How much each weight matters to the loss on the training text, for pruning by saliency."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from seqkd.models.build import Model
from seqkd.training.batching import Ints, ParallelTokens, collate
from seqkd.training.losses import projected_loss
from seqkd.training.pruning import squared_gradients

_SENTENCES = 2000  # sampled: the order of weights hardly changes with more
_BATCH = 4  # see squared_gradients: the smaller, the nearer to the exact value
_SEED = 1


def fisher_of(
    model: Model, data: ParallelTokens, indices: Ints, device: torch.device
) -> dict[str, Tensor]:
    """Return the diagonal empirical Fisher of NLL over a fixed sample of the training pairs.

    Args:
        model: as it is now; measured in fp32 and without dropout.
        data: training pairs.
        indices: those that training uses.
        device: where the model lives.
    """
    dtype, training = model.compute_dtype, model.training
    model.compute_dtype = torch.float32
    model.eval()
    chosen = np.random.default_rng(_SEED).permutation(indices)[:_SENTENCES]
    fisher = squared_gradients(model, _losses(model, data, chosen, device))
    model.compute_dtype = dtype
    model.train(training)
    return fisher


def _losses(
    model: Model, data: ParallelTokens, chosen: Ints, device: torch.device
) -> Iterator[tuple[Tensor, int]]:
    for start in range(0, len(chosen), _BATCH):
        batch = collate(data, chosen[start : start + _BATCH]).to(device)
        hidden = model.hidden(batch.src_BS, batch.length_B, batch.tgt_in_BT)
        rows = hidden.reshape(-1, hidden.shape[-1]).index_select(0, batch.position_N)
        losses = projected_loss(rows, model.output_weight_VD, model.output_bias_V, batch.target_N)
        yield losses.objective, len(batch.length_B)
