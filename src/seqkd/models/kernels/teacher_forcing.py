"""Teacher forcing of `lstm.Lstm` with hand-written backward passes, on a CPU.

Autograd through a loop over time pays for thousands of small operations and for weight gradients
step by step. Here a step is its matrix products and one call for each part between them (see
`pointwise`), whatever does not depend on the recurrence is computed for all steps at once, and each
weight gradient is one matrix product at the end. Tests hold it against the plain model.

Matrix products run in the model's compute dtype (fp32 or bf16); cell states, nonlinearities and
sums over time are fp32.

Shapes: T time, B batch, H state width, G = 4 H gates, S source length, L layers, D directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqkd.models.kernels.pointwise import Attention, AttentionalState, LstmSteps
from seqkd.models.kernels.products import product, product_with_transposed, weight_gradient
from seqkd.models.padding import padding_mask, reverse_index

if TYPE_CHECKING:
    from seqkd.models.lstm import Lstm


def hidden(model: Lstm, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor) -> Tensor:
    """Return what `Lstm.hidden` returns."""
    config = model.config
    memory_BSH, h0_LBH, c0_LBH = _encode(model, src_BS, length_B)
    keys_BSH = product(memory_BSH, model.attention_HH)
    words_TBE = model.embed(tgt_in_BT.t(), model.target_embedding_VE)
    batch, steps = tgt_in_BT.shape
    drop_layers = model.dropout_mask(config.layers - 1, steps, batch, config.width)
    drop_output = model.dropout_mask(steps, batch, config.width)
    states_TBH: Tensor = _Decoder.apply(  # type: ignore[no-untyped-call]
        product(words_TBE, model.decoder_input), h0_LBH, c0_LBH, memory_BSH, keys_BSH,
        padding_mask(length_B, src_BS.shape[1]), model.combine, drop_layers, drop_output,
        config.input_feeding, *model.decoder_recurrent, *model.decoder_bias,
    )  # fmt: skip
    return states_TBH.transpose(0, 1)


def _encode(model: Lstm, src_BS: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return memory (B, S, H) and the decoder's first outputs and cells, each (L, B, H)."""
    x_SBH = model.embed(src_BS.t(), model.src_embedding_VE)
    reverse = reverse_index(length_B, len(x_SBH))
    h_last, c_last = [], []
    for layer, weight_DHG in enumerate(model.encoder_recurrent):
        if layer:
            x_SBH = model.drop(x_SBH)
        gates_SBG = product(x_SBH, model.encoder_input[layer])
        directions = len(weight_DHG)
        if directions == 1:
            gates_SDBG = gates_SBG[:, None]
        else:
            forward_SBG, backward_SBG = gates_SBG.chunk(2, dim=-1)
            gates_SDBG = torch.stack([forward_SBG, backward_SBG[reverse]], dim=1)
        h_SDBH, h_DBH, c_DBH = _EncoderLayer.apply(  # type: ignore[no-untyped-call]
            gates_SDBG, weight_DHG, model.encoder_bias[layer].view(directions, -1), length_B - 1
        )
        if directions == 1:
            x_SBH = h_SDBH[:, 0]
        else:
            x_SBH = torch.cat([h_SDBH[:, 0], h_SDBH[:, 1][reverse]], dim=-1)
        h_last.append(torch.cat(list(h_DBH), -1))
        c_last.append(torch.cat(list(c_DBH), -1))
    return x_SBH.transpose(0, 1).contiguous(), torch.stack(h_last), torch.stack(c_last)


class _EncoderLayer(torch.autograd.Function):
    """LSTM layers of equal width side by side over a padded sequence, from a zero state.

    Args:
        gates_TDBG: the input's part of the gates, in the dtype of the matrix products.
        weight_DHG: recurrent weights.
        bias_DG: their bias.
        last_B: each sequence's last step.

    Returns:
        Outputs (T, D, B, H) in that dtype, and output and cell state after each sequence's last
        step, (D, B, H) in fp32. Outputs of later steps are meaningless.
    """

    @staticmethod
    def forward(
        ctx: Any, gates_TDBG: Tensor, weight_DHG: Tensor, bias_DG: Tensor, last_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, directions, batch, width4 = gates_TDBG.shape
        width, rows = width4 // 4, directions * batch
        dtype, device = gates_TDBG.dtype, gates_TDBG.device
        weight = weight_DHG.to(dtype)
        h = torch.empty(steps + 1, directions, batch, width, dtype=dtype, device=device)
        h[0] = 0
        layer = LstmSteps(
            gates_TDBG.reshape(steps, rows, width4),
            bias_DG,
            torch.zeros(rows, width, device=device),
            h[1:].view(steps, rows, width),
        )
        product = torch.empty(directions, batch, width4, dtype=dtype, device=device)
        for t, h_DBH in enumerate(h[:-1].unbind(0)):
            for h_BH, weight_HG, out in zip(h_DBH, weight, product, strict=True):
                torch.mm(h_BH, weight_HG, out=out)
            layer.forward(t, product.view(rows, width4))
        last_R = last_B.repeat(directions)
        row_R = torch.arange(rows, device=device)
        last_c = layer.cells_TRH[last_R + 1, row_R]
        last_h = layer.out_TRH[last_R, row_R].float()
        ctx.layer, ctx.last_R = layer, last_R
        ctx.save_for_backward(weight, h)
        shape = directions, batch, width
        return h[1:], last_h.view(shape), last_c.view(shape)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dh_TDBH: Tensor, dlast_h_DBH: Tensor, dlast_c_DBH: Tensor
    ) -> tuple[Tensor | None, ...]:
        weight, h = ctx.saved_tensors
        layer: LstmSteps = ctx.layer
        steps, directions, batch, width = dh_TDBH.shape
        rows = directions * batch
        layer.start_backward()
        layer.last_state(
            ctx.last_R, dlast_h_DBH.reshape(rows, width), dlast_c_DBH.reshape(rows, width)
        )
        by_weight = [product_with_transposed(w) for w in weight]
        own: Tensor | None = None
        dh_TRH = dh_TDBH.reshape(steps, rows, width).unbind(0)
        for t in range(steps - 1, -1, -1):
            dgates = layer.backward(t, dh_TRH[t], own)
            if t == 0:
                break  # the first state is no input
            dgates_DBG = dgates.view(directions, batch, 4 * width)
            own = torch.cat([by(d) for by, d in zip(by_weight, dgates_DBG, strict=True)])
        dgates_TDBG = layer.dgates_TRG.view(steps, directions, batch, 4 * width)
        dweight = torch.stack(
            [
                weight_gradient(
                    h[:steps, d].reshape(steps * batch, width),
                    dgates_TDBG[:, d].reshape(steps * batch, 4 * width),
                )
                for d in range(directions)
            ]
        )
        del ctx.layer
        return dgates_TDBG, dweight, layer.dbias_DG, None


class _Decoder(torch.autograd.Function):
    """The whole decoder under teacher forcing: stacked LSTM, global attention, input feeding.

    Args:
        gates_TBG: word vectors' part of the first layer's gates, in the dtype of the products.
        h0_LBH: first outputs of the L layers.
        c0_LBH: first cell states.
        memory_BSH: encoder outputs.
        keys_BSH: encoder outputs times the attention weights.
        mask_BS: 0 on real source words and very low on padding.
        combine: W_c, (2 H, H), for [context | top output].
        drop_layers: scaled dropout masks (L - 1, T, B, H) between layers, or None.
        drop_output: scaled dropout mask (T, B, H) of the attentional state, or None.
        feeding: whether the (dropped-out) attentional state enters the next step.
        weights: L weights for [from below | own output], (2 H, G) or, in the first layer without
            input feeding, (H, G); then L biases (G,).

    Returns:
        Attentional states after dropout, (T, B, H), in the dtype of the products.
    """

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
        *weights: Tensor,
    ) -> Tensor:
        steps, batch, width4 = gates_TBG.shape
        layers, _, width = h0_LBH.shape
        new, dtype = gates_TBG.new_empty, gates_TBG.dtype
        recurrent = [w.to(dtype) for w in weights[:layers]]
        wc = combine.to(dtype)
        # inputs[l][t] is what meets recurrent[l] at step t: [from below | own output before].
        below = [width if feeding else 0] + [width] * (layers - 1)
        inputs = [new(steps + 1, batch, b + width) for b in below]
        for layer in range(layers):
            inputs[layer][0, :, below[layer] :] = h0_LBH[layer]
        if feeding:
            inputs[0][0, :, :width] = 0
        attended = new(steps, batch, 2 * width)  # [context | top output]
        ups = [x[:steps, :, :width] for x in inputs[1:]] + [attended[:, :, width:]]
        stack = [
            LstmSteps(
                None if layer else gates_TBG,
                weights[layers + layer][None],
                c0_LBH[layer],
                inputs[layer][1:, :, below[layer] :],
                ups[layer],
                drop_layers[layer] if drop_layers is not None and layer + 1 < layers else None,
            )
            for layer in range(layers)
        ]
        attend = Attention(memory_BSH, keys_BSH, mask_BS, attended)
        states = new(steps, batch, width)  # after dropout: projected and fed back
        fed = inputs[0][1:, :, :width] if feeding else None
        state = AttentionalState(states, drop_output, fed)
        x_LT = [x.unbind(0) for x in inputs]
        attended_T = attended.unbind(0)
        z, combined = new(batch, width4), new(batch, width)
        for t in range(steps):
            for layer in range(layers):
                torch.mm(x_LT[layer][t], recurrent[layer], out=z)
                stack[layer].forward(t, z)
            attend.forward(t)
            torch.mm(attended_T[t], wc, out=combined)
            state.forward(t, combined)
        ctx.below, ctx.feeding = below, feeding
        ctx.parts = stack, attend, state
        ctx.save_for_backward(wc, *recurrent, *inputs)
        # The node keeps `states`: what it returns must be another tensor, or the two keep each
        # other alive.
        return states.view_as(states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dstates_TBH: Tensor) -> tuple[Tensor | None, ...]:
        feeding, below = ctx.feeding, ctx.below
        stack: list[LstmSteps]
        attend: Attention
        state: AttentionalState
        stack, attend, state = ctx.parts
        layers = len(stack)
        wc, *rest = ctx.saved_tensors
        recurrent, inputs = rest[:layers], rest[layers:]
        steps, _, width = dstates_TBH.shape
        for layer in range(layers):
            stack[layer].start_backward()
        attend.start_backward()
        state.start_backward(dstates_TBH.to(wc.dtype))
        by_recurrent = [product_with_transposed(w) for w in recurrent]
        by_combine = product_with_transposed(wc)
        own: list[Tensor | None] = [None] * layers
        fed = None
        for t in range(steps - 1, -1, -1):
            above = attend.backward(t, by_combine(state.backward(t, fed)))
            for layer in range(layers - 1, -1, -1):
                dgates = stack[layer].backward(t, above, own[layer])
                dx = by_recurrent[layer](dgates)  # gradient of inputs[layer][t]
                above, own[layer] = dx[:, :width], dx[:, below[layer] :]
            fed = above if feeding else None
        del ctx.parts
        dh0 = torch.stack([x.float() for x in own if x is not None])
        dc0 = torch.stack([part.dcell_RH for part in stack])
        return (
            stack[0].dgates_TRG, dh0, dc0, *_weight_gradients(stack, attend, state, inputs)
        )  # fmt: skip


def _weight_gradients(
    stack: list[LstmSteps], attend: Attention, state: AttentionalState, inputs: list[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the decoder's gradients from `memory_BSH` on, one product a weight."""
    steps, batch, width = state.dproduct_TBH.shape

    def flat(x: Tensor) -> Tensor:
        return x.reshape(steps * batch, -1)

    dcombine = weight_gradient(flat(attend.attended_TBM), flat(state.dproduct_TBH))
    query = attend.attended_TBM[:, :, width:].transpose(0, 1).float()
    dmemory = torch.bmm(attend.attention_TBS.permute(1, 2, 0), attend.dcontext_TBH.transpose(0, 1))
    dkeys = torch.bmm(attend.dscores_TBS.permute(1, 2, 0), query)
    dweights = [
        weight_gradient(flat(x[:steps]), flat(part.dgates_TRG))
        for x, part in zip(inputs, stack, strict=True)
    ]
    dbiases = [part.dbias_DG[0] for part in stack]
    return dmemory, dkeys, None, dcombine, None, None, None, *dweights, *dbiases
