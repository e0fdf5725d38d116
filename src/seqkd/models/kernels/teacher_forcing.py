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


def hidden_and_attention(
    model: Lstm, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what `Lstm.hidden_and_attention` returns."""
    config = model.config
    memory_BSH, h0_LBH, c0_LBH = _encode(model, src_BS, length_B)
    keys_BSH = product(memory_BSH, model.attention_HH)
    words_TBE = model.embed(tgt_in_BT.t(), model.target_embedding_VE)
    batch, steps = tgt_in_BT.shape
    drop_layers = model.dropout_mask(config.layers - 1, steps, batch, config.width)
    drop_output = model.dropout_mask(steps, batch, config.width)
    states_TBH, attention_TBS = _Decoder.apply(  # type: ignore[no-untyped-call]
        product(words_TBE, model.decoder_input), h0_LBH, c0_LBH, memory_BSH, keys_BSH,
        padding_mask(length_B, src_BS.shape[1]), model.combine, drop_layers, drop_output,
        config.input_feeding, *model.decoder_recurrent, *model.decoder_bias,
    )  # fmt: skip
    return states_TBH.transpose(0, 1), attention_TBS.transpose(0, 1)


def _encode(model: Lstm, src_BS: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return memory (B, S, H) and the decoder's first outputs and cells, each (L, B, H)."""
    x_SBH = model.embed(src_BS.t(), model.source_embedding_VE)
    h_last, c_last = [], []
    for layer, weight_DHG in enumerate(model.encoder_recurrent):
        if layer:
            x_SBH = model.drop(x_SBH)
        gates = product(x_SBH, model.encoder_input[layer]).chunk(len(weight_DHG), -1)
        bias = model.encoder_bias[layer].chunk(len(weight_DHG))
        runs = [
            _run(gates[d], weight_HG, bias[d], length_B, backwards=d == 1)
            for d, weight_HG in enumerate(weight_DHG)
        ]
        x_SBH, h_BH, c_BH = (torch.cat(halves, -1) for halves in zip(*runs, strict=True))
        h_last.append(h_BH)
        c_last.append(c_BH)
    return x_SBH.transpose(0, 1).contiguous(), torch.stack(h_last), torch.stack(c_last)


def _run(
    gates_SBG: Tensor, weight_HG: Tensor, bias_G: Tensor, length_B: Tensor, *, backwards: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one direction of an encoder layer; return outputs, and last output and cell."""
    if not backwards:
        return _EncoderLayer.apply(gates_SBG, weight_HG, bias_G, length_B - 1)  # type: ignore[no-untyped-call,no-any-return]
    reverse = reverse_index(length_B, len(gates_SBG))
    h_SBH, h_BH, c_BH = _EncoderLayer.apply(  # type: ignore[no-untyped-call]
        gates_SBG[reverse], weight_HG, bias_G, length_B - 1
    )
    return h_SBH[reverse], h_BH, c_BH


class _EncoderLayer(torch.autograd.Function):
    """An LSTM layer in one direction over a padded sequence, from a zero state.

    Args:
        gates_TBG: the input's part of the gates, in the dtype of the matrix products.
        weight_HG: recurrent weights.
        bias_G: their bias.
        last_B: each sequence's last step.

    Returns:
        Outputs (T, B, H) in that dtype, and output and cell state after each sequence's last step,
        (B, H) in fp32. Outputs of later steps are meaningless.
    """

    @staticmethod
    def forward(
        ctx: Any, gates_TBG: Tensor, weight_HG: Tensor, bias_G: Tensor, last_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = gates_TBG.shape
        weight = weight_HG.to(gates_TBG.dtype)
        h = gates_TBG.new_empty(steps + 1, batch, len(weight))
        h[0] = 0
        layer = LstmSteps(gates_TBG, bias_G, torch.zeros(batch, len(weight)), h[1:])
        product_BG = torch.empty_like(gates_TBG[0])
        for t, h_BH in enumerate(h[:-1].unbind(0)):
            torch.mm(h_BH, weight, out=product_BG)
            layer.forward(t, product_BG)
        rows = torch.arange(batch)
        ctx.layer, ctx.last_B = layer, last_B
        ctx.save_for_backward(weight, h)
        return h[1:], h[last_B + 1, rows].float(), layer.cells_TRH[last_B + 1, rows]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dh_TBH: Tensor, dlast_h_BH: Tensor, dlast_c_BH: Tensor
    ) -> tuple[Tensor | None, ...]:
        weight, h = ctx.saved_tensors
        layer: LstmSteps = ctx.layer
        layer.start_backward()
        layer.last_state(ctx.last_B, dlast_h_BH, dlast_c_BH)
        by_weight = product_with_transposed(weight)
        later: Tensor | None = None
        for t in range(len(dh_TBH) - 1, -1, -1):
            dgates_BG = layer.backward(t, dh_TBH[t], later)
            later = by_weight(dgates_BG) if t else None  # the first state is no input
        del ctx.layer
        dweight = weight_gradient(h[:-1].flatten(0, 1), layer.dgates_TRG.flatten(0, 1))
        return layer.dgates_TRG, dweight, layer.dbias_G, None


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
        Attentional states after dropout, (T, B, H), in the dtype of the products; attention
        weights, (T, B, S), fp32.
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
    ) -> tuple[Tensor, Tensor]:
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
                weights[layers + layer],
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
        ctx.set_materialize_grads(False)
        # The node keeps both: what it returns must be other tensors, or they keep each other alive.
        return states.view_as(states), attend.attention_TBS.view_as(attend.attention_TBS)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dstates_TBH: Tensor | None, dattention_TBS: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        feeding, below = ctx.feeding, ctx.below
        stack: list[LstmSteps]
        attend: Attention
        state: AttentionalState
        stack, attend, state = ctx.parts
        layers = len(stack)
        wc, *rest = ctx.saved_tensors
        recurrent, inputs = rest[:layers], rest[layers:]
        dstates_TBH = torch.zeros_like(state.dropped_TBH) if dstates_TBH is None else dstates_TBH
        steps, _, width = dstates_TBH.shape
        for layer in range(layers):
            stack[layer].start_backward()
        attend.start_backward(dattention_TBS)
        state.start_backward(dstates_TBH.to(wc.dtype))
        by_recurrent = [product_with_transposed(w) for w in recurrent]
        by_combine = product_with_transposed(wc)
        later: list[Tensor | None] = [None] * layers
        fed = None
        for t in range(steps - 1, -1, -1):
            above = attend.backward(t, by_combine(state.backward(t, fed)))
            for layer in range(layers - 1, -1, -1):
                dgates = stack[layer].backward(t, above, later[layer])
                dx = by_recurrent[layer](dgates)  # gradient of inputs[layer][t]
                above, later[layer] = dx[:, :width], dx[:, below[layer] :]
            fed = above if feeding else None
        del ctx.parts
        dh0 = torch.stack([x.float() for x in later if x is not None])
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
    dbiases = [part.dbias_G for part in stack]
    return dmemory, dkeys, None, dcombine, None, None, None, *dweights, *dbiases
