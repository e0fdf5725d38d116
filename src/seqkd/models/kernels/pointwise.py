"""What the recurrent loops do between their matrix products: one call into `compiled.c` each.

An object holds what its part keeps of all steps for the backward pass. Cell states, nonlinearities
and sums over time are fp32; products come in and go out in the dtype of the weights.

Shapes: T time, R rows, H state width, G = 4 H gates in the order o, i, f, g, B batch,
S source length, M = 2 H.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor

from seqkd.models.kernels.compiled import library, pointer


def _library(tensor: Tensor) -> ctypes.CDLL:
    lib = library(tensor.dtype, tensor.device)
    assert lib is not None, "the caller asks `available` first"
    return lib


def _strides(tensor: Tensor | None) -> tuple[int, int]:
    """Return the strides of steps and of rows; a row itself is contiguous."""
    if tensor is None:
        return 0, 0
    assert tensor.stride(2) == 1
    return tensor.stride(0), tensor.stride(1)


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _structure(name: str, sizes: str, rest: str) -> type[ctypes.Structure]:
    """Return a C structure: 64-bit sizes, then pointers and, under names with `_`, more sizes."""
    fields: list[tuple[str, Any]] = [(field, c_int64) for field in sizes.split()]
    fields += [(f, c_int64 if f.endswith(("_step", "_row")) else c_void_p) for f in rest.split()]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


_Lstm = _structure(
    "Lstm",
    "rows width",
    "before bias gates cells out out_step out_row up up_step up_row drop dgates dcell "
    "dbias last dlast_h dlast_c",
)
_Attention = _structure(
    "Attention",
    "batch source width",
    "memory keys mask attention attended dscores dcontext dquery dattention",
)
_Output = _structure(
    "Output", "batch width", "output drop dropped fed fed_step fed_row ddropped dproduct"
)


class LstmSteps:
    """One layer: gates to output and back.

    Args:
        before_TRG: the input's part of the gates, or None where all input is in the products.
        bias_G: fp32.
        first_cell_RH: cell state before the first step, fp32.
        out_TRH: receives the outputs; any strides over steps and rows.
        up_TRH: receives the outputs times `drop_TRH`, for the layer above; or None.
        drop_TRH: scaled dropout mask, or None.

    Attributes:
        cells_TRH: cell states, that before the first step included (T + 1, R, H).
        dgates_TRG: gradients of the gates, after `backward`.
        dcell_RH: gradient of the cell state before the step that `backward` did last.
        dbias_G: gradient of the bias, after `backward` of all steps.
    """

    def __init__(
        self,
        before_TRG: Tensor | None,
        bias_G: Tensor,
        first_cell_RH: Tensor,
        out_TRH: Tensor,
        up_TRH: Tensor | None = None,
        drop_TRH: Tensor | None = None,
    ) -> None:
        steps, rows, width = out_TRH.shape
        self.out_TRH, self._up_TRH = out_TRH, up_TRH
        self._before_TRG, self._drop_TRH = _contiguous(before_TRG), _contiguous(drop_TRH)
        self._bias_G = bias_G.contiguous()
        self.gates_TRG = out_TRH.new_empty(steps, rows, 4 * width)
        self.cells_TRH = first_cell_RH.new_empty(steps + 1, rows, width)
        self.cells_TRH[0] = first_cell_RH
        self._lib = _library(out_TRH)
        self._c = _Lstm(
            rows, width, pointer(self._before_TRG), pointer(self._bias_G),
            pointer(self.gates_TRG), pointer(self.cells_TRH),
            pointer(out_TRH), *_strides(out_TRH), pointer(up_TRH), *_strides(up_TRH),
            pointer(self._drop_TRH),
        )  # fmt: skip

    def forward(self, t: int, product_RG: Tensor) -> None:
        """Do step t, given the recurrent product."""
        self._lib.lstm_forward(byref(self._c), t, product_RG.data_ptr())

    def start_backward(self) -> None:
        """Make room for gradients."""
        self.dgates_TRG = torch.empty_like(self.gates_TRG)
        self.dcell_RH = torch.zeros_like(self.cells_TRH[0])
        self.dbias_G = torch.zeros_like(self._bias_G)
        self._c.dgates, self._c.dcell = pointer(self.dgates_TRG), pointer(self.dcell_RH)
        self._c.dbias = pointer(self.dbias_G)
        self._dgates = self.dgates_TRG.unbind(0)

    def last_state(self, step_R: Tensor, dh_RH: Tensor, dc_RH: Tensor) -> None:
        """Set the gradients (fp32) of each row's state after its last step, `step_R`."""
        self._last = step_R.contiguous(), dh_RH.contiguous(), dc_RH.contiguous()
        self._c.last, self._c.dlast_h, self._c.dlast_c = map(pointer, self._last)

    def backward(self, t: int, above_RH: Tensor, later_RH: Tensor | None) -> Tensor:
        """Return the gates' gradient at step t.

        Args:
            t: the step; the last comes first.
            above_RH: gradient of `up_TRH[t]`, or of `out_TRH[t]` from outside.
            later_RH: gradient of `out_TRH[t]` from step t + 1 of this layer, if there is one.
        """
        if above_RH.stride(1) != 1:
            above_RH = above_RH.contiguous()
        is_float = above_RH.dtype == torch.float32
        later, row = (None, 0) if later_RH is None else (later_RH.data_ptr(), later_RH.stride(0))
        self._lib.lstm_backward(
            byref(self._c), t, above_RH.data_ptr(), above_RH.stride(0), is_float, later, row
        )
        return self._dgates[t]


class Attention:
    """Global attention over the memory.

    Args:
        memory_BSH: encoder outputs.
        keys_BSH: the same times the attention weights.
        mask_BS: 0 on real source words and very low on padding.
        attended_TBM: [context | query]; the context is written before the query.

    Attributes:
        attention_TBS: weights.
        dscores_TBS, dcontext_TBH: gradients, after `backward`.
    """

    def __init__(
        self, memory_BSH: Tensor, keys_BSH: Tensor, mask_BS: Tensor, attended_TBM: Tensor
    ) -> None:
        self._inputs = memory_BSH.contiguous(), keys_BSH.contiguous(), mask_BS.contiguous()
        self.attended_TBM = attended_TBM
        self.attention_TBS = mask_BS.new_empty(len(attended_TBM), *mask_BS.shape)
        self._lib = _library(attended_TBM)
        self._c = _Attention(
            *memory_BSH.shape, *map(pointer, self._inputs),
            pointer(self.attention_TBS), pointer(attended_TBM),
        )  # fmt: skip

    def forward(self, t: int) -> None:
        """Do step t."""
        self._lib.attend(byref(self._c), t)

    def start_backward(self, dattention_TBS: Tensor | None = None) -> None:
        """Make room for gradients; take that of `attention_TBS` from outside, if there is one."""
        steps, batch, both = self.attended_TBM.shape
        self._dattention_TBS = _contiguous(dattention_TBS)
        self._c.dattention = pointer(self._dattention_TBS)
        self.dscores_TBS = torch.empty_like(self.attention_TBS)
        self.dcontext_TBH = self.attention_TBS.new_empty(steps, batch, both // 2)
        self._dquery = torch.empty_like(self.dcontext_TBH[0])
        self._c.dscores, self._c.dcontext = pointer(self.dscores_TBS), pointer(self.dcontext_TBH)
        self._c.dquery = pointer(self._dquery)

    def backward(self, t: int, dattended_BM: Tensor) -> Tensor:
        """Return the gradient of the query at step t, fp32; the next call overwrites it."""
        self._lib.attend_backward(byref(self._c), t, dattended_BM.data_ptr())
        return self._dquery


class AttentionalState:
    """tanh, dropout and input feeding.

    Args:
        dropped_TBH: receives the states after dropout.
        drop_TBH: scaled dropout mask, or None.
        fed_TBH: receives the same where the next step reads it, or None.

    Attributes:
        output_TBH: states before dropout, fp32.
        dproduct_TBH: gradients of what goes into the tanh, after `backward`.
    """

    def __init__(
        self, dropped_TBH: Tensor, drop_TBH: Tensor | None, fed_TBH: Tensor | None
    ) -> None:
        self.dropped_TBH, self._fed_TBH = dropped_TBH, fed_TBH
        self._drop_TBH = _contiguous(drop_TBH)
        self.output_TBH = torch.empty_like(dropped_TBH, dtype=torch.float32)
        self._lib = _library(dropped_TBH)
        self._c = _Output(
            *dropped_TBH.shape[1:], pointer(self.output_TBH), pointer(self._drop_TBH),
            pointer(dropped_TBH), pointer(fed_TBH), *_strides(fed_TBH),
        )  # fmt: skip

    def forward(self, t: int, product_BH: Tensor) -> None:
        """Do step t, given what goes into the tanh."""
        self._lib.output_forward(byref(self._c), t, product_BH.data_ptr())

    def start_backward(self, ddropped_TBH: Tensor) -> None:
        """Take the gradients of the states after dropout, in their dtype."""
        self._ddropped_TBH = ddropped_TBH.contiguous()
        self.dproduct_TBH = torch.empty_like(self._ddropped_TBH)
        self._c.ddropped, self._c.dproduct = (
            pointer(self._ddropped_TBH), pointer(self.dproduct_TBH)
        )  # fmt: skip
        self._dproduct = self.dproduct_TBH.unbind(0)

    def backward(self, t: int, later_BH: Tensor | None) -> Tensor:
        """Return the gradient of what goes into the tanh; `later_BH` comes from step t + 1."""
        later, row = (None, 0) if later_BH is None else (later_BH.data_ptr(), later_BH.stride(0))
        self._lib.output_backward(byref(self._c), t, later, row)
        return self._dproduct[t]
