"""Teacher forcing of `lstm.Lstm` on a GPU as CUDA graphs, one for each padded shape.

A step of an LSTM is a few dozen small kernels, and launching them one by one takes Python many
times longer than running them. A graph records the launches of a whole pass, forwards and
backwards, and replays them with one call. It has fixed shapes, so batches are padded to few of
them. Whatever is random or grows with the vocabulary stays outside.

A graph is recorded when its shape comes up for the second time, and only while memory lasts.
Otherwise the same code runs on the same padded batch.

The graphs of a model share their working memory, so a pass must go backwards before the next one
goes forwards, as in training. A pass that is still referenced spoils the recording of the next.

Shapes: B batch, S source length, T target length.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqkd.models.padding import even_size

if TYPE_CHECKING:
    from seqkd.models.lstm import Lstm

_MULTIPLE = 4  # of padded lengths


def available(model: Lstm, device: torch.device) -> bool:
    """Say whether graphs run here: in training on a GPU, unless SEQKD_KERNELS=0."""
    on = device.type == "cuda" and os.environ.get("SEQKD_KERNELS") != "0"
    return on and model.training and torch.is_grad_enabled()


def hidden_and_attention(
    model: Lstm, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what `Lstm.hidden_and_attention` returns."""
    batch, steps = tgt_in_BT.shape
    rows = even_size(batch, up=True) - batch

    def padded(x: Tensor) -> Tensor:
        return F.pad(x, (0, -x.shape[1] % _MULTIPLE, 0, rows))

    inputs = model.forced_inputs(
        padded(src_BS), F.pad(length_B, (0, rows), value=1), padded(tgt_in_BT)
    )
    hidden_BTD, attention_BTS = _graphs(model).run(model, inputs)
    return hidden_BTD[:batch, :steps], attention_BTS[:batch, :steps, : src_BS.shape[1]]


class _Forced(nn.Module):
    """`Lstm.forced` as a module, from which PyTorch learns what has gradients."""

    def __init__(self, model: Lstm) -> None:
        super().__init__()
        self.weights = nn.ParameterList(model.parameters())
        self._model = weakref.ref(model)  # else its graphs would keep it alive

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        model = self._model()
        assert model is not None
        return model.forced(*inputs)


class _Graphs:
    """The graphs of one model."""

    def __init__(self, model: Lstm) -> None:
        self.places = _places(model)
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._seen = Counter[object]()
        self._graphs: dict[object, nn.Module] = {}

    def run(self, model: Lstm, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return what `Lstm.forced` returns, by a graph if there is one or may be one now."""
        shape = model.compute_dtype, *(tuple(x.shape) for x in inputs)
        self._seen[shape] += 1
        if shape not in self._graphs:
            if self._seen[shape] < 2 or not _has_memory(inputs[0].device):
                return model.forced(*inputs)
            self._graphs[shape] = self._record(model, inputs)
        # A graph leaves its gradients in the same place each time, where the first batch of an
        # update may have left a sum.
        for weight in model.parameters():
            if weight.grad is not None:
                weight.grad = weight.grad.clone()
        hidden_BTD, attention_BTS = self._graphs[shape](*inputs)
        return hidden_BTD, attention_BTS

    def _record(self, model: Lstm, inputs: tuple[Tensor, ...]) -> nn.Module:
        samples = tuple(x.detach().clone().requires_grad_(x.requires_grad) for x in inputs)
        forced = _Forced(model)
        # Graphs keep gradients on their own stream, which costs nothing here.
        warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")
        torch.cuda.make_graphed_callables(  # changes it in place
            forced, samples, num_warmup_iters=1, allow_unused_input=True, pool=self._pool
        )
        return forced


_OF_MODEL: weakref.WeakKeyDictionary[Lstm, _Graphs] = weakref.WeakKeyDictionary()


def _graphs(model: Lstm) -> _Graphs:
    """Return the model's graphs; weights that have moved in memory need new ones."""
    graphs = _OF_MODEL.get(model)
    if graphs is None or graphs.places != _places(model):
        graphs = _OF_MODEL[model] = _Graphs(model)
    return graphs


def _places(model: Lstm) -> list[int]:
    return [weight.data_ptr() for weight in model.parameters()]


def _has_memory(device: torch.device) -> bool:
    """Say whether as much memory is free as was ever in use, so that other passes still fit."""
    free, _ = torch.cuda.mem_get_info(device)
    return free > torch.cuda.max_memory_allocated(device)
