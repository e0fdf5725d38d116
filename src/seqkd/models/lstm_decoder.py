"""The attentional LSTM made ready for search: no gradients, weights laid out once.

`lstm.Lstm` is the same model for training; `quantization.Int8Decoder` is this one in int8.

Shapes: B sentences, S source length, N hypotheses, I inputs of a layer, E embedding, H width,
G = 4 H gates, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqkd.models.kernels.compiled import library
from seqkd.models.kernels.packed import PackedLinear
from seqkd.models.protocol import State

if TYPE_CHECKING:
    from seqkd.models.lstm import Lstm

MASKED = -1e9  # added to attention scores of padding; its softmax is exactly 0 in fp32
# Rows whose gates stay in a CPU's second-level cache during a step; measured.
_CHUNK_ROWS = 128


class LstmDecoder:
    """An `Lstm` ready for search.

    State: sentence = memory (B, S, H), keys (B, H, S), mask (B, 1, S); hypothesis =
    [attentional state | output of each layer] (N, (1 + L) H) and cells (N, L H).
    """

    @torch.inference_mode()
    def __init__(self, model: Lstm) -> None:
        """Take over the weights, in `model.compute_dtype`."""
        model.eval()
        dtype = self._dtype = model.compute_dtype
        self._width = model.config.width
        self.vocab_size = model.output_weight_VD.shape[0]
        self._source_VE = model.src_embedding_VE.to(dtype)
        self._target_VE = model.target_embedding_VE.to(dtype)
        self._encoder = [
            _directions(*weights, dtype)
            for weights in zip(
                model.encoder_input, model.encoder_recurrent, model.encoder_bias, strict=True
            )
        ]
        recurrent = list(model.decoder_recurrent)
        self._feeds = model.config.input_feeding
        recurrent[0] = torch.cat([model.decoder_input, recurrent[0]])
        self._layers = [
            _Cell(weight, bias, dtype)
            for weight, bias in zip(recurrent, model.decoder_bias, strict=True)
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
        memory_BSH, keys_BHS, mask_B1S = state.sentence
        outputs_before, cells_before = state.hypothesis
        rows, batch, width = len(token_N), len(memory_BSH), self._width
        outputs, cells = torch.empty_like(outputs_before), torch.empty_like(cells_before)
        below = [self._target_VE.index_select(0, token_N)]
        if self._feeds:
            below.append(outputs_before[:, :width])
        for layer, advance in enumerate(self._layers):
            own, cell = _part(layer + 1, width), _part(layer, width)
            x_NI = torch.cat([*below, outputs_before[:, own]], 1)
            advance(x_NI, cells_before[:, cell], cells[:, cell], outputs[:, own])
            below = [outputs[:, own]]
        (h_NH,) = below
        scores = torch.bmm(h_NH.view(batch, rows // batch, width), keys_BHS).float() + mask_B1S
        context = torch.bmm(torch.softmax(scores, 2).to(self._dtype), memory_BSH)
        attended = self._combine(torch.cat([context.view(rows, width), h_NH], 1), squash=True)
        outputs[:, :width] = attended
        return self._output(attended), State(state.sentence, (outputs, cells))


class _Cell:
    """An LSTM layer's step; cell states and nonlinearities are fp32."""

    def __init__(self, weight_IG: Tensor, bias_G: Tensor, dtype: torch.dtype) -> None:
        """Take the weight for [from below | own output before], gates in the order o, i, f, g."""
        self._gates = PackedLinear(weight_IG, bias_G, dtype)
        self.width = weight_IG.shape[1] // 4
        self._lib = library(dtype, weight_IG.device)

    def __call__(self, x_NI: Tensor, c_before_NH: Tensor, c_NH: Tensor, h_NH: Tensor) -> None:
        """Write cells and outputs into `c_NH` and `h_NH`, whose rows have no gaps within."""
        gates_NG = self._gates(x_NI)
        if self._lib is not None:
            self._lib.search_cell(
                *h_NH.shape, gates_NG.data_ptr(), c_before_NH.data_ptr(), c_before_NH.stride(0),
                c_NH.data_ptr(), c_NH.stride(0), h_NH.data_ptr(), h_NH.stride(0),
            )  # fmt: skip
            return
        size = _CHUNK_ROWS if x_NI.device.type == "cpu" else len(x_NI)
        work = c_NH.new_empty(min(size, len(x_NI)), gates_NG.shape[1])
        for start in range(0, len(x_NI), size):
            chunk = slice(start, start + size)
            c = c_NH[chunk]
            gates = work[: len(c)].copy_(gates_NG[chunk])
            gates[:, : 3 * self.width].sigmoid_()
            o, i, f, g = gates.split(self.width, 1)
            torch.mul(f, c_before_NH[chunk], out=c)
            c.addcmul_(i, g.tanh_())
            # A product written to another dtype costs ten times the product and the copy.
            h_NH[chunk] = torch.mul(o, torch.tanh(c, out=g), out=g)

    def run(self, x_SBI: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and cells (S, B, H) over a whole sequence, from a zero state."""
        steps, batch, size = x_SBI.shape
        inputs = x_SBI.new_empty(steps + 1, batch, size + self.width)
        inputs[:-1, :, :size] = x_SBI
        inputs[0, :, size:] = 0
        c_SBH = inputs.new_zeros(steps + 1, batch, self.width, dtype=torch.float32)
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
    return [_Cell(torch.cat([w, own]), bias, dtype).run for w, own, bias in parts]


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
    rows, last_B = torch.arange(len(length_B), device=length_B.device), length_B - 1
    outputs, at_end = [], []
    for backwards, run in enumerate(directions):
        if backwards:
            # Each sentence is reversed within its own length, so padding stays at the end.
            time_S1 = torch.arange(len(x_SBI), device=length_B.device)[:, None]
            reverse_SB = torch.where(time_S1 <= last_B, last_B - time_S1, time_S1)
            h_SBH, c_SBH = run(x_SBI[reverse_SB, rows])
            outputs.append(h_SBH[reverse_SB, rows])
        else:
            h_SBH, c_SBH = run(x_SBI)
            outputs.append(h_SBH)
        at_end.append((h_SBH[last_B, rows], c_SBH[last_B, rows]))
    h_last, c_last = (torch.cat(parts, 1) for parts in zip(*at_end, strict=True))
    return torch.cat(outputs, 2), h_last, c_last


def padding_mask(length_B: Tensor, steps: int) -> Tensor:
    """Return (B, S): 0 on real words, `MASKED` on padding."""
    padded = torch.arange(steps, device=length_B.device)[None] >= length_B[:, None]
    return torch.zeros(padded.shape, device=length_B.device).masked_fill_(padded, MASKED)


def _part(number: int, width: int) -> slice:
    return slice(number * width, (number + 1) * width)
