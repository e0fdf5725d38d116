"""The precision of matrix products: what the config asks for and what the hardware has."""

from __future__ import annotations

import contextlib
import copy
import platform
from typing import Literal, TypeVar

import torch
from torch import nn

from seqkd.errors import SeqkdError

_Module = TypeVar("_Module", bound=nn.Module)


def compute_dtype(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """Return the dtype of matrix products; `auto` takes bf16 where the hardware multiplies it.

    On a GPU, products of float32 are computed in TF32 from now on, as is usual there.

    Raises:
        SeqkdError: for another precision.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise SeqkdError(f"precision {precision}: expected auto, fp32 or bf16")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    if precision == "fp32":
        return torch.float32
    if precision == "bf16" or has_bf16(device):
        return torch.bfloat16
    return torch.float32


def has_bf16(device: torch.device) -> bool:
    """Say whether the device multiplies bf16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
    except (AttributeError, RuntimeError):
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        # oneDNN says yes on any processor with AVX-512, because it emulates bf16 there.
        with contextlib.suppress(AttributeError):
            return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return True


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which products of fp32 weights run in `dtype`."""
    return torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16)


def cast_matrices(model: _Module, dtype: torch.dtype) -> _Module:
    """Return a copy for search whose matrices are cast to `dtype` once; vectors stay fp32."""
    model = copy.deepcopy(model).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.to(dtype)
    return model
