"""Matrix products of activations and weights, where weights are fp32 and products may be bf16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqkd.models.kernels.packed import PackedLinear


def weight_gradient(x_NI: Tensor, d_NO: Tensor) -> Tensor:
    """Return the gradient (I, O), fp32, of a weight that turned `x_NI` into what `d_NO` is of."""
    transposed = x_NI.t()
    if x_NI.dtype == torch.bfloat16 and x_NI.device.type == "cpu":
        # oneDNN reads rows of bf16 much faster than columns: 1.4 times with the copy counted.
        transposed = transposed.contiguous()
    return torch.mm(transposed, d_NO).float()


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


def product_with_transposed(weight_IO: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function that multiplies (N, O) by a weight turned round, laid out once for it.

    oneDNN's own layout costs no more than turning it round, and makes products of few rows with
    bf16 1.1 to 1.5 times as fast. Forwards it does not pay: there the weight would have to be
    turned round first.
    """
    if weight_IO.dtype == torch.bfloat16 and weight_IO.device.type == "cpu":
        return PackedLinear(weight_IO.t(), None, weight_IO.dtype)
    weight_OI = weight_IO.t().contiguous()
    return lambda d_NO: torch.mm(d_NO, weight_OI)
