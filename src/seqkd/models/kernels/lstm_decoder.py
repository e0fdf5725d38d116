"""`lstm.Lstm` made ready for search on a CPU: no gradients, weights laid out once.

`lstm_int8.Int8Decoder` is the same in int8.

Shapes: B sentences, S source length, N hypotheses, I inputs of a layer, E embedding, H width,
G = 4 H gates, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqkd.models.kernels.compiled import library
from seqkd.models.kernels.products import PackedLinear
from seqkd.models.padding import padding_mask, reverse_index
from seqkd.models.protocol import State

if TYPE_CHECKING:
    from seqkd.models.lstm import Lstm


class LstmDecoder:
    """An `Lstm` ready for search; see `protocol.Decoder`.

    State: sentence = memory (B, S, H), keys (B, H, S), mask (B, 1, S); hypothesis =
    [attentional state | output of each layer] (N, (1 + L) H) and cells (N, L H).
    """

    @torch.inference_mode()
    def __init__(self, model: Lstm) -> None:
        """Take over the weights, in `model.compute_dtype`."""
        dtype = model.compute_dtype
        self._width = model.config.width
        self._feeds = model.config.input_feeding
        self.vocab_size = model.vocab_size
        self._source_VE = model.source_embedding_VE.to(dtype)
        self._target_VE = model.target_embedding_VE.to(dtype)
        encoder = zip(model.encoder_input, model.encoder_recurrent, model.encoder_bias, strict=True)
        self._encoder = [_directions(*weights, dtype) for weights in encoder]
        recurrent = list(model.decoder_recurrent)
        first = torch.cat([model.decoder_input, recurrent[0]])
        self._layers = [
            _Cell(weight, bias, dtype)
            for weight, bias in zip([first, *recurrent[1:]], model.decoder_bias, strict=True)
        ]
        self._attention = PackedLinear(model.attention_HH, None, dtype)
        self._combine = PackedLinear(model.combine, None, dtype)
        self._output = PackedLinear(model.output_weight_VD.t(), model.output_bias_V, dtype)

    @torch.inference_mode()
    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        """Encode the sources; see `protocol.Decoder`."""
        batch, steps = src_BS.shape
        x_SBI = self._source_VE[src_BS.t()]
        outputs, cells = [x_SBI.new_zeros(batch, self._width)], []
        for directions in self._encoder:
            x_SBI, h_BH, c_BH = encoder_layer(x_SBI, length_B, directions)
            outputs.append(h_BH)
            cells.append(c_BH)
        memory_BSH = x_SBI.transpose(0, 1).contiguous()
        keys_BSH = self._attention(memory_BSH.view(batch * steps, -1)).view_as(memory_BSH)
        mask_B1S = padding_mask(length_B, steps).unsqueeze(1)
        sentence = memory_BSH, keys_BSH.transpose(1, 2).contiguous(), mask_B1S
        return State(sentence, (torch.cat(outputs, 1), torch.cat(cells, 1)))

    @torch.inference_mode()
    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance each hypothesis by one word; see `protocol.Decoder`."""
        width = self._width
        outputs_before, cells_before = state.hypothesis
        outputs, cells = torch.empty_like(outputs_before), torch.empty_like(cells_before)
        below = [self._target_VE.index_select(0, token_N)]
        if self._feeds:
            below.append(outputs_before[:, :width])
        for layer, cell in enumerate(self._layers):
            h, c = part(layer + 1, width), part(layer, width)
            x_NI = torch.cat([*below, outputs_before[:, h]], 1)
            cell(x_NI, cells_before[:, c], cells[:, c], outputs[:, h])
            below = [outputs[:, h]]
        (h_NH,) = below
        context_NH = attend(h_NH, *state.sentence)
        attended = self._combine(torch.cat([context_NH, h_NH], 1), tanh=True)
        outputs[:, :width] = attended
        return self._output(attended), State(state.sentence, (outputs, cells))


def attend(query_NH: Tensor, memory_BSH: Tensor, keys_BHS: Tensor, mask_B1S: Tensor) -> Tensor:
    """Return the attention-weighted mean of each hypothesis' memory, (N, H)."""
    query_BKH = query_NH.view(len(memory_BSH), -1, query_NH.shape[1])
    scores_BKS = torch.bmm(query_BKH, keys_BHS).float() + mask_B1S
    weights_BKS = torch.softmax(scores_BKS, 2).to(memory_BSH.dtype)
    return torch.bmm(weights_BKS, memory_BSH).view(query_NH.shape)


class _Cell:
    """An LSTM layer's step; cell states and nonlinearities are fp32."""

    def __init__(self, weight_IG: Tensor, bias_G: Tensor, dtype: torch.dtype) -> None:
        """Take the weight for [from below | own output before]."""
        self._gates = PackedLinear(weight_IG, bias_G, dtype)
        self._width = weight_IG.shape[1] // 4
        self._lib = library(dtype, weight_IG.device)

    def __call__(self, x_NI: Tensor, c_before_NH: Tensor, c_NH: Tensor, h_NH: Tensor) -> None:
        """Write cells and outputs into `c_NH` and `h_NH`, whose rows are contiguous."""
        assert self._lib is not None, "the caller asks `available` first"
        gates_NG = self._gates(x_NI)
        self._lib.search_cell(
            *h_NH.shape, gates_NG.data_ptr(), c_before_NH.data_ptr(), c_before_NH.stride(0),
            c_NH.data_ptr(), c_NH.stride(0), h_NH.data_ptr(), h_NH.stride(0),
        )  # fmt: skip

    def run(self, x_SBI: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and cells (S, B, H) over a whole sequence, from a zero state."""
        steps, batch, size = x_SBI.shape
        inputs = x_SBI.new_empty(steps + 1, batch, size + self._width)
        inputs[:-1, :, :size] = x_SBI
        inputs[0, :, size:] = 0
        c_SBH = inputs.new_zeros(steps + 1, batch, self._width, dtype=torch.float32)
        for t in range(steps):
            self(inputs[t], c_SBH[t], c_SBH[t + 1], inputs[t + 1, :, size:])
        return inputs[1:, :, size:], c_SBH[1:]


_Run = Callable[[Tensor], tuple[Tensor, Tensor]]


def _directions(
    weight_IG: Tensor, recurrent_DHG: Tensor, bias_G: Tensor, dtype: torch.dtype
) -> list[_Run]:
    """Return the one or two directions of an encoder layer."""
    count = len(recurrent_DHG)
    parts = zip(weight_IG.chunk(count, 1), recurrent_DHG, bias_G.chunk(count), strict=True)
    return [_Cell(torch.cat([w, recurrent]), bias, dtype).run for w, recurrent, bias in parts]


def encoder_layer(
    x_SBI: Tensor, length_B: Tensor, directions: Sequence[_Run]
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a layer in one direction or in both over padded sources.

    Args:
        x_SBI: what comes from below.
        length_B: words of each source.
        directions: each runs over a sequence and returns its outputs and cells (S, B, H / D).

    Returns:
        Outputs (S, B, H), and the output and the cell at each sentence's end (B, H).
    """
    reverse = reverse_index(length_B, len(x_SBI))
    last = length_B - 1, reverse[1]
    outputs, ends = [], []
    for run, backwards in zip(directions, (False, True), strict=False):
        h_SBH, c_SBH = run(x_SBI[reverse] if backwards else x_SBI)
        outputs.append(h_SBH[reverse] if backwards else h_SBH)
        ends.append((h_SBH[last], c_SBH[last]))
    h_last, c_last = (torch.cat(parts, 1) for parts in zip(*ends, strict=True))
    return torch.cat(outputs, 2), h_last, c_last


def part(number: int, width: int) -> slice:
    """Return the columns of one of several states of this width, side by side."""
    return slice(number * width, (number + 1) * width)
