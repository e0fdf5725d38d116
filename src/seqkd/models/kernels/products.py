"""Products with fp32 weights in bf16 or fp32: laid out once where they repeat, fast gradients.

Search multiplies by the same few weights at every step, and so does a recurrence on its way back.
`torch.mm` lays a bf16 weight out anew at each call, and `torch.addmm` first copies the bias into
each row of the result: with few rows and many words both cost as much as the product itself.
`PackedLinear` uses operations that PyTorch's compiler calls and no document promises; where they
are missing, PyTorch's public ones do the same.

Shapes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# A matrix unit takes bf16 inputs in blocks of this; a rest makes products up to 1.9 times as slow.
BLOCK = 32


class PackedLinear:
    """A fixed affine map x W + b in one dtype, through oneDNN on a CPU that has it."""

    def __init__(self, weight_IO: Tensor, bias_O: Tensor | None, dtype: torch.dtype) -> None:
        """Cast the weight and lay it out."""
        self._weight_OI = weight_IO.detach().to(dtype).t().contiguous()
        self._bias_O = None if bias_O is None else bias_O.detach().to(dtype)
        self._packed = _pack(fill_block(self._weight_OI))

    def __call__(self, x_NI: Tensor, *, tanh: bool = False) -> Tensor:
        """Return x W + b, (N, O), or its tanh, which is then rounded once."""
        if self._packed is None:
            y_NO = F.linear(x_NI, self._weight_OI, self._bias_O)
            return torch.tanh(y_NO.float()).to(y_NO.dtype) if tanh else y_NO
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            fill_block(x_NI), self._packed, self._bias_O, "tanh" if tanh else "none", [], ""
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


# ---------------------------------------------------------------------------- gradients


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_IO: Tensor) -> Tensor:
        weight = weight_IO.to(x.dtype)
        ctx.save_for_backward(x, weight)
        return (x.reshape(-1, x.shape[-1]) @ weight).view(*x.shape[:-1], weight.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        d_NO = d.reshape(-1, d.shape[-1])
        dx = torch.mm(d_NO, weight.t()).view(x.shape)
        return dx, weight_gradient(x.reshape(-1, x.shape[-1]), d_NO)


def product(x: Tensor, weight_IO: Tensor) -> Tensor:
    """Multiply activations (..., I) by an fp32 weight, in the dtype of the activations."""
    result: Tensor = _Product.apply(x, weight_IO)  # type: ignore[no-untyped-call]
    return result


def weight_gradient(x_NI: Tensor, d_NO: Tensor) -> Tensor:
    """Return the gradient (I, O), fp32, of the weight in y = x W, given that of y."""
    transposed = x_NI.t()
    if x_NI.dtype == torch.bfloat16:
        # oneDNN reads rows of bf16 much faster than columns: 1.4 times with the copy counted.
        transposed = transposed.contiguous()
    return torch.mm(transposed, d_NO).float()


def product_with_transposed(weight_IO: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function that multiplies (N, O) by the transposed weight, laid out once for it.

    oneDNN's own layout costs no more than transposing, and makes bf16 products of few rows 1.1 to
    1.5 times as fast. Forwards it does not pay: there the weight would have to be transposed first.
    """
    if weight_IO.dtype == torch.bfloat16:
        return PackedLinear(weight_IO.t(), None, weight_IO.dtype)
    weight_OI = weight_IO.t().contiguous()
    return lambda d_NO: torch.mm(d_NO, weight_OI)
