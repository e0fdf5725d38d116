"""How weights lie on disk: dense or sparse, in fp32, bf16, fp16 or int8 per output channel.

A weight `name` is stored as one to four tensors. `name` itself, if it is dense. Otherwise

    name:values    the stored numbers: all of them, or the non-zero ones in row-major order
    name:scale     int8 only: what the numbers are multiplied by, broadcast over the weight
    name:bits      sparse: one bit a number, first number in the highest bit; or
    name:gaps      sparse: one byte a non-zero number, the zeros before it; 255 means 255 zeros
                   and no number yet
    name:shape     sparse: shape of the weight

Reading looks at what is there, so a file may mix them: each weight takes the smallest.

Shapes: V vocabulary, E embedding, D width, and P numbers of one weight, flat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from seqkd.config.formats import STORAGES
from seqkd.errors import SeqkdError, nearest
from seqkd.models.kernels.lstm_int8 import quantize_channels

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_SKIP = 255  # in `gaps`: so many zeros, then no number

Encoder: TypeAlias = Callable[[str, Tensor], dict[str, Tensor]]
"""From a weight and its name to the tensors that store it."""


def encoder(storage: str) -> Encoder:
    """Return the function that turns one named weight into the tensors that store it.

    Raises:
        SeqkdError: if the storage is unknown.
    """
    if storage not in STORAGES:
        options = ", ".join(STORAGES)
        raise SeqkdError(f"storage '{storage}' is not one of {options}{nearest(storage, STORAGES)}")
    first, _, kind = storage.rpartition("-")
    sparse = "sparse" in (first, kind)

    def encode(name: str, weight: Tensor) -> dict[str, Tensor]:
        stored = _numbers(name, weight.detach().cpu(), kind)
        return _smallest(stored, name) if sparse else stored

    return encode


def _numbers(name: str, weight: Tensor, kind: str) -> dict[str, Tensor]:
    """Return the weight in the dtype of `kind`, with a scale if that is int8."""
    if kind == "int8" and weight.dim() > 1 and weight.numel():
        values, scale = quantize_channels(weight, channel_dim(name))
        return {f"{name}:values": values, f"{name}:scale": scale}
    return {name: weight.to(_DTYPES.get(kind, torch.float32))}


def _smallest(stored: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the dense form as it is, or sparse with bits or with gaps: that of fewest bytes."""
    rest = {key: tensor for key, tensor in stored.items() if key.endswith(":scale")}
    dense = stored.get(name, stored.get(f"{name}:values"))
    assert dense is not None
    flat = dense.flatten()
    places = flat.nonzero().squeeze(1)
    common = rest | {
        f"{name}:values": flat[places],
        f"{name}:shape": torch.tensor(dense.shape, dtype=torch.int64),
    }
    forms = [
        stored,
        common | {f"{name}:bits": torch.from_numpy(np.packbits((flat != 0).numpy()))},
        common | {f"{name}:gaps": _gaps(places)},
    ]
    return min(forms, key=lambda form: sum(t.nbytes for t in form.values()))


def _gaps(places: Tensor) -> Tensor:
    """Return the zeros before each non-zero number, as bytes; the inverse of `_places`."""
    zeros = places.diff(prepend=torch.tensor([-1])) - 1
    skips = zeros // _SKIP
    end = (skips + 1).cumsum(0)  # each number is the last byte of its own run
    gaps = torch.full((int(end[-1]) if len(end) else 0,), _SKIP, dtype=torch.uint8)
    gaps[end - 1] = (zeros % _SKIP).to(torch.uint8)
    return gaps


def channel_dim(name: str) -> int:
    """Return the dimension that one int8 scale covers, so that each output channel has its own.

    A row of a word table (`..._VE`, `..._VD`) or of a layer's `weight` is a channel; a matrix that
    stands on the right of its product has them in its columns.
    """
    return -1 if name.endswith(("_VE", "_VD", ".weight")) else -2


def decode(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in fp32, by name, from the tensors that store them.

    Args:
        tensors: what a model file holds, without its vocabularies.

    Raises:
        KeyError: if a part of a weight is missing.
    """
    weights = {name: tensor.float() for name, tensor in tensors.items() if ":" not in name}
    for key in tensors:
        name, _, part = key.rpartition(":")
        if part == "values":
            weights[name] = _decode_one(name, tensors)
    return weights


def _decode_one(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    values = tensors[f"{name}:values"].float()
    if f"{name}:shape" in tensors:
        shape = tensors[f"{name}:shape"].tolist()
        weight = torch.zeros(math.prod(shape))
        bits = tensors.get(f"{name}:bits")
        places = _places_of_bits(bits) if bits is not None else _places(tensors[f"{name}:gaps"])
        values = weight.index_put_((places,), values).view(shape)
    scale = tensors.get(f"{name}:scale")
    return values if scale is None else values * scale


def _places_of_bits(bits: Tensor) -> Tensor:
    return torch.from_numpy(np.flatnonzero(np.unpackbits(bits.numpy())))


def _places(gaps: Tensor) -> Tensor:
    """Return the positions of the non-zero numbers; see the module's text."""
    is_number = gaps != _SKIP
    return ((gaps.long() + is_number).cumsum(0) - 1)[is_number]
