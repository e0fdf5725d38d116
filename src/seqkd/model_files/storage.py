"""Number formats of weights: fp32, bf16, fp16, int8 with a scale per output channel.

A weight `name` is stored as the tensor `name`; in int8, if it has more than one dimension, as

    name:values    int8
    name:scale     fp32; what the values are multiplied by, broadcast over the weight
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from seqkd.config.naming import STORAGES
from seqkd.errors import SeqkdError, nearest
from seqkd.models.kernels.lstm_int8 import quantize_channels

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def encode(weights: Mapping[str, Tensor], storage: str) -> dict[str, Tensor]:
    """Return the tensors that store `weights`, on the CPU.

    Raises:
        SeqkdError: if the storage is unknown, or a weight is not finite in it.
    """
    if storage not in STORAGES:
        options = ", ".join(STORAGES)
        raise SeqkdError(f"storage '{storage}' is not one of {options}{nearest(storage, STORAGES)}")
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if storage == "int8" and weight.dim() > 1 and weight.numel():
            values, scale = quantize_channels(weight.detach().cpu(), channel_dim(name))
            tensors |= {f"{name}:values": values, f"{name}:scale": scale}
        else:
            tensors[name] = weight.detach().cpu().to(_DTYPES.get(storage, torch.float32))
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise SeqkdError(
                f"{name}: infinite or not a number in {storage}; train the model again, or take "
                f"bf16 where the range of fp16 is too small"
            )
    return tensors


def decode(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in fp32 from the tensors that store them.

    Raises:
        KeyError: if a scale is missing.
    """
    weights = {}
    for key, tensor in tensors.items():
        name, _, part = key.partition(":")
        if part == "values":
            weights[name] = tensor.float() * tensors[f"{name}:scale"]
        elif part != "scale":
            weights[key] = tensor.float()
    return weights


def channel_dim(name: str) -> int:
    """Return the dimension that an int8 scale covers, so that each output channel has its own.

    A row of an embedding (`..._VE`, `..._VD`) or of a layer's `weight` is a channel; in a matrix
    that is the right factor of its product, a column is.
    """
    return -1 if name.endswith(("_VE", "_VD", ".weight")) else -2
