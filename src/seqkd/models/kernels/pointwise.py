"""What the recurrent loops do between their matrix products, one object for each part of a step.

An object holds what its part keeps of all steps for the way back. These classes use PyTorch's
operations and work anywhere; `pointwise_compiled` has the same in one pass each, for CPUs.

Cell states, nonlinearities and sums over time are fp32; products come in and go out in the dtype
of the weights.

Shapes: T time, R rows, H state width, G = 4 H gates, D directions, B batch, S source length.
Gate order is o, i, f, g: the sigmoids are one contiguous block, and so are the gates whose
gradient comes through the cell state.

Source: Hochreiter & Schmidhuber (1997); Luong et al. (2015), sec. 3.1 and 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lstm_step_(gates: Tensor, c_before: Tensor, c: Tensor, tanh_c: Tensor, h: Tensor) -> None:
    """Do one LSTM step in place.

    Args:
        gates: pre-activations (..., G) in fp32; becomes the activations.
        c_before: cell state before the step (..., H).
        c: receives the cell state.
        tanh_c: receives its tanh.
        h: receives the output, in its own dtype.
    """
    width = c.shape[-1]
    gates[..., : 3 * width].sigmoid_()
    gates[..., 3 * width :].tanh_()
    o, i, f, g = gates.split(width, dim=-1)
    torch.mul(f, c_before, out=c)
    c.addcmul_(i, g)
    torch.tanh(c, out=tanh_c)
    torch.mul(o, tanh_c, out=h)


class LstmSteps:
    """One layer: gates to output and back.

    Args:
        before_TRG: the input's part of the gates, or None where all input is in the products.
        bias_DG: fp32, one for each D-th part of the rows.
        first_cell_RH: cell state before the first step, fp32.
        out_TRH: receives the outputs; any strides over steps and rows.
        up_TRH: receives the outputs times `drop_TRH`, for the layer above; or None.
        drop_TRH: scaled dropout mask, or None.

    Attributes:
        dgates_TRG: gradients of the gates, after `backward`.
        dcell_RH: gradient of the cell state before the step that `backward` did last.
    """

    def __init__(
        self,
        before_TRG: Tensor | None,
        bias_DG: Tensor,
        first_cell_RH: Tensor,
        out_TRH: Tensor,
        up_TRH: Tensor | None = None,
        drop_TRH: Tensor | None = None,
    ) -> None:
        steps, rows, width = out_TRH.shape
        self.before_TRG, self.bias_DG = before_TRG, bias_DG
        self.out_TRH, self.up_TRH, self.drop_TRH = out_TRH, up_TRH, drop_TRH
        self.cells_TRH = first_cell_RH.new_empty(steps + 1, rows, width)
        self.cells_TRH[0] = first_cell_RH
        self._make_room(steps, rows, width)

    def _make_room(self, steps: int, rows: int, width: int) -> None:
        """Allocate what is kept for the way back."""
        self.gates_TRG = self.cells_TRH.new_empty(steps, rows, 4 * width)
        self.tanh_cells_TRH = self.cells_TRH.new_empty(steps, rows, width)

    def forward(self, t: int, product_RG: Tensor) -> None:
        """Do step t, given the recurrent product."""
        gates, h = self.gates_TRG[t], self.out_TRH[t]
        product_DRG, gates_DRG = self._by_direction(product_RG), self._by_direction(gates)
        torch.add(product_DRG, self.bias_DG[:, None], out=gates_DRG)
        if self.before_TRG is not None:
            gates.add_(self.before_TRG[t])
        lstm_step_(gates, self.cells_TRH[t], self.cells_TRH[t + 1], self.tanh_cells_TRH[t], h)
        if self.up_TRH is None:
            return
        if self.drop_TRH is None:
            self.up_TRH[t].copy_(h)
        else:
            torch.mul(h, self.drop_TRH[t], out=self.up_TRH[t])

    def _by_direction(self, rows: Tensor) -> Tensor:
        return rows.view(*rows.shape[:-2], len(self.bias_DG), -1, rows.shape[-1])

    def dbias_DG(self) -> Tensor:
        """Return the gradient of the bias, after `backward` of all steps."""
        return self._by_direction(self.dgates_TRG).sum((0, 2), dtype=torch.float32)

    def start_backward(self) -> None:
        """Make room for gradients."""
        shape, like = self.gates_TRG.shape, self.out_TRH
        self.dgates_TRG = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.dcell_RH = torch.zeros_like(self.cells_TRH[0])
        self._last: tuple[Tensor, Tensor, Tensor] | None = None
        self._work = torch.empty_like(self.gates_TRG[0])

    def last_state(self, step_R: Tensor, dh_RH: Tensor, dc_RH: Tensor) -> None:
        """Say which step's state of each row is an output of its own, and its gradients (fp32)."""
        self._last = step_R, dh_RH, dc_RH

    def backward(self, t: int, above_RH: Tensor, own_RH: Tensor | None) -> Tensor:
        """Return the gates' gradient at step t.

        Args:
            t: the step; the last comes first.
            above_RH: gradient of `up_TRH[t]`, or of `out_TRH[t]` from without.
            own_RH: gradient of `out_TRH[t]` from step t + 1 of this layer, if there is one.
        """
        dh, dc = above_RH.float(), self.dcell_RH
        if self.drop_TRH is not None:
            dh = dh * self.drop_TRH[t]
        if own_RH is not None:
            dh = dh + own_RH
        if self._last is not None:
            step_R, dlast_h, dlast_c = self._last
            here_R1 = (step_R == t)[:, None]
            dh = torch.where(here_R1, dh + dlast_h, dh)
            dc.copy_(torch.where(here_R1, dc + dlast_c, dc))
        width = dh.shape[-1]
        tanh_c = self.tanh_cells_TRH[t]
        o, i, f, g = self.gates_TRG[t].split(width, dim=-1)
        d_o, d_i, d_f, d_g = self._work.split(width, dim=-1)
        torch.mul(dh, o, out=d_i)  # dc += dh * o * (1 - tanh(c)^2)
        torch.mul(d_i, tanh_c, out=d_o)
        dc.add_(d_i).addcmul_(d_o, tanh_c, value=-1)
        d_o.addcmul_(d_o, o, value=-1)  # dh * tanh(c) * o * (1 - o)
        torch.mul(dc, f, out=d_g)  # what flows on to step t - 1
        torch.mul(d_g, self.cells_TRH[t], out=d_f)
        d_f.addcmul_(d_f, f, value=-1)  # dc * c * f * (1 - f)
        torch.mul(dc, i, out=d_i)
        dc.copy_(d_g)
        torch.mul(d_i, g, out=d_g)  # dc * i * g
        d_i.addcmul_(d_g, g, value=-1)  # dc * i * (1 - g^2): the gradient of g
        torch.addcmul(d_g, d_g, i, value=-1, out=d_g)  # dc * i * g * (1 - i): the gradient of i
        dgates = self.dgates_TRG[t]
        dgates.copy_(self._work)
        dgates[:, width : 2 * width].copy_(d_g)
        dgates[:, 3 * width :].copy_(d_i)
        return dgates


class Attention:
    """Global attention over the memory.

    Args:
        memory_BSH: encoder outputs.
        keys_BSH: the same times the attention weights.
        mask_BS: 0 on real source words and very low on padding.
        attended_TBM: [context | query], M = 2 H; the context is written beside the query.

    Attributes:
        attention_TBS: weights.
        dscores_TBS, dcontext_TBH: gradients, after `backward`.
    """

    def __init__(
        self, memory_BSH: Tensor, keys_BSH: Tensor, mask_BS: Tensor, attended_TBM: Tensor
    ) -> None:
        steps, batch, _ = attended_TBM.shape
        self.memory_BSH, self.keys_BSH = memory_BSH, keys_BSH
        self.mask_BS, self.attended_TBM = mask_BS, attended_TBM
        self.attention_TBS = mask_BS.new_empty(steps, batch, mask_BS.shape[1])
        self._set_up()

    def _set_up(self) -> None:
        # One row a sentence is multiplied: bf16 gains nothing there.
        self._memory, self._keys = self.memory_BSH.float(), self.keys_BSH.float()
        self._memory_BHS, self._keys_BHS = self._memory.transpose(1, 2), self._keys.transpose(1, 2)

    def forward(self, t: int) -> None:
        """Do step t."""
        width = self.memory_BSH.shape[2]
        query = self.attended_TBM[t, :, width:].float()
        scores = torch.bmm(query.unsqueeze(1), self._keys_BHS).squeeze(1)
        weights = self.attention_TBS[t]
        torch.softmax(scores.add_(self.mask_BS), 1, out=weights)
        context = torch.bmm(weights.unsqueeze(1), self._memory).squeeze(1)
        self.attended_TBM[t, :, :width] = context

    def start_backward(self) -> None:
        """Make room for gradients."""
        steps, batch, _ = self.attended_TBM.shape
        self.dscores_TBS = torch.empty_like(self.attention_TBS)
        self.dcontext_TBH = self.mask_BS.new_empty(steps, batch, self.memory_BSH.shape[2])

    def backward(self, t: int, dattended_BM: Tensor) -> Tensor:
        """Return the gradient of the query at step t, fp32."""
        width = self.memory_BSH.shape[2]
        dcontext, weights, ds = self.dcontext_TBH[t], self.attention_TBS[t], self.dscores_TBS[t]
        dcontext.copy_(dattended_BM[:, :width])
        weighted = weights * torch.bmm(dcontext.unsqueeze(1), self._memory_BHS).squeeze(1)
        torch.addcmul(weighted, weights, weighted.sum(1, keepdim=True), value=-1, out=ds)
        dquery = torch.bmm(ds.unsqueeze(1), self._keys).squeeze(1)
        return dquery.add_(dattended_BM[:, width:])


class AttentionalState:
    """tanh, dropout and input feeding.

    Args:
        dropped_TBH: receives the states after dropout.
        drop_TBH: scaled dropout mask, or None.
        fed_TBH: receives the same where the next step reads it, or None.

    Attributes:
        dproduct_TBH: gradients of what goes into the tanh, after `backward`.
    """

    def __init__(
        self, dropped_TBH: Tensor, drop_TBH: Tensor | None, fed_TBH: Tensor | None
    ) -> None:
        self.dropped_TBH, self.drop_TBH, self.fed_TBH = dropped_TBH, drop_TBH, fed_TBH
        self.output_TBH = torch.empty_like(dropped_TBH, dtype=torch.float32)

    def forward(self, t: int, product_BH: Tensor) -> None:
        """Do step t, given what goes into the tanh."""
        output, dropped = self.output_TBH[t], self.dropped_TBH[t]
        torch.tanh(product_BH.float(), out=output)
        if self.drop_TBH is None:
            dropped.copy_(output)
        else:
            torch.mul(output, self.drop_TBH[t], out=dropped)
        if self.fed_TBH is not None:
            self.fed_TBH[t] = dropped

    def start_backward(self, ddropped_TBH: Tensor) -> None:
        """Take the gradients of the states after dropout, in their dtype."""
        self.ddropped_TBH = ddropped_TBH
        self.dproduct_TBH = torch.empty_like(ddropped_TBH)
        self._slope_TBH = 1 - self.output_TBH * self.output_TBH
        if self.drop_TBH is not None:
            self._slope_TBH.mul_(self.drop_TBH)

    def backward(self, t: int, later_BH: Tensor | None) -> Tensor:
        """Return the gradient of what goes into the tanh; `later_BH` comes from step t + 1."""
        total = self.ddropped_TBH[t].float()
        if later_BH is not None:
            total = total + later_BH
        return torch.mul(total, self._slope_TBH[t], out=self.dproduct_TBH[t])
