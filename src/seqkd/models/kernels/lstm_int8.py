"""An int8 build of the LSTM for search on a CPU: weights in int8, one scale per output channel.

Every input of a product with weights, word vectors apart, is bounded: outputs of LSTM cells and
attentional states lie in (-1, 1), and so does an attention-weighted mean of them. One fixed step
of 1/127 quantises them all: nothing is calibrated, and a translation
does not depend on what else is in its batch. Word vectors meet their weights once, when the decoder
is made, in a table of gates. Cell states, nonlinearities, attention and logits are fp32: bf16 would
be no faster, and would translate one line in ten differently, by what the CPU has.

Products run in oneDNN through PyTorch's `onednn.qlinear_pointwise` (AMX, AVX-512 VNNI, AVX2), and
in fp32 on the same rounded numbers where that is missing or the product is tiny.

Shapes: B batch, S source length, N hypotheses, E embedding, H width, G = 4 H gates, L layers,
D directions, I inputs, O outputs, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools

import torch
from torch import Tensor

from seqkd.models.kernels.lstm_decoder import attend, encoder_layer, part
from seqkd.models.lstm import Lstm, lstm_cell
from seqkd.models.padding import padding_mask
from seqkd.models.protocol import State

# Products of fewer multiplications are done in fp32: a call of a packed product costs some 20 us
# whatever its size. Measured on an Intel CPU with AMX, one thread.
_SMALL = 400_000
_INT8_MAX = 127  # symmetric: -128 is not used
TABLE_LIMIT = 64_000_000  # entries of a table of gates by words, 256 MB in fp32


def quantize_channels(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Round a weight to int8, symmetric, one scale for each slice along `dim`.

    Args:
        weight: any shape.
        dim: the dimension that a scale covers.

    Returns:
        int8 of the same shape, and fp32 scales that broadcast over it. Doing it again to their
        product gives the same int8 numbers.
    """
    largest = weight.float().abs().amax(dim, keepdim=True)
    # A scale of 0 would divide by 0; such a channel is all zeros whatever the scale is.
    scale = torch.where(largest == 0, torch.ones_like(largest), largest / _INT8_MAX)
    return (weight.float() / scale).round_().clamp_(-_INT8_MAX, _INT8_MAX).to(torch.int8), scale


def activation_steps() -> int:
    """Return how many steps quantised activations have between 0 and 1.

    Without VNNI, oneDNN adds two products in 16 bits, and what is too large is cut off: 2 x 255 x
    127 is, and inputs of 7 bits, 2 x 127 x 127, are not.
    """
    with contextlib.suppress(AttributeError, RuntimeError):  # nothing promises this name
        return 127 if torch.cpu._is_vnni_supported() else 63
    return 63


def zero_point(steps: int) -> int:
    """Return the uint8 that stands for 0, so that 1 is the least and 2 steps + 1 the largest.

    Inputs are unsigned because oneDNN lacks fast kernels for one row of signed ones.
    """
    return steps + 1


def quantize_bounded(x: Tensor, steps: int) -> Tensor:
    """Round values in [-1, 1] to uint8, with 0 at `zero_point(steps)`."""
    # Of a positive number, cutting off the fraction after adding one half is rounding.
    return torch.add(zero_point(steps) + 0.5, x.float(), alpha=steps).to(torch.uint8)


class Int8Linear:
    """A fixed affine map with int8 weights, from quantised inputs to floating point.

    Attributes:
        size: number of outputs O.
    """

    def __init__(self, weight_IO: Tensor, bias_O: Tensor | None, steps: int) -> None:
        """Quantise the weight and lay it out.

        Args:
            weight_IO: each column is an output channel with its own scale.
            bias_O: added to each row.
            steps: of the inputs, see `quantize_bounded`.
        """
        values_IO, scale_1O = quantize_channels(weight_IO, -2)
        self.size = weight_IO.shape[1]
        self._scale_O = scale_1O.flatten()
        self._bias_O = None if bias_O is None else bias_O.float()
        self._step, self._zero = 1.0 / steps, zero_point(steps)
        self._zeros_O = torch.zeros(self.size, dtype=torch.int32)
        self._packed = _pack(values_IO)
        # The quantised weights as fp32, for products that are not worth a packed call.
        small = self._packed is None or values_IO.numel() < _SMALL
        self._float_IO = values_IO.float() if small else None

    def __call__(self, x_NI: Tensor, add_NO: Tensor | None = None) -> Tensor:
        """Return x W + b + add, (N, O), fp32.

        Args:
            x_NI: uint8.
            add_NO: fp32, contiguous; overwritten. Only without a bias.
        """
        if self._in_fp32(x_NI):
            return self._fp32(x_NI, add_NO)
        quantised = torch.ops.onednn.qlinear_pointwise
        inputs = x_NI, self._step, self._zero, self._packed, self._scale_O, self._zeros_O
        fp32 = torch.float32
        result: Tensor
        if add_NO is None:
            result = quantised(*inputs, self._bias_O, 1.0, 0, fp32, "none", [], "")
        else:
            result = quantised.binary(
                *inputs, add_NO, None, 1.0, 0, fp32, 1.0, 0, "sum", 1.0, "none", [], ""
            )
        return result

    def tanh(self, x_NI: Tensor) -> Tensor:
        """Return the tanh of x W + b, quantised like the input."""
        if self._in_fp32(x_NI):
            return quantize_bounded(self._fp32(x_NI, None).tanh_(), round(1 / self._step))
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            x_NI, self._step, self._zero, self._packed, self._scale_O, self._zeros_O, self._bias_O,
            self._step, self._zero, torch.uint8, "tanh", [], "",
        )  # fmt: skip
        return result

    def _in_fp32(self, x_NI: Tensor) -> bool:
        if self._packed is None:
            return True
        return self._float_IO is not None and x_NI.numel() * self.size < _SMALL

    def _fp32(self, x_NI: Tensor, add_NO: Tensor | None) -> Tensor:
        """Return the same from quantised inputs and weights held in fp32.

        Equal to a packed product, which a batch of another size would take: sums of up to 1,040
        products are exact in fp32, and what follows is rounded in oneDNN's order.
        """
        assert self._float_IO is not None
        y_NO = torch.mm(x_NI.float().sub_(self._zero), self._float_IO)
        y_NO.mul_(self._step).mul_(self._scale_O)
        term = self._bias_O if add_NO is None else add_NO
        return y_NO if term is None else y_NO.add_(term)


def _pack(values_IO: Tensor) -> Tensor | None:
    """Return the weight in oneDNN's own layout, or None if this PyTorch or CPU cannot."""
    values_OI = values_IO.t().contiguous()
    one = torch.ones(1, values_OI.shape[1], dtype=torch.uint8)
    scale, zero = torch.ones(len(values_OI)), torch.zeros(len(values_OI), dtype=torch.int32)
    try:
        packed: Tensor = torch.ops.onednn.qlinear_prepack(values_OI, None)
        torch.ops.onednn.qlinear_pointwise(
            one, 1.0, 1, packed, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
    except (AttributeError, RuntimeError, NotImplementedError):
        return None
    return packed


class _WordGates:
    """Every word's part of a first layer's gates (V, G), made once unless that is too large."""

    def __init__(self, table_VE: Tensor, weight_EG: Tensor, bias_G: Tensor) -> None:
        self._parts = table_VE.float(), weight_EG.double(), bias_G.double()
        small = table_VE.shape[0] * weight_EG.shape[1] <= TABLE_LIMIT
        self._gates_VG = self._product(self._parts[0]) if small else None

    def _product(self, words_NE: Tensor) -> Tensor:
        # Sums in fp64: the same whatever the order of its terms.
        return torch.addmm(self._parts[2], words_NE.double(), self._parts[1]).float()

    def __call__(self, token_N: Tensor) -> Tensor:
        if self._gates_VG is not None:
            return self._gates_VG.index_select(0, token_N)
        return self._product(self._parts[0].index_select(0, token_N))


class Int8Decoder:
    """An `Lstm` ready for search in int8; see `protocol.Decoder`.

    State: sentence = memory (B, S, H), keys (B, H, S), mask (B, 1, S); hypothesis =
    [attentional state | output of each layer] (N, (1 + L) H) in uint8 and cells (N, L H).
    """

    @torch.inference_mode()
    def __init__(self, model: Lstm) -> None:
        """Quantise all weights."""
        steps = self._steps = activation_steps()
        self._width = model.config.width
        self.vocab_size = model.vocab_size

        def linear(weight_IO: Tensor, bias_O: Tensor | None = None) -> Int8Linear:
            return Int8Linear(weight_IO.detach(), bias_O, steps)

        inputs, biases = list(model.encoder_input), list(model.encoder_bias)
        words = _WordGates(model.source_embedding_VE, inputs[0], biases[0])
        layers = map(linear, inputs[1:], biases[1:])
        self._encoder_input: list[_WordGates | Int8Linear] = [words, *layers]
        self._encoder_recurrent = [
            [
                functools.partial(self._direction, number, linear(weight_HG))
                for number, weight_HG in enumerate(weight_DHG)
            ]
            for weight_DHG in model.encoder_recurrent
        ]
        self._attention = linear(model.attention_HH)
        self._tgt_gates = _WordGates(
            model.target_embedding_VE, model.decoder_input, model.decoder_bias[0]
        )
        biases = [None, *list(model.decoder_bias)[1:]]
        self._decoder_recurrent = list(map(linear, model.decoder_recurrent, biases))
        self._feeding = model.config.input_feeding
        self._combine = linear(model.combine)
        self._output = linear(model.output_weight_VD.t(), model.output_bias_V)

    # ------------------------------------------------------------------ encoder

    @torch.inference_mode()
    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        """Encode the sources; see `protocol.Decoder`."""
        batch, steps = src_BS.shape
        x = src_BS.t().reshape(-1)  # word ids, then quantised outputs (S B, H)
        outputs, cells = [], []
        for from_below, recurrent in zip(self._encoder_input, self._encoder_recurrent, strict=True):
            gates_SBG = from_below(x).view(steps, batch, -1)
            h_SBH, h_last, c_last = encoder_layer(gates_SBG, length_B, recurrent)
            x = quantize_bounded(h_SBH, self._steps).flatten(0, 1)
            outputs.append(h_last)
            cells.append(c_last)
        keys_SBH = self._attention(x).view(h_SBH.shape)
        sentence = (
            h_SBH.transpose(0, 1).contiguous(),
            keys_SBH.permute(1, 2, 0).contiguous(),
            padding_mask(length_B, steps).unsqueeze(1),
        )
        first = torch.cat([torch.zeros_like(outputs[0]), *outputs], dim=1)
        return State(sentence, (quantize_bounded(first, self._steps), torch.cat(cells, dim=1)))

    def _direction(
        self, number: int, recurrent: Int8Linear, gates_SBG: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return outputs and cells (S, B, H / D) of one direction from a zero state."""
        gates_SBG = gates_SBG.split(recurrent.size, 2)[number].contiguous()
        c_BX = gates_SBG.new_zeros(gates_SBG.shape[1], recurrent.size // 4)
        x_BX = quantize_bounded(c_BX, self._steps)
        outputs, cells = [], []
        for gates_BG in gates_SBG:
            h_BX, c_BX = lstm_cell(recurrent(x_BX, gates_BG), c_BX)
            x_BX = quantize_bounded(h_BX, self._steps)
            outputs.append(h_BX)
            cells.append(c_BX)
        return torch.stack(outputs), torch.stack(cells)

    # ------------------------------------------------------------------ decoder

    @torch.inference_mode()
    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance each hypothesis by one word; see `protocol.Decoder`."""
        width = self._width
        outputs_before, cells_before = state.hypothesis
        below = outputs_before[:, :width]  # the attentional state before, at first
        outputs, cells = [], []
        for layer, recurrent in enumerate(self._decoder_recurrent):
            x = outputs_before[:, part(layer + 1, width)]
            x = torch.cat([below, x], 1) if layer or self._feeding else x.contiguous()
            gates = recurrent(x) if layer else recurrent(x, self._tgt_gates(token_N))
            h_NH, c_NH = lstm_cell(gates, cells_before[:, part(layer, width)])
            below = quantize_bounded(h_NH, self._steps)
            outputs.append(below)
            cells.append(c_NH)
        context_NH = quantize_bounded(attend(h_NH, *state.sentence), self._steps)
        attentional_NH = self._combine.tanh(torch.cat([context_NH, below], 1))
        logits_NV = self._output(attentional_NH)
        hypothesis = torch.cat([attentional_NH, *outputs], 1), torch.cat(cells, 1)
        return logits_NV, State(state.sentence, hypothesis)
