"""The classes of `pointwise` with each step's work done in one pass by `compiled.c`, on CPUs."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from seqkd.models.kernels.compiled import library, pointer
from seqkd.models.kernels.pointwise import Attention, AttentionalState, LstmSteps


def lstm_steps(
    before_TRG: Tensor | None,
    bias_DG: Tensor,
    first_cell_RH: Tensor,
    out_TRH: Tensor,
    up_TRH: Tensor | None = None,
    drop_TRH: Tensor | None = None,
) -> LstmSteps:
    """Return `LstmSteps`, compiled where that can be."""
    kind = _CompiledLstmSteps if _can(out_TRH) else LstmSteps
    return kind(before_TRG, bias_DG, first_cell_RH, out_TRH, up_TRH, drop_TRH)


def attention(
    memory_BSH: Tensor, keys_BSH: Tensor, mask_BS: Tensor, attended_TBM: Tensor
) -> Attention:
    """Return `Attention`, compiled where that can be."""
    kind = _CompiledAttention if _can(attended_TBM) else Attention
    return kind(memory_BSH, keys_BSH, mask_BS, attended_TBM)


def attentional_state(
    dropped_TBH: Tensor, drop_TBH: Tensor | None, fed_TBH: Tensor | None
) -> AttentionalState:
    """Return `AttentionalState`, compiled where that can be."""
    kind = _CompiledAttentionalState if _can(dropped_TBH) else AttentionalState
    return kind(dropped_TBH, drop_TBH, fed_TBH)


def _can(tensor: Tensor) -> bool:
    return library(tensor.dtype, tensor.device) is not None


def _library(tensor: Tensor) -> ctypes.CDLL:
    lib = library(tensor.dtype, tensor.device)
    assert lib is not None, "the functions above made sure"
    return lib


def _strides(tensor: Tensor | None) -> tuple[int, int]:
    """Return the distances of steps and of rows; what lies in a row has no gaps."""
    if tensor is None:
        return 0, 0
    assert tensor.stride(2) == 1
    return tensor.stride(0), tensor.stride(1)


def _structure(name: str, sizes: str, rest: str) -> type[ctypes.Structure]:
    """Return a C structure: 64-bit sizes, then pointers and, under names with `_`, more sizes."""
    fields: list[tuple[str, Any]] = [(field, c_int64) for field in sizes.split()]
    fields += [(f, c_int64 if f.endswith(("_step", "_row")) else c_void_p) for f in rest.split()]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


_Lstm = _structure(
    "Lstm",
    "rows width rows_a_bias",
    "before bias gates cells out out_step out_row up up_step up_row drop dgates dcell "
    "dbias last dlast_h dlast_c",
)
_Attention = _structure(
    "Attention",
    "batch source width",
    "memory keys mask attention attended dscores dcontext dquery",
)
_Output = _structure(
    "Output", "batch width", "output drop dropped fed fed_step fed_row ddropped dproduct"
)


class _CompiledLstmSteps(LstmSteps):
    def __init__(
        self,
        before_TRG: Tensor | None,
        bias_DG: Tensor,
        first_cell_RH: Tensor,
        out_TRH: Tensor,
        up_TRH: Tensor | None = None,
        drop_TRH: Tensor | None = None,
    ) -> None:
        before_TRG = None if before_TRG is None else before_TRG.contiguous()
        drop_TRH = None if drop_TRH is None else drop_TRH.contiguous()
        super().__init__(before_TRG, bias_DG.contiguous(), first_cell_RH, out_TRH, up_TRH, drop_TRH)
        _, rows, width = out_TRH.shape
        (out_step, out_row), (up_step, up_row) = _strides(out_TRH), _strides(up_TRH)
        self._c = _Lstm(
            rows, width, rows // len(bias_DG), pointer(before_TRG), pointer(self.bias_DG),
            pointer(self.gates_TRG), pointer(self.cells_TRH),
            pointer(out_TRH), out_step, out_row, pointer(up_TRH), up_step, up_row,
            pointer(drop_TRH),
        )  # fmt: skip
        self._lib = _library(out_TRH)

    def _make_room(self, steps: int, rows: int, width: int) -> None:
        # Less to write and to read again: bf16 gates in bf16, and tanh(c) made anew.
        self.gates_TRG = self.out_TRH.new_empty(steps, rows, 4 * width)

    def forward(self, t: int, product_RG: Tensor) -> None:
        self._lib.lstm_forward(byref(self._c), t, product_RG.data_ptr())

    def start_backward(self) -> None:
        shape, like = self.gates_TRG.shape, self.out_TRH
        self.dgates_TRG = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.dcell_RH = torch.zeros_like(self.cells_TRH[0])
        self._dbias_DG = torch.zeros_like(self.bias_DG)
        self._c.dgates, self._c.dcell = pointer(self.dgates_TRG), pointer(self.dcell_RH)
        self._c.dbias = pointer(self._dbias_DG)
        self._dgates = self.dgates_TRG.unbind(0)

    def dbias_DG(self) -> Tensor:
        return self._dbias_DG

    def last_state(self, step_R: Tensor, dh_RH: Tensor, dc_RH: Tensor) -> None:
        self._last = step_R.contiguous(), dh_RH.contiguous(), dc_RH.contiguous()
        self._c.last, self._c.dlast_h, self._c.dlast_c = map(pointer, self._last)

    def backward(self, t: int, above_RH: Tensor, own_RH: Tensor | None) -> Tensor:
        if above_RH.stride(1) != 1:
            above_RH = above_RH.contiguous()
        is_float = above_RH.dtype == torch.float32
        own, own_row = (None, 0) if own_RH is None else (own_RH.data_ptr(), own_RH.stride(0))
        self._lib.lstm_backward(
            byref(self._c), t, above_RH.data_ptr(), above_RH.stride(0), is_float, own, own_row
        )
        return self._dgates[t]


class _CompiledAttention(Attention):
    def _set_up(self) -> None:
        self.memory_BSH, self.keys_BSH = self.memory_BSH.contiguous(), self.keys_BSH.contiguous()
        self.mask_BS = self.mask_BS.contiguous()
        batch, source, width = self.memory_BSH.shape
        self._c = _Attention(
            batch, source, width, pointer(self.memory_BSH), pointer(self.keys_BSH),
            pointer(self.mask_BS), pointer(self.attention_TBS), pointer(self.attended_TBM),
        )  # fmt: skip
        self._lib = _library(self.attended_TBM)

    def forward(self, t: int) -> None:
        self._lib.attend(byref(self._c), t)

    def start_backward(self) -> None:
        super().start_backward()
        self._dquery = torch.empty_like(self.dcontext_TBH[0])
        self._c.dscores, self._c.dcontext = pointer(self.dscores_TBS), pointer(self.dcontext_TBH)
        self._c.dquery = pointer(self._dquery)

    def backward(self, t: int, dattended_BM: Tensor) -> Tensor:
        self._lib.attend_backward(byref(self._c), t, dattended_BM.data_ptr())
        return self._dquery


class _CompiledAttentionalState(AttentionalState):
    def __init__(
        self, dropped_TBH: Tensor, drop_TBH: Tensor | None, fed_TBH: Tensor | None
    ) -> None:
        drop_TBH = None if drop_TBH is None else drop_TBH.contiguous()
        super().__init__(dropped_TBH, drop_TBH, fed_TBH)
        _, batch, width = dropped_TBH.shape
        self._c = _Output(
            batch, width, pointer(self.output_TBH), pointer(drop_TBH), pointer(dropped_TBH),
            pointer(fed_TBH), *_strides(fed_TBH),
        )  # fmt: skip
        self._lib = _library(dropped_TBH)

    def forward(self, t: int, product_BH: Tensor) -> None:
        self._lib.output_forward(byref(self._c), t, product_BH.data_ptr())

    def start_backward(self, ddropped_TBH: Tensor) -> None:
        self.ddropped_TBH = ddropped_TBH.contiguous()
        self.dproduct_TBH = torch.empty_like(self.ddropped_TBH)
        self._c.ddropped, self._c.dproduct = pointer(self.ddropped_TBH), pointer(self.dproduct_TBH)
        self._dproduct = self.dproduct_TBH.unbind(0)

    def backward(self, t: int, later_BH: Tensor | None) -> Tensor:
        later, row = (None, 0) if later_BH is None else (later_BH.data_ptr(), later_BH.stride(0))
        self._lib.output_backward(byref(self._c), t, later, row)
        return self._dproduct[t]
