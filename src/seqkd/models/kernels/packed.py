"""Products with one weight, many times: laid out once for the CPU's matrix unit.

Search multiplies by the same few weights at every step, and so does a recurrence on its way back.
`torch.mm` lays a bf16 weight out anew at each call, and `torch.addmm` first copies the bias into
each row of the result: with few rows and many words both cost as much as the product itself.

Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

# A matrix unit takes bf16 inputs in blocks of this; a rest makes products up to 1.9 times as slow.
BLOCK = 32


class PackedLinear:
    """A fixed affine map x W + b in one dtype, through oneDNN on a CPU that has it."""

    def __init__(self, weight_IO: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> None:
        """Cast the weight and lay it out.

        Args:
            weight_IO: of any dtype and layout.
            bias_O: added to each row, or None.
            dtype: of inputs, products and results.
        """
        self._weight_OI = weight_IO.detach().to(dtype).t().contiguous()
        self._bias_O = None if bias_O is None else bias_O.detach().to(dtype)
        self._packed = _pack(fill_block(self._weight_OI))

    def __call__(self, x_NI: Tensor, *, squash: bool = False) -> Tensor:
        """Return x W + b, (N, O), or its tanh, which is then rounded once."""
        if self._packed is None:
            y_NO = F.linear(x_NI, self._weight_OI, self._bias_O)
            return torch.tanh(y_NO.float()).to(y_NO.dtype) if squash else y_NO
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            fill_block(x_NI), self._packed, self._bias_O, "tanh" if squash else "none", [], ""
        )
        return product


def fill_block(x: Tensor) -> Tensor:
    """Return bf16 rows on a CPU with zeros that fill the last block of inputs, else `x` itself."""
    rest = -x.shape[-1] % BLOCK
    blocked = x.dtype == torch.bfloat16 and x.device.type == "cpu"
    return F.pad(x, (0, rest)) if rest and blocked else x


def _pack(weight_OI: Tensor) -> Tensor | None:
    """Return the weight in oneDNN's own layout, or None if this PyTorch or device cannot."""
    if weight_OI.device.type != "cpu" or not _can_pack(weight_OI.dtype):
        return None
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI)
    return packed


@functools.cache
def _can_pack(dtype: torch.dtype) -> bool:
    """Say whether this PyTorch can lay out a weight on a CPU and multiply by it."""
    one = torch.zeros(1, BLOCK, dtype=dtype)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(one)
        torch.ops.mkldnn._linear_pointwise(one, packed, None, "none", [], "")
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return True
