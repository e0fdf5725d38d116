"""Recurrent loops with hand-written backward passes: the LSTM layer and the attentional decoder.

Autograd through a loop over time pays for thousands of small operations and for weight gradients
step by step. Here each step does its pointwise work in a handful of calls, whatever does not
depend on the recurrence is computed for all steps at once, and each weight gradient is one
matrix product at the end. `tests/test_lstm.py` holds these against an independent slow twin.

Matrix products run in the dtype of the weights passed in (fp32 or bf16); cell states,
nonlinearities and sums over time are fp32.

Shapes: T time, B batch, H state width, G = 4 H gates, S source length, L layers.
Gate order is o, i, f, g: the sigmoids are one contiguous block, and so are the gates whose
gradient comes through the cell state.

Source: Hochreiter & Schmidhuber (1997); Luong et al. (2015), sec. 3.1 and 3.3.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# ---------------------------------------------------------------------------- one LSTM step


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


class _StepGradient:
    """Backward of the steps of one layer, last step first; everything stays in cache."""

    def __init__(self, gates: Tensor, c_all: Tensor, tanh_c: Tensor, dtype: torch.dtype) -> None:
        """Take activations (T, ..., G), cells (T + 1, ..., H) from the first on, tanh of cells."""
        self._gates, self._c_all, self._tanh_c = gates, c_all, tanh_c
        self._width = tanh_c.shape[-1]
        self.dgates = torch.empty(gates.shape, dtype=dtype, device=gates.device)
        self._work = torch.empty_like(gates[0])

    def step(self, t: int, dh: Tensor, dc: Tensor) -> Tensor:
        """Turn dh and dc at step t into the gates' gradient (returned); dc moves to step t - 1."""
        tanh_c = self._tanh_c[t]
        o, i, f, g = self._gates[t].split(self._width, dim=-1)
        d_o, d_i, d_f, d_g = self._work.split(self._width, dim=-1)
        torch.mul(dh, o, out=d_i)  # dc += dh * o * (1 - tanh(c)^2)
        torch.mul(d_i, tanh_c, out=d_o)
        dc.add_(d_i).addcmul_(d_o, tanh_c, value=-1)
        d_o.addcmul_(d_o, o, value=-1)  # dh * tanh(c) * o * (1 - o)
        torch.mul(dc, f, out=d_g)  # what flows on to step t - 1
        torch.mul(d_g, self._c_all[t], out=d_f)
        d_f.addcmul_(d_f, f, value=-1)  # dc * c * f * (1 - f)
        torch.mul(dc, i, out=d_i)
        dc.copy_(d_g)
        torch.mul(d_i, g, out=d_g)  # dc * i * g
        d_i.addcmul_(d_g, g, value=-1)  # dc * i * (1 - g^2): the gradient of g
        torch.addcmul(d_g, d_g, i, value=-1, out=d_g)  # dc * i * g * (1 - i): the gradient of i
        dgates = self.dgates[t]
        dgates.copy_(self._work)
        width = self._width
        dgates[..., width : 2 * width].copy_(d_g)
        dgates[..., 3 * width :].copy_(d_i)
        return dgates


# ---------------------------------------------------------------------------- encoder layer


class _LstmLayer(torch.autograd.Function):
    """One layer over a whole sequence, for one or two directions side by side."""

    @staticmethod
    def forward(
        ctx: Any, gates_TDBG: Tensor, weight_DHG: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        steps, directions, batch, width4 = gates_TDBG.shape
        width = width4 // 4
        weight = weight_DHG.to(dtype)
        new = functools.partial(torch.empty, dtype=torch.float32, device=gates_TDBG.device)
        h = new(steps + 1, directions, batch, width, dtype=dtype)
        c = new(steps + 1, directions, batch, width)
        h[0], c[0] = 0, 0
        tanh_c = new(steps, directions, batch, width)
        gates = new(steps, directions, batch, width4)
        recurrent = torch.empty(directions, batch, width4, dtype=dtype, device=gates.device)
        for t in range(steps):
            for d in range(directions):
                torch.mm(h[t, d], weight[d], out=recurrent[d])
            torch.add(gates_TDBG[t], recurrent, out=gates[t])
            lstm_step_(gates[t], c[t], c[t + 1], tanh_c[t], h[t + 1])
        ctx.save_for_backward(weight, h, c, tanh_c, gates)
        return h[1:], c[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_TDBH: Tensor, dc_TDBH: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, h, c, tanh_c, gates = ctx.saved_tensors
        steps, directions, batch, width = tanh_c.shape
        gradient = _StepGradient(gates, c, tanh_c, weight.dtype)
        weight_t = weight.transpose(1, 2)
        dc = torch.zeros_like(c[0])
        recurrent = torch.zeros(directions, batch, width, dtype=weight.dtype, device=c.device)
        dh_all = dh_TDBH.float()
        for t in range(steps - 1, -1, -1):
            dc.add_(dc_TDBH[t])
            dgates = gradient.step(t, dh_all[t] + recurrent, dc)
            for d in range(directions):
                torch.mm(dgates[d], weight_t[d], out=recurrent[d])
        dgates_all = gradient.dgates
        dweight = torch.stack(
            [
                torch.mm(
                    h[:steps, d].reshape(steps * batch, width).t(),
                    dgates_all[:, d].reshape(steps * batch, 4 * width),
                ).float()
                for d in range(directions)
            ]
        )
        return dgates_all, dweight, None


def lstm_layer(gates_TDBG: Tensor, weight_DHG: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Run LSTM layers of equal width side by side over a padded sequence, from a zero state.

    Args:
        gates_TDBG: the input's part of the gates, bias included, in `dtype`; D directions.
        weight_DHG: recurrent weights.
        dtype: of the matrix products.

    Returns:
        Outputs (T, D, B, H) in `dtype` and cell states (T, D, B, H) in fp32. Steps after a
        sequence's end hold values that the caller must not use.
    """
    h, c = _LstmLayer.apply(gates_TDBG, weight_DHG, dtype)  # type: ignore[no-untyped-call]
    return h, c


# ---------------------------------------------------------------------------- decoder


class _AttentionalDecoder(torch.autograd.Function):
    """The whole decoder under teacher forcing: stacked LSTM, global attention, input feeding."""

    @staticmethod
    def forward(
        ctx: Any,
        gates_TBG: Tensor,
        h0_LBH: Tensor,
        c0_LBH: Tensor,
        memory_BSH: Tensor,
        keys_BSH: Tensor,
        mask_BS: Tensor,
        combine: Tensor,
        drop_layers: Tensor | None,
        drop_output: Tensor | None,
        feeding: bool,
        dtype: torch.dtype,
        *weights: Tensor,
    ) -> Tensor:
        steps, batch, width4 = gates_TBG.shape
        layers, _, width = h0_LBH.shape
        recurrent = [w.to(dtype) for w in weights[:layers]]
        biases = [b.float() for b in weights[layers:]]
        # Attention multiplies one row a sentence: bf16 gains nothing there on a CPU.
        wc, memory, keys = combine.to(dtype), memory_BSH.float(), keys_BSH.float()
        keys_BHS = keys.transpose(1, 2)
        new = functools.partial(torch.empty, dtype=torch.float32, device=gates_TBG.device)
        # inputs[l][t] is what meets recurrent[l] at step t: [from below | own output before].
        below = [width if feeding else 0] + [width] * (layers - 1)
        inputs = [new(steps + 1, batch, b + width, dtype=dtype) for b in below]
        for layer in range(layers):
            inputs[layer][0, :, below[layer] :] = h0_LBH[layer]
        if feeding:
            inputs[0][0, :, :width] = 0
        cells = [new(steps + 1, batch, width) for _ in range(layers)]
        for layer in range(layers):
            cells[layer][0] = c0_LBH[layer]
        tanh_cells = [new(steps, batch, width) for _ in range(layers)]
        gates = [new(steps, batch, width4) for _ in range(layers)]
        attended = new(steps, batch, 2 * width, dtype=dtype)  # [context | top output]
        attention = new(steps, batch, memory.shape[1])
        output = new(steps, batch, width)  # tanh(W_c [c; h]) before dropout
        fed = new(steps, batch, width, dtype=dtype)  # after dropout: projected and fed back
        for t in range(steps):
            for layer in range(layers):
                z = torch.mm(inputs[layer][t], recurrent[layer])
                torch.add(gates_TBG[t] if layer == 0 else biases[layer - 1], z, out=gates[layer][t])
                h = inputs[layer][t + 1, :, below[layer] :]
                lstm_step_(gates[layer][t], cells[layer][t], cells[layer][t + 1],
                           tanh_cells[layer][t], h)  # fmt: skip
                if layer + 1 < layers:
                    up = inputs[layer + 1][t, :, :width]
                    if drop_layers is None:
                        up.copy_(h)
                    else:
                        torch.mul(h, drop_layers[layer, t], out=up)
            attended[t, :, width:] = h
            scores = torch.bmm(h.float().unsqueeze(1), keys_BHS).squeeze(1)
            torch.softmax(scores.add_(mask_BS), 1, out=attention[t])
            context = torch.bmm(attention[t].unsqueeze(1), memory)
            attended[t, :, :width] = context.squeeze(1)
            torch.tanh(torch.mm(attended[t], wc).float(), out=output[t])
            if drop_output is None:
                fed[t] = output[t]
            else:
                torch.mul(output[t], drop_output[t], out=fed[t])
            if feeding:
                inputs[0][t + 1, :, :width] = fed[t]
        ctx.layers, ctx.feeding, ctx.below = layers, feeding, below
        ctx.has_drop = drop_layers is not None, drop_output is not None
        drops = [d for d in (drop_layers, drop_output) if d is not None]
        ctx.save_for_backward(
            memory, keys, wc, attended, attention, output, *drops,
            *recurrent, *inputs, *cells, *tanh_cells, *gates,
        )  # fmt: skip
        return fed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dfed_TBH: Tensor) -> tuple[Tensor | None, ...]:
        layers, feeding, below = ctx.layers, ctx.feeding, ctx.below
        memory, keys, wc, attended, attention, output, *rest = ctx.saved_tensors
        has_layer_drop, has_output_drop = ctx.has_drop
        drop_layers = rest.pop(0) if has_layer_drop else None
        drop_output = rest.pop(0) if has_output_drop else None
        recurrent, inputs, cells, tanh_cells, gates = (
            rest[k * layers : (k + 1) * layers] for k in range(5)
        )
        steps, batch, width = output.shape
        dtype = wc.dtype
        gradients = [
            _StepGradient(g, c, tc, dtype)
            for g, c, tc in zip(gates, cells, tanh_cells, strict=True)
        ]
        dz_from_dfed = 1 - output * output
        if drop_output is not None:
            dz_from_dfed.mul_(drop_output)
        recurrent_t = [w.t() for w in recurrent]
        wc_t = wc.t()
        memory_t = memory.transpose(1, 2)
        dz = torch.empty(steps, batch, width, dtype=dtype, device=output.device)
        dcontext = torch.empty_like(output)
        dscores = torch.empty_like(attention)
        zeros = output.new_zeros(batch, width)
        dc = [zeros.clone() for _ in range(layers)]
        dinput: list[Tensor | None] = [None] * layers  # gradient of inputs[l] at step t + 1
        dfed_all = dfed_TBH.float()
        for t in range(steps - 1, -1, -1):
            later = dinput[0]
            total = dfed_all[t] + later[:, :width] if feeding and later is not None else dfed_all[t]
            torch.mul(total, dz_from_dfed[t], out=dz[t])
            dattended = torch.mm(dz[t], wc_t)
            dcontext[t] = dattended[:, :width]
            da = torch.bmm(dcontext[t].unsqueeze(1), memory_t).squeeze(1)
            weighted = attention[t] * da
            ds = torch.addcmul(weighted, attention[t], weighted.sum(1, keepdim=True), value=-1)
            dscores[t] = ds
            dh = torch.bmm(ds.unsqueeze(1), keys).squeeze(1).add_(dattended[:, width:])
            for layer in range(layers - 1, -1, -1):
                own = dinput[layer]
                dh = dh.float() if own is None else dh + own[:, below[layer] :]
                dgates = gradients[layer].step(t, dh, dc[layer])
                dx = torch.mm(dgates, recurrent_t[layer])
                dinput[layer] = dx
                if layer:
                    dh = dx[:, :width]
                    if drop_layers is not None:
                        dh = dh * drop_layers[layer - 1, t]
        return _decoder_gradients(
            gradients, inputs, dinput, dc, below, attended, attention, dz, dcontext, dscores
        )


def _decoder_gradients(
    gradients: list[_StepGradient],
    inputs: list[Tensor],
    dinput: list[Tensor | None],
    dc: list[Tensor],
    below: list[int],
    attended: Tensor,
    attention: Tensor,
    dz: Tensor,
    dcontext: Tensor,
    dscores: Tensor,
) -> tuple[Tensor | None, ...]:
    """Assemble the decoder's gradients, in the order of its inputs, one product a weight."""
    steps, batch, width = dz.shape

    def flat(x: Tensor) -> Tensor:
        return x.reshape(steps * batch, -1)

    dh0 = torch.stack(
        [d[:, b:].float() for d, b in zip(dinput, below, strict=True) if d is not None]
    )
    dcombine = torch.mm(flat(attended).t(), flat(dz)).float()
    top = attended[:, :, width:].transpose(0, 1).float()
    dmemory = torch.bmm(attention.permute(1, 2, 0), dcontext.transpose(0, 1))
    dkeys = torch.bmm(dscores.permute(1, 2, 0), top)
    dweights = [
        torch.mm(flat(x[:steps]).t(), flat(g.dgates)).float()
        for x, g in zip(inputs, gradients, strict=True)
    ]
    dbiases = [flat(g.dgates).sum(0, dtype=torch.float32) for g in gradients[1:]]
    return (
        gradients[0].dgates, dh0, torch.stack(dc), dmemory, dkeys, None, dcombine,
        None, None, None, None, *dweights, *dbiases,
    )  # fmt: skip


def attentional_decoder(
    gates_TBG: Tensor,
    h0_LBH: Tensor,
    c0_LBH: Tensor,
    memory_BSH: Tensor,
    keys_BSH: Tensor,
    mask_BS: Tensor,
    combine: Tensor,
    recurrent: list[Tensor],
    biases: list[Tensor],
    *,
    drop_layers: Tensor | None,
    drop_output: Tensor | None,
    feeding: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Run the decoder over gold prefixes.

    Args:
        gates_TBG: word vectors' part of the first layer's gates, bias included, in `dtype`.
        h0_LBH: first outputs of the L layers.
        c0_LBH: first cell states.
        memory_BSH: encoder outputs.
        keys_BSH: encoder outputs times the attention weights.
        mask_BS: 0 on real source words and minus infinity (or very low) on padding.
        combine: W_c, (2 H, H), for [context | top output].
        recurrent: L weights for [from below | own output], (2 H, G); the first is (H, G)
            without input feeding.
        biases: L - 1 biases (G,) of the layers above the first.
        drop_layers: scaled dropout masks (L - 1, T, B, H) between layers, or None.
        drop_output: scaled dropout mask (T, B, H) of the attentional state, or None.
        feeding: whether the (dropped-out) attentional state enters the next step.
        dtype: of the matrix products.

    Returns:
        Attentional states after dropout, (T, B, H), in `dtype`.
    """
    result: Tensor = _AttentionalDecoder.apply(  # type: ignore[no-untyped-call]
        gates_TBG, h0_LBH, c0_LBH, memory_BSH, keys_BSH, mask_BS, combine,
        drop_layers, drop_output, feeding, dtype, *recurrent, *biases,
    )  # fmt: skip
    return result
