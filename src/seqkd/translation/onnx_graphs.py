"""A model as two ONNX graphs: the encoder, and one step of the decoder.

    encoder.onnx   source (B, S), length (B,)  ->  the state before the first word
    decoder.onnx   token (N,), the state       ->  logits (N, V), and the parts that a step changes

PyTorch traces both from the code in `models`. Only the encoder of an LSTM is rewritten, with
ONNX's own operator, because a trace would fix the number of words.

Shapes: B sentences, S source length, N hypotheses (any multiple of B), T target length so far,
V vocabulary, H width, L layers, D directions, X = H / D, E inputs of a layer.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
import torch.onnx.ops
from torch import Tensor, nn

from seqkd.errors import SeqkdError
from seqkd.models.build import Model
from seqkd.models.lstm import Lstm
from seqkd.models.protocol import Decoder, State
from seqkd.vocabulary.specials import EOS

# Axes of any size, by the names of a state's tensors.
_SENTENCE, _HYPOTHESIS = {0: "B", 1: "S"}, {0: "N"}
_LSTM_STATE = {
    **dict.fromkeys(("memory", "keys", "mask"), _SENTENCE),
    **dict.fromkeys(("attentional", "outputs", "cells"), _HYPOTHESIS),
}
_TRANSFORMER_STATE = {
    **{"memory": {0: "B", 2: "S"}, "mask": _SENTENCE},
    **{"cache": {0: "N", 2: "T"}, "position": _HYPOTHESIS},
}
_SSRU_STATE = _TRANSFORMER_STATE | {"cache": _HYPOTHESIS}


def check_packages(*, int8: bool) -> None:
    """Check that what `write_graphs` needs is installed.

    Raises:
        SeqkdError: if not.
    """
    for package in ("onnx", "onnxscript", *(["onnxruntime"] if int8 else [])):
        if find_spec(package) is None:
            raise SeqkdError(
                f"--onnx needs the package {package}; install it: pip install 'seqkd[onnx]'"
            )


def write_graphs(model: Model, encoder: Path, decoder: Path, *, int8: bool) -> None:
    """Trace a model and write its two graphs.

    Args:
        model: with weights, on the CPU.
        encoder: the file of the encoder.
        decoder: the file of the decoder.
        int8: have ONNX Runtime quantise the weights, a scale for each output channel;
            activations are quantised on the fly. Otherwise fp32.
    """
    model, own, axes = _traceable(model)
    # An example: three sentences, each with two hypotheses of two words.
    source = torch.full((3, 5), EOS), torch.tensor([5, 4, 3])
    token_N = torch.full((6,), EOS)
    state = own.start(*source)
    shared = len(state.sentence)
    state = state._replace(hypothesis=tuple(x.repeat_interleave(2, 0) for x in state.hypothesis))
    for _ in range(2):
        _, state = own.step(token_N, state)

    def start(src_BS: Tensor, length_B: Tensor) -> tuple[Tensor, ...]:
        first = own.start(src_BS, length_B)
        return (*first.sentence, *first.hypothesis)

    def step(token_N: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        logits_NV, after = own.step(token_N, State(tensors[:shared], tensors[shared:]))
        return (logits_NV, *after.hypothesis)

    changed = ["logits", *(f"next_{name}" for name in list(axes)[shared:])]
    lines = {"source": _SENTENCE, "length": {0: "B"}}
    _write(_Traced(model, start), source, lines, list(axes), encoder, int8)
    inputs = token_N, *state.sentence, *state.hypothesis
    _write(_Traced(model, step), inputs, {"token": _HYPOTHESIS, **axes}, changed, decoder, int8)


def _traceable(model: Model) -> tuple[Model, Decoder, Mapping[str, Mapping[int, str]]]:
    """Return a model made of operations that ONNX has, its decoder, and the axes of its state."""
    if isinstance(model, Lstm):
        twin = _GraphLstm(model)
        return twin, twin, _LSTM_STATE
    decoder = model.decoder()
    decoder.output = lambda x_ND: F.linear(x_ND, model.output_weight_VD, model.output_bias_V)
    is_ssru = model.config.decoder == "ssru"
    return model, decoder, _SSRU_STATE if is_ssru else _TRANSFORMER_STATE


class _Traced(nn.Module):
    """A function of tensors as a module, with the model whose weights it uses."""

    def __init__(self, model: Model, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.model, self._function = model.eval(), function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._function(*inputs)


def _write(
    traced: _Traced,
    inputs: tuple[Tensor, ...],
    axes: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
    path: Path,
    int8: bool,
) -> None:
    """Write one graph: `axes` names its inputs, and of each the axes of any size."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            traced,
            inputs,
            input_names=list(axes),
            output_names=list(outputs),
            dynamic_shapes=(tuple(axes.values()),),
            verbose=False,
        )
        assert program is not None
        ClearMetadataAndDocStringPass()(program.model)  # stack traces with paths of this machine
        program.save(path, external_data=False)
        if int8:
            from onnxruntime.quantization import quantize_dynamic

            # To 7 bits: sums of products of 8 bits overflow on processors without VNNI.
            quantize_dynamic(path, path, per_channel=True, reduce_range=True)


class _GraphLstm(Lstm):
    """An LSTM whose encoder is one ONNX operator a layer. Outside a trace, it returns zeros."""

    def __init__(self, model: Lstm) -> None:
        with torch.device("meta"):
            super().__init__(model.config, len(model.source_embedding_VE), model.vocab_size)
        self.load_state_dict(model.state_dict(), assign=True)
        self.requires_grad_(False).eval()
        self._layers = [
            _onnx_weights(*weights)
            for weights in zip(
                self.encoder_input, self.encoder_recurrent, self.encoder_bias, strict=True
            )
        ]

    def encode(
        self, words_SBE: Tensor, length_B: Tensor, drop_SBH: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return memory, last outputs and last cells; see `Lstm.encode`."""
        x_SBH = words_SBE
        last_outputs, last_cells = [], []
        for weights in self._layers:
            y_SDBX, h_DBX, c_DBX = _onnx_lstm(x_SBH, weights, length_B)
            x_SBH = y_SDBX.transpose(1, 2).flatten(2)
            last_outputs.append(h_DBX.transpose(0, 1).flatten(1))
            last_cells.append(c_DBX.transpose(0, 1).flatten(1))
        return x_SBH.transpose(0, 1), torch.stack(last_outputs, 1), torch.stack(last_cells, 1)


def _onnx_lstm(
    x_SBE: Tensor, weights: tuple[Tensor, Tensor, Tensor], length_B: Tensor
) -> Sequence[Tensor]:
    """Return outputs (S, D, B, X), which are 0 on padding, and last outputs and cells (D, B, X)."""
    (steps, batch, _), (directions, _, size) = x_SBE.shape, weights[1].shape
    direction = "bidirectional" if directions == 2 else "forward"
    last = (directions, batch, size)
    return torch.onnx.ops.symbolic_multi_out(
        "LSTM",
        (x_SBE, *weights, length_B.int()),
        {"hidden_size": size, "direction": direction},
        dtypes=[torch.float32] * 3,
        shapes=[(steps, *last), last, last],
    )


def _onnx_weights(
    input_EG: Tensor, recurrent_DXG: Tensor, bias_G: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ONNX's W (D, 4 X, E), R (D, 4 X, X) and B (D, 8 X): gates in the order i, o, f, g."""

    def gates(weight: Tensor, directions: int) -> Tensor:
        o, i, f, g = weight.unflatten(-1, (directions, 4, -1)).unbind(-2)
        return torch.cat([i, o, f, g], -1)

    directions = len(recurrent_DXG)
    bias_DG = gates(bias_G, directions)
    return (
        gates(input_EG, directions).permute(1, 2, 0).contiguous(),
        gates(recurrent_DXG, 1).squeeze(-2).transpose(1, 2).contiguous(),
        torch.cat([bias_DG, torch.zeros_like(bias_DG)], 1),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what PyTorch logs and warns about its own exporter."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
