"""How much each weight matters to the loss on the training text, for pruning by saliency."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from seqkd.models.build import Model
from seqkd.training.batching import Epoch
from seqkd.training.pruning import squared_gradients
from seqkd.training.teacher_forcing import batch_losses

_SENTENCES = 2000  # sampled: more hardly change the order of the weights
_BATCH = 4  # see squared_gradients: the smaller, the closer to the exact value
_SEED = 1


def fisher_information(model: Model, epoch: Epoch, device: torch.device) -> dict[str, Tensor]:
    """Return the diagonal empirical Fisher of NLL over a fixed sample of an epoch's pairs.

    The model is measured as it is now, in fp32 and without dropout.
    """
    dtype, training = model.compute_dtype, model.training
    model.compute_dtype = torch.float32
    fisher = squared_gradients(model.eval(), _losses(model, epoch, device))
    model.compute_dtype = dtype
    model.train(training)
    return fisher


def _losses(model: Model, epoch: Epoch, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    indices = np.sort(np.concatenate(epoch.plan))
    sample = np.random.default_rng(_SEED).permutation(indices)[:_SENTENCES]
    batches = [sample[k : k + _BATCH] for k in range(0, len(sample), _BATCH)]
    for batch in Epoch(epoch.pairs, batches):
        yield batch_losses(model, batch.to(device)).objective, len(batch.length_B)
