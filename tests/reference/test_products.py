"""Packed products against plain ones."""

from __future__ import annotations

import pytest
import torch

from seqkd.models.kernels import products
from seqkd.models.kernels.products import PackedLinear, product_with_transposed


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(params=["packed", "plain"])
def way(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(products, "_pack", lambda weight_OI: None)
    return request.param


@pytest.mark.parametrize("rows", [1, 5, 130])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inputs", [24, 64], ids=["rest-of-a-block", "whole-blocks"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_product_equals_plain(way, rows, bias, inputs, dtype):
    x, weight = maps(rows, inputs).to(dtype), maps(inputs, 67) / inputs**0.5
    bias_O = maps(67) if bias else None
    linear = PackedLinear(weight, bias_O, dtype)
    exact = x.double() @ weight.to(dtype).double()
    if bias_O is not None:
        exact += bias_O.to(dtype).double()
    tolerance = (
        {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.01, "atol": 0.03}
    )
    for tanh in (False, True):
        y = linear(x, tanh=tanh)
        assert y.dtype == dtype
        expected = exact.tanh() if tanh else exact
        torch.testing.assert_close(y.double(), expected, **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_product_with_a_transposed_weight(way, dtype):
    x, weight = maps(7, 40).to(dtype), maps(12, 40).to(dtype)
    exact = x.double() @ weight.double().t()
    near = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.01, "atol": 0.03}
    torch.testing.assert_close(product_with_transposed(weight)(x).double(), exact, **near)


def test_weight_may_be_a_transposed_view():
    x, weight = maps(3, 8), maps(5, 8)
    torch.testing.assert_close(PackedLinear(weight.t(), None, torch.float32)(x), x @ weight.t())


def test_a_device_without_onednn_gets_the_plain_product():
    assert products._pack(torch.empty(2, 3, device="meta")) is None
