"""How much each weight matters to the loss on the training text, for pruning by saliency.

Source: LeCun et al. (1990), "Optimal Brain Damage".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from seqkd.models.build import Model
from seqkd.training.batching import Epoch
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


def squared_gradients(model: nn.Module, losses: Iterable[tuple[Tensor, int]]) -> dict[str, Tensor]:
    """Return the diagonal of the empirical Fisher, an approximation of that of the Hessian.

    The exact value is the mean over sentences of the squared gradient of each sentence's loss. Here
    the gradient of a batch's summed loss is squared: in expectation, the products between different
    sentences vanish where the mean gradient does, as it nearly does in a trained model. Batches of
    one sentence give the exact value.

    Args:
        model: trained; gradients are left empty. The caller switches dropout off.
        losses: yields each batch's loss, summed over its sentences and with a graph to the
            model's parameters, and the number of sentences. Made one at a time, so a generator
            holds one graph.

    Returns:
        Name -> mean squared gradient a sentence, of the parameter's shape.
    """
    parameters = dict(model.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    count = 0
    for loss, sentences in losses:
        model.zero_grad(set_to_none=True)
        loss.backward()
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                total[name].addcmul_(parameter.grad, parameter.grad)
        count += sentences
    model.zero_grad(set_to_none=True)
    return {name: value / max(count, 1) for name, value in total.items()}
