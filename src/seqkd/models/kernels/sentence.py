"""Search of single sentences with an `Lstm`, whole in `sentence.c`.

One row per step costs PyTorch's calls, not arithmetic: 20 times what it takes here. The same models
in fp32, bf16 and int8 have the same scores as under `search`, up to rounding.

Shapes: H width, G = 4 H gates, I inputs, O outputs, V vocabulary.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_float, c_int32, c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqkd.models.kernels import compiled
from seqkd.models.kernels.lstm_int8 import (
    TABLE_LIMIT,
    activation_steps,
    quantize_channels,
    zero_point,
)
from seqkd.models.lstm import Lstm

_SOURCE = Path(__file__).with_suffix(".c")
_OPTIONS = {torch.float32: (), torch.bfloat16: ("-DBF16",), torch.int8: ("-DINT8",)}
_COLUMNS, _FOUR = 64, 4  # of `fixed_product.h`
_MOST_LAYERS = 16
_NO_MEMORY = -2
# A step of a batch costs as much as this many weights do here; measured, one row and five.
_WEIGHTS_OF_A_STEP = 12_000_000
MOST_AT_ONCE = 16
"""Sentences that may be faster one by one than as a batch."""


class _Linear(Structure):
    _fields_ = (
        ("inputs", c_int64), ("outputs", c_int64), ("weight", c_void_p), ("bias", c_void_p),
        ("scale", c_void_p), ("start", c_void_p), ("zero", c_int64),
    )  # fmt: skip


class _Words(Structure):
    _fields_ = (
        ("embedding", c_int64), ("vectors", c_void_p), ("weight", c_void_p), ("bias", c_void_p),
        ("gates", c_void_p), ("found", c_void_p),
    )  # fmt: skip


class _Model(Structure):
    _fields_ = (
        ("width", c_int64), ("layers", c_int64), ("directions", c_int64), ("feeds", c_int64),
        ("blocks", c_int64), ("steps", c_int64), ("source", _Words), ("target", _Words),
        ("from_below", _Linear * _MOST_LAYERS),
        ("forwards", _Linear * _MOST_LAYERS), ("backwards", _Linear),
        ("decoder", _Linear * _MOST_LAYERS), ("attention", _Linear), ("combine", _Linear),
        ("output", _Linear),
    )  # fmt: skip


@functools.cache
def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    lib = compiled.build(_SOURCE, _OPTIONS[dtype])
    if lib is not None:
        lib.search.argtypes = [
            POINTER(_Model), POINTER(c_int32), *[c_int64] * 4, c_void_p, c_int64,
            POINTER(c_int32), POINTER(c_int32), POINTER(c_float),
        ]  # fmt: skip
        lib.search.restype = c_int64
    return lib


def sentence_search(model: Lstm, *, int8: bool) -> SentenceSearch | None:
    """Return the search of single sentences for a model, or None where there is none.

    That is on a GPU, without a compiler, and where tables of a model's words would be too large:
    there the arithmetic costs more than the calls.
    """
    words = max(len(model.source_embedding_VE), len(model.target_embedding_VE))
    if words * 4 * model.config.width > TABLE_LIMIT or model.config.layers > _MOST_LAYERS:
        return None
    if not compiled.available(model.compute_dtype, model.output_bias_V.device):
        return None
    dtype = torch.int8 if int8 else model.compute_dtype
    lib = _library(dtype)
    return None if lib is None else SentenceSearch(model, dtype, lib)


class SentenceSearch:
    """The weights of a model as `sentence.c` wants them, and its search.

    Attributes:
        most: sentences that are faster one by one than as a batch.
    """

    @torch.inference_mode()
    def __init__(self, model: Lstm, dtype: torch.dtype, lib: ctypes.CDLL) -> None:
        self._lib, self._dtype = lib, dtype
        self._kept: list[Tensor] = []  # what C has pointers to
        self._steps = activation_steps()
        self._source_words = len(model.source_embedding_VE)
        config = model.config
        used = (*model.decoder_recurrent, model.combine, model.output_weight_VD)
        steps = _WEIGHTS_OF_A_STEP // sum(weight.numel() for weight in used)
        self.most = max(1, min(steps, MOST_AT_ONCE))
        rest = -model.vocab_size % _COLUMNS
        output_bias_V = pad(model.output_bias_V, (0, rest), value=-math.inf)
        self._c = _Model(
            width=config.width, layers=config.layers, feeds=config.input_feeding,
            directions=len(model.encoder_recurrent[0]), blocks=len(output_bias_V) // _COLUMNS,
            steps=self._steps,
            source=self._words(
                model.source_embedding_VE, model.encoder_input[0], model.encoder_bias[0]
            ),
            target=self._words(
                model.target_embedding_VE, model.decoder_input, model.decoder_bias[0]
            ),
            attention=self._linear(model.attention_HH, torch.zeros(config.width)),
            combine=self._linear(model.combine, torch.zeros(config.width)),
            output=self._linear(pad(model.output_weight_VD, (0, 0, 0, rest)).t(), output_bias_V),
        )  # fmt: skip
        for layer, (forwards_HG, *backwards) in enumerate(model.encoder_recurrent):
            self._c.forwards[layer] = self._linear(forwards_HG)
            for recurrent_HG in backwards:
                self._c.backwards = self._linear(recurrent_HG)
            bias_G = model.decoder_bias[layer] if layer else None
            self._c.decoder[layer] = self._linear(model.decoder_recurrent[layer], bias_G)
            if layer:
                self._c.from_below[layer] = self._linear(
                    model.encoder_input[layer], model.encoder_bias[layer]
                )

    def __call__(
        self,
        source: Sequence[int],
        limit: int,
        beam: int,
        n_best: int,
        divisor_T: Tensor,
        *,
        log_probs: bool = True,
    ) -> list[tuple[tuple[int, ...], float]]:
        """Search the translations of one sentence.

        Args:
            source: word ids, at least one.
            limit: most words of a translation, `eos` included.
            beam: live hypotheses; 1 is greedy.
            n_best: hypotheses returned, at most `beam`.
            divisor_T: what each length's log-probabilities are divided by, (limit), fp32.
            log_probs: False lets greedy search skip the normalisation.

        Returns:
            Up to `n_best` pairs of words without `eos` and log-probability, best first; none
            where the model's logits are not numbers.

        Raises:
            MemoryError: if there is not enough.
        """
        assert 0 <= min(source) <= max(source) < self._source_words, "C looks up what it is given"
        words = (c_int32 * (n_best * limit))()
        lengths, scores = (c_int32 * n_best)(), (c_float * n_best)()
        found = self._lib.search(
            byref(self._c), (c_int32 * len(source))(*source), len(source), limit, beam, n_best,
            divisor_T.data_ptr(), log_probs, words, lengths, scores,
        )  # fmt: skip
        if found == _NO_MEMORY:
            raise MemoryError("the search of a sentence")
        return [(tuple(words[k * limit : k * limit + lengths[k]]), scores[k]) for k in range(found)]

    def _pointer(self, tensor: Tensor) -> int:
        self._kept.append(tensor.contiguous())
        return self._kept[-1].data_ptr()

    def _words(self, vector_VE: Tensor, weight_EG: Tensor, bias_G: Tensor) -> _Words:
        """Return word vectors and a first layer's weights, in fp32 or bf16."""
        dtype = torch.bfloat16 if self._dtype == torch.bfloat16 else torch.float32
        words, embedding = vector_VE.shape
        return _Words(
            embedding, self._pointer(vector_VE.to(dtype)), self._pointer(weight_EG.to(dtype)),
            self._pointer(bias_G.to(dtype).float()),
            self._pointer(torch.empty(words, weight_EG.shape[1])),
            self._pointer(torch.zeros(words, dtype=torch.uint8)),
        )  # fmt: skip

    def _linear(self, weight_IO: Tensor, bias_O: Tensor | None = None) -> _Linear:
        """Return an affine map; without a bias, it adds to what is there.

        Args:
            weight_IO: fp32.
            bias_O: fp32; rounded to bf16 where weights are.
        """
        inputs, outputs = weight_IO.shape
        linear = _Linear(inputs=inputs, outputs=outputs)
        if bias_O is not None:
            in_bf16 = self._dtype == torch.bfloat16
            linear.bias = self._pointer((bias_O.to(self._dtype) if in_bf16 else bias_O).float())
        if self._dtype == torch.int8:
            return self._int8(linear, weight_IO)
        weight_OI = pad(weight_IO.t(), (0, 0, 0, -outputs % _COLUMNS)).to(self._dtype)
        if self._dtype == torch.bfloat16:
            # 32 bits: a weight of an even vector of outputs, and one of the next, above it.
            lanes = c_int64.in_dll(self._lib, "lanes").value
            pairs = weight_OI.view(torch.int16).to(torch.int32).view(-1, 2, lanes, inputs)
            even, odd = pairs.unbind(1)
            weight_OI = ((even & 0xFFFF) | (odd << 16)).view(-1, _COLUMNS // 2, inputs)
        else:
            weight_OI = weight_OI.view(-1, _COLUMNS, inputs)
        linear.weight = self._pointer(weight_OI.transpose(1, 2))
        return linear

    def _int8(self, linear: _Linear, weight_IO: Tensor) -> _Linear:
        """Fill in a map with int8 weights; see `lstm_int8.Int8Linear`."""
        values_IO, scale_1O = quantize_channels(weight_IO, -2)
        values_OI = pad(
            values_IO.t(), (0, -linear.inputs % _FOUR, 0, -linear.outputs % _COLUMNS)
        )  # fmt: skip
        linear.inputs = values_OI.shape[1]
        blocks = values_OI.reshape(-1, _COLUMNS, linear.inputs // _FOUR, _FOUR)
        linear.weight = self._pointer(blocks.transpose(1, 2))
        linear.scale = self._pointer(scale_1O.flatten() / self._steps)
        linear.zero = zero_point(self._steps)
        # Where products are those of unsigned inputs, their zero point has to be taken off.
        offset = c_int64.in_dll(self._lib, "offset").value * linear.zero
        linear.start = self._pointer(-offset * values_IO.sum(0, dtype=torch.int32))
        return linear
