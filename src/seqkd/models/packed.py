"""Products with a weight that never changes, laid out once for the CPU's matrix unit.

Search multiplies by the same few weights at every step. `torch.mm` lays a bf16 weight out anew at
each call, and `torch.addmm` first copies the bias into each row of the result: with few rows and
many words both cost as much as the product itself.

Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
        self._packed = _pack(self._weight_OI)

    def __call__(self, x_NI: Tensor, *, squash: bool = False) -> Tensor:
        """Return x W + b, (N, O), or its tanh, which is then rounded once."""
        if self._packed is None:
            y_NO = F.linear(x_NI, self._weight_OI, self._bias_O)
            return torch.tanh(y_NO.float()).to(y_NO.dtype) if squash else y_NO
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            x_NI, self._packed, self._bias_O, "tanh" if squash else "none", [], ""
        )
        return product


def _pack(weight_OI: Tensor) -> Tensor | None:
    """Return the weight in oneDNN's own layout, or None if this PyTorch or device cannot."""
    if weight_OI.device.type != "cpu":
        return None
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI)
        one = weight_OI.new_zeros(1, weight_OI.shape[1])
        torch.ops.mkldnn._linear_pointwise(one, packed, None, "none", [], "")
    except (AttributeError, RuntimeError, NotImplementedError):
        return None
    return packed
